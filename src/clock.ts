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

/** How long a piece of work may go on, and what can end it earlier. */
export interface Limits {
  readonly clock: Clock;
  /** Milliseconds since 1970-01-01 UTC after which nothing new is started. */
  readonly endsAt: number;
  /** Aborted when the app shuts down. */
  readonly signal?: AbortSignal;
}

/** Why nothing new may be started, or undefined while it may. */
export function stopReason({ clock, endsAt, signal }: Limits): string | undefined {
  if (signal?.aborted) return 'the app is shutting down';
  if (clock.now() >= endsAt) return 'its time budget is spent';
  return undefined;
}

/** Limits that end `ms` from now. */
export function limitsFor(clock: Clock, ms: number): Limits {
  return { clock, endsAt: clock.now() + ms };
}

/** What has to be done all the same gets at least `ms` more, and no shutdown cuts it short. */
export function withGrace({ clock, endsAt }: Limits, ms: number): Limits {
  return { clock, endsAt: Math.max(clock.now(), endsAt) + ms };
}

/** Whether something may still be started after a pause of `ms`. */
export function hasTimeFor(limits: Limits, ms: number): boolean {
  return stopReason({ ...limits, endsAt: limits.endsAt - ms }) === undefined;
}
