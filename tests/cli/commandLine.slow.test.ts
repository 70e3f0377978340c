/** The command line as people type it, slips included. */
import { join } from 'node:path';
import { jobs } from '../../src/jobs/catalogue';
import { startSample, type Sample } from '../support/app';
import { ended, runCommand, startLine, startProgram, type Ended } from '../support/commands';
import { jobOf } from '../support/environment';

const revoke = jobOf('revocation', 'Databricks').type;
const notify = jobOf('notification', 'Palantir').type;

let sample: Sample;
beforeAll(async () => {
  sample = await startSample();
});
beforeEach(() => sample.reset());
afterAll(() => sample.close());

/** Runs a line in a shell with the settings of the stand-ins. */
const shell = (line: string, settings: Readonly<Record<string, string>> = {}): Promise<Ended> =>
  ended(startLine(line, { ...sample.standIns.environment, ...settings }));

const runs = () => sample.query('SELECT Status, Processed_Count FROM dbo.JobRun;');

describe('npm run job without the -- before the options', () => {
  test.each([`${revoke} --dry-run`, `--dry-run ${revoke}`, `${revoke} --dry`])(
    'npm run job %s is a dry run',
    async (args) => {
      const { code, stdout, stderr } = await shell(`npm run --silent job ${args}`);
      expect([code, stderr]).toEqual([0, expect.not.stringContaining('processed')]);
      expect(stdout).toMatch(new RegExp(`^${revoke} would revoke \\d+ grants now`));
      expect(await runs()).toEqual([]);
    },
  );

  test('--allow-mass-revocation works as it does after the --', async () => {
    const { code } = await shell(`npm run --silent job ${revoke} --allow-mass-revocation`, {
      REVOCATION_CEILING: '3',
    });
    expect([code, await runs()]).toMatchObject([0, [{ Status: 'Completed' }]]);
  });

  test.each([
    [`${revoke} --dryrun`, /^Unknown option --dryrun: known are /],
    [`${revoke} --dyr-run`, /^Unknown option --dyr-run: known are /],
    [`${revoke} --dry-rnu`, /^Unknown option --dry-rnu: known are /],
    [`${revoke} --allow-massrevocation`, /^Unknown option --allow-massrevocation: known are /],
    [`-- ${revoke} --dry`, /^Unknown option --dry: known are /],
    [`-- ${revoke} -x`, /^Unknown option -x: known are --dry-run, --allow-mass-revocation and --json\.\n/],
    [`${revoke} --allow-mass-revocation=yes`, /^The option --allow-mass-revocation takes no value: /],
    [`${revoke} --dry-run --allow-mass-revocation`, /cannot be combined/],
  ])('npm run job %s is refused with the usage, and nothing runs', async (args, message) => {
    const { code, stdout, stderr } = await shell(`npm run --silent job ${args}`);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(message);
    expect(stderr).toContain('Usage: npm run job -- <Job_Type>');
    expect(await runs()).toEqual([]);
  });
});

