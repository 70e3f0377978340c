import type { Session } from '../src/database/session';
import { nVarChar } from '../src/database/statement';

const isoDate = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;
const guid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/**
 * Inserts rows in one statement; what a row lacks is NULL, and dates are UTC. Columns are read by the type of their first
 * value; the server converts a text to its column's own.
 */
export async function insertRows(session: Session, table: string, rows: readonly object[]): Promise<void> {
  if (rows.length === 0) return;
  const types = new Map<string, string>();
  for (const row of rows)
    for (const [column, value] of Object.entries(row))
      if (value !== null && value !== undefined && !types.has(column)) types.set(column, typeOf(value));
  const names = [...types.keys()].join(', ');
  const declarations = [...types].map(([column, type]) => `${column} ${type} '$.${column}'`);
  // DATETIME2 takes an ISO date without its zone on every version.
  const json = JSON.stringify(rows, (_, value: unknown) =>
    typeof value === 'string' && isoDate.test(value) ? value.slice(0, -1) : value,
  );
  await session.query({
    name: `insert into ${table}`,
    sql: `INSERT INTO ${table} (${names}) SELECT ${names} FROM OPENJSON(@rows) WITH (${declarations.join(', ')}) AS j;`,
    parameters: { rows: nVarChar('max', json) },
  });
}

function typeOf(value: unknown): string {
  if (typeof value === 'number') return 'INT';
  const text = value instanceof Date ? value.toISOString() : String(value);
  if (isoDate.test(text)) return 'DATETIME2';
  return guid.test(text) ? 'UNIQUEIDENTIFIER' : 'NVARCHAR(4000)';
}
