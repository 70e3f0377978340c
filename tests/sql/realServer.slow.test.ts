/** Locks and plans of a server. On the stand-in some tests are skipped: npm run test:sqlserver runs them. */
import { acquireLock } from '../../src/jobRun/acquire';
import { cancelRun } from '../../src/jobRun/cancel';
import { finishRun } from '../../src/jobRun/finish';
import { findNextRun, findRun, listRuns } from '../../src/jobRun/history';
import type { ActiveRun, JobType } from '../../src/jobRun/jobRun';
import { fencedSql, isLeaseFresh } from '../../src/jobRun/lease';
import { Session, type Row } from '../../src/database/session';
import { int, type Statement } from '../../src/database/statement';
import { jobs, withoutSafetyStop } from '../../src/jobs/catalogue';
import { arrange, dueFor, hour, repeat, useEnvironment } from '../support/arrange';
import { finished, jobOf, newGuid, revocations } from '../support/environment';
import { testOnRealServer } from '../support/realServer';

const oneWriter = 'the stand-in has one lock for all that writes';
const otherPlans = 'the stand-in has the plans of SQLite';
const revoke = jobOf('revocation', 'Databricks');

const opened: Session[] = [];
// Before the tables are emptied, which locks would block.
afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});
const environment = useEnvironment();

/** A session of its own, closed after the test. */
async function open(): Promise<Session> {
  const one = await environment.openSession();
  opened.push(one);
  return one;
}

async function acquire(one: Session, jobType: JobType): Promise<ActiveRun> {
  const acquisition = await acquireLock(one, jobType, newGuid(), 'machine-1');
  if (acquisition.kind === 'held') throw new Error(`${jobType} is held`);
  return acquisition.run;
}

/** Begins a run's batch as the product does and leaves its transaction open: the run's own row is locked. */
function openBatch(one: Session, { id }: ActiveRun): Promise<Row[]> {
  const [beginning = ''] = fencedSql('').split('IF @@ROWCOUNT');
  return one.query({ name: 'openBatch', sql: beginning.replaceAll('@runId', String(id)) });
}

const commit = (one: Session): Promise<Row[]> => one.query({ name: 'commit', sql: 'COMMIT TRANSACTION;' });

/** An empty batch as the product sends it. It returns no row once the lock is lost. */
const batch = (one: Session, { id }: ActiveRun): Promise<Row[]> =>
  one.query({
    name: 'batch',
    sql: fencedSql(
      "INSERT INTO dbo.RevokedAccess_Databricks (DeltaRequestId, Revoked_Dt, Revoked_By) SELECT 0, GETUTCDATE(), 'x' WHERE 1 = 0",
    ),
    parameters: { runId: int(id) },
  });

/** Whether it still waits after half a second. */
async function isWaiting(work: Promise<unknown>): Promise<boolean> {
  const timer = new Promise<true>((resolve) => setTimeout(() => resolve(true), 500));
  return Promise.race([work.then(() => false), timer]);
}

describe('Job types do not block each other, even if JobRun has few rows', () => {
  testOnRealServer('a job completes while a job of another type is in a batch', oneWriter, async () => {
    for (const holder of jobs) {
      const holding = await open();
      const held = await acquire(holding, holder.type);
      await openBatch(holding, held);
      for (const job of jobs.filter(({ type }) => type !== holder.type)) {
        await environment.addGrants(job, [dueFor(job)]);
        const services = environment.services();
        const run = finished(await environment.run(job, services));
        // Without a retry.
        expect({ ...run, slept: services.clock.slept }).toMatchObject({
          status: 'Completed',
          processedCount: 1,
          slept: [],
        });
      }
      await commit(holding);
      await finishRun(holding, held, { status: 'Completed' });
      await environment.reset();
    }
  });

  test('both revocations, of several batches each, run at the same time', async () => {
    for (const job of revocations)
      await environment.addGrants(
        job,
        repeat(9_000, (index) => ({ endsIn: -hour - index })),
      );
    const results = await Promise.all(revocations.map((job) => environment.run(withoutSafetyStop(job))));
    const completed = { status: 'Completed', processedCount: 9_000 };
    expect(results.map(finished)).toMatchObject([completed, completed]);
  });
});

describe('Of 8 sessions for each job type at once exactly one acquires the lock', () => {
  test.each([
    ['when the lock is free', false],
    ['when a dead run holds it', true],
  ])('%s, in 10 rounds, and no session fails', async (_, dead) => {
    const contenders = await Promise.all(
      jobs.flatMap(({ type }) => Array.from({ length: 8 }, async () => ({ type, one: await open() }))),
    );
    for (let round = 0; round < 10; round++) {
      if (dead) {
        for (const { type } of jobs) await acquire(environment.session, type);
        await environment.ageRuns(11);
      }
      const results = await Promise.all(
        contenders.map(async ({ type, one }) => ({
          type,
          ...(await acquireLock(one, type, newGuid(), 'machine-1')),
        })),
      );
      const won = results.flatMap((result) => (result.kind === 'acquired' ? [result.run] : []));
      expect(won.map(({ jobType }) => jobType).sort()).toEqual(jobs.map(({ type }) => type).sort());
      for (const result of results)
        expect(won).toContainEqual(result.kind === 'held' ? result.activeRun : result.run);
      for (const run of won) await finishRun(environment.session, run, { status: 'Completed' });
    }
  });
});

