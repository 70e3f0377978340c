/** The jobs against the limits that the server and the email service set. */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { mapAccessKey } from '../local/sampleDatabase';
import { maxConcurrentSends } from '../src/jobs/notification';
import { answer, startApp, type AppProcess, type Apps } from './app';
import type { Command } from './client';
import { emptyTables, seedGrants, writtenTables, type BenchDatabase } from './database';
import { compare, type Measure, type Row } from './report';

const revoke = 'RevokeExpiredDatabricksRequests';
const notify = 'ExpiryNotificationDatabricksRequests';

/** A measurement by bench/client.ts. */
type Reference = (command: Command) => Measure;

/** Does `work` with the app and the reference client, each in a process of its own. */
async function withProcesses<T>(
  { environment }: BenchDatabase,
  { deployed }: Apps,
  work: (app: AppProcess, reference: Reference) => Promise<T>,
): Promise<T> {
  const app = await startApp(deployed, environment);
  const client = fork(join(__dirname, 'client.ts'), {
    env: { ...process.env, ...environment },
    execArgv: ['--import', require.resolve('tsx')],
  });
  try {
    return await work(app, (command) => async () => {
      client.send({ command });
      return (await answer<{ ms: number }>(client)).ms;
    });
  } finally {
    client.kill('SIGKILL');
    await app.kill();
  }
}

/** Empties the tables that runs write, runs a job, and checks the number of rows that it wrote. */
async function runOnce(
  database: BenchDatabase,
  app: AppProcess,
  job: typeof revoke | typeof notify,
  expected: number,
): Promise<{ ms: number; peakRss: number }> {
  await emptyTables(database, ...writtenTables);
  const result = await app.run(job);
  const table = job === revoke ? 'RevokedAccess_Databricks' : 'ExpiryNotification_Databricks';
  const [row] = await database.query(`SELECT COUNT(*) AS Written FROM dbo.${table};`);
  if (row?.Written !== expected) throw new Error(`${job} wrote ${String(row?.Written)} of ${expected} rows`);
  return result;
}

/** The average of many calls, for short measurements. */
const average =
  (measure: Measure, times = 20): Measure =>
  async () => {
    let sum = 0;
    for (let index = 0; index < times; index++) sum += await measure();
    return sum / times;
  };

export async function lockRows(database: BenchDatabase, apps: Apps): Promise<Row[]> {
  await emptyTables(database, ...writtenTables, 'DataAccessDeltaRequests');
  return withProcesses(database, apps, async (app, reference) => {
    const idleRun = average(async () => (await app.run(revoke)).ms);
    // A warm-up, until the code is compiled.
    for (const measure of [idleRun, average(reference('bareRun')), average(reference('lock'))])
      await measure();
    return compare([
      {
        what: 'a revocation run that finds nothing',
        measured: idleRun,
        against: 'a connection, and taking and ending the lock',
        reference: average(reference('bareRun')),
        atMost: 1.5,
      },
      {
        what: 'taking and ending the lock',
        measured: average(reference('lock'), 50),
        against: 'an insert and an update on the same session',
        reference: average(reference('twoStatements'), 50),
        atMost: 1.5,
      },
    ]);
  });
}

/** A measure on empty tables, of grants whose AccessKey is this SQL. */
function withKey(database: BenchDatabase, key: string, measure: Measure): Measure {
  return async () => {
    await mapAccessKey(database.session, key);
    await emptyTables(database, ...writtenTables);
    return measure();
  };
}

