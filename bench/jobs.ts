/** The jobs against the limits that the server and the email service set. */
import { fork } from 'node:child_process';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { createDigests } from '../src/email/message';
import { maxConcurrentSends } from '../src/jobs/notification';
import { answer, startApp, type AppProcess } from './app';
import type { Command } from './client';
import { addGrants, emptyTables, type BenchDatabase } from './database';
import { repeat, runs, sideBySide, statistics, type Row } from './report';

const revoke = 'RevokeExpiredDatabricksRequests';
const notify = 'ExpiryNotificationDatabricksRequests';

interface Client {
  measure(command: Command): Promise<number>;
  kill(): void;
}

/** Starts the client of bench/client.ts. */
function startClient(environment: Readonly<Record<string, string>>): Client {
  const child = fork(join(__dirname, 'client.ts'), {
    env: { ...process.env, ...environment },
    execArgv: ['--import', require.resolve('tsx')],
  });
  return {
    async measure(command) {
      child.send({ command });
      const { result, error } = (await answer(child)) as { result?: number; error?: string };
      if (result === undefined) throw new Error(`${command}: ${error ?? ''}`);
      return result;
    },
    kill: () => child.kill('SIGKILL'),
  };
}

async function rowsIn(database: BenchDatabase, table: string): Promise<number> {
  const [row] = await database.query(`SELECT COUNT(*) AS Rows_ FROM ${table};`);
  return row?.Rows_ as number;
}

/** What a run costs that finds nothing to do; on tables without grants. */
export async function lockRows(database: BenchDatabase, entry: string): Promise<Row[]> {
  const app = await startApp(entry, database.environment);
  const client = startClient(database.environment);
  const measure = (command: Command) => (): Promise<number> => client.measure(command);
  const run = async (): Promise<number> => (await app.run(revoke)).ms;

  // Unmeasured, until the code of both is compiled.
  await average(run);
  await average(measure('bareRun'));
  await average(measure('lock'));
  const idle = await sideBySide(
    () => average(run),
    () => average(measure('bareRun')),
  );
  const lock = await sideBySide(
    () => average(measure('lock'), 50),
    () => average(measure('twoStatements'), 50),
  );
  client.kill();
  await app.kill();
  await emptyTables(database);
  return [
    {
      what: 'a revocation run that finds nothing',
      against: 'a connection and the two statements of the lock',
      unit: 'ms',
      ...idle,
      goal: { atMost: 1.5 },
    },
    {
      what: 'taking and ending the lock',
      against: 'an insert and an update on the same session',
      unit: 'ms',
      ...lock,
      goal: { atMost: 1.5 },
    },
  ];
}

