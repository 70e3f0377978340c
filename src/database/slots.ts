import { DatabaseBusyError } from './errors';

/** How long a caller waits for a slot, in ms: long enough for short work to finish. */
const waitMs = 5_000;

/** Lets a number of pieces of work run at once; others queue, first in, first out. */
export class Slots {
  #free: number;
  /** Hands the slot to the first in the queue. */
  readonly #waiting = new Set<() => void>();

  constructor(private readonly count: number) {
    this.#free = count;
  }

  /** @throws DatabaseBusyError if no slot becomes free in 5 seconds; the work was not begun */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#take();
    try {
      return await work();
    } finally {
      this.#give();
    }
  }

  async #take(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const turn = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(turn);
        reject(new DatabaseBusyError(this.count));
      }, waitMs);
      this.#waiting.add(turn);
    });
  }

  #give(): void {
    const [next] = this.#waiting;
    if (!next) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
