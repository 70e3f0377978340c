import { judgeJob, type JobState } from '../../src/jobs/jobStates';
import type { Job } from '../../src/jobs/catalogue';
import type { JobRun } from '../../src/jobRun/jobRun';
import { jobOf } from '../support/environment';

const now = new Date('2026-12-01T08:30:00Z');
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const revocation = jobOf('revocation', 'Databricks');
const notification = jobOf('notification', 'Palantir');

/** A run that began `ago` ms before now and, unless it is in progress, took a second. */
function run(ago: number, given: Partial<JobRun> = {}): JobRun {
  const startedAt = new Date(now.getTime() - ago);
  return {
    jobId: '8f0f9a52-3c5e-4f4e-9f39-0a1f0c1f6f7a',
    jobType: revocation.type,
    status: 'Completed',
    startedAt,
    startedBy: 'machine-1',
    completedAt: given.status === 'InProgress' ? null : new Date(startedAt.getTime() + 1000),
    processedCount: 12,
    failedCount: null,
    message: null,
    facts: { failures: [] },
    ...given,
  };
}

const hourly = '0 0 * * * *';
interface StateOptions {
  readonly job?: Job;
  readonly schedule?: string;
  readonly timeZone?: string;
  readonly timerOff?: boolean;
  readonly at?: Date;
  /** When the process began. */
  readonly readAt?: Date;
  readonly problems?: JobState['problems'];
}

const stateOf = (
  runs: readonly JobRun[],
  {
    job = revocation,
    schedule = hourly,
    timeZone = 'UTC',
    timerOff = false,
    at = now,
    readAt = at,
    problems = [],
  }: StateOptions = {},
  firstRunAt?: Date,
): JobState =>
  judgeJob(job, { expression: schedule, zone: { timeZone }, off: timerOff, readAt }, runs, at, {
    firstRunAt,
    problems,
  });

describe('what used to be shown as healthy', () => {
  test('a job on an hourly schedule whose last run was 3 days ago is overdue', () => {
    expect(stateOf([run(3 * day)])).toMatchObject({
      state: 'Overdue',
      stateReason: expect.stringMatching(
        /^A run was due at 2026-12-01 08:00:00 UTC; the last one was 3 days ago\./,
      ) as string,
    });
  });

  test('a run that could not send 412 of 415 mails needs attention', () => {
    const message = 'Failed: 412 rejected by the email service, code EmailDropped (1, 2, …).';
    const last = run(30 * minute, { processedCount: 3, failedCount: 412, message: message });
    expect(stateOf([last], { job: notification })).toMatchObject({
      state: 'Attention',
      stateReason: `412 of 415 grants failed in the last run, 30 min ago. ${message}`,
    });
  });

  test('three runs in a row that stopped early need attention, two do not', () => {
    const early = (ago: number): JobRun =>
      run(ago, {
        message: 'Stopped early: its time budget is spent. More is left; the next run continues.',
        facts: { stopped: 'time', failures: [] },
      });
    const runs = [early(30 * minute), early(90 * minute), early(150 * minute)];
    expect(stateOf(runs)).toMatchObject({
      state: 'Attention',
      stateReason: expect.stringMatching(/^The last 3 runs stopped early/) as string,
    });
    expect(stateOf([run(minute, { status: 'InProgress' }), ...runs]).state).toBe('Running');
    expect(stateOf([...runs.slice(0, 2), run(150 * minute)]).state).toBe('Healthy');
    expect(stateOf(runs.slice(0, 2)).state).toBe('Healthy');
  });
});

test('a run in progress is running, and says until when it can hold the lock', () => {
  const active = run(0, { status: 'InProgress', startedAt: new Date('2026-12-01T08:29:30Z') });
  const state = stateOf([active, run(hour)]);
  expect(state).toMatchObject({ state: 'Running', activeRun: active, lastRun: { status: 'Completed' } });
  expect(state.stateReason).toBe(
    'Since 2026-12-01 08:29:30 UTC on machine-1; its lock expires at 2026-12-01 08:40:00 UTC.',
  );
});