/** Revocation; leaves the database with 1,000,000 grants. */
export async function revocationRows(database: BenchDatabase, entry: string): Promise<Row[]> {
  const app = await startApp(entry, database.environment);
  const client = startClient(database.environment);
  const nothingLeft = () => emptyTables(database, ['dbo.RevokedAccess_Databricks', 'dbo.JobRun']);

  async function revoked(expected: number): Promise<number> {
    await nothingLeft();
    const { ms } = await app.run(revoke);
    const rows = await rowsIn(database, 'dbo.RevokedAccess_Databricks');
    if (rows !== expected) throw new Error(`${rows} grants were revoked instead of ${expected}`);
    return ms;
  }
  const lasting = (command: Command) => async (): Promise<number> => {
    await nothingLeft();
    return client.measure(command);
  };

  await app.run(revoke);
  const perGrant = new Map<number, number[]>();
  let seeded = 0;
  for (const grants of [10_000, 100_000, 1_000_000]) {
    await addGrants(database, {
      first: seeded + 1,
      last: grants,
      // Every tenth has expired, one to 100 days ago; the others end in 30 to 130 days.
      endsAt:
        'DATEADD(DAY, CASE WHEN j.n % 10 = 0 THEN -1 - j.n / 10 % 100 ELSE 30 + j.n % 100 END, GETUTCDATE())',
      person: 'j.n % 50000',
    });
    seeded = grants;
    const due = grants / 10;
    const samples: number[] = [];
    for (let run = 0; run < runs; run++) samples.push((await revoked(due)) / due);
    perGrant.set(grants, samples);
  }
  const against = await sideBySide(() => revoked(100_000), lasting('rawInsert'));
  const loop = await sideBySide(async () => (await revoked(100_000)) / 100_000, lasting('plainLoop'));
  const keyed = await sideBySide(
    async () => {
      await mapAccessKey(database, 'r.request_number');
      return revoked(100_000);
    },
    async () => {
      await mapAccessKey(database, 'CAST(NULL AS NVARCHAR(400))');
      return revoked(100_000);
    },
  );
  await nothingLeft();
  const reminders = await sideBySide(
    () => client.measure('collectReminders'),
    () => client.measure('rawReminders'),
  );
  await mapAccessKey(database, 'r.request_number');
  const uncovered = await sideBySide(
    () => client.measure('collectUncovered'),
    () => client.measure('rawUncovered'),
  );
  await mapAccessKey(database, 'CAST(NULL AS NVARCHAR(400))');
  client.kill();
  await app.kill();

  const what = 'revoking 100,000 expired grants among 1,000,000';
  return [
    {
      what,
      against: 'a plain loop over tedious: select, then one insert per grant',
      unit: 'ms per grant',
      ...loop,
      figure: (measured, reference) => reference / measured,
      goal: { atLeast: 20 },
      note: 'the loop is measured over the first 2,000 of the grants.',
    },
    {
      what,
      against: 'one raw INSERT … SELECT of the same rows',
      unit: 'ms',
      ...against,
      // SQLite has no plan that the run's statements could gain.
      goal: { atMost: database.onSqlServer ? 1.15 : 1.5 },
    },
    {
      what: `${what}, each with an AccessKey`,
      against: 'the same without keys',
      unit: 'ms',
      ...keyed,
      goal: { atMost: 2.5 },
    },
    {
      what: 'collecting 90,000 reminders among 1,000,000 grants',
      against: 'one raw INSERT … SELECT of the same columns',
      unit: 'ms',
      ...reminders,
      goal: { atMost: 2 },
    },
    {
      what: 'collecting 100,000 expired grants among 1,000,000, each with an AccessKey',
      against: 'one raw INSERT … SELECT with the last end of every key',
      unit: 'ms',
      ...uncovered,
      goal: { atMost: 1.4 },
    },
    {
      what: 'revoking a tenth of 1,000,000 grants',
      against: 'a tenth of 10,000',
      unit: 'ms per grant',
      measured: perGrant.get(1_000_000) ?? [],
      reference: perGrant.get(10_000) ?? [],
      goal: { atMost: 1.3 },
      note: `a tenth of 100,000: ${statistics(perGrant.get(100_000) ?? []).median.toPrecision(3)} ms per grant.`,
    },
  ];
}

/** Maps the seventh column of the Databricks view. */
async function mapAccessKey(database: BenchDatabase, sql: string): Promise<void> {
  await database.query(`CREATE OR ALTER VIEW dbo.AccessGrant_Databricks
AS
SELECT r.id AS RequestId, r.request_number AS RequestNumber, r.requested_by AS RequesterName,
  r.requested_by_email AS RequesterEmail, r.table_name AS Resource, r.access_end_dt AS ExpiresAt, ${sql} AS AccessKey
FROM dbo.DataAccessDeltaRequests AS r
WHERE r.request_status = 'Approved' AND r.access_end_dt IS NOT NULL;`);
}

/** Short things are measured many at a time. */
async function average(measure: () => Promise<number>, times = 20): Promise<number> {
  let sum = 0;
  for (let index = 0; index < times; index++) sum += await measure();
  return sum / times;
}

/** Grants that end in 7 days, so many of each person. */
async function dueReminders(database: BenchDatabase, grants: number, perPerson: number): Promise<void> {
  await emptyTables(database, [
    'dbo.JobRun',
    'dbo.ExpiryNotification_Databricks',
    'dbo.RevokedAccess_Databricks',
    'dbo.DataAccessDeltaRequests',
  ]);
  await addGrants(database, {
    first: 1,
    last: grants,
    endsAt: 'DATEADD(DAY, 7, GETUTCDATE())',
    person: `j.n / ${perPerson}`,
  });
}

async function notified(
  database: BenchDatabase,
  app: AppProcess,
  grants: number,
): Promise<{ ms: number; peakRss: number }> {
  await emptyTables(database, ['dbo.JobRun', 'dbo.ExpiryNotification_Databricks']);
  const result = await app.run(notify);
  const rows = await rowsIn(database, 'dbo.ExpiryNotification_Databricks');
  if (rows !== grants) throw new Error(`${rows} grants were notified instead of ${grants}`);
  return result;
}

/** How long the email service takes to answer a call, in ms. */
const emailLatency = 50;

