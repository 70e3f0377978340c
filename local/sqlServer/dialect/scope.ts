import { invalidColumn, type Catalogue } from '../engine/catalogue';
import { notServed, sqlError } from '../errors';
import type { SqlType, SqlValue } from '../sqlTypes';

/** The last part of an object's name; `schema` only where written. A temporary table's name begins with #. */
export interface Name {
  readonly schema: string | undefined;
  readonly name: string;
}

export type Collation = 'NOCASE' | 'BINARY';

/** An expression in SQLite's dialect, with what T-SQL knows about it. */
export interface Emitted {
  readonly sql: string;
  readonly type: SqlType;
  /** Of a column or COLLATE; parameters and literals have none of their own and take the other side's. */
  readonly collation?: Collation;
  readonly explicitCollation?: boolean;
  /** A constant, known while compiling. */
  readonly literal?: SqlValue;
}

export interface NamedColumn extends Emitted {
  readonly name: string;
  readonly identity?: boolean;
}

export interface ScopeSource {
  readonly alias: string;
  readonly columns: readonly NamedColumn[];
}

export interface EmittedQuery {
  readonly sql: string;
  readonly columns: readonly NamedColumn[];
}

/** What a statement is compiled for. */
export interface CompileContext {
  readonly catalogue: Catalogue;
  readonly variables: ReadonlyMap<string, SqlType>;
  /**
   * The statement waited for its turn to write: what it reads, except the rows that it changes, comes from the snapshot
   * taken when it began.
   */
  readonly waited: boolean;
}

/** Where the tables of a statement are read: see Connection.beginWithSnapshot. */
export type ReadFrom = 'main' | 'snapshot';

/** The compiling of one statement: its context, and what it turns out to need. */
export class Emission {
  /** What is bound at execution, without the `$`, in the order of first use. */
  readonly bindings = new Set<string>();
  readonly readFrom: ReadFrom;

  constructor(readonly context: CompileContext) {
    this.readFrom = context.waited ? 'snapshot' : 'main';
  }

  bind(name: string): string {
    this.bindings.add(name);
    return `$${name}`;
  }
}

/** The names that an expression can see: a query's sources, then those of the queries around it. */
export class Scope {
  readonly sources: ScopeSource[] = [];
  /** In a grouped query: the SQL of what may be used outside aggregates. */
  groupKeys: Set<string> | undefined;
  inAggregate = false;

  constructor(
    readonly emission: Emission,
    readonly parent?: Scope | undefined,
  ) {}

  /** Throws SqlError 207, 4104, 40514. */
  resolve(parts: readonly string[]): NamedColumn {
    const name = parts.at(-1) ?? '';
    const qualifier = parts.at(-2)?.toLowerCase();
    const sources = this.sources.filter(
      ({ alias }) => qualifier === undefined || alias.toLowerCase() === qualifier,
    );
    const [found, second] = sources
      .flatMap(({ columns }) => columns)
      .filter((column) => column.name.toLowerCase() === name.toLowerCase());
    if (second !== undefined) throw notServed(`the ambiguous column ${name}`);
    if (found === undefined) {
      if (qualifier !== undefined && sources.length > 0) throw invalidColumn(name);
      if (this.parent !== undefined) return this.parent.resolve(parts);
      throw qualifier === undefined ? invalidColumn(name) : sqlError(4104, parts.join('.'));
    }
    if (this.groupKeys !== undefined && !this.inAggregate && !this.groupKeys.has(found.sql))
      throw notServed(`${parts.join('.')} outside GROUP BY and aggregates`);
    return found;
  }
}

/** An expression: it gives its SQL once the names around it are known. `column`: the parts of a column's name. */
export type Expr = ((scope: Scope) => Emitted) & { readonly column?: readonly string[] };

export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;