/** Of 1,000,000 grants every tenth has expired, 1 to 100 days ago; the others end in 30 to 130 days. */
export async function revocationRows(database: BenchDatabase, apps: Apps): Promise<Row[]> {
  await seedGrants(
    database,
    1_000_000,
    'DATEADD(DAY, CASE WHEN j.n % 10 = 0 THEN -1 - j.n / 10 % 100 ELSE 30 + j.n % 100 END, GETUTCDATE())',
    'j.n % 50000',
  );
  return withProcesses(database, apps, async (app, reference) => {
    const unkeyed = (measure: Measure) => withKey(database, 'CAST(NULL AS NVARCHAR(400))', measure);
    const keyed = (measure: Measure) => withKey(database, 'r.request_number', measure);
    const revoked = async (): Promise<number> => (await runOnce(database, app, revoke, 100_000)).ms;
    // A warm-up, until the code is compiled.
    await revoked();
    return compare([
      {
        what: 'revoking 100,000 expired grants among 1,000,000',
        measured: unkeyed(revoked),
        against: 'one raw INSERT … SELECT of the same rows',
        reference: unkeyed(reference('rawRevocation')),
        // SQLite's plan for the raw statement leaves nothing to gain.
        atMost: database.onSqlServer ? 1.15 : 1.5,
      },
      {
        what: 'the same, each with an AccessKey',
        measured: keyed(revoked),
        against: 'without keys',
        reference: unkeyed(revoked),
        atMost: 2.5,
      },
      {
        what: 'collecting 100,000 expired grants among 1,000,000, each with an AccessKey',
        measured: keyed(reference('collectUncovered')),
        against: 'one raw INSERT … SELECT with the last end of every key',
        reference: keyed(reference('rawUncovered')),
        atMost: 1.4,
      },
      {
        what: 'collecting 90,000 reminders among 1,000,000 grants',
        measured: unkeyed(reference('collectReminders')),
        against: 'one raw INSERT … SELECT of the same columns',
        reference: unkeyed(reference('rawReminders')),
        atMost: 2,
      },
    ]);
  });
}

/** Grants that end in 7 days. */
function seedReminders(database: BenchDatabase, grants: number, perPerson: number): Promise<void> {
  return seedGrants(database, grants, 'DATEADD(DAY, 7, GETUTCDATE())', `j.n / ${perPerson}`);
}

/** How long the email service takes to answer a call, in ms. */
const emailLatency = 50;

/** The library makes two for a message: the POST, and a read of its status. */
const callsPerMessage = 2;

export async function notificationRows(database: BenchDatabase, apps: Apps): Promise<Row[]> {
  const people = 1_000;
  await seedReminders(database, 4 * people, 4);
  const { email } = database.standIns;
  email.latencyMs = emailLatency;
  const app = await startApp(apps.deployed, database.environment);
  try {
    return await compare([
      {
        what: 'notifying 4,000 grants of 1,000 people',
        measured: async () => (1000 * people) / (await runOnce(database, app, notify, 4 * people)).ms,
        against: `the service's limit: ${maxConcurrentSends} messages at a time, ${callsPerMessage} calls each, ${emailLatency} ms a call`,
        reference: () => Promise.resolve((1000 * maxConcurrentSends) / (callsPerMessage * emailLatency)),
        unit: 'messages/s',
        atLeast: 0.85,
      },
    ]);
  } finally {
    await app.kill();
    email.latencyMs = 0;
  }
}

/** The heap limits that Node.js 24 sets itself on the smallest instance of Flex Consumption, which has 512 MB. */
const smallInstance = ['--max-old-space-size=256', '--max-semi-space-size=1'];

export async function memoryRows(database: BenchDatabase, apps: Apps): Promise<Row[]> {
  const peak = (grants: number) => async (): Promise<number> => {
    await seedReminders(database, grants, 100);
    const app = await startApp(apps.deployed, database.environment, smallInstance);
    const { peakRss } = await runOnce(database, app, notify, grants);
    await app.kill();
    return peakRss / 2 ** 20;
  };
  return compare([
    {
      what: 'memory while notifying 200,000 grants: peak RSS, with the heap of a 512 MB instance',
      measured: peak(200_000),
      against: '1,000 grants',
      reference: peak(1_000),
      unit: 'MiB',
      atMost: 1.15,
      // A run of 200,000 takes 17 s, and peaks differ by 1 to 3 %.
      times: 2,
    },
  ]);
}
