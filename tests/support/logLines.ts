import { EventEmitter, once } from 'node:events';

/** The lines of a log. */
export class LogLines {
  readonly lines: string[] = [];
  readonly #arrivals = new EventEmitter();

  /** @param longestWait how long lines are waited for, in ms */
  constructor(private readonly longestWait: number) {}

  readonly add = (line: string): void => {
    this.lines.push(line);
    this.#arrivals.emit('line');
  };

  /** Waits for so many lines that match or contain the text. @returns them */
  readonly logged = async (pattern: RegExp | string, times = 1): Promise<string[]> => {
    const signal = AbortSignal.timeout(this.longestWait);
    const found = (): string[] =>
      this.lines.filter((line) =>
        typeof pattern === 'string' ? line.includes(pattern) : line.search(pattern) >= 0,
      );
    while (found().length < times)
      await once(this.#arrivals, 'line', { signal }).catch((cause: unknown) => {
        throw new Error(`${String(pattern)} was not logged ${times} times:\n${this.lines.join('\n')}`, {
          cause,
        });
      });
    return found();
  };
}
