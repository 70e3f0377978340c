import { deadlineIn } from '../clock';
import { failureCauses } from '../jobs/failures';
import { readRunDetails } from '../jobs/runDetails';
import { timeBudgetsMs } from '../jobs/runJob';
import { requireJob, withErrorResponses } from './api';
import { jobIdPattern, quote, readCount, readQuery } from './parameters';
import { problemResponse } from './problem';
import { getServices } from './runner';

/** The largest value of an INT column. */
const maxId = 2_147_483_647;

/** GET /api/jobs/{jobType}/runs/{jobId}?after=: one run, why grants failed, and the rows that it wrote, 100 at a time. */
export const getRun = withErrorResponses(async (request) => {
  const job = requireJob(request);
  const jobId = request.params.jobId ?? '';
  const after = readCount(readQuery(request, ['after']), 'after', maxId, 0);
  const services = await getServices();
  const details = jobIdPattern.test(jobId)
    ? await readRunDetails(
        services,
        deadlineIn(services.clock, timeBudgetsMs.http),
        job,
        jobId,
        after === 0 ? undefined : after,
      )
    : undefined;
  if (!details)
    return problemResponse(
      404,
      'Unknown run',
      `${job.type} has no run ${quote(jobId)}: GET /api/jobs/${job.type}/runs lists its runs.`,
    );
  const failures = details.failures.map((failure) => ({
    ...failure,
    advice: failureCauses[failure.cause].advice,
  }));
  return { jsonBody: { ...details, failures } };
});
