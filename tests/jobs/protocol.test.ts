/**
 * Orders of events that the model of the protocol (docs/protocol.md) found to break it without one of its safeguards, on
 * real sessions of the stand-in, which ignores lock hints. The tests of the other safeguards are where the rule is.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { acquireLock } from '../../src/jobRun/acquire';
import { cancelRun } from '../../src/jobRun/cancel';
import { finishRun } from '../../src/jobRun/finish';
import { jobs } from '../../src/jobs/catalogue';
import { hour, repeat, useEnvironment } from '../support/arrange';
import { beforeStatement, finished, newGuid, standInOf } from '../support/environment';

const environment = useEnvironment();

const standIn = () => standInOf(environment);

describe.each(jobs)('$type', (job) => {
  const { table } = job.writes;
  const insert = new RegExp(`INSERT INTO ${table}`);
  // The first record of a run is an empty trial, the second that of the message.
  const [statement, nth] =
    job.kind === 'revocation' ? (['revokeBatch', 1] as const) : (['recordNotification', 2] as const);
  const endsIn = job.kind === 'revocation' ? -hour : 30 * hour;
  const addThreeDue = () => environment.addGrants(job, repeat(3, { endsIn, email: 'ada@example.com' }));
  const written = () => environment.query(`SELECT Id FROM ${table};`);
  const received = () => standIn().statements.filter(({ text }) => insert.test(text)).length;

  test.each([
    ['commits after the second has begun', 'answerLate'],
    ['has committed, and its answer is lost', 'dropAfter'],
  ] as const)('writes nothing twice when the first try %s', async (_case, kind) => {
    await addThreeDue();
    beforeStatement(statement, nth, () => standIn().order({ kind, match: insert, drop: true }));
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Completed', processedCount: 3 });
    expect(await written()).toHaveLength(3);
    expect(await environment.runs(job)).toHaveLength(1);
  });

  test('keeps and counts a write that a cancel interrupts; the cancel waits for it', async () => {
    await addThreeDue();
    const other = await environment.openSession();
    let commit: { held: Promise<void>; release: () => void } | undefined;
    beforeStatement(statement, nth, () => (commit = standIn().order({ kind: 'holdCommit', match: insert })));
    const running = environment.run(job);
    while (!commit) await delay(1);
    await commit.held;
    const [row] = await environment.runs(job);
    const cancelling = cancelRun(other, job.type, row?.Job_Id as string, false);
    expect(await Promise.race([cancelling, delay(50, 'waits')])).toBe('waits');
    commit.release();
    expect(await cancelling).toMatchObject({ kind: 'cancelled', run: { processedCount: 3 } });
    other.close();
    expect(finished(await running)).toMatchObject({ status: 'Failed', processedCount: 3 });
    expect(await written()).toHaveLength(3);
  });

  test('writes nothing once its row is being closed, even before that is committed', async () => {
    await addThreeDue();
    const other = await environment.openSession();
    const commit = standIn().order({ kind: 'holdCommit', match: /'closed by a test'/ });
    let closing: Promise<unknown> | undefined;
    beforeStatement(job.kind === 'revocation' ? 'revokeBatch' : 'checkLease', 1, async () => {
      closing = other.query({
        name: 'close',
        sql: "UPDATE dbo.JobRun SET Status = 'Failed', Error_Message = 'closed by a test' WHERE Status = 'InProgress';",
      });
      await commit.held;
      // The close is committed once the batch, or the record after the check of the lease, has been received.
      const before = received();
      void (async () => {
        while (received() === before) await delay(1);
        commit.release();
      })();
    });
    const run = finished(await environment.run(job));
    await closing;
    other.close();
    expect(run).toMatchObject({ status: 'Failed', message: 'closed by a test' });
    // A message that went out before the row was closed is recorded; nothing is revoked.
    const count = job.kind === 'revocation' ? 0 : 3;
    expect([(await written()).length, run.processedCount ?? 0]).toEqual([count, count]);
  });
});

describe('a run that is cancelled', () => {
  const type = 'RevokeExpiredDatabricksRequests';
  const acquire = (jobId: string) => acquireLock(environment.session, type, jobId, 'machine-1');

  test('before it has received its lock gives up after five attempts', async () => {
    const jobId = newGuid();
    await acquire(jobId);
    await cancelRun(environment.session, type, jobId, false);
    standIn().clearStatements();
    await expect(acquire(jobId)).rejects.toThrow('changed hands 5 times');
    const attempts = standIn().statements.filter(({ text }) => text.includes('INSERT INTO dbo.JobRun'));
    expect(attempts).toHaveLength(5);
  });

  test('keeps the end that the cancel wrote', async () => {
    const acquisition = await acquire(newGuid());
    if (acquisition.kind === 'held') throw new Error('The lock is held');
    const cancellation = await cancelRun(environment.session, type, acquisition.run.jobId, false);
    if (cancellation.kind !== 'cancelled') throw new Error('The run is not cancelled');
    standIn().clock.advance(1_000);
    expect(await finishRun(environment.session, acquisition.run, { status: 'Completed' })).toEqual(
      cancellation.run,
    );
  });
});
