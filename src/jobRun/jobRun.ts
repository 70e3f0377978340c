import { date, listSql, nullable, number, oneOf, text, type RowOf } from '../database/columns';
import { readRunMessage, type RunFacts } from './runMessage';

/** The four values of JobRun.Job_Type; also the names of the timer functions. */
export type JobType =
  | 'RevokeExpiredDatabricksRequests'
  | 'RevokeExpiredPalantirRequests'
  | 'ExpiryNotificationDatabricksRequests'
  | 'ExpiryNotificationPalantirRequests';

/** One row of dbo.JobRun: an attempt to run a job that got the lock. Times are UTC, from the database's clock. */
export interface JobRun {
  /** A GUID in lower case. */
  readonly jobId: string;
  readonly jobType: JobType;
  readonly status: 'InProgress' | 'Completed' | 'Failed';
  readonly startedAt: Date;
  /** The name of the machine. */
  readonly startedBy: string;
  readonly completedAt: Date | null;
  /** Rows that the run wrote: revocations, or grants notified. Null until the first is counted. */
  readonly processedCount: number | null;
  /** Notification jobs: grants whose message failed. */
  readonly failedCount: number | null;
  /** Why the run failed or stopped early, and what it left. In sentences. */
  readonly message: string | null;
  /** The same in codes. */
  readonly facts: RunFacts;
}

/** A run that holds the lock. */
export interface ActiveRun extends Pick<JobRun, 'jobId' | 'jobType' | 'startedAt' | 'startedBy'> {
  /** The key of its row: statements that lock always use a key lookup. */
  readonly id: number;
}

export const jobRunColumns = {
  Job_Id: text,
  Job_Type: text,
  Status: oneOf('InProgress', 'Completed', 'Failed'),
  Started_At: date,
  Started_By: text,
  Completed_At: nullable(date),
  Processed_Count: nullable(number),
  Failed_Count: nullable(number),
  Error_Message: nullable(text),
};

/** The same in SQL, of the table as `r`. */
export const jobRunList = listSql('r', jobRunColumns);

export function toJobRun(row: RowOf<typeof jobRunColumns>): JobRun {
  const { sentences, facts } = readRunMessage(row.Error_Message);
  return {
    jobId: row.Job_Id,
    jobType: row.Job_Type as JobType, // The table allows no other (CK_JobRun_Job_Type).
    status: row.Status,
    startedAt: row.Started_At,
    startedBy: row.Started_By,
    completedAt: row.Completed_At,
    processedCount: row.Processed_Count,
    failedCount: row.Failed_Count,
    message: sentences === '' ? null : sentences,
    facts,
  };
}
