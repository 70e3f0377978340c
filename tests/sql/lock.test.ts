import { setTimeout as delay } from 'node:timers/promises';
import { createShutdown, deadlineIn } from '../../src/clock';
import { acquireLock } from '../../src/jobRun/acquire';
import { cancelRun } from '../../src/jobRun/cancel';
import { finishRun } from '../../src/jobRun/finish';
import { listRuns } from '../../src/jobRun/history';
import type { ActiveRun } from '../../src/jobRun/jobRun';
import { isLeaseFresh } from '../../src/jobRun/lease';
import { jobs } from '../../src/jobs/catalogue';
import { minute, useEnvironment } from '../support/arrange';
import { beforeStatement, jobOf, newGuid } from '../support/environment';
import { testOnStandIn } from '../support/realServer';

const revoke = 'RevokeExpiredDatabricksRequests';
const environment = useEnvironment();
const attempt = (jobId = newGuid(), startedBy = 'machine-1', type: (typeof jobs)[number]['type'] = revoke) =>
  acquireLock(environment.session, type, jobId, startedBy);

/** @throws Error if the lock is held */
async function acquire(jobId?: string): Promise<ActiveRun> {
  const acquisition = await attempt(jobId);
  if (acquisition.kind === 'held') throw new Error('The lock is held');
  return acquisition.run;
}

/** Makes sure that no minute begins for half a minute: the lease is measured in whole minutes. */
async function earlyInMinute(): Promise<void> {
  const { standIn } = environment;
  if (standIn) standIn.clock.set(new Date(Math.floor(Date.now() / minute) * minute));
  else while (new Date().getUTCSeconds() >= 30) await delay(500);
}

testOnStandIn('a stop of the app that loses the answer to the lock leaves no row in progress', async () => {
  const { shutdown, begin } = createShutdown();
  beforeStatement('acquireLock', 1, () => begin());
  environment.standIn?.order({ kind: 'dropAfter', match: /INSERT INTO dbo\.JobRun/ });
  const job = jobOf('revocation', 'Databricks');
  await environment.run(job, environment.services(), { trigger: 'timer', shutdown });
  expect(await environment.runs(job)).toMatchObject([{ Status: 'Completed' }]);
});

test('a job whose code cannot be loaded takes no lock', async () => {
  const job = { ...jobOf('revocation', 'Databricks'), prepare: () => Promise.reject(new Error('No module')) };
  await expect(environment.run(job)).rejects.toThrow('No module');
  expect(await environment.runs(job)).toEqual([]);
});

testOnStandIn(
  'a cancel whose answer was lost is known again, whatever letters the operator’s name has',
  async () => {
    const jobId = newGuid();
    await acquire(jobId);
    environment.standIn?.order({ kind: 'dropAfter', match: /SET @closed/ });
    const { database, clock } = environment.services();
    let tries = 0;
    const cancellation = await database.withSession('run', deadlineIn(clock, minute), (session) =>
      cancelRun(session, revoke, jobId, tries++ > 0, 'Łukasz Żółkiewski'),
    );
    expect([tries, cancellation.kind]).toEqual([2, 'cancelled']);
  },
);

test('acquiring inserts one row in progress, dated by the database’s clock', async () => {
  const jobId = newGuid();
  const [{ Now: before } = {}] = await environment.query('SELECT GETUTCDATE() AS Now;');
  expect(await attempt(jobId)).toMatchObject({
    kind: 'acquired',
    run: { jobId, jobType: revoke, startedBy: 'machine-1' },
  });
  const [row, ...others] = await environment.query('SELECT *, GETUTCDATE() AS Now FROM dbo.JobRun;');
  expect(others).toEqual([]);
  expect(row).toMatchObject({
    Job_Id: jobId,
    Job_Type: revoke,
    Status: 'InProgress',
    Started_By: 'machine-1',
    Completed_At: null,
    Processed_Count: null,
    Failed_Count: null,
    Error_Message: null,
  });
  const [from, startedAt, to] = [before, row?.Started_At, row?.Now].map((one) => (one as Date).getTime());
  expect(startedAt).toBeGreaterThanOrEqual(from ?? NaN);
  expect(startedAt).toBeLessThanOrEqual(to ?? NaN);
});

test('acquiring again with the same Job_Id finds its own row', async () => {
  const { jobId } = await acquire();
  expect(await attempt(jobId)).toMatchObject({ kind: 'acquired' });
  expect(await environment.query('SELECT Id FROM dbo.JobRun;')).toHaveLength(1);
});

test('a lease expires after 10 minutes; the next run closes the dead one as abandoned', async () => {
  await earlyInMinute();
  const dead = await acquire();
  await environment.ageRuns(10);
  expect(await attempt()).toMatchObject({ kind: 'held' });
  expect(await isLeaseFresh(environment.session, dead)).toBe(true);
  await environment.ageRuns(1);
  expect(await isLeaseFresh(environment.session, dead)).toBe(false);
  const successor = newGuid();
  expect(await attempt(successor, 'machine-2')).toMatchObject({
    kind: 'acquired',
    run: { jobId: successor },
    abandoned: {
      jobId: dead.jobId,
      jobType: revoke,
      startedBy: 'machine-1',
      startedAt: expect.any(Date) as Date,
    },
  });
  expect(await listRuns(environment.session, revoke, 10)).toMatchObject([
    { jobId: successor, status: 'InProgress' },
    {
      jobId: dead.jobId,
      status: 'Failed',
      message: expect.stringMatching(/^Abandoned: .*more than 10 minutes/) as string,
      completedAt: expect.any(Date) as Date,
    },
  ]);
});

test('a row dated more than a minute in the future holds no lock', async () => {
  await acquire();
  await environment.ageRuns(-1);
  // DATETIME has steps of 1/300 s: a moment less than a minute ahead.
  await environment.query('UPDATE dbo.JobRun SET Started_At = DATEADD(SECOND, -5, Started_At);');
  expect(await attempt()).toMatchObject({ kind: 'held' });
  await environment.ageRuns(-2);
  expect(await attempt()).toMatchObject({ kind: 'acquired' });
  const statuses = (await listRuns(environment.session, revoke, 2)).map(({ status }) => status);
  expect(statuses.sort()).toEqual(['Failed', 'InProgress']);
});

test.each([
  ['in ASCII', 'x'.repeat(2000)],
  ['with several bytes a character', '\u00E9\u4E2D\u{1F600}'.repeat(300)],
])('an error message of 2,000 characters, %s, loses its middle to fit the column', async (_, text) => {
  const end = ' (SQL error 207 in revokeBatch)';
  const { message } = await finishRun(environment.session, await acquire(), {
    status: 'Failed',
    message: { sentences: text + end, facts: { failures: [] } },
  });
  expect(message?.length).toBeLessThanOrEqual(500);
  const [kept = '', rest = '', ...others] = message?.split(' ... ') ?? [];
  expect(others).toEqual([]);
  // A VARCHAR keeps what its code page lacks as question marks.
  const asStored = (value: string): string =>
    value.replace(/[^\u0020-\u00FF]/gu, (one) => '?'.repeat(one.length));
  expect(asStored(text).startsWith(kept)).toBe(true);
  expect(asStored(text + end).endsWith(rest)).toBe(true);
  expect(rest.endsWith(end)).toBe(true);
  expect(kept.length).toBeGreaterThan(100);
});
