import { randomUUID } from 'node:crypto';
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { parseType } from '../dialect/parser';
import { SqlError } from '../errors';
import type { SqlType, SqlValue } from '../sqlTypes';
import type { Catalogue } from './catalogue';
import { convert } from './convert';
import { dateAdd, dateDiff, datePart } from './dates';
import { principalId, TYPE_IDS } from './systemViews';

const types = new Map<string, SqlType>();

function typeOf(text: string): SqlType {
  const known = types.get(text);
  if (known !== undefined) return known;
  const type: SqlType = text === 'null' ? { name: 'null' } : parseType(text);
  types.set(text, type);
  return type;
}

type Args = SQLOutputValue[];

/** A function that is NULL where an argument is. */
const strict =
  (body: (...args: Exclude<SqlValue, null>[]) => SqlValue) =>
  (...args: Args): SqlValue =>
    args.includes(null) ? null : body(...(args as Exclude<SqlValue, null>[]));

function diff(part: string, from: string, to: string, big: boolean): bigint {
  const result = dateDiff(part, from, to);
  if (big || Math.abs(result) <= 2147483647) return BigInt(result);
  throw new SqlError(
    535,
    'The datediff function resulted in an overflow. The number of dateparts separating two date/time instances is too large.',
  );
}

function divide(op: string, a: number | bigint, b: number | bigint): SqlValue {
  if (Number(b) === 0) throw new SqlError(8134, 'Divide by zero error encountered.');
  if (typeof a === 'bigint' && typeof b === 'bigint') return op === '/' ? a / b : a % b;
  return op === '/' ? Number(a) / Number(b) : Number(a) % Number(b);
}

/** T-SQL's functions that SQLite lacks or has with other rules, under the names that the emitter uses. */
export function registerFunctions(sqlite: DatabaseSync, catalogue: Catalogue): void {
  const pure: Readonly<Record<string, (...args: Args) => SqlValue>> = {
    _convert: (value, from, to, style, lenient) => {
      try {
        return convert(
          value ?? null,
          typeOf(String(from)),
          typeOf(String(to)),
          style === null ? undefined : Number(style),
        );
      } catch (error) {
        if (lenient === 1n && error instanceof SqlError) return null;
        throw error;
      }
    },
    _dateadd: strict((part, count, date, type) =>
      dateAdd(String(part), Math.trunc(Number(count)), String(date), typeOf(String(type))),
    ),
    _datediff: strict((part, from, to, big) => diff(String(part), String(from), String(to), big === 1n)),
    _datepart: strict((part, date) => BigInt(datePart(String(part), String(date)))),
    _divide: strict((op, a, b) => divide(String(op), a as number | bigint, b as number | bigint)),
    _lower: strict((text) => String(text).toLowerCase()),
    _upper: strict((text) => String(text).toUpperCase()),
    _right: strict((text, count) => (Number(count) === 0 ? '' : String(text).slice(-Number(count)))),
    _substring: strict((text, start, length) =>
      String(text).slice(Math.max(Number(start) - 1, 0), Math.max(Number(start) - 1 + Number(length), 0)),
    ),
    _replace: strict((text, from, to) => {
      const pattern = String(from).replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      return pattern === '' ? text : String(text).replace(new RegExp(pattern, 'gi'), () => String(to));
    }),
  };
  const integer = (value: number | null | undefined): SqlValue =>
    typeof value === 'number' ? BigInt(value) : null;
  const objectName = (id: SqlValue): SqlValue =>
    catalogue.all().find((entry) => entry.id === Number(id))?.name ?? null;
  const impure: Readonly<Record<string, (...args: Args) => SqlValue>> = {
    _newid: () => randomUUID().toUpperCase(),
    _object_id: (name, type) =>
      integer(
        name == null ? null : catalogue.objectId(String(name), type == null ? undefined : String(type)),
      ),
    _object_definition: (id) => {
      const found = catalogue.all().find((entry) => entry.id === Number(id));
      return found?.kind === 'view' ? found.module : null;
    },
    _object_name: (id) => objectName(id ?? null),
    _schema_name: strict((id) => (id === 1n ? 'dbo' : id === 4n ? 'sys' : null)),
    _type_name: strict(
      (id) => Object.entries(TYPE_IDS).find(([, number]) => number === Number(id))?.[0] ?? null,
    ),
    _principal_id: strict((name) => {
      const principal = catalogue.principal(String(name));
      return integer(principal && principalId(principal));
    }),
    _has_perms: (name, securable) => {
      if (securable === null || String(securable).toUpperCase() === 'DATABASE') return 1n;
      return name == null || catalogue.objectId(String(name)) === null ? null : 1n;
    },
  };
  for (const [functions, deterministic] of [
    [pure, true],
    [impure, false],
  ] as const) {
    for (const [name, body] of Object.entries(functions)) {
      sqlite.function(name, { deterministic, useBigIntArguments: true, varargs: true }, body);
    }
  }
}
