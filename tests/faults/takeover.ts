/** A run that sleeps until its lock is stale, while another takes over. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { EmailClient } from '../../src/email/emailClient';
import type { Job } from '../../src/jobs/catalogue';
import { beforeEachStatement, type TestEnvironment } from '../support/environment';
import { findBreaches, findBreachesAtEnd, observe } from './invariants';
import { record, type Recording } from './matrix';
import {
  attempt,
  cleanBreaches,
  describeResult,
  run,
  servicesFor,
  standInOf,
  WatchedCredential,
  type Attempt,
} from './run';
import { createStart, type Start } from './start';

/** When the first run falls asleep: right before that step of its own. */
export interface Pause {
  /** `statement`: it is sent after the sleep; `send`: the message goes out after the sleep. */
  readonly on: 'statement' | 'send';
  /** From 1. */
  readonly nth: number;
  /** How far the second run is when the first one wakes up: it has ended, or is about to write or send. */
  readonly other: 'ended' | 'under way';
}

/** Every step of a recorded run after it has taken its lock, with the second run ended and under way. */
export function pausesOf({ statements, messages }: Recording): Pause[] {
  return (['ended', 'under way'] as const).flatMap((other) => [
    ...statements.slice(1).map((_, index) => ({ on: 'statement' as const, nth: index + 2, other })),
    ...messages.map((_, index) => ({ on: 'send' as const, nth: index + 1, other })),
  ]);
}

const longerThanTheLock = 11 * 60_000;

/** The steps at which a run writes, or decides to send. */
const decisive = new Set(['revokeBatch', 'checkLease', 'finishRun', 'send']);

/** The steps at which a run that has slept through its lock finds out; before a send it sees its time budget spent. */
const telling = new Set(['revokeBatch', 'checkLease', 'recordNotification']);

/**
 * Lets a run sleep at that step for 11 minutes, by the database's clock, while a second one takes over; then looks at
 * the invariants, and again after a clean run. Returns what did not hold, in words.
 */
export async function findTakeoverBreaches(
  environment: TestEnvironment,
  start: Start,
  { on, nth, other }: Pause,
): Promise<string[]> {
  const { job } = start;
  const standIn = standInOf(environment);
  await start.reset();
  const services = () => servicesFor(environment, new WatchedCredential(environment.environment));
  const first = services();
  const gate = new Gate();
  const runs = new AsyncLocalStorage<'first' | 'second'>();
  let second: Promise<Attempt['result']> | undefined;
  let awake = Promise.resolve();
  let steps = 0;
  let pausedAt = '';

  const sleep = async (): Promise<void> => {
    standIn.clock.advance(longerThanTheLock);
    second = runs.run('second', () => run(services(), job)).finally(() => gate.reach());
    await gate.reached;
  };
  /** Before a step of either run: the whole first run sleeps, with all that it does at the same time. */
  const before = async (step: Pause['on'], name: string): Promise<void> => {
    if (runs.getStore() === 'first') {
      if (step === on && ++steps === nth) {
        pausedAt = name;
        awake = sleep();
      }
      await awake;
    } else if (runs.getStore() === 'second' && other === 'under way' && decisive.has(name)) await gate.pass();
  };
  beforeEachStatement(({ name }) => before('statement', name));
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own `this` below
  const { send } = EmailClient.prototype;
  jest.spyOn(EmailClient.prototype, 'send').mockImplementation(async function (
    this: EmailClient,
    ...message: Parameters<EmailClient['send']>
  ) {
    await before('send', 'send');
    return send.call(this, ...message);
  });

  const breaches: string[] = [];
  const result = await runs.run('first', () => run(first, job));
  jest.restoreAllMocks();
  if (!second) return ['the run did not get as far as the pause'];
  breaches.push(...findBreaches(await observe(environment, start)));
  gate.open();
  const secondResult = await second;

  if (result.kind !== 'finished') breaches.push(`the first run is ${describeResult(result)}`);
  else if (result.run.message?.startsWith('Abandoned: ') !== true)
    breaches.push(`the first run is ${result.run.status}: ${result.run.message ?? ''}`);
  const lost = first.telemetry.exceptions.some(({ error }) => error.name === 'LockLostError');
  if (telling.has(pausedAt) && !lost) breaches.push('the first run did not say that it had lost its lock');
  breaches.push(
    ...cleanBreaches(secondResult, start).map((breach) => `second run: ${breach}`),
    ...findBreachesAtEnd(await observe(environment, start)),
  );
  const clean = await attempt(environment, job, new WatchedCredential(environment.environment));
  breaches.push(
    ...clean.breaches.map((breach) => `clean run: ${breach}`),
    ...cleanBreaches(clean.result, start),
    ...findBreachesAtEnd(await observe(environment, start)),
  );
  return breaches;
}

/** Where the second run waits for the first one to end. */
class Gate {
  reach: () => void = () => undefined;
  open: () => void = () => undefined;
  /** The second run is at the gate, or has ended. */
  readonly reached = new Promise<void>((resolve) => (this.reach = resolve));
  readonly #opened = new Promise<void>((resolve) => (this.open = resolve));
  async pass(): Promise<void> {
    this.reach();
    await this.#opened;
  }
}

/** Runs the pauses that are chosen of a job's run, and prints how many were run, how many held, and which did not. */
export async function runTakeovers(
  environment: TestEnvironment,
  job: Job,
  choose: (pauses: readonly Pause[]) => readonly Pause[],
): Promise<{ cases: number; broken: string[] }> {
  const start = await createStart(environment, job);
  const pauses = choose(pausesOf(await record(environment, start)));
  const broken: string[] = [];
  for (const pause of pauses) {
    const breaches = await findTakeoverBreaches(environment, start, pause);
    const where = `asleep before ${pause.on} ${pause.nth}, the other run ${pause.other}`;
    if (breaches.length > 0) broken.push(`${where}: ${breaches.slice(0, 4).join('; ')}`);
  }
  const held = pauses.length - broken.length;
  process.stdout.write(
    [`${job.type}: ${pauses.length} takeovers, ${held} held`, ...broken].join('\n  ') + '\n',
  );
  return { cases: pauses.length, broken };
}
