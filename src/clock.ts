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

/** A deadline and an abort signal. */
export interface Deadline {
  readonly clock: Clock;
  /** When nothing new is started any more, by the clock's elapsed(). */
  readonly at: number;
  /** Aborted when the app shuts down. */
  readonly signal?: AbortSignal;
}

/** Why work stops before all is done. A stable code, which JobRun keeps. */
export type StopReason = 'shutdown' | 'time' | 'throttled';

export const stopWords: Readonly<Record<StopReason, string>> = {
  shutdown: 'the app is shutting down',
  time: 'its time budget is spent',
  throttled: 'the email service asks to wait longer than the run may',
};

/** Why nothing new may be started, or undefined while it may. */
export function stopReason({ clock, at, signal }: Deadline): StopReason | undefined {
  if (signal?.aborted) return 'shutdown';
  if (clock.elapsed() >= at) return 'time';
  return undefined;
}

/** A deadline `ms` from now. */
export function deadlineIn(clock: Clock, ms: number): Deadline {
  return { clock, at: clock.elapsed() + ms };
}

/** Extends the deadline by `ms` for work that must finish; ignores shutdown. */
export function extended({ clock, at }: Deadline, ms: number): Deadline {
  return { clock, at: Math.max(clock.elapsed(), at) + ms };
}

/** Whether something may still be started after a pause of `ms`. */
export function hasTimeFor(deadline: Deadline, ms: number): boolean {
  return stopReason({ ...deadline, at: deadline.at - ms }) === undefined;
}
