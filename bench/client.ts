/**
 * What the app is set against, and statements of its own: a client in a process of its own, as the app has one.
 * For each { command, parameters } it sends { result } in ms, or { error }.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { Connection, Request, TYPES, type ConnectionConfiguration } from 'tedious';
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

const due = `FROM dbo.AccessGrant_Databricks AS g
WHERE g.ExpiresAt <= GETUTCDATE() AND NOT EXISTS (
  SELECT 1 FROM dbo.RevokedAccess_Databricks AS r WHERE r.DeltaRequestId = g.RequestId AND r.Revoked_Dt >= g.ExpiresAt)`;

/** A lead that has begun for a tenth of the grants of revocationRows. */
const leadDays = 39;
const reminders = notifiableSql(databricks, { leadDays: [leadDays], notifyRevoked: false });

/** What is due into a temporary table, on a session of its own; its opening is not counted. */
async function collect(sql: string, parameters: Readonly<Record<string, Parameter>> = {}): Promise<number> {
  const own = await open();
  await own.query({
    name: 'createDue',
    sql: `CREATE TABLE #Due (Position INT IDENTITY(1, 1) PRIMARY KEY, RequestId INT NULL, ExpiresAt DATETIME2(7) NOT NULL,
  LeadDays INT NULL, DueSince DATETIME2(7) NULL, Recipient NVARCHAR(400) COLLATE Latin1_General_BIN2 NULL, SendBy DATE NULL, ViewRows INT NULL);`,
  });
  const ms = await timed(() => own.query({ name: 'collect', sql, parameters }));
  own.close();
  return ms;
}

let session: Promise<Session> | undefined;

