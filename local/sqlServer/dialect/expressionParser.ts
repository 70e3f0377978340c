import { TICKS } from '../engine/dates';
import { notServed, sqlError } from '../errors';
import { BIGINT, INT, isString, NULL_TYPE, nvarchar, varchar, type SqlType } from '../sqlTypes';
import { aggregate, isAggregate, isDateFunction, scalar, sessionValue } from './functions';
import {
  arithmetic,
  compare,
  condition,
  convertTo,
  isIn,
  literal,
  predicate,
  sortable,
  unify,
  value,
} from './operators';
import type { Emitted, EmittedQuery, Expr, Scope } from './scope';
import { TokenReader } from './tokenReader';

export interface OrderItem {
  readonly expr: Expr;
  readonly descending: boolean;
}

/** A query as it was read. `top`: not within another; `into`: what its columns are converted to. */
export type QueryReading = (
  scope: { readonly emission: Scope['emission']; readonly parent?: Scope | undefined },
  options?: { readonly top?: boolean; readonly into?: (column: Emitted, i: number) => Emitted },
) => EmittedQuery;

/** In a grouped query, an expression that equals a key of GROUP BY may be used as a whole. */
function expression(emit: (scope: Scope) => Emitted): Expr {
  return (scope) => {
    const keys = scope.groupKeys;
    if (keys === undefined || scope.inAggregate) return emit(scope);
    scope.groupKeys = undefined;
    const whole = emit(scope);
    scope.groupKeys = keys;
    return keys.has(whole.sql) ? whole : emit(scope);
  };
}

const negatedIf = (not: boolean, emitted: Emitted): Emitted =>
  not ? condition(`(NOT ${emitted.sql})`) : emitted;

type Combine = (op: string, left: Expr, right: Expr, scope: Scope) => Emitted;
const logical: Combine = (op, left, right, scope) =>
  condition(`(${predicate(left, scope)} ${op} ${predicate(right, scope)})`);
const calculation: Combine = (op, left, right, scope) =>
  arithmetic(op, value(left, scope), value(right, scope));

export const orderBySql = (items: readonly OrderItem[], scope: Scope): string =>
  items.map(({ expr, descending }) => sortable(value(expr, scope)) + (descending ? ' DESC' : '')).join(', ');

/** Reads expressions; queries inside them are left to the subclass. */
export abstract class ExpressionParser extends TokenReader {
  /** Whether the select that is being read has an aggregate of its own. */
  protected aggregated = false;

  protected abstract query(): QueryReading;

  private subquery(): (scope: Scope, type?: SqlType) => Emitted {
    const query = this.query();
    return (scope, type) => {
      const into = type && ((column: Emitted) => convertTo(column, type));
      const { sql, columns } = query({ emission: scope.emission, parent: scope }, into && { into });
      return { ...(columns[0] ?? { type: NULL_TYPE }), sql };
    };
  }

  expr(): Expr {
    return this.operation(['OR'], () => this.operation(['AND'], () => this.not(), logical), logical);
  }

  private not(): Expr {
    if (!this.accept('NOT')) return this.predicate();
    const inner = this.not();
    return expression((scope) => negatedIf(true, condition(predicate(inner, scope))));
  }

  private predicate(): Expr {
    const left = this.additive();
    const op = this.acceptOneOf('=', '<>', '<', '>', '<=', '>=');
    if (op !== undefined) {
      const right = this.additive();
      return expression((scope) => condition(compare(op, value(left, scope), value(right, scope))));
    }
    if (this.accept('IS')) {
      const not = this.accept('NOT') ? 'NOT ' : '';
      this.expect('NULL');
      return expression((scope) => condition(`(${value(left, scope).sql} IS ${not}NULL)`));
    }
    const not = this.accept('NOT');
    if (this.accept('IN')) return this.in(left, not);
    if (this.accept('BETWEEN')) {
      const low = this.additive();
      this.expect('AND');
      const high = this.additive();
      return expression((scope) => {
        const [operand, from, to] = [value(left, scope), value(low, scope), value(high, scope)];
        const within = `(${compare('>=', operand, from)} AND ${compare('<=', operand, to)})`;
        return negatedIf(not, condition(within));
      });
    }
    if (not) this.fail();
    return left;
  }

  private in(left: Expr, not: boolean): Expr {
    return this.parenthesised(() => {
      if (!this.is('SELECT')) {
        const items = this.list(() => this.additive());
        return expression((scope) => {
          const values = items.map((item) => value(item, scope));
          return negatedIf(not, isIn(value(left, scope), values));
        });
      }
      const query = this.subquery();
      return expression((scope) => {
        const operand = value(left, scope);
        const { sql, collation } = query(scope, isString(operand.type) ? undefined : operand.type);
        const sought = sortable({ ...(collation && { collation }), ...operand });
        return negatedIf(not, condition(`(${sought} IN (${sql}))`));
      });
    });
  }

  protected additive(): Expr {
    const factor = (): Expr => this.operation(['*', '/', '%'], () => this.unary(), calculation);
    return this.operation(['+', '-'], factor, calculation);
  }

  /** Operands between operators of one rank, from the left. */
  private operation(operators: readonly string[], operand: () => Expr, combine: Combine): Expr {
    let result = operand();
    for (let op = this.acceptOneOf(...operators); op !== undefined; op = this.acceptOneOf(...operators)) {
      const [left, right, operator] = [result, operand(), op];
      result = expression((scope) => combine(operator, left, right, scope));
    }
    return result;
  }

