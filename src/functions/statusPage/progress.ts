import { deadlineIn } from '../../clock';
import type { Job } from '../../jobs/catalogue';
import { readBacklog } from '../../jobs/dueSql';
import type { JobState } from '../../jobs/jobStates';
import { dueSql } from '../../jobs/previewJob';
import type { Services } from '../../jobs/runJob';
import type { Progress } from './card';

/** Counting what is due searches a site's own tables: a job that runs is counted at most so often, in ms. */
const countEveryMs = 10_000;

/** How long a page waits for a count, in ms; one that takes longer is shown by the next refresh. */
const waitMs = 1000;

/** How long a count may take, in ms. */
const countBudgetMs = 30_000;

interface Count {
  readonly jobId: string;
  /** By the clock's elapsed(). */
  readonly startedAt: number;
  /** All that the run has to do, known once it is counted. */
  total?: number;
  readonly done: Promise<void>;
}

/** The last count of each job that runs, for all readers of this process together. */
const counts = new Map<Job['type'], Count>();

/**
 * How far the jobs are that run now. What is left is counted by the job's own due query.
 * @param onError is told of a count that failed: progress is then shown without a total
 */
export async function readProgress(
  services: Services,
  states: readonly JobState[],
  onError: (error: unknown) => void,
): Promise<ReadonlyMap<Job['type'], Progress>> {
  const running = states.filter(({ state }) => state === 'Running');
  const progress = new Map<Job['type'], Progress>();
  await Promise.all(
    running.map(async ({ job, activeRun }) => {
      if (!activeRun) return;
      const done = activeRun.processedCount ?? 0;
      const last = counts.get(job.type);
      const known = last?.jobId === activeRun.jobId ? last : undefined;
      const count =
        known && services.clock.elapsed() - known.startedAt < countEveryMs
          ? known
          : startCount(services, job, activeRun.jobId, done, known?.total, onError);
      await Promise.race([count.done, services.clock.sleep(waitMs)]);
      if (count.total !== undefined) progress.set(job.type, { done, total: Math.max(done, count.total) });
    }),
  );
  return progress;
}

function startCount(
  services: Services,
  job: Job,
  jobId: string,
  processed: number,
  lastTotal: number | undefined,
  onError: (error: unknown) => void,
): Count {
  const { clock, database, settings } = services;
  const count: Count = {
    jobId,
    startedAt: clock.elapsed(),
    ...(lastTotal !== undefined && { total: lastTotal }),
    done: database
      .connect('search', (connection) =>
        connection.withRetries(deadlineIn(clock, countBudgetMs), (session) =>
          readBacklog(session, dueSql(job, settings)),
        ),
      )
      .then(({ dueCount }) => {
        count.total = processed + dueCount;
      }, onError),
  };
  counts.set(job.type, count);
  return count;
}