test('a run in progress is overdue from the minute in which its lock is stale', () => {
  const active = run(0, { status: 'InProgress', startedAt: new Date('2026-12-01T08:29:30Z') });
  expect(stateOf([active], { at: new Date('2026-12-01T08:39:59.999Z') }).state).toBe('Running');
  expect(stateOf([active], { at: new Date('2026-12-01T08:40:00Z') })).toMatchObject({
    state: 'Overdue',
    stateReason: expect.stringContaining('has most likely died') as string,
  });
});

test('a job is overdue ten minutes after a time of its schedule that no run served', () => {
  const last = [run(90 * minute)];
  expect(stateOf(last, { at: new Date('2026-12-01T08:09:59Z') }).state).toBe('Healthy');
  expect(stateOf(last, { at: new Date('2026-12-01T08:10:00Z') }).state).toBe('Overdue');
});

test('a run that still held the lock at a time of the schedule has served it', () => {
  const long = run(0, {
    startedAt: new Date('2026-12-01T07:55:00Z'),
    completedAt: new Date('2026-12-01T08:02:00Z'),
  });
  expect(stateOf([long]).state).toBe('Healthy');
});

test('a run is not overdue because the clocks differ by some seconds', () => {
  const early = new Date('2026-12-01T07:59:58Z');
  expect(stateOf([run(0, { startedAt: early, completedAt: early })]).state).toBe('Healthy');
});

test('a job that pauses at night is not overdue then', () => {
  const last = run(0, {
    startedAt: new Date('2026-11-30T18:30:05Z'),
    completedAt: new Date('2026-11-30T18:30:06Z'),
  });
  const schedule = '0 30 6-18 * * *';
  expect(stateOf([last], { schedule, at: new Date('2026-12-01T06:39:59Z') }).state).toBe('Healthy');
  expect(stateOf([last], { schedule, at: new Date('2026-12-01T06:40:00Z') }).state).toBe('Overdue');
});

test('a failed run is failed, with its message', () => {
  const state = stateOf([
    run(30 * minute, { status: 'Failed', message: 'Safety stop: 4,000 due.' }),
    run(hour),
  ]);
  expect(state).toMatchObject({
    state: 'Failed',
    stateReason: 'The last run, 30 min ago, failed: Safety stop: 4,000 due.',
  });
});

test('a failed run that is overdue too says both', () => {
  const { state, stateReason } = stateOf([run(day, { status: 'Failed', message: 'Broken.' })]);
  expect(state).toBe('Overdue');
  expect(stateReason).toContain('The last run, 24 h ago, failed: Broken.');
});

test('a job whose timer is switched off is paused, however long ago it ran, and has no next run', () => {
  const { state, stateReason, nextRunAt } = stateOf([run(3 * day)], { timerOff: true });
  expect([state, nextRunAt]).toEqual(['Paused', null]);
  expect(stateReason).toContain(
    'AzureWebJobs.RevokeExpiredDatabricksRequests.Disabled (DISABLED_JOBS of the',
  );
  expect(stateOf([run(minute, { status: 'InProgress' })], { timerOff: true }).state).toBe('Running');
});

test('a job without a run has never run, and says when its first is due', () => {
  expect(stateOf([])).toMatchObject({
    state: 'NeverRun',
    stateReason: 'No run is recorded yet. The first is due at 2026-12-01 09:00:00 UTC.',
    nextRunAt: new Date('2026-12-01T09:00:00Z'),
  });
});

test('a job whose schedule is malformed is misconfigured: its timer never fires', () => {
  expect(stateOf([run(minute)], { schedule: 'hourly' })).toMatchObject({
    state: 'Misconfigured',
    stateReason: expect.stringContaining('SCHEDULE_REVOKE_DATABRICKS is malformed (hourly)') as string,
    nextRunAt: null,
  });
});

test('a job whose schedule is a time span is misconfigured: Azure supports it on an App Service plan only', () => {
  expect(stateOf([run(minute)], { schedule: '01:00:00' })).toMatchObject({
    state: 'Misconfigured',
    stateReason: expect.stringMatching(
      /^SCHEDULE_REVOKE_DATABRICKS \(01:00:00\) is a time span, which Azure supports on an App Service plan only/,
    ) as string,
    nextRunAt: null,
  });
});

