import type { Clock, Deadline } from '../clock';
import { NcrontabError, nextRuns, parseNcrontab, previousRun, type Schedule } from '../config/ncrontab';
import type { ScheduleZone } from '../config/schedules';
import type { Settings } from '../config/settings';
import type { Session } from '../database/session';
import { describeCounts, formatCount, formatNumber, formatSpan, formatUtc } from '../format';
import { listRuns } from '../jobRun/history';
import type { JobRun } from '../jobRun/jobRun';
import { lockExpiresAt, staleAfterMinutes } from '../jobRun/lease';
import { jobs, type Job } from './catalogue';
import type { Services } from './runJob';

/** How a job is doing, the worst first. */
export const stateNames = [
  'Overdue',
  'Failed',
  'Attention',
  'Running',
  'Paused',
  'NeverRun',
  'Healthy',
] as const;
export type StateName = (typeof stateNames)[number];

/** What each state is called. */
export const stateWords: Readonly<Record<StateName, string>> = {
  Overdue: 'Overdue',
  Failed: 'Failed',
  Attention: 'Needs attention',
  Running: 'Running',
  Paused: 'Paused',
  NeverRun: 'Never run',
  Healthy: 'Healthy',
};

/** When the platform starts a job. */
export interface JobTimer {
  /** NCRONTAB, as the timer is registered with it. */
  readonly expression: string;
  /** In which the host reads the expression. */
  readonly zone: ScheduleZone;
  /** The platform does not fire it. */
  readonly off: boolean;
}

/** A job as it stands now. */
export interface JobState {
  readonly job: Job;
  readonly state: StateName;
  /** Why, in words. */
  readonly stateReason: string;
  readonly timer: JobTimer;
  /** Null: the schedule is malformed. */
  readonly schedule: Schedule | null;
  /** Null: its timer is switched off, or its schedule is malformed or names a time that never comes. */
  readonly nextRunAt: Date | null;
  /** The run that holds the lock. */
  readonly activeRun: JobRun | null;
  /** The newest run that has ended. One that sent a reminder again is none of these runs: it says nothing of the job. */
  readonly lastRun: JobRun | null;
  /** Newest first. */
  readonly runs: readonly JobRun[];
}

/** Runs that end early one after the other say that the job does not keep up. */
const stoppedEarlyInARow = 3;

/** The newest runs that a state follows from: one in progress, and those that may have stopped early. */
export const runsForState = 1 + stoppedEarlyInARow;

/** A slot may be served so late: by a cold start, or because the run before it still held the lock. In ms. */
const overdueGraceMs = 10 * 60_000;

/** The app's clock and the database's may differ by so much. In ms. */
const clockToleranceMs = 60_000;

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
  return database.connect('read', (connection) =>
    connection.withRetries(deadline, async (session) => {
      const states: JobState[] = [];
      for (const job of jobs)
        states.push(await readJobState(session, job, settings, runLimit, deadline.clock));
      return states;
    }),
  );
}

/**
 * Reads how one job is doing, with its newest runs.
 * @param runLimit at least runsForState
 */
export async function readJobState(
  session: Pick<Session, 'query'>,
  job: Job,
  { schedules, scheduleZone, appService }: Pick<Settings, 'schedules' | 'scheduleZone' | 'appService'>,
  runLimit: number,
  clock: Clock,
): Promise<JobState> {
  const runs = await listRuns(session, job.type, runLimit, { resends: false });
  const timer = {
    expression: schedules[job.scheduleSetting],
    zone: scheduleZone,
    off: appService.disabledFunctions.has(job.type),
  };
  return judgeJob(job, timer, runs, new Date(clock.now()));
}

/**
 * The one state of a job, with its reason.
 * @param runs the newest first, without resends, at least runsForState of them if there are so many
 */
