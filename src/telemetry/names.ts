/**
 * The names under which runs are found in Application Insights. The app emits exactly these, and the queries in
 * `infra/queries/` use only these.
 */

/** The custom event that every attempt to run a job emits. */
export const jobRunEvent = 'JobRun';

/** How an attempt can end. Conflict: the job was held by another run, and nothing was done. */
export const attemptStatuses = ['Completed', 'Failed', 'Conflict'] as const;

/** What every attempt to run a job says. */
interface Attempt {
  readonly jobId: string;
  readonly jobType: string;
  /** timer, http or cli. */
  readonly trigger: string;
  /** Who was signed in; absent where that is not known. */
  readonly operator?: string;
  readonly startedBy: string;
  /** Whether JobRun has a row of it. */
  readonly hasRow: boolean;
  /** From the attempt's start to its end. */
  readonly durationMs: number;
}

/** The counts of a run; absent where it has none. */
interface RunCounts {
  /** Grants that were due when the run began. */
  readonly dueCount?: number;
  /** How long the oldest of them had been due then. */
  readonly oldestDueMinutes?: number;
  readonly processedCount?: number;
  /** The sum of the next three, which only a run has that found out what was due. */
  readonly failedCount?: number;
  /** Grants whose message the email service refused. */
  readonly rejectedCount?: number;
  /** Grants whose message the email service did not answer or could not take, or whose record met a lock. */
  readonly unansweredCount?: number;
  /** Grants whose address is missing or malformed. */
  readonly undeliverableCount?: number;
}

/** How an attempt ended. */
export type AttemptResult =
  | { readonly status: 'Conflict'; readonly stoppedEarly: false }
  | ({ readonly status: 'Completed'; readonly stoppedEarly: boolean } & RunCounts)
  /** errorName: the class of the error that failed the run; absent where another process has closed its row. */
  | ({ readonly status: 'Failed'; readonly stoppedEarly: boolean; readonly errorName?: string } & RunCounts);

/** Properties of the event. Application Insights stores each as text in `customDimensions`. */
export type JobRunEvent = Attempt & AttemptResult;

type KeyOf<Union> = Union extends unknown ? keyof Union : never;
export type JobRunProperty = KeyOf<JobRunEvent>;

export const jobRunProperties = [
  'jobId',
  'jobType',
  'trigger',
  'operator',
  'status',
  'stoppedEarly',
  'startedBy',
  'errorName',
  'dueCount',
  'oldestDueMinutes',
  'processedCount',
  'failedCount',
  'rejectedCount',
  'unansweredCount',
  'undeliverableCount',
  'hasRow',
  'durationMs',
] as const satisfies readonly JobRunProperty[];

/** The custom event with the state of one job: each run sends those of all four, as the status page shows them. */
export const jobStateEvent = 'JobState';

export interface JobStateEvent {
  readonly jobType: string;
  /** One of stateNames (src/jobs/judgeJob.ts). */
  readonly state: string;
  /** When it began, ISO 8601 in UTC; absent where that is not known. */
  readonly since?: string;
  /** Since the first time of the schedule that no run has served; 0 unless Overdue or Misconfigured. */
  readonly hoursOverdue: number;
  /** Of the newest runs. */
  readonly failuresInARow: number;
  readonly earlyStopsInARow: number;
  /** A safety stop stands. */
  readonly safetyStop: boolean;
}
export type JobStateProperty = keyof JobStateEvent;

export const jobStateProperties = [
  'jobType',
  'state',
  'since',
  'hoursOverdue',
  'failuresInARow',
  'earlyStopsInARow',
  'safetyStop',
] as const satisfies readonly JobStateProperty[];

/** The custom event of a run that found the row of a dead one of its job, and closed it. */
export const abandonedRunEvent = 'AbandonedRun';

/** jobId, jobType and startedBy are the dead run's: nothing else of it reaches telemetry once it is cut off. */
export interface AbandonedRunEvent {
  readonly jobId: string;
  readonly jobType: string;
  readonly startedBy: string;
  /** From its start to the start of the run that closed its row; negative where it was dated in the future. */
  readonly ageMinutes: number;
  /** The jobId of the run that closed it. */
  readonly closedBy: string;
}

export const abandonedRunProperties = [
  'jobId',
  'jobType',
  'startedBy',
  'ageMinutes',
  'closedBy',
] as const satisfies readonly (keyof AbandonedRunEvent)[];

/** Metrics that each run feeds, each with `metricProperties`. */
export const jobRunMetrics = ['processedCount', 'failedCount', 'durationMs'] as const;

export const metricProperties = ['jobType'] as const;

/** Properties of the exception that a failed run emits. */
export const exceptionProperties = ['jobId', 'jobType'] as const;

export type ExceptionProperty = (typeof exceptionProperties)[number];
