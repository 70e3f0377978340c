import { judgeJob, type JobState, type StateName } from '../../src/jobs/judgeJob';
import type { JobRun } from '../../src/jobRun/jobRun';
import { day, hour, minute } from '../support/arrange';
import { jobOf } from '../support/environment';

/** A time of the day; now is 08:30. */
const at = (time: string): Date => new Date(`2026-12-01T${time}Z`);
const now = at('08:30:00');
const before = (ms: number): Date => new Date(now.getTime() - ms);
const revocation = jobOf('revocation', 'Databricks');

/** A run that began `ago` ms before now and, unless it is in progress, took a second. */
function run(ago: number, given: Partial<JobRun> = {}): JobRun {
  const startedAt = before(ago);
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
const runFrom = (startedAt: Date, completedAt = new Date(startedAt.getTime() + 1000)): JobRun =>
  run(0, { startedAt, completedAt });
const failed = (ago: number, message: string | null = null): JobRun =>
  run(ago, { status: 'Failed', message });
const safetyStop = (ago: number): JobRun =>
  run(ago, { status: 'Failed', facts: { ended: 'safetyStop', failures: [] } });
const early = (ago: number): JobRun => run(ago, { facts: { stopped: 'time', failures: [] } });
const inProgress = (startedAt = before(minute)): JobRun => run(0, { status: 'InProgress', startedAt });

interface Circumstances {
  readonly job?: JobState['job'];
  readonly schedule?: string;
  readonly timeZone?: string;
  readonly off?: boolean;
  readonly at?: Date;
  /** When the process began. */
  readonly readAt?: Date;
  readonly problems?: JobState['problems'];
  readonly firstRunAt?: Date;
}

/** Expects a state, or parts of one, of a job with these runs. */
function expectState(
  expected: StateName | Partial<JobState>,
  runs: readonly JobRun[],
  { job = revocation, at: judgedAt = now, firstRunAt, problems = [], ...given }: Circumstances = {},
): void {
  const { schedule = '0 0 * * * *', timeZone = 'UTC', off = false, readAt = judgedAt } = given;
  const timer = { expression: schedule, zone: { timeZone }, off, readAt };
  const parts = typeof expected === 'string' ? { state: expected } : expected;
  expect(judgeJob(job, timer, runs, judgedAt, { firstRunAt, problems })).toMatchObject(parts);
}
const says = (pattern: RegExp): string => expect.stringMatching(pattern) as string;

test('Healthy: the last run did what was due', () => {
  expectState({ state: 'Healthy', stateReason: 'The last run, 30 min ago, completed: 12 revoked.' }, [
    run(30 * minute),
    failed(90 * minute),
  ]);
  const sent = run(30 * minute, { processedCount: 1240, failedCount: 0 });
  expectState({ stateReason: says(/completed: 1,240 sent, 0 failed\./) }, [sent], {
    job: jobOf('notification', 'Palantir'),
  });
});

test('Attention: most mails could not be sent', () => {
  const message = 'Failed: 412 rejected by the email service, code EmailDropped (1, 2, …).';
  const stateReason = `412 of 415 grants failed in the last run, 30 min ago. ${message}`;
  const last = run(30 * minute, { processedCount: 3, failedCount: 412, message });
  expectState({ state: 'Attention', stateReason }, [last], { job: jobOf('notification', 'Palantir') });
});

test('Attention: three runs in a row stopped early; two are Healthy', () => {
  const runs = [early(30 * minute), early(90 * minute), early(150 * minute)];
  const [first, second] = runs as [JobRun, JobRun];
  expectState({ state: 'Attention', stateReason: says(/^The last 3 runs stopped early/) }, runs);
  expectState({ state: 'Attention', earlyStopsInARow: 4, since: before(210 * minute - 1000) }, [
    ...runs,
    early(210 * minute),
  ]);
  expectState('Running', [inProgress(), ...runs]);
  expectState({ state: 'Healthy', earlyStopsInARow: 2 }, [first, second, run(150 * minute)]);
  expectState('Healthy', [first, second]);
});

test('Running until the minute in which the lock is stale, then Overdue', () => {
  const active = inProgress(at('08:29:30'));
  expectState(
    {
      state: 'Running',
      stateReason: 'Since 2026-12-01 08:29:30 UTC on machine-1; its lock expires at 2026-12-01 08:40:00 UTC.',
      activeRun: active,
      lastRun: expect.objectContaining({ status: 'Completed' }) as JobRun,
    },
    [active, run(hour)],
  );
  expectState('Running', [active], { at: at('08:39:59.999') });
  expectState({ state: 'Overdue', stateReason: says(/has most likely died/) }, [active], {
    at: at('08:40:00'),
  });
});

test('Failed: says the message, the number of failures in a row, and since when', () => {
  const stateReason = 'The last run, 30 min ago, failed: Safety stop: 4,000 due.';
  expectState({ state: 'Failed', stateReason }, [failed(30 * minute, 'Safety stop: 4,000 due.'), run(hour)]);
  const runs = [failed(30 * minute), failed(90 * minute), run(150 * minute), failed(210 * minute)];
  expectState({ state: 'Failed', failuresInARow: 2, since: before(90 * minute - 1000) }, runs);
  expectState({ failuresInARow: 0 }, [run(30 * minute), failed(90 * minute)]);
  expectState({ state: 'Running', failuresInARow: 1 }, [inProgress(), failed(90 * minute)]);
  expectState({ state: 'Overdue', stateReason: says(/The last run, 24 h ago, failed: Broken\./) }, [
    failed(day, 'Broken.'),
  ]);
});

test('keeps a safety stop until a run completes', () => {
  expectState({ safetyStop: true }, [safetyStop(30 * minute)]);
  expectState({ safetyStop: true, stateReason: says(/safety stop of an earlier run stands/) }, [
    failed(30 * minute),
    safetyStop(90 * minute),
  ]);
  expectState({ safetyStop: false }, [run(30 * minute), safetyStop(90 * minute)]);
});

describe('Overdue', () => {
  test('ten minutes after a scheduled time without a run', () => {
    expectState('Healthy', [run(90 * minute)], { at: at('08:09:59') });
    expectState('Overdue', [run(90 * minute)], { at: at('08:10:00') });
    const stateReason = says(/^A run was due at 2026-12-01 08:00:00 UTC; the last one was 3 days ago\./);
    expectState({ state: 'Overdue', stateReason }, [run(3 * day)]);
  });

  test('not while a run still held the lock, nor where clocks differ by some seconds', () => {
    expectState('Healthy', [runFrom(at('07:55:00'), at('08:02:00'))]);
    expectState('Healthy', [runFrom(at('07:59:58'), at('07:59:58'))]);
  });

  test('not while the schedule pauses at night, by the clock of its zone', () => {
    const schedule = '0 30 6-18 * * *';
    const last = [runFrom(new Date('2026-11-30T18:30:05Z'))];
    expectState('Healthy', last, { schedule, at: at('06:39:59') });
    expectState('Overdue', last, { schedule, at: at('06:40:00') });
    const inBerlin = { schedule, timeZone: 'Europe/Berlin' };
    const lastInBerlin = [runFrom(new Date('2026-11-30T17:30:05Z'))];
    expectState({ state: 'Healthy', nextRunAt: at('06:30:00') }, lastInBerlin, {
      ...inBerlin,
      at: at('05:39:59'),
    });
    expectState('Overdue', lastInBerlin, { ...inBerlin, at: at('05:40:00') });
  });

  test.each([
    ['hourly', '0 0 * * * *', 4 * hour, 3.5],
    ['every 12 hours', '0 0 */12 * * *', 21 * hour, 20.5],
    ['daily', '0 0 6 * * *', 27 * hour, 26.5],
  ])('since the first scheduled time without a run: %s', (_, schedule, ago, hoursOverdue) =>
    expectState({ state: 'Overdue', hoursOverdue }, [run(ago)], { schedule }),
  );

  test('for 0 hours while it runs, fails or is switched off', () => {
    expectState({ hoursOverdue: 0 }, [inProgress(), run(9 * hour)]);
    expectState({ hoursOverdue: 0 }, [failed(30 * minute)]);
    expectState({ hoursOverdue: 0 }, [run(9 * hour)], { off: true });
  });
});

test('NeverRun until another job has run and a scheduled time has passed', () => {
  const stateReason = 'No run is recorded yet. The first is due at 2026-12-01 09:00:00 UTC.';
  expectState({ state: 'NeverRun', stateReason, nextRunAt: at('09:00:00') }, []);
  expectState('NeverRun', [], { firstRunAt: before(20 * minute) });
  const overdue = { state: 'Overdue', hoursOverdue: 1.5, stateReason: says(/none is recorded/) } as const;
  expectState(overdue, [], { firstRunAt: before(2 * hour) });
});

test('Paused: its timer is switched off, however long ago it ran; it has no next run', () => {
  const stateReason = says(/AzureWebJobs\.RevokeExpiredDatabricksRequests\.Disabled \(DISABLED_JOBS of the/);
  expectState({ state: 'Paused', stateReason, nextRunAt: null }, [run(3 * day)], { off: true });
  expectState('Running', [inProgress()], { off: true });
});

describe('Misconfigured', () => {
  test.each([
    ['is malformed', 'hourly', /SCHEDULE_REVOKE_DATABRICKS is malformed \(hourly\)/],
    [
      'is a time span',
      '01:00:00',
      /^SCHEDULE_REVOKE_DATABRICKS \(01:00:00\) is a time span, which Azure supports on an App Service plan only/,
    ],
    [
      'names a time that never comes',
      '0 0 0 31 2 *',
      /^SCHEDULE_REVOKE_DATABRICKS \(0 0 0 31 2 \*\) names a time that never comes/,
    ],
  ])('a schedule that %s', (_, schedule, reason) =>
    expectState({ state: 'Misconfigured', stateReason: says(reason), nextRunAt: null }, [run(minute)], {
      schedule,
    }),
  );

  test('its own settings are wrong, whatever its last run did; it is still late', () => {
    const message = 'malformed: expected a whole number of grants from 0, for example 1000';
    const problems = [{ setting: 'REVOCATION_CEILING', group: 'revocation', message }] as const;
    const stateReason = `It cannot run: REVOCATION_CEILING is ${message}. Correct this in the app settings.`;
    expectState({ state: 'Misconfigured', stateReason, since: null, hoursOverdue: 0 }, [run(30 * minute)], {
      problems,
    });
    expectState('Misconfigured', [], { problems });
    const late = { state: 'Misconfigured', since: at('06:00:00'), hoursOverdue: 2.5 } as const;
    expectState(late, [run(3 * hour + 29 * minute)], { problems });
    const paused = { state: 'Paused', stateReason: says(/nor can it be run by hand/) } as const;
    expectState(paused, [], { problems, off: true });
  });
});

describe('a schedule that was just changed', () => {
  const daily = [run(2.5 * hour), run(26.5 * hour), run(50.5 * hour)];
  const readAt = at('08:20:00');

  test('is not overdue for a time before the process started with it', () => {
    expectState('Healthy', daily, { readAt });
    // From :00 to :30, and from one hour of the day to another.
    const halfPast = { schedule: '0 30 * * * *', readAt, at: at('08:29:00') };
    expectState('Healthy', [run(90 * minute), run(150 * minute)], halfPast);
    expectState('Healthy', daily, { schedule: '0 0 8 * * *', readAt });
  });

  test('is overdue for the first time after that', () =>
    expectState({ state: 'Overdue', since: at('09:00:00') }, daily, { readAt, at: at('09:11:00') }));

  test('counts all times where the runs have kept the schedule: that was an outage', () => {
    const [newer, older] = [run(2.5 * hour), run(3.5 * hour)];
    expectState({ state: 'Overdue', since: at('07:00:00') }, [newer, older], { readAt });
    // A run by hand says nothing about the schedule.
    const byHand = run(3 * hour, { facts: { manual: { trigger: 'http' }, failures: [] } });
    expectState('Overdue', [newer, byHand, older], { readAt });
    expectState('Overdue', daily.slice(0, 1), { readAt });
  });
});
