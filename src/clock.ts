import { setTimeout as delay } from 'node:timers/promises';

/** Time as a run sees it. Passed in, so that tests move time instead of waiting. */
export interface Clock {
  /** Milliseconds since 1970-01-01 UTC. */
  now(): number;
  /** Waits `ms`; returns early, without an error, once the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    await delay(ms, undefined, signal ? { signal } : {}).catch((error: unknown) => {
      if (!signal?.aborted) throw error;
    });
  },
};

/** When a piece of work has to stop, and what can stop it earlier. */
export interface Deadline {
  readonly clock: Clock;
  /** Milliseconds since 1970-01-01 UTC after which nothing new is started. */
  readonly at: number;
  /** Aborted when the app shuts down. */
  readonly signal?: AbortSignal;
}

/** Why nothing new may be started, or undefined while it may. */
export function stopReason({ clock, at, signal }: Deadline): string | undefined {
  if (signal?.aborted) return 'the app is shutting down';
  if (clock.now() >= at) return 'its time budget is spent';
  return undefined;
}

/** A deadline `ms` from now. */
export function deadlineIn(clock: Clock, ms: number): Deadline {
  return { clock, at: clock.now() + ms };
}

/** Extends the deadline by `ms` for work that must finish; ignores shutdown. */
export function extended({ clock, at }: Deadline, ms: number): Deadline {
  return { clock, at: Math.max(clock.now(), at) + ms };
}

/** Whether something may still be started after a pause of `ms`. */
export function hasTimeFor(deadline: Deadline, ms: number): boolean {
  return stopReason({ ...deadline, at: deadline.at - ms }) === undefined;
}
