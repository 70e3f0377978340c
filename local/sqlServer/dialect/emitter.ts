import {
  findColumn,
  integerKey,
  invalidColumn,
  invalidObject,
  type Catalogue,
  type Column,
  type Table,
} from '../engine/catalogue';
import { systemViews } from '../engine/systemViews';
import { SqlError, batchError, notServed } from '../errors';
import { commonType, isString, NULL_TYPE, type SqlType } from '../sqlTypes';
import type { Body, Name, Output, Query, Select, SelectItem, Source, Statement } from './ast';
import { ExpressionEmitter, hasAggregate } from './expressions';
import { parseExpression, parseQuery } from './parser';
import { quote, quoteText, Scope, type Emitted, type NamedColumn, type ScopeSource } from './scope';

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
  readonly systemViews: readonly string[];
  /** The table that is written to. */
  readonly target: Table | undefined;
}

export interface EmitContext {
  readonly catalogue: Catalogue;
  readonly variables: ReadonlyMap<string, SqlType>;
  readonly identityInsert: string | undefined;
  /**
   * The statement waited for its turn to write: what it reads beside the rows that it changes comes from the snapshot
   * taken when it began.
   */
  readonly waited: boolean;
  readonly ignoreLockHints: boolean;
}

type TableReference = Extract<Source, { kind: 'table' }>;
type Dml = Extract<Statement, { kind: 'select' | 'insert' | 'update' | 'delete' }>;
interface EmittedQuery {
  readonly sql: string;
  readonly columns: readonly NamedColumn[];
}
/** `key`: the integer primary key. */
interface InsertTarget {
  readonly type: SqlType;
  readonly key?: boolean;
}
interface Cte {
  readonly columns: readonly string[];
  readonly query: Query;
}

/** Throws SqlError: 207, 208 and the like, 50000 for what is not served. */
export function compile(statement: Dml, context: EmitContext): Compiled {
  return new Emitter(context).statement(statement);
}

/** A condition or default over a table's own columns, for constraints and indexes: no parameters in it. */
export function compileExpression(text: string, table: Table, context: EmitContext): string {
  const emitter = new Emitter(context);
  const scope = new Scope();
  scope.sources.push(tableSource(table, table.name, false));
  const sql = emitter.predicate(parseExpression(text), scope);
  if (emitter.bindings.size > 0) throw notServed('a constraint or index on a value of the session', text);
  return sql;
}

function tableSource(table: Table, alias: string, qualified = true): ScopeSource {
  const columns = table.columns.map((column): NamedColumn => {
    const collation = isString(column.type) ? { collation: column.collation, native: column.collation } : {};
    const sql = qualified ? `${quote(alias)}.${quote(column.name)}` : quote(column.name);
    return { name: column.name, sql, type: column.type, identity: column.identity, ...collation };
  });
  return { alias, columns };
}

type Schema = 'main' | 'snapshot';

export const tableSql = (name: string, schema: Schema = 'main'): string =>
  `${name.startsWith('#') ? 'temp' : schema}.${quote(name)}`;

class Emitter extends ExpressionEmitter {
  private readonly systemViews = new Set<string>();
  private readonly ctes: Map<string, Cte>[] = [];
  private readonly active = new Set<unknown>();
  private readFrom: Schema;
  private target: Source | undefined;

  constructor(private readonly context: EmitContext) {
    super(context.variables);
    this.readFrom = context.waited ? 'snapshot' : 'main';
  }

  statement(statement: Dml): Compiled {
    switch (statement.kind) {
      case 'select': {
        const { sql, columns } = this.query(statement.query, undefined, true);
        return this.compiled(sql, columns, undefined);
      }
      case 'insert':
        return this.insert(statement);
      case 'update':
      case 'delete':
        return this.updateOrDelete(statement);
    }
  }

  private compiled(sql: string, columns: readonly NamedColumn[], target: Table | undefined): Compiled {
    const results = columns.map(({ name, type, identity }) => ({
      name,
      type: type.name === 'null' ? { name: 'int' as const } : type,
      identity: identity ?? false,
    }));
    return {
      sql,
      bindings: [...this.bindings],
      columns: results,
      systemViews: [...this.systemViews],
      target,
    };
  }

  // --- statements that write ----------------------------------------------------------------------------------------

