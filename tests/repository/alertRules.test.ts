/** The alert rules and the workbook as they are deployed, over the events of runs: what rings, what is shown. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JobRunProperty, JobStateProperty } from '../../src/telemetry/names';
import { allTogether, ringing, storedEvent } from '../support/alerts';
import { describeEvaluated } from '../support/deployments';
import { runQuery, type Row } from '../support/kusto';

const now = new Date('2026-11-24T12:00:00Z');
const minutesAgo = (minutes: number): Date => new Date(now.getTime() - minutes * 60_000);
const hours = 60;

const revocation = 'RevokeExpiredDatabricksRequests';
const notification = 'ExpiryNotificationPalantirRequests';

type Properties<Name extends string> = Partial<Record<Name, string | number | boolean>>;

let jobIds = 0;
/** The event of an attempt. */
const attempt = (ago: number, properties: Properties<JobRunProperty> = {}): Row =>
  storedEvent('JobRun', minutesAgo(ago), {
    jobId: `run-${++jobIds}`,
    jobType: revocation,
    status: 'Completed',
    stoppedEarly: false,
    hasRow: true,
    ...properties,
  });
/** A run that failed before it took its lock. */
const failedAtOnce = (ago: number, properties: Properties<JobRunProperty> = {}): Row =>
  attempt(ago, {
    status: 'Failed',
    errorName: 'SettingsError',
    hasRow: false,
    durationMs: 12,
    ...properties,
  });

/** A job's state as a run reports it, of this job or of another. */
const state = (ago: number, properties: Properties<JobStateProperty> = {}): Row =>
  storedEvent('JobState', minutesAgo(ago), {
    jobType: revocation,
    state: 'Healthy',
    hoursOverdue: 0,
    failuresInARow: 0,
    earlyStopsInARow: 0,
    safetyStop: false,
    ...properties,
  });

const failed = (ago: number, failuresInARow: number, jobType = revocation): Row =>
  state(ago, { jobType, state: 'Failed', failuresInARow });
const overdue = (ago: number, hoursOverdue: number): Row => state(ago, { state: 'Overdue', hoursOverdue });

/** A run of a notification job that read what was due. */
function sent(ago: number, processedCount: number, counts: Properties<JobRunProperty> = {}): Row {
  const causes = { rejectedCount: 0, unansweredCount: 0, undeliverableCount: 0 };
  return attempt(ago, { jobType: notification, dueCount: 9, processedCount, ...causes, ...counts });
}
const outage = (ago: number, unansweredCount: number): Row =>
  sent(ago, 0, { status: 'Failed', errorName: 'EmailServiceError', unansweredCount });
/** A run of a notification job that failed before it read what was due. */
const blind = (ago: number): Row => failedAtOnce(ago, { jobType: notification });

/** What a query of the workbook shows. */
function shown(name: string, tables: Readonly<Record<string, readonly Row[]>>): Row[] {
  const query = readFileSync(join(__dirname, `../../infra/queries/${name}.kql`), 'utf8')
    .replaceAll('{Jobs}', `'${revocation}','${notification}'`)
    .replaceAll('{TimeRange:grain}', '1h')
    .replaceAll('{AppAddress}', 'https://func.example.net');
  return runQuery(query, tables);
}

