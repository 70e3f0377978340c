import type { Statement } from './statement';

/** Numbers of SQL Server's errors that the product acts on. */
export const sqlErrors = {
  /** "Cannot insert duplicate key row … with unique index". */
  duplicateInIndex: 2601,
  /** "Violation of PRIMARY KEY or UNIQUE KEY constraint". */
  duplicateInConstraint: 2627,
  /** "The INSERT statement conflicted with the FOREIGN KEY constraint", or with a CHECK. */
  constraintConflict: 547,
  invalidColumn: 207,
  invalidObject: 208,
  permissionDenied: 229,
  /** "Cannot open database requested by the login." It may be moved at the moment. */
  cannotOpenDatabase: 4060,
  /** "Lock request time out period exceeded": LOCK_TIMEOUT was set, and a lock was not granted within it. */
  lockTimeout: 1222,
} as const;

/**
 * Transient errors: all of Azure SQL's list ("Troubleshoot connectivity issues", "List of transient fault
 * error codes") and, of the list that EF Core retries (SqlServerTransientExceptionDetector), what a session can meet that
 * signs in, reads and writes. The rest of that list comes from other commands and features: availability groups,
 * mirroring, replication, full text, FILESTREAM, memory-optimised tables, Synapse, the management of servers and pools.
 *
 * 1204 (no memory for another lock) and 8645 (none for the query) are in: the server is busy and asks to rerun.
 * 1222 (lock time-out) is left out, though EF Core has it: a session gets it only after it has set LOCK_TIMEOUT, and then
 * decides itself what follows.
 * 3906 (the database is read-only) is on neither list; after a failover, a new session reaches the new primary.
 * 37396 (the token has expired) is on neither list; a new session gets a new token.
 * A time-out on the client's side has no number; it is a StatementTimeoutError.
 */
const transientNumbers = new Set([
  // The connection broke.
  20, 64, 121, 233, 997, 10_053, 10_054, 10_060, 11_001,
  // The database is moved, started or recovered, or the sign-in has to be repeated.
  615, 617, 921, 926, 927, 941, 952, 982, 988, 3906, 4060, 4221, 17_197, 18_401, 37_396, 40_106, 40_143,
  40_197, 40_540, 40_613, 40_623, 40_671, 42_029, 49_802,
  // The server is busy, or a limit is reached.
  1204, 8628, 8645, 8651, 9020, 10_922, 10_928, 10_929, 10_930, 10_936, 17_889, 22_498, 40_189, 40_501,
  40_642, 40_648, 40_675, 40_890, 40_903, 49_918, 49_919, 49_920, 49_977, 49_983,
  // A conflict with another session.
  539, 601, 669, 1203, 1205, 1221, 1232, 2021, 2816, 3635, 3941, 3947, 3948, 3950, 3953, 3957, 3960, 3966,
  3980, 4117, 4184, 17_065, 17_066, 17_067, 20_041, 22_225, 22_226, 22_335, 22_353, 22_355, 22_358, 22_427,
  22_430, 22_491, 22_493,
]);

/**
 * Further errors whose text can be shown: it names only objects, types, principals and words of a statement
 * (sys.messages). Any other text may quote a value of the data, as 245, 2601, 2627 and 2628 do, or comes from a trigger
 * (50000), and messages go to logs and telemetry, which must hold no address and no name.
 */
const namingNumbers = new Set([
  // What a statement says.
  102, 109, 110, 111, 120, 128, 130, 134, 137, 156, 174, 195, 201, 205, 213, 319, 334, 1033, 4145, 8120, 8155,
  8156,
  // Objects, columns, constraints, indexes and settings that are missing, in the way or wrong.
  207, 208, 209, 308, 515, 544, 547, 1088, 1911, 1913, 1934, 2705, 2714, 2812, 3701, 3726, 3728, 4104, 4121,
  4413, 4502, 4506, 4511, 4901, 4902, 4924, 5074, 8102, 15217, 15233,
  // Types and collations that do not match; 8152 names no value, unlike 2628.
  206, 241, 242, 257, 295, 402, 446, 451, 457, 468, 512, 517, 529, 535, 8114, 8115, 8116, 8117, 8134, 8152,
  8169,
  // Permissions, principals and logins.
  229, 230, 262, 297, 300, 916, 15_023, 15_063, 15_151, 15_247, 18_452, 18_456, 18_470, 18_486, 18_487,
  18_488, 33_130, 40_532, 40_615, 40_914, 47_073,
  // Transactions, space and other limits, locks.
  701, 1101, 1105, 1222, 3902, 3903, 3906, 8623, 8632, 9002, 40_508, 40_514, 40_515, 40_517, 40_544, 40_549,
  40_550, 40_551, 40_552, 40_553,
]);