  private insert(statement: Extract<Dml, { kind: 'insert' }>): Compiled {
    const table = this.context.catalogue.table(statement.table);
    const identityInsert = this.context.identityInsert === table.name.toLowerCase();
    const named = statement.columns?.map((name) => requireColumn(table, name));
    const columns = named ?? table.columns.filter((column) => !column.identity);
    if (!identityInsert && columns.some((column) => column.identity)) {
      throw batchError(
        544,
        `Cannot insert explicit value for identity column in table '${table.name}' when IDENTITY_INSERT is set to OFF.`,
      );
    }
    const rest = table.columns.filter((column) => !columns.includes(column) && !column.identity);
    for (const { name, nullable, default: value } of rest) {
      if (!nullable && !value) throw notNull(table.name, name, 'INSERT');
    }
    const [integer] = integerKey(table) ?? [];
    const isKey = ({ name }: Column): boolean => name === integer;
    const defaults = rest.filter((column) => column.default);
    const all = [...columns, ...defaults];
    const into = `INSERT INTO ${tableSql(table.name)} (${all.map(({ name }) => quote(name)).join(', ')})`;
    const returning = this.output(statement.output, table, 'inserted');
    const done = (source: string): Compiled =>
      this.compiled(`${into} ${source}${returning.sql}`, returning.columns, table);
    const { source } = statement;
    const tail = defaults.map((column) => this.defaultOf(column));
    if ('body' in source) {
      const { sql, columns: selected } = this.query(
        source,
        undefined,
        true,
        columns.map((column) => ({ type: column.type, key: isKey(column) })),
      );
      if (selected.length !== columns.length) {
        const fewer = selected.length < columns.length;
        throw batchError(
          fewer ? 120 : 121,
          `The select list for the INSERT statement contains ${fewer ? 'fewer' : 'more'} items than the insert list.`,
        );
      }
      if (tail.length === 0) return done(sql);
      return done(`SELECT "__s".*, ${tail.join(', ')} FROM (${sql}) AS "__s"`);
    }
    const rows = source.map((row) => {
      if (row.length !== columns.length) {
        throw batchError(
          row.length < columns.length ? 109 : 110,
          'The number of values does not match the number of columns of the INSERT.',
        );
      }
      const cells = row.map((cell, i) => {
        const column = columns[i];
        if (column === undefined) throw new Error('row and columns differ');
        return cell === undefined
          ? this.defaultOf(column)
          : this.assign(this.value(cell, new Scope()), column, table, isKey(column));
      });
      return `(${[...cells, ...tail].join(', ')})`;
    });
    return done(`VALUES ${rows.join(', ')}`);
  }

  private defaultOf(column: Column): string {
    if (!column.default) return 'NULL';
    return this.convertTo(this.value(parseExpression(column.default.text), new Scope()), column.type, {
      assign: true,
    }).sql;
  }

  private assign(value: Emitted, column: Column, table: Table, key: boolean): string {
    if (!column.nullable && value.literal === null) throw notNull(table.name, column.name, 'INSERT');
    return this.into(value, { type: column.type, key }).sql;
  }

  /** SQLite would number the row itself where its integer key is NULL: text makes it refuse. */
  private into(value: Emitted, { type, key = false }: InsertTarget): Emitted {
    const converted = this.convertTo(value, type, { assign: true });
    return key && typeof converted.literal !== 'bigint'
      ? { type, sql: `ifnull(${converted.sql}, 'NULL')` }
      : converted;
  }

  private updateOrDelete(statement: Extract<Dml, { kind: 'update' | 'delete' }>): Compiled {
    const { kind, from, top, where, set, target } = statement;
    const scope = new Scope();
    const aliased = from === undefined ? undefined : findTable(from, target);
    this.target = aliased;
    const fromSql = from === undefined ? undefined : this.source(from, scope);
    const table = this.context.catalogue.table(aliased?.name ?? target);
    const alias = aliased?.alias ?? table.name;
    if (fromSql === undefined) scope.sources.push(tableSource(table, table.name));
    const columns = set.map(({ column }) => requireColumn(table, column));
    const values = set.map(({ value }, i) => {
      const column = columns[i];
      if (column === undefined) throw new Error('set and columns differ');
      if (column.identity) throw batchError(8102, `Cannot update identity column '${column.name}'.`);
      return this.convertTo(this.value(value, scope), column.type, { assign: true }).sql;
    });
    const condition = where === undefined ? '' : ` WHERE ${this.predicate(where, scope)}`;
    const returning = this.output(statement.output, table, kind === 'update' ? 'inserted' : 'deleted');
    const limit = top === undefined ? '' : ` LIMIT ${this.value(top, new Scope()).sql}`;
    const name = tableSql(table.name);
    const rowid = `${quote(alias)}.rowid`;
    const rows = fromSql ?? name;
    let sql: string;
    if (fromSql === undefined && top === undefined) {
      const setSql = columns.map((column, i) => `${quote(column.name)} = ${values[i] ?? ''}`).join(', ');
      sql =
        kind === 'update' ? `UPDATE ${name} SET ${setSql}${condition}` : `DELETE FROM ${name}${condition}`;
    } else if (kind === 'delete') {
      sql = `DELETE FROM ${name} WHERE rowid IN (SELECT ${rowid} FROM ${rows}${condition}${limit})`;
    } else {
      const selected = values.map((value, i) => `${value} AS "v${i}"`).join(', ');
      const setSql = columns.map((column, i) => `${quote(column.name)} = "__s"."v${i}"`).join(', ');
      const source = `(SELECT ${rowid} AS "__id", ${selected} FROM ${rows}${condition}${limit}) AS "__s"`;
      sql = `UPDATE ${name} AS "__t" SET ${setSql} FROM ${source} WHERE "__t".rowid = "__s"."__id"`;
    }
    return this.compiled(sql + returning.sql, returning.columns, table);
  }

