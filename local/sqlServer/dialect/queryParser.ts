import { remembering } from '../../remembering';
import { invalidObject, type Table } from '../engine/catalogue';
import { systemViews } from '../engine/systemViews';
import { notServed, SqlError, sqlError } from '../errors';
import { commonType, isString, nvarchar, type SqlType } from '../sqlTypes';
import { ExpressionParser, orderBySql, type OrderItem, type QueryReading } from './expressionParser';
import { convertTo, predicate, sortable, value } from './operators';
import { quote, quoteText, Scope } from './scope';
import type { Emission, EmittedQuery, Expr, Name, NamedColumn, ReadFrom, ScopeSource } from './scope';

/** The columns of a select list. */
type Items = (scope: Scope) => NamedColumn[];

/** A source in FROM: adds its columns to the scope and returns its SQL. */
type Source = (scope: Scope) => string;

interface Select {
  readonly top: Expr | undefined;
  readonly emit: (scope: Scope, orderBy: readonly OrderItem[], into: Into) => EmittedQuery;
}
type Into = NonNullable<Parameters<QueryReading>[1]>['into'];

export const tableSql = (name: string, readFrom: ReadFrom = 'main'): string =>
  `${name.startsWith('#') ? 'temp' : readFrom}.${quote(name)}`;

/** A table's columns, as `alias` or as bare names. */
export function tableSource(table: Table, alias: string | undefined): ScopeSource {
  const prefix = alias === undefined ? '' : `${quote(alias)}.`;
  const columns = table.columns.map(({ name, type, identity, collation }): NamedColumn => {
    return { name, sql: prefix + quote(name), type, identity, ...(isString(type) && { collation }) };
  });
  return { alias: alias ?? table.name, columns };
}

/** A query as a source: its columns under their names. */
function derived(query: EmittedQuery, alias: string, scope: Scope): string {
  const columns = query.columns.map(({ type, collation, name }): NamedColumn => {
    if (name === '') throw notServed(`a column without a name in ${alias}`);
    return { type, ...(collation && { collation }), name, sql: `${quote(alias)}.${quote(name)}` };
  });
  scope.sources.push({ alias, columns });
  return `(${query.sql}) AS ${quote(alias)}`;
}

const listOf = (columns: readonly NamedColumn[]): string =>
  columns.map(({ sql, name }) => `${sql} AS ${quote(name)}`).join(', ');

/** Views are expanded in place, so a table that was changed later causes the same error as on SQL Server. */
function expandView(name: string, definition: string, emission: Emission): EmittedQuery {
  try {
    return parseQuery(definition)({ emission });
  } catch (error) {
    if (error instanceof SqlError) error.next = sqlError(4413, name);
    throw error;
  }
}

/** ORDER BY knows the select list's names as well, and SQLite its positions. */
function orderItems(orderBy: readonly OrderItem[], items: readonly NamedColumn[], scope: Scope): string {
  if (orderBy.length === 0) return '';
  const keys = orderBy.map(({ expr, descending }) => {
    const [name, ...more] = expr.column ?? [];
    const item = more.length === 0 && items.find((one) => one.name.toLowerCase() === name?.toLowerCase());
    return item ? sortable(item) + (descending ? ' DESC' : '') : orderBySql([{ expr, descending }], scope);
  });
  return ` ORDER BY ${keys.join(', ')}`;
}

const limit = (top: Expr | undefined, emission: Emission): string =>
  top === undefined ? '' : ` LIMIT ${value(top, new Scope(emission)).sql}`;

/** Reads queries. */
export class QueryParser extends ExpressionParser {
  /** The common table expressions that the statement has named so far, by lower-case name. */
  private named = new Map<string, QueryReading>();

  /** WITH, before a SELECT or INSERT. As SQL Server does, each is expanded where it is used. */
  protected commonTables(): void {
    this.named = new Map();
    if (!this.is('WITH')) return;
    if (![undefined, ';', 'BEGIN'].includes(this.tokens[this.at - 1]?.value))
      throw this.refusal('WITH after a statement without a semicolon');
    this.expect('WITH');
    this.list(() => {
      const name = this.identifier();
      this.expect('AS');
      const query = this.parenthesised(() => this.query());
      if (this.named.has(name.toLowerCase())) throw this.refusal(`two steps named ${name}`);
      this.named.set(name.toLowerCase(), query);
    });
  }

