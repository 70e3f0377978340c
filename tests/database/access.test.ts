/** The database role of sql/07 has exactly the permissions that the statements of the app need. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createDatabase } from '../../local/sampleDatabase';
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
import { platforms } from '../../src/jobs/platforms';
import { jobs, type Job } from '../../src/jobs/catalogue';
import { previewJob } from '../../src/jobs/previewJob';
import { arrange, hour, useEnvironment } from '../support/arrange';
import { beforeEachStatement, newGuid } from '../support/environment';

const root = join(__dirname, '../..');
const script = readFileSync(join(root, 'sql/07_AccessExpiryJobs_role.sql'), 'utf8').replace(/--.*$/gm, '');

/** The script's grants, each as "SELECT dbo.JobRun" or "UPDATE dbo.JobRun.Status". */
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

/** Objects that need no permission: temporary tables, OPENJSON, subqueries. */
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

const environment = useEnvironment();
/** The texts of all statements that the app sent, and their names in the code. */
const statements: string[] = [];
const names = new Set<string>();

/** Records what the app sends in these actions. */
async function record(...actions: (() => Promise<unknown>)[]): Promise<void> {
  for (const action of actions) {
    environment.standIn?.clearStatements();
    await action();
    statements.push(...(environment.standIn?.statements.map(({ text }) => text) ?? []));
  }
}

/** Runs, also with a held lock, a dead run, a lost connection, a safety stop and a row that is closed meanwhile. */
async function runEachWay(job: Job): Promise<void> {
  const { session } = environment;
  const { add, run } = arrange(environment, job);
  const acquire = () => acquireLock(session, job.type, newGuid(), 'machine-1');
  const services = environment.services();
  await add({ endsIn: -hour }, { endsIn: 30 * hour }, { endsIn: 31 * hour, email: '' });
  await record(
    () => previewJob(services, job),
    () => readBacklog(session, job.due(environment.settings)),
    async () => readRunDetails(services, deadlineIn(services.clock, hour), (await run()).jobId),
    acquire,
    () => environment.run(job),
  );
  await environment.ageRuns(11);
  await record(run);
  // The list of recipients is resumed after a lost connection.
  await add({ endsIn: -hour }, { endsIn: 30 * hour });
  environment.standIn?.order({ kind: 'dropAfter', match: /FROM #Due AS d/ });
  await record(run);
  await add({ endsIn: -hour });
  await record(
    () => run(environment.services({ revocationCeiling: 0 })),
    () => listRuns(session, job.type, 10),
    () => findRuns(session, undefined, 10, {}),
    async () => {
      const acquisition = await acquire();
      if (acquisition.kind !== 'acquired') throw new Error('The lock is held');
      for (let i = 0; i < 2; i++) await finishRun(session, acquisition.run, { status: 'Completed' });
    },
  );
}

/** Races, locked rows, wrong views, reminders by hand and cancels. */
async function doWhatIsRare(job: Job): Promise<void> {
  const { session, standIn } = environment;
  const { addOne, add, mapView, run } = arrange(environment, job);
  const ahead = job.kind === 'revocation' ? -1 : 1;
  const addThree = () =>
    add(
      { endsIn: ahead * hour, accessKey: 'a' },
      { endsIn: 30_000 * hour, accessKey: 'a' },
      { endsIn: ahead * hour },
    );
  await addThree();
  standIn?.order({ kind: 'error', match: /INSERT INTO dbo\.JobRun/, number: 2601 });
  await record(() => environment.run(job));
  // All rows are locked.
  await addThree();
  standIn?.order({ kind: 'error', match: /INSERT INTO dbo\.RevokedAccess/, number: 1222, times: Infinity });
  await record(run);
  standIn?.clearFaults();
  // Covered grants.
  const [covered = 0] = await addThree();
  await mapView({});
  const services = environment.services();
  await record(
    () => previewJob(services, job),
    () => readStory(services, deadlineIn(services.clock, hour), job.platform, covered),
  );
  // Duplicated requests, and ends that are not comparable.
  await mapView({}, {});
  await record(run);
  await mapView({ columns: { ExpiresAt: `DATEADD(HOUR, ${ahead}, SYSUTCDATETIME())` } });
  await record(run);
  await createDatabase(environment.session);
  const [reminded, endless] = [await addOne({ endsIn: hour }), await addOne({ endsIn: null })];
  await record(
    () => readStory(services, deadlineIn(services.clock, hour), job.platform, endless),
    () => countViewRows(session, job.platform, reminded),
    () => remind(services, deadlineIn(services.clock, hour), job.platform, reminded),
    async () => {
      const jobId = newGuid();
      await acquireLock(session, job.type, jobId, 'machine-1');
      await cancelRun(session, job.type, jobId, false);
    },
  );
}

beforeAll(async () => {
  const recording = beforeEachStatement(({ name }) => {
    names.add(name);
    // Lets an end that is not comparable change.
    return ['revokeBatch', 'readDueReminders'].includes(name) ? delay(20) : undefined;
  });
  const { session } = environment;
  await record(() => readFirstRunAt(session));
  for (const job of jobs) await runEachWay(job);
  for (const job of jobs) await doWhatIsRare(job);
  const services = environment.services();
  await record(
    ...platforms.map(
      (platform) => () =>
        readBacklog(session, notifiableSql(platform, { leadDays: [1, 7, 14], notifyRevoked: true })),
    ),
    () => readJobStates(services, deadlineIn(services.clock, hour), 30),
    () => searchRequests(services, deadlineIn(services.clock, hour), 'Person'),
  );
  recording.mockRestore();
});

test('every statement of the code was recorded', () => {
  const inCode = globSync('src/{jobs,jobRun}/**/*.ts', { cwd: root }).flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/\bname: '([a-z]\w+)'/g)].map(
      ([, name = '']) => name,
    ),
  );
  expect(inCode.length).toBeGreaterThan(20);
  expect(inCode.filter((name) => !names.has(name))).toEqual([]);
});

test('the role has exactly the permissions that the app needs', () => {
  expect(new Set(statements.flatMap(needed))).toEqual(granted());
});

test('the role gets permissions only by these grants', () => {
  const permissions = script.match(/\b(GRANT|DENY|REVOKE|ADD MEMBER|AUTHORIZATION|EXEC(UTE)?)\b[^;]*/g) ?? [];
  const others = permissions.filter(
    (text) => !/^GRANT [A-Z, ]+( \([\w, ]+\))? ON dbo\.\w+ TO AccessExpiryJobs$/.test(text),
  );
  expect(others).toEqual([
    expect.stringMatching(/^AUTHORIZATION dbo/),
    'REVOKE UPDATE ON dbo.JobRun FROM AccessExpiryJobs',
  ]);
});

test('no statement names a site’s tables', () => {
  expect(statements.filter((text) => /DataAccess(Delta|Palantir)Requests/i.test(text))).toEqual([]);
});

test('the app creates and drops only temporary tables, and deletes no row', () => {
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

test('every object is named with its schema', () => {
  for (const need of new Set(statements.flatMap(needed)))
    expect(need).toMatch(/^((SELECT|INSERT) dbo\.\w+|UPDATE dbo\.\w+\.\w+)$/);
});

test('no statement has an OUTPUT clause, which a table with a trigger refuses (error 334)', () => {
  expect(statements.filter((text) => /\bOUTPUT\b/i.test(text))).toEqual([]);
});
