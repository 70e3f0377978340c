/** What SQL Server says, by number; `%` stands for a value. */
const MESSAGES: Readonly<Record<number, string>> = {
  102: "Incorrect syntax near '%'.",
  105: "Unclosed quotation mark after the character string '%'.",
  109: 'There are more columns in the INSERT statement than values specified in the VALUES clause.',
  110: 'There are fewer columns in the INSERT statement than values specified in the VALUES clause.',
  111: "'CREATE VIEW' must be the first statement in a query batch.",
  120: 'The select list for the INSERT statement contains fewer items than the insert list.',
  121: 'The select list for the INSERT statement contains more items than the insert list.',
  130: 'Cannot perform an aggregate function on an expression containing an aggregate or a subquery.',
  134: "The variable name '%' has already been declared.",
  137: 'Must declare the scalar variable "%".',
  174: 'The % function was called with a wrong number of arguments.',
  205: 'All queries combined using a UNION operator must have an equal number of expressions in their target lists.',
  207: "Invalid column name '%'.",
  208: "Invalid object name '%'.",
  209: "Ambiguous column name '%'.",
  239: "Duplicate common table expression name '%' was specified.",
  241: 'Conversion failed when converting date and/or time from character string.',
  245: "Conversion failed when converting the % value '%' to data type %.",
  248: "The conversion of the % value '%' overflowed an int column.",
  319: "Incorrect syntax near the keyword 'with'. If this statement is a common table expression, the previous statement must be terminated with a semicolon.",
  468: 'Cannot resolve the collation conflict in the % operation.',
  515: "Cannot insert the value NULL into column '%', table 'access.dbo.%'; column does not allow nulls. % fails.",
  529: 'Explicit conversion from data type % to % is not allowed.',
  547: 'The % statement conflicted with the % constraint "%". The conflict occurred in database "access", table "dbo.%".',
  1033: 'The ORDER BY clause is invalid in views, inline functions, derived tables, subqueries, and common table expressions, unless TOP, OFFSET or FOR XML is also specified.',
  1205: 'Transaction (Process ID 51) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction.',
  1222: 'Lock request time out period exceeded.',
  1505: "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name 'dbo.%' and the index name '%'.",
  1913: "The operation failed because an index or statistics with name '%' already exists on table 'dbo.%'.",
  2601: "Cannot insert duplicate key row in object 'dbo.%' with unique index '%'.",
  2627: "Violation of % KEY constraint '%'. Cannot insert duplicate key in object 'dbo.%'.",
  2628: "String or binary data would be truncated in table 'access.dbo.%', column '%'. Truncated value: ''.",
  2714: "There is already an object named '%' in the database.",
  3701: "Cannot drop the % '%', because it does not exist or you do not have permission.",
  3726: "Could not drop object 'dbo.%' because it is referenced by a FOREIGN KEY constraint.",
  3728: "'%' is not a constraint.",
  3902: 'The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.',
  3903: 'The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.',
  4060: 'Cannot open database "%" requested by the login. The login failed.',
  4104: 'The multi-part identifier "%" could not be bound.',
  4413: "Could not use view or function 'dbo.%' because of binding errors.",
  4924: "ALTER TABLE DROP COLUMN failed because column '%' does not exist in table '%'.",
  5074: "The object '%' is dependent on column '%'.",
  8114: 'Error converting data type % to %.',
  8115: 'Arithmetic overflow error converting expression to data type %.',
  8120: "Column '%' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.",
  8134: 'Divide by zero error encountered.',
  8155: "No column name was specified for column % of '%'.",
  8169: 'Conversion failed when converting from a character string to uniqueidentifier.',
  9828: 'The second and third arguments of the TRANSLATE built-in function must contain an equal number of characters.',
  13609: 'JSON text is not properly formatted.',
  15023: "User, group, or role '%' already exists in the current database.",
  15151: "Cannot find the % '%', because it does not exist or you do not have permission.",
  15217: "Property cannot be updated or deleted. Property '%' does not exist for 'object specified'.",
  15233: "Property cannot be added. Property '%' already exists for 'object specified'.",
  18456: "Login failed for user '%'.",
  40197: 'The service has encountered an error processing your request. Please try again.',
  40501: 'The service is currently busy. Retry the request after 10 seconds.',
  40613: 'Database is not currently available. Please retry the connection later.',
};

/** The severity (class) of the numbers that are not 16. */
const CLASSES = new Map([
  ...[102, 105, 137, 319].map((number) => [number, 15] as const),
  ...[229, 2601, 2627, 18456].map((number) => [number, 14] as const),
  ...[40197, 40613].map((number) => [number, 17] as const),
  ...([
    [1205, 13],
    [4060, 11],
    [40501, 20],
  ] as const),
]);

/** What fails to convert rolls its transaction back, whatever XACT_ABORT says. */
const ROLLS_BACK = new Set([241, 245, 8114, 8169]);

/** What SQL Server finds while it compiles, and what is not served, ends the batch. */
const ENDS_BATCH = new Set([
  ...ROLLS_BACK,
  ...[
    102, 105, 109, 110, 111, 120, 121, 130, 134, 137, 174, 205, 207, 208, 209, 239, 248, 319, 402, 468, 544,
  ],
  ...[1033, 4104, 4145, 4413, 8102, 8120, 8155, 13609, 40514],
]);

/** An error that a client gets as an ERROR token: SQL Server's number, message and severity class. */
export class SqlError extends Error {
  readonly class: number;
  /** The whole batch ends, whatever XACT_ABORT says. */
  readonly endsBatch: boolean;
  readonly rollsBack: boolean;
  /** An error that comes with it: that of the view in which it was found. */
  next?: SqlError;

  constructor(
    readonly number: number,
    message: string,
  ) {
    super(message);
    this.class = CLASSES.get(number) ?? 16;
    this.endsBatch = ENDS_BATCH.has(number);
    this.rollsBack = ROLLS_BACK.has(number);
  }
}

/** The error of that number, with the values that its message names. */
export function sqlError(number: number, ...values: readonly (string | number)[]): SqlError {
  const rest = values.values();
  const message = MESSAGES[number] ?? `Error ${number}.`;
  return new SqlError(
    number,
    message.replace(/%/g, () => String(rest.next().value ?? '')),
  );
}

/** SQL that is not served: never guessed at, always named. */
export function notServed(what: string, statement?: string): SqlError {
  const quoted = statement === undefined ? '' : `: ${statement.trim().slice(0, 1500)}`;
  return new SqlError(40514, `The SQL stand-in does not serve ${what}${quoted}`);
}
