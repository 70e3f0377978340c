import { SqlError, sqlErrors } from '../database/errors';
import { date, flag, number, text, type RowOf } from '../database/columns';
import type { Session } from '../database/session';
import { uniqueIdentifier, varChar } from '../database/statement';
import type { ActiveRun, JobType } from './jobRun';
import { leaseIsFreshSql, staleAfterMinutes } from './lease';
import { writeRunMessage } from './runMessage';

export type Acquisition =
  | {
      readonly kind: 'acquired';
      readonly run: ActiveRun;
      /** The dead run whose row was closed; absent also if an earlier try closed it and its answer was lost. */
      readonly abandoned?: ActiveRun;
    }
  | { readonly kind: 'held'; readonly activeRun: ActiveRun };

/**
 * Tries: the run that holds the lock may end between our INSERT and our SELECT. A run that was cancelled before it got the
 * answer never gets the lock (lockCanBeTaken in model/), so the number is limited.
 */
const attempts = 5;

/**
 * The row in progress of a job type, from the lock's index alone: it covers the columns, so that this read cannot
 * deadlock with a run that ends (key look-up against update, where row versioning is off).
 */
const activeRunSql = `SELECT 0 AS Abandoned, r.Id, r.Job_Id, r.Started_At, r.Started_By
FROM dbo.JobRun AS r WITH (INDEX (UX_JobRun_Job_Type_InProgress))
WHERE r.Job_Type = @jobType AND r.Status = 'InProgress';`;

const activeRunColumns = { Abandoned: flag, Id: number, Job_Id: text, Started_At: date, Started_By: text };

/**
 * Takes the lock of a job type, which is the row 'InProgress' of dbo.JobRun:
 * 1. A stale row in progress is closed as 'Failed' (lockCanBeTaken in model/).
 * 2. A new row is inserted where no fresh one is in progress, in the same transaction.
 * 3. The row in progress is read: if it is ours, also by an earlier try whose answer was lost, the lock is acquired.
 * 4. If it is another's, the lock is held. A duplicate key (2601, 2627) in step 2 means the same.
 * 5. If there is none, its run has just ended: try again.
 * @param jobId the GUID of this run, the same in each try
 * @param startedBy the name of this machine
 */
export async function acquireLock(
  session: Session,
  jobType: JobType,
  jobId: string,
  startedBy: string,
): Promise<Acquisition> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const { run, abandoned } = await closeStaleAndInsert(session, jobType, jobId, startedBy);
    if (run && run.jobId !== jobId) return { kind: 'held', activeRun: run };
    if (run) return { kind: 'acquired', run, ...(abandoned && { abandoned }) };
  }
  throw new Error(`The lock of ${jobType} changed hands ${attempts} times while it was being taken`);
}

const acquireSql = `SET XACT_ABORT ON;
DECLARE @staleId INT;
BEGIN TRANSACTION;
SET @staleId = (
  SELECT r.Id FROM dbo.JobRun AS r WITH (INDEX (UX_JobRun_Job_Type_InProgress))
  WHERE r.Job_Type = @jobType AND r.Status = 'InProgress' AND NOT (${leaseIsFreshSql}));
IF @staleId IS NOT NULL
BEGIN
  UPDATE dbo.JobRun
  SET Status = 'Failed', Completed_At = GETUTCDATE(), Error_Message = @abandoned
  WHERE Id = @staleId AND Status = 'InProgress';
  IF @@ROWCOUNT = 0 SET @staleId = NULL;
END;
INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By)
SELECT @jobId, @jobType, 'InProgress', GETUTCDATE(), @startedBy
WHERE NOT EXISTS (
  SELECT 1 FROM dbo.JobRun WITH (UPDLOCK, HOLDLOCK, INDEX (UX_JobRun_Job_Type_InProgress))
  WHERE Job_Type = @jobType AND Status = 'InProgress' AND ${leaseIsFreshSql});
COMMIT TRANSACTION;
${activeRunSql}
IF @staleId IS NOT NULL
  SELECT 1 AS Abandoned, r.Id, r.Job_Id, r.Started_At, r.Started_By FROM dbo.JobRun AS r WHERE r.Id = @staleId;`;

/**
 * Steps 1 to 3, in one call. Each search names the lock's index, which holds only the rows in progress and covers the
 * columns: on a small table the optimiser might scan instead, and lock the rows of other job types. Where a type has no row
 * in progress, the range lock reaches to the next type's key for the length of this transaction, so that two types
 * may wait for each other that long.
 *
 * UPDLOCK and HOLDLOCK make a second session wait and then see the first one's row. It is the unique index that makes
 * two rows impossible (oneRunInProgress in model/).
 * @returns the run in progress afterwards, and the one that was closed
 */
async function closeStaleAndInsert(
  session: Session,
  jobType: JobType,
  jobId: string,
  startedBy: string,
): Promise<{ readonly run?: ActiveRun | undefined; readonly abandoned?: ActiveRun | undefined }> {
  try {
    const rows = await session.query({
      name: 'acquireLock',
      columns: activeRunColumns,
      sql: acquireSql,
      parameters: {
        jobId: uniqueIdentifier(jobId),
        jobType: varChar(50, jobType),
        startedBy: varChar(100, startedBy.slice(0, 100)),
        abandoned: varChar(
          500,
          writeRunMessage({
            sentences: `Abandoned: still in progress after more than ${staleAfterMinutes} minutes, or dated in the future; closed by run ${jobId}. Its process died or was paused. What it had recorded is kept.`,
            facts: { ended: 'abandoned', failures: [] },
          }),
        ),
      },
    });
    const run = rows.find(({ Abandoned }) => !Abandoned);
    const abandoned = rows.find(({ Abandoned }) => Abandoned);
    return { run: run && toActiveRun(run, jobType), abandoned: abandoned && toActiveRun(abandoned, jobType) };
  } catch (error) {
    const duplicate =
      error instanceof SqlError &&
      (error.number === sqlErrors.duplicateInIndex || error.number === sqlErrors.duplicateInConstraint);
    if (!duplicate) throw error;
    return { run: await findActiveRun(session, jobType) };
  }
}

/** The run in progress of a job type, stale or not. */
async function findActiveRun(session: Session, jobType: JobType): Promise<ActiveRun | undefined> {
  const [row] = await session.query({
    name: 'findActiveRun',
    columns: activeRunColumns,
    sql: activeRunSql,
    parameters: { jobType: varChar(50, jobType) },
  });
  return row && toActiveRun(row, jobType);
}

function toActiveRun(row: RowOf<typeof activeRunColumns>, jobType: JobType): ActiveRun {
  return { id: row.Id, jobId: row.Job_Id, jobType, startedAt: row.Started_At, startedBy: row.Started_By };
}
