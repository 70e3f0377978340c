import type { Row } from '../database/session';

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
  /** Rows that the run wrote: revocations, or grants notified. Null until something is known. */
  readonly processedCount: number | null;
  /** Notification jobs: grants whose message failed. */
  readonly failedCount: number | null;
  /** Why the run failed or, if it is completed, why it stopped early. */
  readonly errorMessage: string | null;
}

/** What names a run that holds the lock. */
export type ActiveRun = Pick<JobRun, 'jobId' | 'jobType' | 'startedAt' | 'startedBy'>;

/** The columns of a JobRun in SQL; `source` is a table alias or `inserted`. */
export function jobRunColumns(source: string): string {
  return [
    'Job_Id',
    'Job_Type',
    'Status',
    'Started_At',
    'Started_By',
    'Completed_At',
    'Processed_Count',
    'Failed_Count',
    'Error_Message',
  ]
    .map((column) => `${source}.${column}`)
    .join(', ');
}

/** Reads what jobRunColumns selected. */
export function toJobRun(row: Row): JobRun {
  return {
    jobId: row.Job_Id as string,
    jobType: row.Job_Type as JobType,
    status: row.Status as JobRun['status'],
    startedAt: row.Started_At as Date,
    startedBy: row.Started_By as string,
    completedAt: row.Completed_At as Date | null,
    processedCount: row.Processed_Count as number | null,
    failedCount: row.Failed_Count as number | null,
    errorMessage: row.Error_Message as string | null,
  };
}
