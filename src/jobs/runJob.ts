import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { deadlineIn, extendedForRow, stopWords, type Deadline, type Shutdown } from '../clock';
import { AbandonedError, DatabaseError } from '../database/errors';
import { acquireLock, type Acquisition } from '../jobRun/acquire';
import { finishRun, type Completion } from '../jobRun/finish';
import type { RunMessage } from '../jobRun/runMessage';
import type { ActiveRun, JobRun } from '../jobRun/jobRun';
import { lockExpiresAt } from '../jobRun/lease';
import type { Services } from '../services';
import type { AbandonedRunEvent, AttemptResult, JobStateEvent } from '../telemetry/names';
import type { Backlog } from './backlog';
import { finishingGraceMs, stateBudgetMs, timeBudgetsMs, type Trigger } from './budgets';
import type { Job } from './catalogue';
import { countOf, describeFailures, leftCount, undeliverableCount } from './failures';
import { readJobStates } from './jobStates';
import { runsForState } from './judgeJob';
import { SafetyStopError, type Outcome } from './outcome';

/** Writes one record, as information where no level is given. */
export type Log = (message: string, level?: 'warning' | 'error') => void;

export interface RunOptions {
  readonly trigger: Trigger;
  /** Who runs it by hand, where that is known. */
  readonly operator?: string;
  /** The app is stopped: the run stops and finishes its row. */
  readonly shutdown?: Shutdown;
  readonly log: Log;
}

/** Result of runJob. */
export type RunResult =
  | {
      readonly kind: 'finished';
      readonly run: JobRun;
      readonly stoppedEarly: boolean;
      /** What was due when the run began; absent if nothing was counted. */
      readonly backlog?: Backlog;
      /** Why the run failed. */
      readonly error?: Error;
    }
  /** Another run of this type is in progress. */
  | { readonly kind: 'held'; readonly activeRun: ActiveRun };

/** A run that got the lock, as the API answers it. */
export function describeFinished({
  run,
  stoppedEarly,
  backlog,
}: Extract<RunResult, { readonly kind: 'finished' }>) {
  return { ...run, stoppedEarly, ...backlog };
}

/** Some grants that were due could not be handled. */
export class GrantsLeftError extends Error {
  override readonly name = 'GrantsLeftError';
  constructor(left: number) {
    super(`${left} ${left === 1 ? 'grant was' : 'grants were'} due and skipped.`);
  }
}

/** An attempt to run a job, for telemetry. */
interface Attempt {
  readonly jobId: string;
  readonly startedBy: string;
  /** The lock was taken: there is a row. */
  hasRow: boolean;
  outcome?: Outcome;
}

/**
 * Runs one job under its lock. Telemetry of it is flushed before this returns or throws.
 * A job that fails is a result: a finished run with status 'Failed'.
 * @throws DatabaseError when the lock could not be taken, or the run's row could not be finished: it is then closed by
 *   the next run, once it is stale
 * @throws SettingsError when the job's own settings are missing or malformed; nothing was done
 */
export async function runJob(services: Services, job: Job, options: RunOptions): Promise<RunResult> {
  const { clock, telemetry } = services;
  const startedAt = clock.elapsed();
  const attempt: Attempt = { jobId: randomUUID(), startedBy: hostname(), hasRow: false };
  const track = (ended: AttemptResult): void => {
    const { jobId, startedBy, hasRow } = attempt;
    const durationMs = Math.round(clock.elapsed() - startedAt);
    telemetry.trackJobRun({
      jobId,
      jobType: job.type,
      trigger: options.trigger,
      ...(options.operator !== undefined && { operator: options.operator }),
      startedBy,
      hasRow,
      durationMs,
      ...ended,
    });
  };
  const trackError = (error: Error): void =>
    telemetry.trackException(error, { jobId: attempt.jobId, jobType: job.type });
  try {
    return await telemetry.inSpan(job.type, async () => {
      try {
        const result = await runUnderLock(services, job, options, attempt);
        if (result.kind === 'finished' && result.error) trackError(result.error);
        track(toEvent(result, attempt.outcome));
        const failed = result.kind === 'finished' && result.run.status === 'Failed';
        options.log(`${job.type} ${describeResult(result)}`, failed ? 'error' : undefined);
        await trackStates(services, options);
        return result;
      } catch (thrown) {
        const error = toError(thrown);
        trackError(error);
        track({ status: 'Failed', stoppedEarly: false, errorName: error.name });
        // A database that failed the run, after all its retries, has no states to give.
        if (!(error instanceof DatabaseError)) await trackStates(services, options);
        throw thrown;
      }
    });
  } finally {
    await telemetry.flush();
  }
}

async function trackStates(services: Services, { shutdown }: RunOptions): Promise<void> {
  if (!shutdown?.signal.aborted) await services.telemetry.trackJobStates(() => readStateEvents(services));
}

/** The states of all four jobs: a job that no longer runs is reported by the runs of the others. */
async function readStateEvents(services: Services): Promise<JobStateEvent[]> {
  const states = await readJobStates(services, deadlineIn(services.clock, stateBudgetMs), runsForState);
  return states.map(({ job, state, since, hoursOverdue, failuresInARow, earlyStopsInARow, safetyStop }) => ({
    jobType: job.type,
    state,
    ...(since && { since: since.toISOString() }),
    hoursOverdue: Math.round(hoursOverdue * 100) / 100,
    failuresInARow,
    earlyStopsInARow,
    safetyStop,
  }));
}

