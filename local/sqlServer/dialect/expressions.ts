import { convert } from '../engine/convert';
import { SqlError, batchError, notServed } from '../errors';
import {
  BOOLEAN,
  commonType,
  DATETIME,
  datetime2,
  INT,
  isDate,
  isInteger,
  isString,
  isUnicode,
  nvarchar,
  SYSNAME,
  typeText,
  type SqlType,
  type SqlValue,
} from '../sqlTypes';
import type { Collation, Expr, OrderItem, Query } from './ast';
import { quoteText, type Emitted, type Scope } from './scope';

const AGGREGATES = new Set(['COUNT', 'COUNT_BIG', 'SUM', 'MIN', 'MAX', 'AVG', 'STRING_AGG']);
const BIGINT: SqlType = { name: 'bigint' };

/** What a statement's values need at execution: `$now` and the like are bound once per statement. */
const SESSION_VALUES: Readonly<Record<string, { readonly binding: string; readonly type: SqlType }>> = {
  GETUTCDATE: { binding: 'now', type: DATETIME },
  GETDATE: { binding: 'now', type: DATETIME },
  SYSUTCDATETIME: { binding: 'sysnow', type: datetime2(7) },
  SYSDATETIME: { binding: 'sysnow', type: datetime2(7) },
  CURRENT_TIMESTAMP: { binding: 'now', type: DATETIME },
  '@@ROWCOUNT': { binding: 'rowcount', type: INT },
  '@@TRANCOUNT': { binding: 'trancount', type: INT },
  '@@SPID': { binding: 'spid', type: { name: 'smallint' } },
  '@@ERROR': { binding: 'error', type: INT },
  '@@VERSION': { binding: 'version', type: nvarchar(300) },
  '@@IDENTITY': { binding: 'identity', type: { name: 'decimal', precision: 38, scale: 0 } },
  SCOPE_IDENTITY: { binding: 'identity', type: { name: 'decimal', precision: 38, scale: 0 } },
  DB_NAME: { binding: 'database', type: SYSNAME },
  SUSER_SNAME: { binding: 'login', type: SYSNAME },
  ORIGINAL_LOGIN: { binding: 'login', type: SYSNAME },
  USER_NAME: { binding: 'user', type: SYSNAME },
  XACT_STATE: { binding: 'xactstate', type: { name: 'smallint' } },
};

/** Whether a query over this expression is grouped. Subqueries count for themselves. */
export function hasAggregate(expr: Expr | undefined): boolean {
  if (expr === undefined) return false;
  switch (expr.kind) {
    case 'call':
      return (AGGREGATES.has(expr.name) && !expr.over) || expr.args.some(hasAggregate);
    case 'binary':
      return hasAggregate(expr.left) || hasAggregate(expr.right);
    case 'case':
      return [expr.operand, expr.otherwise, ...expr.whens.flatMap(({ when, then }) => [when, then])].some(
        hasAggregate,
      );
    case 'between':
      return [expr.expr, expr.low, expr.high].some(hasAggregate);
    case 'negate':
    case 'not':
    case 'isNull':
    case 'in':
    case 'like':
    case 'cast':
    case 'collate':
      return hasAggregate(expr.expr);
    default:
      return false;
  }
}

/** Emits expressions; queries inside them are left to the subclass. */
export abstract class ExpressionEmitter {
  /** Names without the `$`, in the order of first use. */
  readonly bindings = new Set<string>();

  constructor(protected readonly variables: ReadonlyMap<string, SqlType>) {}

  /** `target` converts a single column to that type. */
  protected abstract subquery(query: Query, scope: Scope, target?: SqlType): Emitted;

  private bind(name: string): string {
    this.bindings.add(name);
    return `$${name}`;
  }

  predicate(expr: Expr, scope: Scope): string {
    const emitted = this.emit(expr, scope);
    if (emitted.type.name === 'boolean') return emitted.sql;
    throw batchError(
      4145,
      'An expression of non-boolean type specified in a context where a condition is expected.',
    );
  }

  value(expr: Expr, scope: Scope): Emitted {
    const emitted = this.emit(expr, scope);
    if (emitted.type.name !== 'boolean') return emitted;
    throw new SqlError(102, 'Incorrect syntax: a condition stands where a value is expected.', {
      endsBatch: true,
    });
  }