export async function notificationRow(database: BenchDatabase, entry: string): Promise<Row> {
  const people = 1_000;
  await dueReminders(database, 4 * people, 4);
  database.standIns.email.latencyMs = emailLatency;
  const app = await startApp(entry, database.environment);
  const rate: number[] = [];
  const limit: number[] = [];
  for (let run = 0; run < runs; run++) {
    const before = database.standIns.email.requests.length;
    const { ms } = await notified(database, app, 4 * people);
    const calls = (database.standIns.email.requests.length - before) / people;
    rate.push(people / (ms / 1000));
    limit.push(maxConcurrentSends / ((calls * emailLatency) / 1000));
  }
  await app.kill();
  database.standIns.email.latencyMs = 0;
  return {
    what: 'notifying 4,000 grants of 1,000 people',
    against: `the service's limit: ${maxConcurrentSends} messages at a time, ${emailLatency} ms a call`,
    unit: 'messages/s',
    measured: rate,
    reference: limit,
    goal: { atLeast: 0.85 },
    note:
      'the library makes two calls for a message, the POST and a look at its status, and each is answered after the ' +
      'latency: that is what a message takes of the service. The calls are counted at the service.',
  };
}

/** What Node.js 24 makes of an instance with 512 MB, the smallest of Flex Consumption: its heap follows the memory it finds. */
const smallInstance = ['--max-old-space-size=256', '--max-semi-space-size=1'];

/** Fewer runs than elsewhere: one of 200,000 grants takes 17 s, and their peaks differ by 1 to 3 %. */
const memoryRuns = { small: 2, machine: 1 };

/** Bytes of the HTML and text about so many grants, such as dueReminders adds. */
function messageSize(grants: number): number {
  const [message] = createDigests(
    {
      recipient: 'person1@example.com',
      grants: Array.from({ length: grants }, (_, index) => ({
        requestId: index,
        requestNumber: `DBX-${index}`,
        requesterName: 'Person 1',
        resource: `sales.gold.table_${index}`,
        expiresAt: new Date(),
        leadDays: 7,
        remindedBefore: false,
        dueSince: new Date(),
      })),
    },
    {
      platformName: 'Databricks',
      lastLeadDays: 1,
      email: { senderAddress: 'access@example.com', timeZone: 'UTC' },
    },
  );
  return Buffer.byteLength(`${message?.html}${message?.plainText}`);
}

export async function memoryRows(database: BenchDatabase, entry: string): Promise<Row[]> {
  const perPerson = 100;
  /** Peak RSS in MiB, on an instance of 512 MB and with all the memory of this machine. */
  const peaks = async (grants: number): Promise<{ small: number[]; machine: number[] }> => {
    await dueReminders(database, grants, perPerson);
    const peak = (nodeArguments: readonly string[]) => async (): Promise<number> => {
      const app = await startApp(entry, database.environment, nodeArguments);
      const { peakRss } = await notified(database, app, grants);
      await app.kill();
      return peakRss / 2 ** 20;
    };
    return {
      small: await repeat(peak(smallInstance), memoryRuns.small),
      machine: await repeat(peak([]), memoryRuns.machine),
    };
  };
  const few = await peaks(1_000);
  const many = await peaks(200_000);
  const sampled = 20_000;
  await dueReminders(database, sampled, perPerson);
  const app = await startApp(entry, database.environment);
  const allocated = await app.allocatedBy(notify);
  await app.kill();
  const what = 'memory while notifying 200,000 grants: peak RSS of the process';
  return [
    {
      what: `${what}, its heap as on an instance of 512 MB`,
      against: '1,000 grants',
      unit: 'MiB',
      measured: many.small,
      reference: few.small,
      goal: { atMost: 1.15 },
      note:
        `${perPerson} grants a person; the built app and nothing else in the process. ${smallInstance.join(' ')}: the ` +
        'limits that Node.js sets itself where it finds 512 MB.',
    },
    {
      what: `${what}, its heap as on this machine`,
      against: '1,000 grants',
      unit: 'MiB',
      measured: many.machine,
      reference: few.machine,
      goal: 'informative',
      note: `${Math.round(totalmem() / 2 ** 30)} GiB: V8 leaves more garbage where there is more memory.`,
    },
    {
      what: `what V8 allocates while notifying ${sampled.toLocaleString('en')} grants, garbage included`,
      against: 'the HTML and text of its share of a message',
      unit: 'kB per grant',
      measured: [allocated / 1000 / sampled],
      reference: [messageSize(perPerson) / 1000 / perPerson],
      goal: 'informative',
      note: 'by its sampling heap profiler; some 12 MB of it are for loading the app.',
    },
  ];
}