const commands = {
  /** A connection, and what takes and ends the lock. */
  bareRun: () =>
    timed(async () => {
      const own = await open();
      await lockOnce(own);
      own.close();
    }),

  /** One INSERT … SELECT of all grants that are due. */
  rawInsert: () =>
    timed(async () => {
      const own = await open();
      await own.query({
        name: 'rawInsert',
        sql: `INSERT INTO dbo.RevokedAccess_Databricks (DeltaRequestId, Revoked_Dt, Revoked_By)
SELECT g.RequestId, GETUTCDATE(), @revokedBy ${due};`,
        parameters: { revokedBy: varChar(100, jobType) },
      });
      own.close();
    }),

  /** The reminders that are due, as a run collects them. */
  collectReminders: () =>
    collect(insertDueSql(reminders, false), { ...reminders.parameters, jobId: varChar(36, randomUUID()) }),

  /** The same columns of the same rows, by whoever trusts the view. */
  rawReminders: () =>
    collect(`INSERT INTO #Due (RequestId, ExpiresAt, LeadDays, DueSince, Recipient)
SELECT g.RequestId, g.ExpiresAt, ${leadDays}, DATEADD(DAY, -${leadDays}, CAST(g.ExpiresAt AS DATE)), LOWER(g.RequesterEmail COLLATE Latin1_General_BIN2)
FROM dbo.AccessGrant_Databricks AS g
WHERE g.ExpiresAt > GETUTCDATE() AND g.ExpiresAt < DATEADD(DAY, ${leadDays + 1}, CAST(GETUTCDATE() AS DATE)) AND NOT EXISTS (
  SELECT 1 FROM dbo.ExpiryNotification_Databricks AS n
  WHERE n.DeltaRequestId = g.RequestId AND n.Notification_Sent_Dt >= DATEADD(DAY, -${leadDays}, CAST(g.ExpiresAt AS DATE)))
ORDER BY LOWER(g.RequesterEmail COLLATE Latin1_General_BIN2), g.ExpiresAt, g.RequestId;`),

  /** The expired grants that no other of their key covers, as a run collects them. */
  collectUncovered: () =>
    collect(`${expiredSql(databricks).with}
INSERT INTO #Due (RequestId, ExpiresAt)
SELECT g.RequestId, g.ExpiresAt FROM Candidates AS g WHERE g.CoveredUntil IS NULL ORDER BY g.RequestId;`),

  /** The same, with the last end of every key. */
  rawUncovered: () =>
    collect(`INSERT INTO #Due (RequestId, ExpiresAt)
SELECT e.RequestId, e.ExpiresAt
FROM (SELECT g.RequestId, g.ExpiresAt, g.AccessKey ${due}) AS e
LEFT JOIN (
  SELECT c.AccessKey, MAX(c.ExpiresAt) AS LastEnd FROM dbo.AccessGrant_Databricks AS c GROUP BY c.AccessKey
) AS k ON k.AccessKey = e.AccessKey AND k.LastEnd > e.ExpiresAt AND k.LastEnd > GETUTCDATE()
WHERE k.AccessKey IS NULL
ORDER BY e.RequestId;`),

  /** tedious alone: select the grants that are due (at most 2,000), then one insert a grant. Gives ms per grant. */
  plainLoop: async () => {
    let grants = 0;
    const ms = await timed(async () => {
      const connection = await connect();
      const ids = await execute(connection, `SELECT TOP (2000) g.RequestId ${due};`, []);
      for (const [id] of ids) {
        await execute(
          connection,
          'INSERT INTO dbo.RevokedAccess_Databricks (DeltaRequestId, Revoked_Dt, Revoked_By) VALUES (@id, GETUTCDATE(), @by);',
          [
            ['id', TYPES.Int, id],
            ['by', TYPES.VarChar, jobType],
          ],
        );
      }
      grants = ids.length;
      connection.close();
    });
    return ms / grants;
  },

  /** Taking and ending the lock on a session that is open. */
  lock: async () => {
    const own = await (session ??= open());
    return timed(() => lockOnce(own));
  },

  /** An insert and an update of one row of JobRun, without any condition, on the same session. */
  twoStatements: async () => {
    const own = await (session ??= open());
    const jobId = randomUUID();
    const parameters = { jobId: uniqueIdentifier(jobId), jobType: varChar(50, jobType) };
    return timed(async () => {
      await own.query({
        name: 'insert',
        sql: `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By)
VALUES (@jobId, @jobType, 'InProgress', GETUTCDATE(), 'bench');`,
        parameters,
      });
      await own.query({
        name: 'update',
        sql: `UPDATE dbo.JobRun SET Status = 'Completed', Completed_At = GETUTCDATE(), Processed_Count = 0 WHERE Job_Id = @jobId;`,
        parameters,
      });
    });
  },
};

export type Command = keyof typeof commands;

async function connect(): Promise<Connection> {
  const { server, port, name, login, trustServerCertificate } = settings.database;
  const configuration: ConnectionConfiguration = {
    server,
    authentication:
      login.kind === 'sql'
        ? { type: 'default', options: { userName: login.user, password: login.password } }
        : { type: 'token-credential', options: { credential: await credential } },
    options: { port, database: name, encrypt: true, trustServerCertificate },
  };
  const connection = new Connection(configuration);
  await new Promise<void>((resolve, reject) => {
    connection.connect((error) => (error ? reject(error) : resolve()));
  });
  return connection;
}

type TediousParameter = [name: string, type: (typeof TYPES)[keyof typeof TYPES], value: unknown];

function execute(connection: Connection, sql: string, parameters: TediousParameter[]): Promise<unknown[][]> {
  return new Promise((resolve, reject) => {
    const rows: unknown[][] = [];
    const request = new Request(sql, (error) => (error ? reject(error) : resolve(rows)));
    request.on('row', (columns: { value: unknown }[]) => rows.push(columns.map(({ value }) => value)));
    for (const [name, type, value] of parameters) request.addParameter(name, type, value);
    connection.execSql(request);
  });
}

process.on('message', ({ command }: { command: Command }) => {
  commands[command]().then(
    (result) => process.send?.({ result }),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
