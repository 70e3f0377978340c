import type { Session } from '../database/session';
import { int, uniqueIdentifier } from '../database/statement';
import { staleAfterMinutes } from './acquire';

/** The run is no longer in progress in the database: another took its lock over after it had gone stale. */
export class LockLostError extends Error {
  override readonly name = 'LockLostError';
  constructor(jobId: string) {
    super(
      `Lock lost: run ${jobId} is no longer in progress, since another run took over after ${staleAfterMinutes} minutes. Nothing more was written.`,
    );
  }
}

/**
 * A condition that is true only while the run @jobId holds its lock. UPDLOCK makes a takeover wait for this statement
 * and its transaction, and makes this statement see a takeover that came first.
 */
export const leaseHeld = `EXISTS (
  SELECT 1 FROM dbo.JobRun WITH (UPDLOCK) WHERE Job_Id = @jobId AND Status = 'InProgress')`;

/** When the run @jobId took its lock, as a value in SQL. */
export const runStartedAt = '(SELECT Started_At FROM dbo.JobRun WHERE Job_Id = @jobId)';

/**
 * T-SQL that adds the number of rows of the statement before it to the count of the run @jobId, and gives the run's
 * Status. In one transaction with that statement, so that the count is the number of rows written, whatever fails.
 */
export const addProcessed = `UPDATE dbo.JobRun
SET Processed_Count = COALESCE(Processed_Count, 0) + @@ROWCOUNT
OUTPUT inserted.Status
WHERE Job_Id = @jobId`;

/** The same, only while the run holds its lock; no row comes back once it has lost it. */
export const addProcessedWhileHeld = `${addProcessed} AND Status = 'InProgress'`;

/** Whether the run may start something new: it is in progress and its lock is not stale, by the database's clock. */
export async function isLeaseFresh(session: Session, jobId: string): Promise<boolean> {
  const rows = await session.query({
    name: 'checkLease',
    sql: `SELECT 1 AS Fresh FROM dbo.JobRun
WHERE Job_Id = @jobId AND Status = 'InProgress' AND DATEDIFF(MINUTE, Started_At, GETUTCDATE()) <= @staleAfter;`,
    parameters: { jobId: uniqueIdentifier(jobId), staleAfter: int(staleAfterMinutes) },
  });
  return rows.length > 0;
}
