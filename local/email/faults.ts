/** Which calls a fault hits. */
interface Target {
  /** 'send' (POST, the default) or 'status' (GET). */
  readonly on?: 'send' | 'status';
  /** The first call hit, counted from now among the calls it could hit; 1 if absent. */
  readonly at?: number;
  /** How many calls in a row are hit; 1 if absent, Infinity for all from then on. */
  readonly times?: number;
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

/** The faults that are ordered and not used up. */
export class Faults {
  #ordered: { readonly fault: EmailFault; seen: number }[] = [];

  order(fault: EmailFault): void {
    this.#ordered.push({ fault, seen: 0 });
  }

  clear(): void {
    this.#ordered = [];
  }

  /** Counts a call and gives the faults that hit it, in the order in which they were ordered. */
  take(on: 'send' | 'status', recipients: readonly string[]): EmailFault[] {
    const hits = this.#ordered.filter((entry) => {
      const { on: kind = 'send', recipient = '', at = 1 } = entry.fault;
      if (kind !== on || !recipients.some((address) => matches(recipient, address))) return false;
      entry.seen += 1;
      return entry.seen >= at;
    });
    this.#ordered = this.#ordered.filter(({ fault: { at = 1, times = 1 }, seen }) => seen < at + times - 1);
    return hits.map(({ fault }) => fault);
  }
}

/** @param recipient '': any */
function matches(recipient: string | RegExp, address: string): boolean {
  return typeof recipient === 'string' ? ['', address].includes(recipient) : address.search(recipient) >= 0;
}
