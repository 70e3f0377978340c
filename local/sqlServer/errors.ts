/** SQL Server's messages by number; `%` stands for a value. */
const MESSAGES: Readonly<Record<number, string>> = {
  102: "Incorrect syntax near '%'.",
  137: 'Must declare the scalar variable "%".',
  207: "Invalid column name '%'.",
  208: "Invalid object name '%'.",
  241: 'Conversion failed when converting date and/or time from character string.',
  245: "Conversion failed when converting the % value '%' to data type %.",
  515: "Cannot insert the value NULL into column '%', table 'access.dbo.%'; column does not allow nulls. % fails.",
  547: 'The % statement conflicted with the % constraint "%". The conflict occurred in database "access", table "dbo.%".',
  1205: 'Transaction (Process ID 51) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction.',
  1222: 'Lock request time out period exceeded.',
  1505: "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name 'dbo.%' and the index name '%'.",
  2601: "Cannot insert duplicate key row in object 'dbo.%' with unique index '%'.",
  2627: "Violation of % KEY constraint '%'. Cannot insert duplicate key in object 'dbo.%'.",
  2628: "String or binary data would be truncated in table 'access.dbo.%', column '%'. Truncated value: ''.",
  2714: "There is already an object named '%' in the database.",
  3701: "Cannot drop the % '%', because it does not exist or you do not have permission.",
  3902: 'The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.',
  3903: 'The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.',
  4060: 'Cannot open database "%" requested by the login. The login failed.',
  4104: 'The multi-part identifier "%" could not be bound.',
  4413: "Could not use view or function 'dbo.%' because of binding errors.",
  8114: 'Error converting data type % to %.',
  8115: 'Arithmetic overflow error converting expression to data type %.',
  8134: 'Divide by zero error encountered.',
  8169: 'Conversion failed when converting from a character string to uniqueidentifier.',
  9828: 'The second and third arguments of the TRANSLATE built-in function must contain an equal number of characters.',
  13609: 'JSON text is not properly formatted.',
  15023: "User, group, or role '%' already exists in the current database.",
  15151: "Cannot find the % '%', because it does not exist or you do not have permission.",
  18456: "Login failed for user '%'.",
  40197: 'The service has encountered an error processing your request. Please try again.',
  40501: 'The service is currently busy. Retry the request after 10 seconds.',
  40613: 'Database is not currently available. Please retry the connection later.',
};

/** The severity (class) of the numbers that are not 16. */
const CLASSES = new Map([
  ...[102, 137].map((number) => [number, 15] as const),
  ...[229, 2601, 2627, 18456].map((number) => [number, 14] as const),
  ...[40197, 40613].map((number) => [number, 17] as const),
  ...([
    [1205, 13],
    [4060, 11],
    [40501, 20],
  ] as const),
]);

/** A failed conversion rolls its transaction back, even without XACT_ABORT. */
const ROLLS_BACK = new Set([241, 245, 8114, 8169]);

/** Errors of compilation, and statements that are not served, end the batch. */
const ENDS_BATCH = new Set([...ROLLS_BACK, 102, 137, 207, 208, 4104, 4413, 13609, 40514]);

/** An error that a client gets as an ERROR token: SQL Server's number, message and severity class. */
export class SqlError extends Error {
  readonly class: number;
  /** The whole batch ends, even without XACT_ABORT. */
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

/** The error for SQL that is not served; it names what. */
export function notServed(what: string, statement?: string): SqlError {
  const quoted = statement === undefined ? '' : `: ${statement.trim().slice(0, 1500)}`;
  return new SqlError(40514, `The SQL stand-in does not serve ${what}${quoted}`);
}
