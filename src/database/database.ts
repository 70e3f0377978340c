import type { TokenCredential } from '@azure/identity';
import type { Settings } from '../config/settings';
import { hasTimeFor, type Deadline } from '../clock';
import { AbandonedError, DatabaseError, DatabaseUnavailableError, StatementTimeoutError } from './errors';
import { Session } from './session';
import { Slots } from './slots';

/**
 * Pauses before work is tried again, in ms: "wait 5 seconds first, then longer, up to 60 seconds" (Microsoft,
 * "Troubleshoot transient connection errors in SQL Database"). Together more than the minute and more that a paused
 * serverless database takes to wake up.
 */
const retryDelaysMs = [5_000, 10_000, 20_000, 30_000, 60_000];

/** A fault after this long, in ms, is a new one: the pauses start again. */
const resetAfterMs = 60_000;

/**
 * The longest that one statement may take, in ms: if one that starts at the end of a run's time budget hangs, the run's
 * row is still finished on a new session before the functionTimeout of host.json (tests/jobs/timeBudgets.test.ts).
 */
export const defaultStatementTimeoutMs = 20_000;

/** A retry after a transient fault. */
export interface Retry {
  /** The number of the try that follows, from 2. */
  readonly number: number;
  /** The most tries. */
  readonly maxTries: number;
  /** Pause before it, in ms. */
  readonly delayMs: number;
  readonly error: DatabaseError;
}

export interface RetryOptions {
  /**
   * For commands at a terminal: until a session has been open, a fault that a wrong setting can cause is not retried.
   */
  readonly interactive?: boolean;
  /** Called before each pause. */
  readonly onRetry?: (retry: Retry) => void;
}

/**
 * The most sessions that a process opens, by purpose. Each purpose has its own queue, so that no reader delays a run, and
 * no search of the site's tables a page. Four of the eight for runs serve one run of each job, up to 9 minutes; the others
 * serve runs that find their job held, and cancels. Together they are fewer than the 30 workers of the smallest Azure SQL
 * database ("Resource limits for single databases", DTU model, Basic). maxConcurrentRequests in host.json leaves room for
 * those in the queues.
 */
const maxSessions = { run: 8, reminder: 4, read: 4, search: 4 };

/**
 * What a session is for. `run`: runs and cancels, which write. `reminder`: one that is sent by hand. `read`: states,
 * histories, single runs. `search`: what is due, in the site's own tables, which takes seconds where they are large.
 */
export type Purpose = keyof typeof maxSessions;

/** Access to the database, shared by the whole process. Holds no open connection. */
export class Database {
  readonly #slots: Readonly<Record<Purpose, Slots>> = {
    run: new Slots(maxSessions.run),
    reminder: new Slots(maxSessions.reminder),
    read: new Slots(maxSessions.read),
    search: new Slots(maxSessions.search),
  };

  constructor(
    private readonly settings: Settings['database'],
    private readonly credential: TokenCredential,
    private readonly statementTimeoutMs = defaultStatementTimeoutMs,
    private readonly retryOptions: RetryOptions = {},
  ) {}

  /**
   * Lends a connection to `body`: opened on first use, and always closed.
   * @throws DatabaseBusyError if all sessions of that purpose stay in use
   */
  connect<T>(purpose: Purpose, body: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    return this.#slots[purpose].run(() => this.#lend(body));
  }

  /**
   * Does one piece of work on a session, as DatabaseConnection.withRetries does.
   * @throws DatabaseBusyError, AbandonedError, DatabaseError
   */
  withSession<T>(purpose: Purpose, deadline: Deadline, work: (session: Session) => Promise<T>): Promise<T> {
    return this.connect(purpose, (connection) => connection.withRetries(deadline, work));
  }

  async #lend<T>(body: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const connection = new DatabaseConnection(
      () => Session.open(this.settings, this.credential, this.statementTimeoutMs),
      this.retryOptions,
    );
    try {
      return await body(connection);
    } finally {
      connection.close();
    }
  }
}

/** A connection that is opened again when it breaks. */
export class DatabaseConnection {
  #session: Promise<Session> | undefined;
  #wasOpen = false;

  constructor(
    private readonly open: () => Promise<Session>,
    private readonly retryOptions: RetryOptions = {},
  ) {}

  /**
   * Does a piece of work on a session, and again on a new one after a transient fault, until the deadline.
   * The work must be safe to repeat from its start, even when an earlier try was executed and its answer lost.
   * A new session is another object: temporary tables of the earlier one are gone.
   * A slow statement that times out is tried once more only: a third try is no faster than the second.
   * @throws AbandonedError once the app is being stopped and there is no time left to wait
   * @throws DatabaseError when the fault does not pass
   */
  async withRetries<T>(deadline: Deadline, work: (session: Session) => Promise<T>): Promise<T> {
    let tries = 0;
    let timedOut: string | undefined;
    for (;;) {
      const startedAt = deadline.clock.elapsed();
      const current = (this.#session ??= this.open());
      try {
        return await unlessAborted(deadline.abandon, async () => {
          const session = await current;
          this.#wasOpen = true;
          return work(session);
        });
      } catch (error) {
        const discarded = this.#discard(current);
        if (error instanceof AbandonedError) throw error;
        await discarded;
        if (!this.#mayPass(error)) throw error;
        if (error instanceof StatementTimeoutError && error.statement.slow) {
          if (error.statement.name === timedOut) throw error;
          timedOut = error.statement.name;
        }
        if (deadline.clock.elapsed() - startedAt > resetAfterMs) tries = 0;
        const delay = retryDelaysMs[tries++];
        if (delay === undefined || !hasTimeFor(deadline, delay)) throw error;
        this.retryOptions.onRetry?.({
          number: tries + 1,
          maxTries: retryDelaysMs.length + 1,
          delayMs: delay,
          error,
        });
        await deadline.clock.sleep(delay, deadline.signal ?? deadline.hurry);
      }
    }
  }

  #mayPass(error: unknown): error is DatabaseError {
    if (!(error instanceof DatabaseError) || !error.transient) return false;
    const settingSuspected = error instanceof DatabaseUnavailableError && error.settingSuspected;
    return !(settingSuspected && this.retryOptions.interactive && !this.#wasOpen);
  }

  close(): void {
    if (this.#session) void this.#discard(this.#session);
  }

  /** Another caller may have replaced the broken session already. */
  async #discard(broken: Promise<Session>): Promise<void> {
    if (this.#session === broken) this.#session = undefined;
    await broken.then(
      (session) => session.close(),
      () => undefined, // It never opened; its opener got the error.
    );
  }
}

/** @throws AbandonedError once the signal is aborted; the work goes on unobserved */
async function unlessAborted<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  if (!signal) return work();
  if (signal.aborted) throw new AbandonedError();
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(new AbandonedError());
  signal.addEventListener('abort', abort, { once: true });
  const result = work();
  result.catch(() => undefined); // After the abort nobody awaits it.
  try {
    return await Promise.race([result, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
