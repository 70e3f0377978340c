/** SQL Server's types as far as the stand-in serves them, and the rules by which they combine. */

interface Traits {
  readonly kind: 'string' | 'integer' | 'date' | 'other';
  /** system_type_id in sys.types. */
  readonly id?: number;
  /** max_length in sys.columns; a string's is its own. */
  readonly bytes?: number;
  /** TYPE_INFO's first byte on the wire, for the form that can be NULL ([MS-TDS] 2.2.5.4). */
  readonly token?: number;
}

/**
 * In order of precedence, lowest first ("Data type precedence (Transact-SQL)"). `null` is the type of a bare NULL and
 * `boolean` that of a predicate; neither is ever stored or sent.
 */
const TRAITS = {
  boolean: { kind: 'other' },
  null: { kind: 'other' },
  varbinary: { kind: 'other', id: 165, token: 0xa5 },
  varchar: { kind: 'string', id: 167, token: 0xa7 },
  nvarchar: { kind: 'string', id: 231, token: 0xe7 },
  uniqueidentifier: { kind: 'other', id: 36, bytes: 16, token: 0x24 },
  bit: { kind: 'integer', id: 104, bytes: 1, token: 0x68 },
  tinyint: { kind: 'integer', id: 48, bytes: 1, token: 0x26 },
  smallint: { kind: 'integer', id: 52, bytes: 2, token: 0x26 },
  int: { kind: 'integer', id: 56, bytes: 4, token: 0x26 },
  bigint: { kind: 'integer', id: 127, bytes: 8, token: 0x26 },
  date: { kind: 'date', id: 40, bytes: 3, token: 0x28 },
  smalldatetime: { kind: 'date', id: 58, bytes: 4, token: 0x6f },
  datetime: { kind: 'date', id: 61, bytes: 8, token: 0x6f },
  datetime2: { kind: 'date', id: 42, bytes: 8, token: 0x2a },
} as const satisfies Record<string, Traits>;

export type TypeName = keyof typeof TRAITS;

export const TYPES: Readonly<Record<TypeName, Traits>> = TRAITS;
export const TYPE_NAMES = Object.keys(TRAITS) as readonly TypeName[];

/** A type. `length` counts characters (bytes for varbinary), -1 is MAX; `scale` is of datetime2. */
export interface SqlType {
  readonly name: TypeName;
  readonly length?: number;
  readonly scale?: number;
}

/**
 * How SQLite holds a value: integers (bit too) as bigint, GUIDs as upper-case text, dates as
 * 'YYYY-MM-DD HH:MM:SS.fffffff'.
 */
export type SqlValue = null | bigint | string | Uint8Array;

export const INT: SqlType = { name: 'int' };
export const BIGINT: SqlType = { name: 'bigint' };
export const BOOLEAN: SqlType = { name: 'boolean' };
export const NULL_TYPE: SqlType = { name: 'null' };
export const DATETIME: SqlType = { name: 'datetime' };
export const nvarchar = (length: number): SqlType => ({ name: 'nvarchar', length });
export const varchar = (length: number): SqlType => ({ name: 'varchar', length });
export const datetime2 = (scale: number): SqlType => ({ name: 'datetime2', scale });
export const SYSNAME = nvarchar(128);

export const isString = ({ name }: SqlType): boolean => TYPES[name].kind === 'string';
export const isDate = ({ name }: SqlType): boolean => TYPES[name].kind === 'date';
export const isInteger = ({ name }: SqlType): boolean => TYPES[name].kind === 'integer';
export const isUnicode = ({ name }: SqlType): boolean => name === 'nvarchar';

/** The type that an expression over both operands has. */
export function commonType(a: SqlType, b: SqlType): SqlType {
  const [low, high] = TYPE_NAMES.indexOf(a.name) <= TYPE_NAMES.indexOf(b.name) ? [a, b] : [b, a];
  if (isString(low) && isString(high)) {
    const lengths = [low.length ?? 1, high.length ?? 1];
    return { name: high.name, length: lengths.includes(-1) ? -1 : Math.max(...lengths) };
  }
  if (low.name === 'datetime2') return datetime2(Math.max(low.scale ?? 7, high.scale ?? 7));
  return high;
}

/** As SQL Server's messages and catalogue write it, e.g. `nvarchar(10)`. */
export function typeText({ name, length, scale }: SqlType): string {
  if (length !== undefined) return `${name}(${length === -1 ? 'max' : length})`;
  return name === 'datetime2' ? `${name}(${scale ?? 7})` : name;
}
