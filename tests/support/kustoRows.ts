/**
 * Runs a query of infra/queries/ over rows: the operators and functions of KQL that these use, read from Microsoft's own
 * syntax tree, and no other. What is not here, or not documented for the values at hand, is an error, never a guess.
 * Semantics: "Kusto Query Language", among it "Null values" and "Numerical operators".
 */
import { kindOf, parseQuery, type SyntaxNode } from './kusto';

/** A long is a bigint, a real a number, a timespan a Timespan; a property that is not there is null. */
export type Value = string | bigint | number | boolean | Date | Timespan | null | Dynamic;
export type Row = Readonly<Record<string, Value>>;
/** A property bag whose values are texts, as Application Insights keeps customDimensions. */
type Dynamic = Readonly<Record<string, string | undefined>>;

class Timespan {
  constructor(readonly ms: number) {}
}

export function runQuery(text: string, tables: Readonly<Record<string, readonly Row[]>>): Row[] {
  const [statement, ...others] = parts(parseQuery(text));
  if (!statement || kindOf(statement) !== 'ExpressionStatement' || others.length > 0)
    throw new Error('One expression is understood, which starts with a table');
  return rowsOf(must(parts(statement)[0]), tables);
}

function rowsOf(node: SyntaxNode, tables: Readonly<Record<string, readonly Row[]>>): Row[] {
  const [first, second] = parts(node);
  switch (kindOf(node)) {
    case 'PipeExpression':
      return apply(must(second), rowsOf(must(first), tables), tables);
    case 'ParenthesizedExpression':
      return rowsOf(must(first), tables);
    case 'NameReference':
      return [...(tables[nameOf(node)] ?? unknown(node))];
    default:
      return unknown(node);
  }
}

function apply(
  operator: SyntaxNode,
  rows: readonly Row[],
  tables: Readonly<Record<string, readonly Row[]>>,
): Row[] {
  const operands = parts(operator);
  const [first, second] = operands;
  switch (kindOf(operator)) {
    case 'FilterOperator':
      return rows.filter((row) => evaluate(must(first), row) === true);
    case 'ExtendOperator':
      return rows.map((row) => ({ ...row, ...columns(operands, row) }));
    case 'ProjectOperator':
      return rows.map((row) => columns(operands, row));
    case 'TopOperator': {
      const [by, order] = parts(must(second));
      if (!order?.toString().includes('desc')) return unknown(operator);
      const key = (row: Row): Value => evaluate(must(by), row) ?? unknown(operator);
      const sorted = [...rows].sort((a, b) => (isLess(operator, key(a), key(b)) ? 1 : -1));
      return sorted.slice(0, Number(evaluate(must(first), {})));
    }
    case 'SummarizeOperator':
      return summarize(operands, rows);
    case 'JoinOperator':
      return join(operator, rows, rowsOf(must(first), tables));
    default:
      return unknown(operator);
  }
}

