/** The jobs with a login that is only a member of the role AccessExpiryJobs. */
import { randomUUID } from 'node:crypto';
import { deadlineIn } from '../../src/clock';
import { Database } from '../../src/database/database';
import { Session } from '../../src/database/session';
import { jobs } from '../../src/jobs/catalogue';
import { previewJob } from '../../src/jobs/previewJob';
import { cancelRun } from '../../src/jobRun/cancel';
import { findRuns, listRuns } from '../../src/jobRun/history';
import { dueFor, hour, useEnvironment } from '../support/arrange';
import { finished, type TestServices } from '../support/environment';
import { realServer, testOnRealServer } from '../support/realServer';

const name = `access_expiry_jobs_${randomUUID().slice(0, 8)}`;
const login = { kind: 'sql', user: name, password: `${randomUUID()}Aa1!` } as const;
const noCredential = { getToken: () => Promise.resolve(null) };
const standIn = 'the stand-in enforces no permissions';

/** The statements that remove the member again. */
let removal: string[] = [];
// Before the environment is closed.
afterAll(async () => {
  for (const statement of removal) await environment.query(statement);
});
const environment = useEnvironment();

/** Signs in as the member. */
function services(): TestServices {
  return {
    ...environment.services(),
    database: new Database({ ...environment.settings.database, login }, noCredential, 30_000),
  };
}

async function createMember(): Promise<void> {
  const [server] = await environment.query(
    "SELECT CAST(SERVERPROPERTY('EngineEdition') AS INT) AS EngineEdition;",
  );
  // 5: Azure SQL Database, where logins exist only in master, and users have passwords.
  const contained = server?.EngineEdition === 5;
  const creation = contained
    ? [`CREATE USER ${name} WITH PASSWORD = '${login.password}';`]
    : [`CREATE LOGIN ${name} WITH PASSWORD = '${login.password}';`, `CREATE USER ${name} FOR LOGIN ${name};`];
  removal = [`DROP USER ${name};`, ...(contained ? [] : [`DROP LOGIN ${name};`])];
  for (const statement of creation) await environment.query(statement);
  await environment.query(`ALTER ROLE AccessExpiryJobs ADD MEMBER ${name};`);
}

if (realServer) beforeAll(createMember);

describe.each(jobs.map((job) => [job.type, job] as const))('%s', (_, job) => {
  testOnRealServer('is run, previewed, listed and cancelled', standIn, async () => {
    await environment.addGrants(job, [dueFor(job)]);
    const member = services();
    await previewJob(member, job);
    expect(finished(await environment.run(job, member))).toMatchObject({
      status: 'Completed',
      processedCount: 1,
    });
    await member.database.withSession('run', deadlineIn(member.clock, hour), async (session) => {
      const [run] = await listRuns(session, job.type, 10);
      expect(run).toMatchObject({ jobType: job.type, processedCount: 1 });
      expect(await findRuns(session, undefined, 10, {})).toMatchObject({ runs: [{ jobId: run?.jobId }] });
      expect(await cancelRun(session, job.type, run?.jobId ?? '', false)).toMatchObject({ kind: 'ended' });
    });
  });
});

testOnRealServer(
  'the member can neither read the tables of requests nor change records',
  standIn,
  async () => {
    const session = await Session.open({ ...environment.settings.database, login }, noCredential, 30_000);
    try {
      for (const sql of [
        'SELECT * FROM dbo.DataAccessDeltaRequests;',
        'SELECT * FROM dbo.DataAccessPalantirRequests;',
        "UPDATE dbo.DataAccessDeltaRequests SET justification = 'x';",
        'DELETE FROM dbo.JobRun;',
        'DELETE FROM dbo.RevokedAccess_Databricks;',
        "UPDATE dbo.RevokedAccess_Palantir SET Revoked_By = 'x';",
        'DELETE FROM dbo.ExpiryNotification_Databricks;',
        "UPDATE dbo.ExpiryNotification_Palantir SET Notification_Sent_By = 'x';",
      ])
        // "The … permission was denied on the object".
        await expect(session.query({ name: 'forbidden', sql })).rejects.toMatchObject({ number: 229 });
      for (const change of [
        "Started_By = 'x'",
        'Started_At = GETUTCDATE()',
        'Job_Id = NEWID()',
        "Job_Type = 'RevokeExpiredDatabricksRequests'",
        "Status = 'Failed', Started_By = 'x'",
      ])
        // "The UPDATE permission was denied on the column …".
        await expect(
          session.query({ name: 'forbidden', sql: `UPDATE dbo.JobRun SET ${change};` }),
        ).rejects.toMatchObject({ number: 230 });
    } finally {
      session.close();
    }
  },
);
