import {
  daysSince1900,
  daysSinceYearOne,
  formatMoment,
  momentFrom1900,
  momentFromYearOne,
  parseMoment,
} from '../engine/dates';
import { SqlError } from '../errors';
import { isUnicode, type SqlType, type SqlValue } from '../sqlTypes';
import type { Reader, Writer } from './buffers';

/** TYPE_INFO and values of TDS 7.4 ([MS-TDS] 2.2.5.4 to 2.2.5.6). */

/** LCID 1033, case-insensitive, sort order 52: SQL_Latin1_General_CP1_CI_AS, code page 1252. */
export const COLLATION = Buffer.from([0x09, 0x04, 0xd0, 0x00, 0x34]);

const INTEGER_SIZES: Readonly<Partial<Record<SqlType['name'], number>>> = {
  tinyint: 1,
  smallint: 2,
  int: 4,
  bigint: 8,
};
const TOKENS: Readonly<Partial<Record<SqlType['name'], number>>> = {
  char: 0xaf,
  varchar: 0xa7,
  nchar: 0xef,
  nvarchar: 0xe7,
  varbinary: 0xa5,
};
const HIGH_CP1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';

export function toCp1252(text: string): Buffer {
  const bytes = Buffer.allocUnsafe(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const high = code < 256 ? -1 : HIGH_CP1252.indexOf(text.charAt(i));
    bytes[i] = code < 256 ? code : high < 0 ? 0x3f : 0x80 + high;
  }
  return bytes;
}

const fromCp1252 = (bytes: Buffer): string =>
  bytes
    .toString('latin1')
    .replace(/[\u0080-\u009f]/g, (char) => HIGH_CP1252.charAt(char.charCodeAt(0) - 0x80));

/** Bytes of a DATETIME2's time: a count of units of its scale. */
const timeBytes = (scale: number): number => (scale <= 2 ? 3 : scale <= 4 ? 4 : 5);

export function writeType(writer: Writer, type: SqlType): void {
  const size = INTEGER_SIZES[type.name];
  const token = TOKENS[type.name];
  if (size !== undefined) {
    writer.u8(0x26);
    writer.u8(size);
  } else if (token !== undefined) {
    const bytes = (type.length ?? 1) * (isUnicode(type) ? 2 : 1);
    writer.u8(token);
    writer.u16(bytes < 0 || bytes > 8000 ? 0xffff : Math.max(bytes, 1));
    if (type.name !== 'varbinary') writer.bytes(COLLATION);
  } else {
    switch (type.name) {
      case 'bit': {
        writer.bytes(Buffer.from([0x68, 1]));
        return;
      }
      case 'float': {
        writer.bytes(Buffer.from([0x6d, 8]));
        return;
      }
      case 'decimal': {
        writer.bytes(Buffer.from([0x6c, 17, type.precision ?? 18, type.scale ?? 0]));
        return;
      }
      case 'uniqueidentifier': {
        writer.bytes(Buffer.from([0x24, 16]));
        return;
      }
      case 'datetime': {
        writer.bytes(Buffer.from([0x6f, 8]));
        return;
      }
      case 'datetime2': {
        writer.bytes(Buffer.from([0x2a, type.scale ?? 7]));
        return;
      }
      case 'date': {
        writer.u8(0x28);
        return;
      }
      default:
        throw new Error(`type ${type.name} has no form on the wire`);
    }
  }
}

export function writeValue(writer: Writer, type: SqlType, value: SqlValue): void {
  const size = INTEGER_SIZES[type.name];
  if (TOKENS[type.name] !== undefined) {
    writeString(writer, type, value);
    return;
  }
  if (value === null) {
    writer.u8(0);
    return;
  }
  if (size !== undefined) {
    writer.u8(size);
    const integer = BigInt(value as bigint | number);
    if (size === 8) writer.u64(integer);
    else writer.uint(Number(BigInt.asUintN(size * 8, integer)), size);
    return;
  }
  switch (type.name) {
    case 'bit':
      writer.u8(1);
      {
        writer.u8(Number(value) === 0 ? 0 : 1);
        return;
      }
    case 'float':
      writer.u8(8);
      {
        writer.f64(Number(value));
        return;
      }
    case 'decimal': {
      const digits = Number(value).toFixed(type.scale ?? 0);
      writer.u8(17);
      writer.u8(digits.startsWith('-') ? 0 : 1);
      writer.u64(BigInt(digits.replace(/[-.]/g, '')));
      writer.u64(0n);
      return;
    }
    case 'uniqueidentifier': {
      const bytes = Buffer.from(String(value).replaceAll('-', ''), 'hex');
      bytes.subarray(0, 4).reverse();
      bytes.subarray(4, 6).reverse();
      bytes.subarray(6, 8).reverse();
      writer.u8(16);
      writer.bytes(bytes);
      return;
    }
    default: {
      writeDate(writer, type, String(value));
      return;
    }
  }
}

function writeDate(writer: Writer, type: SqlType, text: string): void {
  const moment = parseMoment(text);
  if (type.name === 'datetime') {
    writer.u8(8);
    writer.i32(daysSince1900(moment));
    writer.u32(Math.round((moment.ticks * 300) / 1e7));
    return;
  }
  const scale = type.scale ?? 7;
  const bytes = type.name === 'date' ? 0 : timeBytes(scale);
  writer.u8(3 + bytes);
  if (bytes > 0) writer.uint(Math.floor(moment.ticks / 10 ** (7 - scale)), bytes);
  writer.uint(daysSinceYearOne(moment), 3);
}

