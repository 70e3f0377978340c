/** What the API, the status page, the doctor, the workbook and the alerts say of one table, over generated histories. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { readFacts, type ExaminedDatabase } from '../../cli/doctor/database';
import { checkJobStates } from '../../cli/doctor/jobStates';
import { readSettings } from '../../src/config/settings';
import { jobs, type Job } from '../../src/jobs/catalogue';
import { stateWords, type StateName } from '../../src/jobs/judgeJob';
import { writeRunMessage, type RunFacts } from '../../src/jobRun/runMessage';
import { ringing, storedEvent } from '../support/alerts';
import { startSample, type App, type Sample } from '../support/app';
import { describeEvaluated } from '../support/deployments';
import { startIngestion, type Ingestion, telemetrySettings } from '../support/ingestion';
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

interface GeneratedRun {
  /** Minutes between its start and that of the next run, or now. */
  readonly gap: number;
  readonly ending: Ending;
}

const ended = fc.constantFrom<Ending>(
  'completed',
  'someFailed',
  'early',
  'failed',
  'abandoned',
  'safetyStop',
);
/** Newest first. Many in a row end alike: that is what rules count. */
const runs = fc
  .tuple(
    fc.option(fc.integer({ min: 1, max: 130 }), { freq: 3 }),
    fc.array(fc.tuple(ended, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 5, max: 200 })), {
      maxLength: 3,
    }),
  )
  .map(([inProgress, groups]): GeneratedRun[] => [
    ...(inProgress === null ? [] : [{ gap: inProgress, ending: 'inProgress' as const }]),
    ...groups.flatMap(([ending, count, gap]) => Array.from({ length: count }, () => ({ gap, ending }))),
  ]);
const histories = fc.tuple(runs, runs, runs, runs);

jest.setTimeout(300_000);

let sample: Sample;
let ingestion: Ingestion;
let app: App;
let directory: string;
let database: ExaminedDatabase;
let settings: Parameters<typeof checkJobStates>[1];

beforeAll(async () => {
  sample = await startSample();
  ingestion = await startIngestion();
  directory = mkdtempSync(join(tmpdir(), 'agreement-'));
  const hourly = {
    SCHEDULE_NOTIFY_DATABRICKS: '0 30 * * * *',
    SCHEDULE_NOTIFY_PALANTIR: '0 45 * * * *',
  };
  const schedulesReadAt = new Date();
  app = await sample.startApp({
    ...hourly,
    ...telemetrySettings(ingestion, directory, sample.standIns.authority),
    // Reminders fail before they take their lock: the table stays as it is, and the states are sent.
    EMAIL_ENDPOINT: 'none',
  });
  database = { ...(await readFacts(sample.session)), session: sample.session };
  const { schedules, scheduleZone, appService, problems } = readSettings({
    ...sample.standIns.environment,
    ...hourly,
    EMAIL_ENDPOINT: 'none',
  });
  settings = { schedules, scheduleZone, appService, problems, schedulesReadAt };
});
afterAll(async () => {
  await sample.close();
  await ingestion.close();
  rmSync(directory, { recursive: true });
});

/** Writes the rows of a history, oldest first, as the runs would have. */
async function write(history: readonly (readonly GeneratedRun[])[], now: number): Promise<void> {
  const text = (time: number): string => `'${new Date(time).toISOString().slice(0, -1)}'`;
  const rows = history.flatMap((ofJob, index) => {
    let startedAt = now;
    return ofJob.map(({ gap, ending }) => {
      startedAt -= gap * minute;
      const { status, facts, failedCount = 0 } = { failedCount: undefined, ...endings[ending] };
      const message = writeRunMessage({ sentences: ending, facts: { ...facts, failures: [] } }) ?? '';
      const end = status === 'InProgress' ? 'NULL' : text(startedAt + 20_000);
      const values = `'${randomUUID()}', '${jobs[index]?.type ?? ''}', '${status}', ${text(startedAt)}, 'machine-1', ${end}, 1, ${failedCount}, '${message}'`;
      return { startedAt, values };
    });
  });
  rows.sort((a, b) => a.startedAt - b.startedAt);
  const columns =
    'Job_Id, Job_Type, Status, Started_At, Started_By, Completed_At, Processed_Count, Failed_Count, Error_Message';
  await sample.query(
    `DELETE FROM dbo.JobRun;${rows.map(({ values }) => `\nINSERT INTO dbo.JobRun (${columns}) VALUES (${values});`).join('')}`,
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
  ingestion.forget();
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

/** How many of the newest runs that have ended pass. */
function leading(ofJob: readonly Ending[], condition: (ending: Ending) => boolean): Ending[] {
  const over = ofJob.filter((ending) => ending !== 'inProgress');
  const end = over.findIndex((ending) => !condition(ending));
  return end < 0 ? over : over.slice(0, end);
}

/** The jobs for which the rules that count runs ring, by docs/operating.md. */
function expectedRings(history: readonly (readonly GeneratedRun[])[]): Record<string, string[]> {
  const rings = (condition: (ofJob: readonly Ending[], kind: Job['kind']) => boolean): string[] =>
    jobs
      .filter(({ kind }, index) => condition(history[index]?.map(({ ending }) => ending) ?? [], kind))
      .map(({ type }) => type);
  const failed = (ofJob: readonly Ending[]) =>
    leading(ofJob, (ending) => endings[ending].status === 'Failed');
  const standing = (ofJob: readonly Ending[]) => failed(ofJob).includes('safetyStop');
  return {
    'safety-stop': rings((ofJob, kind) => kind === 'revocation' && standing(ofJob)),
    'failed-twice': rings((ofJob) => failed(ofJob).length >= 2 && !standing(ofJob)),
    'stopped-early': rings((ofJob) => leading(ofJob, (ending) => ending === 'early').length >= 3),
    silence: [],
  };
}

describeEvaluated('API, status page, doctor, workbook and alerts', () => {
  test('say the same of the same table', async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(histories, async (history) => {
        // Time goes on: a reading during which a state changed is repeated.
        for (;;) {
          await write(history, Date.now());
          const before = await askApi();
          const [page, doctor, events] = [await askPage(), await askDoctor(), await askRun()];
          if (JSON.stringify(await askApi()) !== JSON.stringify(before)) continue;
          expect({ page, doctor, workbook: askWorkbook(events) }).toEqual({
            page: before,
            doctor: before,
            workbook: before,
          });
          const rung = (name: string): string[] => ringing(name, events, new Date());
          const expected = expectedRings(history);
          expect(Object.fromEntries(Object.keys(expected).map((name) => [name, rung(name)]))).toEqual(
            expected,
          );
          // From an hour on; a job whose settings are wrong can be overdue too.
          const overdue = rung('overdue');
          expect(
            overdue.filter((type) => !['Overdue', 'Misconfigured'].includes(before[type] ?? '')),
          ).toEqual([]);
          for (const word of Object.values(before)) seen.add(word);
          for (const [name, types] of Object.entries({ ...expected, overdue }))
            if (types.length > 0) seen.add(name);
          return;
        }
      }),
      // The first: an empty table.
      { numRuns: 40, seed: 20_261_130, examples: [[[[], [], [], []]]] },
    );
    // They were histories of all kinds.
    expect([...seen].sort()).toEqual(
      [
        ...['Failed', 'Healthy', 'Misconfigured', 'Needs attention', 'Never run', 'Overdue', 'Running'],
        ...['failed-twice', 'overdue', 'safety-stop', 'stopped-early'],
      ].sort(),
    );
  });
});
