import { NcrontabError, nextRuns, parseNcrontab, previousRun, type Schedule } from '../config/ncrontab';
import type { ScheduleZone } from '../config/schedules';
import type { SettingProblem } from '../config/settings';
import { describeCounts, formatAgo, formatCount, formatNumber, formatUtc } from '../format';
import type { JobRun } from '../jobRun/jobRun';
import { lockExpiresAt, staleAfterMinutes } from '../jobRun/lease';
import type { Job } from './catalogue';

/** How a job is doing, the worst first. */
export const stateNames = [
  'Misconfigured',
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
  Misconfigured: 'Misconfigured',
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
  /** The time zone of the expression. */
  readonly zone: ScheduleZone;
  /** It is switched off. */
  readonly off: boolean;
  /** Since when this process has had this schedule. */
  readonly readAt: Date;
}

/** A job as it stands now. */
export interface JobState {
  readonly job: Job;
  readonly state: StateName;
  /** Why, in words. */
  readonly stateReason: string;
  /** When the state began; null where that is not known. */
  readonly since: Date | null;
  /** Hours since the first time of the schedule that no run has served; 0 unless the job is Overdue or Misconfigured. */
  readonly hoursOverdue: number;
  /** How many of the newest runs failed in a row. */
  readonly failuresInARow: number;
  /** How many of the newest runs stopped early in a row. */
  readonly earlyStopsInARow: number;
  /** The safety stop has stopped a run, and none has completed since. */
  readonly safetyStop: boolean;
  /** Its settings that are missing or malformed, except the schedule: it cannot run, nor be run by hand. */
  readonly problems: readonly SettingProblem[];
  readonly timer: JobTimer;
  /** Null: the schedule is malformed. */
  readonly schedule: Schedule | null;
  /** Null: its timer is switched off, or its schedule is malformed or names a time that never comes. */
  readonly nextRunAt: Date | null;
  /** The run that holds the lock. */
  readonly activeRun: JobRun | null;
  /** The newest run that has ended. */
  readonly lastRun: JobRun | null;
  /** Newest first. */
  readonly runs: readonly JobRun[];
}

/** After this many runs in a row that stopped early, the job does not keep up. */
const earlyStopsForAttention = 3;

/** How many of the newest runs a state needs: one in progress, and those that may have stopped early. */
export const runsForState = 1 + earlyStopsForAttention;

/** Allowed lateness of a run, in ms: a cold start, or the run before it still held the lock. */
const overdueGraceMs = 10 * 60_000;

/** Allowed difference between the app's clock and the database's, in ms. */
const clockToleranceMs = 60_000;

interface Judgement {
  readonly state: StateName;
  readonly stateReason: string;
  readonly since: Date | null;
}

/** What a state is judged by. */
interface Evidence {
  readonly job: Job;
  readonly timer: JobTimer;
  readonly schedule: Schedule | NcrontabError;
  readonly next: Date | undefined;
  readonly lastRun: JobRun | null;
  /** The newest runs that failed, or stopped early, in a row. */
  readonly failures: readonly JobRun[];
  readonly earlyStops: readonly JobRun[];
  readonly safetyStop: boolean;
  readonly firstRunAt: Date | undefined;
  readonly problems: readonly SettingProblem[];
  /** The first time of the schedule that no run has served, if one should have by now, and the last one. */
  readonly unserved: Unserved | undefined;
  readonly now: Date;
}

interface Unserved {
  readonly first: Date;
  readonly last: Date;
}

interface JudgeOptions {
  /** Of a job without runs: when the first run of any job began. */
  readonly firstRunAt?: Date | undefined;
  /** Of the job's own settings. */
  readonly problems?: readonly SettingProblem[];
}

/**
 * The one state of a job, with its reason.
 * @param runs the newest first: at least runsForState, and back to one that completed, if there are
 */
