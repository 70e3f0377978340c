/** The commands that people type: npm start, npm run job, npm run db:deploy. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createCertificates, trustAuthority } from '../../local/certificates';
import { startSqlServer } from '../../local/sqlServer';
import { startStandIns } from '../../local/standIns';
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

/** What an operator's shell may hold. Nothing that runs on stand-ins may take any of it. */
const operatorsShell = {
  SQL_SERVER: 'production.invalid',
  SQL_USER: 'operator',
  SQL_PASSWORD: 'secret',
  AZURE_CLIENT_ID: 'not a client id',
  EMAIL_REPLY_TO: 'not an address',
  NOTIFICATION_LEAD_DAYS: 'none',
  REVOCATION_CEILING: '0',
  SCHEDULE_REVOKE_PALANTIR: 'never',
  WEBSITE_INSTANCE_ID: 'a machine of Azure',
  APPLICATIONINSIGHTS_CONNECTION_STRING: 'not a connection string',
};

/** Where no local.settings.json is. */
const emptyDirectory = mkdtempSync(join(tmpdir(), 'start-'));
afterAll(() => rmSync(emptyDirectory, { recursive: true }));

/** Runs a TypeScript file of the project as its npm script does. */
function command(
  file: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  onOutput?: (text: string, child: ChildProcess) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', require.resolve('tsx'), join(root, file), ...args], {
    cwd: emptyDirectory,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    onOutput?.(stdout, child);
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** npm start as far as its last line of its own, then what `then` does. */
function startAnd(then: (child: ChildProcess, stdout: string) => void): Promise<Ended> {
  let done = false;
  return command('local/start.ts', ['--port', '0', '--mailbox-port', '0'], {}, (text, child) => {
    if (done || !text.includes('The jobs run by schedule')) return;
    done = true;
    then(child, text);
  });
}

/** The directories of runs: in the temporary directory, and in memory where there is one. */
const runDirectories = (): string[] =>
  [tmpdir(), '/dev/shm'].flatMap((parent) =>
    existsSync(parent) ? readdirSync(parent).map((name) => join(parent, name)) : [],
  );

async function withPortTaken<T>(work: (port: number) => Promise<T>): Promise<T> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await work((server.address() as AddressInfo).port);
  } finally {
    await once(server.close(), 'close');
  }
}

describe('npm start', () => {
  test('with --once runs the four jobs, prints a line for each and ends with 0, whatever the shell holds', async () => {
    const { code, stdout, stderr } = await command('local/start.ts', ['--once'], operatorsShell);
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

  test('runs until Ctrl-C, says where to look, and ends cleanly with 0', async () => {
    const { code, stdout, stderr } = await startAnd((child) => child.kill('SIGINT'));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/Status page +http:\/\/127\.0\.0\.1:\d+\/api\/status/);
    expect(stdout).toMatch(/Mailbox +http:\/\/127\.0\.0\.1:\d+/);
  });

  test('prints one line of settings with which the commands work on it', async () => {
    let dryRun: Promise<Ended> | undefined;
    let deployment: Promise<Ended> | undefined;
    await startAnd((child, stdout) => {
      const [line = ''] = /^ +IDENTITY_ENDPOINT=.* npm run doctor$/m.exec(stdout) ?? [];
      const settings = Object.fromEntries(
        [...line.matchAll(/(\w+)='([^']*)'/g)].map(([, name = '', value = '']) => [name, value]),
      );
      dryRun = command('cli/runJob.ts', [notify.type, '--dry-run'], settings);
      deployment = command('cli/deployDatabase.ts', [], settings);
      void Promise.all([dryRun, deployment]).finally(() => child.kill('SIGINT'));
    });
    expect(await dryRun).toMatchObject({ code: 0, stdout: expect.stringContaining(notify.type) as string });
    expect(await deployment).toMatchObject({ code: 0, stderr: '' });
  });

  test.each([
    [['--port', 'x'], /--port is "x": expected a port, for example 7071/],
    [['--mailbox-port', '65536'], /--mailbox-port is "65536": expected a port/],
    [['--twice'], /--twice/],
  ])('refuses %j with 1 and says why', async (args, message) => {
    const { code, stderr } = await command('local/start.ts', args);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });

  test('ends at once with 1 and a line for each port that is taken, before it starts anything', async () => {
    await withPortTaken((port) =>
      withPortTaken(async (mailboxPort) => {
        const ended = await command('local/start.ts', [
          ...['--port', String(port), '--mailbox-port', String(mailboxPort)],
        ]);
        expect(ended).toEqual({
          code: 1,
          stdout: '',
          stderr: `Port ${port} is taken: choose another with --port\nPort ${mailboxPort} is taken: choose another with --mailbox-port\n`,
        });
      }),
    );
  });

  test('stand-ins that cannot all start leave nothing behind', async () => {
    const before = runDirectories();
    const servers = (): number =>
      process.getActiveResourcesInfo().filter((resource) => resource === 'TCPServerWrap').length;
    await withPortTaken(async (mailboxPort) => {
      await expect(startStandIns({ mailboxPort })).rejects.toThrow('EADDRINUSE');
      // A server that has closed is counted for some turns more.
      for (let turns = 0; servers() > 1 && turns < 100; turns++) await delay(20);
      expect(servers()).toBe(1);
    });
    expect(runDirectories().filter((path) => path.includes(`-${process.pid}-`))).toEqual(
      before.filter((path) => path.includes(`-${process.pid}-`)),
    );
  });

  test('what a killed run left is removed at the next start', async () => {
    let pid = 0;
    await startAnd((child) => {
      pid = child.pid ?? 0;
      child.kill('SIGKILL');
    });
    const left = (): string[] => runDirectories().filter((path) => path.includes(`jobs-${pid}-`));
    expect(left().length).toBeGreaterThan(0);
    await (await startStandIns()).close();
    expect(left()).toEqual([]);
  });

  test('ends with npm, which SIGTERM ends', async () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: { start: string };
    };
    // As it stands there, but the app is built already and its ports are free ones.
    const start = `${scripts.start.replace(' --build', '').replace('local/', `${root}/local/`)} --port 0 --mailbox-port 0`;
    const directory = mkdtempSync(join(tmpdir(), 'npm-start-'));
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ scripts: { start } }));
    symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
    try {
      const npm = spawn('npm', ['start', '--silent'], {
        cwd: directory,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let stdout = '';
      // Closed when the last process that writes to it has ended, the product among them.
      const closed = once(npm.stdout, 'close');
      npm.stdout.on('data', (chunk: Buffer) => {
        const before = stdout;
        stdout += chunk.toString();
        const up = 'The jobs run by schedule';
        if (stdout.includes(up) && !before.includes(up)) npm.kill('SIGTERM');
      });
      await closed;
      expect(stdout).toContain('Stopping: a job under way finishes its row first');
    } finally {
      rmSync(directory, { recursive: true });
    }
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
    [[], /Expected one job type\./],
    [['RevokeEverything'], /Unknown job type: RevokeEverything\./],
    [[revoke.type, revoke.type], /Expected one job type\./],
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
    const missing = ['SQL_SERVER', 'SQL_DATABASE', 'EMAIL_ENDPOINT', 'EMAIL_SENDER_ADDRESS'];
    const { code, stderr } = await command('cli/runJob.ts', [revoke.type]);
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
      expect(first.stdout).toContain(`  view dbo.AccessGrant_${platform}: created\n`);
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
