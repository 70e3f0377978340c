import type { HttpResponseInit } from '@azure/functions';
import { SettingsError } from '../config/settings';
import { DatabaseError } from '../database/errors';

/** A problem document (RFC 9457). `members` are its extensions. */
export function problem(
  status: number,
  title: string,
  detail: string,
  members: Readonly<Record<string, unknown>> = {},
  headers: Readonly<Record<string, string>> = {},
): HttpResponseInit {
  return {
    status,
    headers: { 'Content-Type': 'application/problem+json', ...headers },
    body: JSON.stringify({ title, status, detail, ...members }),
  };
}

/** When a caller may try again after the database could not be reached. In seconds. */
const unavailableRetryAfter = '60';

/** Turns what a handler threw into an answer: what is wrong, and what to do. */
export function problemFor(error: unknown): HttpResponseInit {
  if (error instanceof DatabaseError && error.unavailable)
    return problem(
      503,
      'The database cannot be reached',
      error.message,
      {},
      { 'Retry-After': unavailableRetryAfter },
    );
  if (error instanceof DatabaseError) return problem(500, 'The database refused a statement', error.message);
  if (error instanceof SettingsError)
    return problem(500, 'The app is not configured', error.message, { problems: error.problems });
  return problem(
    500,
    'The request failed',
    'An unexpected error; the log of this invocation has it in full.',
  );
}
