/** Typed rows: each column is checked once, as it comes from the driver. */
import { DatabaseError } from './errors';

/** A row as the driver gives it. */
export type Row = Readonly<Record<string, unknown>>;

/** Reads a column's value; undefined: it has another type. */
export interface Column<T> {
  readonly expected: string;
  readonly read: (value: unknown) => T | undefined;
}

export type Columns = Readonly<Record<string, Column<unknown>>>;

/** The row that the columns describe; without columns, as the driver gives it. */
export type RowOf<C extends Columns | undefined> = C extends Columns
  ? { readonly [Name in keyof C]: C[Name] extends Column<infer T> ? T : never }
  : Row;

const column = <T>(expected: string, is: (value: unknown) => value is T): Column<T> => ({
  expected,
  read: (value) => (is(value) ? value : undefined),
});

export const number = column('a number', (value) => typeof value === 'number');
export const text = column('text', (value) => typeof value === 'string');
/** UTC. */
export const date = column('a date', (value) => value instanceof Date);
export const bit = column('a BIT', (value) => typeof value === 'boolean');
/** An INT that is 1 or 0. */
export const flag: Column<boolean> = {
  expected: '1 or 0',
  read: (value) => (value === 1 || value === 0 ? value === 1 : undefined),
};
/** One of these texts, compared exactly. */
export const oneOf = <const T extends string>(...values: readonly T[]): Column<T> => ({
  expected: `one of ${values.join(', ')}`,
  read: (value) => values.find((one) => one === value),
});
/** Text of a site's view, which may yield a number instead; NULL and other types are read as ''. */
export const siteText: Column<string> = {
  expected: 'text',
  read: (value) => (typeof value === 'string' || typeof value === 'number' ? String(value) : ''),
};

/** A column that may be NULL. */
export function nullable<T>({ expected, read }: Column<T>): Column<T | null> {
  return { expected: `${expected} or NULL`, read: (value) => (value === null ? null : read(value)) };
}

/** The columns in SQL, of a table or view under its alias. */
export function listSql(alias: string, columns: Columns): string {
  return Object.keys(columns)
    .map((name) => `${alias}.${name}`)
    .join(', ');
}

/** A column has another type than the app reads: its view or table is not as the scripts in sql/ make it. */
export class ColumnError extends DatabaseError {
  override readonly name = 'ColumnError';
  readonly transient = false;
  readonly unavailable = false;
  constructor(name: string, expected: string, value: unknown, statementName: string) {
    const found = value === undefined ? 'missing' : value === null ? 'NULL' : `a ${typeof value}`;
    super(
      `The column ${name} is ${found}, not ${expected} (in ${statementName}). Compare the table or view with its script in sql/.`,
    );
  }
}

/** @throws ColumnError */
export function readRows<C extends Columns>(
  rows: readonly Row[],
  columns: C,
  statementName: string,
): RowOf<C>[] {
  const readers = Object.entries(columns);
  return rows.map((row) => {
    const values: Record<string, unknown> = {};
    for (const [name, { expected, read }] of readers) {
      const value = read(row[name]);
      if (value === undefined) throw new ColumnError(name, expected, row[name], statementName);
      values[name] = value;
    }
    return values as RowOf<C>; // Each value was checked by its column.
  });
}
