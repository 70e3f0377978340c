import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { notNull, type Compiled } from '../dialect/emitter';
import { SqlError, batchError } from '../errors';
import { isString, type SqlValue } from '../sqlTypes';
import { Catalogue, integerKey, type Table } from './catalogue';
import { registerFunctions } from './functions';
import { systemViews } from './systemViews';

const DATABASE = 'access';

/** Opens the file as every connection to it must. */
export function openSqlite(file: string): DatabaseSync {
  const sqlite = new DatabaseSync(file, { timeout: 0, defensive: false });
  sqlite.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -16000; PRAGMA mmap_size = 1073741824`);
  return sqlite;
}

/** One session's connection to the SQLite file, with its catalogue. SQLite's errors come out as SqlError. */
export class Connection {
  readonly sqlite: DatabaseSync;
  readonly catalogue: Catalogue;
  private readonly prepared = new Map<string, StatementSync>();
  private preparedAt = -1;
  private readonly filledAt = new Map<string, number>();

  private hasSnapshot = false;

  constructor(
    private readonly file: string,
    epoch: { value: number },
  ) {
    this.sqlite = openSqlite(file);
    this.catalogue = new Catalogue(this.sqlite, epoch);
    registerFunctions(this.sqlite, this.catalogue);
  }

  private prepare(sql: string): StatementSync {
    if (this.preparedAt !== this.catalogue.version || this.prepared.size > 500) this.prepared.clear();
    this.preparedAt = this.catalogue.version;
    let statement = this.prepared.get(sql);
    if (statement === undefined) {
      statement = this.sqlite.prepare(sql);
      statement.setReadBigInts(true);
      statement.setReturnArrays(true);
      this.prepared.set(sql, statement);
    }
    return statement;
  }

  private mapped<T>(compiled: Compiled, verb: string, body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw toSqlError(error, compiled.target, verb, this.catalogue);
    }
  }

  /** The rows, one by one as they are read. */
  rows(compiled: Compiled, values: Record<string, SQLInputValue>): Iterator<SqlValue[]> {
    for (const view of compiled.systemViews) this.fillSystemView(view);
    const iterator = this.mapped(compiled, 'SELECT', () =>
      this.prepare(compiled.sql).iterate(values),
    ) as unknown as Iterator<SqlValue[]>;
    return {
      next: () => this.mapped(compiled, 'SELECT', () => iterator.next()),
      return: () => iterator.return?.() ?? { done: true, value: undefined },
    };
  }

  /** INSERT, UPDATE, DELETE: the rows that OUTPUT yields, and how many were affected. */
  write(
    compiled: Compiled,
    values: Record<string, SQLInputValue>,
    verb: string,
  ): { rows: SqlValue[][]; count: number; identity: bigint } {
    for (const view of compiled.systemViews) this.fillSystemView(view);
    return this.mapped(compiled, verb, () => {
      const statement = this.prepare(compiled.sql);
      if (compiled.columns.length > 0) {
        const rows = statement.all(values) as unknown as SqlValue[][];
        return { rows, count: rows.length, identity: 0n };
      }
      const { changes, lastInsertRowid } = statement.run(values);
      return { rows: [], count: Number(changes), identity: BigInt(lastInsertRowid) };
    });
  }

  /** SQLite's plan, a line per step. */
  plan(compiled: Compiled): string[] {
    return this.sqlite
      .prepare(`EXPLAIN QUERY PLAN ${compiled.sql}`)
      .all()
      .map((row) => String(row.detail));
  }

  exec(sql: string): void {
    this.sqlite.exec(sql);
  }

  begin(): void {
    this.exec('BEGIN IMMEDIATE');
  }

  /**
   * Begins a transaction that keeps what is committed now readable as the schema `snapshot`: the same file, attached a
   * second time. `main` shows what is committed when the transaction first uses it.
   */
  beginWithSnapshot(): void {
    this.exec(`ATTACH '${this.file.replaceAll("'", "''")}' AS snapshot`);
    this.hasSnapshot = true;
    this.exec('BEGIN; SELECT 1 FROM snapshot.sqlite_schema LIMIT 1');
  }

  end(verb: 'COMMIT' | 'ROLLBACK'): void {
    this.exec(verb);
    if (this.hasSnapshot) this.exec('DETACH snapshot');
    this.hasSnapshot = false;
  }

  /** Catalogue views are temporary tables, filled anew when the catalogue has changed. */
  private fillSystemView(name: string): void {
    if (this.filledAt.get(name) === this.catalogue.version) return;
    const view = systemViews.get(name);
    if (view === undefined) throw new Error(`no catalogue view ${name}`);
    const columns = view.columns.map(
      ([column, type]) => `"${column}" ${isString(type) ? 'TEXT COLLATE NOCASE' : 'INTEGER'}`,
    );
    this.sqlite.exec(
      `CREATE TEMP TABLE IF NOT EXISTS "${name}" (${columns.join(', ')}); DELETE FROM temp."${name}"`,
    );
    const insert = this.sqlite.prepare(
      `INSERT INTO temp."${name}" VALUES (${columns.map(() => '?').join(', ')})`,
    );
    for (const row of view.rows(this.catalogue)) insert.run(...row);
    this.filledAt.set(name, this.catalogue.version);
  }

  /** The rollback of a transaction takes the temporary tables made in it along. */
  forgetSystemViews(): void {
    this.filledAt.clear();
  }

  close(): void {
    this.prepared.clear();
    this.sqlite.close();
  }
}

