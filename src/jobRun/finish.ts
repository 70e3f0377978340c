import type { Session } from '../database/session';
import { int, varChar } from '../database/statement';
import { jobRunColumns, jobRunList, toJobRun, type ActiveRun, type JobRun } from './jobRun';
import { writeRunMessage, type RunMessage } from './runMessage';

export interface Completion {
  readonly status: 'Completed' | 'Failed';
  /** Notification jobs only. */
  readonly failedCount?: number;
  /** Why the run failed, stopped early or left something. */
  readonly message?: RunMessage;
}

/**
 * Ends a run if it is still in progress, and returns its row: one that an operator or another run has closed stays as it
 * is (endedRunStays in model/). Safe to repeat after a lost answer.
 * Processed_Count is in the row already: every batch that writes adds to it.
 */
export async function finishRun(
  session: Session,
  { id, jobId }: ActiveRun,
  completion: Completion,
): Promise<JobRun> {
  const { failedCount, message } = completion;
  const [row] = await session.query({
    name: 'finishRun',
    columns: jobRunColumns,
    sql: `UPDATE dbo.JobRun
SET Status = @status, Completed_At = GETUTCDATE(), Processed_Count = COALESCE(Processed_Count, 0),
  Failed_Count = ${failedCount === undefined ? 'NULL' : '@failedCount'}, Error_Message = @message
WHERE Id = @runId AND Status = 'InProgress';
SELECT ${jobRunList} FROM dbo.JobRun AS r WHERE r.Id = @runId;`,
    parameters: {
      runId: int(id),
      status: varChar(20, completion.status),
      message: varChar(500, message ? writeRunMessage(message) : null),
      ...(failedCount !== undefined && { failedCount: int(failedCount) }),
    },
  });
  if (!row) throw new Error(`Run ${jobId} has no row in dbo.JobRun: it was deleted while it was in progress`);
  return toJobRun(row);
}
