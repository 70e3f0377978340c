/**
 * Every statement that touches a table that grows finds its rows by an index. The statements are those that the product
 * sends, recorded at the stand-in; the plans are SQLite's. docs/benchmarks.md says how to see a real server's.
 */
import { deadlineIn } from '../../src/clock';
import { previewJob } from '../../src/jobs/previewJob';
import { readStory } from '../../src/jobs/requestStory';
import { notifiableSql } from '../../src/jobs/dueSql';
import { findRuns, listRuns } from '../../src/jobRun/history';
import { jobs, type Job } from '../../src/jobs/catalogue';
import { day, useEnvironment } from '../support/arrange';
import { finished, standInOf } from '../support/environment';
import { realServer } from '../support/realServer';
import { siteTable } from '../support/views';

/** What may be scanned: no table, the ids of one message, what this session has collected. */
const harmless = /^SCAN (CONSTANT ROW|json_each|#Due|#End)/;

/**
 * Grouping the grants by their AccessKey (LastEnds in dueSql.ts, joined as `l`) may scan the requests:
 * nothing has an index on a site's key. With a key of constant NULL, the default, SQLite has the step in its plan and
 * does not take it.
 */
const groupsByKey = (step: string, before: string | undefined): boolean =>
  step === 'SCAN r' && before === 'MATERIALIZE l';

/** Reads the result of an earlier step. */
const readsStep = (step: string, plan: readonly string[]): boolean => {
  const name = step.replace(/^SCAN | LEFT-JOIN$/g, '');
  return plan.includes(`CO-ROUTINE ${name}`) || plan.includes(`MATERIALIZE ${name}`);
};

/**
 * Where rows are sorted by their ids, SQLite reads the table in that order rather than sort what an index
 * finds: it has no statistics to say how few have ended. tests/sql/realServer.slow.test.ts looks at SQL Server's plan.
 */
const readsInOrder = (step: string, text: string): boolean =>
  /^SCAN r( USING INDEX \S*autoindex\S*)?$/.test(step) &&
  /\b(ORDER|GROUP) BY \w\.RequestId(, \w\.ExpiresAt)?;/.test(text);

interface Recorded {
  readonly text: string;
  readonly plan: readonly string[];
}

const environment = useEnvironment();
const byRequest = /SEARCH r USING (INTEGER PRIMARY KEY|INDEX \S*autoindex\S*)/;

/** The stand-in has no plan for a statement on a temporary table that its own text does not create. */
function withTemporaryTable(text: string, texts: readonly string[]): string {
  const [name] = /#\w+/.exec(text) ?? [];
  if (name === undefined || text.includes(`CREATE TABLE ${name}`)) return text;
  const pattern = new RegExp(String.raw`CREATE TABLE ${name} \([\s\S]*?\);`);
  const [creation] = texts.flatMap((one) => pattern.exec(one)?.[0] ?? []);
  return `${creation ?? ''}\n${text}`;
}

/** What a preview, a run, the history and a request's story send, each statement once, with its plan. */
async function record(job: Job): Promise<Recorded[]> {
  const standIn = standInOf(environment);
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
  await services.database.withSession('run', deadlineIn(services.clock, day), async (session) => {
    await listRuns(session, job.type, 10);
    await findRuns(session, undefined, 10, { before: run.jobId });
  });
  await readStory(services, deadlineIn(services.clock, day), job.platform, id);
  const texts = [...new Set(standIn.statements.map(({ text }) => text))];
  return texts.map((text) => {
    const { parameters } = standIn.statements.find((one) => one.text === text) ?? { parameters: [] };
    const plan = standIn.explain(withTemporaryTable(text, texts), parameters);
    return { text, plan };
  });
}

(realServer ? describe.skip : describe).each(jobs)('the plans of $type', (job) => {
  let recorded: readonly Recorded[] = [];
  beforeAll(async () => {
    recorded = await record(job);
  });

  const { requestColumn, ...platform } = job.platform;
  const revocationTable = platform.revocationTable.replace('dbo.', '');
  const notificationTable = platform.notificationTable.replace('dbo.', '');
  const revocationIndex = `IX_${revocationTable}_${requestColumn}_Revoked_Dt`;
  const notificationIndex = `IX_${notificationTable}_${requestColumn}_Notification_Sent_Dt`;
  const { table, columns } = siteTable(job);
  const endIndex = `IX_${table.replace('dbo.', '')}_${columns.ExpiresAt}`;

  test('no statement reads a whole table', () => {
    const scans = recorded.flatMap(({ text, plan }) =>
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

  const isNotification = job.kind === 'notification';
  const written = isNotification
    ? 'd.Position BETWEEN @first AND @last AND d.ViewRows'
    : `INTO dbo.${revocationTable}`;
  // Each with what the statement's text has, and what its plan has.
  test.each<[string, string[], (string | RegExp)[]]>([
    [
      'what is due is found by its end, and whether it is settled by request and date',
      ['INSERT INTO #Due'],
      [endIndex, revocationIndex, ...(isNotification ? [notificationIndex] : [])],
    ],
    [
      'what is written is read by position and by the request’s key',
      [written],
      [/SEARCH d .*\(rowid>\?/, byRequest],
    ],
    [
      'the lock is taken by the index that guards it',
      ['INSERT INTO dbo.JobRun'],
      ['UX_JobRun_Job_Type_InProgress'],
    ],
    ['the run is finished by its key', ['SET Status = @status'], [/^(.*PRIMARY KEY \(rowid=\?\)(\n|$))+$/]],
    [
      'the history is read by job type and start',
      ['TOP (@limit)', 'dbo.JobRun'],
      ['IX_JobRun_Job_Type_Started_At'],
    ],
    [
      'the history of all jobs is read by key',
      ['TOP (@limit)', 'r.Id < (SELECT c.Id'],
      [/SEARCH r .*\(rowid<\?\)/],
    ],
  ])('%s', (_, pieces, steps) => {
    const found = recorded.find(({ text }) => pieces.every((piece) => text.includes(piece)));
    for (const step of steps) expect(found?.plan.join('\n')).toEqual(expect.stringMatching(step));
  });

  if (isNotification)
    test('whether a message is recorded already is found by request and date', () => {
      const found = recorded.find(({ text }) => text.includes(`INSERT INTO dbo.${notificationTable}`));
      expect(found?.plan.join('\n')).toContain(notificationIndex);
    });

  if (isNotification)
    test('access that has ended is found by the time of its revocation, without the whole history', () => {
      const due = notifiableSql(job.platform, { leadDays: [7], notifyRevoked: true });
      const declared = Object.entries(due.parameters).map(
        ([name, { value }]) => `DECLARE @${name} INT = ${String(value)};`,
      );
      const sql = `${declared.join('\n')}\n${due.withDue}\nSELECT COUNT(*) AS Found FROM Due AS g;`;
      const plan = environment.standIn?.explain(sql, []) ?? [];
      const index = `${revocationTable}.IX_${revocationTable}_Revoked_Dt`;
      expect(plan.join('\n')).toContain(`SEARCH r USING INDEX ${index} (Revoked_Dt>? AND Revoked_Dt<?)`);
      const scans = plan.filter(
        (step, at) => /^SCAN (r|later)\b/.test(step) && !groupsByKey(step, plan[at - 1]),
      );
      expect(scans).toEqual([]);
    });
});
