import { notServed, sqlError } from '../errors';
import { isDate, isInteger, isString, isUnicode, type SqlType, type SqlValue } from '../sqlTypes';
import { parseDateString, roundTo } from './dates';

/** How wide signed integers are; TINYINT is a byte without a sign. */
const BITS: Readonly<Record<string, number>> = { smallint: 16, int: 32, bigint: 64 };
const GUID = /^\{?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\}?/i;

const cp1252 = new TextDecoder('windows-1252');
const CP1252_BYTES = new Map(
  Array.from({ length: 256 }, (_, byte) => [cp1252.decode(Uint8Array.of(byte)), byte] as const),
);

export const fromCp1252 = (bytes: Uint8Array): string => cp1252.decode(bytes);

/** What code page 1252 lacks becomes a question mark in a VARCHAR. */
export const toCp1252 = (text: string): Buffer =>
  Buffer.from(text.split('').map((unit) => CP1252_BYTES.get(unit) ?? 0x3f));

const GUID_GROUPS = [[0, 4] as const, [4, 6] as const, [6, 8] as const];

/** A GUID's bytes, whose first three groups are little endian, and back. */
export function guidToBytes(guid: string): Buffer {
  return swapGroups(Buffer.from(guid.replaceAll('-', ''), 'hex'));
}
export function bytesToGuid(bytes: Buffer): string {
  const hex = swapGroups(Buffer.from(bytes)).toString('hex').toUpperCase();
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
function swapGroups(bytes: Buffer): Buffer {
  for (const [from, to] of GUID_GROUPS) bytes.subarray(from, to).reverse();
  return bytes;
}

/** CAST and implicit conversions. Throws SqlError 241, 245, 8114, 8115, 8169, 40514. */
export function convert(value: SqlValue, from: SqlType, to: SqlType): SqlValue {
  if (value === null) return null;
  if (isString(to) && isDate(from)) throw notServed('the conversion of dates to text');
  if (isString(to)) return fit(String(value), to);
  if (isDate(to)) {
    if (isDate(from)) return roundTo(String(value), to);
    if (isString(from)) return parseDateString(String(value), to);
  }
  if (isInteger(to) && (isString(from) || isInteger(from))) return toInteger(value, from, to);
  if (to.name === 'uniqueidentifier' && !isDate(from) && !isInteger(from)) {
    if (value instanceof Uint8Array) return bytesToGuid(Buffer.concat([value, Buffer.alloc(16)], 16));
    const [, guid] = GUID.exec(String(value)) ?? [];
    if (guid === undefined) throw sqlError(8169);
    return guid.toUpperCase();
  }
  if (from.name === to.name) return value;
  throw notServed(`the conversion of ${from.name} to ${to.name}`);
}

function fit(text: string, to: SqlType): string {
  const length = to.length ?? 30;
  const cut = length === -1 ? text : text.slice(0, length);
  return isUnicode(to) ? cut : fromCp1252(toCp1252(cut));
}

function toInteger(value: SqlValue, from: SqlType, to: SqlType): bigint {
  const text = String(value).trim();
  if (!/^([-+]?\d+)?$/.test(text))
    throw to.name === 'bigint'
      ? sqlError(8114, from.name, to.name)
      : sqlError(245, from.name, String(value), to.name);
  const integer = BigInt(text.replace('+', ''));
  if (to.name === 'bit') return integer === 0n ? 0n : 1n;
  const bits = BITS[to.name];
  const fits = bits === undefined ? BigInt.asUintN(8, integer) : BigInt.asIntN(bits, integer);
  if (fits === integer) return integer;
  throw sqlError(8115, to.name);
}
