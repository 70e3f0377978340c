/** What the API, the status page, the doctor, the workbook and the alerts say of the same table of runs. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readFacts, type ExaminedDatabase } from '../../cli/doctor/database';
import { checkJobStates } from '../../cli/doctor/jobStates';
import { readSettings } from '../../src/config/settings';
import { jobs } from '../../src/jobs/catalogue';
import { stateWords, type StateName } from '../../src/jobs/judgeJob';
import { writeRunMessage, type RunFacts } from '../../src/jobRun/runMessage';
import { ringing, storedEvent } from '../support/alerts';
import { useSample } from '../support/app';
import { describeEvaluated } from '../support/deployments';
import { useIngestion } from '../support/ingestion';
import { runQuery, type Row } from '../support/kusto';

const minute = 60_000;

/** How a run ended, or that it has not. */
const endings = {
  completed: { status: 'Completed', facts: {} },
  someFailed: { status: 'Completed', facts: {}, failedCount: 3 },
  early: { status: 'Completed', facts: { stopped: 'time' } },
  failed: { status: 'Failed', facts: {} },
  abandoned: { status: 'Failed', facts: { ended: 'abandoned' } },
  safetyStop: { status: 'Failed', facts: { ended: 'safetyStop' } },
  inProgress: { status: 'InProgress', facts: {} },
} as const satisfies Record<
  string,
  { status: string; facts: Omit<RunFacts, 'failures'>; failedCount?: number }
>;
type Ending = keyof typeof endings;

type Run = readonly [ending: Ending, minutesAgo: number];
const hourly = (ending: Ending, count: number): Run[] =>
  Array.from({ length: count }, (_, index) => [ending, 5 + 60 * index]);
/** At times of the schedule of the first job, the full hours. */
const longAgo = [3, 4].map((hours): Run => ['completed', new Date().getUTCMinutes() + 60 * hours]);
const running: Run[] = [
  ['inProgress', 1],
  ['completed', 66],
];

/** Of each job, in the order of the catalogue: its runs, newest first, its state, and the rules that ring for it. */
type History = readonly (readonly [runs: readonly Run[], state: string, ...rules: string[]])[];
// The settings of the two that send reminders are wrong.
const histories: readonly (readonly [name: string, history: History])[] = [
  [
    'no run',
    [
      [[], 'Never run'],
      [[], 'Never run'],
      [[], 'Misconfigured'],
      [[], 'Misconfigured'],
    ],
  ],
  [
    'a job in order and one that runs',
    [
      [hourly('completed', 2), 'Healthy'],
      [running, 'Running'],
      [hourly('early', 3), 'Misconfigured', 'stopped-early'],
      [hourly('failed', 2), 'Misconfigured', 'failed-twice'],
    ],
  ],
  [
    'a safety stop that stands, and a job that no longer runs',
    [
      [longAgo, 'Overdue', 'overdue'],
      [[...hourly('failed', 1), ['safetyStop', 65]], 'Failed', 'safety-stop'],
      [hourly('early', 2), 'Misconfigured'],
      [hourly('completed', 2), 'Misconfigured'],
    ],
  ],
  [
    'early stops, and dead runs of which one has held its lock for an hour too long',
    [
      [hourly('early', 3), 'Needs attention', 'stopped-early'],
      [[['inProgress', 15]], 'Overdue'],
      [[['inProgress', 130]], 'Overdue', 'overdue'],
      [hourly('safetyStop', 1), 'Misconfigured'],
    ],
  ],
  [
    'failures, of a run or of most grants',
    [
      [[...hourly('abandoned', 1), ['failed', 65]], 'Failed', 'failed-twice'],
      [hourly('someFailed', 1), 'Needs attention'],
      [[...hourly('failed', 1), ['completed', 65]], 'Misconfigured'],
      [[...hourly('completed', 1), ['failed', 65], ['failed', 125]], 'Misconfigured'],
    ],
  ],
];

jest.setTimeout(300_000);

const ingestion = useIngestion();
const own = {
  SCHEDULE_NOTIFY_DATABRICKS: '0 30 * * * *',
  SCHEDULE_NOTIFY_PALANTIR: '0 45 * * * *',
  // Reminders fail before they take their lock: the table stays as it is, and the states are sent.
  EMAIL_ENDPOINT: 'none',
};
const { sample, app } = useSample(() => ({
  ...ingestion.settings(sample.standIns.authority),
  ...own,
}));
let database: ExaminedDatabase;
let settings: Parameters<typeof checkJobStates>[1];

