import type { Session } from '../database/session';
import { int, uniqueIdentifier, varChar, type Parameter } from '../database/statement';
import { jobRunColumns, toJobRun, type JobRun } from './jobRun';

export interface Completion {
  readonly status: 'Completed' | 'Failed';
  /** Notification jobs only. */
  readonly failedCount?: number;
  /** Why the run failed or stopped early; cut to the column's 500 characters. */
  readonly errorMessage?: string;
}

/**
 * Ends a run, where it is still in progress, and returns its row as it then stands: a row that another run has closed
 * as abandoned stays as that run left it. Safe to repeat after a lost answer.
 * The count of rows written is in the row already: every statement that writes adds to it (addProcessed).
 */
export async function finishRun(session: Session, jobId: string, ending: Completion): Promise<JobRun> {
  const errorMessage = ending.errorMessage === undefined ? null : truncateToBytes(ending.errorMessage, 500);
  const parameters: Record<string, Parameter> = {
    jobId: uniqueIdentifier(jobId),
    status: varChar(20, ending.status),
    errorMessage: varChar(500, errorMessage),
    ...(ending.failedCount !== undefined && { failedCount: int(ending.failedCount) }),
  };
  const [row] = await session.query({
    name: 'finishRun',
    sql: `UPDATE dbo.JobRun
SET Status = @status, Completed_At = GETUTCDATE(), Processed_Count = COALESCE(Processed_Count, 0),
  Failed_Count = ${ending.failedCount === undefined ? 'NULL' : '@failedCount'}, Error_Message = @errorMessage
OUTPUT ${jobRunColumns('inserted')}
WHERE Job_Id = @jobId AND Status = 'InProgress';`,
    parameters,
  });
  if (row) return toJobRun(row);
  const run = await findRun(session, jobId);
  if (!run)
    throw new Error(`Run ${jobId} has no row in dbo.JobRun: somebody deleted it while it was in progress`);
  return run;
}

async function findRun(session: Session, jobId: string): Promise<JobRun | undefined> {
  const [row] = await session.query({
    name: 'findRun',
    sql: `SELECT ${jobRunColumns('r')} FROM dbo.JobRun AS r WHERE r.Job_Id = @jobId;`,
    parameters: { jobId: uniqueIdentifier(jobId) },
  });
  return row && toJobRun(row);
}

/**
 * Cuts text to a VARCHAR's length, which counts bytes: in a database with a UTF-8 collation one character takes up to
 * four, and a longer value is refused (error 2628).
 */
function truncateToBytes(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const ellipsis = '...';
  const kept = Buffer.from(text).subarray(0, bytes - ellipsis.length);
  // The last character may have been cut in half.
  return new TextDecoder().decode(kept).replace(/\uFFFD+$/, '') + ellipsis;
}
