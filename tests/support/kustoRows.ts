/**
 * Runs a query over rows: the operators and functions of KQL that the alert rules use, read from Microsoft's own syntax
 * tree. What it does not know is an error, never a guess. Semantics: "Kusto Query Language", with null for what a
 * comparison with null gives, and for a property that is not there.
 */
import { kindOf, parseQuery, type SyntaxNode } from './kusto';

export type Value = string | number | boolean | Date | null | { readonly [name: string]: Value };
export type Row = Readonly<Record<string, Value>>;

/** @param now what now() gives */
export function runQuery(text: string, tables: Readonly<Record<string, readonly Row[]>>, now: Date): Row[] {
  const names = new Map<string, Value>();
  const rowsByName = new Map(Object.entries(tables));
  let result: Row[] = [];

  function rowsOf(node: SyntaxNode, source?: readonly Row[]): Row[] {
    const [first, second, ...rest] = parts(node);
    switch (kindOf(node)) {
      case 'PipeExpression':
        return apply(must(second), rowsOf(must(first), source));
      case 'ParenthesizedExpression':
      case 'PartitionSubquery':
        return rowsOf(must(first), source);
      case 'NameReference':
        return [...(rowsByName.get(nameOf(node)) ?? unknown(node))];
      case 'DataTableExpression': {
        const columns = parts(must(first)).map((declaration) => nameOf(must(parts(declaration)[0])));
        const values = [second, ...rest].map((literal) => evaluate(must(literal), {}));
        return Array.from({ length: values.length / columns.length }, (_, row) =>
          Object.fromEntries(
            columns.map((name, index) => [name, values[row * columns.length + index] ?? null]),
          ),
        );
      }
      default:
        // The first operator of a subquery.
        return apply(node, source ?? unknown(node));
    }
  }

  function apply(operator: SyntaxNode, rows: readonly Row[]): Row[] {
    const operands = parts(operator);
    const [first, second] = operands;
    switch (kindOf(operator)) {
      case 'FilterOperator':
        return rows.filter((row) => evaluate(must(first), row) === true);
      case 'ExtendOperator':
        return rows.map((row) =>
          operands.reduce((extended, operand) => ({ ...extended, ...named(operand, extended) }), row),
        );
      case 'ProjectOperator':
        return rows.map((row) => Object.assign({}, ...operands.map((operand) => named(operand, row))) as Row);
      case 'TopOperator': {
        const by = must(parts(must(second))[0]);
        const newestFirst = [...rows].sort((a, b) => Number(evaluate(by, b)) - Number(evaluate(by, a)));
        return newestFirst.slice(0, Number(evaluate(must(first), {})));
      }
      case 'PartitionOperator':
        return groups(rows, [must(first)]).flatMap(({ members }) => rowsOf(must(second), members));
      case 'SummarizeOperator': {
        const by = must(operands.at(-1));
        return groups(rows, parts(by)).map(({ key, members }) =>
          operands.slice(0, -1).reduce((row, operand) => ({ ...row, ...aggregate(operand, members) }), key),
        );
      }
      case 'JoinOperator': {
        if (!operator.toString().includes('kind=leftouter')) unknown(operator);
        const right = rowsOf(must(first));
        const keys = parts(must(second)).map(nameOf);
        const columns = Object.fromEntries(
          [...new Set(right.flatMap(Object.keys))].map((name) => [name, null]),
        );
        return rows.flatMap((left) => {
          const matches = right.filter((row) => keys.every((key) => row[key] === left[key]));
          return (matches.length > 0 ? matches : [columns]).map((row) => ({ ...row, ...left }));
        });
      }
      default:
        return unknown(operator);
    }
  }

  function groups(rows: readonly Row[], by: readonly SyntaxNode[]): { key: Row; members: Row[] }[] {
    const found = new Map<string, { key: Row; members: Row[] }>();
    for (const row of rows) {
      const key = Object.assign({}, ...by.map((expression) => named(expression, row))) as Row;
      const group = found.get(JSON.stringify(key)) ?? { key, members: [] };
      group.members.push(row);
      found.set(JSON.stringify(key), group);
    }
    return [...found.values()];
  }

  function named(expression: SyntaxNode, row: Row): Row {
    if (kindOf(expression) === 'SimpleNamedExpression') {
      const [name, value] = parts(expression);
      return { [nameOf(must(name))]: evaluate(must(value), row) };
    }
    return { [nameOf(expression)]: evaluate(expression, row) };
  }

  function aggregate(expression: SyntaxNode, rows: readonly Row[]): Row {
    const isNamed = kindOf(expression) === 'SimpleNamedExpression';
    const [name, call] = isNamed ? parts(expression) : [undefined, expression];
    const [callee, list] = parts(must(call));
    const operands = parts(must(list));
    const [first, second] = operands;
    const values = (among: readonly Row[]) =>
      among.map((row) => evaluate(must(first), row)).filter((value) => value !== null);
    const largest = (list: readonly Value[]) =>
      list.reduce<Value>(
        (most, value) => (most === null || Number(value) > Number(most) ? value : most),
        null,
      );
    const where = (condition: SyntaxNode) => rows.filter((row) => evaluate(condition, row) === true);
    switch (nameOf(must(callee))) {
      case 'countif':
        return { [nameOf(must(name))]: where(must(first)).length };
      case 'sum':
        return { [nameOf(must(name))]: values(rows).reduce<number>((sum, value) => sum + Number(value), 0) };
      case 'max':
        return { [nameOf(must(name))]: largest(values(rows)) };
      case 'maxif':
        return { [nameOf(must(name))]: largest(values(where(must(second)))) };
      case 'arg_max': {
        const most = largest(values(rows));
        const row = rows.find((candidate) => evaluate(must(first), candidate) === most) ?? {};
        return Object.assign({}, ...operands.map((operand) => named(operand, row))) as Row;
      }
      default:
        return unknown(must(call));
    }
  }

  function evaluate(node: SyntaxNode, row: Row): Value {
    const [first, second] = parts(node);
    switch (kindOf(node)) {
      case 'NameReference':
        return row[nameOf(node)] ?? names.get(nameOf(node)) ?? null;
      case 'LiteralExpression':
        return toLiteral(node);
      case 'ParenthesizedExpression':
        return evaluate(must(first), row);
      case 'PathExpression': {
        const object = evaluate(must(first), row);
        return typeof object === 'object' && object !== null && !(object instanceof Date)
          ? (object[nameOf(must(second))] ?? null)
          : null;
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
    switch (nameOf(must(parts(node)[0]))) {
      case 'now':
        return now;
      case 'tostring':
        return typeof first === 'object' ? (first === null ? '' : unknown(node)) : String(first);
      case 'tolong':
      case 'toint':
        return first === null || first === '' ? null : Number(first);
      case 'isnull':
        return first === null;
      case 'isnotempty':
        return first !== null && first !== '';
      case 'coalesce':
        return operands.find((operand) => operand !== null) ?? null;
      case 'iff':
        return first === true ? second : third;
      case 'case': {
        const found = operands.findIndex((operand, index) => index % 2 === 0 && operand === true);
        return operands.at(found < 0 ? -1 : found + 1) ?? null;
      }
      case 'datetime_diff':
        if (first !== 'minute') return unknown(node);
        return Math.floor(Number(second) / 60_000) - Math.floor(Number(third) / 60_000);
      default:
        return unknown(node);
    }
  }

  for (const statement of parts(parseQuery(text))) {
    const [first, second] = parts(statement);
    if (kindOf(statement) !== 'LetStatement') result = rowsOf(must(first));
    else if (kindOf(must(second)) === 'PipeExpression')
      rowsByName.set(nameOf(must(first)), rowsOf(must(second)));
    else names.set(nameOf(must(first)), evaluate(must(second), {}));
  }
  return result;
}

function binary(node: SyntaxNode, left: Value, right: Value): Value {
  const operator = operatorOf(node);
  if (operator === 'and')
    return left === false || right === false ? false : left === null || right === null ? null : true;
  if (operator === 'or')
    return left === true || right === true ? true : left === null || right === null ? null : false;
  if (left === null || right === null) return null;
  const [a, b] = [left, right].map(Number) as [number, number];
  switch (operator) {
    case '==':
      return left === right;
    case '!=':
      return left !== right;
    case '<':
      return a < b;
    case '>':
      return a > b;
    case '+':
      return left instanceof Date ? new Date(a + b) : a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return a / b;
    default:
      return unknown(node);
  }
}

/** Texts, numbers, datetime(…), and timespans such as 3h, in ms. */
function toLiteral(node: SyntaxNode): Value {
  const text = node.toString().trim();
  const [, date] = /^datetime\((.*)\)$/.exec(text) ?? [];
  if (date !== undefined) return new Date(date.length > 10 ? `${date}Z` : date);
  const [, count, unit] = /^(\d+)([dhms])$/.exec(text) ?? [];
  if (count !== undefined)
    return Number(count) * { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 }[unit as 'd'];
  if (/^'.*'$/.test(text)) return text.slice(1, -1);
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : unknown(node);
}

/** The nodes in a node, without tokens, separators and named parameters; lists are flattened. */
function parts(node: SyntaxNode): SyntaxNode[] {
  return Array.from({ length: node.ChildCount }, (_, index) => node.GetChild(index)).flatMap((child) => {
    if (child === null) return [];
    const kind = kindOf(child);
    if (kind.startsWith('SyntaxToken') || kind === 'NamedParameter' || kind === 'Directive') return [];
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
  return (
    children
      .find((child) => child && kindOf(child).startsWith('SyntaxToken'))
      ?.toString()
      .trim() ?? ''
  );
}

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('The query ends too early');
  return value;
}

function unknown(node: SyntaxNode): never {
  throw new Error(`This is not understood: ${kindOf(node)} ${node.toString()}`);
}
