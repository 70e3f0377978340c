import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const prefix = 'access-expiry-jobs-';

/**
 * Creates a directory with this process's id in its name, and removes this user's directories whose process is gone: those
 * of runs that were killed.
 * @param parent the system's directory for temporary files by default
 */
export function createTemporaryDirectory(parent = tmpdir()): string {
  for (const name of readdirSync(parent)) {
    const [, pid] = new RegExp(`^${prefix}(\\d+)-`).exec(name) ?? [];
    if (pid === undefined || isRunning(Number(pid))) continue;
    const directory = join(parent, name);
    // Absent: another process is removing it as well. On Windows, which has no user ids, every owner is 0.
    const owner = statSync(directory, { throwIfNoEntry: false })?.uid;
    if (owner === (process.getuid?.() ?? 0)) rmSync(directory, { recursive: true, force: true });
  }
  return mkdtempSync(join(parent, `${prefix}${process.pid}-`));
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is another user's.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
