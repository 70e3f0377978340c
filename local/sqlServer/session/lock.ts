/** The request was cancelled, or its connection closed. */
export class Cancelled extends Error {}

/** SQLite has one writer: sessions take turns, first come first served, and a waiting one can give up. */
export class WriterLock {
  private holder: object | undefined;
  private readonly waiting: { owner: object; grant: () => void }[] = [];
  private readonly watchers: (() => void)[] = [];

  /** Resolves when the next session begins to wait. */
  contended(): Promise<void> {
    return new Promise((resolve) => this.watchers.push(resolve));
  }

  /** `onWait` is called if others come first. Throws Cancelled when the signal comes first. */
  async acquire(owner: object, signal: AbortSignal, onWait: () => void): Promise<void> {
    if (signal.aborted) throw new Cancelled();
    if (this.holder === undefined) {
      this.holder = owner;
      return;
    }
    onWait();
    await new Promise<void>((resolve, reject) => {
      const entry = { owner, grant: resolve };
      this.waiting.push(entry);
      for (const watcher of this.watchers.splice(0)) watcher();
      signal.addEventListener('abort', () => {
        const at = this.waiting.indexOf(entry);
        if (at < 0) return;
        this.waiting.splice(at, 1);
        reject(new Cancelled());
      });
    });
  }

  release(owner: object): void {
    if (this.holder !== owner) return;
    const next = this.waiting.shift();
    this.holder = next?.owner;
    next?.grant();
  }
}
