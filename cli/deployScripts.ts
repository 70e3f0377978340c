import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseError, SqlError, sqlErrors } from '../src/database/errors';
import type { Session } from '../src/database/session';
import { nVarChar } from '../src/database/statement';

/**
 * A batch of a script failed, or a view cannot be replaced. The message names the script, batch and line, the server's
 * error, and what to do.
 */
export class DeployError extends Error {
  override readonly name = 'DeployError';
}

/** Keeps the text of a view that is about to be replaced, and returns where. */
export type KeepReplacedView = (view: string, definition: string) => string;

interface Batch {
  readonly sql: string;
  /** From 1, within the script. */
  readonly firstLine: number;
}

/** The numbered scripts of a directory, in order. Others, such as purge.sql, are run by hand. */
export function scriptsIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => /^\d\d_.*\.sql$/.test(name))
    .sort();
}

/**
 * Applies the numbered scripts of a directory in order, batch by batch. They are idempotent: what exists is left as it is,
 * including a view that differs from its script.
 * @param log receives what was done to each object, line by line
 * @param keepReplacedView if given, a view that differs is replaced after this has kept its text
 * @throws DeployError; DatabaseError, which is transient if the scripts can be applied again from the start
 */
export async function deployScripts(
  session: Session,
  directory: string,
  log: (line: string) => void,
  keepReplacedView?: KeepReplacedView,
): Promise<void> {
  for (const script of scriptsIn(directory)) {
    log(script);
    const batches = splitBatches(readFileSync(join(directory, script), 'utf8'));
    let viewChanged = false;
    for (const [index, batch] of batches.entries()) {
      const view = /^CREATE\s+OR\s+ALTER\s+VIEW\s+([\w.]+)/i.exec(firstStatement(batch.sql))?.[1];
      const name = `batch ${index + 1} of ${script}`;
      const indented = (line: string): void => log(`  ${line}`);
      try {
        if (view) {
          const source: ViewSource = { view, name, sql: batch.sql, refresh: viewChanged };
          viewChanged = (await applyView(session, source, indented, keepReplacedView)) || viewChanged;
        } else await session.onPrint(indented, () => session.query({ name, sql: batch.sql }));
      } catch (error) {
        if (error instanceof DatabaseError && error.transient) indented(`interrupted: ${error.message}`);
        if (!(error instanceof SqlError) || error.transient) throw error;
        const line = batch.firstLine + (error.line ?? 1) - 1;
        const advice =
          error.number === sqlErrors.lockTimeout
            ? 'another session holds a lock on the table: run this again at a quiet hour'
            : 'correct the cause and run this again';
        throw new DeployError(
          `${script}, batch ${index + 1} of ${batches.length}, line ${line}: ${error.serverError}. ` +
            `The batches before it are applied; ${advice}.`,
          { cause: error },
        );
      }
    }
  }
}

interface ViewSource {
  readonly view: string;
  readonly name: string;
  readonly sql: string;
  /** Apply it even if unchanged: the server keeps the columns of a view as they were when it was created. */
  readonly refresh: boolean;
}

/** @returns whether the view was created or changed */
async function applyView(
  session: Session,
  { view, name, sql, refresh }: ViewSource,
  log: (line: string) => void,
  keepReplacedView: KeepReplacedView | undefined,
): Promise<boolean> {
  const [{ Id: id, Definition: definition } = {}] = await session.query({
    name: 'readView',
    sql: 'SELECT OBJECT_ID(@view) AS Id, OBJECT_DEFINITION(OBJECT_ID(@view)) AS Definition;',
    parameters: { view: nVarChar(300, view) },
  });
  const apply = (): Promise<unknown> => session.query({ name, sql });
  if (id === null) {
    await apply();
    log(`view ${view}: created`);
    return true;
  }
  if (typeof definition === 'string' && comparableText(definition) === comparableText(sql)) {
    if (refresh) await apply();
    log(`view ${view}: exists, unchanged`);
    return false;
  }
  if (!keepReplacedView) {
    log(
      `view ${view}: differs from the script, left as it is (npm run db:deploy -- --replace-views replaces it)`,
    );
    return false;
  }
  if (typeof definition === 'string') {
    const kept = keepReplacedView(view, definition);
    await apply();
    log(`view ${view}: changed; its earlier text is in ${kept}`);
    return true;
  }
  throw new DeployError(
    `View ${view} differs from the script, and is not replaced: its text cannot be read, so it could not be kept. ` +
      'Is it encrypted? Drop it yourself, then run this again.',
  );
}

/** A batch without the comments before its first statement. */
const firstStatement = (sql: string): string => sql.replace(/^(?:--.*\n|\/\*[^]*?\*\/|\s)*/, '');

/**
 * The text of a view as it is compared: line ends and blanks before them do not count. SQL Server stores the whole batch,
 * comments included, but without OR ALTER, and with CREATE for ALTER.
 */
function comparableText(sql: string): string {
  const lines = sql.split('\n').map((line) => line.trimEnd());
  return lines
    .join('\n')
    .trim()
    .replace(/\b(?:CREATE(?:\s+OR\s+ALTER)?|ALTER)\s+VIEW\b/gi, 'CREATE VIEW');
}

/** Splits a script at lines that hold only GO, as sqlcmd does; batches without a statement are left out. */
export function splitBatches(script: string): Batch[] {
  const batches: Batch[] = [];
  let lines: string[] = [];
  let firstLine = 1;
  for (const [index, line] of [...script.split(/\r?\n/), 'GO'].entries()) {
    if (!/^\s*GO\s*(?:;\s*)?$/i.test(line)) {
      lines.push(line);
      continue;
    }
    const sql = lines.join('\n');
    if (sql.replace(/--.*/g, '').trim() !== '') batches.push({ sql, firstLine });
    lines = [];
    firstLine = index + 2;
  }
  return batches;
}
