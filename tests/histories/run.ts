/** A run of a job in this process, on a clock on which pauses pass at once. */
import type { TokenCredential } from '@azure/identity';
import { setTimeout as delay } from 'node:timers/promises';
import type { SqlServer } from '../../local/sqlServer';
import type { Clock } from '../../src/clock';
import { withoutSafetyStop, type Job } from '../../src/jobs/catalogue';
import type { RunResult } from '../../src/jobs/runJob';
import { createCredential, type Services } from '../../src/services';
import { newGuid, type RecordingTelemetry, type TestEnvironment } from '../support/environment';

/** The longest real time of a run. In ms. */
const longestWait = 60_000;

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

export interface RunOptions {
  /** In every mail. */
  readonly contactText: string;
  /** How far the app's clock has been set back. */
  readonly setBackMs: () => number;
  /** The server never answers: statements are given up after a moment. */
  readonly hangs: boolean;
}

/** Services for one run, on the clock that it shares with the database, where that can be set. */
export function servicesFor(
  environment: TestEnvironment,
  { contactText, setBackMs, hangs }: RunOptions,
): Services & { readonly telemetry: RecordingTelemetry } {
  const { standIn, settings } = environment;
  const credential = freshCredential(environment);
  return {
    ...environment.services(
      { email: { ...settings.email, contactText } },
      { credential, ...(hangs && { statementTimeoutMs: hangingTimeout }) },
    ),
    ...(standIn && { clock: new SharedClock(standIn, setBackMs) }),
  };
}

/** A run that throws, or that does not end, is a result. */
export type Result =
  RunResult | { readonly kind: 'error'; readonly error: unknown } | { readonly kind: 'hanging' };

/** Runs the job as over HTTP. */
export async function run(environment: TestEnvironment, job: Job, services: Services): Promise<Result> {
  const running = new AbortController();
  const result = await Promise.race([
    environment
      .run(job.kind === 'revocation' ? withoutSafetyStop(job) : job, services)
      .catch((error: unknown) => ({ kind: 'error', error }) as const),
    delay(longestWait, { kind: 'hanging' } as const, { signal: running.signal }),
  ]);
  running.abort();
  return result;
}