  private emit(expr: Expr, scope: Scope): Emitted {
    const keys = scope.groupKeys;
    if (keys !== undefined && !scope.inAggregate && expr.kind !== 'column' && expr.kind !== 'literal') {
      scope.groupKeys = undefined;
      const whole = this.emitUngrouped(expr, scope);
      scope.groupKeys = keys;
      if (keys.has(whole.sql)) return whole;
    }
    return this.emitUngrouped(expr, scope);
  }

  private emitUngrouped(expr: Expr, scope: Scope): Emitted {
    switch (expr.kind) {
      case 'literal':
        return this.literal(expr.value, expr.type);
      case 'column':
        return scope.resolve(expr.parts);
      case 'variable':
        return this.variable(expr.name);
      case 'negate': {
        const inner = this.value(expr.expr, scope);
        return typeof inner.literal === 'bigint' || typeof inner.literal === 'number'
          ? this.literal(-inner.literal, inner.type)
          : { sql: `(-${inner.sql})`, type: inner.type };
      }
      case 'not':
        return this.boolean(`(NOT ${this.predicate(expr.expr, scope)})`);
      case 'isNull':
        return this.boolean(`(${this.value(expr.expr, scope).sql} IS ${expr.not ? 'NOT ' : ''}NULL)`);
      case 'exists':
        return this.boolean(`EXISTS (${this.subquery(expr.query, scope).sql})`);
      case 'subquery': {
        const inner = this.subquery(expr.query, scope);
        return { ...inner, sql: `(${inner.sql})` };
      }
      case 'collate':
        return this.collated(this.value(expr.expr, scope), expr.collation);
      case 'binary':
        return this.binary(expr.op, expr.left, expr.right, scope);
      case 'between': {
        const low = this.compare('>=', this.value(expr.expr, scope), this.value(expr.low, scope));
        const high = this.compare('<=', this.value(expr.expr, scope), this.value(expr.high, scope));
        return this.boolean(expr.not ? `(NOT (${low} AND ${high}))` : `(${low} AND ${high})`);
      }
      case 'in':
        return this.in(expr, scope);
      case 'like': {
        if (expr.pattern.kind === 'literal' && String(expr.pattern.value).includes('['))
          throw notServed('LIKE with [ ]');
        const escape = expr.escape === undefined ? '' : ` ESCAPE ${this.value(expr.escape, scope).sql}`;
        const operand = this.value(expr.expr, scope);
        if (operand.collation === 'BINARY') throw notServed('LIKE with a binary collation');
        return this.boolean(
          `(${operand.sql} ${expr.not ? 'NOT ' : ''}LIKE ${this.value(expr.pattern, scope).sql}${escape})`,
        );
      }
      case 'case':
        return this.case(expr, scope);
      case 'cast': {
        const style = expr.style === undefined ? undefined : Number(this.value(expr.style, scope).literal);
        return this.convertTo(this.value(expr.expr, scope), expr.type, { style, lenient: expr.lenient });
      }
      case 'call':
        return this.call(expr, scope);
    }
  }

  private boolean(sql: string): Emitted {
    return { sql, type: BOOLEAN };
  }

  literal(value: SqlValue, type: SqlType): Emitted {
    let sql: string;
    if (value === null) sql = 'NULL';
    else if (value instanceof Uint8Array) sql = `x'${Buffer.from(value).toString('hex')}'`;
    else sql = typeof value === 'string' ? quoteText(value) : String(value);
    return { sql, type, literal: value };
  }

  private variable(name: string): Emitted {
    const session = SESSION_VALUES[name.toUpperCase()];
    if (session !== undefined) return { sql: this.bind(session.binding), type: session.type };
    const type = this.variables.get(name);
    if (type === undefined) throw batchError(137, `Must declare the scalar variable "${name}".`);
    return { sql: this.bind(`v${name.replace('@', '_')}`), type };
  }

  private collated(emitted: Emitted, collation: Collation): Emitted {
    const { type } = emitted;
    return {
      sql: `${emitted.sql} COLLATE ${collation}`,
      type,
      collation,
      explicitCollation: true,
      native: collation,
    };
  }