describe('npm run job', () => {
  const job = (args: readonly string[], settings: Readonly<Record<string, string>> = {}): Promise<Ended> =>
    runCommand('cli/runJob.ts', args, { environment: { ...sample.standIns.environment, ...settings } });

  test('--dry-run says what is due in words', async () => {
    const revocation = await job([revoke, '--dry-run']);
    expect(revocation.code).toBe(0);
    expect(revocation.stdout).toMatch(
      new RegExp(
        `^${revoke} would revoke \\d+ grants now\\. This was a dry run: nothing was written or sent\\.\n`,
      ),
    );
    expect(revocation.stdout).toMatch(/\nNumber of grants by end:\n +\d+ {2}before .* UTC\n/);
    expect(revocation.stdout).toMatch(/ {2}Request +Number +Ends +Resource\n {2}\d+ +\S+ +20\d\d-/);
    const stopped = await job([revoke, '--dry-run'], { REVOCATION_CEILING: '3' });
    expect(stopped.stdout).toMatch(
      /would revoke nothing now[^]*Blocked by the safety stop: \d+ grants are due, more than 3/,
    );
    const reminders = await job([notify, '--dry-run']);
    expect(reminders.stdout).toMatch(/would send \d+ of \d+ reminders now/);
    expect(reminders.stdout).toMatch(/\nWould fail: \d+ with a malformed email address: \d+/);
    expect(reminders.stdout).toMatch(/ {2}Request +Number +Ends +To +Resource\n/);
  });

  test('--dry-run --json prints what is due as the API answers it', async () => {
    const { code, stdout } = await job([revoke, '--dry-run', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ jobType: revoke, count: expect.any(Number) as number });
  });

  test('runs the job and says what it did', async () => {
    const { code, stdout } = await job([revoke]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Completed: (\d+) revoked of \1 due in .* s\.\n$/);
  });

  test('--json prints the run as the API answers it', async () => {
    const { code, stdout, stderr } = await job([notify, '--json']);
    expect(code).toBe(0);
    const run = JSON.parse(stdout) as Record<string, unknown>;
    expect(run).toMatchObject({
      jobType: notify,
      status: 'Completed',
      stoppedEarly: false,
      dueCount: expect.any(Number) as number,
      oldestDueMinutes: expect.any(Number) as number,
    });
    expect(run.processedCount).toBeGreaterThan(0);
    expect(stderr).toMatch(/Completed: \d+ processed, \d+ failed/);
    expect(
      await sample.query(`SELECT Id FROM dbo.JobRun WHERE Job_Id = '${run.jobId as string}';`),
    ).toHaveLength(1);
  });

  test('ends with 1 where the job fails, and --allow-mass-revocation lets it pass', async () => {
    const low = { REVOCATION_CEILING: '3' };
    const stopped = await job([revoke], low);
    expect([stopped.code, stopped.stderr]).toEqual([1, expect.stringContaining('Safety stop')]);
    expect((await job([revoke, '--allow-mass-revocation'], low)).code).toBe(0);
  });

  test('ends with 1 where another run holds the job, and says which', async () => {
    await sample.query(
      `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By) VALUES (NEWID(), '${revoke}', 'InProgress', GETUTCDATE(), 'machine-1');`,
    );
    const { code, stdout, stderr } = await job([revoke, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      activeRun: {
        jobId: expect.any(String) as string,
        jobType: revoke,
        startedAt: expect.any(String) as string,
        startedBy: 'machine-1',
        lockExpiresAt: expect.any(String) as string,
      },
    });
    expect(stderr).toMatch(/is held by run \S+ since /);
    expect((await job([revoke])).stdout).toBe('Nothing was done: the job is running already.\n');
  });

  test.each([
    [[], /Expected one job type\./],
    [['RevokeEverything'], /Unknown job type: RevokeEverything\./],
    [[revoke, revoke], /Expected one job type\./],
    [[notify, '--allow-mass-revocation'], /is for revocation jobs/],
  ])('refuses %j with 1 and prints the usage', async (args, message) => {
    const { code, stdout, stderr } = await job(args);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/Usage: npm run job -- <Job_Type>/);
    for (const { type } of jobs) expect(stderr).toContain(type);
    expect(await runs()).toEqual([]);
  });

  test('without settings ends with 1 and names every one that is missing', async () => {
    const missing = ['SQL_SERVER', 'SQL_DATABASE', 'EMAIL_ENDPOINT', 'EMAIL_SENDER_ADDRESS'];
    const { code, stderr } = await runCommand('cli/runJob.ts', [revoke]);
    expect(code).toBe(1);
    for (const name of missing) expect(stderr).toContain(`${name}: missing: expected`);
  });
});

describe('npm run request', () => {
  test.each(['DBX-10065', '-- dbx-10065', '65', 'databricks/65'])(
    '%s shows that request: what it is, what comes next, what happened',
    async (args) => {
      const { code, stdout, stderr } = await shell(`npm run --silent request ${args}`);
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(
        /^Databricks request DBX-10065 \(id 65\)\n {2}Holder .+\n {2}Access .+\n {2}Ends .+\n/,
      );
      expect(stdout).toMatch(/\n {2}Next +\S.+\.\n/);
    },
  );

  test('a name lists all requests of that person; a number that does not exist ends with 1', async () => {
    const { code, stdout } = await shell('npm run --silent request Grace Hopper');
    expect([code, stdout.trim().split('\n')]).toEqual([
      0,
      [
        expect.stringMatching(/^databricks\/\d+: DBX-\d+, Grace Hopper, finance/),
        expect.stringMatching(/^databricks\/\d+: DBX-\d+, Grace Hopper, finance/),
      ],
    ]);
    const none = await shell('npm run --silent request DBX-99999');
    expect([none.code, none.stdout]).toEqual([1, '']);
    expect(none.stderr).toContain('is DBX-99999 or begins with it');
    const empty = await shell('npm run --silent request');
    expect([empty.code, empty.stderr]).toEqual([1, expect.stringContaining('Usage: npm run request')]);
    const long = await shell(`npm run --silent request ${'x'.repeat(321)}`);
    expect([long.code, long.stderr]).toEqual([
      1,
      expect.stringContaining('The query has 321 characters: expected at most 320.'),
    ]);
  });

  test('shows when a message was sent, and by which run', async () => {
    await shell('npm run --silent job ExpiryNotificationDatabricksRequests');
    const [row] = await sample.query(
      'SELECT TOP (1) n.DeltaRequestId AS Id, n.Notification_Sent_To AS SentTo FROM dbo.ExpiryNotification_Databricks AS n ORDER BY n.Id;',
    );
    const { stdout } = await shell(`npm run --silent request databricks/${row?.Id as number}`);
    expect(stdout).toMatch(
      /UTC {2}message sent to \S+@example\.com, by ExpiryNotificationDatabricksRequests, run [\da-f-]{36}\n/,
    );
    expect(stdout).toContain(row?.SentTo as string);
  });
});

