import { setTimeout as delay } from 'node:timers/promises';

/** Time as a run sees it. Passed in, so that tests move time instead of waiting. */
export interface Clock {
  /** The wall clock, to be shown: milliseconds since 1970-01-01 UTC. It may be set back; measure spans by elapsed(). */
  now(): number;
  /** Milliseconds since an arbitrary moment; never runs backwards. */
  elapsed(): number;
  /** Waits `ms`; returns early, without an error, once the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  async sleep(ms, signal) {
    await delay(ms, undefined, signal ? { signal } : {}).catch((error: unknown) => {
      if (!signal?.aborted) throw error;
    });
  },
};

/**
 * The steps in which the app ends its runs when it is stopped. The host gives it 5 s ("Azure Functions Node.js developer
 * guide", appTerminate), so that a run's row is finished within 4 s, whatever hangs.
 */
export interface Shutdown {
  /** Aborted at once: no new work starts. */
  readonly signal: AbortSignal;
  /** Aborted after 2 s: work under way is no longer awaited, except records of what was sent. */
  readonly abandon: AbortSignal;
  /** Aborted after 3 s: nor are those; the rest of the time is for the run's row. */
  readonly abandonRecords: AbortSignal;
}

/** A deadline and abort signals. */
export interface Deadline extends Partial<Shutdown> {
  readonly clock: Clock;
  /** Aborted when the app is stopped: no more pauses. For work that must still finish. */
  readonly hurry?: AbortSignal;
  /** When no new work starts any more, by the clock's elapsed(). */
  readonly at: number;
}

/** @returns the steps, and what takes them */
export function createShutdown(): { readonly shutdown: Shutdown; readonly begin: () => void } {
  const [begun, abandon, abandonRecords] = [
    new AbortController(),
    new AbortController(),
    new AbortController(),
  ];
  return {
    shutdown: {
      signal: begun.signal,
      abandon: abandon.signal,
      abandonRecords: abandonRecords.signal,
    },
    begin() {
      begun.abort();
      setTimeout(() => abandon.abort(), 2_000).unref();
      setTimeout(() => abandonRecords.abort(), 3_000).unref();
    },
  };
}

/** Why a run stopped early. A stable code, kept in JobRun. */
export type StopReason = 'shutdown' | 'time' | 'throttled';

export const stopWords: Readonly<Record<StopReason, string>> = {
  shutdown: 'the app is shutting down',
  time: 'its time budget is spent',
  throttled: 'the email service asks to wait longer than the run may',
};

/** Why no new work may start; undefined while it may. */
export function stopReason({ clock, at, signal }: Deadline): StopReason | undefined {
  if (signal?.aborted) return 'shutdown';
  if (clock.elapsed() >= at) return 'time';
  return undefined;
}

/** A deadline `ms` from now. */
export function deadlineIn(clock: Clock, ms: number): Deadline {
  return { clock, at: clock.elapsed() + ms };
}

/** Extends the deadline by `ms` for records of what was done; a shutdown allows them a second more. */
export function extendedForRecord(deadline: Deadline, ms: number): Deadline {
  const { abandonRecords } = deadline;
  return { ...extendedForRow(deadline, ms), ...(abandonRecords && { abandon: abandonRecords }) };
}

/** Extends the deadline by `ms` for the run's row, which is always finished. */
export function extendedForRow({ clock, at, signal }: Deadline, ms: number): Deadline {
  return { clock, at: Math.max(clock.elapsed(), at) + ms, ...(signal && { hurry: signal }) };
}

/** Whether new work may still start after a pause of `ms`. */
export function hasTimeFor(deadline: Deadline, ms: number): boolean {
  return stopReason({ ...deadline, at: deadline.at - ms }) === undefined;
}