test('a job whose schedule names a time that never comes is misconfigured: its timer never fires', () => {
  expect(stateOf([run(minute)], { schedule: '0 0 0 31 2 *' })).toMatchObject({
    state: 'Misconfigured',
    stateReason: expect.stringMatching(
      /^SCHEDULE_REVOKE_DATABRICKS \(0 0 0 31 2 \*\) names a time that never comes/,
    ) as string,
    nextRunAt: null,
  });
});

describe('a job whose own settings are wrong', () => {
  const problems = [
    {
      setting: 'REVOCATION_CEILING',
      group: 'revocation',
      message: 'expected a whole number of grants from 0, for example 1000',
    },
  ] as const;

  test('is misconfigured, whatever its last run was, and how late it is still counts', () => {
    expect(stateOf([run(30 * minute)], { problems })).toMatchObject({
      state: 'Misconfigured',
      stateReason:
        'It cannot run: REVOCATION_CEILING is malformed: expected a whole number of grants from 0, for example 1000. Correct it in the app settings.',
      since: null,
      hoursOverdue: 0,
    });
    expect(stateOf([], { problems })).toMatchObject({ state: 'Misconfigured' });
    expect(stateOf([run(3 * hour + 29 * minute)], { problems })).toMatchObject({
      state: 'Misconfigured',
      since: new Date('2026-12-01T06:00:00Z'),
      hoursOverdue: 2.5,
    });
  });

  test('is Paused where its timer is switched off, and says that it cannot be run by hand', () => {
    expect(stateOf([], { problems, timerOff: true })).toMatchObject({
      state: 'Paused',
      stateReason: expect.stringContaining('nor can it be run by hand') as string,
    });
  });
});

describe('a schedule that was just changed', () => {
  const daily = [run(2.5 * hour), run(26.5 * hour), run(50.5 * hour)];
  const started = new Date('2026-12-01T08:20:00Z');

  test('is not overdue for a time of before the process had it', () => {
    expect(stateOf(daily, { readAt: started }).state).toBe('Healthy');
    // From :00 to :30, and from one hour of the day to another.
    expect(
      stateOf([run(90 * minute), run(150 * minute)], {
        schedule: '0 30 * * * *',
        readAt: started,
        at: new Date('2026-12-01T08:29:00Z'),
      }).state,
    ).toBe('Healthy');
    expect(stateOf(daily, { schedule: '0 0 8 * * *', readAt: started }).state).toBe('Healthy');
  });

  test('is overdue for the first time after that', () => {
    expect(stateOf(daily, { readAt: started, at: new Date('2026-12-01T09:11:00Z') })).toMatchObject({
      state: 'Overdue',
      since: new Date('2026-12-01T09:00:00Z'),
    });
  });

  test('is told from an outage by its runs: where these kept the schedule, all times count', () => {
    const hourlyRuns = [run(2.5 * hour), run(3.5 * hour)];
    expect(stateOf(hourlyRuns, { readAt: started })).toMatchObject({
      state: 'Overdue',
      since: new Date('2026-12-01T07:00:00Z'),
    });
    // A run by hand says nothing of the schedule.
    const byHand = run(3 * hour, { facts: { manual: { trigger: 'http' }, failures: [] } });
    expect(
      stateOf([hourlyRuns[0] ?? byHand, byHand, ...hourlyRuns.slice(1)], { readAt: started }).state,
    ).toBe('Overdue');
    expect(stateOf(daily.slice(0, 1), { readAt: started }).state).toBe('Overdue');
  });
});

test('a job is overdue by the clock of the zone in which the host reads its schedule', () => {
  const last = run(0, {
    startedAt: new Date('2026-11-30T17:30:05Z'),
    completedAt: new Date('2026-11-30T17:30:06Z'),
  });
  const given = { schedule: '0 30 6-18 * * *', timeZone: 'Europe/Berlin' };
  expect(stateOf([last], { ...given, at: new Date('2026-12-01T05:39:59Z') })).toMatchObject({
    state: 'Healthy',
    nextRunAt: new Date('2026-12-01T06:30:00Z'),
  });
  expect(stateOf([last], { ...given, at: new Date('2026-12-01T05:40:00Z') }).state).toBe('Overdue');
});

