import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deployScripts } from '../../cli/deployScripts';
import { createRequestTables, openSession } from '../../local/sampleDatabase';
import { startStandIns, type StandIns } from '../../local/standIns';
import { deadlineIn } from '../../src/clock';
import { DatabaseConnection } from '../../src/database/database';
import type { Session } from '../../src/database/session';
import { runCommand, type Ended } from '../support/commands';
import { FastClock } from '../support/environment';

const root = join(__dirname, '../..');
const sql = join(root, 'sql');
const clientId = '00112233-4455-6677-8899-aabbccddeeff';
let standIns: StandIns;
let session: Session;
let directory: string;

beforeAll(async () => {
  standIns = await startStandIns();
  session = await openSession(standIns);
  await createRequestTables(session);
  directory = mkdtempSync(join(tmpdir(), 'deploy-'));
});
afterAll(async () => {
  session.close();
  await standIns.close();
  rmSync(directory, { recursive: true });
});

const run = (text: string) => session.query({ name: 'test', sql: text });

describe('npm run db:deploy', () => {
  const deploy = (
    options: readonly string[] = [],
    change: Readonly<Record<string, string>> = {},
  ): Promise<Ended> =>
    runCommand('cli/deployDatabase.ts', options, {
      cwd: directory,
      environment: { ...standIns.environment, ...change },
    });
  const toIdentity = ['--grant', 'func-access', '--client-id', clientId];

  test('prints that it created each object', async () => {
    const platforms = ['Databricks', 'Palantir'];
    const objects = [
      ...platforms.flatMap((name) => [
        `table dbo.ExpiryNotification_${name}`,
        `table dbo.RevokedAccess_${name}`,
      ]),
      'table dbo.JobRun',
      'index UX_JobRun_Job_Type_InProgress',
      'index IX_JobRun_Job_Type_Started_At',
      'role AccessExpiryJobs',
    ];
    const views = platforms.flatMap((name) => [
      `view dbo.AccessRequest_${name}`,
      `view dbo.AccessGrant_${name}`,
    ]);
    const first = await deploy();
    expect([first.code, first.stderr]).toEqual([0, '']);
    for (const object of [...objects, ...views]) expect(first.stdout).toContain(`  ${object}: created\n`);
  });

  test('with a SQL login that is refused says so, and not its password', async () => {
    // In Azure a SQL login is refused at once; a build machine may have these variables of Azure.
    const login = {
      SQL_USER: 'deployer',
      SQL_PASSWORD: 'swordfish',
      CONTAINER_NAME: '',
      WEBSITE_INSTANCE_ID: '',
    };
    const environment = { ...standIns.environment, ...login };
    const { code, stderr } = await runCommand('cli/deployDatabase.ts', [], { environment });
    expect([code, stderr]).toEqual([1, expect.stringContaining('Login failed')]);
    expect(stderr).not.toContain(login.SQL_PASSWORD);
  });

  test('applies the scripts, and grants the role to an identity', async () => {
    const { code, output } = await deploy(toIdentity);
    expect(output).toContain('\n  table dbo.JobRun: exists, unchanged\n');
    expect(output).toMatch(
      /\nuser \[func-access\]: created for the client id .*\nrole AccessExpiryJobs: \[func-access\] added\n$/,
    );
    expect(code).toBe(0);
  });

  test('--grant reads nothing from local.settings.json: its password is for a database on this machine', async () => {
    const file = join(directory, 'local.settings.json');
    writeFileSync(file, JSON.stringify({ Values: { SQL_USER: 'sa', SQL_PASSWORD: 'swordfish' } }));
    const { code, output } = await deploy(toIdentity, { AZURE_TOKEN_CREDENTIALS: '' });
    rmSync(file);
    expect(output).toContain('local.settings.json is not read: --grant is for a database in Azure');
    expect(output).toContain('[func-access]');
    expect(code).toBe(0);
  });

  test('signs in as AZURE_TOKEN_CREDENTIALS says, else as the developer, before a managed identity', async () => {
    const azure = mkdtempSync(join(tmpdir(), 'azure-'));
    writeFileSync(join(azure, 'az'), '#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\nexit 1\n', {
      mode: 0o755,
    });
    const signIns = async (named: string): Promise<[boolean, number]> => {
      const asked = standIns.identity.requests.length;
      await deploy([], { AZURE_TOKEN_CREDENTIALS: named, PATH: `${azure}:${process.env.PATH ?? ''}` });
      const askedAz = existsSync(join(azure, 'calls'));
      rmSync(join(azure, 'calls'), { force: true });
      return [askedAz, standIns.identity.requests.length - asked];
    };
    try {
      // The sign-in fails; where nothing is named, what the machine has comes after it.
      expect(await signIns('AzureCliCredential')).toEqual([true, 0]);
      expect(await signIns('ManagedIdentityCredential')).toEqual([false, 1]);
      const [askedAz, askedMachine] = await signIns('');
      expect([askedAz, askedMachine > 0]).toEqual([true, true]);
    } finally {
      rmSync(azure, { recursive: true });
    }
  });

  test('keeps the text of a view that it replaces in a file of the working directory', async () => {
    await run(`CREATE OR ALTER VIEW dbo.AccessGrant_Palantir AS
SELECT r.RequestId, r.RequestNumber FROM dbo.DataAccessPalantirRequests AS r;`);
    const left = await deploy();
    expect(left.output).toMatch(/\n✗ column dbo\.AccessGrant_Palantir\.RequesterEmail: missing → /);
    expect(left.output).toMatch(/\n✗ view dbo\.AccessGrant_Palantir: lacks the column AccessKey: add `CAST/);
    expect(left.code).toBe(1);
    const replaced = await deploy(['--replace-views']);
    const [, file = ''] =
      /AccessGrant_Palantir: changed; its earlier text is in (\S+)\n/.exec(replaced.output) ?? [];
    expect(file).toMatch(/^AccessGrant_Palantir\.\d{8}T\d{6}Z\.sql$/);
    expect(readdirSync(directory)).toEqual([file]);
    expect(readFileSync(join(directory, file), 'utf8')).toContain('SELECT r.RequestId, r.RequestNumber FROM');
    expect(replaced.code).toBe(0);
  });

  test.each([
    [['--grant', 'func'], /^--client-id: expected the identity's client id/],
    [['--client-id', clientId], /^--grant: expected the identity's name/],
    [['--grant', 'func', '--client-id', '7'], /^--client-id: expected/],
    [['--grant', 'x'.repeat(129), '--client-id', clientId], /^--grant: expected/],
    [
      ['--replace-view'],
      /^Unknown option --replace-view: known are --replace-views, --grant and --client-id\./,
    ],
    [['func'], /^Unexpected argument func: this command takes only options\./],
  ])('%j is refused before anything is done', async (options, message) => {
    standIns.sql.clearStatements();
    const { code, output } = await deploy(options);
    expect(output).toMatch(message);
    expect(output).toContain('Usage: npm run db:deploy -- ');
    expect(code).toBe(1);
    expect(standIns.sql.statements).toEqual([]);
  });
});

describe('a server error', () => {
  afterEach(() => standIns.sql.clearFaults());

  test.each([1205, 40197, 40501])(
    'that is transient (%d) is retried from the first script',
    async (number) => {
      standIns.sql.order({ kind: 'error', match: /CREATE INDEX IX_JobRun/, number, times: 1 });
      const clock = new FastClock();
      const connection = new DatabaseConnection(() => openSession(standIns));
      const lines: string[] = [];
      try {
        await connection.withRetries(deadlineIn(clock, 60_000), (one) =>
          deployScripts(one, sql, (line) => lines.push(line)),
        );
      } finally {
        connection.close();
      }
      expect(lines).toContainEqual(expect.stringMatching(`^  interrupted: .*SQL error ${number} in batch`));
      expect(lines.filter((line) => line === '01_ExpiryNotification_Databricks.sql')).toHaveLength(2);
      expect(lines.at(-1)).toBe('  role AccessExpiryJobs: permissions granted');
    },
  );

  test('1222, a lock time-out, ends with what to do', async () => {
    standIns.sql.order({
      kind: 'error',
      match: /CREATE TABLE dbo\.RevokedAccess_Palantir/,
      number: 1222,
      times: 1,
    });
    await expect(deployScripts(session, sql, () => undefined)).rejects.toThrow(
      /^04_RevokedAccess_Palantir\.sql, batch \d of \d, line \d+: Lock request time out period exceeded\. \(SQL error 1222\)\. .*run this again at a quiet hour\.$/,
    );
  });
});
