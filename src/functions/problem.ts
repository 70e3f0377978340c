import type { HttpResponseInit } from '@azure/functions';
import { SettingsError } from '../config/settings';
import { DatabaseBusyError, DatabaseError } from '../database/errors';
import { LostPlaceError } from '../jobs/previewJob';

const noReminder = [409, 'No reminder can be sent'] as const;
const unusableAddress = [422, 'The address cannot be used'] as const;
const notAccepted = [502, 'The email service did not accept the message'] as const;
const stopped = [503, 'Nothing was sent'] as const;

/** The problems of the API: a stable code, with its status and its title. */
export const problems = {
  malformedParameter: [400, 'A parameter is unknown or malformed'],
  notSignedIn: [401, 'Sign in first'],
  otherSite: [403, 'Another site sent this request'],
  readOnly: [403, 'Your account may only read'],
  unknownJobType: [404, 'Unknown job type'],
  unknownRun: [404, 'Unknown run'],
  unknownPlatform: [404, 'Unknown platform'],
  unknownRequest: [404, 'Unknown request'],
  unknownPage: [404, 'There is no such page'],
  running: [409, 'The job is already running'],
  runEnded: [409, 'The run has ended'],
  justSent: noReminder,
  underWay: noReminder,
  covered: noReminder,
  ended: noReminder,
  duplicated: noReminder,
  endUnstable: noReminder,
  endMissing: noReminder,
  notGranted: noReminder,
  bodyMissing: [411, 'The body did not arrive'],
  bodyTooLarge: [413, 'The body is too large'],
  unsupportedMediaType: [415, 'The media type of the body is not supported'],
  addressMissing: unusableAddress,
  addressMalformed: unusableAddress,
  jobFailed: [500, 'The job failed'],
  statementRefused: [500, 'The database refused a statement'],
  notConfigured: [500, 'The app is not configured'],
  unrecorded: [500, 'The reminder was sent but not recorded'],
  unexpected: [500, 'The request failed'],
  rejected: notAccepted,
  unavailable: notAccepted,
  unknown: [502, 'It is not known whether the message was sent'],
  busy: [503, 'The app is busy'],
  databaseUnavailable: [503, 'The database is not available'],
  throttled: stopped,
  shutdown: stopped,
  time: stopped,
} as const satisfies Readonly<Record<string, readonly [status: number, title: string]>>;
export type ProblemCode = keyof typeof problems;

export const isProblemCode = (code: string): code is ProblemCode => Object.hasOwn(problems, code);

/** What is wrong, and what to do. */
export interface Problem {
  readonly status: number;
  readonly code: ProblemCode;
  readonly title: string;
  readonly detail: string;
  /** Extensions of the problem document. */
  readonly members: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
}

interface ProblemOptions {
  readonly members?: Problem['members'];
  /** When the caller may try again, in seconds. */
  readonly retryAfter?: number;
}

export function problem(
  code: ProblemCode,
  detail: string,
  { members = {}, retryAfter }: ProblemOptions = {},
): Problem {
  const [status, title] = problems[code];
  const headers = retryAfter === undefined ? {} : { 'Retry-After': String(retryAfter) };
  return { status, code, title, detail, members, headers };
}

/** A problem document (RFC 9457). */
export function problemResponse({ headers, members, ...document }: Problem): HttpResponseInit {
  return {
    status: document.status,
    headers: { 'Content-Type': 'application/problem+json', ...headers },
    body: JSON.stringify({ ...document, ...members }),
  };
}

/** The request cannot be done as it is. The message says what to change. */
export class RequestError extends Error {
  override readonly name: string = 'RequestError';
  constructor(
    readonly code: ProblemCode,
    message: string,
    readonly options: ProblemOptions = {},
  ) {
    super(message);
  }
}

/** The problem to report for what a handler threw. */
export function toProblem(error: unknown): Problem {
  if (error instanceof RequestError) return problem(error.code, error.message, error.options);
  if (error instanceof LostPlaceError) return problem('unknownRequest', error.message);
  if (error instanceof DatabaseBusyError) return problem('busy', error.message, { retryAfter: 5 });
  if (error instanceof DatabaseError && error.unavailable)
    return problem('databaseUnavailable', error.message, { retryAfter: 60 });
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
