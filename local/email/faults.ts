import type { Occurrence } from '../orderedFaults';

/** Which calls a fault hits. */
interface Target extends Occurrence {
  /** 'send' (POST, the default) or 'status' (GET). */
  readonly on?: 'send' | 'status';
  /** Only calls for a message to this address, or to one that the expression matches. */
  readonly recipient?: string | RegExp;
}

interface ErrorFault {
  readonly kind: 'error';
  readonly status: number;
  /** The service's code; the usual one of that status if absent. */
  readonly code?: string;
  readonly message?: string;
  /** In seconds or a date, sent as Retry-After. */
  readonly retryAfter?: number | string;
}

/** Status of an accepted message: Running for that many reads, and then Succeeded or Failed. */
interface OutcomeFault {
  readonly kind: 'outcome';
  readonly runningReads?: number;
  readonly failure?: { readonly code: string; readonly message?: string };
}

/**
 * What happens to a call: it is answered with an error, never answered, cut before or after it took effect, or takes
 * effect and stalls after the headers of its answer.
 */
export type CallFault = ErrorFault | { readonly kind: 'hang' | 'dropBefore' | 'dropAfter' | 'stall' };

export type EmailFault = Target & (CallFault | OutcomeFault);

/** Whether a fault could hit a call about a message to these addresses. */
export const couldHit =
  (called: 'send' | 'status', recipients: readonly string[]) =>
  ({ on = 'send', recipient = '' }: EmailFault): boolean =>
    on === called && recipients.some((address) => matches(recipient, address));

/** @param recipient '': any */
function matches(recipient: string | RegExp, address: string): boolean {
  return typeof recipient === 'string' ? ['', address].includes(recipient) : address.search(recipient) >= 0;
}