describeEvaluated('the alert rules', () => {
  const others = [state(5, { jobType: notification }), state(65, { jobType: notification })];
  const stopped = state(90, { state: 'Failed', failuresInARow: 1, safetyStop: true });
  const failedSince = state(30, { state: 'Failed', failuresInARow: 2, safetyStop: true });
  const noDatabase = [150, 90, 30].map((ago) => failedAtOnce(ago, { errorName: 'DatabaseUnavailableError' }));
  const fiveRefused = Array.from({ length: 12 }, (_, i) => sent(30 + i * 60, 5, { rejectedCount: 5 }));

  /** Each with the events, and the jobs for which the rule rings. */
  const cases: Readonly<Record<string, readonly [what: string, events: Row[], rings: string[]][]>> = {
    silence: [
      ['no run reports', [], [allTogether]],
      ['the last report is more than 3 hours old', [state(3 * hours + 1)], [allTogether]],
      ['it is younger', [state(3 * hours - 1)], []],
      ['runs fail that do not reach the database: they report no state', noDatabase, [allTogether]],
    ],
    overdue: [
      ['half an hour: the next run closes the row of a dead one', [...others, overdue(5, 0.5)], []],
      ['an hour', [...others, overdue(5, 1)], []],
      ['longer', [...others, overdue(65, 1.01), overdue(5, 1.01)], [revocation]],
      ['ten days, reported by the other jobs', [...others, overdue(65, 240), overdue(5, 240)], [revocation]],
      ['until the first report that it is not', [overdue(65, 30), state(5)], []],
      ['the last report of a rare schedule', [overdue(40 * hours, 30)], [revocation]],
    ],
    'safety-stop': [
      ['one stands', [stopped], [revocation]],
      ['one stands, whatever fails after it', [stopped, failedSince], [revocation]],
      ['a run has completed since', [stopped, failedSince, state(5)], []],
      ['other failures', [failed(30, 3)], []],
    ],
    'failed-twice': [
      ['a safety stop stands, which has its own rule', [stopped, failedSince], []],
      ['one failure', [failed(30, 1)], []],
      ['one failure, delivered twice', [failed(30, 1), failed(30, 1)], []],
      ['two in a row', [failed(90, 1), failed(30, 2)], [revocation]],
      ['two of a daily job, which the others report', [failed(26 * hours, 1), failed(30, 2)], [revocation]],
      ['two in a row, then a completed run', [failed(90, 2), state(30)], []],
      ['one of each of two jobs', [failed(30, 1), failed(30, 1, notification)], []],
    ],
    'stopped-early': [
      ['twice in a row', [state(12 * hours, { earlyStopsInARow: 2 })], []],
      ['three times, every 12 hours', [state(12 * hours, { earlyStopsInARow: 3 })], [revocation]],
    ],
    'late-revocation': [
      ['a grant due for 3 hours', [attempt(30, { oldestDueMinutes: 180 })], []],
      ['a grant due for longer', [attempt(30, { oldestDueMinutes: 181 })], [revocation]],
      [
        'one that the next run no longer found',
        [attempt(90, { oldestDueMinutes: 500 }), attempt(30, { oldestDueMinutes: 0 })],
        [],
      ],
      [
        'one before runs that did not look or were turned away',
        [attempt(90, { oldestDueMinutes: 500 }), failedAtOnce(30), attempt(20, { status: 'Conflict' })],
        [revocation],
      ],
      ['a late reminder', [attempt(30, { jobType: notification, oldestDueMinutes: 700 })], []],
    ],
    'rejected-mails': [
      ['all of 4 refused: too few', [sent(30, 0, { rejectedCount: 4 })], []],
      ['5 of 45 refused', [sent(30, 40, { rejectedCount: 5 })], [notification]],
      ['5 of 50 refused: a tenth', [sent(30, 45, { rejectedCount: 5 })], []],
      ['the same 5 refused by every run of the day, 60 sent', fiveRefused, []],
      [
        '45 sent by a run whose event is delivered twice',
        [sent(90, 40), sent(30, 0, { rejectedCount: 5 })].flatMap((event) => [event, event]),
        [notification],
      ],
      ['12 unanswered messages between two good runs', [sent(90, 1), outage(60, 12), sent(30, 1)], []],
      ['refused ones that the newest run sent', [sent(90, 0, { rejectedCount: 9 }), sent(30, 9)], []],
      [
        'refused ones before runs that gave the service up or did not look',
        [sent(90, 0, { rejectedCount: 9 }), outage(60, 5), blind(30)],
        [notification],
      ],
      ['only bad addresses', [sent(30, 1, { undeliverableCount: 9 })], []],
    ],
    'undeliverable-mails': [
      ['one bad address', [sent(30, 9, { undeliverableCount: 1 })], [notification]],
      ['none', [sent(30, 9, { rejectedCount: 2 })], []],
      ['one that was corrected', [sent(5 * hours, 9, { undeliverableCount: 1 }), sent(30, 0)], []],
      [
        'one before runs that did not look',
        [sent(90, 9, { undeliverableCount: 1 }), blind(30)],
        [notification],
      ],
    ],
  };

  test.each(
    Object.entries(cases).flatMap(([name, ofRule]) => ofRule.map((given) => [name, ...given] as const)),
  )('%s: %s', (name, _, events, expected) => {
    expect(ringing(name, events, now)).toEqual(expected);
  });

  test('silence lasts as long as the site says', () => {
    const afterHours = (ago: number) => ringing('silence', [state(ago * hours)], now, 'allParameters');
    expect([afterHours(47), afterHours(48.1)]).toEqual([[], [allTogether]]);
  });
});