/** Acquires the lock, executes the job, finishes the run's row. */
async function runUnderLock(
  services: Services,
  job: Job,
  options: RunOptions,
  attempt: Attempt,
): Promise<RunResult> {
  const deadline: Deadline = {
    ...deadlineIn(services.clock, timeBudgetsMs[options.trigger]),
    ...options.shutdown,
  };
  const executeJob = await job.prepare(services);
  return services.database.connect('run', async (connection) => {
    const acquire = (until: Deadline): Promise<Acquisition> =>
      connection.withRetries(until, (session) =>
        acquireLock(session, job.type, attempt.jobId, attempt.startedBy),
      );
    const acquisition = await acquire(deadline).catch((error: unknown) => {
      const isLost = error instanceof DatabaseError && (error instanceof AbandonedError || error.transient);
      if (!isLost || !options.shutdown?.signal.aborted) throw error;
      // The lock may have been taken before the answer was lost: then its row is found and finished.
      return acquire(extendedForRow(deadline, finishingGraceMs));
    });
    if (acquisition.kind === 'held') return acquisition;
    const { run, abandoned } = acquisition;
    attempt.hasRow = true;
    if (abandoned) services.telemetry.trackAbandonedRun(describeAbandoned(abandoned, run));
    const warn = (message: string): void => options.log(message, 'warning');
    const outcome = await executeJob({ run, platform: job.platform, connection, deadline, log: warn });
    attempt.outcome = outcome;
    const error = errorOf(outcome);
    const finished = await connection.withRetries(extendedForRow(deadline, finishingGraceMs), (session) =>
      finishRun(session, run, toCompletion(job, options, outcome, error)),
    );
    return {
      kind: 'finished',
      run: finished,
      stoppedEarly: outcome.stopped !== undefined,
      ...(outcome.backlog && { backlog: outcome.backlog }),
      ...(error && { error }),
    };
  });
}

function describeAbandoned(
  { jobId, jobType, startedBy, startedAt }: ActiveRun,
  run: ActiveRun,
): AbandonedRunEvent {
  const ageMinutes = Math.round((run.startedAt.getTime() - startedAt.getTime()) / 60_000);
  return { jobId, jobType, startedBy, ageMinutes, closedBy: run.jobId };
}

/** Why a run failed: an error, or grants that were due and left. */
function errorOf({ error, failures }: Outcome): Error | undefined {
  if (error !== undefined) return toError(error);
  const left = leftCount(failures);
  return left > 0 ? new GrantsLeftError(left) : undefined;
}

function toCompletion(job: Job, options: RunOptions, outcome: Outcome, error: Error | undefined): Completion {
  return {
    status: error ? 'Failed' : 'Completed',
    ...(outcome.failedCount !== undefined && { failedCount: outcome.failedCount }),
    message: describeRun(job, options, outcome, error),
  };
}

/** The content of a run's Error_Message. */
function describeRun(
  job: Job,
  { trigger, operator }: RunOptions,
  { failures, stopped }: Outcome,
  error: Error | undefined,
): RunMessage {
  const withoutCeiling = job.kind === 'revocation' && job.withoutSafetyStop;
  // A timer's run would have the ceiling again.
  const howToContinue = withoutCeiling ? 'run it by hand again' : 'the next run continues';
  const by = operator === undefined ? '' : ` by ${operator}`;
  const started = { timer: '', http: `Started by hand${by}.`, cli: `Started from the command line${by}.` };
  const sentences = [
    error?.message,
    stopped &&
      (!error || error instanceof GrantsLeftError) &&
      `Stopped early: ${stopWords[stopped]}. More is left; ${howToContinue}.`,
    describeFailures(failures),
    started[trigger],
    withoutCeiling && 'Run without the safety limit.',
  ];
  return {
    sentences: sentences.filter(Boolean).join(' '),
    facts: {
      stopped,
      ended: error instanceof SafetyStopError ? 'safetyStop' : undefined,
      manual: trigger === 'timer' ? undefined : { trigger, operator },
      withoutCeiling,
      failures,
    },
  };
}

/** How an attempt ended, for its event. */
function toEvent(result: RunResult, outcome: Outcome | undefined): AttemptResult {
  if (result.kind === 'held') return { status: 'Conflict', stoppedEarly: false };
  const { run, stoppedEarly, backlog, error } = result;
  const { processedCount, failedCount } = run;
  const failures = outcome?.failures ?? [];
  const counts = {
    ...backlog,
    ...(processedCount !== null && { processedCount }),
    ...(failedCount !== null && { failedCount }),
    ...(failedCount !== null &&
      backlog && {
        rejectedCount: countOf(failures, 'rejected'),
        unansweredCount: countOf(failures, 'unavailable', 'unknown', 'recordLocked'),
        undeliverableCount: undeliverableCount(failures),
      }),
  };
  return run.status === 'Completed'
    ? { status: run.status, stoppedEarly, ...counts }
    : { status: 'Failed', stoppedEarly, ...(error && { errorName: error.name }), ...counts };
}

function describeResult(result: RunResult): string {
  if (result.kind === 'held') {
    const { jobId, startedAt } = result.activeRun;
    return `is held by run ${jobId} since ${startedAt.toISOString()}, until ${lockExpiresAt(startedAt).toISOString()} at most`;
  }
  const { jobId, status, processedCount, failedCount: failed, message } = result.run;
  const counts = `${processedCount ?? 0} processed${failed === null ? '' : `, ${failed} failed`}`;
  return `run ${jobId} ${status}: ${counts}${message === null ? '' : `. ${message}`}`;
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
