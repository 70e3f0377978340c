import type { HttpHandler, HttpRequest, HttpResponseInit, InvocationContext } from '@azure/functions';
import { deadlineIn } from '../clock';
import { findJob, jobs, type Job } from '../jobs/catalogue';
import { previewJob } from '../jobs/previewJob';
import { timeBudgetsMs } from '../jobs/runJob';
import { listRuns } from '../jobRun/history';
import { lockExpiresAt } from '../jobRun/lease';
import { readJobStates, runsForState } from '../jobs/jobStates';
import { ParameterError, quote, readCount, readFlag, readJobId, readQuery } from './parameters';
import { problemResponse, toProblemResponse } from './problem';
import { getServices, runTracked } from './runner';

const historyLimit = { default: 20, most: 500 };

/** After how many seconds a held job is worth another try: most runs are over by then. */
const heldRetryAfter = '30';

/** POST /api/jobs/{jobType}/runs: runs the job and answers with the finished run; with ?dryRun=true what it would do. */
export const postRun = withErrorResponses(async (request, context) => {
  const job = requireJob(request);
  const query = readQuery(request, ['dryRun', 'allowMassRevocation']);
  const allowMassRevocation = readFlag(query, 'allowMassRevocation');
  if (query.has('allowMassRevocation') && job.kind !== 'revocation')
    throw new ParameterError(
      `The parameter allowMassRevocation is for revocation jobs; ${job.type} revokes nothing.`,
    );
  if (readFlag(query, 'dryRun')) {
    if (allowMassRevocation)
      throw new ParameterError(
        'The parameters dryRun and allowMassRevocation exclude each other: a dry run revokes nothing.',
      );
    return { jsonBody: await previewJob(await getServices(), job) };
  }

  const result = await runTracked(context, job, { trigger: 'http', allowMassRevocation });
  if (result.kind === 'held') {
    const { activeRun } = result;
    const detail = `${job.type} is being run by ${activeRun.startedBy} since ${activeRun.startedAt.toISOString()}. Try again when that run has ended.`;
    return problemResponse(
      409,
      'The job is already running',
      detail,
      { activeRun },
      { 'Retry-After': heldRetryAfter },
    );
  }
  const run = { ...result.run, stoppedEarly: result.stoppedEarly };
  if (run.status === 'Failed') return problemResponse(500, 'The job failed', run.errorMessage ?? '', { run });
  return { jsonBody: run };
});

/** GET /api/jobs/{jobType}/runs?limit=&before=: the job's history, newest first. */
export const getRuns = withErrorResponses(async (request) => {
  const job = requireJob(request);
  const query = readQuery(request, ['limit', 'before']);
  const limit = readCount(query, 'limit', historyLimit.most, historyLimit.default);
  const before = readJobId(query, 'before');
  const { database, clock } = await getServices();
  const runs = await database.connect((connection) =>
    connection.withRetries(deadlineIn(clock, timeBudgetsMs.http), (session) =>
      listRuns(session, job.type, limit + 1, before),
    ),
  );
  const page = runs.slice(0, limit);
  return {
    jsonBody: { jobType: job.type, runs: page, next: runs.length > limit ? page.at(-1)?.jobId : null },
  };
});

/** GET /api/jobs: the four jobs, each with its state and why, its schedule, the run in progress and the last one that has ended. */
export const getJobs = withErrorResponses(async (request) => {
  readQuery(request, []);
  const services = await getServices();
  const states = await readJobStates(services, deadlineIn(services.clock, timeBudgetsMs.http), runsForState);
  const described = states.map(({ job, state, stateReason, schedule, nextRunAt, activeRun, lastRun }) => ({
    jobType: job.type,
    state,
    stateReason,
    schedule,
    nextRunAt,
    activeRun: activeRun && {
      jobId: activeRun.jobId,
      jobType: job.type,
      startedAt: activeRun.startedAt,
      startedBy: activeRun.startedBy,
      lockExpiresAt: lockExpiresAt(activeRun.startedAt),
    },
    lastRun,
  }));
  return { jsonBody: { jobs: described } };
});

/** No job has the type that the route names. */
class UnknownJobError extends Error {
  override readonly name = 'UnknownJobError';
}

/** The job that the route names. */
export function requireJob(request: HttpRequest): Job {
  const job = findJob(request.params.jobType ?? '');
  if (!job) throw new UnknownJobError(request.params.jobType);
  return job;
}

/** Turns what a handler throws into a problem document. */
export function withErrorResponses(
  handler: (request: HttpRequest, context: InvocationContext) => Promise<HttpResponseInit>,
): HttpHandler {
  return async (request, context) => {
    try {
      return await handler(request, context);
    } catch (error) {
      if (error instanceof ParameterError)
        return problemResponse(400, 'A parameter is unknown or malformed', error.message);
      if (error instanceof UnknownJobError) {
        const jobTypes = jobs.map(({ type }) => type);
        const detail = `There is no job type ${quote(error.message)}: known are ${jobTypes.join(', ')}.`;
        return problemResponse(404, 'Unknown job type', detail, { jobTypes });
      }
      context.error(error);
      return toProblemResponse(error);
    }
  };
}
