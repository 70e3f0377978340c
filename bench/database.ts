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
  /** The settings of the app and of the clients it is set against. */
  readonly environment: Readonly<Record<string, string>>;
  readonly session: Session;
  query(sql: string): Promise<Row[]>;
  close(): Promise<void>;
}

/** The longest that one statement of setting up may take. In ms. */
const statementTimeout = 300_000;

/**
 * @param onSqlServer on the real server of local/realServer.ts, in a database that is empty
 * @throws Error if there is no such server, or its database is not empty
 */
export async function openDatabase({ onSqlServer }: { onSqlServer: boolean }): Promise<BenchDatabase> {
  await using started = new AsyncDisposableStack();
  const realServer = onSqlServer
    ? started.adopt(await claimRealServer(process.env), (server) => server.release())
    : undefined;
  const developerSignIn = realServer !== undefined && usesDeveloperSignIn(realServer.environment);
  const standIns = started.adopt(
    await startStandIns({
      email: {
        keepBodies: false,
        // The developer's tokens are not the stand-in's to judge.
        ...(developerSignIn && { acceptToken: () => true }),
      },
    }),
    (server) => server.close(),
  );
  const environment: Record<string, string> = {
    ...Object.fromEntries(
      Object.entries(standIns.environment).filter(
        ([name]) =>
          !(realServer && name.startsWith('SQL_')) && !(developerSignIn && name.startsWith('IDENTITY_')),
      ),
    ),
    ...(realServer && realServerSettings(realServer.environment)),
    // A tenth of all grants is meant.
    REVOCATION_CEILING: '999999999',
  };
  trustAuthority(standIns.authority);
  if (!developerSignIn) Object.assign(process.env, standIns.identity.environment);
  const settings = readSettings(environment);
  const credential = await createCredential(environment, undefined);
  const session = started.adopt(await Session.open(settings.database, credential, statementTimeout), (open) =>
    open.close(),
  );
  const query = (sql: string): Promise<Row[]> => session.query({ name: 'bench', sql });
  // What a run that was cut short left.
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

/** Rows that one statement deletes or inserts. */
const chunk = 50_000;

const written = ['dbo.JobRun', 'dbo.ExpiryNotification_Databricks', 'dbo.RevokedAccess_Databricks'];

export async function emptyTables(
  { query }: Pick<BenchDatabase, 'query'>,
  names: readonly string[] = written,
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
