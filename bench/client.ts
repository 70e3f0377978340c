/**
 * The reference of the jobs, and single statements of theirs, in a process of its own, as the app has one. Answers
 * { command } with { ms } or { error }.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { readSettings } from '../src/config/settings';
import { Session } from '../src/database/session';
import { uniqueIdentifier, varChar, type Parameter } from '../src/database/statement';
import { acquireLock } from '../src/jobRun/acquire';
import { finishRun } from '../src/jobRun/finish';
import { insertDueSql } from '../src/jobs/dueReminders';
import { expiredSql, notifiableSql } from '../src/jobs/dueSql';
import { databricks } from '../src/jobs/platforms';
import { createCredential } from '../src/services';

const jobType = 'RevokeExpiredDatabricksRequests';
const settings = readSettings(process.env);
const credential = createCredential(process.env, undefined);
let warmSession: Promise<Session> | undefined;

async function open(): Promise<Session> {
  return Session.open(settings.database, await credential, 300_000);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

async function lockOnce(session: Session): Promise<void> {
  const jobId = randomUUID();
  const acquisition = await acquireLock(session, jobType, jobId, hostname());
  if (acquisition.kind === 'held') throw new Error('Another run holds the lock');
  await finishRun(session, acquisition.run, { status: 'Completed' });
}

/** Inserts what is due into a temporary table, on a session of its own; opening it is not counted. */
async function collect(sql: string, parameters: Readonly<Record<string, Parameter>> = {}): Promise<number> {
  const session = await open();
  await session.query({
    name: 'createDue',
    sql: `CREATE TABLE #Due (Position INT IDENTITY(1, 1) PRIMARY KEY, RequestId INT NULL, ExpiresAt DATETIME2(7) NOT NULL,
  LeadDays INT NULL, DueSince DATETIME2(7) NULL, Recipient NVARCHAR(400) COLLATE Latin1_General_BIN2 NULL, SendBy DATE NULL, ViewRows INT NULL);`,
  });
  const ms = await timed(() => session.query({ name: 'collect', sql, parameters }));
  session.close();
  return ms;
}

const expired = `FROM dbo.AccessGrant_Databricks AS g
WHERE g.ExpiresAt <= GETUTCDATE() AND NOT EXISTS (
  SELECT 1 FROM dbo.RevokedAccess_Databricks AS r WHERE r.DeltaRequestId = g.RequestId AND r.Revoked_Dt >= g.ExpiresAt)`;

/** A lead that has begun for a tenth of the grants of revocationRows. */
const leadDays = 39;
const reminders = notifiableSql(databricks, { leadDays: [leadDays], notifyRevoked: false });

const commands = {
  /** A run that does nothing: a connection, and taking and ending the lock. */
  bareRun: () =>
    timed(async () => {
      const session = await open();
      await lockOnce(session);
      session.close();
    }),

  /** Revokes what is due, trusting the view. */
  rawRevocation: () =>
    timed(async () => {
      const session = await open();
      await session.query({
        name: 'rawRevocation',
        sql: `INSERT INTO dbo.RevokedAccess_Databricks (DeltaRequestId, Revoked_Dt, Revoked_By)
SELECT g.RequestId, GETUTCDATE(), @revokedBy ${expired};`,
        parameters: { revokedBy: varChar(100, jobType) },
      });
      session.close();
    }),

  collectReminders: () =>
    collect(insertDueSql(reminders, false), { ...reminders.parameters, jobId: varChar(36, randomUUID()) }),

  /** The same columns of the same rows, trusting the view. */
  rawReminders: () =>
    collect(`INSERT INTO #Due (RequestId, ExpiresAt, LeadDays, DueSince, Recipient)
SELECT g.RequestId, g.ExpiresAt, ${leadDays}, DATEADD(DAY, -${leadDays}, CAST(g.ExpiresAt AS DATE)), LOWER(g.RequesterEmail COLLATE Latin1_General_BIN2)
FROM dbo.AccessGrant_Databricks AS g
WHERE g.ExpiresAt > GETUTCDATE() AND g.ExpiresAt < DATEADD(DAY, ${leadDays + 1}, CAST(GETUTCDATE() AS DATE)) AND NOT EXISTS (
  SELECT 1 FROM dbo.ExpiryNotification_Databricks AS n
  WHERE n.DeltaRequestId = g.RequestId AND n.Notification_Sent_Dt >= DATEADD(DAY, -${leadDays}, CAST(g.ExpiresAt AS DATE)))
ORDER BY LOWER(g.RequesterEmail COLLATE Latin1_General_BIN2), g.ExpiresAt, g.RequestId;`),

  /** The expired grants that no other grant with their key covers. */
  collectUncovered: () =>
    collect(`${expiredSql(databricks).with}
INSERT INTO #Due (RequestId, ExpiresAt)
SELECT g.RequestId, g.ExpiresAt FROM Candidates AS g WHERE g.CoveredUntil IS NULL ORDER BY g.RequestId;`),

  /** The same, with the last end of every key. */
  rawUncovered: () =>
    collect(`INSERT INTO #Due (RequestId, ExpiresAt)
SELECT e.RequestId, e.ExpiresAt
FROM (SELECT g.RequestId, g.ExpiresAt, g.AccessKey ${expired}) AS e
LEFT JOIN (
  SELECT c.AccessKey, MAX(c.ExpiresAt) AS LastEnd FROM dbo.AccessGrant_Databricks AS c GROUP BY c.AccessKey
) AS k ON k.AccessKey = e.AccessKey AND k.LastEnd > e.ExpiresAt AND k.LastEnd > GETUTCDATE()
WHERE k.AccessKey IS NULL
ORDER BY e.RequestId;`),

  /** Taking and ending the lock on an open session. */
  lock: async () => {
    const session = await (warmSession ??= open());
    return timed(() => lockOnce(session));
  },

  /** An insert and an update of one row of JobRun, without any condition, on the same session. */
  twoStatements: async () => {
    const session = await (warmSession ??= open());
    const parameters = { jobId: uniqueIdentifier(randomUUID()), jobType: varChar(50, jobType) };
    return timed(async () => {
      await session.query({
        name: 'insert',
        sql: `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By)
VALUES (@jobId, @jobType, 'InProgress', GETUTCDATE(), 'bench');`,
        parameters,
      });
      await session.query({
        name: 'update',
        sql: `UPDATE dbo.JobRun SET Status = 'Completed', Completed_At = GETUTCDATE(), Processed_Count = 0 WHERE Job_Id = @jobId;`,
        parameters,
      });
    });
  },
};

export type Command = keyof typeof commands;

process.on('message', ({ command }: { command: Command }) => {
  commands[command]().then(
    (ms) => process.send?.({ ms }),
    (error: unknown) => process.send?.({ error: `${command}: ${String(error)}` }),
  );
});