  /** With the collation SQL Server would compare or sort by, where SQLite would not by itself. */
  sortable(emitted: Emitted): string {
    const wanted = emitted.collation ?? 'NOCASE';
    return isString(emitted.type) && emitted.native !== wanted
      ? `${emitted.sql} COLLATE ${wanted}`
      : emitted.sql;
  }

  protected compare(op: string, left: Emitted, right: Emitted): string {
    const [l, r] = this.harmonise(left, right);
    if (!isString(l.type) || !isString(r.type)) return `(${l.sql} ${op} ${r.sql})`;
    let wanted: Collation = l.collation ?? r.collation ?? 'NOCASE';
    if (l.collation !== undefined && r.collation !== undefined && l.collation !== r.collation) {
      if (l.explicitCollation === r.explicitCollation) {
        throw batchError(
          468,
          `Cannot resolve the collation conflict in the ${op === '=' ? 'equal to' : op} operation.`,
        );
      }
      wanted = l.explicitCollation ? l.collation : r.collation;
    }
    const native = l.native ?? r.native ?? 'BINARY';
    return native === wanted ? `(${l.sql} ${op} ${r.sql})` : `(${l.sql} COLLATE ${wanted} ${op} ${r.sql})`;
  }

  /** Implicit conversion of the side whose type has the lower precedence. Dates compare with each other as they are. */
  private harmonise(left: Emitted, right: Emitted): [Emitted, Emitted] {
    const type = commonType(left.type, right.type);
    const adapt = (side: Emitted): Emitted => {
      if (!isString(side.type) || isString(type) || side.type.name === 'null') return side;
      return this.convertTo(side, isDate(type) && side.literal === undefined ? datetime2(7) : type);
    };
    return [adapt(left), adapt(right)];
  }

  private binary(op: string, leftExpr: Expr, rightExpr: Expr, scope: Scope): Emitted {
    if (op === 'AND' || op === 'OR') {
      return this.boolean(`(${this.predicate(leftExpr, scope)} ${op} ${this.predicate(rightExpr, scope)})`);
    }
    const left = this.value(leftExpr, scope);
    const right = this.value(rightExpr, scope);
    if (/[=<>]/.test(op)) return this.boolean(this.compare(op, left, right));
    if (isDate(left.type) || isDate(right.type)) throw notServed(`the operator ${op} on dates`);
    const type = commonType(left.type, right.type);
    if (isString(type)) {
      if (op !== '+')
        throw new SqlError(
          402,
          `The data types ${left.type.name} and ${right.type.name} are incompatible in the operator.`,
        );
      const total = (left.type.length ?? 0) + (right.type.length ?? 0);
      const length = [left.type.length, right.type.length].includes(-1)
        ? -1
        : Math.min(total, isUnicode(type) ? 4000 : 8000);
      return { sql: `(${left.sql} || ${right.sql})`, type: { name: type.name, length } };
    }
    const [l, r] = this.harmonise(left, right);
    const result = type.name === 'bit' || type.name === 'tinyint' || type.name === 'smallint' ? INT : type;
    if (op === '/' || op === '%')
      return { sql: `_divide(${quoteText(op)}, ${l.sql}, ${r.sql})`, type: result };
    return { sql: `(${l.sql} ${op} ${r.sql})`, type: result };
  }

  private in(expr: Extract<Expr, { kind: 'in' }>, scope: Scope): Emitted {
    const left = this.value(expr.expr, scope);
    const operator = expr.not ? 'NOT IN' : 'IN';
    if (!Array.isArray(expr.list)) {
      const query = this.subquery(expr.list, scope, isString(left.type) ? undefined : left.type);
      const wanted = left.collation ?? query.collation;
      return this.boolean(
        `(${this.sortable(wanted === undefined ? left : { ...left, collation: wanted })} ${operator} (${query.sql}))`,
      );
    }
    const items = (expr.list as readonly Expr[]).map((item) => this.value(item, scope));
    if (isString(left.type) && items.some((item) => !isString(item.type) && item.type.name !== 'null')) {
      return this.boolean(
        `(${expr.not ? 'NOT ' : ''}(${items.map((item) => this.compare('=', left, item)).join(' OR ')}))`,
      );
    }
    const list = items.map((item) => this.harmonise(left, item)[1].sql).join(', ');
    return this.boolean(`(${this.sortable(left)} ${operator} (${list}))`);
  }

