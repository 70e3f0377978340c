import { fromCp1252, bytesToGuid, guidToBytes, toCp1252 } from '../engine/convert';
import { daysSince1900, daysSinceYearOne, parseMoment, UNITS } from '../engine/dates';
import { notServed } from '../errors';
import { INT, isString, isUnicode, nvarchar, TYPES, varchar } from '../sqlTypes';
import type { SqlType, SqlValue } from '../sqlTypes';
import type { Reader, Writer } from './buffers';

/** TYPE_INFO and values of TDS 7.4 ([MS-TDS] 2.2.5.4 to 2.2.5.6). */

/** LCID 1033, case-insensitive, sort order 52: SQL_Latin1_General_CP1_CI_AS, code page 1252. */
export const COLLATION = Buffer.from([0x09, 0x04, 0xd0, 0x00, 0x34]);

/** The length that means MAX, or NULL. */
const MAX = 0xffff;

/** Bytes of a DATETIME2's time: a count of units of its scale. */
const timeBytes = (scale: number): number => (scale <= 2 ? 3 : scale <= 4 ? 4 : 5);

const isVariable = (type: SqlType): boolean => type.length !== undefined;

/** The length that TYPE_INFO gives: that of the longest value. */
function declaredLength({ name, length = 0 }: SqlType): number {
  const bytes = name === 'nvarchar' ? 2 * length : length;
  return bytes < 0 || bytes > 8000 ? MAX : Math.max(bytes, 1);
}

export function writeType(writer: Writer, type: SqlType): void {
  const { token, bytes = 0 } = TYPES[type.name];
  if (token === undefined) throw new Error(`type ${type.name} has no form on the wire`);
  writer.u8(token);
  if (isVariable(type)) {
    writer.uint(declaredLength(type), 2);
    if (isString(type)) writer.bytes(COLLATION);
  } else if (type.name === 'datetime2') writer.u8(type.scale ?? 7);
  else if (type.name !== 'date') writer.u8(bytes);
}

export type ValueWriter = (writer: Writer, value: SqlValue) => void;

/** The writer of a column's values. */
export function valueWriter(type: SqlType): ValueWriter {
  if (isVariable(type)) return variableWriter(type);
  const [size, write] = fixedWriter(type);
  return (writer, value) => {
    writer.u8(value === null ? 0 : size);
    if (value !== null) write(writer, value);
  };
}

function variableWriter(type: SqlType): ValueWriter {
  const isMax = declaredLength(type) === MAX;
  const none = Buffer.alloc(isMax ? 8 : 2, 0xff);
  return (writer, value) => {
    if (value === null) {
      writer.bytes(none);
      return;
    }
    const text = isUnicode(type) ? Buffer.from(String(value), 'utf16le') : toCp1252(String(value));
    const bytes = value instanceof Uint8Array ? value : text;
    if (isMax) writer.u64(BigInt(bytes.length));
    if (!isMax || bytes.length > 0) writer.uint(bytes.length, isMax ? 4 : 2);
    writer.bytes(bytes);
    if (isMax) writer.uint(0, 4);
  };
}

type FixedWriter = (writer: Writer, value: Exclude<SqlValue, null>) => void;

/** A value's size in bytes, and its writer. */
function fixedWriter({ name, scale = 7 }: SqlType): readonly [size: number, write: FixedWriter] {
  const { bytes: size = 0 } = TYPES[name];
  switch (name) {
    case 'uniqueidentifier':
      return [size, (writer, value) => writer.bytes(guidToBytes(String(value)))];
    case 'datetime':
    case 'smalldatetime':
      return [
        size,
        (writer, value) => {
          const moment = parseMoment(String(value));
          writer.uint(daysSince1900(moment) >>> 0, size / 2);
          writer.uint(Math.round(moment.ticks / UNITS[name]), size / 2);
        },
      ];
    case 'date':
    case 'datetime2': {
      const time = name === 'date' ? 0 : timeBytes(scale);
      return [
        time + 3,
        (writer, value) => {
          const moment = parseMoment(String(value));
          if (time > 0) writer.uint(Math.floor(moment.ticks / 10 ** (7 - scale)), time);
          writer.uint(daysSinceYearOne(moment), 3);
        },
      ];
    }
    case 'bigint':
      return [size, (writer, value) => writer.u64(value as bigint)];
    default:
      return [size, (writer, value) => writer.uint(Number(BigInt.asUintN(size * 8, value as bigint)), size)];
  }
}

export interface TypedValue {
  readonly type: SqlType;
  readonly value: SqlValue;
}

/** TYPE_INFO and the value after it, as in parameters of an RPC. Throws SqlError 40514 for other types. */
export function readTypedValue(reader: Reader): TypedValue {
  const token = reader.u8();
  switch (token) {
    case TYPES.int.token: {
      if (reader.u8() !== 4) throw notServed('integer parameters other than INT');
      const bytes = reader.bytes(reader.u8());
      return { type: INT, value: bytes.length === 0 ? null : BigInt(bytes.readInt32LE()) };
    }
    case TYPES.uniqueidentifier.token: {
      reader.u8();
      const bytes = reader.bytes(reader.u8());
      return { type: { name: 'uniqueidentifier' }, value: bytes.length === 0 ? null : bytesToGuid(bytes) };
    }
    case TYPES.nvarchar.token:
    case TYPES.varchar.token: {
      const unicode = token === TYPES.nvarchar.token;
      const isMax = reader.u16() === MAX;
      reader.bytes(COLLATION.length);
      const bytes = isMax ? readChunks(reader) : readShort(reader);
      const text = unicode ? bytes?.toString('utf16le') : bytes && fromCp1252(bytes);
      const longest = unicode ? nvarchar(4000) : varchar(8000);
      return { type: isMax ? { ...longest, length: -1 } : longest, value: text ?? null };
    }
    default:
      throw notServed(`parameters of TDS type 0x${token.toString(16)}`);
  }
}

function readShort(reader: Reader): Buffer | undefined {
  const length = reader.u16();
  return length === MAX ? undefined : reader.bytes(length);
}

/** PLP: a total, and chunks until an empty one. */
function readChunks(reader: Reader): Buffer | undefined {
  if (reader.u64() === 0xffffffffffffffffn) return undefined;
  const chunks: Buffer[] = [];
  for (let length = reader.u32(); length > 0; length = reader.u32()) chunks.push(reader.bytes(length));
  return Buffer.concat(chunks);
}
