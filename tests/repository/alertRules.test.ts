/** The alert rules as they are deployed, each over the events of some runs: when it rings, and when it is silent. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { jobRunProperties } from '../../src/telemetry/names';
import { describeEvaluated, readAlertRules, type AlertRule } from '../support/deployments';
import { runQuery, type Row } from '../support/kustoRows';

const infra = join(__dirname, '../../infra');
const now = new Date('2026-11-24T12:00:00Z');
const minutesAgo = (minutes: number): Date => new Date(now.getTime() - minutes * 60_000);
const hours = 60;
const days = 24 * hours;

const revocation = 'RevokeExpiredDatabricksRequests';
const notification = 'ExpiryNotificationPalantirRequests';
const allJobs = [
  'RevokeExpiredDatabricksRequests',
  'RevokeExpiredPalantirRequests',
  'ExpiryNotificationDatabricksRequests',
  'ExpiryNotificationPalantirRequests',
];

type Properties = Partial<Record<(typeof jobRunProperties)[number], string | number | boolean>>;

/** The event of an attempt. Application Insights keeps its properties as texts. */
function attempt(ago: number, properties: Properties = {}): Row {
  const all: Properties = { jobType: revocation, status: 'Completed', stoppedEarly: false, ...properties };
  return {
    timestamp: minutesAgo(ago),
    name: 'JobRun',
    itemCount: 1,
    customDimensions: Object.fromEntries(Object.entries(all).map(([name, value]) => [name, String(value)])),
  };
}
const failed = (ago: number, properties: Properties = {}): Row =>
  attempt(ago, { status: 'Failed', errorName: 'SqlError', ...properties });
const safetyStop = (ago: number): Row => failed(ago, { errorName: 'SafetyStopError' });
const conflict = (ago: number): Row => attempt(ago, { status: 'Conflict' });

let rules: readonly AlertRule[] | undefined;

/** The jobs for which the rule rings, as Azure would evaluate it: over one day, by the threshold, split by job. */
function ringing(name: string, events: readonly Row[], deployedAt = minutesAgo(30 * days)): string[] {
  rules ??= readAlertRules('leastParameters');
  const rule = rules.find((one) => one.name === name);
  if (!rule) throw new Error(`There is no rule ${name}`);
  const query = rule.query.replace(
    /^let deployedAt = datetime\(.*\);$/m,
    `let deployedAt = datetime(${deployedAt.toISOString().slice(0, 19)});`,
  );
  const inWindow = events.filter(({ timestamp }) => Number(timestamp) > Number(minutesAgo(days)));
  return runQuery(query, { customEvents: inWindow }, now)
    .filter(({ jobType }) => rule.jobTypes.includes('*') || rule.jobTypes.includes(jobType as string))
    .filter((row) => Number(row[rule.measure] ?? 0) > rule.threshold)
    .map(({ jobType }) => jobType as string);
}

/** A completed run of each job but the given ones, a few minutes ago. */
const othersWell = (...but: string[]): Row[] =>
  allJobs.filter((jobType) => !but.includes(jobType)).map((jobType) => attempt(5, { jobType }));

describe('the states that the workbook shows', () => {
  const early = (ago: number): Row => attempt(ago, { stoppedEarly: true });

  test.each([
    ['Never run', []],
    ['Healthy', [attempt(30)]],
    ['Healthy', [attempt(30, { failedCount: 0 }), conflict(5)]],
    ['Attention', [attempt(30, { failedCount: 1 })]],
    ['Healthy', [attempt(90), early(60), early(30)]],
    ['Attention', [attempt(120), early(90), early(60), early(30)]],
    ['Failed', [attempt(60), failed(30)]],
    ['Overdue', [attempt(4 * hours), failed(30)]],
  ])('%s, as the console calls it', (state, events) => {
    const query = readFileSync(join(infra, 'queries/jobStates.kql'), 'utf8').replace(
      'datetime(2000-01-01)',
      `datetime(${minutesAgo(60).toISOString().slice(0, 19)})`,
    );
    const shown = runQuery(query, { customEvents: events }, now);
    expect(shown.find(({ jobType }) => jobType === revocation)?.state).toBe(state);
  });
});

describeEvaluated('no-completed-run', () => {
  test.each([
    ['a revocation that completed 2 h 59 min ago', revocation, 3 * hours - 1, []],
    ['a revocation that completed 3 h 1 min ago', revocation, 3 * hours + 1, [revocation]],
    ['a notification that completed 14 h 59 min ago', notification, 15 * hours - 1, []],
    ['a notification that completed 15 h 1 min ago', notification, 15 * hours + 1, [notification]],
  ])('%s', (_, jobType, ago, rings) => {
    expect(ringing('no-completed-run', [...othersWell(jobType), attempt(ago, { jobType })])).toEqual(rings);
  });

  test('a run that failed or was turned away is none; one that stopped early is', () => {
    const before = [...othersWell(revocation), attempt(4 * hours)];
    expect(ringing('no-completed-run', [...before, failed(60), conflict(30)])).toEqual([revocation]);
    expect(ringing('no-completed-run', [...before, attempt(60, { stoppedEarly: true })])).toEqual([]);
  });

  test('an app that has been silent for days rings for all four', () => {
    expect(ringing('no-completed-run', [attempt(3 * days)])).toEqual(allJobs);
  });

  test('after a deployment it is quiet until the jobs had their time, then not', () => {
    const deployed = (ago: number) => ringing('no-completed-run', [], minutesAgo(ago));
    expect(deployed(0)).toEqual([]);
    expect(deployed(3 * hours - 1)).toEqual([]);
    expect(deployed(4 * hours)).toEqual(allJobs.slice(0, 2));
    expect(deployed(16 * hours)).toEqual(allJobs);
  });
});

