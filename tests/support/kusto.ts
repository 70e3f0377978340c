/**
 * Runs a query of infra/queries/ over rows: only the part of KQL that these use. What is not here, or not
 * documented for the values at hand, is an error, never a guess. Semantics: "Kusto Query Language", among it "Null values"
 * and "Numerical operators".
 */

/** A long is a bigint, a real a number; a property that is not there is null. */
export type Value = string | bigint | number | boolean | Date | null | Properties;
export type Row = Readonly<Record<string, Value>>;
/** A bag whose values are texts, as Application Insights keeps customDimensions. */
type Properties = Readonly<Record<string, string | undefined>>;
type Tables = Readonly<Record<string, readonly Row[]>>;

type Expression = (row: Row) => Value;
interface Column {
  readonly name: string;
  readonly value: Expression;
}
/** What an aggregate makes of the rows of a group. */
type Aggregate = (rows: readonly Row[]) => Row;

/** A text that is the same only for equal values. */
const shown = (value: Value): string =>
  typeof value === 'object' ? JSON.stringify(value) : `${typeof value} ${value}`;

function refuse(what: unknown): never {
  throw new Error(`This is not understood: ${String(what)}`);
}

/** A query without its comments, in tokens. */
export const tokensOf = (query: string): string[] =>
  query.replace(/^\s*\/\/.*/gm, '').match(/'[^']*'|\d+\.\d+|\w+|!in\b|!?==?|=~|\S/g) ?? [];

export function runQuery(query: string, tables: Tables): Row[] {
  const reader = new Reader(tokensOf(query), tables);
  const rows = reader.rows();
  reader.expect('');
  return rows;
}

/** Reads a query from left to right, and applies each operator to the rows so far. */
class Reader {
  #next = 0;

  constructor(
    private readonly tokens: readonly string[],
    private readonly tables: Tables,
  ) {}

  rows(): Row[] {
    const table = this.#take();
    let rows = [...(this.tables[table] ?? refuse(table))];
    while (this.#taken('|')) rows = this.#operator(rows);
    return rows;
  }

  expect(...expected: readonly string[]): void {
    for (const token of expected)
      if (this.#take() !== token) refuse(this.tokens.slice(this.#next - 1).join(' '));
  }

  /** The next token; empty at the end. */
  #take(): string {
    return this.tokens[this.#next++] ?? '';
  }

  #taken(...tokens: readonly string[]): string | undefined {
    const token = this.tokens[this.#next] ?? '';
    return tokens.includes(token) ? this.#take() : undefined;
  }

  #list<T>(item: () => T): T[] {
    const items = [item()];
    while (this.#taken(',')) items.push(item());
    return items;
  }

  #operator(rows: readonly Row[]): Row[] {
    const operator = this.#take();
    switch (operator) {
      case 'where': {
        const condition = this.#either();
        return rows.filter((row) => condition(row) === true);
      }
      case 'extend':
      case 'project': {
        const columns = this.#list(() => this.#column());
        return rows.map((row) => ({ ...(operator === 'extend' && row), ...valuesOf(columns, row) }));
      }
      case 'top': {
        const count = Number(this.#take());
        this.expect('by');
        const key = this.#either();
        this.expect('desc');
        return [...rows].sort((a, b) => (isLess(key(a), key(b)) === true ? 1 : -1)).slice(0, count);
      }
      case 'summarize':
        return this.#summarize(rows);
      case 'join':
        return this.#join(rows);
      default:
        return refuse(operator);
    }
  }

  /** One row for each group; without keys one row, also of no rows at all. */
  #summarize(rows: readonly Row[]): Row[] {
    const aggregates = this.#list(() => this.#aggregate());
    const keys = this.#taken('by') === undefined ? [] : this.#list(() => this.#column());
    const summary = (members: readonly Row[]): Row =>
      Object.assign({}, ...aggregates.map((aggregate) => aggregate(members))) as Row;
    if (keys.length === 0) return [summary(rows)];
    const groups = Map.groupBy(rows, (row) => keys.map(({ value }) => shown(value(row))).join('\n'));
    return [...groups.values()].map((members) => ({
      ...valuesOf(keys, members[0] ?? {}),
      ...summary(members),
    }));
  }

  /** The left row with the columns of the right ones that it lacks. */
  #join(rows: readonly Row[]): Row[] {
    this.expect('kind', '=', 'leftouter', '(');
    const right = this.rows();
    this.expect(')', 'on');
    const key = this.#take();
    // Missing texts are empty.
    const nothing = Object.fromEntries(right.flatMap(Object.keys).map((name) => [name, '']));
    return rows.flatMap((left) => {
      const matches = right.filter((row) => row[key] === left[key]);
      return (matches.length > 0 ? matches : [nothing]).map((row) => ({ ...row, ...left }));
    });
  }

