/** The database role of sql/07 against every statement that the app sends: enough, and nothing beyond. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deadlineIn } from '../../src/clock';
import { readJobStates } from '../../src/jobs/jobStates';
import { acquireLock } from '../../src/jobRun/acquire';
import { finishRun } from '../../src/jobRun/finish';
import { findRuns, listRuns, readFirstRunAt } from '../../src/jobRun/history';
import { cancelRun } from '../../src/jobRun/cancel';
import { readBacklog } from '../../src/jobs/backlog';
import { notifiableSql } from '../../src/jobs/dueSql';
import { countViewRows } from '../../src/jobs/grants';
import { searchRequests } from '../../src/jobs/requestSearch';
import { readStory } from '../../src/jobs/requestStory';
import { remind } from '../../src/jobs/reminder';
import { readRunDetails } from '../../src/jobs/runDetails';
import { databricks, palantir } from '../../src/jobs/platforms';
import { replaceView, restoreViews } from '../support/views';
import { jobs, type Job } from '../../src/jobs/catalogue';
import { previewJob } from '../../src/jobs/previewJob';
import {
  beforeEachStatement,
  finished,
  newGuid,
  startTestEnvironment,
  type TestEnvironment,
} from '../support/environment';

const hour = 60 * 60 * 1000;
const root = join(__dirname, '../..');
const script = readFileSync(join(root, 'sql/07_AccessExpiryJobs_role.sql'), 'utf8').replace(/--.*$/gm, '');

/** What the script grants, each as "SELECT dbo.JobRun" or "UPDATE dbo.JobRun.Status". */
function granted(): Set<string> {
  const grants = script.matchAll(
    /^GRANT ([A-Z, ]+?)(?: \(([\w, ]+)\))? ON (dbo\.\w+) TO AccessExpiryJobs;$/gm,
  );
  return new Set(
    [...grants].flatMap(([, actions = '', columns, object = '']) =>
      actions
        .split(', ')
        .flatMap(
          (action) =>
            columns?.split(', ').map((column) => `${action} ${object}.${column}`) ?? `${action} ${object}`,
        ),
    ),
  );
}