  private unary(): Expr {
    if (this.accept('-')) {
      const inner = this.unary();
      return expression((scope) => {
        const { sql, type, literal: constant } = value(inner, scope);
        return typeof constant === 'bigint' ? literal(-constant, type) : { sql: `(-${sql})`, type };
      });
    }
    let expr = this.primary();
    while (this.accept('COLLATE')) {
      const [inner, collation] = [expr, this.collation()];
      expr = expression((scope) => ({ ...value(inner, scope), collation, explicitCollation: true }));
    }
    return expr;
  }

  protected primary(): Expr {
    const token = this.peek();
    switch (token.kind) {
      case 'string': {
        const text = this.next().value;
        const length = Math.max(text.length, 1);
        return () => literal(text, token.unicode ? nvarchar(length) : varchar(length));
      }
      case 'number': {
        const number = BigInt(this.next().value);
        const type = number <= 2147483647n ? INT : BIGINT;
        return () => literal(number, type);
      }
      case 'variable':
        return this.variable(this.next().value);
    }
    if (this.accept('NULL')) return () => literal(null, NULL_TYPE);
    if (this.is('(')) {
      return this.parenthesised(() => {
        if (!this.is('SELECT')) return this.expr();
        const query = this.subquery();
        return expression((scope) => {
          const inner = query(scope);
          return { ...inner, sql: `(${inner.sql})` };
        });
      });
    }
    if (this.accept('EXISTS')) {
      const query = this.parenthesised(() => this.subquery());
      return expression((scope) => condition(`EXISTS (${query(scope).sql})`));
    }
    if (this.accept('CASE')) return this.case();
    if (token.kind === 'word' && this.peek(1).value === '(' && (this.isName() || token.value === 'LEFT'))
      return token.value === 'CAST' ? this.cast() : this.call();
    const column = [this.identifier()];
    while (this.accept('.')) column.push(this.identifier());
    return Object.assign((scope: Scope) => scope.resolve(column), { column });
  }

  private variable(name: string): Expr {
    const [binding, sessionType] = sessionValue(name.toUpperCase()) ?? [`v${name.replace('@', '_')}`];
    return ({ emission }) => {
      const type = sessionType ?? emission.context.variables.get(name);
      if (type === undefined) throw sqlError(137, name);
      return { sql: emission.bind(binding), type };
    };
  }

  private case(): Expr {
    const whens: { readonly when: Expr; readonly then: Expr }[] = [];
    while (this.accept('WHEN')) {
      const when = this.expr();
      this.expect('THEN');
      whens.push({ when, then: this.expr() });
    }
    const otherwise = this.accept('ELSE') ? this.expr() : undefined;
    this.expect('END');
    return expression((scope) => {
      const conditions = whens.map(({ when }) => predicate(when, scope));
      const results = [...whens.map(({ then }) => then), ...(otherwise ? [otherwise] : [])];
      const { type, values } = unify(results.map((result) => value(result, scope)));
      const branches = values.map(({ sql }, i) => {
        const when = conditions[i];
        return when === undefined ? `ELSE ${sql}` : `WHEN ${when} THEN ${sql}`;
      });
      return { sql: `(CASE ${branches.join(' ')} END)`, type };
    });
  }

  private cast(): Expr {
    this.expect('CAST');
    return this.parenthesised(() => {
      const expr = this.expr();
      this.expect('AS');
      const type = this.type(30);
      return expression((scope) => convertTo(value(expr, scope), type));
    });
  }

  private call(): Expr {
    const name = this.next().value;
    let distinct = false;
    const args = this.parenthesised(() => {
      if (this.accept('*')) return [];
      const part = isDateFunction(name) ? this.datePart() : [];
      distinct = this.accept('DISTINCT');
      return this.is(')') ? part : [...part, ...this.list(() => this.expr())];
    });
    const session = args.length === 0 ? sessionValue(name) : undefined;
    if (session) return ({ emission }) => ({ sql: emission.bind(session[0]), type: session[1] });
    const over = this.accept('OVER') ? this.window() : undefined;
    const values = (scope: Scope): Emitted[] => args.map((arg) => value(arg, scope));
    if (over) return expression((scope) => aggregate(name, values(scope), distinct, over(scope)));
    if (!isAggregate(name)) return expression((scope) => scalar(name, values(scope)));
    this.aggregated = true;
    return expression((scope) => {
      if (scope.inAggregate) throw notServed('an aggregate of an aggregate');
      scope.inAggregate = true;
      const emitted = values(scope);
      scope.inAggregate = false;
      return aggregate(name, emitted, distinct);
    });
  }

  private datePart(): Expr[] {
    const part = this.acceptOneOf(...Object.keys(TICKS)) ?? this.fail();
    this.expect(',');
    return [() => literal(part, varchar(20))];
  }

  private window(): (scope: Scope) => string {
    return this.parenthesised(() => {
      const partition = this.accept('PARTITION', 'BY') ? this.list(() => this.expr()) : [];
      const order = this.accept('ORDER', 'BY') ? this.orderItems() : [];
      return (scope) => {
        const keys = partition.map((expr) => sortable(value(expr, scope))).join(', ');
        const groups = keys && `PARTITION BY ${keys}`;
        return ` OVER (${groups}${order.length > 0 ? ` ORDER BY ${orderBySql(order, scope)}` : ''})`;
      };
    });
  }

  protected orderItems(): OrderItem[] {
    return this.list(() => {
      const expr = this.expr();
      const descending = this.acceptOneOf('DESC', 'ASC') === 'DESC';
      return { expr, descending };
    });
  }
}
