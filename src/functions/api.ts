import type { HttpRequest, HttpResponseInit } from '@azure/functions';
import { deadlineIn } from '../clock';
import { formatUtc } from '../format';
import type { Purpose } from '../database/database';
import type { Session } from '../database/session';
import { cancelRun } from '../jobRun/cancel';
import { readBacklogs } from '../jobs/backlog';
import { readBudgetMs, timeBudgetsMs } from '../jobs/budgets';
import { findJob, jobs, withoutSafetyStop, type Job } from '../jobs/catalogue';
import { failureCauses } from '../jobs/failures';
import { guidPattern } from '../jobs/platforms';
import { previewJob, type Preview } from '../jobs/previewJob';
import { requestViewAdvice } from '../jobs/requests';
import { readRunDetails } from '../jobs/runDetails';
import { describeFinished } from '../jobs/runJob';
import { readHistory } from '../jobRun/history';
import { describeActiveRun } from '../jobRun/lease';
import { readJobStates } from '../jobs/jobStates';
import { runsForState } from '../jobs/judgeJob';
import type { Handler } from './http';
import {
  ParameterError,
  quote,
  readCount,
  readFlag,
  readJobId,
  readOrder,
  readParameters,
  readQuery,
  readRequestId,
  readRowId,
  type Parameters,
} from './parameters';
import { RequestError, toProblemResponse } from './problem';
import { getServices, runTracked } from './runner';
import { signedInName } from './signIn';

const historyLimit = { default: 20, most: 500 };

/** After how many seconds a held job is worth another try: most runs are over by then. */
const heldRetryAfter = 30;

/** POST /api/jobs/{jobType}/runs: runs the job and answers with the finished run; with dryRun=true what it would do. */
export const postRun = withErrorResponses(async (request) => {
  const job = requireJob(request);
  const parameters = await readParameters(request, ['dryRun', 'allowMassRevocation', 'order', 'after']);
  const dryRun = readFlag(parameters, 'dryRun');
  const allowed = readSafetyStop(job, parameters);
  if (dryRun) return { jsonBody: await preview(job, parameters) };
  for (const name of ['order', 'after'])
    if (parameters.has(name))
      throw new ParameterError(`The parameter ${name} is for a dry run: give dryRun=true with it.`);

  const operator = await readOperator(request);
  const result = await runTracked(allowed, {
    trigger: 'http',
    ...(operator !== undefined && { operator }),
  });
  if (result.kind === 'held') {
    const activeRun = describeActiveRun(result.activeRun);
    const detail = `${activeRun.startedBy} has been running ${job.type} since ${formatUtc(activeRun.startedAt)}; its lock expires at ${formatUtc(activeRun.lockExpiresAt)}. Try again when that run has ended.`;
    throw new RequestError('running', detail, { members: { activeRun }, retryAfter: heldRetryAfter });
  }
  const run = describeFinished(result);
  if (run.status === 'Failed') throw new RequestError('jobFailed', run.message ?? '', { members: { run } });
  return { jsonBody: run };
});

/** The job as it is to be run: an operator may allow a revocation that exceeds the ceiling. */
function readSafetyStop(job: Job, parameters: Parameters): Job {
  const allowMassRevocation = readFlag(parameters, 'allowMassRevocation');
  if (!parameters.has('allowMassRevocation')) return job;
  if (job.kind !== 'revocation')
    throw new ParameterError(
      `The parameter allowMassRevocation is for revocation jobs; ${job.type} revokes nothing.`,
    );
  return allowMassRevocation ? withoutSafetyStop(job) : job;
}

async function preview(job: Job, parameters: Parameters): Promise<Preview> {
  if (readFlag(parameters, 'allowMassRevocation'))
    throw new ParameterError(
      'The parameters dryRun and allowMassRevocation cannot be combined: a dry run writes and sends nothing.',
    );
  const order = readOrder(parameters, 'order');
  const after = readRequestId(parameters, 'after', job.platform);
  return previewJob(await getServices(), job, { order, ...(after !== undefined && { after }) });
}

/** GET /api/jobs/{jobType}/runs?limit=&before=: the job's history, newest first. */
export const getRuns = withErrorResponses(async (request) => {
  const job = requireJob(request);
  const query = readQuery(request, ['limit', 'before']);
  const limit = readCount(query, 'limit', historyLimit.most, historyLimit.default);
  const before = readJobId(query, 'before');
  const runs = await withDatabase('read', readBudgetMs, (session) =>
    readHistory(session, job.type, limit + 1, before),
  );
  if (!runs) throw unknownRun(job, before ?? '');
  const page = runs.slice(0, limit);
  return {
    jsonBody: { jobType: job.type, runs: page, next: runs.length > limit ? page.at(-1)?.jobId : null },
  };
});