export function judgeJob(job: Job, timer: JobTimer, runs: readonly JobRun[], now: Date): JobState {
  const activeRun = runs.find(({ status }) => status === 'InProgress') ?? null;
  const lastRun = runs.find(({ status }) => status !== 'InProgress') ?? null;
  const schedule = readSchedule(timer);
  const next = schedule instanceof NcrontabError ? undefined : nextRuns(schedule, 1, now)[0];
  const [state, stateReason] = judge();
  return {
    job,
    state,
    stateReason,
    timer,
    schedule: schedule instanceof NcrontabError ? null : schedule,
    nextRunAt: timer.off ? null : (next ?? null),
    activeRun,
    lastRun,
    runs,
  };

  function judge(): [StateName, string] {
    if (activeRun) return judgeActive(activeRun, now);
    if (timer.off)
      return [
        'Paused',
        sentences(
          `Its timer is switched off by the app setting AzureWebJobs.${job.type}.Disabled (DISABLED_JOBS of the deployment); it can be run by hand.`,
          lastRun?.status === 'Failed' && describeFailure(lastRun, now),
        ),
      ];
    if (schedule instanceof NcrontabError || !next)
      return [
        'Overdue',
        `${job.scheduleSetting} ${describeUseless(schedule)} Correct it; npm run doctor says how.`,
      ];
    if (!lastRun) return ['NeverRun', `No run is recorded yet. The first is due at ${formatUtc(next)}.`];
    const lastSign = lastRun.completedAt ?? lastRun.startedAt;
    // The newest time that a run should have served by now.
    const slot = previousRun(schedule, new Date(now.getTime() - overdueGraceMs));
    if (slot && lastSign.getTime() < slot.getTime() - clockToleranceMs)
      return [
        'Overdue',
        sentences(
          `A run was due at ${formatUtc(slot)}; the last one was ${ago(lastRun.startedAt, now)}.`,
          'Check that the function app runs and that its timers are registered.',
          lastRun.status === 'Failed' && describeFailure(lastRun, now),
        ),
      ];
    if (lastRun.status === 'Failed') return ['Failed', describeFailure(lastRun, now)];
    if (lastRun.failedCount !== null && lastRun.failedCount > 0)
      return [
        'Attention',
        sentences(
          `${formatNumber(lastRun.failedCount)} of ${formatCount(lastRun.failedCount + (lastRun.processedCount ?? 0), 'grant')} failed in the last run, ${ago(lastRun.startedAt, now)}.`,
          lastRun.errorMessage,
        ),
      ];
    const ended = runs.filter(({ status }) => status !== 'InProgress').slice(0, stoppedEarlyInARow);
    if (ended.length === stoppedEarlyInARow && ended.every(stoppedEarly))
      return [
        'Attention',
        sentences(
          `The last ${stoppedEarlyInARow} runs stopped early: more is due than they can do.`,
          lastRun.errorMessage,
        ),
      ];
    return [
      'Healthy',
      `The last run, ${ago(lastRun.startedAt, now)}, completed: ${describeCounts(job.kind, lastRun)}.`,
    ];
  }
}

function judgeActive({ startedAt, startedBy }: JobRun, now: Date): [StateName, string] {
  const until = lockExpiresAt(startedAt);
  if (isStale(startedAt, now))
    return [
      'Overdue',
      `The run that ${startedBy} began at ${formatUtc(startedAt)} has been in progress for more than ${staleAfterMinutes} minutes, or is dated in the future: ` +
        'its process has most likely died. The next run closes it and does what it left.',
    ];
  return [
    'Running',
    `Since ${formatUtc(startedAt)} on ${startedBy}; it can hold the lock until ${formatUtc(until)}.`,
  ];
}

/**
 * Whether a run that began then can hold the lock no more: another takes it. One that is dated in the future never could,
 * as for the lock itself.
 */
export function isStale(startedAt: Date, now: Date): boolean {
  return now >= lockExpiresAt(startedAt) || startedAt.getTime() > now.getTime() + clockToleranceMs;
}

function readSchedule({ expression, zone }: JobTimer): Schedule | NcrontabError {
  try {
    return parseNcrontab(expression, zone.timeZone);
  } catch (error) {
    if (error instanceof NcrontabError) return error;
    throw error;
  }
}

/** What is wrong with a schedule that has no next time. */
function describeUseless(schedule: Schedule | NcrontabError): string {
  if (!(schedule instanceof NcrontabError))
    return `(${schedule.expression}) names a time that never comes: its timer never fires.`;
  if (schedule.isTimeSpan)
    return `(${schedule.expression}) is a time span, which Azure supports on an App Service plan only: elsewhere its timer cannot be relied on.`;
  return `is malformed (${schedule.expression}): its timer never fires.`;
}

function describeFailure({ startedAt, errorMessage }: JobRun, now: Date): string {
  return `The last run, ${ago(startedAt, now)}, failed${errorMessage === null ? '.' : `: ${errorMessage}`}`;
}

function ago(date: Date, now: Date): string {
  return `${formatSpan(now.getTime() - date.getTime())} ago`;
}

function sentences(...parts: readonly (string | null | false)[]): string {
  return parts.filter(Boolean).join(' ');
}

/** Whether a run completed without having done all that was due. */
export function stoppedEarly({ status, facts }: JobRun): boolean {
  return status === 'Completed' && facts.stopped !== undefined;
}