  private output(output: Output, table: Table, pseudo: 'inserted' | 'deleted'): EmittedQuery {
    if (output === undefined) return { sql: '', columns: [] };
    const scope = new Scope();
    scope.sources.push({ ...tableSource(table, table.name, false), alias: pseudo });
    const columns = this.items(output, scope);
    return { sql: ` RETURNING ${columns.map(({ sql }) => sql).join(', ')}`, columns };
  }

  // --- queries ------------------------------------------------------------------------------------------------------

  protected subquery(query: Query, scope: Scope, target?: SqlType): Emitted {
    const single =
      query.body.kind === 'select' && query.body.items.length === 1 ? query.body.items[0] : undefined;
    const exact = target !== undefined && single?.expr !== undefined ? [{ type: target }] : undefined;
    const { sql, columns } = this.query(query, scope, false, exact);
    const [first] = columns;
    return { sql, type: first?.type ?? NULL_TYPE, ...(first?.collation && { collation: first.collation }) };
  }

  /** `targets`: the columns that the query's own go into. */
  private query(
    query: Query,
    parent: Scope | undefined,
    top: boolean,
    targets?: readonly InsertTarget[],
  ): EmittedQuery {
    const { body, orderBy, offset, fetch } = query;
    if (
      !top &&
      orderBy.length > 0 &&
      offset === undefined &&
      !(body.kind === 'select' && body.top !== undefined)
    ) {
      throw batchError(
        1033,
        'The ORDER BY clause is invalid in views, inline functions, derived tables, subqueries, and common table expressions, unless TOP, OFFSET or FOR XML is also specified.',
      );
    }
    this.ctes.push(new Map(query.ctes.map((cte) => [cte.name.toLowerCase(), cte])));
    const limit = (): string => {
      const count = body.kind === 'select' ? (body.top ?? fetch) : fetch;
      const rows =
        count === undefined
          ? offset === undefined
            ? ''
            : ' LIMIT -1'
          : ` LIMIT ${this.value(count, new Scope()).sql}`;
      return rows + (offset === undefined ? '' : ` OFFSET ${this.value(offset, new Scope()).sql}`);
    };
    const result =
      body.kind === 'select'
        ? this.select(body, parent, orderBy, targets)
        : this.setOperation(body, parent, orderBy, targets);
    const sql = result.sql + limit();
    this.ctes.pop();
    return { ...result, sql };
  }

  private setOperation(
    body: Body,
    parent: Scope | undefined,
    orderBy: Query['orderBy'],
    targets?: readonly InsertTarget[],
  ): EmittedQuery {
    const branch = (side: Body): EmittedQuery => {
      if (side.kind === 'set') return this.setOperation(side, parent, [], targets);
      const select = this.select(side, parent, [], targets);
      return side.top === undefined
        ? select
        : { ...select, sql: `SELECT * FROM (${select.sql} LIMIT ${this.value(side.top, new Scope()).sql})` };
    };
    if (body.kind === 'select') return branch(body);
    const left = branch(body.left);
    const right = branch(body.right);
    if (left.columns.length !== right.columns.length) {
      throw batchError(
        205,
        'All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.',
      );
    }
    const columns = left.columns.map((column, i) => ({
      ...column,
      sql: quote(column.name),
      type: commonType(column.type, right.columns[i]?.type ?? NULL_TYPE),
    }));
    const scope = new Scope();
    scope.sources.push({ alias: '', columns });
    const order = orderBy.length === 0 ? '' : ` ORDER BY ${this.orderItems(orderBy, columns, scope)}`;
    return { sql: `${left.sql} ${body.op} ${right.sql}${order}`, columns };
  }

