import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { remembering } from '../../remembering';
import type { Compiled } from '../dialect/compile';
import type { SqlValue } from '../sqlTypes';
import { Catalogue } from './catalogue';
import { registerFunctions } from './functions';
import { toSqlError } from './sqliteErrors';

/** What is bound, by name without the `$`. */
export type Values = Readonly<Record<string, SqlValue>>;

/** Opens the file as every connection to it must. */
export function openSqlite(file: string): DatabaseSync {
  const sqlite = new DatabaseSync(file, { timeout: 0 });
  sqlite.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -16000; PRAGMA mmap_size = 1073741824`);
  return sqlite;
}

/** One session's connection to the SQLite file, with its catalogue. SQLite's errors come out as SqlError. */
export class Connection {
  readonly sqlite: DatabaseSync;
  readonly catalogue: Catalogue;
  private hasSnapshot = false;
  private readonly prepare = remembering((sql): StatementSync => {
    const statement = this.sqlite.prepare(sql);
    statement.setReadBigInts(true);
    statement.setReturnArrays(true);
    statement.setAllowUnknownNamedParameters(true);
    return statement;
  });

  constructor(
    private readonly file: string,
    epoch: { value: number },
  ) {
    this.sqlite = openSqlite(file);
    this.catalogue = new Catalogue(this.sqlite, epoch);
    registerFunctions(this.sqlite);
  }

  private mapped<T>(compiled: Compiled, verb: string, body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw toSqlError(error, compiled.target, verb, this.catalogue);
    }
  }

  /** The rows, one by one as they are read. */
  rows(compiled: Compiled, values: Values): Iterator<SqlValue[]> {
    const start = () => this.prepare(compiled.sql).iterate(values) as unknown as Iterator<SqlValue[]>;
    const iterator = this.mapped(compiled, 'SELECT', start);
    return {
      next: () => this.mapped(compiled, 'SELECT', () => iterator.next()),
      return: () => iterator.return?.() ?? { done: true, value: undefined },
    };
  }

  /** The value of a query of one row and column. */
  value(compiled: Compiled, values: Values): SqlValue {
    const get = () => this.prepare(compiled.sql).get(values) as unknown as SqlValue[] | undefined;
    return this.mapped(compiled, 'SELECT', get)?.[0] ?? null;
  }

  /** INSERT, UPDATE, DELETE: how many rows were affected. */
  write(compiled: Compiled, values: Values, verb: string): number {
    return this.mapped(compiled, verb, () => Number(this.prepare(compiled.sql).run(values).changes));
  }

  /** SQLite's plan, a line per step. */
  plan(compiled: Compiled): string[] {
    const steps = this.sqlite.prepare(`EXPLAIN QUERY PLAN ${compiled.sql}`).all();
    return steps.map(({ detail }) => String(detail));
  }

  exec(sql: string): void {
    this.sqlite.exec(sql);
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

  close(): void {
    this.sqlite.close();
  }
}
