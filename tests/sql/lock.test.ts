import { acquireLock, type Acquisition } from '../../src/jobRun/acquire';
import { finishRun } from '../../src/jobRun/finish';
import { listRuns } from '../../src/jobRun/history';
import type { ActiveRun } from '../../src/jobRun/jobRun';
import { isLeaseFresh, lockExpiresAt } from '../../src/jobRun/lease';
import { Session } from '../../src/database/session';
import { createCredential } from '../../src/services';
import { newGuid, startTestEnvironment, type TestEnvironment } from '../support/environment';

const revoke = 'RevokeExpiredDatabricksRequests';
let environment: TestEnvironment;
let session: Session;

beforeAll(async () => {
  environment = await startTestEnvironment();
  session = environment.session;
});
afterEach(() => environment.reset());
afterAll(() => environment.close());

/** Makes every run in progress look older. */
const age = (minutes: number) =>
  environment.query(
    `UPDATE dbo.JobRun SET Started_At = DATEADD(MINUTE, ${-minutes}, Started_At) WHERE Status = 'InProgress';`,
  );

const openSession = async () =>
  Session.open(
    environment.settings.database,
    await createCredential(environment.environment, undefined),
    30_000,
  );

/** Takes the free lock. */
async function acquire(jobId = newGuid()): Promise<ActiveRun> {
  const acquisition = await acquireLock(session, revoke, jobId, 'machine-1');
  if (acquisition.kind === 'held') throw new Error('The lock is held');
  return acquisition.run;
}

test('acquiring leaves one row in progress with the start by the database’s clock', async () => {
  const jobId = newGuid();
  const acquired = await acquireLock(session, revoke, jobId, 'machine-1');
  expect(acquired).toMatchObject({
    kind: 'acquired',
    run: { jobId, jobType: revoke, startedBy: 'machine-1' },
  });
  const [row] = await environment.query(
    'SELECT *, DATEDIFF(SECOND, Started_At, GETUTCDATE()) AS Age FROM dbo.JobRun;',
  );
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
  expect(row?.Age).toBeLessThanOrEqual(5);
});

test('a lock that is held is told with the run that holds it', async () => {
  const jobId = newGuid();
  const first = await acquireLock(session, revoke, jobId, 'machine-1');
  const second = await acquireLock(session, revoke, newGuid(), 'machine-2');
  expect(second).toEqual({
    kind: 'held',
    activeRun: first.kind === 'acquired' ? first.run : undefined,
  });
});

test('locks of different job types do not block each other', async () => {
  for (const type of [
    'RevokeExpiredDatabricksRequests',
    'RevokeExpiredPalantirRequests',
    'ExpiryNotificationDatabricksRequests',
    'ExpiryNotificationPalantirRequests',
  ] as const)
    expect((await acquireLock(session, type, newGuid(), 'machine-1')).kind).toBe('acquired');
});

test('acquiring again with the same Job_Id finds its own row: acquired, and still one row', async () => {
  const jobId = newGuid();
  await acquireLock(session, revoke, jobId, 'machine-1');
  expect((await acquireLock(session, revoke, jobId, 'machine-1')).kind).toBe('acquired');
  expect(await environment.query('SELECT Id FROM dbo.JobRun;')).toHaveLength(1);
});

test('a lock is held for 10 minutes and can be taken after more', async () => {
  await acquireLock(session, revoke, newGuid(), 'machine-1');
  await age(10);
  expect((await acquireLock(session, revoke, newGuid(), 'machine-2')).kind).toBe('held');
  await age(1);
  expect((await acquireLock(session, revoke, newGuid(), 'machine-2')).kind).toBe('acquired');
});

test('a row dated in the future holds the lock for a minute of clock skew and no longer', async () => {
  await acquireLock(session, revoke, newGuid(), 'machine-1');
  await age(-1);
  // DATETIME has steps of 1/300 s: a moment less than a minute ahead.
  await environment.query('UPDATE dbo.JobRun SET Started_At = DATEADD(SECOND, -5, Started_At);');
  expect((await acquireLock(session, revoke, newGuid(), 'machine-2')).kind).toBe('held');
  await age(-2);
  expect((await acquireLock(session, revoke, newGuid(), 'machine-2')).kind).toBe('acquired');
  const statuses = (await listRuns(session, revoke, 2)).map(({ status }) => status);
  expect(statuses.sort()).toEqual(['Failed', 'InProgress']);
});

test('the lock of a run expires at the minute from which another run can take it', async () => {
  const { startedAt } = await acquire();
  const expiresAt = lockExpiresAt(startedAt);
  const [row] = await environment.query(
    `SELECT DATEDIFF(MINUTE, '${startedAt.toISOString().slice(0, 23)}', '${expiresAt.toISOString().slice(0, 23)}') AS Minutes;`,
  );
  expect(row?.Minutes).toBe(11);
  expect(expiresAt.getUTCSeconds() + expiresAt.getUTCMilliseconds()).toBe(0);
});

