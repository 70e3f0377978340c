import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { deadlineIn, extended, type Clock, type Deadline } from '../clock';
import type { Settings } from '../config/settings';
import type { Database, DatabaseConnection } from '../database/database';
import type { EmailClient } from '../email/emailClient';
import { acquireLock } from '../jobRun/acquire';
import { finishRun, type Completion } from '../jobRun/finish';
import type { ActiveRun, JobRun } from '../jobRun/jobRun';
import type { Telemetry } from '../telemetry/telemetry';
import type { Job } from './catalogue';
import { notifyExpiring, type NotificationOutcome } from './notification';
import { revokeExpired } from './revocation';

/**
 * How long a run starts new work, in ms from its start. The lock turns stale after 10 minutes, which is also the
 * functionTimeout of host.json; an HTTP answer has to come within 230 seconds ("Azure Functions HTTP trigger", limits).
 */
export const timeBudgetsMs = { timer: 9 * 60_000, http: 200_000, cli: 9 * 60_000 } as const;
export type Trigger = keyof typeof timeBudgetsMs;

/** How long a run may try to finish its row when its time budget is spent. In ms. */
const finishingGraceMs = 25_000;

/** What runs are made of. */
export interface Services {
  readonly settings: Settings;
  readonly database: Database;
  readonly emailClient: EmailClient;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
}

export interface RunOptions {
  readonly trigger: Trigger;
  /** Revocation: an operator means it, the ceiling does not count. */
  readonly allowMassRevocation?: boolean;
  /** Aborted when the app shuts down: the run stops and finishes its row. */
  readonly signal?: AbortSignal;
  readonly log: (message: string) => void;
}

/** What came of trying to run a job. */
export type RunResult =
  | { readonly kind: 'finished'; readonly run: JobRun; readonly stoppedEarly: boolean }
  /** Another run of this type is in progress. */
  | { readonly kind: 'held'; readonly activeRun: ActiveRun };

/**
 * Runs one job under its lock and tells telemetry, which is flushed before this returns or throws.
 * A job that fails is a result: a finished run with status 'Failed'.
 * @throws DatabaseError when the lock could not be taken, or the run's row could not be finished: it is then closed by
 *   the next run, once it is stale
 */
export async function runJob(services: Services, job: Job, options: RunOptions): Promise<RunResult> {
  const { clock, telemetry } = services;
  const startedAt = clock.now();
  const jobId = randomUUID();
  const startedBy = hostname();
  const common = { jobId, jobType: job.type, trigger: options.trigger, startedBy };
  const ended = () => ({ ...common, durationMs: clock.now() - startedAt });
  let failure: unknown;
  const attempt = async (): Promise<RunResult> => {
    const deadline: Deadline = {
      ...deadlineIn(clock, timeBudgetsMs[options.trigger]),
      ...(options.signal && { signal: options.signal }),
    };
    const result = await services.database.connect(async (connection) => {
      const acquisition = await connection.withRetries(deadline, (session) =>
        acquireLock(session, job.type, jobId, startedBy),
      );
      if (acquisition.kind === 'held') return acquisition;
      const outcome = await work(services, job, options, connection, deadline, jobId);
      failure = outcome.error;
      if (failure !== undefined) telemetry.trackException(toError(failure), { jobId, jobType: job.type });
      const run = await connection.withRetries(extended(deadline, finishingGraceMs), (session) =>
        finishRun(session, jobId, ending(outcome, options.allowMassRevocation ?? false)),
      );
      return { kind: 'finished' as const, run, stoppedEarly: outcome.stopped !== undefined };
    });
    if (result.kind === 'held') {
      options.log(
        `${job.type} is held by run ${result.activeRun.jobId} since ${result.activeRun.startedAt.toISOString()}`,
      );
      telemetry.trackJobRun({ ...ended(), status: 'Conflict', stoppedEarly: false });
      return result;
    }
    const { run, stoppedEarly } = result;
    options.log(`${job.type} ${describeRun(run)}`);
    telemetry.trackJobRun({
      ...ended(),
      status: run.status === 'Completed' ? 'Completed' : 'Failed',
      stoppedEarly,
      ...(failure !== undefined && { errorName: toError(failure).name }),
      ...(run.processedCount !== null && { processedCount: run.processedCount }),
      ...(run.failedCount !== null && { failedCount: run.failedCount }),
    });
    return result;
  };
  try {
    return await telemetry.inOperation(job.type, async () => {
      try {
        return await attempt();
      } catch (error) {
        telemetry.trackException(toError(error), { jobId, jobType: job.type });
        telemetry.trackJobRun({
          ...ended(),
          status: 'Failed',
          stoppedEarly: false,
          errorName: toError(error).name,
        });
        throw error;
      }
    });
  } finally {
    await telemetry.flush();
  }
}

type Outcome = Partial<NotificationOutcome>;

async function work(
  { settings, emailClient }: Services,
  { type: jobType, kind, platform }: Job,
  { allowMassRevocation, log }: RunOptions,
  connection: DatabaseConnection,
  deadline: Deadline,
  jobId: string,
): Promise<Outcome> {
  if (kind === 'notification') {
    const run = { jobId, jobType, platform, leadDays: settings.leadDays, email: settings.email };
    return notifyExpiring(connection, emailClient, deadline, run, log);
  }
  try {
    const ceiling = allowMassRevocation ? undefined : settings.revocationCeiling;
    const stopped = await revokeExpired(connection, deadline, { jobId, jobType, platform, ceiling });
    return stopped === undefined ? {} : { stopped };
  } catch (error) {
    return { error };
  }
}

function ending({ failedCount, stopped, error }: Outcome, allowMassRevocation: boolean): Completion {
  // A timer's run would have the ceiling again.
  const goOn = allowMassRevocation ? 'run it by hand again' : 'the next run goes on with it';
  return {
    status: error === undefined ? 'Completed' : 'Failed',
    ...(failedCount !== undefined && { failedCount }),
    ...(error !== undefined
      ? { errorMessage: toError(error).message }
      : stopped !== undefined && {
          errorMessage: `Stopped early: ${stopped}. More is left; ${goOn}.`,
        }),
  };
}

function describeRun({ jobId, status, processedCount, failedCount, errorMessage }: JobRun): string {
  const failed = failedCount === null ? '' : `, ${failedCount} failed`;
  return `run ${jobId} ${status}: ${processedCount ?? 0} processed${failed}${errorMessage === null ? '' : `. ${errorMessage}`}`;
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
