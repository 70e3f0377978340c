/** Which of the calls that a fault could hit it hits. */
export interface Occurrence {
  /** The first call hit, counted from the order; 1 by default. */
  readonly at?: number;
  /** How many calls in a row are hit; 1 by default, Infinity for all from then on. */
  readonly times?: number;
}

/** The faults of a stand-in that are ordered and not used up. */
export class OrderedFaults<Fault extends Occurrence> {
  #ordered: { readonly fault: Fault; seen: number }[] = [];

  order(fault: Fault): void {
    this.#ordered.push({ fault, seen: 0 });
  }

  clear(): void {
    this.#ordered = [];
  }

  /** Counts a call for the faults that could hit it. @returns those that do, in the order in which they were ordered */
  take(couldHit: (fault: Fault) => boolean): Fault[] {
    const hits = this.#ordered.filter((entry) => {
      if (!couldHit(entry.fault)) return false;
      entry.seen += 1;
      return entry.seen >= (entry.fault.at ?? 1);
    });
    this.#ordered = this.#ordered.filter(({ fault: { at = 1, times = 1 }, seen }) => seen < at + times - 1);
    return hits.map(({ fault }) => fault);
  }
}