  private select(
    select: Select,
    parent: Scope | undefined,
    orderBy: Query['orderBy'],
    targets?: readonly InsertTarget[],
  ): EmittedQuery {
    const scope = new Scope(parent);
    const from = select.from === undefined ? '' : ` FROM ${this.source(select.from, scope)}`;
    const where = select.where === undefined ? '' : ` WHERE ${this.predicate(select.where, scope)}`;
    const keys = select.groupBy.map((expr) => this.value(expr, scope));
    const aggregated =
      keys.length > 0 ||
      [...select.items, { expr: select.having }, ...orderBy].some(({ expr }) => hasAggregate(expr));
    if (aggregated) scope.groupKeys = new Set(keys.map(({ sql }) => sql));
    const groupBy = keys.length === 0 ? '' : ` GROUP BY ${keys.map((key) => this.sortable(key)).join(', ')}`;
    const having = select.having === undefined ? '' : ` HAVING ${this.predicate(select.having, scope)}`;
    const items = this.items(select.items, scope);
    const columns = items.map((item, i) => {
      const target = targets?.[i];
      return target === undefined ? item : { ...item, ...this.into(item, target) };
    });
    const list = columns.map((column) => `${column.sql} AS ${quote(column.name)}`).join(', ');
    const order = orderBy.length === 0 ? '' : ` ORDER BY ${this.orderItems(orderBy, items, scope)}`;
    return {
      sql: `SELECT ${select.distinct ? 'DISTINCT ' : ''}${list}${from}${where}${groupBy}${having}${order}`,
      columns,
    };
  }

