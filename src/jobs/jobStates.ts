import type { Deadline } from '../clock';
import { nextRuns } from '../config/ncrontab';
import { jobs, type Job } from './catalogue';
import type { Services } from './runJob';
import { listRuns } from '../jobRun/history';
import type { JobRun } from '../jobRun/jobRun';

/** A job as it stands now. */
export interface JobState {
  readonly job: Job;
  /** NCRONTAB, UTC. */
  readonly schedule: string;
  /** Null if the schedule is malformed: its timer never fires. */
  readonly nextRunAt: Date | null;
  /** The run that holds the lock. */
  readonly activeRun: JobRun | null;
  /** The newest run that has ended. */
  readonly lastRun: JobRun | null;
  /** Newest first. */
  readonly runs: readonly JobRun[];
}

/**
 * Reads how the four jobs stand, each with its newest runs.
 * @param runLimit at least 2, for a run in progress and one that has ended
 * @throws DatabaseError
 */
export async function readJobStates(
  { database, settings }: Services,
  deadline: Deadline,
  runLimit: number,
): Promise<JobState[]> {
  const malformed = new Set<string>(settings.problems.map(({ setting }) => setting));
  return database.connect((connection) =>
    connection.withRetries(deadline, async (session) => {
      const states: JobState[] = [];
      for (const job of jobs) {
        const schedule = settings.schedules[job.scheduleSetting];
        const runs = await listRuns(session, job.type, runLimit);
        states.push({
          job,
          schedule,
          nextRunAt: malformed.has(job.scheduleSetting)
            ? null
            : (nextRuns(schedule, 1, new Date(deadline.clock.now()))[0] ?? null),
          activeRun: runs.find(({ status }) => status === 'InProgress') ?? null,
          lastRun: runs.find(({ status }) => status !== 'InProgress') ?? null,
          runs,
        });
      }
      return states;
    }),
  );
}
