/**
 * The real SQL Server of `npm run test:sqlserver` and `npm run bench -- --sqlserver`: the one that TEST_SQL_* name, or one in
 * a container. Settings in an operator's shell have other names, and never aim a test at a database.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { readDatabaseSettings, SettingsError, type Environment } from '../src/config/settings';
import { DatabaseUnavailableError } from '../src/database/errors';
import { Session } from '../src/database/session';
import { createCredential } from '../src/services';
import { dropDatabase } from './sampleDatabase';

/** An empty table that a database has while tests use it. */
const mark = 'dbo.AccessExpiryJobs_TestsDropEverythingHere';

const image = 'mcr.microsoft.com/mssql/server:2022-CU26-ubuntu-22.04';

/** How long SQL Server may take to start in its container. In ms. */
const startTimeoutMs = 120_000;

/** The longest that one statement of claiming may take. In ms. */
const statementTimeoutMs = 60_000;

export interface RealServer {
  /** TEST_SQL_*, for the processes that use it. */
  readonly environment: Readonly<Record<string, string>>;
  /** Drops what the tests created and the mark, and removes the container if there is one. */
  release(): Promise<void>;
}

/** The app's settings that TEST_SQL_* stand for: SQL_SERVER is TEST_SQL_SERVER, and so on. */
export function realServerSettings(environment: Environment): Record<string, string> {
  const entries = Object.entries(testSettings(environment));
  return Object.fromEntries(entries.map(([name, value]) => [name.slice('TEST_'.length), value]));
}

function testSettings(environment: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, value = '']) =>
      name.startsWith('TEST_SQL_') ? [[name, value]] : [],
    ),
  );
}

/** Whether the tests use the developer's Azure sign-in (DefaultAzureCredential) instead of a SQL login. */
export function usesDeveloperSignIn(environment: Environment): boolean {
  return (environment.TEST_SQL_SERVER ?? '') !== '' && (environment.TEST_SQL_USER ?? '') === '';
}

/**
 * Takes the database that TEST_SQL_* name, or one in a container of its own where TEST_SQL_SERVER is not set.
 * @throws Error in one line: no server, no Docker, settings that are wrong, or a database that is not the tests' own
 */
export async function claimRealServer(environment: Environment): Promise<RealServer> {
  if ((environment.TEST_SQL_SERVER ?? '') !== '') return claim(environment);
  const container = await startContainer();
  try {
    const server = await claim(container.environment);
    return { ...server, release: container.remove };
  } catch (error) {
    await container.remove();
    throw error;
  }
}

async function claim(environment: Environment): Promise<RealServer> {
  const session = await openRealServer(environment);
  await claimDatabase(session).catch((error: unknown) => {
    session.close();
    throw error;
  });
  return {
    environment: testSettings(environment),
    async release() {
      await dropDatabase(session);
      await session.query({ name: 'unmark', sql: `DROP TABLE ${mark};` });
      session.close();
    },
  };
}

async function openRealServer(environment: Environment): Promise<Session> {
  const { database, identityClientId } = readRealServerSettings(environment);
  // No managed identity: the stand-in's would replace the developer's.
  return Session.open(database, await createCredential({}, identityClientId), statementTimeoutMs);
}

function readRealServerSettings(environment: Environment): ReturnType<typeof readDatabaseSettings> {
  try {
    return readDatabaseSettings(realServerSettings(environment));
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    throw new Error(error.message.replaceAll(/\bSQL_/g, 'TEST_SQL_'), { cause: error });
  }
}

/**
 * Marks the database as the tests' own. Called before anything else is written.
 * @throws Error if it holds objects and does not carry the mark
 */
export async function claimDatabase(session: Session): Promise<void> {
  const objects = await session.query({
    name: 'listObjects',
    sql: `SELECT s.name AS SchemaName, o.name AS ObjectName
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE o.is_ms_shipped = 0 AND o.parent_object_id = 0 AND s.name <> 'sys' ORDER BY s.name, o.name;`,
  });
  const names = objects.map(({ SchemaName, ObjectName }) => `${String(SchemaName)}.${String(ObjectName)}`);
  if (names.includes(mark)) return;
  if (names.length > 0)
    throw new Error(
      `The database that TEST_SQL_DATABASE names is not the tests' own: it holds ${names.slice(0, 3).join(', ')}${names.length > 3 ? ' …' : ''}. ` +
        'They drop what they find, so they take an empty database only. Nothing was changed.',
    );
  await session.query({ name: 'mark', sql: `CREATE TABLE ${mark} (Id INT NULL);` });
}

interface Container {
  /** TEST_SQL_* of an empty database in it. */
  readonly environment: Readonly<Record<string, string>>;
  readonly remove: () => Promise<void>;
}

async function docker(args: readonly string[], environment: Record<string, string> = {}): Promise<string> {
  const { stdout } = await promisify(execFile)('docker', args, { env: { ...process.env, ...environment } });
  return stdout.trim();
}

/** @throws Error where Docker cannot be used, or the server does not start in time */
async function startContainer(): Promise<Container> {
  await docker(['version']).catch((error: unknown) => {
    // The last line is what the daemon or the system said.
    const reason = error instanceof Error ? error.message.trim().split('\n').at(-1) : String(error);
    throw new Error(
      `No SQL Server to test against: TEST_SQL_SERVER is not set, and Docker cannot start one (${reason ?? ''}). ` +
        'Start Docker, or name an empty database in TEST_SQL_SERVER, TEST_SQL_DATABASE, TEST_SQL_USER and TEST_SQL_PASSWORD.',
    );
  });
  // SQL Server asks for three of: upper case, lower case, digits, symbols.
  const password = `${randomBytes(16).toString('hex')}Aa1`;
  const run = ['run', '--detach', '--rm', '--publish', '127.0.0.1::1433'];
  const id = await docker([...run, '--env', 'ACCEPT_EULA=Y', '--env', 'MSSQL_SA_PASSWORD', image], {
    MSSQL_SA_PASSWORD: password,
  });
  const remove = async (): Promise<void> => {
    await docker(['rm', '--force', '--volumes', id]);
  };
  try {
    const address = await docker(['port', id, '1433/tcp']);
    const environment = {
      TEST_SQL_SERVER: '127.0.0.1',
      TEST_SQL_PORT: address.split(':').at(-1) ?? '',
      TEST_SQL_USER: 'sa',
      TEST_SQL_PASSWORD: password,
      TEST_SQL_TRUST_SERVER_CERTIFICATE: 'true',
    };
    const session = await openWhenStarted({ ...environment, TEST_SQL_DATABASE: 'master' });
    // Row versioning, as in Azure SQL.
    await session.query({ name: 'createDatabase', sql: 'CREATE DATABASE access;' });
    await session.query({
      name: 'rowVersioning',
      sql: 'ALTER DATABASE access SET READ_COMMITTED_SNAPSHOT ON;',
    });
    session.close();
    return { environment: { ...environment, TEST_SQL_DATABASE: 'access' }, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function openWhenStarted(environment: Environment): Promise<Session> {
  const deadline = performance.now() + startTimeoutMs;
  for (;;) {
    try {
      return await openRealServer(environment);
    } catch (error) {
      if (!(error instanceof DatabaseUnavailableError) || performance.now() > deadline) throw error;
      await delay(1_000);
    }
  }
}
