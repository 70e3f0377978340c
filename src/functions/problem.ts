import type { HttpResponseInit } from '@azure/functions';
import { SettingsError } from '../config/settings';
import { DatabaseBusyError, DatabaseError } from '../database/errors';

/** The problems that an answer can tell of: a stable code, with its status and its title. */
const problems = {
  malformedParameter: [400, 'A parameter is unknown or malformed'],
  notSignedIn: [401, 'Sign in first'],
  otherSite: [403, 'Another site asked for this'],
  readOnly: [403, 'Your account may only read'],
  unknownJobType: [404, 'Unknown job type'],
  unknownRun: [404, 'Unknown run'],
  unknownPlatform: [404, 'Unknown platform'],
  unknownRequest: [404, 'Unknown request'],
  unknownPage: [404, 'There is no such page'],
  running: [409, 'The job is already running'],
  runEnded: [409, 'The run has ended'],
  bodyMissing: [411, 'The body did not arrive'],
  bodyTooLarge: [413, 'The body is too large'],
  unsupportedMediaType: [415, 'The media type of the body is not supported'],
  jobFailed: [500, 'The job failed'],
  statementRefused: [500, 'The database refused a statement'],
  notConfigured: [500, 'The app is not configured'],
  unexpected: [500, 'The request failed'],
  busy: [503, 'The app is busy'],
  databaseUnavailable: [503, 'The database is not available'],
} as const satisfies Readonly<Record<string, readonly [status: number, title: string]>>;
export type ProblemCode = keyof typeof problems;
export const problemCodes = Object.keys(problems) as ProblemCode[];

/** What is wrong, and what to do. */
export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  /** Extensions of the problem document. */
  readonly members?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** @param more its extensions, and headers of the answer */
export function problem(
  code: ProblemCode,
  detail: string,
  more: Pick<Problem, 'members' | 'headers'> = {},
): Problem {
  const [status, title] = problems[code];
  return { status, code, title, detail, ...more };
}

/** A problem document (RFC 9457). */
export function problemResponse({ headers, members, ...document }: Problem): HttpResponseInit {
  return {
    status: document.status,
    headers: { 'Content-Type': 'application/problem+json', ...headers },
    body: JSON.stringify({ ...document, ...members }),
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
    readonly code: ProblemCode,
    message: string,
    /** Extensions of the problem document. */
    readonly members: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}

/** What a handler's error means to its caller. */
export function toProblem(error: unknown): Problem {
  if (error instanceof RequestError) {
    const { code, message, members } = error;
    return problem(code, message, { members });
  }
  if (error instanceof DatabaseBusyError)
    return problem('busy', error.message, { headers: { 'Retry-After': busyRetryAfter } });
  if (error instanceof DatabaseError && error.unavailable)
    return problem('databaseUnavailable', error.message, {
      headers: { 'Retry-After': unavailableRetryAfter },
    });
  if (error instanceof DatabaseError) return problem('statementRefused', error.message);
  if (error instanceof SettingsError) {
    const wrong = error.problems.map(({ setting, message }) => `${setting}: ${message}`);
    return problem('notConfigured', error.message, { members: { problems: wrong } });
  }
  return problem('unexpected', 'An unexpected error; the log of this invocation has it in full.');
}

/** Turns what a handler threw into an answer. */
export function toProblemResponse(error: unknown): HttpResponseInit {
  return problemResponse(toProblem(error));
}