describe('A takeover and a batch of the run that it takes over', () => {
  test('the takeover waits for the batch; then the run writes nothing more', async () => {
    const [slow, successor] = [await open(), await open()];
    const run = await acquire(slow, revoke.type);
    expect(await batch(slow, run)).toEqual([{ Written: 0 }]);
    await environment.ageRuns(11);
    await openBatch(slow, run);
    const takeover = acquireLock(successor, revoke.type, newGuid(), 'machine-2');
    expect(await isWaiting(takeover)).toBe(true);
    await commit(slow);
    expect(await takeover).toMatchObject({ kind: 'acquired' });
    expect(await batch(slow, run)).toEqual([]);
    expect(await isLeaseFresh(slow, run)).toBe(false);
  });

  test('a cancel waits for the batch', async () => {
    const [running, operator] = [await open(), await open()];
    const run = await acquire(running, revoke.type);
    await openBatch(running, run);
    const cancellation = cancelRun(operator, revoke.type, run.jobId, false);
    expect(await isWaiting(cancellation)).toBe(true);
    await commit(running);
    expect(await cancellation).toMatchObject({ kind: 'cancelled', run: { status: 'Failed' } });
    expect(await batch(running, run)).toEqual([]);
  });
});

testOnRealServer(
  'a locked request delays only itself if rows are versioned, else the whole run; the next run does the rest',
  oneWriter,
  async () => {
    const [held] = await environment.addGrants(revoke, repeat(50, { endsIn: -hour }));
    const somebody = await open();
    await somebody.query({
      name: 'hold',
      sql: `BEGIN TRANSACTION; DELETE FROM dbo.DataAccessDeltaRequests WHERE id = ${String(held)};`,
    });
    const run = finished(await environment.run(revoke));
    const [database] = await environment.query(
      'SELECT is_read_committed_snapshot_on AS Versioned FROM sys.databases WHERE database_id = DB_ID();',
    );
    const versioned = database?.Versioned === true;
    const message = expect.stringContaining('1 locked by another transaction') as string;
    // Without versions the view cannot be read while the transaction is open.
    expect(run).toMatchObject({
      status: 'Failed',
      ...(versioned ? { processedCount: 49, message } : { processedCount: 0 }),
    });
    await somebody.query({ name: 'release', sql: 'ROLLBACK TRANSACTION;' });
    expect(finished(await environment.run(revoke))).toMatchObject({
      status: 'Completed',
      processedCount: versioned ? 1 : 50,
    });
  },
);

/** SQL for so many rows with a number `n` each. */
const numbers = (count: number): string => `(
  SELECT TOP (${count}) ROW_NUMBER() OVER (ORDER BY (SELECT 1)) AS n
  FROM sys.all_columns AS a CROSS JOIN sys.all_columns AS b
) AS numbers`;

/** Runs a statement by `query`: its rows, and its plans in XML ("Showplan XML"). */
async function planned(query: (statement: Statement) => Promise<Row[]>, statement: Statement) {
  const column = 'Microsoft SQL Server 2005 XML Showplan';
  await query({ name: 'planOn', sql: 'SET STATISTICS XML ON;' });
  const rows = await query(statement);
  await query({ name: 'planOff', sql: 'SET STATISTICS XML OFF;' });
  return {
    rows: rows.filter((row) => !(column in row)),
    plans: rows.flatMap((row) => (column in row ? [String(row[column])] : [])),
  };
}

/** An IndexScan of a plan is a scan or, with SeekPredicates, a seek. */
const isSeek = (read: string): boolean => /<SeekPredicates?\b/.test(read);