/** GET /api/jobs/{jobType}/runs/{jobId}?after=: one run, why grants failed, and the rows that it wrote, 100 at a time. */
export const getRun = withErrorResponses(async (request) => {
  const job = requireJob(request);
  const { jobId = '' } = request.params;
  const after = readRowId(readQuery(request, ['after']));
  if (!guidPattern.test(jobId)) throw unknownRun(job, jobId);
  const services = await getServices();
  const deadline = deadlineIn(services.clock, readBudgetMs);
  const details = await readRunDetails(services, deadline, jobId, after);
  if (details?.job !== job) throw unknownRun(job, jobId);
  const { run, previousRun, next, requests } = details;
  const failures = details.failures.map((failure) => ({
    ...failure,
    advice: failureCauses[failure.cause].advice,
    requests: failure.requestIds.flatMap((requestId) => requests?.get(requestId) ?? []),
  }));
  const rows = details.rows.map((row) => ({ ...row, request: requests?.get(row.requestId) ?? null }));
  const requestsAdvice = requests ? null : requestViewAdvice(job.platform);
  return { jsonBody: { run, previousRun, failures, rows, next, requestsAdvice } };
});

/** POST /api/jobs/{jobType}/runs/{jobId}/cancel: closes a run in progress, which frees its lock at once. */
export const postCancel = withErrorResponses(async (request) => {
  const job = requireJob(request);
  const { jobId = '' } = request.params;
  await readParameters(request, []);
  if (!guidPattern.test(jobId)) throw unknownRun(job, jobId);
  const operator = await readOperator(request);
  let tries = 0;
  const cancellation = await withDatabase('run', timeBudgetsMs.http, (session) =>
    cancelRun(session, job.type, jobId, tries++ > 0, operator),
  );
  if (cancellation.kind === 'unknown') throw unknownRun(job, jobId);
  const { run } = cancellation;
  if (cancellation.kind === 'ended')
    throw new RequestError('runEnded', `Run ${run.jobId} has already ended (${run.status}).`, {
      members: { run },
    });
  return { jsonBody: run };
});

/**
 * GET /api/jobs?due=: the four jobs, each with its state and why, its schedule, the run in progress and the last one that
 * has ended; with due=true also what waits for a run. That is counted in the site's own tables, so it has to be asked for.
 */
export const getJobs = withErrorResponses(async (request) => {
  const due = readFlag(readQuery(request, ['due']), 'due');
  const services = await getServices();
  const states = await readJobStates(services, deadlineIn(services.clock, readBudgetMs), runsForState);
  const backlogs = due
    ? await readBacklogs(
        services,
        states.map(({ job }) => job),
      )
    : [];
  const described = states.map(
    ({ job, state, stateReason, timer, nextRunAt, activeRun, lastRun }, index) => ({
      jobType: job.type,
      state,
      stateReason,
      schedule: timer.expression,
      scheduleTimeZone: timer.zone.timeZone,
      nextRunAt,
      activeRun: activeRun && describeActiveRun(activeRun),
      lastRun,
      ...(due && (backlogs[index] ?? { dueCount: null, oldestDueMinutes: null })),
    }),
  );
  return { jsonBody: { jobs: described } };
});

/** Who is signed in, where that is known. */
async function readOperator(request: HttpRequest): Promise<string | undefined> {
  return signedInName(request, (await getServices()).settings.appService);
}

/**
 * Does a piece of work on the database, and again after a transient fault.
 * @param budgetMs how long it may be started again, in ms
 */
async function withDatabase<T>(
  purpose: Purpose,
  budgetMs: number,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { database, clock } = await getServices();
  return database.withSession(purpose, deadlineIn(clock, budgetMs), work);
}

/**
 * The job that the route names.
 * @throws RequestError 404
 */
export function requireJob(request: HttpRequest): Job {
  const { jobType = '' } = request.params;
  const job = findJob(jobType);
  if (job) return job;
  const jobTypes = jobs.map(({ type }) => type);
  throw new RequestError(
    'unknownJobType',
    `There is no job type ${quote(jobType)}: known are ${jobTypes.join(', ')}.`,
    { members: { jobTypes } },
  );
}

/** The job has no run of that id. */
export function unknownRun(job: Job, jobId: string): RequestError {
  const detail = `${job.type} has no run ${quote(jobId)}: GET /api/jobs/${job.type}/runs lists its runs.`;
  return new RequestError('unknownRun', detail);
}

/** Turns what a handler throws into a problem document. */
export function withErrorResponses(handler: (request: HttpRequest) => Promise<HttpResponseInit>): Handler {
  return async (request, context) => {
    try {
      return await handler(request);
    } catch (error) {
      if (!(error instanceof RequestError)) context.error(error);
      return toProblemResponse(error);
    }
  };
}
