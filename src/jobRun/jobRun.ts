import type { Row } from '../database/session';
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
  /** Rows that the run wrote: revocations, or grants notified. Null until something is known. */
  readonly processedCount: number | null;
  /** Notification jobs: grants whose message failed. */
  readonly failedCount: number | null;
  /** Why the run failed; of a completed one, why it stopped early and what it left. In sentences. */
  readonly message: string | null;
  /** The same in codes. */
  readonly facts: RunFacts;
}

/** A run that holds the lock. */
export interface ActiveRun extends Pick<JobRun, 'jobId' | 'jobType' | 'startedAt' | 'startedBy'> {
  /** The key of its row: statements that lock find the row by it, whatever the optimiser thinks of other ways. */
  readonly id: number;
}

/** The columns of a JobRun in SQL, from the table under its alias. */
export function jobRunColumns(alias: string): string {
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
    .map((column) => `${alias}.${column}`)
    .join(', ');
}

const statuses = ['InProgress', 'Completed', 'Failed'] as const;

/**
 * Reads what jobRunColumns selected. A table made by others may hold a status in another case, which a database that
 * ignores case takes for the same.
 */
export function toJobRun(row: Row): JobRun {
  const status = (row.Status as string).toLowerCase();
  const { sentences, facts } = readRunMessage(row.Error_Message as string | null);
  return {
    jobId: row.Job_Id as string,
    jobType: row.Job_Type as JobType,
    status: statuses.find((known) => known.toLowerCase() === status) ?? 'Failed',
    startedAt: row.Started_At as Date,
    startedBy: row.Started_By as string,
    completedAt: row.Completed_At as Date | null,
    processedCount: row.Processed_Count as number | null,
    failedCount: row.Failed_Count as number | null,
    message: sentences === '' ? null : sentences,
    facts,
  };
}