  /** ORDER BY knows the select list's names and positions as well. */
  private orderItems(orderBy: Query['orderBy'], items: readonly NamedColumn[], scope: Scope): string {
    return orderBy
      .map(({ expr, descending }) => {
        const suffix = descending ? ' DESC' : '';
        let item: NamedColumn | undefined;
        if (expr.kind === 'literal') item = items[Number(expr.value) - 1];
        if (expr.kind === 'column' && expr.parts.length === 1) {
          const [name = ''] = expr.parts;
          item = items.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase());
        }
        if (item === undefined) return this.orderBy([{ expr, descending }], scope);
        return this.sortable(item) + suffix;
      })
      .join(', ');
  }

  private items(items: readonly SelectItem[], scope: Scope): NamedColumn[] {
    return items.flatMap((item): NamedColumn[] => {
      if (item.expr === undefined) {
        const sources = item.qualifier === undefined ? scope.sources : [scope.source(item.qualifier)];
        return sources.flatMap((source) => source.columns);
      }
      const value = this.value(item.expr, scope);
      const name = item.alias ?? (item.expr.kind === 'column' ? (item.expr.parts.at(-1) ?? '') : '');
      return [{ ...value, name }];
    });
  }

  private source(source: Source, scope: Scope): string {
    switch (source.kind) {
      case 'join': {
        const left = this.source(source.left, scope);
        const right = this.source(source.right, scope);
        const on = source.on === undefined ? '' : ` ON ${this.predicate(source.on, scope)}`;
        return `${left} ${source.join} JOIN ${source.right.kind === 'join' ? `(${right})` : right}${on}`;
      }
      case 'derived':
        return this.derived(
          this.query(source.query, scope.parent, false),
          source.alias,
          source.columns,
          scope,
        );
      case 'values': {
        const rows = source.rows.map((row) => row.map((cell) => this.value(cell, scope)));
        const columns = source.columns.map((name, i): NamedColumn => {
          const type = rows.map((row) => row[i]?.type ?? NULL_TYPE).reduce(commonType);
          return { name, type, sql: quote(`column${i + 1}`) };
        });
        const values = rows.map((row) => `(${row.map(({ sql }) => sql).join(', ')})`).join(', ');
        const list = columns.map(({ name, sql }) => `${sql} AS ${quote(name)}`).join(', ');
        return this.derived(
          { sql: `SELECT ${list} FROM (VALUES ${values})`, columns },
          source.alias,
          undefined,
          scope,
        );
      }
      case 'openJson': {
        const json = this.value(source.json, scope).sql;
        const columns = source.columns.map(({ name, type, path }): NamedColumn => {
          const value =
            path === '$' ? 'value' : `json_extract(value, ${quoteText(path.replace(/^(lax|strict) /, ''))})`;
          return { ...this.convertTo({ sql: value, type: { name: 'nvarchar', length: 4000 } }, type), name };
        });
        const list = columns.map(({ name, sql }) => `${sql} AS ${quote(name)}`).join(', ');
        return this.derived(
          { sql: `SELECT ${list} FROM json_each(${json})`, columns },
          source.alias,
          undefined,
          scope,
        );
      }
      case 'table':
        return this.named(source, scope);
    }
  }

  private named(source: TableReference, scope: Scope): string {
    const { name, alias } = source;
    const schema = name.schema?.toLowerCase();
    if (schema === 'sys' || schema === 'information_schema') {
      const key = `${schema}.${name.name.toLowerCase()}`;
      const view = systemViews.get(key);
      if (view === undefined) throw notServed(`the catalogue view ${key}`);
      this.systemViews.add(key);
      const columns = view.columns.map(([column, type]): NamedColumn => {
        const collation = isString(type) ? { collation: 'NOCASE' as const, native: 'NOCASE' as const } : {};
        return { name: column, type, sql: `${quote(alias)}.${quote(column)}`, ...collation };
      });
      scope.sources.push({ alias, columns });
      return `temp.${quote(key)} AS ${quote(alias)}`;
    }
    const cte = schema === undefined ? this.findCte(name.name.toLowerCase()) : undefined;
    if (cte !== undefined) {
      if (this.active.has(cte)) throw notServed('a recursive common table expression');
      this.active.add(cte);
      const emitted = this.query(cte.query, undefined, false);
      this.active.delete(cte);
      return this.derived(emitted, alias, cte.columns.length === 0 ? undefined : cte.columns, scope);
    }
    const object = this.context.catalogue.object(name);
    if (object === undefined) throw invalidObject(name);
    const locks = source.locks && !this.context.ignoreLockHints;
    const readFrom = source === this.target || locks ? 'main' : this.readFrom;
    if (object.kind === 'view')
      return this.derived(this.view(object.name, object.definition, readFrom), alias, undefined, scope);
    scope.sources.push(tableSource(object, alias));
    return `${tableSql(object.name, readFrom)} AS ${quote(alias)}`;
  }

  private findCte(name: string): Cte | undefined {
    return this.ctes.findLast((ctes) => ctes.has(name))?.get(name);
  }

  /** Views are expanded in place: a table that has changed since shows as the error it is. */
  private view(name: string, definition: string, readFrom: Schema): EmittedQuery {
    const outer = this.ctes.splice(0);
    const outerReadFrom = this.readFrom;
    this.readFrom = readFrom;
    try {
      return this.query(parseQuery(definition), undefined, false);
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      const message = `Could not use view or function 'dbo.${name}' because of binding errors.`;
      throw Object.assign(error, { next: batchError(4413, message) });
    } finally {
      this.readFrom = outerReadFrom;
      this.ctes.push(...outer);
    }
  }

  private derived(
    query: EmittedQuery,
    alias: string,
    names: readonly string[] | undefined,
    scope: Scope,
  ): string {
    const columns = query.columns.map((column, i): NamedColumn => {
      const inner = names?.[i] ?? column.name;
      if (inner === '') {
        throw new SqlError(8155, `No column name was specified for column ${i + 1} of '${alias}'.`, {
          endsBatch: true,
        });
      }
      const { type, collation, native } = column;
      const collations = { ...(collation && { collation }), ...(native && { native }) };
      return { type, ...collations, name: inner, sql: `${quote(alias)}.${quote(column.name)}` };
    });
    scope.sources.push({ alias, columns });
    return `(${query.sql}) AS ${quote(alias)}`;
  }
}

function requireColumn(table: Table, name: string): Column {
  const column = findColumn(table, name);
  if (column === undefined) throw invalidColumn(name);
  return column;
}

export const notNull = (table: string, column: string, verb: string): SqlError =>
  new SqlError(
    515,
    `Cannot insert the value NULL into column '${column}', table 'access.dbo.${table}'; column does not allow nulls. ${verb} fails.`,
  );

/** UPDATE and DELETE name their target by its alias in FROM, or by the table itself. */
function findTable(source: Source, target: Name): TableReference | undefined {
  if (source.kind === 'join') return findTable(source.left, target) ?? findTable(source.right, target);
  if (source.kind !== 'table') return undefined;
  const wanted = target.name.toLowerCase();
  return source.alias.toLowerCase() === wanted || source.name.name.toLowerCase() === wanted
    ? source
    : undefined;
}
