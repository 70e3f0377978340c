/** The commands that people type: npm start, npm run job, npm run db:deploy. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCertificates, trustAuthority } from '../../local/certificates';
import { startSqlServer } from '../../local/sqlServer';
import { readDatabaseSettings } from '../../src/config/settings';
import { deployScripts } from '../../cli/deployScripts';
import { Session } from '../../src/database/session';
import { jobs } from '../../src/jobs/catalogue';
import { startSample, type Sample } from '../support/app';
import { jobOf } from '../support/environment';

const root = join(__dirname, '../..');
const revoke = jobOf('revocation', 'Databricks');
const notify = jobOf('notification', 'Palantir');

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a TypeScript file of the project as its npm script does. */
function command(
  file: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  options: { cwd?: string; onOutput?: (text: string, interrupt: () => void) => void } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', require.resolve('tsx'), join(root, file), ...args], {
    cwd: options.cwd ?? root,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    options.onOutput?.(stdout, () => child.kill('SIGINT'));
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

describe('npm start', () => {
  test('with --once runs the four jobs, prints a line for each and ends with 0', async () => {
    const { code, stdout, stderr } = await command('local/start.ts', ['--once']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const { type, kind } of jobs)
      expect(stdout).toMatch(
        new RegExp(
          `^${type} +Completed +[1-9]\\d* ${kind === 'notification' ? ' +[1-9]\\d*' : ''} +[\\d.]+ s$`,
          'm',
        ),
      );
    expect(stdout).toMatch(
      /Databricks +\d+ requests: \d+ expired and to be revoked, \d+ with a reminder due/,
    );
    expect(stdout).toMatch(/[1-9]\d* emails were sent/);
  });

  test('goes on until Ctrl-C, says where to look, and ends cleanly with 0', async () => {
    const { code, stdout, stderr } = await command(
      'local/start.ts',
      ['--port', '0'],
      {},
      {
        onOutput: (text, interrupt) => {
          if (text.includes('The jobs go on by schedule')) interrupt();
        },
      },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/Status page +http:\/\/127\.0\.0\.1:\d+\/api\/status/);
    expect(stdout).toMatch(/Mailbox +http:\/\/127\.0\.0\.1:\d+/);
  });

  test.each([
    [['--port', 'x'], /--port is "x": expected a port, for example 7071/],
    [['--twice'], /--twice/],
  ])('refuses %j with 1 and says why', async (args, message) => {
    const { code, stderr } = await command('local/start.ts', args);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });
});

describe('npm run job', () => {
  let sample: Sample;
  const job = (args: readonly string[], settings: Readonly<Record<string, string>> = {}): Promise<Ended> =>
    command('cli/runJob.ts', args, { ...sample.standIns.environment, ...settings });

  beforeAll(async () => {
    sample = await startSample();
  });
  beforeEach(() => sample.reset());
  afterAll(() => sample.close());

  test('--dry-run prints what is due and writes nothing', async () => {
    const { code, stdout } = await job([revoke.type, '--dry-run']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ jobType: revoke.type, count: expect.any(Number) as number });
    expect(await sample.query('SELECT Id FROM dbo.JobRun;')).toEqual([]);
  });

  test('runs the job and prints its run', async () => {
    const { code, stdout, stderr } = await job([notify.type]);
    expect(code).toBe(0);
    const { kind, run } = JSON.parse(stdout) as { kind: string; run: Record<string, unknown> };
    expect([kind, run.jobType, run.status]).toEqual(['finished', notify.type, 'Completed']);
    expect(run.processedCount).toBeGreaterThan(0);
    expect(stderr).toMatch(/Completed: \d+ processed, \d+ failed/);
    expect(
      await sample.query(`SELECT Id FROM dbo.JobRun WHERE Job_Id = '${run.jobId as string}';`),
    ).toHaveLength(1);
  });

  test('ends with 1 where the job fails, and --allow-mass-revocation lets it pass', async () => {
    const low = { REVOCATION_CEILING: '3' };
    const stopped = await job([revoke.type], low);
    expect([stopped.code, stopped.stderr]).toEqual([1, expect.stringContaining('Safety stop')]);
    expect((await job([revoke.type, '--allow-mass-revocation'], low)).code).toBe(0);
  });

  test('ends with 1 where another run holds the job, and says which', async () => {
    await sample.query(
      `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By) VALUES (NEWID(), '${revoke.type}', 'InProgress', GETUTCDATE(), 'machine-1');`,
    );
    const { code, stdout } = await job([revoke.type]);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ kind: 'held', activeRun: { startedBy: 'machine-1' } });
  });

  test.each([
    [[], /No job is no job type/],
    [['RevokeEverything', revoke.type], /RevokeEverything .* is no job type/],
    [[notify.type, '--allow-mass-revocation'], /is for a run of a revocation job/],
    [[revoke.type, '--force'], /--force/],
  ])('refuses %j with 1 and prints the usage', async (args, message) => {
    const { code, stdout, stderr } = await job(args);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/Usage: npm run job -- <Job_Type>/);
    for (const { type } of jobs) expect(stderr).toContain(type);
    expect(await sample.query('SELECT Id FROM dbo.JobRun;')).toEqual([]);
  });

  test('without settings ends with 1 and names every one that is missing', async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'no-settings-'));
    const missing = ['SQL_SERVER', 'SQL_DATABASE', 'EMAIL_ENDPOINT', 'EMAIL_SENDER_ADDRESS'];
    const none = Object.fromEntries(missing.map((name) => [name, '']));
    const { code, stderr } = await command('cli/runJob.ts', [revoke.type], none, { cwd: elsewhere });
    rmSync(elsewhere, { recursive: true });
    expect(code).toBe(1);
    for (const name of missing) expect(stderr).toContain(`${name}: missing: expected`);
  });
});