beforeAll(async () => {
  database = { ...(await readFacts(sample.session)), session: sample.session };
  const { schedules, scheduleZone, appService, problems } = readSettings({
    ...sample.standIns.environment,
    ...own,
  });
  settings = { schedules, scheduleZone, appService, problems, schedulesReadAt: new Date() };
});

/** Writes the rows of a history, oldest first, as the runs would have. */
async function write(history: History): Promise<void> {
  const now = Date.now();
  const text = (time: number): string => `'${new Date(time).toISOString().slice(0, -1)}'`;
  const rows = history
    .flatMap(([runs], index) =>
      runs.map(([ending, ago]) => ({ ending, ago, jobType: jobs[index]?.type ?? '' })),
    )
    .sort((a, b) => b.ago - a.ago)
    .map(({ ending, ago, jobType }) => {
      const { status, facts, failedCount = 0 } = { failedCount: undefined, ...endings[ending] };
      const startedAt = now - ago * minute;
      const end = status === 'InProgress' ? 'NULL' : text(startedAt + 20_000);
      const message = writeRunMessage({ sentences: ending, facts: { ...facts, failures: [] } }) ?? '';
      return `'${randomUUID()}', '${jobType}', '${status}', ${text(startedAt)}, 'machine-1', ${end}, 1, ${failedCount}, '${message}'`;
    });
  const columns =
    'Job_Id, Job_Type, Status, Started_At, Started_By, Completed_At, Processed_Count, Failed_Count, Error_Message';
  await sample.query(
    `DELETE FROM dbo.JobRun;${rows.map((row) => `\nINSERT INTO dbo.JobRun (${columns}) VALUES (${row});`).join('')}`,
  );
}

type Words = Readonly<Record<string, string>>;

async function askApi(): Promise<Words> {
  const { jobs: states } = (await (await app.call('/api/jobs')).json()) as {
    jobs: { jobType: string; state: StateName }[];
  };
  return Object.fromEntries(states.map(({ jobType, state }) => [jobType, stateWords[state]]));
}

async function askPage(): Promise<Words> {
  const page = await (await app.call('/api/status')).text();
  return Object.fromEntries(
    [...page.matchAll(/id="state-(\w+)">([^<]+)</g)].map(([, type = '', word = '']) => [type, word]),
  );
}

async function askDoctor(): Promise<Words> {
  const findings = await checkJobStates(database, settings);
  return Object.fromEntries(
    findings.map(({ subject, message }) => [subject.replace('job ', ''), message.split('.')[0] ?? '']),
  );
}

/** What a run reports, each event delivered twice. */
async function askRun(): Promise<Row[]> {
  await app.call('/api/jobs/ExpiryNotificationPalantirRequests/runs', { method: 'POST' });
  return ingestion.ofType('EventData').flatMap(({ data: { baseData }, time }) => {
    const event = storedEvent(baseData.name as 'JobState', new Date(time), baseData.properties ?? {});
    return [event, event];
  });
}

function askWorkbook(events: readonly Row[]): Words {
  const query = readFileSync(join(__dirname, '../../infra/queries/jobStates.kql'), 'utf8');
  return Object.fromEntries(
    runQuery(query, { customEvents: events }).map(({ jobType, state }) => [
      jobType as string,
      stateWords[state as StateName],
    ]),
  );
}

describeEvaluated('API, status page, doctor, workbook and alerts say the same of', () => {
  test.each(histories)('%s', async (_, history) => {
    await write(history);
    const [api, page, doctor, events] = [await askApi(), await askPage(), await askDoctor(), await askRun()];
    const states = Object.fromEntries(jobs.map(({ type }, index) => [type, history[index]?.[1]]));
    expect({ api, page, doctor, workbook: askWorkbook(events) }).toEqual({
      api: states,
      page: states,
      doctor: states,
      workbook: states,
    });
    for (const name of ['safety-stop', 'failed-twice', 'stopped-early', 'overdue', 'silence']) {
      const expected = jobs.filter((_job, index) => history[index]?.includes(name)).map(({ type }) => type);
      expect([name, ringing(name, events, new Date())]).toEqual([name, expected]);
    }
  });
});