describe('the workbook', () => {
  test('shows the newest state of each job that was reported', () => {
    const events = [
      state(70, { state: 'Failed' }),
      state(10),
      state(10, { jobType: notification, state: 'Paused' }),
    ];
    const tiles = shown('jobStates', { customEvents: events });
    expect(tiles.map((tile) => [tile.jobType, tile.state, tile.timestamp])).toEqual([
      [revocation, 'Healthy', minutesAgo(10)],
      [notification, 'Paused', minutesAgo(10)],
    ]);
  });

  test('adds up what was done, and counts one bad address once', () => {
    const day = Array.from({ length: 13 }, (_, i) => sent(5 + i * 60, 2, { undeliverableCount: 5 }));
    const twice = [...day, ...day, attempt(3, { status: 'Conflict' })];
    const grants = shown('grants', { customEvents: twice }).map((bar) => Number(bar.grants));
    expect(grants.reduce((sum, count) => sum + count)).toBe(26);
    expect(shown('failedMails', { customEvents: twice })).toMatchObject([
      { jobType: notification, sent: 26n, rejected: 0n, unanswered: 0n, undeliverable: 5n },
    ]);
  });

  test('counts an attempt once, however often its event is delivered', () => {
    const early = attempt(5, { stoppedEarly: true });
    const events = [early, early, attempt(6), failedAtOnce(7), attempt(8, { status: 'Conflict' })];
    expect(shown('runs', { customEvents: events })).toEqual(
      ['Stopped early', 'Completed', 'Failed', 'Conflict'].map((outcome) => ({
        timestamp: minutesAgo(60),
        outcome,
        attempts: 1n,
      })),
    );
  });

  test('gives the durations of runs that did something: 13 of 4 minutes, 10 that failed at once', () => {
    const events = [
      ...Array.from({ length: 13 }, (_, i) => attempt(i * 60, { dueCount: 4, durationMs: 240_000 })),
      ...Array.from({ length: 10 }, (_, i) => failedAtOnce(i * 60)),
      attempt(2, { status: 'Failed', errorName: 'SafetyStopError', dueCount: 5_000, durationMs: 900 }),
      attempt(1, { status: 'Conflict', hasRow: false, durationMs: 30 }),
    ];
    expect(shown('durations', { customEvents: events })).toEqual([
      { jobType: revocation, runs: 13n, p50Minutes: 4, p95Minutes: 4, maxMinutes: 4 },
    ]);
  });

  test('opens a failed run where it has a row, and gives its exception', () => {
    const left = attempt(30, { jobId: 'one', status: 'Failed', errorName: 'GrantsLeftError' });
    const atOnce = failedAtOnce(20, { jobId: 'two' });
    const exceptions = [
      {
        timestamp: minutesAgo(20),
        type: 'SettingsError',
        outerMessage: 'SQL_SERVER is missing',
        customDimensions: { jobId: 'two' },
      },
    ];
    const rows = shown('failedRuns', { customEvents: [left, left, atOnce], exceptions });
    expect(rows.map(({ errorName, message, run }) => [errorName, message, run])).toEqual([
      ['SettingsError', 'SQL_SERVER is missing', ''],
      ['GrantsLeftError', '', 'Open the run'],
    ]);
    expect(rows[1]?.address).toBe(`https://func.example.net/api/jobs/${revocation}/runs/one`);
  });

  test('lists a run that was cut off once', () => {
    const dead = {
      jobId: 'dead',
      jobType: revocation,
      startedBy: 'machine-1',
      ageMinutes: 60,
      closedBy: 'next',
    };
    const event = storedEvent('AbandonedRun', minutesAgo(5), dead);
    expect(shown('abandonedRuns', { customEvents: [event, event] })).toEqual([
      {
        closedAt: minutesAgo(5),
        jobType: revocation,
        startedBy: 'machine-1',
        ageMinutes: 60n,
        run: 'Open the run',
        address: `https://func.example.net/api/jobs/${revocation}/runs/dead`,
      },
    ]);
  });

  test('shows what was due when runs began, and for how long: the most in each hour', () => {
    const events = [
      attempt(5, { dueCount: 4, oldestDueMinutes: 9 }),
      attempt(6, { dueCount: 7, oldestDueMinutes: 2 }),
    ];
    const interval = { timestamp: minutesAgo(60), jobType: revocation };
    expect(shown('due', { customEvents: events })).toEqual([{ ...interval, due: 7n }]);
    expect(shown('latenessOverTime', { customEvents: events })).toEqual([
      { ...interval, oldestDueMinutes: 9n },
    ]);
  });

  test('takes a message to a distribution list for delivered', () => {
    const status = (DeliveryStatus: string, CorrelationId: string): Row => ({
      TimeGenerated: minutesAgo(5),
      CorrelationId,
      RecipientId: 'somebody',
      DeliveryStatus,
      EnhancedSmtpStatusCode: '',
      FailureReason: '',
    });
    const log = [status('Expanded', 'a'), status('Delivered', 'b'), status('OutForDelivery', 'c')];
    const bounced = [status('Bounced', 'd'), status('Bounced', 'd'), status('Bounced', 'e')];
    const rows = shown('bounces', { ACSEmailStatusUpdateOperational: [...log, ...bounced] });
    expect(rows).toMatchObject([{ DeliveryStatus: 'Bounced', messages: 2n }]);
  });
});