describe('a database that cannot be reached', () => {
  const preload = `--require ${join(__dirname, '../support/fastPauses.js')}`;
  const hurried = (line: string, settings: Readonly<Record<string, string>> = {}): Promise<Ended> =>
    shell(`npm run --silent ${line}`, { NODE_OPTIONS: preload, ...settings });

  test.each(['doctor', 'db:deploy', `job ${revoke}`, `job -- ${revoke} --dry-run`])(
    'npm run %s says after one try that the database’s name is wrong',
    async (line) => {
      const { code, output } = await hurried(line, { SQL_DATABASE: 'acess' });
      expect(output).toMatch(/The database acess on localhost:\d+ cannot be reached: .*\(SQL error 4060\)/);
      expect(output).not.toContain('PAUSE OF');
      expect(code).toBe(1);
    },
  );

  test.each([
    [{ SQL_PORT: '1' }, /cannot be reached: .*ECONNREFUSED/],
    [{ SQL_SERVER: 'no-such-server.invalid' }, /cannot be reached: .*(ENOTFOUND|EAI_AGAIN)/],
  ])('%j is reported after one try', async (settings, message) => {
    const { code, output } = await hurried(`job ${revoke}`, settings);
    expect(output).toMatch(message);
    expect(output.includes('PAUSE OF')).toBe(output.includes('EAI_AGAIN'));
    expect(code).toBe(1);
  });

  test('is tried again while it wakes up', async () => {
    sample.standIns.sql.order({ kind: 'refuseLogin', number: 40_613 });
    const { code, output, stderr } = await hurried(`job ${revoke}`);
    expect(output).toContain('PAUSE OF 5000 ms');
    expect(stderr).toMatch(/The database is starting or busy, try 2 of 6 in 5 s: .*SQL error 40613/);
    expect(code).toBe(0);
  });
});

test.each([
  ['db:deploy --dry-run', /^Unknown option --dry-run: known are /],
  ['db:deploy --grant app --client-id 7c9e6679-7425-40de-944b-e07fc1f90ae7', /^Unexpected argument/],
])('npm run %s is refused with the usage', async (args, message) => {
  const { code, stdout, stderr } = await shell(`npm run --silent ${args}`);
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(message);
  expect(stderr).toContain('Usage: npm run db:deploy');
});

test.each([
  ['job', /^Usage: npm run job -- <Job_Type>[^]*--dry-run[^]*--json/],
  ['doctor', /^Usage: npm run doctor [^]*--send-test-to/],
  ['db:deploy', /^Usage: npm run db:deploy [^]*--replace-views/],
  ['test:sqlserver', /^Usage: npm run test:sqlserver /],
  // Nothing is started.
  ['start', /^Usage: npm start [^]*--mailbox-port <port>(?![^]*Starting)/],
])('npm run %s -- --help prints what it takes and ends with 0', async (script, usage) => {
  for (const option of ['--help', '-h']) {
    const { code, stdout, stderr } = await shell(`npm run --silent ${script} -- ${option}`, {
      SQL_SERVER: '',
    });
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(usage);
  }
});

test.each([
  ['cli/verifyDeployment.ts', 'deploy:verify'],
  ['scripts/testHistories.ts', 'test:histories'],
  ['scripts/model.ts', 'model'],
  ['bench/run.ts', 'bench'],
])('%s --help prints what npm run %s takes and ends with 0', async (file, script) => {
  const { code, stdout } = await ended(
    startProgram(process.execPath, ['--import', 'tsx', file, '--help'], { cwd: join(__dirname, '../..') }),
  );
  expect([code, stdout]).toEqual([0, expect.stringContaining(`Usage: npm run ${script}`)]);
});

test('a command whose output is no longer read ends quietly', async () => {
  // The script itself, which reads file by file.
  const { stdout, stderr } = await ended(
    startProgram('sh', ['-c', 'npm run --silent doctor | head -1'], {
      cwd: join(__dirname, '../..'),
      environment: sample.standIns.environment,
    }),
  );
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  expect(stderr).toBe('');
});
