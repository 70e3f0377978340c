import type { HttpResponseInit } from '@azure/functions';
import { SettingsError } from '../config/settings';
import { DatabaseBusyError, DatabaseError } from '../database/errors';

/** A problem document (RFC 9457). `members` are its extensions. */
export function problemResponse(
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

/** The same after all sessions were in use. In seconds. */
const busyRetryAfter = '5';

/** The caller's mistake: the request cannot be done as it is. The message says what to change. */
export class RequestError extends Error {
  override readonly name: string = 'RequestError';
  constructor(
    readonly status: 400 | 401 | 403 | 404 | 409 | 411 | 413 | 415,
    readonly title: string,
    message: string,
    /** Extensions of the problem document. */
    readonly members: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}

/** What is wrong, and what to do. */
export interface Problem {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** Extensions of the problem document. */
  readonly members?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a handler's error means to its caller. */
export function toProblem(error: unknown): Problem {
  if (error instanceof RequestError) {
    const { status, title, message: detail, members } = error;
    return { status, title, detail, members };
  }
  if (error instanceof DatabaseBusyError)
    return {
      status: 503,
      title: 'The app is busy',
      detail: error.message,
      headers: { 'Retry-After': busyRetryAfter },
    };
  if (error instanceof DatabaseError && error.unavailable)
    return {
      status: 503,
      title: 'The database is not available',
      detail: error.message,
      headers: { 'Retry-After': unavailableRetryAfter },
    };
  if (error instanceof DatabaseError)
    return { status: 500, title: 'The database refused a statement', detail: error.message };
  if (error instanceof SettingsError) {
    const problems = error.problems.map(({ setting, message }) => `${setting}: ${message}`);
    return { status: 500, title: 'The app is not configured', detail: error.message, members: { problems } };
  }
  return {
    status: 500,
    title: 'The request failed',
    detail: 'An unexpected error; the log of this invocation has it in full.',
  };
}

/** Turns what a handler threw into an answer. */
export function toProblemResponse(error: unknown): HttpResponseInit {
  const { status, title, detail, members, headers } = toProblem(error);
  return problemResponse(status, title, detail, members, headers);
}