test('a job whose last run did what was due is healthy', () => {
  expect(stateOf([run(30 * minute), run(90 * minute, { status: 'Failed' })])).toMatchObject({
    state: 'Healthy',
    stateReason: 'The last run, 30 min ago, completed: 12 revoked.',
  });
  const sent = run(30 * minute, { processedCount: 1240, failedCount: 0 });
  expect(stateOf([sent], { job: notification }).stateReason).toContain('completed: 1,240 sent, 0 failed.');
});

describe('beside its state, a job', () => {
  const failed = (ago: number, given: Partial<JobRun> = {}): JobRun =>
    run(ago, { status: 'Failed', ...given });
  const safetyStop = (ago: number): JobRun => failed(ago, { facts: { ended: 'safetyStop', failures: [] } });
  const early = (ago: number): JobRun => run(ago, { facts: { stopped: 'time', failures: [] } });
  const endOf = (ago: number): Date => new Date(now.getTime() - ago + 1000);

  test('counts the failures of its newest runs, and has failed since the first of them', () => {
    expect(
      stateOf([failed(30 * minute), failed(90 * minute), run(150 * minute), failed(210 * minute)]),
    ).toMatchObject({ state: 'Failed', failuresInARow: 2, since: endOf(90 * minute) });
    expect(stateOf([run(30 * minute), failed(90 * minute)])).toMatchObject({ failuresInARow: 0 });
    expect(stateOf([run(minute, { status: 'InProgress' }), failed(90 * minute)])).toMatchObject({
      state: 'Running',
      failuresInARow: 1,
    });
  });

  test('keeps a safety stop until a run completes', () => {
    expect(stateOf([safetyStop(30 * minute)])).toMatchObject({ safetyStop: true });
    const { safetyStop: stands, stateReason } = stateOf([failed(30 * minute), safetyStop(90 * minute)]);
    expect([stands, stateReason]).toEqual([
      true,
      expect.stringMatching(/safety stop of an earlier run stands/),
    ]);
    expect(stateOf([run(30 * minute), safetyStop(90 * minute)])).toMatchObject({ safetyStop: false });
  });

  test('counts its early stops', () => {
    expect(stateOf([early(30 * minute), early(90 * minute), run(150 * minute)])).toMatchObject({
      state: 'Healthy',
      earlyStopsInARow: 2,
    });
    expect(
      stateOf([early(30 * minute), early(90 * minute), early(150 * minute), early(210 * minute)]),
    ).toMatchObject({
      state: 'Attention',
      earlyStopsInARow: 4,
      since: endOf(210 * minute),
    });
  });

  test.each([
    ['hourly', hourly, 4 * hour, 3.5],
    ['every 12 hours', '0 0 */12 * * *', 21 * hour, 20.5],
    ['daily', '0 0 6 * * *', 27 * hour, 26.5],
  ])('is overdue from the first time of its schedule that no run served: %s', (_, schedule, ago, hours) => {
    expect(stateOf([run(ago)], { schedule })).toMatchObject({ state: 'Overdue', hoursOverdue: hours });
  });

  test('is not overdue by the hour while it runs, fails or is switched off', () => {
    for (const state of [
      stateOf([run(minute, { status: 'InProgress' }), run(9 * hour)]),
      stateOf([failed(30 * minute)]),
      stateOf([run(9 * hour)], { timerOff: true }),
    ])
      expect(state.hoursOverdue).toBe(0);
  });

  test('that never ran is overdue where another job has run and a time of its schedule has passed', () => {
    const ago = (ms: number): Date => new Date(now.getTime() - ms);
    expect(stateOf([], {}, ago(20 * minute))).toMatchObject({ state: 'NeverRun' });
    expect(stateOf([], {}, ago(2 * hour))).toMatchObject({
      state: 'Overdue',
      hoursOverdue: 1.5,
      stateReason: expect.stringMatching(/none is recorded/) as string,
    });
  });
});
