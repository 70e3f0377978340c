/**
 * Every statement that touches a table that grows finds its rows by an index. The statements are those that the product
 * sends, recorded at the stand-in; the plans are SQLite's. docs/benchmarks.md says how to see a real server's.
 */
import { deadlineIn } from '../../src/clock';
import { previewJob } from '../../src/jobs/previewJob';
import { readStory } from '../../src/jobs/requestStory';
import { notifiableSql } from '../../src/jobs/dueSql';
import { findRuns, listRuns } from '../../src/jobRun/history';
import { jobs } from '../../src/jobs/catalogue';
import type { Job } from '../../src/jobs/catalogue';
import { finished, realServer, startTestEnvironment, type TestEnvironment } from '../support/environment';

const day = 24 * 60 * 60 * 1000;

/** What may be read from end to end: no table, the ids of one message, what this session has collected. */
const harmless = /^SCAN (CONSTANT ROW|json_each|#Due|#End)/;

/**
 * Grouping the grants by their AccessKey (LastEnds in dueSql.ts, joined as `l`) may read the requests from end to end:
 * nothing has an index on a site's key. With a key of constant NULL, the default, SQLite has the step in its plan and
 * does not take it.
 */
const groupsByKey = (step: string, before: string | undefined): boolean =>
  step === 'SCAN r' && before === 'MATERIALIZE l';

/** What a step before has found. */
const readsStep = (step: string, plan: readonly string[]): boolean => {
  const name = step.replace(/^SCAN | LEFT-JOIN$/g, '');
  return plan.includes(`CO-ROUTINE ${name}`) || plan.includes(`MATERIALIZE ${name}`);
};

/**
 * Where rows are wanted in the order of their ids, SQLite reads the table in that order rather than sort what an index
 * finds: it has no statistics to say how few have ended. tests/sql/realServer.slow.test.ts looks at SQL Server's plan.
 */
const readsInOrder = (step: string, text: string): boolean =>
  /^SCAN r( USING INDEX \S*PK_\S*)?$/.test(step) &&
  /\b(ORDER|GROUP) BY \w\.RequestId(, \w\.ExpiresAt)?;/.test(text);

interface Recorded {
  readonly text: string;
  readonly plan: readonly string[];
}

let environment: TestEnvironment;
/** By job: its statements, each once, with their plans. */
const recorded = new Map<Job, Recorded[]>();

/** The stand-in has no plan for a statement on a temporary table that its own text does not create. */
function withTemporaryTable(text: string, texts: readonly string[]): string {
  const [name] = /#\w+/.exec(text) ?? [];
  if (name === undefined || text.includes(`CREATE TABLE ${name}`)) return text;
  const pattern = new RegExp(String.raw`CREATE TABLE ${name} \([\s\S]*?\);`);
  const [creation] = texts.flatMap((one) => pattern.exec(one)?.[0] ?? []);
  return `${creation ?? ''}\n${text}`;
}

async function record(job: Job): Promise<Recorded[]> {
  const standIn = environment.standIn;
  if (!standIn) throw new Error('Plans are the stand-in’s');
  await environment.reset();
  const [id = 0] = await environment.addGrants(job, [
    { endsIn: -day },
    { endsIn: -2 * day },
    { endsIn: day },
    { endsIn: 2 * day },
  ]);
  standIn.clearStatements();
  const services = environment.services();
  await previewJob(services, job);
  const run = finished(await environment.run(job, services));
  expect(run).toMatchObject({ status: 'Completed', processedCount: 2 });
  await services.database.connect('run', (connection) =>
    connection.withRetries(deadlineIn(services.clock, day), async (session) => {
      await listRuns(session, job.type, 10);
      await findRuns(session, undefined, 10, { before: run.jobId });
    }),
  );
  await readStory(services, deadlineIn(services.clock, day), job.platform, id);
  const texts = [...new Set(standIn.statements.map(({ text }) => text))];
  return texts.map((text) => {
    const { parameters } = standIn.statements.find((one) => one.text === text) ?? { parameters: [] };
    const plan = standIn.explain(withTemporaryTable(text, texts), parameters);
    return { text, plan };
  });
}

/** The plan of the statement whose text holds all of the given pieces. */
function planOf(job: Job, ...pieces: string[]): string {
  const found = recorded.get(job)?.find(({ text }) => pieces.every((piece) => text.includes(piece)));
  if (!found) throw new Error(`${job.type} sends no statement with ${pieces.join(', ')}`);
  return found.plan.join('\n');
}

(realServer ? describe.skip : describe)('the plans of', () => {
  beforeAll(async () => {
    environment = await startTestEnvironment();
    for (const job of jobs) recorded.set(job, await record(job));
  });
  afterAll(() => environment.close());

  describe.each(jobs)('$type', (job) => {
    const { requestColumn, revocationTable, notificationTable } = job.platform;
    const short = (table: string): string => table.replace('dbo.', '');
    const endIndex =
      job.platform.name === 'Databricks'
        ? 'IX_DataAccessDeltaRequests_access_end_dt'
        : 'IX_DataAccessPalantirRequests_AccessEndDate';
    const revocationIndex = `IX_${short(revocationTable)}_${requestColumn}_Revoked_Dt`;
    const notificationIndex = `IX_${short(notificationTable)}_${requestColumn}_Notification_Sent_Dt`;

    test('no statement reads a whole table', () => {
      const scans = (recorded.get(job) ?? []).flatMap(({ text, plan }) =>
        plan
          .filter(
            (step, index) =>
              step.startsWith('SCAN') &&
              !harmless.test(step) &&
              !readsStep(step, plan) &&
              !readsInOrder(step, text) &&
              !groupsByKey(step, plan[index - 1]),
          )
          .map((step) => ({ step, text })),
      );
      expect(scans).toEqual([]);
    });

    test('what is due is found by the end date, and whether it is settled by request and date', () => {
      const plan = planOf(job, 'INSERT INTO #Due');
      expect(plan).toContain(endIndex);
      expect(plan).toContain(revocationIndex);
      if (job.kind === 'notification') expect(plan).toContain(notificationIndex);
    });

    test('the lock is taken by the index that guards it, and finished by the row’s key', () => {
      expect(planOf(job, 'INSERT INTO dbo.JobRun')).toContain('UX_JobRun_Job_Type_InProgress');
      const plan = planOf(job, 'SET Status = @status').split('\n');
      for (const step of plan) expect(step).toMatch(/USING INTEGER PRIMARY KEY \(rowid=\?\)$/);
    });

    test('the history is read by job type and start', () => {
      expect(planOf(job, 'SELECT TOP (@limit)', 'FROM dbo.JobRun')).toContain(
        'IX_JobRun_Job_Type_Started_At',
      );
    });

    test('the history of all jobs is read backwards from a run by the key', () => {
      const plan = planOf(job, 'SELECT TOP (@limit)', 'WHERE r.Id < (SELECT c.Id');
      expect(plan).toMatch(/SEARCH r USING INTEGER PRIMARY KEY \(rowid<\?\)/);
    });

    test('what is written goes on by position and by the request’s key', () => {
      const plan =
        job.kind === 'revocation'
          ? planOf(job, `INSERT INTO ${revocationTable}`)
          : planOf(job, 'd.Position BETWEEN @first AND @last AND d.ViewRows');
      expect(plan).toMatch(/SEARCH d USING INTEGER PRIMARY KEY \(rowid>\?/);
      expect(plan).toMatch(/SEARCH r USING (INTEGER PRIMARY KEY|INDEX \S*autoindex\S*|INDEX \S*PK_\S*)/);
    });

    if (job.kind === 'notification')
      test('access that has ended is found by the time of its revocation, not by reading the history', () => {
        const due = notifiableSql(job.platform, { leadDays: [7], notifyRevoked: true });
        const declared = Object.entries(due.parameters).map(
          ([name, { value }]) => `DECLARE @${name} INT = ${String(value)};`,
        );
        const plan =
          environment.standIn?.explain(
            `${declared.join('\n')}\n${due.withDue}\nSELECT COUNT(*) AS Found FROM Due AS g;`,
            [],
          ) ?? [];
        expect(plan).toContainEqual(
          expect.stringContaining(
            `SEARCH r USING INDEX ${short(revocationTable)}.IX_${short(revocationTable)}_Revoked_Dt (Revoked_Dt>? AND Revoked_Dt<?)`,
          ),
        );
        const scans = plan.filter(
          (step, index) => /^SCAN (r|later)\b/.test(step) && !groupsByKey(step, plan[index - 1]),
        );
        expect(scans).toEqual([]);
      });

    if (job.kind === 'notification')
      test('whether a message is recorded already is found by request and date', () => {
        expect(planOf(job, `INSERT INTO ${notificationTable}`)).toContain(notificationIndex);
      });
  });
});