/** Objects that need no permission: temporary tables, rows made of a parameter, subqueries; steps of a WITH neither. */
const free = /^(#\w+|OPENJSON\b.*|\()$/;

/**
 * What a statement needs on which objects. A row that an INSERT or UPDATE gives back by OUTPUT, or that a WHERE or SET
 * reads, needs SELECT too ("OUTPUT clause", "UPDATE", permissions).
 */
function needed(text: string): string[] {
  const objects = (pattern: RegExp): string[] =>
    [...text.matchAll(pattern)].flatMap(([, object = '']) => object);
  const inserted = objects(/\bINSERT INTO (\S+)/g);
  // An UPDATE may name its table by an alias.
  const aliases = new Map(
    [...text.matchAll(/(dbo\.\w+) AS (\w+)/g)].map(([, table = '', alias = '']) => [alias, table]),
  );
  const updated = [...text.matchAll(/\bUPDATE (\S+)\s+SET (.*?)(?=\bFROM\b|\bWHERE\b|;|$)/gs)].map(
    ([, name = '', changes = '']) => ({
      object: aliases.get(name) ?? name,
      columns: [...changes.matchAll(/(?:^|,)\s*(\w+) = /g)].map(([, column = '']) => column),
    }),
  );
  const read = objects(/\b(?:FROM|JOIN)\s+(OPENJSON\b|\(|[^\s(),;]+)/g);
  const steps = objects(/(?:\bWITH|\),)\s+(\w+) AS \(/g);
  return [
    ...inserted.map((object) => ['INSERT', object] as const),
    ...updated.flatMap(({ object, columns }) =>
      free.test(object)
        ? []
        : [
            ...columns.map((column) => ['UPDATE', `${object}.${column}`] as const),
            ['SELECT', object] as const,
          ],
    ),
    ...read.map((object) => ['SELECT', object] as const),
    ...(/\bOUTPUT inserted\./.test(text) ? inserted.map((object) => ['SELECT', object] as const) : []),
  ].flatMap(([action, object]) =>
    free.test(object) || steps.includes(object) ? [] : [`${action} ${object}`],
  );
}

let environment: TestEnvironment;
/** Every statement that the app sent, with the texts of its plain batches. */
let statements: readonly string[];
/** What they are called in the code. */
const names = new Set<string>();

/** Everything that the app does, its rarer ways included. */
async function doEverything(record: (action: () => Promise<unknown>) => Promise<void>): Promise<void> {
  const { session } = environment;
  await record(() => readFirstRunAt(session));
  for (const job of jobs) {
    await environment.addGrants(job, [
      { endsIn: -hour },
      { endsIn: 30 * hour },
      { endsIn: 31 * hour, email: '' },
    ]);
    await record(() => previewJob(environment.services(), job));
    await record(() => readBacklog(session, job.due(environment.settings)));
    await record(async () => {
      const { jobId } = finished(await environment.run(job));
      const services = environment.services();
      await readRunDetails(services, deadlineIn(services.clock, hour), jobId);
    });
    // A run that finds the lock held, then one that closes a dead run.
    await record(async () => {
      await acquireLock(session, job.type, newGuid(), 'machine-1');
      await environment.run(job);
    });
    await environment.query(
      "UPDATE dbo.JobRun SET Started_At = DATEADD(MINUTE, -11, Started_At) WHERE Status = 'InProgress';",
    );
    await record(() => environment.run(job));
    // A recipient list that continues after a lost connection, and a safety stop.
    await environment.addGrants(job, [{ endsIn: -hour }, { endsIn: 30 * hour }]);
    environment.standIn?.order({ kind: 'dropAfter', match: /FROM #Due AS d/ });
    await record(() => environment.run(job));
    await environment.addGrants(job, [{ endsIn: -hour }]);
    await record(() => environment.run(job, environment.services({ revocationCeiling: 0 })));
    await record(() => listRuns(session, job.type, 10));
    await record(() => findRuns(session, undefined, 10, {}));
    // A run whose row was closed meanwhile.
    await record(async () => {
      const acquisition = await acquireLock(session, job.type, newGuid(), 'machine-1');
      if (acquisition.kind !== 'acquired') throw new Error('The lock is held');
      await finishRun(session, acquisition.run, { status: 'Completed' });
      await finishRun(session, acquisition.run, { status: 'Completed' });
    });
  }
  for (const job of jobs) await doWhatIsRare(job, record);
  const services = environment.services();
  for (const platform of [databricks, palantir])
    await record(() =>
      readBacklog(session, notifiableSql(platform, { leadDays: [1, 7, 14], notifyRevoked: true })),
    );
  await record(() => readJobStates(services, deadlineIn(services.clock, hour), 30));
  await record(() => searchRequests(services, deadlineIn(services.clock, hour), 'Person'));
}

/** What comes of other sessions, and of views that are not as they should be. */
async function doWhatIsRare(
  job: Job,
  record: (action: () => Promise<unknown>) => Promise<void>,
): Promise<void> {
  const run = () => record(() => environment.run(job));
  const ahead = job.kind === 'revocation' ? -1 : 1;
  const add = () =>
    environment.addGrants(job, [
      { endsIn: ahead * hour, accessKey: 'a' },
      { endsIn: 30_000 * hour, accessKey: 'a' },
      { endsIn: ahead * hour },
    ]);
  const { standIn } = environment;
  await add();
  standIn?.order({ kind: 'error', match: /INSERT INTO dbo\.JobRun/, number: 2601 });
  await run();
  // Every row that would be written is locked.
  await add();
  standIn?.order({ kind: 'error', match: /INSERT INTO dbo\.RevokedAccess/, number: 1222, times: Infinity });
  await run();
  standIn?.clearFaults();
  // Access that continues by another request.
  const [covered = 0] = await add();
  await replaceView(environment, job, {});
  await record(() => previewJob(environment.services(), job));
  const services = environment.services();
  await record(() => readStory(services, deadlineIn(services.clock, hour), job.platform, covered));
  // Each request twice, and ends that compare unequal to themselves.
  await replaceView(environment, job, {}, {});
  await run();
  await replaceView(environment, job, {
    columns: { ExpiresAt: `DATEADD(HOUR, ${ahead}, SYSUTCDATETIME())` },
  });
  await run();
  await restoreViews(environment);
  // A reminder that is sent by hand, and a run that is cancelled.
  const [reminded = 0] = await environment.addGrants(job, [{ endsIn: hour }]);
  await record(() => countViewRows(environment.session, job.platform, reminded));
  await record(() => remind(services, deadlineIn(services.clock, hour), job.platform, reminded));
  await record(async () => {
    const jobId = newGuid();
    await acquireLock(environment.session, job.type, jobId, 'machine-1');
    await cancelRun(environment.session, job.type, jobId, false);
  });
}

beforeAll(async () => {
  environment = await startTestEnvironment();
  const { standIn } = environment;
  if (!standIn) throw new Error('This test reads the stand-in’s record of statements');
  const texts: string[] = [];
  const recording = beforeEachStatement(({ name }) => names.add(name));
  await doEverything(async (action) => {
    standIn.clearStatements();
    await action();
    texts.push(...standIn.statements.map(({ text }) => text));
  });
  recording.mockRestore();
  statements = texts;
});
afterAll(() => environment.close());

test('each statement in the code was recorded', () => {
  const inCode = globSync('src/{jobs,jobRun}/**/*.ts', { cwd: root }).flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/\bname: '([a-z]\w+)'/g)].map(
      ([, name = '']) => name,
    ),
  );
  expect(inCode.length).toBeGreaterThan(20);
  expect(inCode.filter((name) => !names.has(name))).toEqual([]);
});

test('the role of sql/07 may do everything that the app does, and nothing beyond', () => {
  expect(new Set(statements.flatMap(needed))).toEqual(granted());
});

test('the role has its permissions from the grants read here alone', () => {
  const permissions = script.match(/\b(GRANT|DENY|REVOKE|ADD MEMBER|AUTHORIZATION|EXEC(UTE)?)\b[^;]*/g) ?? [];
  const others = permissions.filter(
    (text) => !/^GRANT [A-Z, ]+( \([\w, ]+\))? ON dbo\.\w+ TO AccessExpiryJobs$/.test(text),
  );
  expect(others).toEqual([
    expect.stringMatching(/^AUTHORIZATION dbo/),
    'REVOKE UPDATE ON dbo.JobRun FROM AccessExpiryJobs',
  ]);
});

test('the two tables that exist already are in no statement of the app', () => {
  expect(statements.filter((text) => /DataAccess(Delta|Palantir)Requests/i.test(text))).toEqual([]);
});

test('the app creates, alters and drops nothing but temporary tables, and deletes no row', () => {
  const objects = statements.flatMap((text) =>
    [...text.matchAll(/\b(?:CREATE|ALTER|DROP)\s+\w+\s+(?:IF EXISTS\s+)?(\S+)/g)].flatMap(
      ([, object = '']) => object,
    ),
  );
  expect(objects.filter((object) => !/^#(Due|End);?$/.test(object))).toEqual([]);
  expect(objects.length).toBeGreaterThan(0);
  expect(statements.filter((text) => /\b(DELETE|MERGE|TRUNCATE|EXEC|EXECUTE|GRANT)\b/i.test(text))).toEqual(
    [],
  );
});

test('every object is named with its schema, so that none is found elsewhere', () => {
  for (const need of new Set(statements.flatMap(needed)))
    expect(need).toMatch(/^((SELECT|INSERT) dbo\.\w+|UPDATE dbo\.\w+\.\w+)$/);
});

test('no statement has an OUTPUT clause: a table that a site gave a trigger would refuse it (error 334)', () => {
  expect(statements.filter((text) => /\bOUTPUT\b/i.test(text))).toEqual([]);
});