test('npm run db:deploy prints what it did to each object, and the second time that nothing changed', async () => {
  const { authority, ...tls } = await createCertificates();
  trustAuthority(authority);
  const directory = mkdtempSync(join(tmpdir(), 'deploy-'));
  writeFileSync(join(directory, 'authority.pem'), authority);
  // The login that a CI server has.
  const login = { user: 'deployer', password: randomUUID() };
  const server = await startSqlServer({ tls, logins: { [login.user]: login.password } });
  const environment = {
    NODE_EXTRA_CA_CERTS: join(directory, 'authority.pem'),
    SQL_SERVER: 'localhost',
    SQL_PORT: String(server.port),
    SQL_DATABASE: 'access',
    SQL_USER: login.user,
    SQL_PASSWORD: login.password,
    // A SQL login is refused in Azure, and a build machine may have what tells Azure.
    CONTAINER_NAME: '',
    WEBSITE_INSTANCE_ID: '',
  };
  try {
    const { database } = readDatabaseSettings(environment);
    const unused = { getToken: () => Promise.resolve(null) };
    const session = await Session.open(database, unused, 10_000);
    await deployScripts(session, join(root, 'local'), () => undefined);
    session.close();
    const objects = [
      ...['Databricks', 'Palantir'].flatMap((platform) => [
        `table dbo.ExpiryNotification_${platform}`,
        `table dbo.RevokedAccess_${platform}`,
      ]),
      'table dbo.JobRun',
      'index UX_JobRun_Job_Type_InProgress',
      'index IX_JobRun_Job_Type_Started_At',
      'role AccessExpiryJobs',
    ];
    const first = await command('cli/deployDatabase.ts', [], environment);
    expect([first.code, first.stderr]).toEqual([0, '']);
    for (const object of objects) expect(first.stdout).toContain(`  ${object}: created\n`);
    for (const platform of ['Databricks', 'Palantir'])
      expect(first.stdout).toContain(`  view dbo.AccessGrant_${platform}: defined\n`);
    const second = await command('cli/deployDatabase.ts', [], environment);
    expect(second.code).toBe(0);
    for (const object of objects) expect(second.stdout).toContain(`  ${object}: exists, unchanged\n`);
    expect(second.stdout).not.toContain('created');
    const refused = await command('cli/deployDatabase.ts', [], { ...environment, SQL_PASSWORD: 'wrong' });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('Login failed')]);
    expect(refused.stderr).not.toContain(login.password);
  } finally {
    await server.close();
    rmSync(directory, { recursive: true });
  }
});