  private case(expr: Extract<Expr, { kind: 'case' }>, scope: Scope): Emitted {
    const conditions = expr.whens.map(({ when }) =>
      expr.operand === undefined
        ? this.predicate(when, scope)
        : this.compare('=', this.value(expr.operand, scope), this.value(when, scope)),
    );
    const results = expr.whens.map(({ then }) => this.value(then, scope));
    if (expr.otherwise !== undefined) results.push(this.value(expr.otherwise, scope));
    const { type, values } = this.unify(results);
    const branches = conditions.map((condition, i) => `WHEN ${condition} THEN ${values[i]?.sql ?? 'NULL'}`);
    const otherwise = expr.otherwise === undefined ? '' : ` ELSE ${values.at(-1)?.sql ?? 'NULL'}`;
    return { sql: `(CASE ${branches.join(' ')}${otherwise} END)`, type };
  }

  private unify(values: readonly Emitted[]): { type: SqlType; values: Emitted[] } {
    const type = values.map((value) => value.type).reduce(commonType);
    return {
      type,
      values: values.map((value) =>
        isString(value.type) && isString(type) ? value : this.convertTo(value, type),
      ),
    };
  }

  /** CAST; with `assign` the implicit conversion into a column, whose length SQLite's check constraint guards. */
  convertTo(
    emitted: Emitted,
    to: SqlType,
    options: { style?: number | undefined; lenient?: boolean; assign?: boolean } = {},
  ): Emitted {
    const { type: from, sql } = emitted;
    const { style, lenient = false, assign = false } = options;
    if (from.name === 'null') return { sql: 'NULL', type: to, literal: null };
    const target = assign && isString(to) ? { ...to, length: -1 } : to;
    if (emitted.literal !== undefined && !lenient)
      return this.literal(convert(emitted.literal, from, target, style), to);
    if (isSame(from, target)) return { ...emitted, type: to };
    if (
      isString(from) &&
      isString(target) &&
      (isUnicode(target) || !isUnicode(from)) &&
      !/^n?char$/.test(target.name)
    ) {
      return { sql: `substr(${sql}, 1, ${target.length ?? 1})`, type: to };
    }
    if (target.name === 'date' && isDate(from))
      return { sql: `(substr(${sql}, 1, 10) || ' 00:00:00.0000000')`, type: to };
    const spec = [quoteText(typeText(from)), quoteText(typeText(target)), style ?? 'NULL', lenient ? 1 : 0];
    return { sql: `_convert(${sql}, ${spec.join(', ')})`, type: to };
  }

  orderBy(items: readonly OrderItem[], scope: Scope): string {
    return items
      .map(({ expr, descending }) => this.sortable(this.value(expr, scope)) + (descending ? ' DESC' : ''))
      .join(', ');
  }

  private call(expr: Extract<Expr, { kind: 'call' }>, scope: Scope): Emitted {
    const { name } = expr;
    if (AGGREGATES.has(name) || expr.over !== undefined) return this.aggregate(expr, scope);
    const session = SESSION_VALUES[name];
    if (session !== undefined && expr.args.length === 0)
      return { sql: this.bind(session.binding), type: session.type };
    if (name === 'IIF') {
      const [condition, then, otherwise] = expr.args;
      if (condition === undefined || then === undefined || otherwise === undefined)
        throw wrongArguments(name);
      return this.case(
        { kind: 'case', operand: undefined, whens: [{ when: condition, then }], otherwise },
        scope,
      );
    }
    const args = expr.args.map((arg) => this.value(arg, scope));
    return this.scalar(name, args, expr.part);
  }

