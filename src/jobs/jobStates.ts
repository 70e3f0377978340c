import type { Clock, Deadline } from '../clock';
import { NcrontabError, nextRuns, previousRun } from '../config/ncrontab';
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

/** A job as it stands now. */
export interface JobState {
  readonly job: Job;
  readonly state: StateName;
  /** Why, in words. */
  readonly stateReason: string;
  /** NCRONTAB, UTC. */
  readonly schedule: string;
  /** Null: its timer is switched off, or its schedule is malformed. */
  readonly nextRunAt: Date | null;
  /** The run that holds the lock. */
  readonly activeRun: JobRun | null;
  /** The newest run that has ended. */
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
  { schedules, appService }: Pick<Settings, 'schedules' | 'appService'>,
  runLimit: number,
  clock: Clock,
): Promise<JobState> {
  const runs = await listRuns(session, job.type, runLimit);
  const timerOff = appService.disabledFunctions.has(job.type);
  return judgeJob(job, schedules[job.scheduleSetting], timerOff, runs, new Date(clock.now()));
}

/**
 * The one state of a job, with its reason.
 * @param timerOff the platform does not fire its timer
 * @param runs the newest first, at least runsForState of them if there are so many
 */
export function judgeJob(
  job: Job,
  schedule: string,
  timerOff: boolean,
  runs: readonly JobRun[],
  now: Date,
): JobState {
  const activeRun = runs.find(({ status }) => status === 'InProgress') ?? null;
  const lastRun = runs.find(({ status }) => status !== 'InProgress') ?? null;
  const slots = readSlots(schedule, now);
  const nextRunAt = timerOff ? null : (slots?.next ?? null);
  const [state, stateReason] = judge();
  return { job, state, stateReason, schedule, nextRunAt, activeRun, lastRun, runs };

  function judge(): [StateName, string] {
    if (activeRun) return judgeActive(activeRun, now);
    if (timerOff)
      return [
        'Paused',
        sentences(
          `Its timer is switched off by the app setting AzureWebJobs.${job.type}.Disabled; it can be run by hand.`,
          lastRun?.status === 'Failed' && describeFailure(lastRun, now),
        ),
      ];
    if (!slots)
      return [
        'Overdue',
        `${job.scheduleSetting} is malformed (${schedule}): its timer never fires. Correct it; npm run doctor says how.`,
      ];
    if (!lastRun)
      return [
        'NeverRun',
        `No run is recorded yet.${slots.next ? ` The first is due at ${formatUtc(slots.next)}.` : ''}`,
      ];
    const lastSign = lastRun.completedAt ?? lastRun.startedAt;
    if (slots.overdue && lastSign.getTime() < slots.overdue.getTime() - clockToleranceMs)
      return [
        'Overdue',
        sentences(
          `A run was due at ${formatUtc(slots.overdue)}; the last one was ${ago(lastRun.startedAt, now)}.`,
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

/** The times of a schedule around now; undefined: it is malformed. */
function readSlots(
  schedule: string,
  now: Date,
): { next: Date | undefined; overdue: Date | undefined } | undefined {
  try {
    return {
      next: nextRuns(schedule, 1, now)[0],
      // The newest time that a run should have served by now.
      overdue: previousRun(schedule, new Date(now.getTime() - overdueGraceMs)),
    };
  } catch (error) {
    if (error instanceof NcrontabError) return undefined;
    throw error;
  }
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

/** Whether a run completed without having done all that was due: its message says so. */
export function stoppedEarly({ status, errorMessage }: JobRun): boolean {
  return status === 'Completed' && /\bStopped early: /.test(errorMessage ?? '');
}
