import { SqlError } from '../errors';

/** What shall go wrong, and when. */
export interface Fault {
  /**
   * `dropBefore`: the connection is lost before the statement runs. `dropAfter`: after it ran, before the answer.
   * `error`: answered with `number` instead of running. `delay`: it runs `delayMs` later. `hang`: no answer until the
   * client gives up. `refuseLogin`: logins are refused with `number` (18456 by default).
   */
  readonly kind: 'dropBefore' | 'dropAfter' | 'error' | 'delay' | 'hang' | 'refuseLogin';
  /** 1 (the default) is the next statement received after ordering, over all sessions. */
  readonly at?: number;
  /** Instead of `at`: the first statement whose text matches. */
  readonly match?: RegExp;
  /** How many statements (or logins) in a row, matches with `match`. 1 by default. */
  readonly times?: number;
  readonly number?: number;
  readonly message?: string;
  readonly delayMs?: number;
}

export class Faults {
  private orders: { fault: Fault; seen: number; left: number }[] = [];

  order(fault: Fault): void {
    this.orders.push({ fault, seen: 0, left: fault.times ?? 1 });
  }

  clear(): void {
    this.orders = [];
  }

  /** The fault for a statement that was just received. */
  statement(text: string): Fault | undefined {
    const due = this.orders.filter((order) => {
      const { kind, match, at } = order.fault;
      if (kind === 'refuseLogin') return false;
      order.seen++;
      return match === undefined ? order.seen >= (at ?? 1) : text.search(match) >= 0;
    });
    return this.take(due[0]);
  }

  /** The error for a login, where one is ordered. */
  login(): SqlError | undefined {
    const fault = this.take(this.orders.find((order) => order.fault.kind === 'refuseLogin'));
    return fault && new SqlError(fault.number ?? 18456, fault.message);
  }

  private take(order: (typeof this.orders)[number] | undefined): Fault | undefined {
    if (order === undefined) return undefined;
    if (--order.left === 0) this.orders = this.orders.filter((other) => other !== order);
    return order.fault;
  }
}
