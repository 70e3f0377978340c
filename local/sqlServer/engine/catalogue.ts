import type { DatabaseSync } from 'node:sqlite';
import type { Collation, ConstraintDefinition, IndexColumn, Name } from '../dialect/ast';
import { SqlError, batchError } from '../errors';
import { isInteger, type SqlType } from '../sqlTypes';

export interface Column {
  readonly name: string;
  readonly type: SqlType;
  readonly collation: Collation;
  readonly nullable: boolean;
  readonly identity: boolean;
  readonly default?: { readonly name: string; readonly text: string };
}

/** Every constraint has a name here. */
export type Constraint = ConstraintDefinition & { readonly name: string };

export interface Index {
  readonly name: string;
  readonly unique: boolean;
  readonly columns: readonly IndexColumn[];
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

/** `columns`: as they were when the view was defined; `definition`: its query; `module`: the whole batch. */
export interface View {
  readonly kind: 'view';
  readonly name: string;
  readonly columns: readonly Column[];
  readonly definition: string;
  readonly module: string;
}

/** Type as in sys.database_principals: R role, E external user, S SQL user. */
export interface Principal {
  readonly kind: 'principal';
  readonly name: string;
  readonly type: 'R' | 'E' | 'S';
  /** In hexadecimal, where one was given. */
  readonly sid?: string;
  readonly memberOf: readonly string[];
  readonly permissions: readonly {
    readonly state: 'GRANT' | 'DENY';
    readonly permission: string;
    readonly on: string | undefined;
  }[];
}

export type Entry = Table | View | Principal;
export type Stored<T extends Entry = Entry> = T & { readonly id: number };

/** Ids of constraints follow their table's id: room for this many per table. */
export const IDS_PER_OBJECT = 1000;

/**
 * What the database holds, as one session sees it. It is kept as JSON in a table of the SQLite file, so DDL is part of
 * the transaction; temporary tables live in the session alone.
 */
export class Catalogue {
  private objects = new Map<string, Stored>();
  private principals = new Map<string, Stored<Principal>>();
  private temporary = new Map<string, Stored<Table>>();
  private loadedAt = -1;

  constructor(
    private readonly sqlite: DatabaseSync,
    /** Shared by all sessions; grows with every change and every rollback. */
    private readonly epoch: { value: number },
  ) {}

  static create(sqlite: DatabaseSync): void {
    sqlite.exec(`CREATE TABLE IF NOT EXISTS __catalogue (id INTEGER PRIMARY KEY, body TEXT NOT NULL)`);
  }

  /** Changes whenever anything compiled before may be out of date. */
  get version(): number {
    return this.epoch.value;
  }

  changed(): void {
    this.epoch.value++;
  }

  private load(): void {
    if (this.loadedAt === this.epoch.value) return;
    this.objects = new Map();
    this.principals = new Map();
    for (const row of this.sqlite.prepare('SELECT id, body FROM __catalogue ORDER BY id').all()) {
      const stored = { ...(JSON.parse(String(row.body)) as Entry), id: Number(row.id) * IDS_PER_OBJECT };
      if (stored.kind === 'principal') this.principals.set(stored.name.toLowerCase(), stored);
      else this.objects.set(stored.name.toLowerCase(), stored);
    }
    this.loadedAt = this.epoch.value;
  }

  all(): Stored[] {
    this.load();
    return [...this.objects.values(), ...this.principals.values()];
  }

  tables(): Stored<Table>[] {
    return this.all().filter((entry) => entry.kind === 'table');
  }

  object(name: Name): Stored<Table> | Stored<View> | undefined {
    this.load();
    const key = name.name.toLowerCase();
    if (key.startsWith('#')) return this.temporary.get(key);
    if (name.schema !== undefined && name.schema.toLowerCase() !== 'dbo') return undefined;
    const found = this.objects.get(key);
    return found?.kind === 'principal' ? undefined : found;
  }

  /** Throws SqlError 208. */
  table(name: Name): Stored<Table> {
    const found = this.object(name);
    if (found?.kind !== 'table') throw invalidObject(name);
    return found;
  }

  principal(name: string): Stored<Principal> | undefined {
    this.load();
    return this.principals.get(name.toLowerCase());
  }