describe('What is due is found by a seek on the index on the end', () => {
  afterEach(() => environment.query('DROP TABLE IF EXISTS dbo.TestRequest;'));

  for (const type of ['DATE', 'SMALLDATETIME', 'DATETIME', 'DATETIME2(7)'])
    testOnRealServer(`of type ${type}`, otherPlans, async () => {
      await environment.query(
        `CREATE TABLE dbo.TestRequest (Id INT NOT NULL PRIMARY KEY, EndsAt ${type} NOT NULL);`,
      );
      // One in a thousand has ended, and one in a thousand ends within the window.
      await environment.query(`INSERT INTO dbo.TestRequest (Id, EndsAt)
SELECT n, DATEADD(DAY, CASE n % 1000 WHEN 0 THEN -2 WHEN 1 THEN 5 ELSE 300 END, GETUTCDATE())
FROM ${numbers(50_000)};
CREATE INDEX IX_TestRequest_EndsAt ON dbo.TestRequest (EndsAt);`);
      for (const job of [revoke, jobOf('notification', 'Databricks')]) {
        await environment.query(`CREATE OR ALTER VIEW ${job.platform.grantView} AS
SELECT r.Id AS RequestId, N'' AS RequestNumber, N'' AS RequesterName, N'' AS RequesterEmail, N'' AS Resource,
  r.EndsAt AS ExpiresAt, CAST(NULL AS NVARCHAR(400)) AS AccessKey
FROM dbo.TestRequest AS r;`);
        const { withDue: steps, parameters } = job.due(environment.settings);
        const sql = `${steps} SELECT COUNT(*) AS Due FROM Due AS g;`;
        const { rows, plans } = await planned((statement) => environment.session.query(statement), {
          name: 'due',
          sql,
          parameters,
        });
        expect(rows).toEqual([{ Due: 50 }]);
        const reads = plans.join('').match(/<IndexScan\b[\s\S]*?<\/IndexScan>/g) ?? [];
        const byEnd = reads.filter((read) => read.includes('Index="[IX_TestRequest_EndsAt]"'));
        expect([job.type, byEnd.length > 0, byEnd.every(isSeek)]).toEqual([job.type, true, true]);
      }
    });
});

describe('The plans of the statements on JobRun', () => {
  const lockIndex = 'UX_JobRun_Job_Type_InProgress';
  const historyIndex = 'IX_JobRun_Job_Type_Started_At';
  const key = 'PK_JobRun';
  const jobIdKey = 'UQ_JobRun_Job_Id';

  interface Access {
    readonly statement: string;
    /** Empty: the whole table. */
    readonly index: string;
    readonly seek: boolean;
  }

  /** How each statement on JobRun that is sent from now on reads the table. */
  function recordAccesses(): Access[] {
    const accesses: Access[] = [];
    // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own `this` below
    const { query } = Session.prototype;
    jest.spyOn(Session.prototype, 'query').mockImplementation(async function (this: Session, statement) {
      if (!statement.sql.includes('dbo.JobRun')) return query.call(this, statement);
      const { rows, plans } = await planned((one) => query.call(this, one), statement);
      const reads = plans.flatMap(
        (plan) => plan.match(/<(IndexScan|TableScan|SimpleUpdate)\b[\s\S]*?<\/\1>/g) ?? [],
      );
      for (const read of reads.filter((one) => one.includes('Table="[JobRun]"')))
        accesses.push({
          statement: statement.name,
          index: /Index="\[(\w+)\]"/.exec(read)?.[1] ?? '',
          seek: isSeek(read),
        });
      return rows;
    });
    return accesses;
  }

  const indexesOf = (accesses: readonly Access[], statement: string): string[] =>
    [...new Set(accesses.filter((one) => one.statement === statement).map(({ index }) => index))].sort();

  testOnRealServer('seek if they lock or update, even on a table of few rows', otherPlans, async () => {
    for (const { type } of jobs) await acquire(environment.session, type);
    await environment.ageRuns(11);
    const accesses = recordAccesses();
    for (const job of jobs) {
      await environment.addGrants(job, [dueFor(job)]);
      expect(await arrange(environment, job).run()).toMatchObject({ processedCount: 1 });
    }
    expect(accesses.filter(({ seek }) => !seek)).toEqual([]);
    expect(indexesOf(accesses, 'acquireLock')).toContain(lockIndex);
    expect(indexesOf(accesses, 'acquireLock')).not.toContain(historyIndex);
    for (const statement of ['revokeBatch', 'recordNotification', 'checkLease', 'finishRun'])
      expect([statement, indexesOf(accesses, statement)]).toEqual([statement, [key]]);
  });

  testOnRealServer(
    'seek if they find a run or read the history, once the table has grown',
    otherPlans,
    async () => {
      for (const { type } of jobs)
        await environment.query(`INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By)
SELECT NEWID(), '${type}', 'Completed', DATEADD(MINUTE, -n, GETUTCDATE()), 'machine-1'
FROM ${numbers(10_000)};`);
      await environment.query('UPDATE STATISTICS dbo.JobRun;');
      const { session } = environment;
      const accesses = recordAccesses();
      const [newest] = await listRuns(session, revoke.type, 10);
      const jobId = newest?.jobId ?? '';
      expect(await listRuns(session, revoke.type, 10, { before: jobId })).toHaveLength(10);
      expect(await findNextRun(session, revoke.type, jobId)).toBeUndefined();
      expect((await findRun(session, jobId))?.jobId).toBe(jobId);
      expect(await cancelRun(session, revoke.type, jobId, false)).toMatchObject({ kind: 'ended' });
      expect(accesses.filter(({ seek }) => !seek)).toEqual([]);
      expect(indexesOf(accesses, 'listRuns')).toContain(historyIndex);
      expect(indexesOf(accesses, 'findNextRun')).toContain(historyIndex);
      for (const statement of ['findRun', 'cancelRun'])
        expect([statement, indexesOf(accesses, statement)]).toEqual([statement, [key, jobIdKey]]);
    },
  );
});