test('a status in another case, which the database takes for the same, is read as what it means', async () => {
  await environment.query('ALTER TABLE dbo.JobRun DROP CONSTRAINT CK_JobRun_Status;');
  try {
    await acquire();
    await environment.query("UPDATE dbo.JobRun SET Status = 'inprogress';");
    expect((await listRuns(session, revoke, 1))[0]?.status).toBe('InProgress');
  } finally {
    await environment.query(
      "DELETE FROM dbo.JobRun; ALTER TABLE dbo.JobRun ADD CONSTRAINT CK_JobRun_Status CHECK (Status IN ('InProgress', 'Completed', 'Failed'));",
    );
  }
});

test('the row of a dead run is closed as failed and abandoned when its lock is taken over', async () => {
  const dead = newGuid();
  const successor = newGuid();
  await acquireLock(session, revoke, dead, 'machine-1');
  await age(11);
  await acquireLock(session, revoke, successor, 'machine-2');
  const [newest, oldest] = await listRuns(session, revoke, 10);
  expect(newest).toMatchObject({ jobId: successor, status: 'InProgress' });
  expect(oldest).toMatchObject({ jobId: dead, status: 'Failed' });
  expect(oldest?.message).toMatch(/^Abandoned: .*more than 10 minutes/);
  expect(oldest?.completedAt).toBeInstanceOf(Date);
});

test('a lock that was finished can be taken at once', async () => {
  await finishRun(session, await acquire(), { status: 'Completed' });
  expect((await acquireLock(session, revoke, newGuid(), 'machine-1')).kind).toBe('acquired');
});

test('of 8 sessions at once exactly one acquires, in every round', async () => {
  const sessions = await Promise.all(Array.from({ length: 8 }, openSession));
  try {
    for (let round = 0; round < 25; round++) {
      const results = await Promise.all(
        sessions.map((one): Promise<Acquisition> => acquireLock(one, revoke, newGuid(), 'machine-1')),
      );
      const winners = results.flatMap((result) => (result.kind === 'acquired' ? [result.run] : []));
      expect(winners).toHaveLength(1);
      for (const result of results)
        if (result.kind === 'held') expect(result.activeRun.jobId).toBe(winners[0]?.jobId);
      for (const winner of winners) await finishRun(session, winner, { status: 'Completed' });
    }
  } finally {
    for (const one of sessions) one.close();
  }
});

test('the database itself refuses a second run in progress, whatever a session sees', async () => {
  const insert = (id: string) =>
    environment.query(
      `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By) VALUES ('${id}', '${revoke}', 'InProgress', GETUTCDATE(), 'x');`,
    );
  await insert(newGuid());
  await expect(insert(newGuid())).rejects.toMatchObject({ number: 2601 });
});

test('only a duplicate means held: a missing table is an error that names it', async () => {
  await environment.query('DROP TABLE dbo.JobRun;');
  try {
    const attempt = acquireLock(session, revoke, newGuid(), 'machine-1');
    await expect(attempt).rejects.toMatchObject({ name: 'SqlError', number: 208 });
    await expect(attempt).rejects.toThrow('dbo.JobRun');
  } finally {
    const { createDatabase } = await import('../../local/sampleDatabase');
    await createDatabase(session);
  }
});

test('finishing writes the end, the counts and the message once; a later finish changes nothing', async () => {
  const acquired = await acquire();
  const run = await finishRun(session, acquired, {
    status: 'Failed',
    failedCount: 3,
    message: { sentences: 'first', facts: { failures: [] } },
  });
  expect(run).toMatchObject({ status: 'Failed', processedCount: 0, failedCount: 3, message: 'first' });
  const again = await finishRun(session, acquired, {
    status: 'Completed',
    message: { sentences: 'second', facts: { failures: [] } },
  });
  expect(again).toEqual(run);
});

test.each([
  ['plain', 'x'.repeat(2000)],
  ['of several bytes a character', '\u00E9\u4E2D\u{1F600}'.repeat(300)],
])(
  'an error message of 2,000 characters, %s, is cut in its middle to what the column takes',
  async (_, text) => {
    const run = await acquire();
    const end = ' (SQL error 207 in revokeBatch)';
    const { message } = await finishRun(session, run, {
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
  },
);

test('a lease is fresh while its run is in progress for at most 10 minutes', async () => {
  const run = await acquire();
  expect(await isLeaseFresh(session, run)).toBe(true);
  await age(11);
  expect(await isLeaseFresh(session, run)).toBe(false);
});

test('the history is newest first and not longer than asked', async () => {
  const ids = [newGuid(), newGuid(), newGuid()];
  for (const jobId of ids) await finishRun(session, await acquire(jobId), { status: 'Completed' });
  expect((await listRuns(session, revoke, 2)).map(({ jobId }) => jobId)).toEqual([ids[2], ids[1]]);
});