/** Not by class: a test's realm has an Error of its own. */
export const isSqliteError = (error: unknown): error is { errcode: number; message: string } =>
  typeof error === 'object' && error !== null && 'errcode' in error && 'message' in error;

/** SQLite's extended result codes as SQL Server's numbers. */
export function toSqlError(
  error: unknown,
  table: Table | undefined,
  verb: string,
  catalogue: Catalogue,
): unknown {
  if (!isSqliteError(error)) return error;
  const detail = error.message.slice(error.message.indexOf(': ') + 2);
  const name = table?.name ?? '';
  switch (error.errcode) {
    case 1555:
    case 2067:
      return duplicate(detail, table);
    case 1299: {
      const [, column = ''] = detail.split('.');
      return notNull(name, column, verb);
    }
    case 275: {
      const length = /^__length:(.*)$/.exec(detail)?.[1];
      if (length !== undefined) {
        return new SqlError(
          2628,
          `String or binary data would be truncated in table '${DATABASE}.dbo.${name}', column '${length}'. Truncated value: ''.`,
        );
      }
      return new SqlError(
        547,
        `The ${verb} statement conflicted with the CHECK constraint "${detail}". The conflict occurred in database "${DATABASE}", table "dbo.${name}".`,
      );
    }
    case 787:
      return foreignKey(table, verb, catalogue);
    case 1:
      if (/malformed JSON/i.test(error.message))
        return batchError(13609, 'JSON text is not properly formatted.');
      if (/integer overflow/i.test(error.message))
        return new SqlError(8115, 'Arithmetic overflow error converting expression to data type int.');
      break;
    case 20: // what the emitter puts for a NULL in an integer primary key
      return notNull(name, (table && integerKey(table)?.[0]) ?? '', verb);
  }
  return new SqlError(50000, `The SQL stand-in does not serve this statement: SQLite says ${error.message}`, {
    endsBatch: true,
  });
}

function duplicate(detail: string, table: Table | undefined): SqlError {
  const columns = detail.split(', ').map((column) => (column.split('.')[1] ?? '').toLowerCase());
  const isOf = (names: readonly string[]): boolean =>
    names.length === columns.length && names.every((column, i) => column.toLowerCase() === columns[i]);
  const constraint = table?.constraints.find(
    (candidate) => 'columns' in candidate && candidate.kind !== 'foreign' && isOf(candidate.columns),
  );
  const name = table?.name ?? '';
  if (constraint !== undefined) {
    const kind = constraint.kind === 'primary' ? 'PRIMARY' : 'UNIQUE';
    return new SqlError(
      2627,
      `Violation of ${kind} KEY constraint '${constraint.name}'. Cannot insert duplicate key in object 'dbo.${name}'.`,
    );
  }
  const index = table?.indexes.find(
    (candidate) => candidate.unique && isOf(candidate.columns.map((column) => column.name)),
  );
  return new SqlError(
    2601,
    `Cannot insert duplicate key row in object 'dbo.${name}' with unique index '${index?.name ?? ''}'.`,
  );
}

/** SQLite does not say which constraint: the first that it can be. */
function foreignKey(table: Table | undefined, verb: string, catalogue: Catalogue): SqlError {
  const own = table?.constraints.find((constraint) => constraint.kind === 'foreign');
  if (own?.kind === 'foreign' && verb !== 'DELETE') {
    return new SqlError(
      547,
      `The ${verb} statement conflicted with the FOREIGN KEY constraint "${own.name}". The conflict occurred in database "${DATABASE}", table "dbo.${own.table}", column '${own.references[0] ?? ''}'.`,
    );
  }
  for (const child of catalogue.tables()) {
    const key = child.constraints.find(
      (constraint) =>
        constraint.kind === 'foreign' && constraint.table.toLowerCase() === table?.name.toLowerCase(),
    );
    if (key?.kind !== 'foreign') continue;
    return new SqlError(
      547,
      `The ${verb} statement conflicted with the REFERENCE constraint "${key.name}". The conflict occurred in database "${DATABASE}", table "dbo.${child.name}", column '${key.columns[0] ?? ''}'.`,
    );
  }
  return new SqlError(547, `The ${verb} statement conflicted with a FOREIGN KEY constraint.`);
}
