import { SqlError, batchError, conversionError } from '../errors';
import { isDate, isInteger, isString, type SqlType, type SqlValue } from '../sqlTypes';
import { dateToText, formatMoment, momentFrom1900, parseDateString, roundTo } from './dates';

const RANGES: Readonly<Record<string, readonly [bigint, bigint]>> = {
  tinyint: [0n, 255n],
  smallint: [-32768n, 32767n],
  int: [-2147483648n, 2147483647n],
  bigint: [-(2n ** 63n), 2n ** 63n - 1n],
};
const GUID = /^\{?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\}?/i;
/** What code page 1252 has beyond Latin-1. Anything else becomes a question mark in a VARCHAR. */
const CP1252 = '€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ';
const NOT_IN_CP1252 = new RegExp(`[^\\u0000-\\u00ff${CP1252}]`, 'g');

export const toVarchar = (text: string): string => text.replace(NOT_IN_CP1252, '?');

/** CAST and CONVERT, and implicit conversions. Throws SqlError 220, 241, 245, 8114, 8115, 8169, 529. */
export function convert(value: SqlValue, from: SqlType, to: SqlType, style?: number): SqlValue {
  if (value === null) return null;
  if (isString(to)) return fit(toText(value, from, style), to);
  if (isDate(to)) {
    if (isDate(from)) return roundTo(String(value), to);
    if (typeof value === 'string') return parseDateString(value, to);
    if (typeof value === 'bigint' && to.name === 'datetime')
      return formatMoment(momentFrom1900(Number(value), 0));
    throw new SqlError(529, `Explicit conversion from data type ${from.name} to ${to.name} is not allowed.`);
  }
  if (to.name === 'uniqueidentifier') {
    if (value instanceof Uint8Array) return toGuid(value);
    const match = GUID.exec(String(value));
    if (match === null) {
      throw conversionError(
        8169,
        'Conversion failed when converting from a character string to uniqueidentifier.',
      );
    }
    return (match[1] ?? '').toUpperCase();
  }
  if (to.name === 'varbinary')
    return value instanceof Uint8Array
      ? value
      : Buffer.from(String(value), isUtf16(from) ? 'utf16le' : 'latin1');
  return toNumber(value, from, to);
}

/** The first three groups are little-endian. */
function toGuid(value: Uint8Array): string {
  const bytes = Buffer.alloc(16);
  bytes.set(value.subarray(0, 16));
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    .toUpperCase();
}

const isUtf16 = (type: SqlType): boolean => type.name.startsWith('n');

function toText(value: SqlValue, from: SqlType, style: number | undefined): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (isDate(from)) return dateToText(String(value), from, style);
  if (from.name === 'decimal') return Number(value).toFixed(from.scale ?? 0);
  return String(value);
}

function fit(text: string, to: SqlType): string {
  const length = to.length ?? 30;
  const cut = length === -1 ? text : text.slice(0, length);
  const padded = to.name === 'char' || to.name === 'nchar' ? cut.padEnd(length) : cut;
  return isUtf16(to) ? padded : toVarchar(padded);
}

function toNumber(value: SqlValue, from: SqlType, to: SqlType): SqlValue {
  if (typeof value === 'string') {
    if (!isString(from))
      throw new SqlError(
        529,
        `Explicit conversion from data type ${from.name} to ${to.name} is not allowed.`,
      );
    const text = value.trim();
    const integer = isInteger(to);
    if (to.name === 'bit' && /^(true|false)$/i.test(text)) return text.toLowerCase() === 'true' ? 1n : 0n;
    if (!(integer ? /^([-+]?\d+)?$/ : /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i).test(text)) {
      if (!integer || to.name === 'bigint')
        throw conversionError(
          8114,
          `Error converting data type ${from.name} to ${to.name === 'decimal' ? 'numeric' : to.name}.`,
        );
      throw conversionError(
        245,
        `Conversion failed when converting the ${from.name} value '${value}' to data type ${to.name}.`,
      );
    }
    if (!integer) return scaled(Number(text), to);
    return inRange(BigInt(text.replace('+', '')), value, from, to);
  }
  if (!isInteger(to)) return scaled(Number(value), to);
  const integer = typeof value === 'bigint' ? value : BigInt(Math.trunc(Number(value)));
  return inRange(integer, String(value), from, to);
}

const scaled = (value: number, to: SqlType): number =>
  to.name === 'decimal' ? Number(value.toFixed(to.scale ?? 0)) : value;

function inRange(value: bigint, text: string, from: SqlType, to: SqlType): bigint {
  if (to.name === 'bit') return value === 0n ? 0n : 1n;
  const [low, high] = RANGES[to.name] ?? [value, value];
  if (value >= low && value <= high) return value;
  if (isString(from))
    throw batchError(
      248,
      `The conversion of the ${from.name} value '${text}' overflowed an ${to.name} column.`,
    );
  throw new SqlError(8115, `Arithmetic overflow error converting expression to data type ${to.name}.`);
}