  private scalar(name: string, args: readonly Emitted[], part: string | undefined): Emitted {
    const arg = (i: number): Emitted => {
      const found = args[i];
      if (found === undefined) throw wrongArguments(name);
      return found;
    };
    const text = (i: number): string =>
      isString(arg(i).type) ? arg(i).sql : this.convertTo(arg(i), nvarchar(-1)).sql;
    const native = (sql: string, type: SqlType): Emitted => ({ sql, type });
    const sameString = (sql: string): Emitted =>
      native(sql, isString(arg(0).type) ? arg(0).type : nvarchar(4000));
    const date = (i: number): Emitted => (isDate(arg(i).type) ? arg(i) : this.convertTo(arg(i), DATETIME));
    const moment = (i: number): Emitted =>
      isDate(arg(i).type) ? arg(i) : this.convertTo(arg(i), datetime2(7));
    switch (name) {
      case 'DATEADD':
        return native(
          `_dateadd(${quoteText(part ?? '')}, ${arg(0).sql}, ${date(1).sql}, ${quoteText(typeText(date(1).type))})`,
          date(1).type,
        );
      case 'DATEDIFF':
      case 'DATEDIFF_BIG': {
        const big = name.endsWith('BIG');
        return native(
          `_datediff(${quoteText(part ?? '')}, ${moment(0).sql}, ${moment(1).sql}, ${big ? 1 : 0})`,
          big ? BIGINT : INT,
        );
      }
      case 'DATEPART':
        return native(`_datepart(${quoteText(part ?? '')}, ${moment(0).sql})`, INT);
      case 'YEAR':
      case 'MONTH':
      case 'DAY':
        return native(`_datepart(${quoteText(name.toLowerCase())}, ${moment(0).sql})`, INT);
      case 'ISNULL': {
        const type = arg(0).type.name === 'null' ? arg(1).type : arg(0).type;
        return native(`ifnull(${arg(0).sql}, ${this.convertTo(arg(1), type).sql})`, type);
      }
      case 'COALESCE': {
        const { type, values } = this.unify(args);
        return native(`coalesce(${values.map((value) => value.sql).join(', ')})`, type);
      }
      case 'NULLIF':
        return native(
          `(CASE WHEN ${this.compare('=', arg(0), arg(1))} THEN NULL ELSE ${arg(0).sql} END)`,
          arg(0).type,
        );
      case 'CONCAT':
        return native(`concat(${args.map((_, i) => text(i)).join(', ')})`, {
          name: args.some((a) => isUnicode(a.type)) ? 'nvarchar' : 'varchar',
          length: args.some((a) => isUnicode(a.type)) ? 4000 : 8000,
        });
      case 'LOWER':
      case 'UPPER':
        return sameString(`_${name.toLowerCase()}(${text(0)})`);
      case 'LTRIM':
      case 'RTRIM':
      case 'TRIM':
        return sameString(`${name.toLowerCase()}(${text(0)}, ' ')`);
      case 'LEFT':
        return sameString(`substr(${text(0)}, 1, ${arg(1).sql})`);
      case 'RIGHT':
        return sameString(`_right(${text(0)}, ${arg(1).sql})`);
      case 'SUBSTRING':
        return sameString(`_substring(${text(0)}, ${arg(1).sql}, ${arg(2).sql})`);
      case 'REPLACE':
        return native(`_replace(${text(0)}, ${text(1)}, ${text(2)})`, {
          name: isUnicode(arg(0).type) ? 'nvarchar' : 'varchar',
          length: 4000,
        });
      case 'LEN':
        return native(`length(rtrim(${text(0)}, ' '))`, INT);
      case 'DATALENGTH':
        return native(`(length(${arg(0).sql})${isUnicode(arg(0).type) ? ' * 2' : ''})`, INT);
      case 'CHARINDEX':
        return native(`instr(_lower(${text(1)}), _lower(${text(0)}))`, INT);
      case 'ABS':
        return native(`abs(${arg(0).sql})`, arg(0).type);
      case 'ISJSON':
        return native(`json_valid(${text(0)})`, INT);
      case 'CHAR':
      case 'NCHAR':
        return native(`char(${arg(0).sql})`, nvarchar(1));
      case 'NEWID':
        return native('_newid()', { name: 'uniqueidentifier' });
      case 'OBJECT_ID':
        return native(`_object_id(${args.map((_, i) => text(i)).join(', ')})`, INT);
      case 'OBJECT_DEFINITION':
        return native(`_object_definition(${arg(0).sql})`, nvarchar(-1));
      case 'OBJECT_NAME':
      case 'SCHEMA_NAME':
      case 'TYPE_NAME':
        return native(`_${name.toLowerCase()}(${arg(0).sql})`, SYSNAME);
      case 'SCHEMA_ID':
        return native(
          args.length === 0 ? '1' : `(CASE ${this.sortable(arg(0))} WHEN 'dbo' THEN 1 WHEN 'sys' THEN 4 END)`,
          INT,
        );
      case 'DATABASE_PRINCIPAL_ID':
        return native(args.length === 0 ? '1' : `_principal_id(${text(0)})`, INT);
      case 'HAS_PERMS_BY_NAME':
        return native(`_has_perms(${text(0)}, ${text(1)})`, INT);
      default:
        throw notServed(`the function ${name}`);
    }
  }

