import { hash, randomUUID } from 'node:crypto';
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { parseType } from '../dialect/tokenReader';
import { notServed, sqlError } from '../errors';
import { NULL_TYPE, type SqlType, type SqlValue } from '../sqlTypes';
import { convert } from './convert';
import { dateAdd, dateDiff } from './dates';

const typeOf = (text: SqlValue): SqlType => (text === 'null' ? NULL_TYPE : parseType(String(text)));

type Value = Exclude<SqlValue, null>;

/** A function that is NULL where an argument is. */
const strict =
  (body: (...args: [Value, Value, Value, Value]) => SqlValue) =>
  (...args: SqlValue[]): SqlValue =>
    args.includes(null) ? null : body(...(args as [Value, Value, Value, Value]));

function diff(part: Value, from: Value, to: Value): bigint {
  const result = dateDiff(String(part), String(from), String(to));
  if (Math.abs(result) > 2147483647) throw notServed('DATEDIFF beyond 32 bits');
  return BigInt(result);
}

function divide(op: Value, a: bigint, b: bigint): bigint {
  if (b === 0n) throw sqlError(8134);
  return op === '/' ? a / b : a % b;
}

/** Replaces each character of `old` by the one at its place in `by`. */
function translate(text: string, old: string, by: string): string {
  if (old.length !== by.length) throw sqlError(9828);
  if (!Array.from(old).some((character) => text.includes(character))) return text;
  return Array.from(text, (character) => by[old.indexOf(character)] ?? character).join('');
}

/** Deterministic functions. */
const PURE: Readonly<Record<string, (...args: SqlValue[]) => SqlValue>> = {
  _convert: (value = null, from = null, to = null) => convert(value, typeOf(from), typeOf(to)),
  _dateadd: strict((part, count, date) => dateAdd(String(part), Number(count), String(date))),
  _datediff: strict((part, from, to) => diff(part, from, to)),
  _divide: strict((op, a, b) => divide(op, a as bigint, b as bigint)),
  _sha256: strict((text, encoding) =>
    hash('sha256', Buffer.from(String(text), encoding as BufferEncoding), 'buffer'),
  ),
  _translate: strict((text, old, by) => translate(String(text), String(old), String(by))),
  _lower: strict((text) => String(text).toLowerCase()),
};

/** T-SQL's functions that SQLite lacks or has with other rules, under the names that the dialect uses. */
export function registerFunctions(sqlite: DatabaseSync): void {
  for (const [name, body] of Object.entries(PURE)) {
    const call = body as (...args: SQLOutputValue[]) => SqlValue;
    sqlite.function(name, { deterministic: true, useBigIntArguments: true, varargs: true }, call);
  }
  sqlite.function('_newid', () => randomUUID().toUpperCase());
}
