import { SqlError, sqlError } from '../errors';
import { integerKey, isNamed, type Catalogue, type Table } from './catalogue';

/** Not by class: a test's realm has an Error of its own. */
export const isSqliteError = (error: unknown): error is { errcode: number; message: string } =>
  typeof error === 'object' && error !== null && 'errcode' in error && 'message' in error;

/** SQLite's extended result codes as SQL Server's numbers. `verb`: that of the statement. */
export function toSqlError(
  error: unknown,
  table: Table | undefined,
  verb: string,
  catalogue: Catalogue,
): unknown {
  if (!isSqliteError(error)) return error;
  const detail = error.message.slice(error.message.indexOf(': ') + 2);
  const name = table?.name ?? '';
  switch (error.errcode) {
    case 1555:
    case 2067:
      return duplicate(detail, table);
    case 1299:
      return sqlError(515, detail.split('.')[1] ?? '', name, verb);
    case 20: // what compiling puts for a NULL in an integer primary key
      return sqlError(515, (table && integerKey(table)) ?? '', name, verb);
    case 275: {
      const [, column] = /^__length:(.*)$/.exec(detail) ?? [];
      return column === undefined ? sqlError(547, verb, 'CHECK', detail, name) : sqlError(2628, name, column);
    }
    case 787:
      return foreignKey(table, verb, catalogue);
    case 1:
      if (/malformed JSON/i.test(error.message)) return sqlError(13609);
      if (/integer overflow/i.test(error.message)) return sqlError(8115, 'int');
  }
  return new SqlError(40514, `The SQL stand-in does not serve this statement: SQLite says ${error.message}`);
}

function duplicate(detail: string, table: Table | undefined): SqlError {
  const columns = detail.split(', ').map((column) => column.split('.')[1] ?? '');
  const name = table?.name ?? '';
  const key = table?.constraints.find(
    ({ kind, column }) => (kind === 'primary' || kind === 'unique') && column === columns.join(),
  );
  if (key) return sqlError(2627, key.kind.toUpperCase(), key.name, name);
  const index = table?.indexes.find(
    (one) => one.unique && one.columns.map((column) => column.name).join() === columns.join(),
  );
  return sqlError(2601, name, index?.name ?? '');
}

/** SQLite does not say which constraint: the first that it can be. */
function foreignKey(table: Table | undefined, verb: string, catalogue: Catalogue): SqlError {
  const own = table?.constraints.find(({ kind }) => kind === 'foreign');
  if (own?.kind === 'foreign' && verb !== 'DELETE')
    return sqlError(547, verb, 'FOREIGN KEY', own.name, own.table);
  const name = table?.name ?? '';
  for (const child of catalogue.tables()) {
    const key = child.constraints.find((one) => one.kind === 'foreign' && isNamed(one.table)({ name }));
    if (key) return sqlError(547, verb, 'REFERENCE', key.name, child.name);
  }
  return sqlError(547, verb, 'FOREIGN KEY', '', name);
}
