import type { Table } from '../engine/catalogue';
import { notServed } from '../errors';
import { INT, type SqlType } from '../sqlTypes';
import { convertTo, predicate, value } from './operators';
import { parseExpression, tableSource } from './queryParser';
import { Emission, Scope, type CompileContext, type EmittedQuery, type Expr } from './scope';

export interface ResultColumn {
  readonly name: string;
  readonly type: SqlType;
  readonly identity: boolean;
}

/** One statement in SQLite's dialect. */
export interface Compiled {
  readonly sql: string;
  /** The `$names` that the SQL binds, without the `$`. */
  readonly bindings: readonly string[];
  readonly columns: readonly ResultColumn[];
  /** The table that is written to. */
  readonly target: Table | undefined;
}

/** Throws SqlError: 207, 208 and the like, 40514 for what is not served. */
export type Compile = (context: CompileContext) => Compiled;

/** A statement that is emitted as SQL with the columns that it yields. */
export const compiling =
  (emit: (emission: Emission) => EmittedQuery & { readonly target?: Table }): Compile =>
  (context) => {
    const emission = new Emission(context);
    const { sql, columns, target } = emit(emission);
    const results = columns.map(({ name, type, identity = false }) => ({
      name,
      type: type.name === 'null' ? INT : type,
      identity,
    }));
    return { sql, bindings: [...emission.bindings], columns: results, target };
  };

/** One row with one column: the value as `type`, or 1 where a condition is met. */
export const compileValue = (expr: Expr, typeIn: (context: CompileContext) => SqlType): Compile =>
  compiling((emission) => {
    const scope = new Scope(emission);
    const type = typeIn(emission.context);
    const isCondition = type.name === 'boolean';
    const sql = isCondition ? predicate(expr, scope) : convertTo(value(expr, scope), type).sql;
    return { sql: `SELECT ${sql} AS "v"`, columns: [{ name: 'v', sql, type }] };
  });

/** A condition over a table's own columns, for constraints and indexes: no parameters in it. */
export function compileOwn(text: string, table: Table, context: CompileContext): string {
  const scope = new Scope(new Emission(context));
  scope.sources.push(tableSource(table, undefined));
  const sql = predicate(parseExpression(text), scope);
  if (scope.emission.bindings.size > 0)
    throw notServed('a constraint or index on a value of the session', text);
  return sql;
}
