/** The database of the benchmarks: the stand-in in this process, or the server that the settings name. */
import { trustAuthority } from '../local/certificates';
import { createDatabase } from '../local/sampleDatabase';
import { startStandIns, type StandIns } from '../local/standIns';
import { readSettings } from '../src/config/settings';
import { Session, type Row } from '../src/database/session';
import { int, nVarChar } from '../src/database/statement';
import { createCredential } from '../src/services';

export interface BenchDatabase {
  readonly standIns: StandIns;
  /** For the report. */
  readonly server: string;
  /** The settings of the app and of the clients it is set against. */
  readonly environment: Readonly<Record<string, string>>;
  readonly session: Session;
  query(sql: string): Promise<Row[]>;
  close(): Promise<void>;
}

/** The longest that one statement of setting up may take. In ms. */
const statementTimeout = 300_000;

const tables = [
  'dbo.JobRun',
  'dbo.ExpiryNotification_Databricks',
  'dbo.RevokedAccess_Databricks',
  'dbo.DataAccessDeltaRequests',
];

/** How long the email service takes to answer a call, in ms. */
export const emailLatency = 50;

/** @throws Error if the settings name a server whose tables hold rows */
export async function openDatabase(): Promise<BenchDatabase> {
  const standIns = await startStandIns({ email: { latencyMs: emailLatency, keepBodies: false } });
  const real = Object.entries(process.env).filter(([name]) => name.startsWith('SQL_')) as [string, string][];
  const withoutStandIn = Object.entries(standIns.environment).filter(([name]) => !name.startsWith('SQL_'));
  const environment: Record<string, string> = {
    ...(process.env.SQL_SERVER === undefined
      ? standIns.environment
      : Object.fromEntries([...withoutStandIn, ...real])),
    // A tenth of all grants is meant.
    REVOCATION_CEILING: '999999999',
  };
  trustAuthority(standIns.authority);
  Object.assign(process.env, standIns.identity.environment);
  const settings = readSettings(environment);
  const credential = await createCredential(environment, undefined);
  const session = await Session.open(settings.database, credential, statementTimeout);
  const query = (sql: string): Promise<Row[]> => session.query({ name: 'bench', sql });
  await createDatabase(session);
  const [held] = await query(`SELECT COUNT(*) AS Held FROM ${tables.at(-1)};`);
  if (held?.Held !== 0)
    throw new Error('The benchmarks need a database of their own: this one holds requests');
  const [version] = await query('SELECT @@VERSION AS Version;');
  return {
    standIns,
    server:
      process.env.SQL_SERVER === undefined
        ? 'the stand-in on SQLite'
        : (String(version?.Version).split('\n')[0] ?? ''),
    environment,
    session,
    query,
    async close() {
      await emptyTables({ query }, tables);
      session.close();
      await standIns.close();
    },
  };
}

/** Rows that one statement deletes or inserts. */
const chunk = 50_000;

export async function emptyTables(
  { query }: Pick<BenchDatabase, 'query'>,
  names: readonly string[] = tables.slice(0, 3),
): Promise<void> {
  for (const name of names) await query(`DELETE FROM ${name};`);
}

export interface GrantRange {
  /** Ids, from `first` to `last`. */
  readonly first: number;
  readonly last: number;
  /** T-SQL of a grant's end, from its id `j.n`. */
  readonly endsAt: string;
  /** T-SQL of the holder's number, from the grant's id `j.n`. */
  readonly person: string;
}

/** Adds grants to the Databricks table; chunk by chunk, by T-SQL that any server takes. */
export async function addGrants(
  { session }: BenchDatabase,
  { first, last, endsAt, person }: GrantRange,
): Promise<void> {
  for (let from = first; from <= last; from += chunk) {
    const ids = Array.from({ length: Math.min(chunk, last - from + 1) }, (_, index) => from + index);
    await session.query({
      name: 'addGrants',
      sql: `INSERT INTO dbo.DataAccessDeltaRequests (id, request_number, request_type, request_status, requested_by_ad_id,
  requested_by_email, requested_by, catalog_name, schema_name, table_name, access_end_dt, created_dt)
SELECT j.n, CONCAT('DBX-', j.n), 'Read', 'Approved', CONCAT('user', ${person}),
  CONCAT('person', ${person}, '@example.com'), CONCAT('Person ', ${person}), 'sales', 'gold', CONCAT('table_', j.n),
  ${endsAt}, GETUTCDATE()
FROM OPENJSON(@ids) WITH (n INT '$') AS j WHERE j.n >= @first;`,
      parameters: { ids: nVarChar('max', JSON.stringify(ids)), first: int(from) },
    });
  }
}
