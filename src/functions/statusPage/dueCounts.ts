import { deadlineIn } from '../../clock';
import type { Session } from '../../database/session';
import { isDueKnown, type Job } from '../../jobs/catalogue';
import { readBacklog, type Backlog } from '../../jobs/backlog';
import type { JobState } from '../../jobs/judgeJob';
import type { Services } from '../../services';

/**
 * Counting what is due searches a site's own tables. Minimum intervals in ms; and no job is counted for more than a
 * hundredth of the time.
 */
const countEveryMs = { running: 10_000, idle: 5 * 60_000 };
const shareOfTime = 100;

/** How long a page waits for a count, in ms; one that takes longer is shown by the next refresh. */
const waitMs = 1000;

/** How long a count may take, in ms. */
const countBudgetMs = 30_000;

/** What waits for a run of a job. */
export interface DueCount extends Backlog {
  readonly countedAt: Date;
  /** What the run in progress had done by then. */
  readonly processedCount: number;
}

interface Entry {
  /** The newest run when the count began: what is due changes with each. */
  readonly jobId: string | undefined;
  /** That run was in progress: at its end it is counted again. */
  readonly running: boolean;
  /** By the clock's elapsed(). */
  readonly startedAt: number;
  /** How long the count took, in ms. */
  tookMs: number;
  /** The last that succeeded, of this run or of the one before. */
  count?: DueCount;
}

/** The last count of each job, for all readers of this process together. */
const entries = new Map<Job['type'], Entry>();
/** The counts that are under way: one session counts for all. */
let counting: Promise<void> | undefined;

/**
 * What is due of each job, as it was last counted by the job's own due query.
 * @param onError receives the error of a failed count, which is tried again when the next is due
 */
export async function readDueCounts(
  services: Services,
  states: readonly JobState[],
  onError: (error: unknown) => void,
): Promise<ReadonlyMap<Job['type'], DueCount>> {
  const { clock, settings } = services;
  const wanted = states.filter((state) => isDueKnown(state.job, settings) && isOld(state, clock.elapsed()));
  if (counting === undefined && wanted.length > 0)
    counting = countDue(services, wanted)
      .catch(onError)
      .finally(() => (counting = undefined));
  if (counting) await Promise.race([counting, clock.sleep(waitMs)]);
  return new Map(
    states.flatMap(({ job, activeRun }) => {
      const { count, jobId } = entries.get(job.type) ?? {};
      // A count from before the run in progress began says nothing of its progress.
      return count && (!activeRun || jobId === activeRun.jobId) ? [[job.type, count] as const] : [];
    }),
  );
}

function newestRun({ activeRun, lastRun }: JobState): string | undefined {
  return (activeRun ?? lastRun)?.jobId;
}

function isOld(state: JobState, now: number): boolean {
  const entry = entries.get(state.job.type);
  if (!entry) return true;
  const age = now - entry.startedAt;
  if (age < shareOfTime * entry.tookMs) return false;
  const running = state.activeRun !== null;
  const sameRun = entry.jobId === newestRun(state) && entry.running === running;
  return !sameRun || age >= countEveryMs[running ? 'running' : 'idle'];
}

/** One job after the other, in one session: the others stay free for previews. */
async function countDue({ clock, database, settings }: Services, states: readonly JobState[]): Promise<void> {
  const begun = states.map((state) => {
    const before = entries.get(state.job.type);
    const jobId = newestRun(state);
    const entry: Entry = {
      jobId,
      running: state.activeRun !== null,
      startedAt: clock.elapsed(),
      tookMs: 0,
      ...(before?.count && (before.jobId === jobId || !state.activeRun) && { count: before.count }),
    };
    entries.set(state.job.type, entry);
    return { entry, state };
  });
  await database.connect('search', async (connection) => {
    for (const { entry, state } of begun) {
      const startedAt = clock.elapsed();
      const backlog = await connection.withRetries(deadlineIn(clock, countBudgetMs), (session: Session) =>
        readBacklog(session, state.job.due(settings)),
      );
      entry.tookMs = clock.elapsed() - startedAt;
      entry.count = {
        ...backlog,
        countedAt: new Date(clock.now()),
        processedCount: state.activeRun?.processedCount ?? 0,
      };
    }
  });
}
