/** The command line as people type it, slips included. */
import { join } from 'node:path';
import { startSample, type Sample } from '../support/app';
import { ended, startLine, startProgram, useCommands, type Ended } from '../support/commands';
import { jobOf } from '../support/environment';

const revoke = jobOf('revocation', 'Databricks').type;

useCommands();

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

  test('--allow-mass-revocation does what it does after the --', async () => {
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

  test('is waited for where it wakes up', async () => {
    sample.standIns.sql.order({ kind: 'refuseLogin', number: 40_613 });
    const { code, output } = await hurried(`job ${revoke}`);
    expect(output).toContain('PAUSE OF 5000 ms');
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

test('a command whose output nobody reads any more ends quietly', async () => {
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