  private aggregate(expr: Extract<Expr, { kind: 'call' }>, scope: Scope): Emitted {
    const { name, over } = expr;
    const outer = scope.inAggregate;
    if (outer && over === undefined) {
      throw batchError(
        130,
        'Cannot perform an aggregate function on an expression containing an aggregate or a subquery.',
      );
    }
    scope.inAggregate = over === undefined;
    const args = expr.args.map((arg) => this.value(arg, scope));
    scope.inAggregate = outer;
    const [first] = args;
    const argument = expr.star
      ? '*'
      : (expr.distinct ? 'DISTINCT ' : '') +
        args.map((arg) => (expr.distinct ? this.sortable(arg) : arg.sql)).join(', ');
    const window = over === undefined ? '' : ` OVER (${this.window(over, scope)})`;
    const emitted = (sql: string, type: SqlType): Emitted => ({ sql: sql + window, type });
    switch (name) {
      case 'COUNT':
      case 'ROW_NUMBER':
      case 'RANK':
      case 'DENSE_RANK':
        return emitted(`${name.toLowerCase()}(${argument})`, name === 'COUNT' ? INT : BIGINT);
      case 'COUNT_BIG':
        return emitted(`count(${argument})`, BIGINT);
    }
    if (first === undefined) throw wrongArguments(name);
    switch (name) {
      case 'MIN':
      case 'MAX': {
        const sql = `${name.toLowerCase()}(${isString(first.type) ? this.sortable(first) : first.sql})`;
        return { ...emitted(sql, first.type), ...(first.collation && { collation: first.collation }) };
      }
      case 'SUM':
        return emitted(
          `sum(${argument})`,
          isInteger(first.type) && first.type.name !== 'bigint' ? INT : first.type,
        );
      case 'AVG':
        if (!isInteger(first.type)) return emitted(`avg(${argument})`, first.type);
        return { sql: `(sum(${argument})${window} / count(${argument})${window})`, type: INT };
      case 'STRING_AGG':
        return emitted(`group_concat(${argument})`, nvarchar(4000));
      case 'LAG':
      case 'LEAD':
      case 'FIRST_VALUE':
        return emitted(`${name.toLowerCase()}(${argument})`, first.type);
      default:
        throw notServed(`the function ${name}`);
    }
  }

  private window(over: NonNullable<Extract<Expr, { kind: 'call' }>['over']>, scope: Scope): string {
    const partition = over.partitionBy.map((expr) => this.sortable(this.value(expr, scope))).join(', ');
    const order = this.orderBy(over.orderBy, scope);
    return [partition && `PARTITION BY ${partition}`, order && `ORDER BY ${order}`].filter(Boolean).join(' ');
  }
}

const wrongArguments = (name: string): SqlError =>
  new SqlError(174, `The ${name.toLowerCase()} function was called with a wrong number of arguments.`, {
    endsBatch: true,
  });

/** Nothing changes when a value of one type is held as the other. */
function isSame(from: SqlType, to: SqlType): boolean {
  if (isString(from) && isString(to)) {
    if ((isUnicode(from) && !isUnicode(to)) || to.name === 'char' || to.name === 'nchar')
      return from.name === to.name && from.length === to.length;
    return to.length === -1 || (from.length !== -1 && (from.length ?? 1) <= (to.length ?? 1));
  }
  if (from.name === 'date' && isDate(to)) return true;
  if (from.name === 'datetime' && to.name === 'datetime2') return (to.scale ?? 7) === 7;
  if (from.name === 'datetime2' && to.name === 'datetime2') return (from.scale ?? 7) <= (to.scale ?? 7);
  const order = ['bit', 'tinyint', 'smallint', 'int', 'bigint'];
  if (isInteger(from) && isInteger(to))
    return order.indexOf(from.name) <= order.indexOf(to.name) && to.name !== 'bit';
  return from.name === to.name && from.name !== 'decimal';
}
