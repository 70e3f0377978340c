/** The database role of sql/07 against every statement that the app sends: enough, and nothing beyond. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deadlineIn } from '../../src/clock';
import { readJobStates } from '../../src/jobs/jobStates';
import { acquireLock } from '../../src/jobRun/acquire';
import { finishRun } from '../../src/jobRun/finish';
import { listRuns } from '../../src/jobRun/history';
import { jobs } from '../../src/jobs/catalogue';
import { previewJob } from '../../src/jobs/previewJob';
import { newGuid, startTestEnvironment, type TestEnvironment } from '../support/environment';

const hour = 60 * 60 * 1000;
const script = readFileSync(join(__dirname, '../../sql/07_AccessExpiryJobs_role.sql'), 'utf8').replace(
  /--.*$/gm,
  '',
);

/** What the script grants, each as "SELECT dbo.JobRun". */
function granted(): Set<string> {
  const grants = script.matchAll(/^GRANT ([A-Z, ]+) ON (dbo\.\w+) TO AccessExpiryJobs;$/gm);
  return new Set(
    [...grants].flatMap(([, actions = '', object = '']) =>
      actions.split(', ').map((action) => `${action} ${object}`),
    ),
  );
}

/** Objects that need no permission: temporary tables, rows made of a parameter, subqueries. */
const free = /^(#\w+|OPENJSON\b.*|\()$/;

/**
 * What a statement needs on which objects. A row that an INSERT or UPDATE gives back by OUTPUT, or that a WHERE or SET
 * reads, needs SELECT too ("OUTPUT clause", "UPDATE", permissions).
 */
function needed(text: string): string[] {
  const objects = (pattern: RegExp): string[] =>
    [...text.matchAll(pattern)].flatMap(([, object = '']) => object);
  const aliases = new Map(
    [...text.matchAll(/\bFROM (dbo\.\w+) AS (\w+)/g)].map(([, object, alias]) => [alias, object]),
  );
  const inserted = objects(/\bINSERT INTO (\S+)/g);
  const updated = objects(/\bUPDATE (\S+)/g).map((object) => aliases.get(object) ?? object);
  const read = objects(/\b(?:FROM|JOIN)\s+(OPENJSON\b|\(|[^\s(),;]+)/g);
  return [
    ...inserted.map((object) => ['INSERT', object] as const),
    ...updated.flatMap((object) => [['UPDATE', object] as const, ['SELECT', object] as const]),
    ...read.map((object) => ['SELECT', object] as const),
    ...(/\bOUTPUT inserted\./.test(text) ? inserted.map((object) => ['SELECT', object] as const) : []),
  ].flatMap(([action, object]) => (free.test(object) ? [] : [`${action} ${object}`]));
}

let environment: TestEnvironment;
/** Every statement that the app sent, with the texts of its plain batches. */
let statements: readonly string[];

/** Everything that the app does, its rarer ways included. */
async function doEverything(record: (action: () => Promise<unknown>) => Promise<void>): Promise<void> {
  const { session } = environment;
  for (const job of jobs) {
    await environment.addGrants(job, [
      { endsIn: -hour },
      { endsIn: 30 * hour },
      { endsIn: 31 * hour, email: '' },
    ]);
    await record(() => previewJob(environment.services(), job));
    await record(() => environment.run(job));
    // A run that finds the lock held, then one that closes a dead run.
    await record(async () => {
      await acquireLock(session, job.type, newGuid(), 'machine-1');
      await environment.run(job);
    });
    await environment.query(
      "UPDATE dbo.JobRun SET Started_At = DATEADD(MINUTE, -11, Started_At) WHERE Status = 'InProgress';",
    );
    await record(() => environment.run(job));
    // A recipient list that goes on after a lost connection, and a safety stop.
    await environment.addGrants(job, [{ endsIn: -hour }, { endsIn: 30 * hour }]);
    environment.standIn?.order({ kind: 'dropAfter', match: /FROM #Due AS d/ });
    await record(() => environment.run(job));
    await environment.addGrants(job, [{ endsIn: -hour }]);
    await record(() => environment.run(job, environment.services({ revocationCeiling: 0 })));
    await record(() => listRuns(session, job.type, 10));
    // A run whose row was closed meanwhile.
    await record(async () => {
      const acquisition = await acquireLock(session, job.type, newGuid(), 'machine-1');
      if (acquisition.kind !== 'acquired') throw new Error('The lock is held');
      await finishRun(session, acquisition.run, { status: 'Completed' });
      await finishRun(session, acquisition.run, { status: 'Completed' });
    });
  }
  const services = environment.services();
  await record(() => readJobStates(services, deadlineIn(services.clock, hour), 30));
}

beforeAll(async () => {
  environment = await startTestEnvironment();
  const { standIn } = environment;
  if (!standIn) throw new Error('This test reads the stand-in’s record of statements');
  const texts: string[] = [];
  await doEverything(async (action) => {
    standIn.clearStatements();
    await action();
    texts.push(...standIn.statements.map(({ text }) => text));
  });
  statements = texts;
});
afterAll(() => environment.close());

test('each kind of statement in the code was recorded', () => {
  // Each by a piece of its text that no other has.
  const pieces: Record<string, RegExp> = {
    acquireLock: /INSERT INTO dbo\.JobRun/,
    findActiveRun:
      /FROM dbo\.JobRun AS r WITH \(INDEX \(UX_JobRun_Job_Type_InProgress\)\)\nWHERE r\.Job_Type = @jobType AND r\.Status = 'InProgress';/,
    finishRun: /SET Status = @status/,
    listRuns: /ORDER BY r\.Job_Type, r\.Started_At DESC/,
    checkLease: /1 AS Fresh/,
    revokeBatch: /INSERT INTO dbo\.RevokedAccess_/,
    recordNotification: /INSERT INTO dbo\.ExpiryNotification_/,
    collect: /INSERT INTO #Due/,
    previews: /SELECT TOP \(@rows\) g\.RequestId/,
    counts: /SELECT COUNT\(\*\) AS Due/,
  };
  for (const [name, piece] of Object.entries(pieces))
    expect([name, statements.some((text) => piece.test(text))]).toEqual([name, true]);
});

test('the role of sql/07 may do everything that the app does, and nothing beyond', () => {
  expect(new Set(statements.flatMap(needed))).toEqual(granted());
});

test('the role has its permissions from the grants read here alone', () => {
  const permissions = script.match(/\b(GRANT|DENY|REVOKE|ADD MEMBER|AUTHORIZATION|EXEC(UTE)?)\b[^;]*/g) ?? [];
  const others = permissions.filter((text) => !/^GRANT [A-Z, ]+ ON dbo\.\w+ TO AccessExpiryJobs$/.test(text));
  expect(others).toEqual([expect.stringMatching(/^AUTHORIZATION dbo/)]);
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
  expect(objects.filter((object) => !/^#Due;?$/.test(object))).toEqual([]);
  expect(objects.length).toBeGreaterThan(0);
  expect(statements.filter((text) => /\b(DELETE|MERGE|TRUNCATE|EXEC|EXECUTE|GRANT)\b/i.test(text))).toEqual(
    [],
  );
});

test('every object is named with its schema, so that none is found elsewhere', () => {
  for (const need of new Set(statements.flatMap(needed)))
    expect(need).toMatch(/^(SELECT|INSERT|UPDATE) dbo\.\w+$/);
});
