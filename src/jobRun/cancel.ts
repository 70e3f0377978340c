import { flag } from '../database/columns';
import type { Session } from '../database/session';
import { uniqueIdentifier, varChar } from '../database/statement';
import { jobRunColumns, jobRunList, toJobRun, type JobRun, type JobType } from './jobRun';
import { writeRunMessage, type RunMessage } from './runMessage';

/** Result of a cancel. */
export type Cancellation =
  /** The run as it is now. */
  | { readonly kind: 'cancelled'; readonly run: JobRun }
  /** It had ended before. */
  | { readonly kind: 'ended'; readonly run: JobRun }
  | { readonly kind: 'unknown' };

/**
 * Closes a run in progress as Failed. Its lock is free at once (lockCanBeTaken in model/), and it can write nothing more
 * (lostLockWritesNothing): every transaction by which a run writes begins with an update of the same row.
 * @param jobId a GUID
 * @param operator who cancels it, where that is known
 * @param retried an earlier try of the same work may have been executed, and its answer lost
 */
export async function cancelRun(
  session: Session,
  jobType: JobType,
  jobId: string,
  retried: boolean,
  operator?: string,
): Promise<Cancellation> {
  const cancelled: RunMessage = {
    sentences: `Cancelled by ${operator ?? 'an operator'}. What the run had recorded is kept.`,
    facts: { ended: 'cancelled', failures: [] },
  };
  const [row] = await session.query({
    name: 'cancelRun',
    columns: { Closed: flag, ...jobRunColumns },
    sql: `DECLARE @runId INT, @closed INT;
SET @runId = (SELECT Id FROM dbo.JobRun WHERE Job_Id = @jobId AND Job_Type = @jobType);
UPDATE dbo.JobRun
SET Status = 'Failed', Completed_At = GETUTCDATE(), Processed_Count = COALESCE(Processed_Count, 0), Error_Message = @cancelled
WHERE Id = @runId AND Status = 'InProgress';
SET @closed = @@ROWCOUNT;
SELECT @closed AS Closed, ${jobRunList} FROM dbo.JobRun AS r WHERE r.Id = @runId;`,
    parameters: {
      jobId: uniqueIdentifier(jobId),
      jobType: varChar(50, jobType),
      cancelled: varChar(500, writeRunMessage(cancelled)),
    },
  });
  if (!row) return { kind: 'unknown' };
  const run = toJobRun(row);
  const closed = row.Closed || (retried && run.facts.ended === 'cancelled');
  return { kind: closed ? 'cancelled' : 'ended', run };
}
