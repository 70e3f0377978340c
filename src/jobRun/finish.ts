import type { Session } from '../database/session';
import { int, varChar } from '../database/statement';
import { jobRunColumns, toJobRun, type ActiveRun, type JobRun } from './jobRun';

export interface Completion {
  readonly status: 'Completed' | 'Failed';
  /** Notification jobs only. */
  readonly failedCount?: number;
  /** Why the run failed, stopped early or left something; cut to the column's 500 bytes. */
  readonly errorMessage?: string;
}

/**
 * Ends a run, where it is still in progress, and returns its row as it then is: a row that an operator or another run has
 * closed stays as they left it (endedRunStays in model/). Safe to repeat after a lost answer.
 * The count of rows written is in the row already: every batch that writes adds to it.
 */
export async function finishRun(
  session: Session,
  { id, jobId }: ActiveRun,
  completion: Completion,
): Promise<JobRun> {
  const { failedCount, errorMessage } = completion;
  const [row] = await session.query({
    name: 'finishRun',
    sql: `UPDATE dbo.JobRun
SET Status = @status, Completed_At = GETUTCDATE(), Processed_Count = COALESCE(Processed_Count, 0),
  Failed_Count = ${failedCount === undefined ? 'NULL' : '@failedCount'}, Error_Message = @errorMessage
WHERE Id = @runId AND Status = 'InProgress';
SELECT ${jobRunColumns('r')} FROM dbo.JobRun AS r WHERE r.Id = @runId;`,
    parameters: {
      runId: int(id),
      status: varChar(20, completion.status),
      errorMessage: varChar(500, errorMessage === undefined ? null : truncateToBytes(errorMessage, 500)),
      ...(failedCount !== undefined && { failedCount: int(failedCount) }),
    },
  });
  if (!row) throw new Error(`Run ${jobId} has no row in dbo.JobRun: it was deleted while it was in progress`);
  return toJobRun(row);
}

/** What a message ends with says what to do, and which error it was: "(SQL error 8152 in revokeBatch)". */
const keptEndBytes = 200;

/**
 * Cuts text in its middle to a VARCHAR's length, which counts bytes: in a database with a UTF-8 collation one character
 * takes up to four, and a longer value is refused (error 2628).
 */
function truncateToBytes(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  const ellipsis = ' ... ';
  const start = bytes.subarray(0, maxBytes - ellipsis.length - keptEndBytes).toString();
  const end = bytes.subarray(-keptEndBytes).toString();
  // A character at either cut may have been halved.
  return start.replace(/(?<!\uFFFD)\uFFFD+$/, '') + ellipsis + end.replace(/^\uFFFD+/, '');
}
