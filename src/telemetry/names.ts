/**
 * The names under which runs are found in Application Insights. The app emits exactly these, and the queries in
 * `infra/queries/` use only these.
 */

/** The custom event that every attempt to run a job emits. */
export const jobRunEvent = 'JobRun';

/**
 * Properties of the event. Application Insights stores each as text in `customDimensions`.
 *
 * `trigger`: timer, http or cli; `operator`: who was signed in, absent where that is not known; `status`: one of
 * `attemptStatuses`; `stoppedEarly`: true or false;
 * `errorName`: the class of the error that failed the run, absent otherwise. The counts are absent where the run has
 * none: `dueCount`, grants that were due when the run began; `oldestDueMinutes`, how long the oldest of them had been
 * due then; `processedCount`; `failedCount`, which is the sum of `rejectedCount`, grants whose message the email service
 * refused, `unansweredCount`, grants whose message it did not answer or could not take, and `undeliverableCount`, grants
 * whose address is missing or malformed: these three only of a run that found out what was due. `hasRow`: true or false,
 * whether JobRun has a row of it. `durationMs`: from the attempt's start to its end.
 */
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
] as const;

/** The custom event that tells the state of one job: each run sends those of all four, as the status page shows them. */
export const jobStateEvent = 'JobState';

/**
 * Properties of the event, as texts. `state`: one of stateNames (src/jobs/jobStates.ts); `since`: when it began, ISO 8601
 * in UTC, absent where that is not known; `hoursOverdue`: since the first time of the schedule that no run has served, 0
 * unless Overdue; `failuresInARow`, `earlyStopsInARow`: of the newest runs; `safetyStop`: true while a safety stop stands.
 */
export const jobStateProperties = [
  'jobType',
  'state',
  'since',
  'hoursOverdue',
  'failuresInARow',
  'earlyStopsInARow',
  'safetyStop',
] as const;

/** The custom event of a run that found the row of a dead one of its job, and closed it. */
export const abandonedRunEvent = 'AbandonedRun';

/**
 * Properties of the event. `jobId`, `jobType`, `startedBy`: of the dead run, which has no other item in telemetry after
 * the moment in which it was cut off; `ageMinutes`: from its start to the start of the run that closed its row, negative
 * where it was dated in the future; `closedBy`: the jobId of that run.
 */
export const abandonedRunProperties = ['jobId', 'jobType', 'startedBy', 'ageMinutes', 'closedBy'] as const;

/** How an attempt can end. Conflict: the job was held by another run, and nothing was done. */
export const attemptStatuses = ['Completed', 'Failed', 'Conflict'] as const;

/** Metrics that each run feeds, each with `metricProperties`. */
export const jobRunMetrics = ['processedCount', 'failedCount', 'durationMs'] as const;

export const metricProperties = ['jobType'] as const;

/** Properties of the exception that a failed run emits. */
export const exceptionProperties = ['jobId', 'jobType'] as const;

export type JobStateProperty = (typeof jobStateProperties)[number];
export type AbandonedRunProperty = (typeof abandonedRunProperties)[number];
export type JobRunProperty = (typeof jobRunProperties)[number];
export type ExceptionProperty = (typeof exceptionProperties)[number];
