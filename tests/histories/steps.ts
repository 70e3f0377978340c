/** The events of a history, as data: what can be done, and what can go wrong. */
import { inspect } from 'node:util';
import type { CallFault } from '../../local/email/faults';
import type { Fault } from '../../local/sqlServer';
import type { Start } from './world';

/** Faults of a run at a statement; before a send, `paused` and `died`. */
export const runFaults = {
  /** Its process sleeps until it is resumed. */
  paused: undefined,
  /** Its process dies before the statement, after it, or while its commit is held back. */
  died: undefined,
  diedAfter: { kind: 'dropAfter' },
  diedCommitting: { kind: 'holdCommit', drop: true },
  /** It loses its connection before the statement, or with the answer. */
  lost: { kind: 'dropBefore' },
  answerLost: { kind: 'dropAfter' },
  deadlock: { kind: 'error', number: 1205 },
  busy: { kind: 'error', number: 40501 },
  unavailable: { kind: 'error', number: 40613 },
  noResources: { kind: 'error', number: 49918 },
  sessionLimit: { kind: 'error', number: 10928 },
  /** Another transaction holds a row. */
  locked: { kind: 'error', number: 1222 },
  /** It gets no answer. */
  hangs: { kind: 'hang' },
  /** It loses its connection, and what was executed is committed while its retry waits for that. */
  committedLate: { kind: 'answerLate', drop: true },
  /** What was executed is committed when it is resumed; until then it waits, or has lost its connection. */
  commitHeld: { kind: 'holdCommit' },
  commitHeldAndLost: { kind: 'holdCommit', drop: true },
} as const satisfies Record<string, Fault | undefined>;

/** What a run's next login meets. */
export const loginFaults = {
  refused: { number: 18456 },
  unavailable: { number: 40613 },
  /** The database is away from then on. */
  away: { number: 40613, times: Infinity },
  /** There is no token for it. */
  noToken: undefined,
} as const satisfies Record<string, Pick<Fault, 'number' | 'times'> | undefined>;

/** What can happen to a call of the email service. */
export const mailFaults = {
  rejected: { kind: 'error', status: 400 },
  unauthorized: { kind: 'error', status: 401 },
  throttled: { kind: 'error', status: 429, retryAfter: 7 },
  quotaUsedUp: { kind: 'error', status: 429, retryAfter: 3_600 },
  unavailable: { kind: 'error', status: 500 },
  hangs: { kind: 'hang' },
  lost: { kind: 'dropBefore' },
  answerLost: { kind: 'dropAfter' },
  bodyLost: { kind: 'stall' },
} as const satisfies Record<string, CallFault>;

export interface RunStep {
  readonly do: 'run';
  /** The nth statement of that name, or the nth `send`, meets the fault, if there is one. */
  readonly at?: string;
  readonly nth?: number;
  readonly fault?: keyof typeof runFaults;
  /** Of the login after the fault; without `at`, of the first one. */
  readonly login?: keyof typeof loginFaults;
  /** Another run begins at the same time. */
  readonly twice?: true;
}

export interface MailStep {
  readonly do: 'mail';
  readonly fault: keyof typeof mailFaults;
  /** Reads of a status; calls that send by default. */
  readonly on?: 'status';
  /** Of calls for a message to this address; all by default. */
  readonly recipient?: string;
  /** The first call that meets the fault, and how many do, one by default. */
  readonly at?: number;
  readonly times?: number;
}

/** An operator sends a grant's reminder by hand. */
export interface RemindStep extends Pick<RunStep, 'at' | 'nth'> {
  readonly do: 'remind';
  readonly grant: number;
  readonly fault?: 'paused';
}

/** A change of a grant or of the view by the site. */
export type Change =
  /** It ends so many minutes from now. A withdrawn one is granted again. */
  | { readonly do: 'setEnd'; readonly grant: number; readonly minutes: number }
  /** `deleteRequest` does nothing if a row refers to the request; `duplicate`: the view yields the grant twice. */
  | { readonly do: 'withdraw' | 'deleteRequest' | 'duplicate'; readonly grant: number }
  | { readonly do: 'breakView' }
  | { readonly do: 'mendView' };

export type Step =
  | RunStep
  | RemindStep
  | Change
  /** The first that was paused or held back continues. */
  | { readonly do: 'resume' }
  | { readonly do: 'cancel' }
  /** Mails have another text from then on. */
  | { readonly do: 'changeSetting' }
  /** Time passes, or the app's clock is set back. */
  | { readonly do: 'advance' | 'clockBack'; readonly minutes: number }
  | MailStep
  /** There is no token for the next call of the email service. */
  | { readonly do: 'refuseMailToken' };

/** A test to paste into histories.slow.test.ts. */
export function describeHistory({ name, job }: Omit<Start, 'grants'>, steps: readonly Step[]): string {
  const lines = steps.map((step) => `      ${inspect(step, { breakLength: Infinity })},\n`);
  return `As a test:

  test('…', () =>
    play(environment, ${name}(jobOf('${job.kind}', '${job.platform.name}')), [
${lines.join('')}    ]));
`;
}