  query(): QueryReading {
    let body = this.select();
    while (this.accept('UNION', 'ALL')) body = this.union(body, this.select());
    const outer = this.aggregated;
    const orderBy = this.accept('ORDER', 'BY') ? this.orderItems() : [];
    this.aggregated = outer;
    return ({ emission, parent }, { top = false, into } = {}) => {
      if (!top && orderBy.length > 0 && body.top === undefined)
        throw notServed('ORDER BY in a view or subquery without TOP');
      const { sql, columns } = body.emit(new Scope(emission, parent), orderBy, into);
      return { sql: sql + limit(body.top, emission), columns };
    };
  }

  private union(left: Select, right: Select): Select {
    if (left.top ?? right.top) throw this.refusal('TOP with UNION');
    const emit: Select['emit'] = (scope, orderBy, into) => {
      const branch = (side: Select) => side.emit(new Scope(scope.emission, scope.parent), [], into);
      const [first, second] = [branch(left), branch(right)];
      if (first.columns.length !== second.columns.length)
        throw notServed('UNION of queries with different numbers of columns');
      const columns = first.columns.map((column, i) => ({
        ...column,
        sql: quote(column.name),
        type: commonType(column.type, second.columns[i]?.type ?? column.type),
      }));
      const own = new Scope(scope.emission);
      own.sources.push({ alias: '', columns });
      return { sql: `${first.sql} UNION ALL ${second.sql}${orderItems(orderBy, columns, own)}`, columns };
    };
    return { top: undefined, emit };
  }

  private select(): Select {
    const outer = this.aggregated;
    this.aggregated = false;
    this.expect('SELECT');
    const distinct = this.accept('DISTINCT') ? 'DISTINCT ' : '';
    const top = this.top();
    const items = this.selectList();
    const from = this.accept('FROM') ? this.joined() : undefined;
    const where = this.accept('WHERE') ? this.expr() : undefined;
    const groupBy = this.accept('GROUP', 'BY') ? this.list(() => this.expr()) : [];
    const having = this.accept('HAVING') ? this.expr() : undefined;
    const grouped = groupBy.length > 0 || this.aggregated;
    this.aggregated = outer;
    const emit: Select['emit'] = (scope, orderBy, into) => {
      const source = from ? ` FROM ${from(scope)}` : '';
      const filter = where ? ` WHERE ${predicate(where, scope)}` : '';
      const keys = groupBy.map((expr) => value(expr, scope));
      if (grouped) scope.groupKeys = new Set(keys.map(({ sql }) => sql));
      const group = keys.length === 0 ? '' : ` GROUP BY ${keys.map(sortable).join(', ')}`;
      const groups = having ? ` HAVING ${predicate(having, scope)}` : '';
      const own = items(scope);
      const columns = into ? own.map((item, i) => ({ ...item, ...into(item, i) })) : own;
      const order = orderItems(orderBy, own, scope);
      const sql = `SELECT ${distinct}${listOf(columns)}${source}${filter}${group}${groups}${order}`;
      return { sql, columns };
    };
    return { top, emit };
  }

  protected top(): Expr | undefined {
    if (!this.accept('TOP')) return undefined;
    const top = this.is('(') ? this.parenthesised(() => this.expr()) : this.primary();
    if (this.is('PERCENT') || this.is('WITH', 'TIES')) this.fail();
    return top;
  }

  private selectList(): Items {
    const items = this.list(() => this.selectItem());
    return (scope) => items.flatMap((item) => item(scope));
  }

  private selectItem(): Items {
    const of = this.peek(1).value === '.' && this.peek(2).value === '*' ? this.identifier() : undefined;
    if (of !== undefined) this.expect('.');
    if (this.accept('*'))
      return ({ sources }) =>
        sources.filter(({ alias }) => alias === (of ?? alias)).flatMap(({ columns }) => columns);
    const expr = this.expr();
    const name = this.alias() ?? expr.column?.at(-1) ?? '';
    return (scope) => [{ ...value(expr, scope), name }];
  }