/** One row for each group; without keys one row, also of no rows at all. */
function summarize(operands: readonly SyntaxNode[], rows: readonly Row[]): Row[] {
  const by = operands.find((operand) => kindOf(operand) === 'SummarizeByClause');
  const aggregates = operands.filter((operand) => operand !== by);
  const row = (key: Row, members: readonly Row[]): Row =>
    Object.assign({}, key, ...aggregates.map((operand) => aggregate(operand, members))) as Row;
  if (!by) return [row({}, rows)];
  const groups = new Map<string, { key: Row; members: Row[] }>();
  for (const member of rows) {
    const key = columns(parts(by), member);
    const id = JSON.stringify(key, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
    const group = groups.get(id) ?? { key, members: [] };
    group.members.push(member);
    groups.set(id, group);
  }
  return [...groups.values()].map(({ key, members }) => row(key, members));
}

function aggregate(expression: SyntaxNode, rows: readonly Row[]): Row {
  const isNamed = kindOf(expression) === 'SimpleNamedExpression';
  const [name, call = expression] = isNamed ? parts(expression) : [];
  const [callee, list] = parts(call);
  const [first, ...rest] = parts(must(list));
  const values = first ? rows.map((row) => evaluate(first, row)).filter((value) => value !== null) : [];
  const largest = (): Value =>
    values.reduce<Value>((most, value) => (most === null || isLess(call, most, value) ? value : most), null);
  const called = (value: Value): Row => ({ [nameOf(must(name))]: value });
  switch (nameOf(must(callee))) {
    case 'count':
      return called(BigInt(rows.length));
    case 'sum':
      // Of no value at all it is not documented.
      return called(
        values.length === 0 ? unknown(call) : values.reduce<Value>((sum, value) => add(call, sum, value), 0n),
      );
    case 'max':
      return called(largest());
    case 'take_any':
      return called(values[0] ?? '');
    case 'percentile':
      // "An estimate": certain only of values that are all the same.
      return called(values.every((value) => value === values[0]) ? (values[0] ?? null) : unknown(call));
    case 'arg_max': {
      const most = largest();
      const row = rows.find((candidate) => isEqual(call, evaluate(must(first), candidate), most) === true);
      return columns([must(first), ...rest], row ?? unknown(call));
    }
    default:
      return unknown(call);
  }
}

/** The left row with the columns of the right ones that it lacks. */
function join(operator: SyntaxNode, rows: readonly Row[], right: readonly Row[]): Row[] {
  if (!operator.toString().includes('kind=leftouter')) return unknown(operator);
  const keys = parts(must(parts(operator)[1])).map(nameOf);
  // Texts that are not there are empty.
  const nothing = Object.fromEntries(right.flatMap(Object.keys).map((name) => [name, '']));
  return rows.flatMap((left) => {
    const matches = right.filter((row) => keys.every((key) => row[key] === left[key]));
    return (matches.length > 0 ? matches : [nothing]).map((row) => ({ ...row, ...left }));
  });
}

function columns(expressions: readonly SyntaxNode[], row: Row): Row {
  return Object.assign({}, ...expressions.map((expression) => column(expression, row))) as Row;
}

function column(expression: SyntaxNode, row: Row): Row {
  const [name, value] = parts(expression);
  switch (kindOf(expression)) {
    case 'SimpleNamedExpression':
      return { [nameOf(must(name))]: evaluate(must(value), row) };
    case 'FunctionCallExpression': {
      // bin(timestamp, 1h) is named as its column.
      if (nameOf(must(name)) !== 'bin') return unknown(expression);
      return { [nameOf(must(parts(must(value))[0]))]: evaluate(expression, row) };
    }
    default:
      return { [nameOf(expression)]: evaluate(expression, row) };
  }
}

function evaluate(node: SyntaxNode, row: Row): Value {
  const [first, second] = parts(node);
  switch (kindOf(node)) {
    case 'NameReference': {
      const value = row[nameOf(node)];
      return value === undefined ? unknown(node) : value;
    }
    case 'LiteralExpression':
      return toLiteral(node);
    case 'ParenthesizedExpression':
      return evaluate(must(first), row);
    case 'PathExpression':
      return (evaluate(must(first), row) as Dynamic)[nameOf(must(second))] ?? null;
    case 'InExpression': {
      const value = evaluate(must(first), row);
      const isIn = parts(must(second)).some((one) => evaluate(one, row) === value);
      return operatorOf(node) === 'in' ? isIn : operatorOf(node) === '!in' ? !isIn : unknown(node);
    }
    case 'BinaryExpression':
      return binary(node, evaluate(must(first), row), evaluate(must(second), row));
    case 'FunctionCallExpression':
      return call(
        node,
        parts(must(second)).map((operand) => evaluate(operand, row)),
      );
    default:
      return unknown(node);
  }
}

function call(node: SyntaxNode, operands: readonly Value[]): Value {
  const [first = null, second = null, third = null] = operands;
  const text = (): string => (typeof first === 'string' ? first : unknown(node));
  switch (nameOf(must(parts(node)[0]))) {
    case 'tostring':
      return first === null ? '' : text();
    case 'tolong':
    case 'toint': {
      if (first === null) return null;
      // "12.7" is 12.
      const number = toNumber(text());
      return number === null ? null : BigInt(Math.trunc(number));
    }
    case 'todouble':
      return first === null ? null : toNumber(text());
    case 'todatetime': {
      const date = new Date(first === null ? '' : text());
      return Number.isNaN(date.getTime()) ? null : date;
    }
    case 'isnotempty':
      return first !== null && text() !== '';
    case 'strcat':
      return operands.map((operand) => (typeof operand === 'string' ? operand : unknown(node))).join('');
    case 'iff':
      return first === true ? second : third;
    case 'bin':
      if (!(first instanceof Date && second instanceof Timespan)) return unknown(node);
      return new Date(Math.floor(first.getTime() / second.ms) * second.ms);
    default:
      return unknown(node);
  }
}

function toNumber(text: string): number | null {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : null;
}

function binary(node: SyntaxNode, left: Value, right: Value): Value {
  switch (operatorOf(node)) {
    case 'and':
    case 'or': {
      if (typeof left !== 'boolean' || typeof right !== 'boolean') return unknown(node);
      return operatorOf(node) === 'and' ? left && right : left || right;
    }
    case '==':
      return isEqual(node, left, right);
    case '!=': {
      const equal = isEqual(node, left, right);
      return equal === null ? null : !equal;
    }
    case '<':
      return left === null || right === null ? null : isLess(node, left, right);
    case '>':
      return left === null || right === null ? null : isLess(node, right, left);
    case '+':
      return left === null || right === null ? null : add(node, left, right);
    case '*':
      return arithmetic(node, left, right, {
        long: (a, b) => a * b,
        real: (a, b) => a * b,
      });
    case '/':
      if (Number(right) === 0) return unknown(node);
      // Of two longs it is a long.
      return arithmetic(node, left, right, {
        long: (a, b) => a / b,
        real: (a, b) => a / b,
      });
    default:
      return unknown(node);
  }
}

/** Null and a value are unequal; of two nulls nothing is known. */
function isEqual(node: SyntaxNode, left: Value, right: Value): boolean | null {
  if (left === null && right === null) return null;
  if (left === null || right === null) return false;
  if (left instanceof Date && right instanceof Date) return left.getTime() === right.getTime();
  if (typeof left === 'string' && typeof right === 'string') return left === right;
  const [a, b] = numbers(node, left, right);
  return a == b;
}

function isLess(node: SyntaxNode, left: Value, right: Value): boolean {
  if (left instanceof Date && right instanceof Date) return left < right;
  const [a, b] = numbers(node, left, right);
  return a < b;
}

function add(node: SyntaxNode, left: Value, right: Value): Value {
  return arithmetic(node, left, right, { long: (a, b) => a + b, real: (a, b) => a + b });
}

interface Arithmetic {
  long(a: bigint, b: bigint): bigint;
  real(a: number, b: number): number;
}

function arithmetic(node: SyntaxNode, left: Value, right: Value, operation: Arithmetic): Value {
  if (left === null || right === null) return null;
  const [a, b] = numbers(node, left, right);
  return typeof a === 'bigint' && typeof b === 'bigint'
    ? operation.long(a, b)
    : operation.real(Number(a), Number(b));
}

function numbers(node: SyntaxNode, left: Value, right: Value): [bigint | number, bigint | number] {
  const isNumber = (value: Value): value is bigint | number => ['bigint', 'number'].includes(typeof value);
  return isNumber(left) && isNumber(right) ? [left, right] : unknown(node);
}

function toLiteral(node: SyntaxNode): Value {
  const text = node.toString().trim();
  const [, count, unit] = /^(\d+)([dhm])$/.exec(text) ?? [];
  if (count !== undefined)
    return new Timespan(Number(count) * { d: 86_400_000, h: 3_600_000, m: 60_000 }[unit as 'd']);
  if (/^'.*'$/.test(text)) return text.slice(1, -1);
  if (/^\d+$/.test(text)) return BigInt(text);
  return /^\d+\.\d+$/.test(text) ? Number(text) : unknown(node);
}

/** The nodes in a node, without tokens, separators and named parameters; lists are flattened. */
function parts(node: SyntaxNode): SyntaxNode[] {
  return Array.from({ length: node.ChildCount }, (_, index) => node.GetChild(index)).flatMap((child) => {
    if (child === null) return [];
    const kind = kindOf(child);
    if (kind.startsWith('SyntaxToken') || kind === 'NamedParameter') return [];
    return kind === 'SyntaxList' || kind === 'SeparatedElement' ? parts(child) : [child];
  });
}

/** The name that a reference or a declaration holds. */
function nameOf(node: SyntaxNode): string {
  const text = node
    .toString()
    .replace(/^(\s|\/\/.*\n)*/, '')
    .trim();
  return /^\w+$/.test(text) ? text : unknown(node);
}

function operatorOf(node: SyntaxNode): string {
  const children = Array.from({ length: node.ChildCount }, (_, index) => node.GetChild(index));
  const token = children.find((child) => child && kindOf(child).startsWith('SyntaxToken'));
  return token?.toString().trim() ?? '';
}

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('The query ends too early');
  return value;
}

function unknown(node: SyntaxNode): never {
  throw new Error(`This is not understood: ${kindOf(node)} ${node.toString()}`);
}
