import type { DatabaseSync } from 'node:sqlite';
import type { Collation, Name } from '../dialect/scope';
import { notServed, sqlError, type SqlError } from '../errors';
import { isInteger, type SqlType } from '../sqlTypes';

export interface Column {
  readonly name: string;
  readonly type: SqlType;
  readonly collation: Collation;
  readonly nullable: boolean;
  readonly identity: boolean;
}

/** Each is of one column, with which it is written. */
export type Constraint = { readonly name: string; readonly column: string } & (
  | { readonly kind: 'primary' | 'unique' }
  /** `table`: the table that is referred to; `references`: its column. */
  | { readonly kind: 'foreign'; readonly table: string; readonly references: string }
  | { readonly kind: 'check'; readonly text: string }
);

export interface Index {
  readonly name: string;
  readonly unique: boolean;
  readonly columns: readonly { readonly name: string; readonly descending: boolean }[];
  readonly include: readonly string[];
  readonly where: string | undefined;
}

export interface Table {
  readonly kind: 'table';
  readonly name: string;
  readonly columns: readonly Column[];
  readonly constraints: readonly Constraint[];
  readonly indexes: readonly Index[];
}

export interface View {
  readonly kind: 'view';
  readonly name: string;
  /** As they were when the view was defined. */
  readonly columns: readonly Column[];
  /** Its query. */
  readonly definition: string;
  /** The whole batch that defined it. */
  readonly module: string;
}

export interface Principal {
  readonly kind: 'principal';
  readonly name: string;
  /** As in sys.database_principals: role, external user, SQL user. */
  readonly type: 'R' | 'E' | 'S';
  /** Hexadecimal. */
  readonly sid?: string;
  readonly memberOf: readonly string[];
  /** What is granted, on an object (of a column: "UPDATE (Status)") or on the database. */
  readonly permissions: readonly { readonly permission: string; readonly on: string | undefined }[];
}

export type Entry = Table | View | Principal;
export type Stored<T extends Entry = Entry> = T & { readonly id: number };

/** Ids of constraints follow their table's id: room for this many per table. */
export const IDS_PER_OBJECT = 1000;

/** Tables and views share their names; principals have theirs for themselves. */
const keyOf = (kind: Entry['kind'], name: string): string =>
  `${kind === 'view' ? 'table' : kind} ${name.toLowerCase()}`;

/**
 * What the database holds, as one session sees it. It is kept as JSON in a table of the SQLite file, so DDL is part of
 * the transaction; temporary tables exist only in the session.
 */
export class Catalogue {
  private entries = new Map<string, Stored>();
  /** The session's temporary tables: put back when a transaction is rolled back. */
  temporaryTables: ReadonlyMap<string, Stored<Table>> = new Map();
  private loadedAt = -1;

  constructor(
    private readonly sqlite: DatabaseSync,
    /** Shared by all sessions; grows with every change that is not the session's own, and every rollback of one. */
    private readonly epoch: { value: number },
  ) {}

  static create(sqlite: DatabaseSync): void {
    sqlite.exec(
      `CREATE TABLE IF NOT EXISTS __catalogue (id INTEGER PRIMARY KEY, kind TEXT, name TEXT, body BLOB)`,
    );
  }

  changed(): void {
    this.epoch.value++;
  }

  all(): Stored[] {
    if (this.loadedAt !== this.epoch.value) {
      const rows = this.sqlite.prepare('SELECT id, json(body) AS body FROM __catalogue ORDER BY id').all();
      const stored = rows.map(({ id, body }): Stored => ({
        ...(JSON.parse(String(body)) as Entry),
        id: Number(id) * IDS_PER_OBJECT,
      }));
      this.entries = new Map(stored.map((entry) => [keyOf(entry.kind, entry.name), entry]));
      this.loadedAt = this.epoch.value;
    }
    return [...this.entries.values()];
  }

  tables(): Stored<Table>[] {
    return this.all().filter((entry) => entry.kind === 'table');
  }

  find<K extends Entry['kind']>(kind: K, name: string): Extract<Stored, { kind: K }> | undefined {
    this.all();
    const found = this.entries.get(keyOf(kind, name));
    return found?.kind === kind ? (found as Extract<Stored, { kind: K }>) : undefined;
  }

  object({ schema, name }: Name): Stored<Table> | Stored<View> | undefined {
    if (name.startsWith('#')) return this.temporaryTables.get(name.toLowerCase());
    if (schema !== undefined && schema.toLowerCase() !== 'dbo') return undefined;
    return this.find('table', name) ?? this.find('view', name);
  }

  /** Throws SqlError 208. */
  table(name: Name): Stored<Table> {
    const found = this.object(name);
    if (found?.kind !== 'table') throw invalidObject(name);
    return found;
  }

  /** Whether a table, a view or a constraint has that name. */
  isTaken(name: string): boolean {
    const constraints = this.tables().flatMap((table) => table.constraints);
    return this.object({ schema: undefined, name }) !== undefined || constraints.some(isNamed(name));
  }

  add(entry: Entry): void {
    if (entry.kind === 'table' && entry.name.startsWith('#')) {
      const own = [entry.name.toLowerCase(), { ...entry, id: -1 }] as const;
      this.temporaryTables = new Map([...this.temporaryTables, own]);
      return;
    }
    const insert = this.sqlite.prepare('INSERT INTO __catalogue (kind, name, body) VALUES (?, ?, jsonb(?))');
    insert.run(entry.kind, entry.name, JSON.stringify(entry));
    this.changed();
  }

  replace({ id, ...entry }: Stored): void {
    if (id < 0) throw notServed(`the change of a temporary table (${entry.name})`);
    const update = this.sqlite.prepare('UPDATE __catalogue SET body = jsonb(?) WHERE id = ?');
    update.run(JSON.stringify(entry), id / IDS_PER_OBJECT);
    this.changed();
  }

  remove({ id, name }: Stored): void {
    if (id < 0) {
      this.temporaryTables = new Map([...this.temporaryTables].filter(([key]) => key !== name.toLowerCase()));
      return;
    }
    this.sqlite.prepare('DELETE FROM __catalogue WHERE id = ?').run(id / IDS_PER_OBJECT);
    this.changed();
  }
}

export const isNamed =
  (name: string) =>
  (candidate: { readonly name: string }): boolean =>
    candidate.name.toLowerCase() === name.toLowerCase();

export const findColumn = (table: Table, name: string): Column | undefined =>
  table.columns.find(isNamed(name));

/** An integer primary key is SQLite's row id. */
export function integerKey({ constraints, columns }: Table): string | undefined {
  const key = constraints.find(({ kind }) => kind === 'primary')?.column;
  return columns.find(({ name, type }) => name === key && isInteger(type))?.name;
}

export const invalidObject = ({ schema, name }: Name): SqlError =>
  sqlError(208, schema === undefined ? name : `${schema}.${name}`);
export const invalidColumn = (name: string): SqlError => sqlError(207, name);
