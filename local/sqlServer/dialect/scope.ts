import { SqlError, batchError, notServed } from '../errors';
import { invalidColumn } from '../engine/catalogue';
import type { SqlType, SqlValue } from '../sqlTypes';
import type { Collation } from './ast';

/** An expression in SQLite's dialect, with what T-SQL knows about it. */
export interface Emitted {
  readonly sql: string;
  readonly type: SqlType;
  /** Of a column or COLLATE; parameters and literals have none of their own and take the other side's. */
  readonly collation?: Collation;
  readonly explicitCollation?: boolean;
  /** The collation that SQLite would use by itself. */
  readonly native?: Collation;
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

/** The names that an expression can see: a query's sources, then those of the queries around it. */
export class Scope {
  readonly sources: ScopeSource[] = [];
  /** In a grouped query: the SQL of what may be used outside aggregates. */
  groupKeys: Set<string> | undefined;
  inAggregate = false;

  constructor(readonly parent?: Scope) {}

  /** Throws SqlError 207, 209, 4104, 8120. */
  resolve(parts: readonly string[]): NamedColumn {
    const name = parts.at(-1) ?? '';
    const qualifier = parts.at(-2)?.toLowerCase();
    const matches = this.sources
      .filter((source) => qualifier === undefined || source.alias.toLowerCase() === qualifier)
      .flatMap((source) =>
        source.columns.filter((column) => column.name.toLowerCase() === name.toLowerCase()),
      );
    const [found, second] = matches;
    if (second !== undefined) throw batchError(209, `Ambiguous column name '${name}'.`);
    if (found !== undefined) {
      this.checkGrouped(found.sql, parts);
      return found;
    }
    if (qualifier !== undefined && this.sources.some((source) => source.alias.toLowerCase() === qualifier))
      throw invalidColumn(name);
    if (this.parent !== undefined) return this.parent.resolve(parts);
    if (qualifier === undefined) throw invalidColumn(name);
    throw new SqlError(4104, `The multi-part identifier "${parts.join('.')}" could not be bound.`, {
      endsBatch: true,
    });
  }

  private checkGrouped(sql: string, parts: readonly string[]): void {
    if (this.groupKeys === undefined || this.inAggregate || this.groupKeys.has(sql)) return;
    throw batchError(
      8120,
      `Column '${parts.join('.')}' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.`,
    );
  }

  source(alias: string): ScopeSource {
    const found = this.sources.find((source) => source.alias.toLowerCase() === alias.toLowerCase());
    if (found === undefined) throw notServed(`the source ${alias} here`);
    return found;
  }
}

export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;
