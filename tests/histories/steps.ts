/** The steps of a history as commands of fast-check, and the search for a history that breaks an invariant. */
import fc from 'fast-check';
import { inspect } from 'node:util';
import type { Job } from '../../src/jobs/catalogue';
import type { TestEnvironment } from '../support/environment';
import { History, longerThanTheLock, mailFaults, runFaults, type Step } from './history';

/** The most steps of a history. */
const maxSteps = 12;

/** What decides whether a step makes sense. */
type Circumstances = Pick<History, 'stopped' | 'commitHeld' | 'viewChanged'>;

class Command implements fc.AsyncCommand<Circumstances, History> {
  constructor(private readonly step: Step) {}

  check({ stopped, commitHeld, viewChanged }: Circumstances): boolean {
    switch (this.step.do) {
      case 'resume':
        return stopped > 0;
      case 'mendView':
        return viewChanged && !commitHeld;
      case 'breakView':
      case 'duplicate':
        return !viewChanged && !commitHeld;
      // On the stand-in, which has one writer, the site would wait for the commit.
      case 'setEnd':
      case 'withdraw':
      case 'deleteRequest':
        return !commitHeld;
      default:
        return true;
    }
  }

  run(_: Circumstances, history: History): Promise<void> {
    return history.take(this.step);
  }

  toString(): string {
    return inspect({ ...this.step }, { breakLength: Infinity });
  }
}

/** The statements of a run that faults meet: those that write, once more for what the job is for, or that decide what is. */
const statements = {
  revocation: ['acquireLock', 'collectDueRevocations', 'revokeBatch', 'revokeBatch', 'finishRun'],
  notification: [
    'acquireLock',
    'collectDueReminders',
    'readDueReminders',
    'checkLease',
    'recordNotification',
    'recordNotification',
    'finishRun',
  ],
} as const;

/** Faults that need others to meet them are tried more often. */
const contended = ['committedLate', 'commitHeldAndLost', 'diedCommitting', 'paused'] as const;

/** New ends of grants, in minutes from the step: some that the jobs are waiting for, some that they leave alone. */
const newEnds = { revocation: [-90, -5, 5, 600], notification: [300, 2_000, 9_000, 30_000] } as const;

/** The steps that a history of a job can have; a real server's clock and connections are its own. */
function commandsOf({ kind }: Job, onStandIn: boolean): fc.Arbitrary<Command>[] {
  const is = <T extends string>(value: T): fc.Arbitrary<T> => fc.constant(value);
  const oneOf = <T extends object>(values: T): fc.Arbitrary<keyof T> =>
    fc.constantFrom(...(Object.keys(values) as (keyof T)[]));
  const grant = fc.nat({ max: 2 });
  const met = {
    do: is('run'),
    at: fc.constantFrom(...statements[kind]),
    // The first record of a run is its empty trial; then come the two reminders that are due.
    nth: fc.integer({ min: 1, max: kind === 'revocation' ? 1 : 3 }),
    fault: onStandIn
      ? fc.oneof(oneOf(runFaults), fc.constantFrom(...contended))
      : fc.constantFrom('paused' as const, 'died' as const),
  };
  const steps: fc.Arbitrary<Step>[] = [
    fc.record({ do: is('run') }),
    fc.record(met),
    fc.record(met),
    fc.record({ ...met, twice: fc.constant(true as const) }),
    fc.record({ do: is('resume') }),
    fc.record({ do: is('cancel') }),
    fc.record({ do: is('setEnd'), grant, minutes: fc.constantFrom(...newEnds[kind]) }),
    fc.record({ do: is('withdraw'), grant }),
    fc.record({ do: is('deleteRequest'), grant }),
    fc.record({ do: is('changeSetting') }),
    fc.record({ do: is('duplicate'), grant }),
    fc.record({ do: is('breakView') }),
    fc.record({ do: is('mendView') }),
  ];
  if (onStandIn)
    steps.push(
      fc.record({ do: is('clockBack'), minutes: fc.constantFrom(60, 1440) }),
      fc.record({
        do: is('advance'),
        minutes: fc.constantFrom(1, longerThanTheLock, longerThanTheLock, 1440),
      }),
    );
  if (kind === 'notification')
    steps.push(
      fc.record({ do: is('remind'), grant }),
      fc.record({
        do: is('remind'),
        grant,
        at: fc.constantFrom('readNotificationHistory', 'recordReminder'),
        nth: fc.constant(1),
        fault: is('paused'),
      }),
      fc.record({ do: is('quota'), sends: fc.nat({ max: 2 }) }),
      fc.record({ do: is('mails'), fault: oneOf(mailFaults), times: fc.integer({ min: 1, max: 4 }) }),
    );
  return steps.map((step) => step.map((one) => new Command(one)));
}

/** Lets a history happen and end. */
async function complete(
  environment: TestEnvironment,
  job: Job,
  happen: (history: History) => Promise<void>,
): Promise<void> {
  const history = await History.begin(environment, job);
  try {
    await happen(history);
    await history.end();
  } finally {
    await history.close();
  }
}

/**
 * Plays a history and, at its end, a clean run.
 * @throws Error that says what does not hold
 */
export function play(environment: TestEnvironment, job: Job, steps: readonly Step[]): Promise<void> {
  return complete(environment, job, async (history) => {
    for (const step of steps) await history.take(step);
  });
}

/**
 * Plays histories made at random.
 * @param runs how many
 * @throws Error with the shortest history found that breaks an invariant, as a test to paste
 */
export async function search(
  environment: TestEnvironment,
  job: Job,
  { seed, runs }: { readonly seed: number; readonly runs: number },
): Promise<void> {
  const histories = fc.commands(commandsOf(job, environment.standIn !== undefined), {
    maxCommands: maxSteps,
    size: 'max',
    disableReplayLog: true,
  });
  const property = fc.asyncProperty(histories, (commands) =>
    complete(environment, job, (history) =>
      fc.asyncModelRun(() => ({ model: history, real: history }), commands),
    ),
  );
  const { failed, counterexample, errorInstance, numRuns, numShrinks } = await fc.check(property, {
    seed,
    numRuns: runs,
  });
  if (!failed) return;
  // It prints the steps that were taken, and no others.
  const [steps] = counterexample as [{ toString(): string }];
  throw new Error(`${errorInstance instanceof Error ? errorInstance.message : String(errorInstance)}

Seed ${seed}, history ${numRuns}, shrunk ${numShrinks} times. As a test:

  test('…', () =>
    play(environment, job('${job.type}'), [
      ${String(steps)}
    ]));
`);
}