  #aggregate(): Aggregate {
    const name = this.tokens[this.#next + 1] === '=' ? this.#take() : undefined;
    if (name !== undefined) this.expect('=');
    const called = this.#take();
    this.expect('(');
    const columns = this.#taken(')') ? [] : this.#list(() => this.#column());
    if (columns.length > 0) this.expect(')');
    if (called === 'arg_max' && name === undefined) return (rows) => rowOfLargest(rows, columns);
    const aggregate = aggregates[called] ?? refuse(called);
    return (rows) => {
      const values = rows.map((row) => columns[0]?.value(row) ?? null).filter((value) => value !== null);
      return { [name ?? refuse(called)]: called === 'count' ? BigInt(rows.length) : aggregate(values) };
    };
  }

  /** `name = expression`; `bin(name, 1h)` and `name` are named as their column. */
  #column(): Column {
    const named = this.tokens[this.#next + 1] === '=';
    const name =
      named || this.tokens[this.#next + 1] !== '(' ? this.tokens[this.#next] : this.tokens[this.#next + 2];
    if (named) this.#next += 2;
    return { name: name ?? '', value: this.#either() };
  }

  #either(): Expression {
    return this.#binary(['or'], () => this.#binary(['and'], () => this.#comparison()));
  }

  #comparison(): Expression {
    const left = this.#sum();
    const isIn = this.#taken('in', '!in');
    if (isIn === undefined) return this.#binary(['==', '!=', '<', '>'], () => this.#sum(), left);
    this.expect('(');
    const members = this.#list(() => this.#sum());
    this.expect(')');
    return (row) => members.some((member) => member(row) === left(row)) === (isIn === 'in');
  }

  #sum(): Expression {
    return this.#binary(['+'], () => this.#binary(['*', '/'], () => this.#operand()));
  }

  #binary(operators: readonly string[], operand: () => Expression, first = operand()): Expression {
    const operator = this.#taken(...operators);
    if (operator === undefined) return first;
    const second = operand();
    const apply = binary[operator] ?? refuse(operator);
    return this.#binary(operators, operand, (row) => apply(first(row), second(row)));
  }

  #operand(): Expression {
    const token = this.#take();
    if (token === '(') {
      const inner = this.#either();
      this.expect(')');
      return inner;
    }
    if (token.startsWith("'")) return () => token.slice(1, -1);
    if (/^\d+$/.test(token)) return () => BigInt(token);
    if (/^\d+\.\d+$/.test(token)) return () => Number(token);
    if (this.#taken('(')) return this.#call(token);
    if (this.#taken('.')) {
      const property = this.#take();
      return (row) => ((row[token] as Properties | undefined) ?? refuse(token))[property] ?? null;
    }
    return (row) => (row[token] === undefined ? refuse(token) : row[token]);
  }

  #call(name: string): Expression {
    const first = this.#either();
    if (name === 'bin') {
      this.expect(',', '1h', ')');
      return (row) => startOfHour(first(row));
    }
    const others = this.#taken(',') ? this.#list(() => this.#either()) : [];
    this.expect(')');
    const call = functions[name] ?? refuse(name);
    return (row) => call(...([first, ...others].map((operand) => operand(row)) as [Value]));
  }
}

function valuesOf(columns: readonly Column[], row: Row): Row {
  return Object.fromEntries(columns.map(({ name, value }) => [name, value(row)]));
}

