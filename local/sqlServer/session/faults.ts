import { setTimeout as delay } from 'node:timers/promises';
import { SqlError, sqlError } from '../errors';

/** A fault, and when it occurs. */
export interface Fault {
  /**
   * `dropBefore`: the connection is lost before the statement runs. `dropAfter`: after it ran, before the answer.
   * `error`: answered with `number` instead of running. `delay`: it runs `delayMs` later; `hold`: when it is released.
   * `hang`: no answer until the client gives up. `refuseLogin`: logins are refused with `number` (18456 by default).
   * `holdCommit`: it runs, and its commit comes late, after `delayMs` or when it is released; `answerLate`: when another
   * session waits to write. The client gets no answer before the commit, which comes even if the client has gone. A
   * statement that commits nothing is answered at once.
   */
  readonly kind: 'dropBefore' | 'dropAfter' | 'error' | 'delay' | 'hang' | 'refuseLogin' | Holding;
  /** 1 (the default) is the next statement, or login, after ordering, over all sessions. */
  readonly at?: number;
  /** Instead of `at`: the first statement whose text matches. */
  readonly match?: RegExp;
  /** How many statements (or logins) in a row, matches with `match`. 1 by default. */
  readonly times?: number;
  readonly number?: number;
  readonly message?: string;
  readonly delayMs?: number;
  /** Of a late commit: the client loses its connection as the commit is held back. */
  readonly drop?: boolean;
}

/** Faults that end when they are released. */
export type Holding = 'hold' | 'holdCommit' | 'answerLate';

/** A statement that is held before it runs, or its commit. */
export interface Held {
  /** Resolves when the statement, or its commit, is held back. */
  readonly held: Promise<void>;
  release(): void;
}

export class Order implements Held {
  seen = 0;
  left: number;
  private readonly holding = Promise.withResolvers<undefined>();
  private readonly released = Promise.withResolvers<undefined>();
  readonly held: Promise<void> = this.holding.promise;
  readonly release = (): void => this.released.resolve(undefined);

  constructor(readonly fault: Fault) {
    this.left = fault.times ?? 1;
  }

  /** Resolves when the statement, or its commit, may go on. */
  async hold(...others: Promise<void>[]): Promise<void> {
    const { delayMs } = this.fault;
    const ends = [this.released.promise, ...others];
    if (delayMs !== undefined) ends.push(delay(delayMs, undefined, { ref: false }));
    this.holding.resolve(undefined);
    await Promise.race(ends);
  }
}

/** The error that a fault orders. */
export function errorOf({ number, message }: Fault, otherwise: number): SqlError {
  const usual = sqlError(number ?? otherwise);
  return message === undefined ? usual : new SqlError(usual.number, message);
}

export class Faults {
  private orders: Order[] = [];
  private readonly taken = new Set<Order>();

  order(fault: Fault): Held {
    const order = new Order(fault);
    this.orders.push(order);
    return order;
  }

  /** Forgets all orders; what is held goes on. */
  clear(): void {
    for (const order of [...this.orders, ...this.taken]) order.release();
    this.orders = [];
    this.taken.clear();
  }

  /** The fault for a statement that was just received. */
  statement(text: string): Order | undefined {
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
    const [due] = this.orders.filter(
      (order) => order.fault.kind === 'refuseLogin' && ++order.seen >= (order.fault.at ?? 1),
    );
    const fault = this.take(due)?.fault;
    return fault && errorOf(fault, 18456);
  }

  private take(order: Order | undefined): Order | undefined {
    if (order === undefined) return undefined;
    this.taken.add(order);
    if (--order.left === 0) this.orders = this.orders.filter((other) => other !== order);
    return order;
  }
}
