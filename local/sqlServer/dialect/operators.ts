import { convert } from '../engine/convert';
import { notServed } from '../errors';
import {
  BOOLEAN,
  commonType,
  datetime2,
  INT,
  isDate,
  isInteger,
  isString,
  isUnicode,
  TYPE_NAMES,
  typeText,
} from '../sqlTypes';
import type { SqlType, SqlValue } from '../sqlTypes';
import { quoteText, type Emitted, type Expr, type Scope } from './scope';

export const condition = (sql: string): Emitted => ({ sql, type: BOOLEAN });

export function predicate(expr: Expr, scope: Scope): string {
  const { sql, type } = expr(scope);
  if (type.name !== 'boolean') throw notServed(`${sql} as a condition`);
  return sql;
}

export function value(expr: Expr, scope: Scope): Emitted {
  const emitted = expr(scope);
  if (emitted.type.name === 'boolean') throw notServed(`the condition ${emitted.sql} as a value`);
  return emitted;
}

export function literal(constant: SqlValue, type: SqlType): Emitted {
  let sql: string;
  if (constant === null) sql = 'NULL';
  else if (constant instanceof Uint8Array) sql = `x'${Buffer.from(constant).toString('hex')}'`;
  else sql = typeof constant === 'string' ? quoteText(constant) : String(constant);
  return { sql, type, literal: constant };
}

/** As SQL Server would compare or sort it: without case, unless it is declared otherwise. */
export function sortable({ sql, type, collation = 'NOCASE' }: Emitted): string {
  return isString(type) ? `${sql} COLLATE ${collation}` : sql;
}

export function compare(op: string, left: Emitted, right: Emitted): string {
  const [l, r] = harmonise(left, right);
  if (!isString(l.type) || !isString(r.type)) return `(${l.sql} ${op} ${r.sql})`;
  const conflict = l.collation && r.collation && l.collation !== r.collation;
  if (conflict && l.explicitCollation === r.explicitCollation)
    throw notServed(`the comparison ${op} of different collations`);
  const collation = (r.explicitCollation ? r.collation : l.collation) ?? r.collation ?? 'NOCASE';
  return `(${sortable({ ...l, collation })} ${op} ${r.sql})`;
}

export function isIn(left: Emitted, items: readonly Emitted[]): Emitted {
  const mixed = isString(left.type) && items.some(({ type }) => !isString(type) && type.name !== 'null');
  if (mixed) return condition(`(${items.map((item) => compare('=', left, item)).join(' OR ')})`);
  const list = items.map((item) => harmonise(left, item)[1].sql).join(', ');
  return condition(`(${sortable(left)} IN (${list}))`);
}

export function arithmetic(op: string, left: Emitted, right: Emitted): Emitted {
  if (isDate(left.type) || isDate(right.type)) throw notServed(`the operator ${op} on dates`);
  const type = commonType(left.type, right.type);
  if (isString(type)) {
    if (op !== '+') throw notServed(`the operator ${op} on text`);
    const [l = 0, r = 0] = [left.type.length, right.type.length];
    const length = Math.min(l, r) < 0 ? -1 : Math.min(l + r, isUnicode(type) ? 4000 : 8000);
    return { sql: `(${left.sql} || ${right.sql})`, type: { name: type.name, length } };
  }
  const [l, r] = harmonise(left, right);
  const sql =
    op === '/' || op === '%' ? `_divide(${quoteText(op)}, ${l.sql}, ${r.sql})` : `(${l.sql} ${op} ${r.sql})`;
  return { sql, type: ['bit', 'tinyint', 'smallint'].includes(type.name) ? INT : type };
}

/** Implicit conversion of the side whose type has the lower precedence. Dates compare with each other as they are. */
function harmonise(left: Emitted, right: Emitted): [Emitted, Emitted] {
  const type = commonType(left.type, right.type);
  const adapt = (side: Emitted): Emitted => {
    if (!isString(side.type) || isString(type)) return side;
    return convertTo(side, isDate(type) && side.literal === undefined ? datetime2(7) : type);
  };
  return [adapt(left), adapt(right)];
}

/** All as their common type. */
export function unify(values: readonly Emitted[]): { type: SqlType; values: Emitted[] } {
  const type = values.map((one) => one.type).reduce(commonType);
  return {
    type,
    values: values.map((one) => (isString(one.type) && isString(type) ? one : convertTo(one, type))),
  };
}

/** Into a column: whether text fits is left to SQLite's check constraint. */
export const assignTo = (emitted: Emitted, type: SqlType): Emitted => ({
  ...convertTo(emitted, isString(type) ? { ...type, length: -1 } : type),
  type,
});

/** CAST. */
export function convertTo(emitted: Emitted, to: SqlType): Emitted {
  const { type: from, sql } = emitted;
  if (from.name === 'null') return literal(null, to);
  if (emitted.literal !== undefined) return literal(convert(emitted.literal, from, to), to);
  if (isSame(from, to)) return { ...emitted, type: to };
  if (isString(from) && isString(to) && (isUnicode(to) || !isUnicode(from)))
    return { sql: `substr(${sql}, 1, ${to.length ?? 1})`, type: to };
  if (to.name === 'date' && isDate(from))
    return { sql: `(substr(${sql}, 1, 10) || ' 00:00:00.0000000')`, type: to };
  return { sql: `_convert(${sql}, ${quoteText(typeText(from))}, ${quoteText(typeText(to))})`, type: to };
}

/** Nothing changes when a value of one type is held as the other. */
function isSame(from: SqlType, to: SqlType): boolean {
  if (isString(from) && isString(to)) {
    if (isUnicode(from) && !isUnicode(to)) return false;
    return to.length === -1 || (from.length !== -1 && (from.length ?? 1) <= (to.length ?? 1));
  }
  if (isDate(from) && isDate(to)) {
    if (from.name === 'date') return true;
    const scale = from.name === 'datetime' ? 7 : (from.scale ?? 7);
    return from.name === to.name || to.name === 'datetime2' ? scale <= (to.scale ?? 7) : false;
  }
  if (isInteger(from) && isInteger(to)) return TYPE_NAMES.indexOf(from.name) <= TYPE_NAMES.indexOf(to.name);
  return from.name === to.name;
}