/** arg_max: columns of the row in which the first of them is largest. */
function rowOfLargest(rows: readonly Row[], columns: readonly Column[]): Row {
  const [{ value }] = columns as [Column];
  const row = rows.reduce((most, row) => (isLess(value(most), value(row)) === true ? row : most));
  return valuesOf(columns, row);
}

const aggregates: Readonly<Record<string, (values: readonly Value[]) => Value>> = {
  count: refuse,
  // Undocumented without values.
  sum: (values) =>
    values.length === 0 ? refuse('sum of nothing') : values.reduce((sum, value) => add(sum, value)),
  max: (values) =>
    values.reduce((most, value) => (isLess(most, value) === true ? value : most), values[0] ?? null),
  take_any: ([first = '']) => first,
  // "An estimate": exact only if all values are equal.
  percentile: (values) => (new Set(values).size > 1 ? refuse('percentile') : (values[0] ?? null)),
};

const textOf = (value: Value): string => (typeof value === 'string' ? value : refuse(value));
const numberOf = (value: Value): number | null =>
  value !== null && /^-?\d+(\.\d+)?$/.test(textOf(value)) ? Number(value) : null;
/** "12.7" is 12. */
const long = (value: Value): Value => {
  const number = numberOf(value);
  return number === null ? null : BigInt(Math.trunc(number));
};

const functions: Readonly<Record<string, (first: Value, ...others: Value[]) => Value>> = {
  tostring: (value) => textOf(value ?? ''),
  tolong: long,
  toint: long,
  todouble: numberOf,
  todatetime: (value) => {
    const date = new Date(textOf(value ?? ''));
    return Number.isNaN(date.getTime()) ? null : date;
  },
  isnotempty: (value) => textOf(value ?? '') !== '',
  strcat: (...values) => values.map(textOf).join(''),
  iff: (condition, yes = null, no = null) =>
    yes === null || no === null || typeof yes === typeof no
      ? condition === true
        ? yes
        : no
      : refuse('iff of two types'),
};

function startOfHour(value: Value): Date {
  const hour = 3_600_000;
  return value instanceof Date ? new Date(Math.floor(value.getTime() / hour) * hour) : refuse(value);
}

const both =
  (operation: (a: boolean, b: boolean) => boolean) =>
  (left: Value, right: Value): Value =>
    typeof left === 'boolean' && typeof right === 'boolean'
      ? operation(left, right)
      : refuse(`${shown(left)} as a condition`);

const numeric =
  (operation: (a: number, b: number) => number) =>
  (left: Value, right: Value): Value => {
    if (left === null || right === null) return null;
    const number = operation(...numbers(left, right));
    if (!Number.isFinite(number)) return refuse('a division by zero');
    // The result of two longs is a long.
    return typeof left === 'bigint' && typeof right === 'bigint' ? BigInt(Math.trunc(number)) : number;
  };
const add = numeric((a, b) => a + b);

const binary: Readonly<Record<string, (left: Value, right: Value) => Value>> = {
  and: both((a, b) => a && b),
  or: both((a, b) => a || b),
  '==': isEqual,
  '!=': (left, right) => {
    const equal = isEqual(left, right);
    return equal === null ? null : !equal;
  },
  '<': isLess,
  '>': (left, right) => isLess(right, left),
  '+': add,
  '*': numeric((a, b) => a * b),
  '/': numeric((a, b) => a / b),
};

/** Null and a value are unequal; two nulls give null. */
function isEqual(left: Value, right: Value): boolean | null {
  if (left === null || right === null) return left === right ? null : false;
  if (typeof left === 'string' && typeof right === 'string') return left === right;
  const [a, b] = numbers(left, right);
  return a === b;
}

function isLess(left: Value, right: Value): boolean | null {
  if (left === null || right === null) return null;
  const [a, b] = numbers(left, right);
  return a < b;
}

/** Two numbers, or two times. */
function numbers(left: Value, right: Value): [number, number] {
  const isNumber = (value: Value): boolean => ['bigint', 'number'].includes(typeof value);
  const comparable = (isNumber(left) && isNumber(right)) || (left instanceof Date && right instanceof Date);
  return comparable ? [Number(left), Number(right)] : refuse(`${shown(left)} with ${shown(right)}`);
}
