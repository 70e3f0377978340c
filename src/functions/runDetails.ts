import { deadlineIn } from '../clock';
import { failureCauses } from '../jobs/failures';
import { requestViewAdvice } from '../jobs/requests';
import { guidPattern } from '../jobs/platforms';
import { readRunDetails } from '../jobs/runDetails';
import { readBudgetMs } from '../jobs/runJob';
import { requireJob, unknownRun, withErrorResponses } from './api';
import { readQuery, readRowId } from './parameters';
import { getServices } from './runner';

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
