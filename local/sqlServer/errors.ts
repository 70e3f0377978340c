/** The severity (class) of the numbers that are not 16. */
const CLASSES: Readonly<Record<number, number>> = {
  102: 15,
  105: 15,
  137: 15,
  229: 14,
  1205: 13,
  2601: 14,
  2627: 14,
  4060: 11,
  18456: 14,
  40197: 17,
  40501: 20,
  40613: 17,
  49918: 16,
};

const MESSAGES: Readonly<Record<number, string>> = {
  1205:
    'Transaction (Process ID 51) was deadlocked on lock resources with another process and has been chosen as the ' +
    'deadlock victim. Rerun the transaction.',
  1222: 'Lock request time out period exceeded.',
  4060: 'Cannot open database requested by the login. The login failed.',
  18456: 'Login failed for user.',
  40197: 'The service has encountered an error processing your request. Please try again.',
  40501: 'The service is currently busy. Retry the request after 10 seconds.',
  40613: 'Database is not currently available. Please retry the connection later.',
};

/** An error that a client gets as an ERROR token: SQL Server's number, message, severity class and state. */
export class SqlError extends Error {
  readonly class: number;
  /** The whole batch ends, whatever XACT_ABORT says. */
  readonly endsBatch: boolean;
  readonly rollsBack: boolean;

  constructor(
    readonly number: number,
    message?: string,
    options: { endsBatch?: boolean; rollsBack?: boolean; class?: number } = {},
  ) {
    super(message ?? MESSAGES[number] ?? `Error ${number}.`);
    this.class = options.class ?? CLASSES[number] ?? 16;
    this.endsBatch = options.endsBatch ?? false;
    this.rollsBack = options.rollsBack ?? false;
  }
}

/** An error that ends the batch: what SQL Server finds while it compiles. */
export const batchError = (number: number, message: string): SqlError =>
  new SqlError(number, message, { endsBatch: true });

/** An error that ends the batch and rolls its transaction back: a failed conversion. */
export const conversionError = (number: number, message: string): SqlError =>
  new SqlError(number, message, { endsBatch: true, rollsBack: true });

/** SQL that is not served: never guessed at, always named. */
export function notServed(what: string, statement?: string): SqlError {
  const quoted = statement === undefined ? '' : `: ${statement.trim().slice(0, 1500)}`;
  return batchError(50000, `The SQL stand-in does not serve ${what}${quoted}`);
}