function writeString(writer: Writer, type: SqlType, value: SqlValue): void {
  const max = type.length === -1 || (type.length ?? 1) * (isUnicode(type) ? 2 : 1) > 8000;
  if (value === null) {
    if (max) writer.u64(-1n);
    else writer.u16(0xffff);
    return;
  }
  let bytes: Uint8Array;
  if (value instanceof Uint8Array) bytes = value;
  else bytes = isUnicode(type) ? Buffer.from(String(value), 'utf16le') : toCp1252(String(value));
  if (!max) {
    writer.u16(bytes.length);
    writer.bytes(bytes);
    return;
  }
  writer.u64(BigInt(bytes.length));
  if (bytes.length > 0) {
    writer.u32(bytes.length);
    writer.bytes(bytes);
  }
  writer.u32(0);
}

export interface TypedValue {
  readonly type: SqlType;
  readonly value: SqlValue;
}

/** TYPE_INFO and the value behind it, as parameters of an RPC carry them. Throws SqlError 50000 for other types. */
export function readTypedValue(reader: Reader): TypedValue {
  const token = reader.u8();
  switch (token) {
    case 0x26:
    case 0x68:
    case 0x6d:
    case 0x6f:
    case 0x24: {
      const size = reader.u8();
      return fixed(token, size, reader.bytes(reader.u8()));
    }
    case 0x28: {
      const bytes = reader.bytes(reader.u8());
      const value = bytes.length === 0 ? null : formatMoment(momentFromYearOne(bytes.readUIntLE(0, 3), 0));
      return { type: { name: 'date' }, value };
    }
    case 0x2a: {
      const scale = reader.u8();
      const bytes = reader.bytes(reader.u8());
      const type: SqlType = { name: 'datetime2', scale };
      if (bytes.length === 0) return { type, value: null };
      const ticks = bytes.readUIntLE(0, bytes.length - 3) * 10 ** (7 - scale);
      return { type, value: formatMoment(momentFromYearOne(bytes.readUIntLE(bytes.length - 3, 3), ticks)) };
    }
    case 0x6a:
    case 0x6c: {
      reader.u8();
      const [precision, scale] = [reader.u8(), reader.u8()];
      const bytes = reader.bytes(reader.u8());
      const type: SqlType = { name: 'decimal', precision, scale };
      if (bytes.length === 0) return { type, value: null };
      const digits = BigInt(`0x${Buffer.from(bytes.subarray(1)).reverse().toString('hex')}`);
      return { type, value: ((bytes[0] === 0 ? -1 : 1) * Number(digits)) / 10 ** scale };
    }
    case 0xe7:
    case 0xef:
    case 0xa7:
    case 0xaf:
    case 0xa5:
      return string(token, reader);
    default:
      throw new SqlError(
        50000,
        `The SQL stand-in does not serve parameters of TDS type 0x${token.toString(16)}`,
      );
  }
}

function fixed(token: number, size: number, bytes: Buffer): TypedValue {
  const empty = bytes.length === 0;
  switch (token) {
    case 0x26: {
      const name = size === 1 ? 'tinyint' : size === 2 ? 'smallint' : size === 4 ? 'int' : 'bigint';
      if (empty) return { type: { name }, value: null };
      const value =
        size === 8
          ? bytes.readBigInt64LE()
          : BigInt(size === 1 ? bytes.readUInt8() : bytes.readIntLE(0, size));
      return { type: { name }, value };
    }
    case 0x68:
      return { type: { name: 'bit' }, value: empty ? null : BigInt(bytes.readUInt8()) };
    case 0x6d:
      return {
        type: { name: 'float' },
        value: empty ? null : size === 4 ? bytes.readFloatLE() : bytes.readDoubleLE(),
      };
    case 0x24: {
      const groups = [...bytes.subarray(0, 4)]
        .reverse()
        .concat([...bytes.subarray(4, 6)].reverse(), [...bytes.subarray(6, 8)].reverse());
      const hex = Buffer.concat([Buffer.from(groups), bytes.subarray(8)])
        .toString('hex')
        .toUpperCase();
      const value = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
      return { type: { name: 'uniqueidentifier' }, value: empty ? null : value };
    }
    default: {
      if (empty) return { type: { name: 'datetime' }, value: null };
      const moment =
        size === 8
          ? momentFrom1900(bytes.readInt32LE(), bytes.readUInt32LE(4))
          : momentFrom1900(bytes.readUInt16LE(), bytes.readUInt16LE(2) * 18_000);
      return { type: { name: 'datetime' }, value: formatMoment(moment) };
    }
  }
}

function string(token: number, reader: Reader): TypedValue {
  const unicode = token === 0xe7 || token === 0xef;
  const size = reader.u16();
  const collation = token === 0xa5 ? undefined : reader.bytes(5);
  const length = size === 0xffff ? -1 : unicode ? size / 2 : size;
  const bytes = size === 0xffff ? partlyLengthPrefixed(reader) : shortBytes(reader);
  if (collation === undefined) return { type: { name: 'varbinary', length }, value: bytes ?? null };
  const type: SqlType = { name: unicode ? 'nvarchar' : 'varchar', length };
  if (bytes === undefined) return { type, value: null };
  const utf8 = (collation.readUInt32LE() & 0x04000000) !== 0;
  return {
    type,
    value: unicode ? bytes.toString('utf16le') : utf8 ? bytes.toString('utf8') : fromCp1252(bytes),
  };
}

function shortBytes(reader: Reader): Buffer | undefined {
  const length = reader.u16();
  return length === 0xffff ? undefined : reader.bytes(length);
}

function partlyLengthPrefixed(reader: Reader): Buffer | undefined {
  if (reader.u64() === 0xffffffffffffffffn) return undefined;
  const chunks: Buffer[] = [];
  for (let length = reader.u32(); length > 0; length = reader.u32()) chunks.push(reader.bytes(length));
  return Buffer.concat(chunks);
}