describeEvaluated('safety-stop', () => {
  test('rings while the newest run is a safety stop', () => {
    expect(ringing('safety-stop', [attempt(90), safetyStop(30)])).toEqual([revocation]);
    expect(ringing('safety-stop', [attempt(90), safetyStop(30), conflict(10)])).toEqual([revocation]);
    expect(ringing('safety-stop', [safetyStop(90), attempt(30)])).toEqual([]);
  });

  test('is silent about other failures', () => {
    expect(ringing('safety-stop', [failed(90), failed(30)])).toEqual([]);
  });
});

describeEvaluated('failed-twice', () => {
  test.each([
    ['one failure', [failed(30)], []],
    ['one failure after a completed run', [attempt(90), failed(30)], []],
    ['two in a row', [attempt(150), failed(90), failed(30)], [revocation]],
    [
      'two in a row with an attempt between that was turned away',
      [failed(90), conflict(60), failed(30)],
      [revocation],
    ],
    ['two with a completed run between', [failed(150), attempt(90), failed(30)], []],
    ['two in a row, then a completed run', [failed(150), failed(90), attempt(30)], []],
    ['two safety stops, which have a rule of their own', [safetyStop(90), safetyStop(30)], []],
    ['one of each of two jobs', [failed(90), failed(30, { jobType: notification })], []],
  ])('%s', (_, events, rings) => {
    expect(ringing('failed-twice', events)).toEqual(rings);
  });
});

describeEvaluated('late-revocation', () => {
  test.each([
    ['a grant due for 3 hours', [attempt(30, { oldestDueMinutes: 180 })], []],
    ['a grant due for longer', [attempt(30, { oldestDueMinutes: 181 })], [revocation]],
    [
      'one that the next run found no more',
      [attempt(90, { oldestDueMinutes: 500 }), attempt(30, { oldestDueMinutes: 0 })],
      [],
    ],
    [
      'one before a run that did not get so far',
      [attempt(90, { oldestDueMinutes: 500 }), failed(30)],
      [revocation],
    ],
    ['a reminder due since the morning', [attempt(30, { jobType: notification, oldestDueMinutes: 700 })], []],
  ])('%s', (_, events, rings) => {
    expect(ringing('late-revocation', events)).toEqual(rings);
  });

  test('is silent about what the first hours after a deployment find', () => {
    const backlog = [attempt(30, { oldestDueMinutes: 500_000 })];
    expect(ringing('late-revocation', backlog, minutesAgo(2 * hours))).toEqual([]);
    expect(ringing('late-revocation', backlog, minutesAgo(4 * hours))).toEqual([revocation]);
  });
});

describeEvaluated('rejected-mails', () => {
  const sent = (ago: number, processedCount: number, rejectedCount: number) =>
    attempt(ago, {
      jobType: notification,
      processedCount,
      failedCount: rejectedCount,
      rejectedCount,
      undeliverableCount: 0,
    });

  test.each([
    ['all of 4 refused: too few', [sent(30, 0, 4)], []],
    ['5 of 45 refused', [sent(30, 40, 5)], [notification]],
    ['5 of 50 refused: a tenth', [sent(30, 45, 5)], []],
    [
      'the same 5 refused by every run of the day, 60 sent',
      Array.from({ length: 12 }, (_, i) => sent(30 + i * 60, 5, 5)),
      [],
    ],
    [
      'bad addresses alone',
      [
        attempt(30, {
          jobType: notification,
          processedCount: 1,
          failedCount: 9,
          rejectedCount: 0,
          undeliverableCount: 9,
        }),
      ],
      [],
    ],
  ])('%s', (_, events, rings) => {
    expect(ringing('rejected-mails', events)).toEqual(rings);
  });
});

describeEvaluated('undeliverable-mails', () => {
  test.each([
    ['one bad address', 1, [notification]],
    ['none', 0, []],
  ])('%s', (_, undeliverableCount, rings) => {
    const run = {
      jobType: notification,
      processedCount: 9,
      failedCount: 3,
      rejectedCount: 2,
      undeliverableCount,
    };
    expect(ringing('undeliverable-mails', [attempt(30, run)])).toEqual(rings);
  });
});

describeEvaluated('stopped-early', () => {
  const early = (ago: number) => attempt(ago, { stoppedEarly: true });
  test.each([
    ['twice in a row', [attempt(150), early(90), early(30)], []],
    ['three times in a row', [early(150), early(90), early(30)], [revocation]],
    [
      'three times in a row, with one that was turned away between',
      [early(150), early(90), conflict(60), early(30)],
      [revocation],
    ],
    ['three times with a run between that did all', [early(210), early(150), attempt(90), early(30)], []],
  ])('%s', (_, events, rings) => {
    expect(ringing('stopped-early', events)).toEqual(rings);
  });
});

describe('what stands in for Kusto', () => {
  const run = (text: string) => runQuery(text, { customEvents: [attempt(5), failed(1)] }, now);

  test.each([
    'customEvents | distinct name',
    'customEvents | extend x = strlen(name)',
    'customEvents | where name =~ "x"',
  ])('refuses what it does not know: %s', (text) =>
    expect(() => run(text)).toThrow(/^This is not understood/),
  );

  test('a comparison with what is not there is neither true nor false', () => {
    expect(run("customEvents | where customDimensions.nothing != 'x'")).toEqual([]);
    expect(run("customEvents | where customDimensions.nothing == 'x'")).toEqual([]);
  });
});
