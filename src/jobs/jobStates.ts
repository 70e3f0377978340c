import type { Clock, Deadline } from '../clock';
import { NcrontabError, nextRuns } from '../config/ncrontab';
import type { Settings } from '../config/settings';
import type { Session } from '../database/session';
import { listRuns, readFirstRunAt } from '../jobRun/history';
import type { JobRun } from '../jobRun/jobRun';
import type { Services } from '../services';
import { jobs, problemsOf, type Job } from './catalogue';
import { judgeJob, readSchedule, type JobState, type JobTimer } from './judgeJob';

/** Failures in a row are counted among at most so many runs before the newest ones. */
const mostRunsForState = 500;

/**
 * Reads how the four jobs are doing, each with its newest runs.
 * @param runLimit at least runsForState
 * @throws DatabaseError
 */
export async function readJobStates(
  { database, settings }: Services,
  deadline: Deadline,
  runLimit: number,
): Promise<JobState[]> {
  return database.withSession('read', deadline, async (session) => {
    const states: JobState[] = [];
    for (const job of jobs) states.push(await readJobState(session, job, settings, runLimit, deadline.clock));
    return states;
  });
}

type TimerSettings = Pick<Settings, 'schedules' | 'scheduleZone' | 'appService' | 'schedulesReadAt'>;

/**
 * Reads how one job is doing, with its newest runs.
 * @param runLimit at least runsForState
 */
export async function readJobState(
  session: Pick<Session, 'query'>,
  job: Job,
  settings: TimerSettings & Pick<Settings, 'problems'>,
  runLimit: number,
  clock: Clock,
): Promise<JobState> {
  const newest = await listRuns(session, job.type, runLimit);
  const runs = await untilCompleted(session, job, newest, runLimit);
  const timer = timerOf(job, settings);
  const firstRunAt = runs.length === 0 ? await readFirstRunAt(session) : undefined;
  const state = judgeJob(job, timer, runs, new Date(clock.now()), {
    firstRunAt,
    problems: problemsOf(job, settings),
  });
  return { ...state, runs: newest };
}

function timerOf({ type, scheduleSetting }: Job, settings: TimerSettings): JobTimer {
  const { schedules, scheduleZone, appService, schedulesReadAt } = settings;
  return {
    expression: schedules[scheduleSetting],
    zone: scheduleZone,
    off: appService.disabledFunctions.has(type),
    readAt: schedulesReadAt,
  };
}

/** When a job runs next; null: its timer is switched off, or its schedule is malformed or names a time that never comes. */
export function nextRunOf(job: Job, settings: TimerSettings, now: Date): Date | null {
  const timer = timerOf(job, settings);
  const schedule = readSchedule(timer);
  return timer.off || schedule instanceof NcrontabError ? null : (nextRuns(schedule, 1, now)[0] ?? null);
}

/** The newest runs; where none of them completed, also those before, as far back as one that did. */
async function untilCompleted(
  session: Pick<Session, 'query'>,
  { type }: Job,
  newest: readonly JobRun[],
  runLimit: number,
): Promise<readonly JobRun[]> {
  const before = newest.at(-1)?.jobId;
  if (before === undefined || newest.length < runLimit || newest.some(({ status }) => status === 'Completed'))
    return newest;
  return [...newest, ...(await listRuns(session, type, mostRunsForState, { before }))];
}
