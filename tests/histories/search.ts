/** The search for a random history that breaks an invariant. */
import fc from 'fast-check';
import type { Job } from '../../src/jobs/catalogue';
import type { TestEnvironment } from '../support/environment';
import { complete, longerThanTheLock, type History } from './history';
import type { Step } from './steps';
import { few } from './world';

const maxSteps = 12;

/** Steps that would wait for a commit that is held back: the stand-in has one writer. */
const needsWriter = new Set<Step['do']>([
  ...(['setEnd', 'withdraw', 'deleteRequest'] as const),
  ...(['breakView', 'mendView', 'duplicate'] as const),
]);

class Command implements fc.AsyncCommand<History, History> {
  constructor(private readonly step: Step) {}

  check({ stopped, commitHeld, viewChanged }: History): boolean {
    const { do: action } = this.step;
    if (commitHeld && needsWriter.has(action)) return false;
    if (action === 'resume') return stopped > 0;
    if (action === 'mendView') return viewChanged;
    return !(viewChanged && (action === 'breakView' || action === 'duplicate'));
  }

  run(_: History, history: History): Promise<void> {
    return history.take(this.step);
  }
}

/** The statements with faults: they write, or decide what is written; the central one counts twice. */
const statements = {
  revocation: ['acquireLock', 'collectDueRevocations', 'revokeBatch', 'revokeBatch', 'finishRun'],
  notification: [
    ...['acquireLock', 'collectDueReminders', 'readDueReminders', 'checkLease'],
    ...['recordNotification', 'recordNotification', 'finishRun'],
  ],
} as const;

/** One error number stands for all: the fault matrix tries each of them, and what takes a second of real time. */
const faults = [
  ...(['paused', 'died', 'diedAfter', 'diedCommitting', 'lost', 'answerLost', 'deadlock', 'locked'] as const),
  ...(['committedLate', 'commitHeld', 'commitHeldAndLost'] as const),
] as const;

/** Faults that matter only with others are tried more often. */
const contended = ['committedLate', 'commitHeldAndLost', 'diedCommitting', 'paused'] as const;

/** New ends of grants, in minutes from the step: some due, some not. */
const newEnds = { revocation: [-90, -5, 5, 600], notification: [300, 2_000, 9_000, 30_000] } as const;

const is = <T extends string | number | true>(value: T): fc.Arbitrary<T> => fc.constant(value);
const grant = fc.nat({ max: 2 });

/** On a real server, whose clock and connections cannot be controlled, a process sleeps or dies. */
function runsOf({ kind }: Job, onStandIn: boolean): fc.Arbitrary<Step>[] {
  const met = {
    do: is('run'),
    at: fc.constantFrom(...statements[kind]),
    // The first record of a run is an empty trial; the next are the two due reminders.
    nth: fc.integer({ min: 1, max: kind === 'revocation' ? 1 : 3 }),
    fault: onStandIn
      ? fc.oneof(fc.constantFrom(...faults), fc.constantFrom(...contended))
      : fc.constantFrom('paused' as const, 'died' as const),
  };
  return [
    fc.record({ do: is('run') }),
    fc.record(met),
    fc.record(met),
    fc.record({ ...met, twice: is(true) }),
    fc.record({ do: is('resume') }),
    fc.record({ do: is('cancel') }),
  ];
}

const siteSteps = ({ kind }: Job): fc.Arbitrary<Step>[] => [
  fc.record({ do: is('setEnd'), grant, minutes: fc.constantFrom(...newEnds[kind]) }),
  fc.record({ do: is('withdraw'), grant }),
  fc.record({ do: is('deleteRequest'), grant }),
  fc.record({ do: is('changeSetting') }),
  fc.record({ do: is('duplicate'), grant }),
  fc.record({ do: is('breakView') }),
  fc.record({ do: is('mendView') }),
];

const timeSteps: readonly fc.Arbitrary<Step>[] = [
  fc.record({ do: is('clockBack'), minutes: fc.constantFrom(60, 1440) }),
  fc.record({ do: is('advance'), minutes: fc.constantFrom(1, longerThanTheLock, longerThanTheLock, 1440) }),
];

const mailSteps: readonly fc.Arbitrary<Step>[] = [
  fc.record({
    do: is('run'),
    at: is('send'),
    nth: fc.integer({ min: 1, max: 2 }),
    fault: fc.constantFrom('paused' as const, 'died' as const),
  }),
  fc.record({ do: is('remind'), grant }),
  fc.record({
    do: is('remind'),
    grant,
    at: fc.constantFrom('readNotificationHistory', 'recordReminder'),
    nth: is(1),
    fault: is('paused'),
  }),
  fc.record({
    do: is('mail'),
    fault: is('quotaUsedUp'),
    at: fc.integer({ min: 1, max: 3 }),
    times: is(10),
  }),
  fc.record({
    do: is('mail'),
    fault: fc.constantFrom('rejected', 'unavailable', 'throttled', 'lost', 'answerLost'),
    times: fc.integer({ min: 1, max: 4 }),
  }),
];

/**
 * Plays random histories.
 * @param runs how many
 * @throws Error with the shortest history found that breaks an invariant, as a test to paste
 */
export async function search(
  environment: TestEnvironment,
  job: Job,
  { seed, runs }: { readonly seed: number; readonly runs: number },
): Promise<void> {
  const start = few(job);
  const onStandIn = environment.standIn !== undefined;
  const steps = [
    ...runsOf(job, onStandIn),
    ...siteSteps(job),
    ...(onStandIn ? timeSteps : []),
    ...(job.kind === 'notification' ? mailSteps : []),
  ].map((step) => step.map((one) => new Command(one)));
  const histories = fc.commands(steps, { maxCommands: maxSteps, size: 'max', disableReplayLog: true });
  const property = fc.asyncProperty(histories, async (commands) => {
    await complete(environment, start, (history) =>
      fc.asyncModelRun(() => ({ model: history, real: history }), commands),
    );
  });
  const result = await fc.check(property, { seed, numRuns: runs });
  if (!result.failed) return;
  const { numRuns, numShrinks, errorInstance } = result;
  throw new Error(`History ${numRuns} of seed ${seed}, shrunk ${numShrinks} times: ${String(errorInstance)}`);
}