  /** The id for OBJECT_ID: of a table, a view or a constraint. */
  objectId(text: string, type?: string): number | null {
    const [name = '', schema] = text
      .split('.')
      .map((part) => part.replace(/^\[(.*)\]$/, '$1'))
      .reverse();
    const found = this.object({ name: name.startsWith('#') ? name : name, schema });
    const wanted = type?.trim().toUpperCase();
    if (found !== undefined && (wanted === undefined || wanted === (found.kind === 'table' ? 'U' : 'V')))
      return found.id;
    for (const table of this.tables()) {
      const constraint = constraintsOf(table).find(
        (candidate) => candidate.name.toLowerCase() === name.toLowerCase(),
      );
      if (constraint !== undefined && (wanted === undefined || wanted === constraint.type))
        return constraint.id;
    }
    return null;
  }

  add(entry: Entry): void {
    if (entry.kind === 'table' && entry.name.startsWith('#')) {
      this.temporary.set(entry.name.toLowerCase(), { ...entry, id: -(this.temporary.size + 1) });
    } else this.sqlite.prepare('INSERT INTO __catalogue (body) VALUES (?)').run(JSON.stringify(entry));
    this.changed();
  }

  replace({ id, ...entry }: Stored): void {
    if (id < 0) this.temporary.set(entry.name.toLowerCase(), { ...(entry as Table), id });
    else
      this.sqlite
        .prepare('UPDATE __catalogue SET body = ? WHERE id = ?')
        .run(JSON.stringify(entry), id / IDS_PER_OBJECT);
    this.changed();
  }

  remove(stored: Stored): void {
    if (stored.id < 0) this.temporary.delete(stored.name.toLowerCase());
    else this.sqlite.prepare('DELETE FROM __catalogue WHERE id = ?').run(stored.id / IDS_PER_OBJECT);
    this.changed();
  }

  /** The session's temporary tables, to be put back when a transaction or a procedure ends. */
  get temporaryTables(): ReadonlyMap<string, Stored<Table>> {
    return new Map(this.temporary);
  }

  restoreTemporary(tables: ReadonlyMap<string, Stored<Table>>): void {
    this.temporary = new Map(tables);
    this.changed();
  }
}

export interface CatalogueConstraint {
  readonly id: number;
  readonly name: string;
  /** As in sys.objects. */
  readonly type: 'PK' | 'UQ' | 'F' | 'C' | 'D';
  readonly definition:
    Constraint | { readonly kind: 'default'; readonly column: string; readonly text: string };
}

const CONSTRAINT_TYPES = { primary: 'PK', unique: 'UQ', foreign: 'F', check: 'C' } as const;

/** A table's constraints and defaults with their object ids. */
export function constraintsOf(table: Stored<Table>): CatalogueConstraint[] {
  const constraints = table.constraints.map((definition): Omit<CatalogueConstraint, 'id'> => ({
    name: definition.name,
    type: CONSTRAINT_TYPES[definition.kind],
    definition,
  }));
  for (const { name, default: value } of table.columns) {
    if (value)
      constraints.push({
        name: value.name,
        type: 'D',
        definition: { kind: 'default', column: name, text: value.text },
      });
  }
  return constraints.map((constraint, i) => ({ ...constraint, id: table.id + i + 1 }));
}

export function findColumn(table: Table, name: string): Column | undefined {
  return table.columns.find((column) => column.name.toLowerCase() === name.toLowerCase());
}

/** A primary key of one integer column is SQLite's row id. */
export function integerKey(table: Table): readonly string[] | undefined {
  const primary = table.constraints.find((constraint) => constraint.kind === 'primary');
  if (primary?.kind !== 'primary' || primary.columns.length !== 1) return undefined;
  const column = findColumn(table, primary.columns[0] ?? '');
  return column !== undefined && isInteger(column.type) ? [column.name] : undefined;
}

export const invalidObject = (name: Name): SqlError =>
  batchError(208, `Invalid object name '${name.schema === undefined ? '' : `${name.schema}.`}${name.name}'.`);
export const invalidColumn = (name: string): SqlError => batchError(207, `Invalid column name '${name}'.`);
