import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SqlError } from '../src/database/errors';
import type { Session } from '../src/database/session';

/** A batch of a script was refused. The message names the script, the batch and its line, and what the server said. */
export class DeployError extends Error {
  override readonly name = 'DeployError';
}

/**
 * Applies the scripts of a directory in the order of their names, batch by batch. They are idempotent: what exists is
 * left as it is.
 * @param log told what the scripts print: what was done to each object
 * @throws DeployError, DatabaseError
 */
export async function deployScripts(
  session: Session,
  directory: string,
  log: (line: string) => void,
): Promise<void> {
  const scripts = readdirSync(directory)
    .filter((name) => name.endsWith('.sql'))
    .sort();
  for (const script of scripts) {
    log(script);
    const batches = splitBatches(readFileSync(join(directory, script), 'utf8'));
    for (const [index, batch] of batches.entries()) {
      try {
        await session.onPrint(
          (message) => log(`  ${message}`),
          () => session.query({ name: `batch ${index + 1} of ${script}`, sql: batch.sql }),
        );
      } catch (error) {
        if (!(error instanceof SqlError)) throw error;
        const line = batch.firstLine + (error.line ?? 1) - 1;
        throw new DeployError(
          `${script}, batch ${index + 1} of ${batches.length}, line ${line}: ${error.serverMessage} (SQL error ${error.number}). ` +
            'The batches before it are applied; mend the cause and run this again.',
          { cause: error },
        );
      }
    }
  }
}

/** Splits a script on lines that hold GO alone, as sqlcmd does; batches without a statement are left out. */
export function splitBatches(script: string): { sql: string; firstLine: number }[] {
  const batches: { sql: string; firstLine: number }[] = [];
  let lines: string[] = [];
  let firstLine = 1;
  for (const [index, line] of [...script.split(/\r?\n/), 'GO'].entries()) {
    if (!/^\s*GO\s*;?\s*$/i.test(line)) {
      lines.push(line);
      continue;
    }
    const sql = lines.join('\n');
    if (sql.replace(/--.*$/gm, '').trim() !== '') batches.push({ sql, firstLine });
    lines = [];
    firstLine = index + 2;
  }
  return batches;
}