export function judgeJob(
  job: Job,
  timer: JobTimer,
  runs: readonly JobRun[],
  now: Date,
  { firstRunAt, problems = [] }: JudgeOptions = {},
): JobState {
  const activeRun = runs.find(({ status }) => status === 'InProgress') ?? null;
  const ended = runs.filter(({ status }) => status !== 'InProgress');
  const lastRun = ended[0] ?? null;
  const schedule = readSchedule(timer);
  const next = schedule instanceof NcrontabError ? undefined : nextRuns(schedule, 1, now)[0];
  const failures = leading(ended, ({ status }) => status === 'Failed');
  const earlyStops = leading(ended, stoppedEarly);
  const safetyStop = failures.some(({ facts }) => facts.ended === 'safetyStop');
  const unserved =
    schedule instanceof NcrontabError ? undefined : findUnserved(schedule, timer, ended, now, firstRunAt);
  const evidence = {
    job,
    timer,
    schedule,
    next,
    lastRun,
    failures,
    earlyStops,
    safetyStop,
    firstRunAt,
    problems,
    unserved,
    now,
  };
  const judgement = activeRun ? judgeActive(activeRun, now) : judgeIdle(evidence);
  return {
    job,
    ...judgement,
    hoursOverdue: hoursOverdue(judgement, now),
    failuresInARow: failures.length,
    earlyStopsInARow: earlyStops.length,
    safetyStop,
    problems,
    timer,
    schedule: schedule instanceof NcrontabError ? null : schedule,
    nextRunAt: timer.off ? null : (next ?? null),
    activeRun,
    lastRun,
    runs,
  };
}

function hoursOverdue({ state, since }: Pick<JobState, 'state' | 'since'>, now: Date): number {
  const late = state === 'Overdue' || state === 'Misconfigured';
  return late && since ? Math.max(0, now.getTime() - since.getTime()) / 3_600_000 : 0;
}

function leading(runs: readonly JobRun[], condition: (run: JobRun) => boolean): readonly JobRun[] {
  const end = runs.findIndex((run) => !condition(run));
  return end < 0 ? runs : runs.slice(0, end);
}

function endOf(run: JobRun): Date {
  return run.completedAt ?? run.startedAt;
}

function judgeActive({ startedAt, startedBy }: JobRun, now: Date): Judgement {
  const until = lockExpiresAt(startedAt);
  if (isStale(startedAt, now))
    return {
      state: 'Overdue',
      stateReason: sentences(
        startedAt > now
          ? `The run that ${startedBy} began is dated in the future, ${formatUtc(startedAt)}: a clock was wrong.`
          : `The run that ${startedBy} began at ${formatUtc(startedAt)} has been in progress for more than ${staleAfterMinutes} minutes: its process has most likely died.`,
        'The next run closes it and does what it left.',
      ),
      since: until,
    };
  return {
    state: 'Running',
    stateReason: `Since ${formatUtc(startedAt)} on ${startedBy}; its lock expires at ${formatUtc(until)}.`,
    since: startedAt,
  };
}

function judgeIdle(evidence: Evidence): Judgement {
  const { job, timer, lastRun, problems, now } = evidence;
  if (timer.off)
    return {
      state: 'Paused',
      stateReason: sentences(
        `Its timer is switched off by the app setting AzureWebJobs.${job.type}.Disabled (DISABLED_JOBS of the deployment); ${problems.length === 0 ? 'it can be run by hand' : 'nor can it be run by hand, as its settings are wrong'}.`,
        lastRun?.status === 'Failed' && describeFailure(lastRun, now),
      ),
      since: null,
    };
  return (
    judgeSettings(evidence) ??
    judgeTimer(evidence) ??
    (lastRun ? judgeLastRun(evidence, lastRun) : judgeNoRun(evidence))
  );
}

/** Whether the job can run at all, by its timer or by hand. */
function judgeSettings(evidence: Evidence): Judgement | undefined {
  const { job, schedule, next, lastRun, firstRunAt, problems, unserved, now } = evidence;
  const timerFires = !(schedule instanceof NcrontabError) && next !== undefined;
  if (problems.length === 0 && timerFires) return undefined;
  const lastSign = lastRun ? endOf(lastRun) : firstRunAt;
  return {
    state: 'Misconfigured',
    stateReason: sentences(
      problems.length > 0 &&
        `It cannot run: ${problems.map(({ setting, message }) => `${setting} is ${message}`).join('; ')}.`,
      !timerFires && `${job.scheduleSetting} ${describeUseless(schedule)}`,
      'Correct this in the app settings.',
      lastRun?.status === 'Failed' && describeFailure(lastRun, now),
    ),
    since: (timerFires ? unserved?.first : lastSign) ?? null,
  };
}

