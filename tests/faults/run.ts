/** A run of a job in this process, on a clock on which pauses pass at once, and the invariants of every run. */
import type { TokenCredential } from '@azure/identity';
import { setTimeout as delay } from 'node:timers/promises';
import type { SqlServer } from '../../local/sqlServer';
import type { Clock } from '../../src/clock';
import type { Settings } from '../../src/config/settings';
import { withoutSafetyStop, type Job } from '../../src/jobs/catalogue';
import { runJob, type RunResult } from '../../src/jobs/runJob';
import { createCredential, type Services } from '../../src/services';
import { newGuid, type RecordingTelemetry, type TestEnvironment } from '../support/environment';
import type { Subject } from './invariants';

/** The longest real time of a run. In ms. */
const longestRun = 60_000;

/** An HTTP answer has to come within 230 seconds ("Azure Functions HTTP trigger", limits). In ms. */
const longestBudget = 230_000;

/** When a statement is given up if the server never answers; a slow machine still answers within it. In ms. */
const hangingTimeout = 1_000;

/** One clock for the run and the database, on which a pause passes at once; the app's may have been set back. */
class SharedClock implements Clock {
  #elapsed = 0;
  #read: number;
  constructor(
    private readonly standIn: SqlServer,
    private readonly setBackMs: () => number,
  ) {
    this.#read = this.#shared();
  }
  #shared(): number {
    return this.standIn.clock.now().getTime();
  }
  now(): number {
    return this.#shared() - this.setBackMs();
  }
  /** Stands still where the database's clock is set back. */
  elapsed(): number {
    const now = this.#shared();
    this.#elapsed += Math.max(0, now - this.#read);
    this.#read = now;
    return this.#elapsed;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    const until = this.elapsed() + ms;
    // Lets others run, as a real pause would; they may have slept meanwhile.
    await delay(2);
    this.standIn.clock.advance(Math.max(0, until - this.elapsed()));
  }
}

/**
 * The app's identity, which is asked for every token anew, as if the last had expired: the library keeps the tokens of
 * each user-assigned identity in the process.
 */
const freshCredential = ({ environment }: TestEnvironment): TokenCredential => ({
  async getToken(scopes, options) {
    return (await createCredential(environment, newGuid())).getToken(scopes, options);
  },
});

export function standInOf({ standIn }: TestEnvironment): SqlServer {
  if (!standIn) throw new Error('The faults are those of the stand-in');
  return standIn;
}

export interface Attempt {
  readonly result:
    RunResult | { readonly kind: 'error'; readonly error: unknown } | { readonly kind: 'hanging' };
  /** In words. */
  readonly breaches: string[];
}

/**
 * Services for one run, on the clock that it shares with the database, where that can be set.
 * @param hangs a server never answers: calls are given up after a moment
 * @param setBackMs how far the app's clock has been set back
 */
export function servicesFor(
  environment: TestEnvironment,
  { hangs = false, settings = {}, setBackMs = () => 0 }: RunOptions = {},
): Services & { readonly telemetry: RecordingTelemetry } {
  const { standIn } = environment;
  const credential = freshCredential(environment);
  return {
    ...environment.services(settings, { credential, ...(hangs && { statementTimeout: hangingTimeout }) }),
    ...(standIn && { clock: new SharedClock(standIn, setBackMs) }),
  };
}

interface RunOptions {
  readonly hangs?: boolean;
  readonly settings?: Partial<Settings>;
  readonly setBackMs?: () => number;
}

/** Runs the job as over HTTP; a run that throws, or that does not end, is a result. */
export async function run(services: Services, job: Job): Promise<Attempt['result']> {
  const running = new AbortController();
  const result = await Promise.race([
    runJob(services, job.kind === 'revocation' ? withoutSafetyStop(job) : job, {
      trigger: 'http',
      log: () => undefined,
    }).catch((error: unknown) => ({ kind: 'error', error }) as const),
    delay(longestRun, { kind: 'hanging' } as const, { signal: running.signal }),
  ]);
  running.abort();
  return result;
}

/** Runs the job alone, and checks the invariants of every run. */
export async function attempt(
  environment: TestEnvironment,
  job: Job,
  options?: RunOptions,
): Promise<Attempt> {
  const standIn = standInOf(environment);
  const services = servicesFor(environment, options);
  const { clock, telemetry } = services;
  const breaches: string[] = [];
  const rejected = (reason: unknown) => breaches.push(`unhandled rejection: ${String(reason)}`);
  process.on('unhandledRejection', rejected);
  const startedAt = clock.elapsed();
  const result = await run(services, job);
  if (result.kind === 'hanging') breaches.push('the run did not end');
  const took = clock.elapsed() - startedAt;
  if (took > longestBudget) breaches.push(`the run took ${Math.round(took / 1000)} s by its clock`);
  if (telemetry.events.length !== 1) breaches.push(`${telemetry.events.length} JobRun events`);
  if (telemetry.flushes !== 1) breaches.push(`telemetry was flushed ${telemetry.flushes} times`);

  const { length: calls } = environment.email.requests;
  const { length: statements } = standIn.statements;
  for (let waited = 0; standIn.openSessions > 1 && waited < 10_000; waited += 10) await delay(10);
  if (standIn.openSessions > 1) breaches.push(`${standIn.openSessions - 1} sessions stay open`);
  await delay(5);
  if (environment.email.requests.length !== calls || standIn.statements.length !== statements)
    breaches.push('the run went on after its end');
  process.off('unhandledRejection', rejected);
  return { result, breaches };
}

/** Breaches of a run without faults that leaves nothing due. */
export function cleanBreaches(result: Attempt['result'], { job, grants }: Subject): string[] {
  if (result.kind === 'error') return [`the clean run was rejected with ${String(result.error)}`];
  if (result.kind !== 'finished') return [`the clean run is ${result.kind}`];
  const undeliverable = [...grants.values()].filter((grant) => grant.undeliverable).length;
  const revocation = job.kind === 'revocation';
  const failures =
    undeliverable > 0 ? String.raw`Failed: (\d with(out an| a malformed) email address(; |\. ))+` : '';
  const safetyLimit = revocation ? ' Run without the safety limit\\.' : '';
  const expected = new RegExp(`^${failures}Started by hand\\.${safetyLimit}$`);
  const { status, failedCount, message } = result.run;
  const asExpected =
    status === 'Completed' &&
    expected.test(message ?? '') &&
    failedCount === (revocation ? null : undeliverable);
  return asExpected
    ? []
    : [`the clean run is ${status}, Failed_Count ${failedCount ?? 'null'}: ${message ?? ''}`];
}