  private alias(): string | undefined {
    if (this.accept('AS')) return this.identifier();
    return this.isName() ? this.identifier() : undefined;
  }

  // --- sources ------------------------------------------------------------------------------------------------------

  private joined(): Source {
    let left = this.source();
    for (;;) {
      const join = this.accept('LEFT', 'JOIN') ? 'LEFT JOIN' : 'JOIN';
      if (join === 'JOIN' && !this.accept('JOIN')) return left;
      const [first, second] = [left, this.source()];
      this.expect('ON');
      const on = this.expr();
      left = (scope) => `${first(scope)} ${join} ${second(scope)} ON ${predicate(on, scope)}`;
    }
  }

  private source(): Source {
    if (this.is('(')) {
      const query = this.parenthesised(() => this.query());
      const alias = this.alias() ?? this.fail();
      return (scope) => derived(query(scope), alias, scope);
    }
    if (this.accept('OPENJSON')) return this.openJson();
    const { name, alias } = this.tableReference();
    const common = name.schema === undefined && this.named.get(name.name.toLowerCase());
    if (common) return (scope) => derived(common({ emission: scope.emission }), alias, scope);
    return (scope) => this.object(name, alias, scope);
  }

  protected tableReference(): { readonly name: Name; readonly alias: string } {
    const name = this.objectName();
    this.hints();
    const alias = this.alias() ?? name.name;
    this.hints();
    return { name, alias };
  }

  private openJson(): Source {
    const json = this.parenthesised(() => this.expr());
    this.expect('WITH');
    const definitions = this.parenthesised(() =>
      this.list((): [string, SqlType, string] => {
        const name = this.identifier();
        const type = this.type();
        return [name, type, this.peek().kind === 'string' ? this.next().value : `$.${name}`];
      }),
    );
    const alias = this.alias() ?? 'OPENJSON';
    return (scope) => {
      const columns = definitions.map(([name, type, path]): NamedColumn => {
        const sql = path === '$' ? 'value' : `json_extract(value, ${quoteText(path)})`;
        return { ...convertTo({ sql, type: nvarchar(4000) }, type), name };
      });
      const sql = `SELECT ${listOf(columns)} FROM json_each(${value(json, scope).sql})`;
      return derived({ sql, columns }, alias, scope);
    };
  }

  /** Table hints have no effect here. */
  protected hints(): void {
    if (!this.accept('WITH')) return;
    this.parenthesised(() =>
      this.list(() => {
        const hint = this.acceptOneOf('INDEX', 'UPDLOCK', 'HOLDLOCK') ?? this.fail();
        if (hint === 'INDEX') this.parenthesised(() => this.next());
      }),
    );
  }

  private object({ schema, name }: Name, alias: string, scope: Scope): string {
    const { emission } = scope;
    if (schema?.toLowerCase() === 'sys') {
      const key = `sys.${name.toLowerCase()}`;
      const view = systemViews.get(key);
      if (view === undefined) throw notServed(`the catalogue view ${key}`);
      const columns = view.columns.map(([column, type]) => ({ name: column, type, sql: quote(column) }));
      return derived({ sql: view.sql, columns }, alias, scope);
    }
    const object = emission.context.catalogue.object({ schema, name });
    if (object === undefined) throw invalidObject({ schema, name });
    if (object.kind === 'view')
      return derived(expandView(object.name, object.definition, emission), alias, scope);
    scope.sources.push(tableSource(object, alias));
    return `${tableSql(object.name, emission.readFrom)} AS ${quote(alias)}`;
  }
}

/** The query of a view. */
export const parseQuery = remembering((sql): QueryReading =>
  new QueryParser(sql).whole((parser) => parser.query()),
);

/** A constraint's or an index's condition. */
export const parseExpression = remembering((sql): Expr =>
  new QueryParser(sql).whole((parser) => parser.expr()),
);