/** Whether an error's text from the server can be shown. */
export function namesObjectsOnly(number: number): boolean {
  return transientNumbers.has(number) || namingNumbers.has(number);
}

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
  /** The server's text, where it can be shown, and the number; without advice. */
  readonly serverError: string;
  constructor(
    /** The error's number in SQL Server's documentation ("Database Engine events and errors"). */
    readonly number: number,
    message: string,
    statementName: string,
    /** The line within the batch, from 1. */
    readonly line: number | undefined,
  ) {
    // No cause: the error of tedious has the server's text, and a cause is printed with its error.
    const shown = namesObjectsOnly(number);
    super(
      shown
        ? `${message}${hint(number, message)} (SQL error ${number} in ${statementName})`
        : `SQL error ${number} in ${statementName}.`,
    );
    this.serverError = shown ? `${message} (SQL error ${number})` : `SQL error ${number}`;
    this.transient = transientNumbers.has(number);
  }
  get unavailable(): boolean {
    return this.transient;
  }
}

function hint(number: number, message: string): string {
  if (number === sqlErrors.invalidObject && message.includes('OPENJSON'))
    return ' It needs compatibility level 130 or higher: ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = 130.';
  if (number === sqlErrors.invalidObject || number === sqlErrors.invalidColumn)
    return ' Apply the scripts in sql/ (npm run db:deploy), and compare the views with sql/06_AccessGrant_views.sql.';
  if (number === sqlErrors.permissionDenied)
    return ' Make the identity a member of the role in sql/07_AccessExpiryJobs_role.sql.';
  return '';
}

/** Codes of a network that fails for a moment. */
const transientCodes = new Set(['ETIMEOUT', 'ETIMEDOUT', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'EAI_AGAIN']);

/** A refused connection, an unknown host, no token: transient after a failover, permanent with a wrong setting. */
const settingCodes = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EFEDAUTH']);

/** No session could be opened, or the login was refused. */
export class DatabaseUnavailableError extends DatabaseError {
  override readonly name = 'DatabaseUnavailableError';
  readonly unavailable = true;
  readonly transient: boolean;
  /** A wrong setting can be the cause: the name of the server or the database, the port, the identity. */
  readonly settingSuspected: boolean;
  constructor(
    message: string,
    { number, codes, cause }: { number: number | undefined; codes: readonly string[]; cause: unknown },
  ) {
    super(message, { cause });
    this.settingSuspected =
      number === sqlErrors.cannotOpenDatabase || codes.some((code) => settingCodes.has(code));
    this.transient =
      this.settingSuspected ||
      codes.some((code) => transientCodes.has(code)) ||
      (number !== undefined && transientNumbers.has(number)) ||
      // A socket that ends during login comes without a code of its own: "socket hang up" within ESOCKET.
      /socket hang up|Connection lost/.test(message);
  }
}

/** The connection broke during a statement, which may have been executed. */
export class ConnectionLostError extends DatabaseError {
  override readonly name = 'ConnectionLostError';
  readonly unavailable = true;
  readonly transient = true;
}

/** The app is being stopped: the statement under way is not awaited, and may have been executed. */
export class AbandonedError extends DatabaseError {
  override readonly name = 'AbandonedError';
  readonly unavailable = true;
  readonly transient = false;
  constructor() {
    super('The app is shutting down: the database was not waited for.');
  }
}

/** The server did not answer in time; the statement may have been executed. */
export class StatementTimeoutError extends DatabaseError {
  override readonly name = 'StatementTimeoutError';
  readonly unavailable = true;
  readonly transient = true;
  constructor(
    readonly statement: Pick<Statement, 'name' | 'slow'>,
    cause: unknown,
  ) {
    super(`The database did not answer ${statement.name} in time`, { cause });
  }
}

/** All sessions of the process are in use; nothing was sent to the server. */
export class DatabaseBusyError extends DatabaseError {
  override readonly name = 'DatabaseBusyError';
  readonly unavailable = true;
  readonly transient = true;
  constructor(sessions: number) {
    super(
      `All ${sessions} database sessions for requests like this one are in use. Nothing was done; try again soon.`,
    );
  }
}
