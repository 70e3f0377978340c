/** Whose database the tests may use. The "real" server is the stand-in here; what uses it runs in processes of its own. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from '../../bench/database';
import { createCertificates } from '../../local/certificates';
import { claimRealServer } from '../../local/realServer';
import { startSqlServer, type SqlServer } from '../../local/sqlServer';
import { readSettings } from '../../src/config/settings';
import { Session, type Row } from '../../src/database/session';
import { ended, runCommand, startProgram, type Ended } from '../support/commands';

const root = join(__dirname, '../..');
const login = { user: 'tester', password: randomUUID() };
const developersToken = randomUUID();
const table = 'dbo.DataAccessDeltaRequests';

let server: SqlServer;
let settings: Record<string, string>;
let session: Session;

beforeAll(async () => {
  server = await startSqlServer({
    tls: await createCertificates(),
    logins: { [login.user]: login.password },
    acceptToken: (token) => token === developersToken,
  });
  settings = {
    SQL_SERVER: 'localhost',
    SQL_PORT: String(server.port),
    SQL_DATABASE: 'access',
    SQL_USER: login.user,
    SQL_PASSWORD: login.password,
    SQL_TRUST_SERVER_CERTIFICATE: 'true',
  };
  const { database } = readSettings({
    ...settings,
    EMAIL_ENDPOINT: 'https://localhost',
    EMAIL_SENDER_ADDRESS: 'access@example.com',
  });
  session = await Session.open(database, { getToken: () => Promise.resolve(null) }, 10_000);
});
afterAll(async () => {
  session.close();
  await server.close();
});
beforeEach(() =>
  query(`CREATE TABLE ${table} (id INT NOT NULL); INSERT INTO ${table} (id) VALUES (1), (2);`),
);
afterEach(() => query(`DROP TABLE IF EXISTS ${table};`));

const query = (sql: string): Promise<Row[]> => session.query({ name: 'test', sql });

const forTests = (): Record<string, string> =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [`TEST_${name}`, value]));

/** Runs work with a directory that holds a program, a shell script, which the PATH in `environment` finds first. */
async function withProgram<T>(
  name: string,
  script: string,
  work: (environment: Record<string, string>, directory: string) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'programs-'));
  try {
    writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return await work({ PATH: `${directory}:${process.env.PATH ?? ''}` }, directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const contents = (): Promise<Row[]> => query('SELECT name FROM sys.objects WHERE is_ms_shipped = 0;');

/** One test of tests/sql, the set-up of the suite included. */
const oneTest = ['tests/sql/lock.test.ts', '--testNamePattern', 'acquiring inserts one row'];

test('npm test uses neither SQL_* nor TEST_SQL_* of the shell', async () => {
  server.clearStatements();
  const { code, output } = await ended(
    startProgram(process.execPath, [require.resolve('jest/bin/jest'), ...oneTest], {
      cwd: root,
      environment: { ...settings, ...forTests() },
    }),
  );
  expect(output).toMatch(/Tests: .*1 passed/);
  expect(code).toBe(0);
  expect(server.statements).toEqual([]);
  expect(await query(`SELECT id FROM ${table};`)).toHaveLength(2);
});

describe('npm run test:sqlserver', () => {
  const testSqlServer = (environment: Readonly<Record<string, string>>, args = oneTest): Promise<Ended> =>
    runCommand('scripts/testSqlServer.ts', args, { cwd: root, environment });

  test.each([
    [
      'without TEST_SQL_SERVER and Docker',
      {},
      /^No SQL Server to test against: TEST_SQL_SERVER is not set, and Docker/,
    ],
    [
      'with settings that are not complete',
      { TEST_SQL_SERVER: 'localhost' },
      /^Settings .*\n- TEST_SQL_DATABASE: missing: expected/,
    ],
  ])('%s ends with 1 and says so', async (_, environment, message) => {
    // SQL_* are not used in their stead. A PATH without docker.
    const { code, output } = await testSqlServer({ ...settings, PATH: '/nowhere', ...environment });
    expect(code).toBe(1);
    expect(output).toMatch(message);
  });

  const tableHolds = expect.stringContaining(
    `The database that TEST_SQL_DATABASE names is not the tests' own: it holds ${table}.`,
  ) as string;

  test('refuses a database that holds anything, in one line, and writes nothing', async () => {
    server.clearStatements();
    const { code, output } = await ended(
      startProgram('npm', ['run', '--silent', 'test:sqlserver', '--', ...oneTest], {
        cwd: root,
        environment: forTests(),
      }),
    );
    expect([code, output]).toEqual([1, tableHolds]);
    expect(output.trim().split('\n')).toHaveLength(1);
    expect(server.statements.filter(({ text }) => !text.startsWith('SELECT'))).toEqual([]);
    expect(await query(`SELECT id FROM ${table};`)).toHaveLength(2);
  });

  test('takes an empty database, and leaves it empty', async () => {
    await query(`DROP TABLE ${table};`);
    const { code, output } = await testSqlServer(forTests());
    expect(output).toMatch(/Tests: .*1 passed/);
    expect(code).toBe(0);
    expect(await contents()).toEqual([]);
  });

  test('takes a database that a run which was killed has left, by the mark on it', async () => {
    await query(`DROP TABLE ${table};`);
    const abandoned = await claimRealServer(forTests());
    await query(`CREATE TABLE ${table} (id INT NOT NULL);`);
    expect((await testSqlServer(forTests())).code).toBe(0);
    expect(await contents()).toEqual([]);
    await expect(abandoned.release()).rejects.toThrow('SQL error 3701');
  });

  test('signs in to a server without a user by the developer’s own sign-in', async () => {
    await query(`DROP TABLE ${table};`);
    const token = JSON.stringify({ accessToken: developersToken, expires_on: 4_102_444_800 });
    await withProgram('az', `echo '${token}'`, async (environment) => {
      const { TEST_SQL_USER, TEST_SQL_PASSWORD, ...withoutUser } = forTests();
      expect([TEST_SQL_USER, TEST_SQL_PASSWORD]).toEqual([login.user, login.password]);
      const { code, output } = await testSqlServer({
        ...withoutUser,
        ...environment,
        // Of the ways to sign in that DefaultAzureCredential tries, the one that is tried here.
        AZURE_TOKEN_CREDENTIALS: 'AzureCliCredential',
      });
      expect(output).toMatch(/Tests: .*1 passed/);
      expect(code).toBe(0);
    });
  });

  test('removes a container that cannot be used', async () => {
    const script = 'echo "$@" >> "$(dirname "$0")/calls"; [ "$1" = port ] && exit 1; echo the-container';
    await withProgram('docker', script, async (environment, directory) => {
      const { code } = await testSqlServer(environment);
      expect(code).toBe(1);
      expect(readFileSync(join(directory, 'calls'), 'utf8').trim().split('\n')).toEqual([
        'version',
        expect.stringMatching(/^run .* --publish 127\.0\.0\.1::1433 .*\/mssql\/server:/),
        'port the-container 1433/tcp',
        'rm --force --volumes the-container',
      ]);
    });
  });
});

test('npm run bench -- --sqlserver refuses a database that holds anything, and writes nothing', async () => {
  server.clearStatements();
  Object.assign(process.env, forTests());
  await expect(openDatabase({ onSqlServer: true })).rejects.toThrow(`it holds ${table}`);
  expect(server.statements.filter(({ text }) => !text.startsWith('SELECT'))).toEqual([]);
  expect(await query(`SELECT id FROM ${table};`)).toHaveLength(2);
});
