/** Whose database the tests may use. The "real" server is the stand-in here; what uses it runs in processes of its own. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createCertificates } from '../../local/certificates';
import { startSqlServer, type SqlServer } from '../../local/sqlServer';
import { readSettings } from '../../src/config/settings';
import { Session, type Row } from '../../src/database/session';

const root = join(__dirname, '../..');
const login = { user: 'tester', password: randomUUID() };
const table = 'dbo.DataAccessDeltaRequests';

let server: SqlServer;
let settings: Record<string, string>;
let session: Session;

beforeAll(async () => {
  server = await startSqlServer({
    tls: await createCertificates(),
    logins: { [login.user]: login.password },
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

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

async function run(args: readonly string[], environment: Readonly<Record<string, string>>): Promise<Ended> {
  const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, ...environment } });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

/** One test of tests/sql, the set-up of the suite included. */
const oneTest = ['tests/sql/lock.test.ts', '--testNamePattern', 'acquiring leaves one row'];

test('npm test uses neither SQL_* nor TEST_SQL_* of the shell', async () => {
  server.clearStatements();
  const { code, output } = await run([require.resolve('jest/bin/jest'), ...oneTest], {
    ...settings,
    ...forTests(),
  });
  expect(output).toMatch(/Tests: .*1 passed/);
  expect(code).toBe(0);
  expect(server.statements).toEqual([]);
  expect(await query(`SELECT id FROM ${table};`)).toHaveLength(2);
});

describe('npm run test:sqlserver', () => {
  const testSqlServer = (environment: Readonly<Record<string, string>>, args = oneTest): Promise<Ended> =>
    run(['--import', 'tsx', 'scripts/testSqlServer.ts', ...args], environment);

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
});