describe('what stands in for Kusto', () => {
  const events = [attempt(5, { durationMs: '12.7', dueCount: 'many' })];
  const run = (text: string) => runQuery(text, { customEvents: events });
  const value = (expression: string) => run(`customEvents | project x = ${expression}`)[0]?.x;

  test.each([
    'customEvents | distinct name',
    'customEvents | extend x = strlen(name)',
    "customEvents | where name =~ 'x'",
    "let x = 'JobRun'; customEvents | where name == x",
    'customEvents | partition by name (top 1 by timestamp desc)',
    'customEvents | where timestamp > ago(1h)',
    'customEvents | top 1 by timestamp asc',
    'customEvents | extend x = 1 / 0',
    "customEvents | where tolong(customDimensions.nothing) < 1 and name == 'x'",
    'customEvents | summarize x = sum(tolong(customDimensions.nothing))',
  ])('refuses what it does not know: %s', (text) => expect(() => run(text)).toThrow(/understood/));

  // https://learn.microsoft.com/kusto/query/scalar-data-types/null-values, and numerical-operators.
  test.each([
    ["customDimensions.nothing != 'x'", true],
    ["customDimensions.nothing == 'x'", false],
    ["customDimensions.status == 'Completed'", true],
    ['tostring(customDimensions.nothing)', ''],
    ['isnotempty(customDimensions.nothing)', false],
    ['tolong(customDimensions.nothing) < 1', null],
    ['181 / 60', 3n],
    ['181 / 60.0', 181 / 60],
    ['tolong(customDimensions.durationMs)', 12n],
    ['todouble(customDimensions.durationMs)', 12.7],
    ['tolong(customDimensions.dueCount)', null],
    ["iff(tolong(customDimensions.nothing) > 1, 'a', 'b')", 'b'],
    ['bin(timestamp, 1h)', minutesAgo(60)],
  ])('as documented: %s', (expression, expected) => expect(value(expression)).toEqual(expected));

  test('without keys it sums up to one row, with keys to one a group', () => {
    const none = { customEvents: [] };
    expect(runQuery('customEvents | summarize x = count()', none)).toEqual([{ x: 0n }]);
    expect(runQuery('customEvents | summarize x = count() by name', none)).toEqual([]);
  });
});
