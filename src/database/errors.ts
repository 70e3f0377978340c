/** Numbers of SQL Server's errors that the product acts on. */
export const sqlErrors = {
  /** "Cannot insert duplicate key row … with unique index". */
  duplicateInIndex: 2601,
  /** "Violation of PRIMARY KEY or UNIQUE KEY constraint". */
  duplicateInConstraint: 2627,
  invalidColumn: 207,
  invalidObject: 208,
  permissionDenied: 229,
  /** "Lock request time out period exceeded": only in a session that has set LOCK_TIMEOUT. */
  lockTimeout: 1222,
} as const;

/**
 * Errors that pass by themselves: Azure SQL's list ("Troubleshoot transient connection errors in SQL Database") and
 * that of EF Core's SqlServerTransientExceptionDetector, 1205 (deadlock victim) among them. A time-out on the client's side
 * is no number of the server's; work that is retried is safe to repeat, so it counts as transient too.
 */
const transientNumbers = new Set([
  20, 64, 121, 233, 615, 926, 1205, 4060, 4221, 10_053, 10_054, 10_060, 10_928, 10_929, 37_396, 40_197,
  40_501, 40_613, 49_918, 49_919, 49_920,
]);

/**
 * Errors whose text quotes a value from the data, in the language of the login ("Conversion failed when converting the
 * varchar value '…'", "String or binary data would be truncated … Truncated value: '…'"). Messages go to logs and
 * telemetry, where no address and no name may.
 */
const quotingNumbers = new Set([241, 242, 244, 245, 248, 295, 2628, 8114, 8152]);

export abstract class DatabaseError extends Error {
  /** Whether the same work may succeed on a new session. */
  abstract readonly transient: boolean;
  /** Whether the database could not be reached or did not answer, as opposed to refusing a statement. */
  abstract readonly unavailable: boolean;
}

/** The server answered a statement with an error. */
export class SqlError extends DatabaseError {
  override readonly name = 'SqlError';
  readonly transient: boolean;
  /** What the server said, without our addition. */
  readonly serverMessage: string;
  constructor(
    /** The error's number in SQL Server's documentation ("Database Engine events and errors"). */
    readonly number: number,
    message: string,
    statementName: string,
    /** The line within the batch, from 1. */
    readonly line: number | undefined,
  ) {
    // No cause: what tedious throws has the server's own text, and causes are printed with an error.
    const serverMessage = quotingNumbers.has(number) ? 'A value has the wrong type or is too long.' : message;
    super(`${serverMessage}${hint(number)} (SQL error ${number} in ${statementName})`);
    this.serverMessage = serverMessage;
    this.transient = transientNumbers.has(number);
  }
  get unavailable(): boolean {
    return this.transient;
  }
}

function hint(number: number): string {
  if (number === sqlErrors.invalidObject || number === sqlErrors.invalidColumn)
    return ' Apply the scripts in sql/ (npm run db:deploy), and compare the views with sql/06_AccessGrant_views.sql.';
  if (number === sqlErrors.permissionDenied)
    return ' Make the identity a member of the role in sql/07_AccessExpiryJobs_role.sql.';
  return '';
}

/** No session could be opened, or the login was refused. */
export class DatabaseUnavailableError extends DatabaseError {
  override readonly name = 'DatabaseUnavailableError';
  readonly unavailable = true;
  readonly transient: boolean;
  constructor(
    message: string,
    { number, transient, cause }: { number?: number | undefined; transient: boolean; cause: unknown },
  ) {
    super(message, { cause });
    this.transient = transient || (number !== undefined && transientNumbers.has(number));
  }
}

/** The connection broke while a statement was under way: whether it was executed is not known. */
export class ConnectionLostError extends DatabaseError {
  override readonly name = 'ConnectionLostError';
  readonly unavailable = true;
  readonly transient = true;
}

/** The server did not answer a statement in time: whether it was executed is not known. */
export class StatementTimeoutError extends DatabaseError {
  override readonly name = 'StatementTimeoutError';
  readonly unavailable = true;
  readonly transient = true;
}
