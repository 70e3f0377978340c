import type { Retry } from '../src/database/database';

/** Says on stderr what is waited for, for example "The database is starting or busy, try 3 of 6 in 10 s: …". */
export function reportRetry({ number, maxTries, delayMs, error }: Retry): void {
  console.error(
    `The database is starting or busy, try ${number} of ${maxTries} in ${delayMs / 1000} s: ${error.message}`,
  );
}
