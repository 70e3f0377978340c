/** The database of the benchmarks: the stand-in in this process, or a real SQL Server. */
import { trustAuthority } from '../local/certificates';
import { claimRealServer, realServerSettings, usesDeveloperSignIn } from '../local/realServer';
import { createDatabase, dropDatabase } from '../local/sampleDatabase';
import { startStandIns, type StandIns } from '../local/standIns';
import { readSettings } from '../src/config/settings';
import { Session, type Row } from '../src/database/session';
import { int, nVarChar } from '../src/database/statement';
import { createCredential } from '../src/services';

export interface BenchDatabase {
  readonly standIns: StandIns;
  /** For the report. */
  readonly server: string;
  readonly onSqlServer: boolean;
  /** The settings of the app and of the reference client. */
  readonly environment: Readonly<Record<string, string>>;
  readonly session: Session;
  query(sql: string): Promise<Row[]>;
  close(): Promise<void>;
}

/** The longest that one statement of setting up may take. In ms. */
const statementTimeout = 300_000;

/**
 * @param onSqlServer on the real server of local/realServer.ts, in an empty database
 * @throws Error if there is no such server, or its database is not empty
 */
export async function openDatabase({ onSqlServer }: { onSqlServer: boolean }): Promise<BenchDatabase> {
  await using started = new AsyncDisposableStack();
  const realServer = onSqlServer
    ? started.adopt(await claimRealServer(process.env), (server) => server.release())
    : undefined;
  const developerSignIn = realServer !== undefined && usesDeveloperSignIn(realServer.environment);
  // The stand-in cannot check a developer's tokens.
  const email = { keepBodies: false, ...(developerSignIn && { acceptToken: () => true }) };
  const standIns = started.adopt(await startStandIns({ email }), (server) => server.close());
  const environment = environmentOf(standIns, realServer?.environment, developerSignIn);
  trustAuthority(standIns.authority);
  if (!developerSignIn) Object.assign(process.env, standIns.identity.environment);
  const settings = readSettings(environment);
  const credential = await createCredential(environment, undefined);
  const session = started.adopt(await Session.open(settings.database, credential, statementTimeout), (open) =>
    open.close(),
  );
  const query = (sql: string): Promise<Row[]> => session.query({ name: 'bench', sql });
  // Objects that an interrupted run left.
  if (realServer) await dropDatabase(session);
  await createDatabase(session);
  const [version] = await query('SELECT @@VERSION AS Version;');
  const running = started.move();
  return {
    standIns,
    onSqlServer,
    server: realServer ? (String(version?.Version).split('\n')[0] ?? '') : 'the stand-in on SQLite',
    environment,
    session,
    query,
    close: () => running.disposeAsync(),
  };
}

function environmentOf(
  standIns: StandIns,
  realServer: Readonly<Record<string, string>> | undefined,
  developerSignIn: boolean,
): Record<string, string> {
  const replaced = (name: string): boolean =>
    (realServer !== undefined && name.startsWith('SQL_')) ||
    (developerSignIn && name.startsWith('IDENTITY_'));
  return {
    ...Object.fromEntries(Object.entries(standIns.environment).filter(([name]) => !replaced(name))),
    ...(realServer && realServerSettings(realServer)),
    // A tenth of all grants is due.
    REVOCATION_CEILING: '999999999',
  };
}

/** @param tables short names */
export async function emptyTables(database: BenchDatabase, ...tables: string[]): Promise<void> {
  for (const table of tables) await database.query(`DELETE FROM dbo.${table};`);
}

/** Runs an INSERT … SELECT `FROM #n AS j` for the numbers j.n from `first` to `last`, part by part, on any server. */
export async function insertNumbered(
  { session }: BenchDatabase,
  first: number,
  last: number,
  insert: (numbers: string) => string,
): Promise<void> {
  const part = 50_000;
  for (let from = first; from <= last; from += part) {
    const numbers = Array.from({ length: Math.min(part, last - from + 1) }, (_, index) => from + index);
    await session.query({
      name: 'insertNumbered',
      sql: insert("FROM OPENJSON(@numbers) WITH (n INT '$') AS j WHERE j.n >= @first"),
      parameters: { numbers: nVarChar('max', JSON.stringify(numbers)), first: int(from) },
    });
  }
}

/**
 * Fills the Databricks request table.
 * @param endsAt T-SQL of a grant's end, from its id `j.n`
 * @param person T-SQL of the holder's number, from the grant's id `j.n`
 */
export async function seedGrants(
  database: BenchDatabase,
  grants: number,
  endsAt: string,
  person: string,
): Promise<void> {
  await emptyTables(database, ...writtenTables, 'DataAccessDeltaRequests');
  await insertNumbered(
    database,
    1,
    grants,
    (
      numbers,
    ) => `INSERT INTO dbo.DataAccessDeltaRequests (id, request_number, request_type, request_status, requested_by_ad_id,
  requested_by_email, requested_by, catalog_name, schema_name, table_name, access_end_dt, created_dt)
SELECT j.n, CONCAT('DBX-', j.n), 'Read', 'Approved', CONCAT('user', ${person}),
  CONCAT('person', ${person}, '@example.com'), CONCAT('Person ', ${person}), 'sales', 'gold', CONCAT('table_', j.n),
  ${endsAt}, GETUTCDATE()
${numbers};`,
  );
}

/** The tables that runs write. */
export const writtenTables = ['JobRun', 'ExpiryNotification_Databricks', 'RevokedAccess_Databricks'];
