import type { Session } from '../database/session';
import { int } from '../database/statement';
import type { ActiveRun } from './jobRun';

/** A run in progress is presumed dead after this (DATEDIFF counts minute boundaries). */
export const staleAfterMinutes = 10;

/**
 * Whether a row in progress holds its lock, in SQL. Rows dated more than a minute in the future hold no lock: after a
 * clock was set back they would lock the job until then.
 */
export const leaseIsFreshSql = `DATEDIFF(MINUTE, Started_At, GETUTCDATE()) <= ${staleAfterMinutes} AND Started_At <= DATEADD(MINUTE, 1, GETUTCDATE())`;

/** When the lease of a run that started then expires. */
export function lockExpiresAt(startedAt: Date): Date {
  const minute = 60_000;
  return new Date((Math.floor(startedAt.getTime() / minute) + staleAfterMinutes + 1) * minute);
}

/** The run that holds a lock, and when its lock expires, as the API returns it. */
export function describeActiveRun({ jobId, jobType, startedAt, startedBy }: Omit<ActiveRun, 'id'>) {
  return { jobId, jobType, startedAt, startedBy, lockExpiresAt: lockExpiresAt(startedAt) };
}

/** The run is no longer in progress: an operator closed it or, once it was stale, another run. */
export class LockLostError extends Error {
  override readonly name = 'LockLostError';
  constructor(jobId: string) {
    super(
      `Lock lost: run ${jobId} is no longer in progress. An operator cancelled it, or its lease of ${staleAfterMinutes} minutes ran out. It started nothing more.`,
    );
  }
}

/**
 * The first statement of every transaction by which a run writes: locks the run's own row @runId. It waits for a takeover,
 * a cancel or an earlier try whose answer was lost, and the statements after it read a later snapshot
 * (lostLockWritesNothing, oneRevocation in model/). An UPDATE does so under any isolation level, without a hint.
 */
const lockOwnRowSql = `UPDATE dbo.JobRun SET Processed_Count = COALESCE(Processed_Count, 0) WHERE Id = @runId`;

/**
 * A batch that writes rows only while the run @runId is in progress (lostLockWritesNothing in model/), and counts them in
 * its row: all or nothing (countIsRows). It returns one row, Written, or none once the lock is lost.
 * @param insertSql the INSERT
 */
export function fencedSql(insertSql: string): string {
  return `SET XACT_ABORT ON;
DECLARE @written INT;
BEGIN TRANSACTION;
${lockOwnRowSql} AND Status = 'InProgress';
IF @@ROWCOUNT = 1
BEGIN
  ${insertSql};
  SET @written = @@ROWCOUNT;
  ${addToProcessedCountSql};
END;
COMMIT TRANSACTION;
SELECT @written AS Written WHERE @written IS NOT NULL;`;
}

/**
 * A batch that writes rows whether or not the run @runId is still in progress, and counts them in its row
 * (countIsRows in model/): what was sent is always recorded (acceptedIsRecorded). It returns one row, the run's Status.
 * @param insertSql the INSERT
 */
export function unfencedSql(insertSql: string): string {
  return `SET XACT_ABORT ON;
DECLARE @written INT;
BEGIN TRANSACTION;
${lockOwnRowSql};
${insertSql};
SET @written = @@ROWCOUNT;
${addToProcessedCountSql};
COMMIT TRANSACTION;
SELECT Status FROM dbo.JobRun WHERE Id = @runId;`;
}

const addToProcessedCountSql =
  'UPDATE dbo.JobRun SET Processed_Count = Processed_Count + @written WHERE Id = @runId';

/** Whether the run is in progress and its lease has not expired, by the database's clock: it may start new work. */
export async function isLeaseFresh(session: Session, run: ActiveRun): Promise<boolean> {
  const rows = await session.query({
    name: 'checkLease',
    sql: `SELECT 1 AS Fresh FROM dbo.JobRun WHERE Id = @runId AND Status = 'InProgress' AND ${leaseIsFreshSql};`,
    parameters: { runId: int(run.id) },
  });
  return rows.length > 0;
}