/** Whether the timer does what it should. */
function judgeTimer({ unserved, lastRun, now }: Evidence): Judgement | undefined {
  if (!unserved) return undefined;
  return {
    state: 'Overdue',
    stateReason: sentences(
      `A run was due at ${formatUtc(unserved.last)}; ${lastRun ? `the last one was ${ago(lastRun.startedAt, now)}` : 'none is recorded'}.`,
      'Check that the function app runs and that its timers are registered.',
      lastRun?.status === 'Failed' && describeFailure(lastRun, now),
    ),
    since: unserved.first,
  };
}

/**
 * The times of the schedule that no run has served. Where the runs kept another schedule, those before this process had
 * this one do not count.
 */
function findUnserved(
  schedule: Schedule,
  { readAt }: JobTimer,
  ended: readonly JobRun[],
  now: Date,
  firstRunAt: Date | undefined,
): Unserved | undefined {
  const lastSign = ended[0] ? endOf(ended[0]) : firstRunAt;
  if (!lastSign) return undefined;
  const servedUntil = new Date(lastSign.getTime() + clockToleranceMs);
  const from = keptAnotherSchedule(schedule, ended) && readAt > servedUntil ? readAt : servedUntil;
  const last = previousRun(schedule, new Date(now.getTime() - overdueGraceMs));
  if (!last || from >= last) return undefined;
  return { first: nextRuns(schedule, 1, from)[0] ?? last, last };
}

/** Whether the newest two runs of the timer left a time of this schedule between them unserved. */
function keptAnotherSchedule(schedule: Schedule, ended: readonly JobRun[]): boolean {
  const [newer, older] = ended.filter(({ facts }) => facts.manual === undefined);
  if (!newer || !older) return false;
  const between = previousRun(schedule, new Date(newer.startedAt.getTime() - overdueGraceMs));
  return between !== undefined && between.getTime() > endOf(older).getTime() + clockToleranceMs;
}

function judgeNoRun({ next }: Evidence): Judgement {
  const first = next ? ` The first is due at ${formatUtc(next)}.` : '';
  return { state: 'NeverRun', stateReason: `No run is recorded yet.${first}`, since: null };
}

function judgeLastRun({ job, failures, earlyStops, safetyStop, now }: Evidence, lastRun: JobRun): Judgement {
  const { status, failedCount, processedCount, startedAt, message, facts } = lastRun;
  const firstFailure = failures.at(-1);
  if (status === 'Failed' && firstFailure)
    return {
      state: 'Failed',
      stateReason: sentences(
        describeFailure(lastRun, now),
        safetyStop &&
          facts.ended !== 'safetyStop' &&
          'The safety stop of an earlier run stands until a run completes.',
      ),
      since: endOf(firstFailure),
    };
  if (failedCount !== null && failedCount > 0)
    return {
      state: 'Attention',
      stateReason: sentences(
        `${formatNumber(failedCount)} of ${formatCount(failedCount + (processedCount ?? 0), 'grant')} failed in the last run, ${ago(startedAt, now)}.`,
        message,
      ),
      since: endOf(lastRun),
    };
  const firstEarly = earlyStops.at(-1);
  if (firstEarly && earlyStops.length >= earlyStopsForAttention)
    return {
      state: 'Attention',
      stateReason: sentences(
        `The last ${formatCount(earlyStops.length, 'run')} stopped early: more is due than they can do.`,
        message,
      ),
      since: endOf(firstEarly),
    };
  return {
    state: 'Healthy',
    stateReason: `The last run, ${ago(startedAt, now)}, completed: ${describeCounts(job.words.done, lastRun)}.`,
    since: endOf(lastRun),
  };
}

/** Whether the lock of a run that began then has expired. A run dated in the future holds no lock. */
export function isStale(startedAt: Date, now: Date): boolean {
  return now >= lockExpiresAt(startedAt) || startedAt.getTime() > now.getTime() + clockToleranceMs;
}

/** A timer's schedule, or what is wrong with it. */
export function readSchedule({ expression, zone }: JobTimer): Schedule | NcrontabError {
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

function describeFailure({ startedAt, message }: JobRun, now: Date): string {
  return `The last run, ${ago(startedAt, now)}, failed${message === null ? '.' : `: ${message}`}`;
}

function ago(date: Date, now: Date): string {
  return formatAgo(now.getTime() - date.getTime());
}

function sentences(...parts: readonly (string | null | false)[]): string {
  return parts.filter(Boolean).join(' ');
}

/** Whether a run completed without having done all that was due. */
export function stoppedEarly({ status, facts }: JobRun): boolean {
  return status === 'Completed' && facts.stopped !== undefined;
}
