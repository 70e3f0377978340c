/** SQL Server's types as far as the stand-in serves them, and the rules by which they combine. */

export type TypeName =
  | 'null'
  | 'boolean'
  | 'bit'
  | 'tinyint'
  | 'smallint'
  | 'int'
  | 'bigint'
  | 'decimal'
  | 'float'
  | 'uniqueidentifier'
  | 'date'
  | 'datetime'
  | 'datetime2'
  | 'char'
  | 'varchar'
  | 'nchar'
  | 'nvarchar'
  | 'varbinary';

/**
 * A type. `length` counts characters (bytes for varbinary), -1 is MAX; `scale` is of decimal and datetime2. `null` is
 * the type of a bare NULL and `boolean` that of a predicate; neither is ever stored or sent.
 */
export interface SqlType {
  readonly name: TypeName;
  readonly length?: number;
  readonly precision?: number;
  readonly scale?: number;
}

/**
 * How SQLite holds a value: integers (bit too) as bigint, GUIDs as upper-case text, dates as
 * 'YYYY-MM-DD HH:MM:SS.fffffff'.
 */
export type SqlValue = null | bigint | number | string | Uint8Array;

export const INT: SqlType = { name: 'int' };
export const BOOLEAN: SqlType = { name: 'boolean' };
export const NULL_TYPE: SqlType = { name: 'null' };
export const DATETIME: SqlType = { name: 'datetime' };
export const SYSNAME: SqlType = { name: 'nvarchar', length: 128 };
export const nvarchar = (length: number): SqlType => ({ name: 'nvarchar', length });
export const varchar = (length: number): SqlType => ({ name: 'varchar', length });
export const datetime2 = (scale: number): SqlType => ({ name: 'datetime2', scale });

const STRINGS = new Set<TypeName>(['char', 'varchar', 'nchar', 'nvarchar']);
const DATES = new Set<TypeName>(['date', 'datetime', 'datetime2']);
const INTEGERS = new Set<TypeName>(['bit', 'tinyint', 'smallint', 'int', 'bigint']);

export const isString = (type: SqlType): boolean => STRINGS.has(type.name);
export const isDate = (type: SqlType): boolean => DATES.has(type.name);
export const isInteger = (type: SqlType): boolean => INTEGERS.has(type.name);
export const isUnicode = (type: SqlType): boolean => type.name === 'nvarchar' || type.name === 'nchar';

/** Data type precedence, lowest first (learn.microsoft.com, "Data type precedence (Transact-SQL)"). */
const PRECEDENCE: readonly TypeName[] = [
  'null',
  'varbinary',
  'char',
  'varchar',
  'nchar',
  'nvarchar',
  'uniqueidentifier',
  'bit',
  'tinyint',
  'smallint',
  'int',
  'bigint',
  'decimal',
  'float',
  'date',
  'datetime',
  'datetime2',
];

/** The type that an expression over both operands has. */
export function commonType(a: SqlType, b: SqlType): SqlType {
  const [low, high] = PRECEDENCE.indexOf(a.name) <= PRECEDENCE.indexOf(b.name) ? [a, b] : [b, a];
  if (isString(low) && isString(high)) {
    const lengths = [low.length ?? 1, high.length ?? 1];
    return { name: high.name, length: lengths.includes(-1) ? -1 : Math.max(...lengths) };
  }
  if (low.name === 'datetime2' && high.name === 'datetime2') {
    return datetime2(Math.max(low.scale ?? 7, high.scale ?? 7));
  }
  return high;
}

/** As SQL Server's messages and catalogue write it, e.g. `nvarchar(10)`. */
export function typeText(type: SqlType): string {
  if (type.length !== undefined) return `${type.name}(${type.length === -1 ? 'max' : type.length})`;
  if (type.name === 'decimal') return `decimal(${type.precision ?? 18},${type.scale ?? 0})`;
  if (type.name === 'datetime2') return `datetime2(${type.scale ?? 7})`;
  return type.name;
}
