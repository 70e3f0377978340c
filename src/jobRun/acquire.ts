import { SqlError, sqlErrors } from '../database/errors';
import type { Session } from '../database/session';
import { int, uniqueIdentifier, varChar } from '../database/statement';
import { jobRunColumns, toJobRun, type ActiveRun, type JobType } from './jobRun';

/** A run in progress that is older than this many minute boundaries is taken for dead. */
export const staleAfterMinutes = 10;

export type Acquisition =
  | { readonly kind: 'acquired'; readonly run: ActiveRun }
  | { readonly kind: 'held'; readonly activeRun: ActiveRun };

/** A run that holds the lock may end between our attempt and our look at it; then the lock is tried again. */
const attempts = 5;

/**
 * Takes the lock of a job type: the row that is 'InProgress' in dbo.JobRun.
 * Safe to repeat with the same jobId after a lost answer: one's own row counts as acquired.
 * @param jobId the GUID of this run
 * @param startedBy the name of this machine
 */
export async function acquireLock(
  session: Session,
  jobType: JobType,
  jobId: string,
  startedBy: string,
): Promise<Acquisition> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const startedAt = await closeStaleAndInsert(session, jobType, jobId, startedBy);
    if (startedAt) return { kind: 'acquired', run: { jobId, jobType, startedAt, startedBy } };
    const activeRun = await findActiveRun(session, jobType);
    if (activeRun)
      return activeRun.jobId === jobId ? { kind: 'acquired', run: activeRun } : { kind: 'held', activeRun };
  }
  throw new Error(`The lock of ${jobType} changed hands ${attempts} times while it was being taken`);
}

/**
 * Closes a stale run and inserts the new one, in one transaction and one call.
 *
 * The check for a run in progress carries UPDLOCK and HOLDLOCK, so that a second session queues for a moment and then
 * sees the first one's row. The named index holds the rows in progress alone, with all that the check reads: without it
 * a scan would wait for other job types. That alone is not enough under row versioning: the filtered unique index
 * UX_JobRun_Job_Type_InProgress is what makes two runs impossible, and its duplicate-key error means held.
 * @returns when the run started, by the database's clock, or undefined if the lock is held
 */
async function closeStaleAndInsert(
  session: Session,
  jobType: JobType,
  jobId: string,
  startedBy: string,
): Promise<Date | undefined> {
  const sql = `SET XACT_ABORT ON;
BEGIN TRANSACTION;
UPDATE dbo.JobRun
SET Status = 'Failed', Completed_At = GETUTCDATE(), Error_Message = @abandoned
WHERE Job_Type = @jobType AND Status = 'InProgress' AND DATEDIFF(MINUTE, Started_At, GETUTCDATE()) > @staleAfter;
INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By)
OUTPUT inserted.Started_At
SELECT @jobId, @jobType, 'InProgress', GETUTCDATE(), @startedBy
WHERE NOT EXISTS (
  SELECT 1 FROM dbo.JobRun WITH (UPDLOCK, HOLDLOCK, INDEX (UX_JobRun_Job_Type_InProgress))
  WHERE Job_Type = @jobType AND Status = 'InProgress' AND DATEDIFF(MINUTE, Started_At, GETUTCDATE()) <= @staleAfter);
COMMIT TRANSACTION;`;
  try {
    const [row] = await session.query({
      name: 'acquireLock',
      sql,
      parameters: {
        jobId: uniqueIdentifier(jobId),
        jobType: varChar(50, jobType),
        startedBy: varChar(100, startedBy.slice(0, 100)),
        staleAfter: int(staleAfterMinutes),
        abandoned: varChar(
          500,
          `Abandoned: still in progress after more than ${staleAfterMinutes} minutes, closed by run ${jobId}. Its process died or was paused; what it had recorded stands.`,
        ),
      },
    });
    return row?.Started_At as Date | undefined;
  } catch (error) {
    const duplicate =
      error instanceof SqlError &&
      (error.number === sqlErrors.duplicateInIndex || error.number === sqlErrors.duplicateInConstraint);
    if (duplicate) return undefined;
    throw error;
  }
}

/** The run that holds the lock of a job type, stale or not. */
export async function findActiveRun(session: Session, jobType: JobType): Promise<ActiveRun | undefined> {
  const [row] = await session.query({
    name: 'findActiveRun',
    sql: `SELECT ${jobRunColumns('r')} FROM dbo.JobRun AS r WHERE r.Job_Type = @jobType AND r.Status = 'InProgress';`,
    parameters: { jobType: varChar(50, jobType) },
  });
  if (!row) return undefined;
  const { jobId, startedAt, startedBy } = toJobRun(row);
  return { jobId, jobType, startedAt, startedBy };
}
