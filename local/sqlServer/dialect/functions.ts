import { systemViews } from '../engine/systemViews';
import { notServed } from '../errors';
import * as types from '../sqlTypes';
import { DATETIME, datetime2, INT, isDate, isString, nvarchar, SYSNAME, type SqlType } from '../sqlTypes';
import { compare, convertTo, sortable, unify } from './operators';
import { quoteText, type Emitted } from './scope';

/** Values of the session, bound once per statement. */
const SESSION_VALUES = new Map<string, readonly [binding: string, type: SqlType]>([
  ['GETUTCDATE', ['now', DATETIME]],
  ['SYSUTCDATETIME', ['sysnow', datetime2(7)]],
  ['@@ROWCOUNT', ['rowcount', INT]],
  ['@@TRANCOUNT', ['trancount', INT]],
  ['@@VERSION', ['version', nvarchar(300)]],
  ['DB_NAME', ['database', SYSNAME]],
  ['USER_NAME', ['user', SYSNAME]],
]);
export const sessionValue = (name: string) => SESSION_VALUES.get(name);

/** Functions whose first argument is a date part. */
export const isDateFunction = (name: string): boolean => name === 'DATEADD' || name === 'DATEDIFF';

const emitted = (sql: string, type: SqlType): Emitted => ({ sql, type });
const text = (arg: Emitted): string => (isString(arg.type) ? arg : convertTo(arg, nvarchar(-1))).sql;
const date = (arg: Emitted, otherwise: SqlType): Emitted =>
  isDate(arg.type) ? arg : convertTo(arg, otherwise);
/** A text made from the argument, of its type. */
const ofText = ({ type }: Emitted, sql: string): Emitted =>
  emitted(sql, isString(type) ? type : nvarchar(4000));

/** One column of one row of a catalogue view. */
function lookUp(view: string, column: string, condition: string, type: SqlType): Emitted {
  const rows = systemViews.get(view)?.sql ?? '';
  return emitted(`(SELECT "${column}" FROM (${rows}) WHERE ${condition})`, type);
}

function objectId(name: Emitted, type?: Emitted): Emitted {
  const plain = `replace(replace(${text(name)}, '[', ''), ']', '') COLLATE NOCASE`;
  const ofType = type === undefined ? '' : ` AND "type" = ${text(type)} COLLATE NOCASE`;
  return lookUp('sys.objects', 'object_id', `${plain} IN ("name", 'dbo.' || "name")${ofType}`, INT);
}

/** T-SQL's functions in SQLite's dialect; a date part is passed as a literal. */
const SCALARS: Readonly<Record<string, (...args: Emitted[]) => Emitted>> = {
  DATEADD: (part, count, from) => {
    const { sql, type } = date(from, DATETIME);
    return emitted(`_dateadd(${part.sql}, ${count.sql}, ${sql})`, type);
  },
  DATEDIFF: (part, from, to) =>
    emitted(`_datediff(${part.sql}, ${date(from, datetime2(7)).sql}, ${date(to, datetime2(7)).sql})`, INT),
  COALESCE: (...args) => {
    const { type, values } = unify(args);
    return emitted(`coalesce(${values.map(({ sql }) => sql).join(', ')})`, type);
  },
  NULLIF: (first, second) =>
    emitted(`(CASE WHEN ${compare('=', first, second)} THEN NULL ELSE ${first.sql} END)`, first.type),
  CONCAT: (...args) => {
    const unicode = args.some(({ type }) => types.isUnicode(type));
    return emitted(`concat(${args.map(text).join(', ')})`, unicode ? nvarchar(4000) : types.varchar(8000));
  },
  LOWER: (arg) => ofText(arg, `_lower(${text(arg)})`),
  LTRIM: (arg) => ofText(arg, `ltrim(${text(arg)}, ' ')`),
  RTRIM: (arg) => ofText(arg, `rtrim(${text(arg)}, ' ')`),
  TRANSLATE: (arg, old, by) => ofText(arg, `_translate(${[arg, old, by].map(text).join(', ')})`),
  NCHAR: ({ sql }) => emitted(`char(${sql})`, nvarchar(1)),
  LEFT: (arg, length) => ofText(arg, `substr(${text(arg)}, 1, ${length.sql})`),
  HASHBYTES: (algorithm, { sql, type }) => {
    if (algorithm.sql !== quoteText('SHA2_256')) throw notServed(`HASHBYTES with ${algorithm.sql}`);
    const encoding = types.isUnicode(type) ? 'utf16le' : 'latin1';
    return emitted(`_sha256(${sql}, '${encoding}')`, { name: 'varbinary', length: 8000 });
  },
  NEWID: () => emitted('_newid()', { name: 'uniqueidentifier' }),
  OBJECT_ID: (name, ...[type]) => objectId(name, type),
  OBJECT_NAME: ({ sql }) => lookUp('sys.objects', 'name', `"object_id" = ${sql}`, SYSNAME),
  OBJECT_DEFINITION: ({ sql }) =>
    lookUp('sys.sql_modules', 'definition', `"object_id" = ${sql}`, nvarchar(-1)),
  DATABASE_PRINCIPAL_ID: (name) =>
    lookUp('sys.database_principals', 'principal_id', `"name" = ${text(name)} COLLATE NOCASE`, INT),
  /** Permissions are stored, not enforced: everyone has every permission on an object that exists. */
  HAS_PERMS_BY_NAME: (securable, kind) => {
    const onDatabase = `${securable.sql} IS NULL OR ${text(kind)} = 'DATABASE' COLLATE NOCASE`;
    return emitted(`(CASE WHEN ${onDatabase} OR ${objectId(securable).sql} IS NOT NULL THEN 1 END)`, INT);
  },
};

export function scalar(name: string, args: readonly Emitted[]): Emitted {
  const emit = Object.hasOwn(SCALARS, name) ? SCALARS[name] : undefined;
  if (emit === undefined) throw notServed(`the function ${name}`);
  if (args.length < emit.length) throw notServed(`${name} with ${args.length} arguments`);
  return emit(...args);
}

export const isAggregate = (name: string): boolean => ['COUNT', 'SUM', 'MIN', 'MAX'].includes(name);

/** An aggregate or a window function; `window`: its OVER clause. */
export function aggregate(name: string, args: readonly Emitted[], distinct: boolean, window = ''): Emitted {
  const [first] = args;
  const list = args.map((arg) => (distinct ? `DISTINCT ${sortable(arg)}` : arg.sql)).join(', ');
  if (name === 'COUNT') return emitted(`count(${first ? list : '*'})${window}`, INT);
  if (name === 'ROW_NUMBER' && window !== '') return emitted(`row_number()${window}`, types.BIGINT);
  if (first === undefined || !isAggregate(name)) throw notServed(`the function ${name}`);
  if (name !== 'SUM') {
    const { type, collation } = first;
    return {
      sql: `${name.toLowerCase()}(${sortable(first)})${window}`,
      type,
      ...(collation && { collation }),
    };
  }
  if (!types.isInteger(first.type)) throw notServed(`SUM of ${first.type.name}`);
  return emitted(`sum(${list})${window}`, first.type.name === 'bigint' ? types.BIGINT : INT);
}
