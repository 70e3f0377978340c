import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDatabase, createSampleDatabase, openSession } from '../../local/sampleDatabase';
import { startStandIns, type StandIns } from '../../local/standIns';
import type { Row, Session } from '../../src/database/session';
import { checkApplicationInsights } from '../../cli/doctor/applicationInsights';
import {
  describeDatabase,
  examined,
  readFacts,
  type DatabaseFacts,
  type ExaminedDatabase,
} from '../../cli/doctor/database';
import { checkEmailEndpoint } from '../../cli/doctor/email';
import { diagnose } from '../../cli/doctor/doctor';
import { readExpectedSchema, type ExpectedSchema } from '../../cli/doctor/expectedSchema';
import { formatFinding, type Finding } from '../../cli/doctor/finding';
import { checkGrants } from '../../cli/doctor/grants';
import { checkToken, databaseScope } from '../../cli/doctor/identity';
import { checkMasks } from '../../cli/doctor/masks';
import { checkAlwaysEncrypted, checkRowLevelSecurity } from '../../cli/doctor/protection';
import { checkPermissions, checkRole } from '../../cli/doctor/permissions';
import { checkJobSchedule } from '../../cli/doctor/schedules';
import { checkRuns } from '../../cli/doctor/runs';
import { checkTable } from '../../cli/doctor/tables';
import { checkGrantView, checkRequestView } from '../../cli/doctor/views';
import { settingNames } from '../../src/config/settings';
import { isEmailAddress } from '../../src/email/address';
import { databricks, palantir } from '../../src/jobs/platforms';
import { ended, runCommand, startCommand, useCommands, type Command, type Ended } from '../support/commands';
import { jobOf } from '../support/environment';

const root = join(__dirname, '../..');
let standIns: StandIns;
let session: Session;
let facts: DatabaseFacts;
let database: ExaminedDatabase;
let schema: ExpectedSchema;

useCommands();
beforeAll(async () => {
  schema = readExpectedSchema(join(root, 'sql'));
  standIns = await startStandIns();
  // @azure/identity reads both from the process.
  Object.assign(process.env, standIns.identity.environment);
  await createSampleDatabase(standIns);
  session = await openSession(standIns);
  facts = await readFacts(session);
  database = examined(session, facts);
});

afterAll(async () => {
  session.close();
  await standIns.close();
});

type Change = Readonly<Record<string, string>>;

/** The whole output for the stand-ins' environment with some settings changed. */
async function examineWith(change: Change = {}): Promise<string[]> {
  const lines: string[] = [];
  const telemetry = `InstrumentationKey=${randomUUID()};IngestionEndpoint=${standIns.email.endpoint}`;
  const environment = {
    ...standIns.environment,
    APPLICATIONINSIGHTS_CONNECTION_STRING: telemetry,
    ...change,
  };
  for await (const finding of diagnose(environment)) lines.push(formatFinding(finding));
  return lines;
}

/** What npm run db:deploy does: missing tables and indexes come back, the views and grants are those of sql/. */
async function redeploy(): Promise<void> {
  const deployment = await openSession(standIns);
  try {
    await createDatabase(deployment);
  } finally {
    deployment.close();
  }
}

const withMark = (mark: string, lines: readonly string[]): string[] =>
  lines.filter((line) => line.startsWith(`${mark} `));
const run = (sql: string): Promise<Row[]> => session.query({ name: 'test', sql });
const textOf = (findings: readonly Finding[]): string[] => findings.map(formatFinding);

/** A loopback port on which nobody listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** The database with the answers to some statements changed, as another server or identity would have them. */
function answering(
  changes: Readonly<Record<string, (row: Row) => Row | undefined>>,
  differing: Partial<ExaminedDatabase> = {},
): ExaminedDatabase {
  return {
    ...database,
    ...differing,
    query: async (statement) => {
      const rows = await session.query(statement);
      const change = changes[statement.name];
      return change ? rows.map(change).filter((row) => row !== undefined) : rows;
    },
  };
}

/** The database as if a statement returned these rows. */
function answeringWith(name: string, rows: readonly Row[]): ExaminedDatabase {
  return {
    ...database,
    query: (statement) => (statement.name === name ? Promise.resolve([...rows]) : session.query(statement)),
  };
}

function table(name: string): ExpectedSchema['tables'][number] {
  const found = schema.tables.find((candidate) => candidate.name === name);
  if (!found) throw new Error(`sql/ does not define ${name}`);
  return found;
}

describe('a sound environment', () => {
  let lines: string[];
  let sent: string[];

  beforeAll(async () => {
    standIns.sql.clearStatements();
    lines = await examineWith();
    sent = standIns.sql.statements
      .map(({ text }) => text)
      .filter((text) => !text.startsWith('set ansi_nulls'));
  });

  test('has every concern marked as in order, with no failure and nothing skipped', () => {
    const subjects = withMark('✓', lines)
      .map((line) => line.replace(/^✓ ([^:]+(?=:)|\S+).*$/, '$1'))
      .filter((subject) => !subject.startsWith('setting '));
    expect(subjects).toEqual([
      'settings',
      'identity',
      'token for https',
      'token for https',
      'database',
      ...schema.tables.map(({ name }) => `table ${name}`),
      'view dbo.AccessRequest_Databricks',
      'view dbo.AccessGrant_Databricks',
      'view dbo.AccessRequest_Palantir',
      'view dbo.AccessGrant_Palantir',
      'permissions',
      'role AccessExpiryJobs',
      'row-level security',
      'runs in dbo.JobRun',
      'job RevokeExpiredDatabricksRequests',
      'job RevokeExpiredPalantirRequests',
      'job ExpiryNotificationDatabricksRequests',
      'job ExpiryNotificationPalantirRequests',
      'grants of dbo.AccessGrant_Databricks',
      'grants of dbo.AccessGrant_Palantir',
      'email endpoint https',
      'email sender access@example.com',
      'schedule of RevokeExpiredDatabricksRequests',
      'schedule of RevokeExpiredPalantirRequests',
      'schedule of ExpiryNotificationDatabricksRequests',
      'schedule of ExpiryNotificationPalantirRequests',
      'Application Insights',
    ]);
    expect([...withMark('✗', lines), ...withMark('–', lines)]).toEqual([]);
  });

  test('is warned of what the sample holds: unusable addresses, and an identity that may do more than the jobs need', () => {
    expect(withMark('!', lines)).toEqual([
      expect.stringContaining(
        'dbo.DataAccessDeltaRequests: dbo has SELECT, INSERT, UPDATE, DELETE: more than',
      ),
      expect.stringContaining(
        'dbo.DataAccessPalantirRequests: dbo has SELECT, INSERT, UPDATE, DELETE: more than',
      ),
      expect.stringMatching(/addresses of dbo\.AccessGrant_Databricks: [1-9]\d* missing, [1-9]\d* malformed/),
      expect.stringMatching(/addresses of dbo\.AccessGrant_Palantir: [1-9]\d* missing, [1-9]\d* malformed/),
    ]);
  });

  test('is only read from: one SELECT a statement, no message, no temporary table', () => {
    expect(sent.length).toBeGreaterThan(20);
    for (const text of sent) {
      expect(text).toMatch(/^SELECT [^;]*;$/);
      expect(text).not.toMatch(/\bINTO\b|#/);
    }
    expect(standIns.email.messages).toEqual([]);
    expect(standIns.email.requests.map(({ method }) => method)).toEqual(['GET']);
  });
});

describe('in the database', () => {
  test('a column that a view lacks is named, with where to add it; its grants are skipped', async () => {
    await run(`CREATE OR ALTER VIEW dbo.AccessGrant_Palantir AS
      SELECT r.RequestId, r.RequestNumber, r.RequestedBy AS RequesterName, r.ProjectName AS Resource, r.AccessEndDate AS ExpiresAt, CAST(NULL AS NVARCHAR(400)) AS AccessKey
      FROM dbo.DataAccessPalantirRequests AS r;`);
    const lines = await examineWith();
    await redeploy();
    expect(withMark('✗', lines)).toEqual([
      '✗ column dbo.AccessGrant_Palantir.RequesterEmail: missing → ' +
        'add it (varchar, nvarchar, char or nchar) to the view in sql/06_AccessGrant_views.sql, then npm run db:deploy -- --replace-views',
    ]);
    expect(withMark('–', lines)).toEqual([
      '– grants of dbo.AccessGrant_Palantir: the view is not as the jobs need it',
    ]);
  });

  test('a column of a view with a type that the jobs cannot use is named', async () => {
    await run(`CREATE OR ALTER VIEW dbo.AccessGrant_Databricks AS
      SELECT r.request_number AS RequestId, r.request_number AS RequestNumber, r.requested_by AS RequesterName,
        r.requested_by_email AS RequesterEmail, r.table_name AS Resource, r.justification AS ExpiresAt, NULL AS AccessKey
      FROM dbo.DataAccessDeltaRequests AS r;`);
    const lines = await examineWith();
    await redeploy();
    expect(withMark('✗', lines)).toEqual([
      expect.stringContaining('column dbo.AccessGrant_Databricks.RequestId: is varchar, expected int →'),
      expect.stringContaining(
        'column dbo.AccessGrant_Databricks.ExpiresAt: is nvarchar, expected datetime, datetime2, smalldatetime or date →',
      ),
    ]);
  });

  test('a view from before the column AccessKey is named, with what to add', async () => {
    await run(`CREATE OR ALTER VIEW dbo.AccessGrant_Palantir AS
      SELECT r.RequestId, r.RequestNumber, r.RequestedBy AS RequesterName, r.RequestedByEmail AS RequesterEmail,
        r.ProjectName AS Resource, r.AccessEndDate AS ExpiresAt
      FROM dbo.DataAccessPalantirRequests AS r;`);
    const lines = await examineWith();
    await redeploy();
    expect(withMark('✗', lines)).toEqual([
      '✗ view dbo.AccessGrant_Palantir: lacks the column AccessKey: add `CAST(NULL AS NVARCHAR(400)) AS AccessKey` to it → ' +
        'in sql/06_AccessGrant_views.sql, then npm run db:deploy -- --replace-views',
    ]);
  });

  test('a view that is missing is named', async () => {
    await run('DROP VIEW dbo.AccessGrant_Databricks;');
    const lines = await examineWith();
    await redeploy();
    expect(withMark('✗', lines)).toContainEqual(
      expect.stringMatching(/^✗ view dbo\.AccessGrant_Databricks: missing.*→ npm run db:deploy/),
    );
  });

  test('a view of requests that is missing is a warning alone, with how to add it', async () => {
    await run(`CREATE OR ALTER VIEW dbo.AccessGrant_Databricks AS
      SELECT r.id AS RequestId, r.request_number AS RequestNumber, r.requested_by AS RequesterName,
        r.requested_by_email AS RequesterEmail, r.table_name AS Resource, r.access_end_dt AS ExpiresAt, r.request_number AS AccessKey
      FROM dbo.DataAccessDeltaRequests AS r WHERE r.request_status = 'Approved' AND r.access_end_dt IS NOT NULL;
    `);
    await run('DROP VIEW dbo.AccessRequest_Databricks;');
    const lines = await examineWith();
    await redeploy();
    expect(withMark('✗', lines)).toEqual([]);
    expect(withMark('!', lines)).toContain(
      '! view dbo.AccessRequest_Databricks: missing: the status page and the API know requests by their ids alone → ' +
        'map it in sql/06_AccessGrant_views.sql, then npm run db:deploy',
    );
  });

  test('a column that a view of requests lacks is named', async () => {
    await run(`CREATE OR ALTER VIEW dbo.AccessRequest_Palantir AS
      SELECT r.RequestId, r.RequestNumber, r.RequestedBy AS RequesterName, r.RequestedByEmail AS RequesterEmail,
        r.ProjectName AS Resource, r.AccessEndDate AS ExpiresAt, r.RequestNumber AS AccessKey
      FROM dbo.DataAccessPalantirRequests AS r;`);
    const lines = textOf(await checkRequestView(database, palantir, schema));
    await redeploy();
    expect(lines).toEqual([
      expect.stringMatching(/^✗ column dbo\.AccessRequest_Palantir\.RequestStatus: missing → add it/),
    ]);
  });

  test('a view that yields a request more than once is named', async () => {
    await run(`CREATE OR ALTER VIEW dbo.AccessGrant_Databricks AS
      SELECT r.id AS RequestId, r.request_number AS RequestNumber, r.requested_by AS RequesterName,
        r.requested_by_email AS RequesterEmail, r.table_name AS Resource, r.access_end_dt AS ExpiresAt, r.request_number AS AccessKey
      FROM dbo.DataAccessDeltaRequests AS r
      JOIN (SELECT 1 AS n UNION ALL SELECT 2 AS n) AS twice ON twice.n > 0
      WHERE r.access_end_dt IS NOT NULL;`);
    const lines = await examineWith();
    await redeploy();
    expect(withMark('✗', lines)).toEqual([
      expect.stringMatching(
        /^✗ grants of dbo\.AccessGrant_Databricks: (\d+) of \d+ rows repeat a RequestId: .* → correct the join in/,
      ),
    ]);
  });

  test('a view that yields rows without a request is named', async () => {
    await run(`CREATE OR ALTER VIEW dbo.AccessGrant_Databricks AS
      SELECT CASE WHEN r.id > 3 THEN r.id END AS RequestId, r.request_number AS RequestNumber, r.requested_by AS RequesterName,
        r.requested_by_email AS RequesterEmail, r.table_name AS Resource, r.access_end_dt AS ExpiresAt, r.request_number AS AccessKey
      FROM dbo.DataAccessDeltaRequests AS r;`);
    const lines = await examineWith();
    await redeploy();
    expect(withMark('✗', lines)).toEqual([
      expect.stringMatching(/^✗ grants of dbo\.AccessGrant_Databricks: 3 of \d+ rows have no RequestId: /),
    ]);
  });

  test('a job whose last run failed has failed, with the reason that the status page gives', async () => {
    await run(`INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By, Completed_At, Error_Message)
VALUES (NEWID(), 'RevokeExpiredPalantirRequests', 'Failed', GETUTCDATE(), 'host', GETUTCDATE(), 'The view is gone.');`);
    const lines = await examineWith();
    await run('DELETE FROM dbo.JobRun;');
    expect(withMark('✗', lines)).toEqual([
      expect.stringMatching(
        /^✗ job RevokeExpiredPalantirRequests: Failed\. .*The view is gone\..* → docs\/operating\.md/,
      ),
    ]);
    expect(withMark('✓', lines)).toContainEqual(
      expect.stringMatching(/^✓ job RevokeExpiredDatabricksRequests: Never run\. /),
    );
  });

  test('a job whose own setting is wrong has failed, as Misconfigured', async () => {
    const lines = await examineWith({ REVOCATION_CEILING: 'many' });
    const jobLines = withMark('✗', lines).filter((line) => line.includes(' job '));
    expect(jobLines).toEqual(
      ['Databricks', 'Palantir'].map(
        (platform) =>
          expect.stringContaining(
            `job RevokeExpired${platform}Requests: Misconfigured. It cannot run: REVOCATION_CEILING is malformed: `,
          ) as string,
      ),
    );
  });

  describe('a run that the jobs did not write so', () => {
    const insert = (type: string, status: string, minutesAhead: number): Promise<Row[]> =>
      run(`DECLARE @jobId UNIQUEIDENTIFIER = NEWID();
INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By)
SELECT @jobId, '${type}', '${status}', DATEADD(MINUTE, ${minutesAhead}, GETUTCDATE()), 'host';
SELECT @jobId AS Job_Id;`);

    afterEach(async () => {
      await run('DROP TABLE dbo.JobRun;');
      await redeploy();
    });

    test('is named where it is in progress since a time in the future', async () => {
      await insert('RevokeExpiredPalantirRequests', 'InProgress', 0);
      await insert('RevokeExpiredDatabricksRequests', 'Completed', 90);
      expect(textOf(await checkRuns(database))).toEqual(['✓ runs in dbo.JobRun: 2, 1 in progress']);
      const [{ Job_Id: id } = {}] = await insert('RevokeExpiredDatabricksRequests', 'InProgress', 90);
      expect(textOf(await checkRuns(database))).toEqual([
        '✓ runs in dbo.JobRun: 3, 2 in progress',
        expect.stringMatching(
          `^! run ${id as string}: RevokeExpiredDatabricksRequests, in progress since .* UTC, which is in the future → `,
        ),
      ]);
    });

    test('is named where its letters are wrong, with the statement that corrects it', async () => {
      await run('ALTER TABLE dbo.JobRun DROP CONSTRAINT CK_JobRun_Status, CK_JobRun_Job_Type;');
      const [{ Job_Id: id } = {}] = await insert('revokeexpiredpalantirrequests', 'inprogress', 0);
      await insert('RevokeExpiredDatabricksRequests', 'Done', 0);
      const [, ...lines] = textOf(await checkRuns(database));
      expect(lines).toEqual([
        expect.stringMatching(
          /^✗ run .*: Status is 'Done', expected one of InProgress, Completed, Failed → correct or delete/,
        ),
        `✗ run ${id as string}: Status is 'inprogress', expected 'InProgress' → UPDATE dbo.JobRun SET Status = 'InProgress' WHERE Job_Id = '${id as string}'`,
        expect.stringContaining(
          "Job_Type is 'revokeexpiredpalantirrequests', expected 'RevokeExpiredPalantirRequests'",
        ),
      ]);
      for (const line of lines) {
        const [, statement] = / → (UPDATE .*)$/.exec(line) ?? [];
        if (statement) await run(statement);
      }
      expect(textOf(await checkRuns(database))).toHaveLength(2);
    });
  });

  test.each(['UX_JobRun_Job_Type_InProgress', 'IX_JobRun_Job_Type_Started_At'])(
    'the missing index %s is named, and what is advised corrects it',
    async (index) => {
      await run(`DROP INDEX ${index} ON dbo.JobRun;`);
      const lines = await examineWith();
      expect(withMark('✗', lines)).toEqual([`✗ index ${index}: missing → npm run db:deploy`]);
      await redeploy();
      expect(withMark('✗', await examineWith())).toEqual([]);
    },
  );

  test('an index of another shape is named: the lock without its filter, or not unique', async () => {
    const index = 'UX_JobRun_Job_Type_InProgress';
    await run(`DROP INDEX ${index} ON dbo.JobRun; CREATE INDEX ${index} ON dbo.JobRun (Job_Type);`);
    const lines = await examineWith();
    await run(`DROP INDEX ${index} ON dbo.JobRun;`);
    await redeploy();
    expect(withMark('✗', lines)).toEqual([
      `✗ index ${index}: is INDEX (Job_Type), expected UNIQUE INDEX (Job_Type) INCLUDE (Job_Id, Started_At, Started_By) WHERE Status='InProgress' → ` +
        `DROP INDEX ${index} ON dbo.JobRun, then npm run db:deploy`,
    ]);
  });

  test('a column that a table lacks is named, and the statement that is advised corrects it', async () => {
    await run('ALTER TABLE dbo.JobRun DROP COLUMN Error_Message;');
    const [line, ...others] = withMark('✗', await examineWith());
    // The permission goes with the column.
    expect(others).toEqual([
      '✗ role AccessExpiryJobs: not granted UPDATE (Error_Message) ON dbo.JobRun → npm run db:deploy',
    ]);
    const [, statement = ''] =
      /^✗ column dbo\.JobRun\.Error_Message: missing → (ALTER TABLE .*) \(npm run db:deploy/.exec(
        line ?? '',
      ) ?? [];
    expect(statement).toBe('ALTER TABLE dbo.JobRun ADD Error_Message VARCHAR(500) NULL');
    await run(statement);
    expect(withMark('✗', await examineWith())).toEqual([]);
  });

  test('a column of another type, length or nullability is named', async () => {
    await run(`ALTER TABLE dbo.JobRun DROP COLUMN Error_Message, Failed_Count, Processed_Count;
      ALTER TABLE dbo.JobRun ADD Error_Message VARCHAR(50) NULL, Failed_Count BIGINT NULL, Processed_Count INT NOT NULL DEFAULT 0;`);
    const findings = await checkTable(database, table('dbo.JobRun'), schema.roleScript);
    await run('DROP TABLE dbo.JobRun;');
    await redeploy();
    expect(textOf(findings).map((line) => line.replace(/ →.*/, ''))).toEqual([
      '✗ column dbo.JobRun.Processed_Count: is INT NOT NULL, expected INT NULL',
      '✗ column dbo.JobRun.Failed_Count: is BIGINT NULL, expected INT NULL',
      '✗ column dbo.JobRun.Error_Message: is VARCHAR(50) NULL, expected VARCHAR(500) NULL',
    ]);
  });

  test('a column that the app would leave empty is warned of where it may not be empty', async () => {
    await run("ALTER TABLE dbo.JobRun ADD Region VARCHAR(20) NOT NULL DEFAULT ('west');");
    const findings = await checkTable(database, table('dbo.JobRun'), schema.roleScript);
    await run('DROP TABLE dbo.JobRun;');
    await redeploy();
    expect(textOf(findings)).toEqual([
      expect.stringMatching(/^! column dbo\.JobRun\.Region: NOT NULL and unknown/),
    ]);
  });

  test('missing constraints are named', async () => {
    await run(`ALTER TABLE dbo.JobRun DROP CONSTRAINT CK_JobRun_Status, UQ_JobRun_Job_Id;
      ALTER TABLE dbo.RevokedAccess_Databricks DROP CONSTRAINT FK_RevokedAccess_Databricks_DataAccessDeltaRequests;`);
    const lines = await examineWith();
    await run('DROP TABLE dbo.JobRun, dbo.RevokedAccess_Databricks;');
    const withoutTables = await examineWith();
    await redeploy();
    expect(withMark('✗', lines).map((line) => line.replace(/ →.*/, ''))).toEqual([
      '✗ constraint FK_RevokedAccess_Databricks_DataAccessDeltaRequests: missing',
      '✗ index UQ_JobRun_Job_Id: missing',
      '✗ constraint CK_JobRun_Status: missing',
    ]);
    expect(withMark('✗', withoutTables).map((line) => line.replace(/:.*/, ''))).toEqual([
      '✗ table dbo.RevokedAccess_Databricks',
      '✗ table dbo.JobRun',
      '✗ permissions on dbo.RevokedAccess_Databricks',
      '✗ permissions on dbo.JobRun',
      '✗ role AccessExpiryJobs',
    ]);
  });

  test('a role that lacks a permission, or has one too many, is named', async () => {
    await run('REVOKE UPDATE (Status) ON dbo.JobRun FROM AccessExpiryJobs;');
    const lacking = await checkRole(database, schema);
    await redeploy();
    await run('GRANT DELETE, UPDATE (Started_By) ON dbo.JobRun TO AccessExpiryJobs;');
    const excessive = await checkRole(database, schema);
    await run('REVOKE DELETE, UPDATE ON dbo.JobRun FROM AccessExpiryJobs;');
    // As versions before the columns granted it.
    await run('GRANT UPDATE ON dbo.JobRun TO AccessExpiryJobs;');
    await redeploy();
    expect(formatFinding(await checkRole(database, schema))).toMatch(
      /^✓ role AccessExpiryJobs: 19 permissions/,
    );
    expect(formatFinding(lacking)).toBe(
      '✗ role AccessExpiryJobs: not granted UPDATE (Status) ON dbo.JobRun → npm run db:deploy',
    );
    expect(formatFinding(excessive)).toMatch(
      /^! role AccessExpiryJobs: granted more than in .*: DELETE ON dbo\.JobRun; UPDATE \(Started_By\) ON dbo\.JobRun/,
    );
  });

  test('a view without rows is warned of', async () => {
    await run(`CREATE OR ALTER VIEW dbo.AccessGrant_Databricks AS
      SELECT r.id AS RequestId, r.request_number AS RequestNumber, r.requested_by AS RequesterName,
        r.requested_by_email AS RequesterEmail, r.table_name AS Resource, r.access_end_dt AS ExpiresAt, r.request_number AS AccessKey
      FROM dbo.DataAccessDeltaRequests AS r WHERE r.request_status = 'approved?';`);
    const findings = await checkGrants(database, databricks, schema.viewScript);
    await redeploy();
    expect(textOf(findings)).toEqual([
      expect.stringMatching(/^! grants of dbo\.AccessGrant_Databricks: none/),
    ]);
  });

  test('a fault of the server in one check is named, and the other checks are made', async () => {
    standIns.sql.order({ kind: 'error', match: /COUNT\(DISTINCT/, number: 208, times: 1 });
    const lines = await examineWith();
    standIns.sql.clearFaults();
    expect(withMark('✗', lines)).toEqual([
      expect.stringMatching(
        /^✗ grants of dbo\.AccessGrant_Databricks: .*SQL error 208 .*→ run the view's SELECT/,
      ),
    ]);
    expect(withMark('✓', lines)).toContainEqual(
      expect.stringContaining('grants of dbo.AccessGrant_Palantir'),
    );
  });
});

describe('as SQL Server describes its objects', () => {
  test('a filter with brackets and a check as a chain of OR are those of the script', async () => {
    const kept = answering({
      readIndexes: (row) => ({
        ...row,
        FilterDefinition: row.FilterDefinition === null ? null : "([Status]='InProgress')",
      }),
      readCheckConstraints: (row) => ({
        ...row,
        Detail:
          row.Name === 'CK_JobRun_Status'
            ? "([Status]='Failed' OR [Status]='Completed' OR [Status]='InProgress')"
            : row.Detail,
      }),
    });
    expect(await checkTable(kept, table('dbo.JobRun'), schema.roleScript)).toEqual([
      expect.objectContaining({ status: 'ok' }),
    ]);
  });

  test('a check that allows another value is named', async () => {
    const other = answering({
      readCheckConstraints: (row) => ({ ...row, Detail: "([Status]='Failed' OR [Status]='Done')" }),
    });
    expect(textOf(await checkTable(other, table('dbo.JobRun'), schema.roleScript))).toContainEqual(
      expect.stringContaining(
        "CK_JobRun_Status: is CHECK 'Done', 'Failed', expected CHECK 'Completed', 'Failed'",
      ),
    );
  });

  test('a plain member of the role, who sees neither conditions nor the request tables, finds all in order', async () => {
    const hidden = answering({
      readIndexes: (row) => ({ ...row, FilterDefinition: null }),
      readCheckConstraints: (row) => ({ ...row, Detail: null }),
      readForeignKeys: (row) => ({ ...row, Detail: null }),
    });
    for (const expected of schema.tables)
      expect(await checkTable(hidden, expected, schema.roleScript)).toEqual([
        expect.objectContaining({ status: 'ok' }),
      ]);
  });

  test('a constraint or index that is disabled is named', async () => {
    const disabled = answering({
      readIndexes: (row) => ({ ...row, IsDisabled: row.Name === 'IX_JobRun_Job_Type_Started_At' }),
      readCheckConstraints: (row) => ({ ...row, IsDisabled: row.Name === 'CK_JobRun_Status', Detail: null }),
    });
    expect(textOf(await checkTable(disabled, table('dbo.JobRun'), schema.roleScript))).toEqual([
      expect.stringMatching(/^✗ index IX_JobRun_Job_Type_Started_At: is INDEX .*, DISABLED, expected/),
      expect.stringMatching(/^✗ constraint CK_JobRun_Status: is .*DISABLED, expected/),
    ]);
  });

  const least = (permissions: Readonly<Record<string, readonly string[]>>): ExaminedDatabase => ({
    ...database,
    query: (statement) => {
      const object = statement.parameters?.object?.value as string | undefined;
      const row = Object.fromEntries(
        [...statement.sql.matchAll(/AS \[([^\]]+)\]/g)].map(([, permission = '']) => [
          permission,
          permissions[object ?? '']?.includes(permission) ? 1 : null,
        ]),
      );
      return Promise.resolve([statement.name === 'readUserName' ? { Name: 'func-access' } : row]);
    },
  });

  test('an identity with what the role grants and no more has no warning', async () => {
    const granted = Object.fromEntries(schema.grants.map(({ object, permissions }) => [object, permissions]));
    expect(await checkPermissions(least(granted), schema)).toEqual([
      expect.objectContaining({ status: 'ok' }),
    ]);
  });

  test('a permission that the identity lacks is named, with how to give it', async () => {
    const granted = Object.fromEntries(schema.grants.map(({ object, permissions }) => [object, permissions]));
    const lacking = least({ ...granted, 'dbo.JobRun': ['SELECT', 'INSERT'], 'dbo.AccessGrant_Palantir': [] });
    const lines = textOf(await checkPermissions(lacking, schema));
    expect(lines).toEqual([
      expect.stringMatching(/^✗ permissions on dbo\.AccessGrant_Palantir: func-access lacks SELECT →/),
      expect.stringMatching(
        /^✗ permissions on dbo\.JobRun: func-access lacks UPDATE \(Status\), .*, UPDATE \(Error_Message\) → .*ALTER ROLE AccessExpiryJobs ADD MEMBER/,
      ),
    ]);
  });

  describe('to an identity', () => {
    const nothing = (): Promise<Row[]> => Promise.resolve([]);

    test.each([
      [true, '✗ role AccessExpiryJobs: missing, or granted nothing → npm run db:deploy'],
      [false, '– role AccessExpiryJobs: cannot be seen by this identity'],
    ])(
      'a role of which nothing is seen is missing only if it sees all (%s)',
      async (seesDefinitions, line) => {
        const blind = { ...database, seesDefinitions, query: nothing };
        expect(formatFinding(await checkRole(blind, schema))).toBe(line);
      },
    );

    test.each([
      [true, /^✗ (table|view) dbo\.\w+: missing → npm run db:deploy$/],
      [
        false,
        /^– (table|view) dbo\.\w+: cannot be seen by this identity: it is missing, or the identity lacks the role in sql\/07/,
      ],
    ])(
      'a table or view of which nothing is seen is missing only if it sees all (%s)',
      async (seesDefinitions, line) => {
        const blind = { ...database, seesDefinitions, query: nothing };
        const findings = [
          ...(await checkTable(blind, table('dbo.JobRun'), schema.roleScript)),
          ...(await checkGrantView(blind, palantir, schema)),
        ];
        expect(textOf(findings)).toEqual([expect.stringMatching(line), expect.stringMatching(line)]);
      },
    );

    test.each([
      [true, '✗', 'missing'],
      [false, '–', 'cannot be seen by this identity'],
    ])(
      'an index or constraint that is not seen is missing only if it sees all (%s)',
      async (seesDefinitions, sign, text) => {
        const part = answering(
          { readIndexes: () => undefined, readForeignKeys: () => undefined },
          { seesDefinitions },
        );
        const findings = await checkTable(part, table('dbo.RevokedAccess_Palantir'), schema.roleScript);
        expect(textOf(findings).map((line) => line.replace(/ →.*/, ''))).toEqual([
          `${sign} index PK_RevokedAccess_Palantir: ${text}`,
          `${sign} index IX_RevokedAccess_Palantir_PalantirRequestId_Revoked_Dt: ${text}`,
          `${sign} index IX_RevokedAccess_Palantir_Revoked_Dt: ${text}`,
          `${sign} constraint FK_RevokedAccess_Palantir_DataAccessPalantirRequests: ${text}`,
        ]);
      },
    );
  });

  describe('names in other letters', () => {
    const upper = (row: Row): Row =>
      Object.fromEntries(
        Object.entries(row).map(([key, value]) => [
          key,
          /Name|Detail|Filter/.test(key) &&
          key !== 'TypeName' &&
          typeof value === 'string' &&
          !value.includes(' ')
            ? value.replace(/'[^']*'|\w+/g, (word) => (word.startsWith("'") ? word : word.toUpperCase()))
            : value,
        ]),
      );
    const changes = {
      readColumns: upper,
      readIndexes: upper,
      readForeignKeys: upper,
      readCheckConstraints: (row: Row) => ({ ...row, Name: (row.Name as string).toUpperCase() }),
    };

    test('are those of the script where the database ignores case', async () => {
      expect(facts.foldName('JobRun')).toBe('jobrun');
      const other = answering(changes);
      for (const expected of schema.tables)
        expect(textOf(await checkTable(other, expected, schema.roleScript))).toEqual([
          expect.stringMatching(`^✓ table ${expected.name}: `),
        ]);
      expect(textOf(await checkGrantView(other, palantir, schema))).toEqual([
        expect.stringMatching(/^✓ view/),
      ]);
    });

    test('are others where it does not', async () => {
      const other = answering(changes, { foldName: (name) => name });
      expect(textOf(await checkGrantView(other, palantir, schema))).toContainEqual(
        expect.stringMatching(/^✗ column dbo\.AccessGrant_Palantir\.RequestNumber: missing/),
      );
      expect(textOf(await checkTable(other, table('dbo.JobRun'), schema.roleScript))).toContainEqual(
        expect.stringMatching(/^✗ column dbo\.JobRun\.Job_Type: missing/),
      );
    });

    test.each([
      [1, 'dbo'],
      [0, 'DBO'],
    ])('are compared as the database does (%d)', async (NamesIgnoreCase, folded) => {
      const { foldName } = await readFacts(answering({ readFacts: (row) => ({ ...row, NamesIgnoreCase }) }));
      expect(foldName('DBO')).toBe(folded);
    });
  });

  test('a compatibility level that does not know OPENJSON is named', () => {
    const lines = (compatibilityLevel: number | null): string[] =>
      textOf(describeDatabase({ ...facts, compatibilityLevel }, 'server:1433'));
    expect(facts.compatibilityLevel).toBeGreaterThanOrEqual(130);
    expect(lines(130)).toEqual([
      expect.stringMatching(/^✓ database: access on server:1433, Microsoft SQL Server/),
    ]);
    expect(lines(null)).toHaveLength(1);
    expect(lines(120)[1]).toBe(
      '✗ compatibility level: is 120, expected 130 or higher: the jobs read lists by OPENJSON → ' +
        'ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = 130',
    );
  });

  test.each([
    [
      { UnmasksAll: 0, Unmasks: 0, RoleUnmasks: 0 },
      'masked, and this identity cannot see through it: it lacks UNMASK',
    ],
    [
      { UnmasksAll: 0, Unmasks: null, RoleUnmasks: 1 },
      'masked, and this identity cannot see through it: it lacks UNMASK',
    ],
    [
      { UnmasksAll: 1, Unmasks: null, RoleUnmasks: 0 },
      'masked: this identity sees through it (UNMASK), the role AccessExpiryJobs does not',
    ],
    [{ UnmasksAll: 0, Unmasks: 1, RoleUnmasks: 1 }, undefined],
  ])('a masked column is named unless all who matter see through the mask: %j', async (row, text) => {
    const masked = answeringWith('readMaskedColumns', [{ Name: 'access_end_dt', ...row }]);
    const advice =
      'if the view maps it, GRANT UNMASK ON dbo.DataAccessDeltaRequests (access_end_dt) TO AccessExpiryJobs ' +
      '(before SQL Server 2022: GRANT UNMASK TO AccessExpiryJobs)';
    expect(textOf(await checkMasks(masked, 'dbo.DataAccessDeltaRequests', schema))).toEqual(
      text === undefined ? [] : [`! column dbo.DataAccessDeltaRequests.access_end_dt: ${text} → ${advice}`],
    );
  });

  test('a table that row-level security filters is named, behind a view or not', async () => {
    const filtered = answeringWith('readSecurityPolicies', [
      { Policy: 'RequestFilter', TableName: 'dbo.DataAccessPalantirRequests' },
      { Policy: 'HrFilter', TableName: 'hr.Person' },
    ]);
    expect(textOf(await checkRowLevelSecurity(filtered, schema))).toEqual([
      '! row-level security of dbo.DataAccessPalantirRequests: the policy RequestFilter filters it: rows that it keeps ' +
        "from the app are missing without an error → let its predicate pass the app: OR IS_ROLEMEMBER(N'AccessExpiryJobs') = 1",
      expect.stringMatching(
        /^! row-level security of hr\.Person: the policy HrFilter filters it, which matters if a view reads it: /,
      ),
    ]);
  });

  test('no filter is believed only where the identity may see one', async () => {
    expect(textOf(await checkRowLevelSecurity(database, schema))).toEqual([
      '✓ row-level security: filters no table',
    ]);
    expect(textOf(await checkRowLevelSecurity({ ...database, seesDefinitions: false }, schema))).toEqual([
      '– row-level security: cannot be seen by this identity',
    ]);
  });

  test('an encrypted column is named with what it breaks', async () => {
    const encrypted = answeringWith('readEncryptedColumns', [
      { Name: 'requested_by_email', Encryption: 'RANDOMIZED' },
    ]);
    expect(textOf(await checkAlwaysEncrypted(encrypted, 'dbo.DataAccessDeltaRequests'))).toEqual([
      expect.stringMatching(
        /^! column dbo\.DataAccessDeltaRequests\.requested_by_email: Always Encrypted \(RANDOMIZED\), and the app holds no key: .*RequesterEmail.* → if the view maps it, map a column that is not encrypted$/,
      ),
    ]);
  });

  test('a trigger on JobRun is named: it is part of taking the lock', async () => {
    const triggered = answeringWith('readTriggers', [{ Name: 'TR_Audit' }]);
    expect(textOf(await checkRuns(triggered))).toEqual([
      expect.stringMatching(/^✓ runs in dbo\.JobRun/),
      expect.stringMatching(
        /^! trigger TR_Audit on dbo\.JobRun: .* → if jobs fail, DISABLE TRIGGER TR_Audit ON dbo\.JobRun$/,
      ),
    ]);
  });
});

test.each([databricks, palantir])(
  'addresses of $name are counted over many pages by the rule of the app',
  async (platform) => {
    const rows = await run(`SELECT RequesterEmail FROM ${platform.grantView};`);
    const addresses = rows.map(({ RequesterEmail }) => ((RequesterEmail ?? '') as string).trim());
    const missing = addresses.filter((address) => address === '').length;
    const malformed = addresses.filter((address) => address !== '' && !isEmailAddress(address)).length;
    const pageSize = 7;
    expect(rows.length).toBeGreaterThan(10 * pageSize);
    expect(textOf(await checkGrants(database, platform, schema.viewScript, pageSize))).toEqual([
      expect.stringContaining(`: ${rows.length}, ending from `),
      expect.stringMatching(
        new RegExp(`: ${missing} missing, ${malformed} malformed \\((\\d+ with [^,]+(, )?)+\\): no reminder`),
      ),
    ]);
  },
);

describe('settings', () => {
  test('are shown with the values in force, but for what is secret', async () => {
    const lines = await examineWith({
      REVOCATION_CEILING: '250',
      SQL_USER: 'sa',
      SQL_PASSWORD: 'not to be seen',
    });
    expect(lines).toContain('✓ setting SQL_SERVER: localhost');
    expect(lines).toContain('✓ setting REVOCATION_CEILING: 250');
    expect(lines).toContain('✓ setting NOTIFICATION_LEAD_DAYS: 14,7,1 (default)');
    expect(lines).toContain('✓ setting EMAIL_REPLY_TO: not set');
    expect(lines).toContain('✓ setting SQL_PASSWORD: (set, not shown)');
    expect(lines.join('\n')).not.toMatch(/not to be seen|InstrumentationKey/);
    expect(lines.filter((line) => line.includes(' setting '))).toHaveLength(settingNames.length);
  });

  test('that look like a misspelt one are warned of', async () => {
    const lines = await examineWith({ REVOCATION_CEILLING: '250' });
    expect(lines).toContain(
      '! setting REVOCATION_CEILLING: unknown; is REVOCATION_CEILING meant? → rename it to REVOCATION_CEILING, or remove it',
    );
    expect(lines).toContain('✓ setting REVOCATION_CEILING: 1000 (default)');
  });

  test('a bad sender and a bad schedule are named each, and all else is examined', async () => {
    const lines = await examineWith({
      EMAIL_SENDER_ADDRESS: 'access at example',
      SCHEDULE_REVOKE_DATABRICKS: '0 61 * * * *',
    });
    expect(withMark('✗', lines)).toEqual([
      expect.stringMatching(/^✗ setting EMAIL_SENDER_ADDRESS: expected an email address.*→ correct it/),
      expect.stringMatching(
        /^✗ setting SCHEDULE_REVOKE_DATABRICKS: "0 61 \* \* \* \*" is not a valid NCRONTAB expression: "61" in the field minute/,
      ),
      ...['RevokeExpiredDatabricks', 'ExpiryNotificationDatabricks', 'ExpiryNotificationPalantir'].map(
        (name) => expect.stringContaining(`✗ job ${name}Requests: Misconfigured. `) as string,
      ),
    ]);
    expect(withMark('–', lines)).toEqual([
      '– email sender: EMAIL_SENDER_ADDRESS has to be corrected first',
      '– schedule of RevokeExpiredDatabricksRequests: SCHEDULE_REVOKE_DATABRICKS has to be corrected first',
    ]);
    expect(withMark('✓', lines)).toContainEqual(expect.stringContaining('table dbo.JobRun'));
    expect(withMark('✓', lines)).toContainEqual(expect.stringContaining('accepts the identity'));
  });

  test('without those of the database and of email, each is named and what needs them is skipped', async () => {
    const lines = await examineWith({
      SQL_SERVER: '',
      SQL_USER: 'sa',
      EMAIL_ENDPOINT: 'http://localhost',
      AZURE_CLIENT_ID: 'mine',
      APPLICATIONINSIGHTS_CONNECTION_STRING: 'key',
    });
    expect(
      withMark('✗', lines)
        .map((line) => line.replace(/:.*/, ''))
        .sort(),
    ).toEqual([
      '✗ setting APPLICATIONINSIGHTS_CONNECTION_STRING',
      '✗ setting AZURE_CLIENT_ID',
      '✗ setting EMAIL_ENDPOINT',
      '✗ setting SQL_PASSWORD',
      '✗ setting SQL_SERVER',
    ]);
    expect(withMark('–', lines).map((line) => line.replace(/:.*/, ''))).toEqual([
      '– identity',
      '– database',
      '– email endpoint',
      '– Application Insights',
    ]);
  });
});

test('what is waited for is said before the findings on it', async () => {
  const lines: string[] = [];
  const steps = diagnose({ ...standIns.environment }, { waitingFor: (what) => void lines.push(`… ${what}`) });
  for await (const finding of steps) lines.push(formatFinding(finding));
  const before = (start: string): string | undefined =>
    lines[lines.findIndex((line) => line.startsWith(start)) - 1];
  expect(before('✓ token for https://database')).toBe("… identity's token");
  expect(before('✓ database')).toBe('… database (it may be waking up)');
  expect(before('✓ table dbo.JobRun')).toBe('… table dbo.JobRun');
  expect(before('✓ grants of dbo.AccessGrant_Palantir')).toBe('… grants of dbo.AccessGrant_Palantir');
  expect(before('✓ email endpoint')).toBe('… email service');
});

describe('identity and reach', () => {
  test('a token that cannot be got is named for each service, and what needs it is skipped', async () => {
    standIns.identity.order({ kind: 'error', status: 400, times: Infinity });
    // Tokens are kept by client id for the life of the process.
    const lines = await examineWith({ AZURE_CLIENT_ID: randomUUID() });
    standIns.identity.clearFaults();
    expect(withMark('✗', lines)).toEqual([
      expect.stringMatching(
        /^✗ token for https:\/\/database\.windows\.net: could not get one: .*→ assign the identity/,
      ),
      expect.stringMatching(
        /^✗ token for https:\/\/communication\.azure\.com: could not get one, for the same reason → .*AZURE_CLIENT_ID/,
      ),
    ]);
    expect(withMark('–', lines)).toEqual([
      '– database: there is no token for it',
      '– email endpoint: there is no token for it',
    ]);
  });

  test('a missing developer sign-in is named by the line that az login corrects, not by the whole chain', async () => {
    const chain = [
      'ChainedTokenCredential authentication failed.',
      'CredentialUnavailableError: EnvironmentCredential is unavailable.',
      "CredentialUnavailableError: Please run 'az login' from a command prompt.",
    ].join('\n');
    const credential = { getToken: () => Promise.reject(new Error(chain)) };
    expect(formatFinding(await checkToken(credential, databaseScope, false))).toBe(
      '✗ token for https://database.windows.net: could not get one: ChainedTokenCredential authentication failed. ' +
        "CredentialUnavailableError: Please run 'az login' from a command prompt. → sign in with az login",
    );
  });

  test('the identity is named: the client id, or the SQL login', async () => {
    const clientId = randomUUID();
    expect(await examineWith({ AZURE_CLIENT_ID: clientId })).toContain(
      `✓ identity: managed identity with the client id ${clientId}`,
    );
    const lines = await examineWith({ SQL_USER: 'sa', SQL_PASSWORD: 'wrong' });
    expect(lines).toContain(
      '✓ identity: SQL login sa for the database; for email, managed identity, system-assigned',
    );
    expect(withMark('✗', lines)).toEqual([
      expect.stringMatching(
        /^✗ database: The database access on localhost:\d+ cannot be reached: .*SQL error 18456.*→ check SQL_SERVER/,
      ),
    ]);
    expect(lines.join('\n')).not.toContain('wrong');
  });

  test('a database that cannot be reached is named, and what is in it is skipped', async () => {
    const port = await freePort();
    const lines = await examineWith({ SQL_PORT: String(port) });
    expect(withMark('✗', lines)).toEqual([
      expect.stringMatching(
        `^✗ database: The database access on localhost:${port} cannot be reached: .*→ check SQL_SERVER`,
      ),
    ]);
    expect(withMark('✗', lines)[0]?.match(/Could not connect|ECONNREFUSED/g)).toEqual([
      'Could not connect',
      'ECONNREFUSED',
    ]);
    expect(withMark('–', lines)).toEqual([
      '– tables, views, permissions and grants: the database cannot be reached',
    ]);
  });

  test.each([
    [401, '✗', 'refuses the identity (HTTP 401) → give it the role'],
    [403, '✗', 'refuses the identity (HTTP 403) → give it the role'],
    [429, '!', 'is throttled (HTTP 429) → try again later'],
    [503, '✗', 'answered HTTP 503 → compare EMAIL_ENDPOINT'],
  ])('an email service that answers %d is marked with %s', async (status, mark, text) => {
    standIns.email.order({ kind: 'error', on: 'status', status });
    const lines = await examineWith();
    expect(withMark(mark, lines).filter((line) => line.includes('email endpoint'))).toEqual([
      expect.stringContaining(text),
    ]);
  });

  test('an email endpoint that cannot be reached is named with the cause', async () => {
    const endpoint = `https://localhost:${await freePort()}`;
    expect(withMark('✗', await examineWith({ EMAIL_ENDPOINT: endpoint }))).toEqual([
      expect.stringMatching(
        `^✗ email endpoint ${endpoint}: cannot be reached: .*ECONNREFUSED.*→ compare EMAIL_ENDPOINT`,
      ),
    ]);
  });

  test('an address that answers, but not as the email service does, is warned of', async () => {
    const credential = { getToken: () => Promise.resolve({ token: 'any', expiresOnTimestamp: 0 }) };
    const email = { endpoint: standIns.email.mailbox, senderAddress: 'access@example.com' };
    expect(formatFinding(await checkEmailEndpoint(email, credential))).toMatch(
      /^! email endpoint .* but not as the email service does/,
    );
  });
});

describe('Application Insights', () => {
  test('without a connection string is warned of', async () => {
    expect(formatFinding(await checkApplicationInsights(undefined))).toMatch(
      /^! Application Insights: not connected.*→ set APPLICATIONINSIGHTS_CONNECTION_STRING/,
    );
  });

  test('is in order when its ingestion endpoint opens a connection, with TLS or without', async () => {
    for (const endpoint of [`${standIns.email.endpoint}/`, standIns.email.mailbox])
      expect(
        formatFinding(await checkApplicationInsights(`InstrumentationKey=k;IngestionEndpoint=${endpoint}`)),
      ).toBe(`✓ Application Insights: the ingestion endpoint ${endpoint} can be reached`);
  });

  test('fails when nobody listens there, or nobody answers in time', async () => {
    const closed = `IngestionEndpoint=https://localhost:${await freePort()}`;
    expect(formatFinding(await checkApplicationInsights(closed))).toMatch(
      /^✗ .*cannot be reached: .*ECONNREFUSED/,
    );
    // It reads, or it would not see that the client has gone.
    const silent = createServer((socket) => socket.resume()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const finding = await checkApplicationInsights(`IngestionEndpoint=https://localhost:${port}`, 100);
    silent.close();
    expect(formatFinding(finding)).toMatch(/^✗ .*cannot be reached: .*time/);
  });
});

describe('a schedule', () => {
  test.each([
    ['revocation', '0 0 * * * *', undefined],
    ['revocation', '0 */15 * * * *', undefined],
    ['notification', '0 30 6-18 * * *', undefined],
    ['notification', '0 0 7-18 * * *', undefined],
    ['revocation', '0 0 */2 * * *', '2 h'],
    ['revocation', '0 0 3 * * *', '24 h'],
    ['revocation', '0 0 8-17 * * *', '15 h'],
    ['notification', '0 0 9 * * *', '24 h'],
    ['notification', '0 0 * * * 1-5', '2 days'],
  ] as const)('of a %s, %s, is warned of where it pauses too long: %s', (kind, expression, pause) => {
    const line = formatFinding(checkJobSchedule(jobOf(kind, 'Palantir'), expression, { timeZone: 'UTC' }));
    if (pause === undefined) expect(line).toMatch(/^✓/);
    else expect(line).toMatch(new RegExp(`^! .*; it pauses for ${pause}, longer than .* → run it hourly`));
  });

  const job = jobOf('notification', 'Palantir');
  const from = new Date('2026-11-24T17:45:00Z');
  const lineFor = (expression: string, timeZone = 'UTC'): string =>
    formatFinding(checkJobSchedule(job, expression, { timeZone }, from));

  test.each(['30 0 * * * *', '0 0 0 1 * *', '0 0 0 * jan *'])(
    '%s has no words of its own and is shown as it is',
    (expression) => {
      expect(lineFor(expression)).toContain(`${expression}; next `);
    },
  );

  test('is shown with its next three times in UTC', () => {
    expect(lineFor('0 30 6-18 * * *')).toBe(
      '✓ schedule of ExpiryNotificationPalantirRequests: hourly from 06:30 to 18:30 UTC (0 30 6-18 * * *); ' +
        'next 2026-11-24 18:30 UTC, 2026-11-25 06:30 UTC, 2026-11-25 07:30 UTC',
    );
  });

  test('is shown with the times of the zone in which the host reads it', () => {
    expect(lineFor('0 30 6-18 * * *', 'Europe/Berlin')).toBe(
      '✓ schedule of ExpiryNotificationPalantirRequests: hourly from 06:30 to 18:30 Europe/Berlin (0 30 6-18 * * *); ' +
        'next 2026-11-25 05:30 UTC, 2026-11-25 06:30 UTC, 2026-11-25 07:30 UTC',
    );
  });

  test('that means something else than most people would is to be looked at', () => {
    expect(lineFor('0 0 0 * * SAT-SUN')).toBe(
      '! schedule of ExpiryNotificationPalantirRequests: daily at 00:00 UTC (0 0 0 * * SAT-SUN); ' +
        'next 2026-11-25 00:00 UTC, 2026-11-26 00:00 UTC, 2026-11-27 00:00 UTC. ' +
        '"SAT-SUN" in the field day of week means SUN-SAT: the host swaps the ends of a reversed range. ' +
        '→ if something else is meant, correct SCHEDULE_NOTIFY_PALANTIR',
    );
  });

  test('that names a time that never comes is to be looked at', () => {
    expect(lineFor('0 0 0 31 2 *')).toBe(
      '! schedule of ExpiryNotificationPalantirRequests: 0 0 0 31 2 *; names a time that never comes: the timer never fires → correct SCHEDULE_NOTIFY_PALANTIR',
    );
  });

  test('in another zone than UTC is said with the setting that puts it there', async () => {
    const lines = await examineWith({ TZ: 'Europe/Berlin', SCHEDULE_NOTIFY_PALANTIR: '01:00:00' });
    expect(lines).toContain(
      '! time zone of the schedules: TZ is set: the host reads them in Europe/Berlin, summer time included → remove TZ if UTC is meant; Flex Consumption does not support it',
    );
    expect(lines.join('\n')).toMatch(/schedule of RevokeExpiredDatabricksRequests: hourly at :00/);
    expect(withMark('✗', lines)).toEqual([
      expect.stringMatching(
        /^✗ setting SCHEDULE_NOTIFY_PALANTIR: "01:00:00" is a time span, .* App Service plan/,
      ),
      expect.stringContaining('✗ job ExpiryNotificationPalantirRequests: Misconfigured. '),
    ]);
    expect((await examineWith({ TZ: 'Berlin' })).filter((line) => line.startsWith('✗'))).toEqual([
      expect.stringMatching(/^✗ setting TZ: "Berlin" is not the IANA name of a time zone/),
    ]);
  });
});

describe('what sql/ defines', () => {
  test('is read whole: five tables with their columns, keys, indexes and constraints', () => {
    expect(
      schema.tables.map(({ name, columns, indexes, constraints }) => [
        name,
        columns.size,
        indexes.size,
        constraints.size,
      ]),
    ).toEqual([
      ['dbo.ExpiryNotification_Databricks', 5, 2, 1],
      ['dbo.ExpiryNotification_Palantir', 5, 2, 1],
      ['dbo.RevokedAccess_Databricks', 4, 3, 1],
      ['dbo.RevokedAccess_Palantir', 4, 3, 1],
      ['dbo.JobRun', 10, 4, 2],
    ]);
    expect(schema.grants.flatMap(({ permissions }) => permissions)).toHaveLength(19);
    expect(schema.requestTables).toEqual(['dbo.DataAccessDeltaRequests', 'dbo.DataAccessPalantirRequests']);
  });

  test('is refused where a column is written in a form that is not understood', () => {
    const directory = mkdtempSync(join(tmpdir(), 'doctor-'));
    writeFileSync(join(directory, '01_table.sql'), 'CREATE TABLE dbo.T (\n  Id INT NOT NULL DEFAULT 0\n);\n');
    try {
      expect(() => readExpectedSchema(directory)).toThrow(
        'sql/01_table.sql: cannot read the column Id INT NOT NULL DEFAULT 0',
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('npm run doctor', () => {
  const doctor = (change: Change): Command =>
    startCommand('cli/doctor.ts', [], { environment: { ...standIns.environment, ...change } });

  test('ends without a word when nobody reads on', async () => {
    const child = doctor({});
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    await once(child.stdout, 'data');
    child.stdout.destroy();
    await once(child, 'close');
    expect(errors).toBe('');
  });

  test('prints a line for each finding and ends with 0 in a sound environment', async () => {
    const { code, output } = await ended(doctor({}));
    expect(output).toMatch(/✓ table dbo\.JobRun: 10 columns.*\n/);
    // On a terminal alone.
    expect(output).not.toContain('waiting');
    expect(output).toMatch(/\n0 failed, \d+ to look at, 0 skipped, \d+ in order\n$/);
    expect(code).toBe(0);
  });

  test('ends with 1 if anything failed', async () => {
    const { code, output } = await ended(doctor({ SCHEDULE_NOTIFY_PALANTIR: 'daily' }));
    expect(output).toMatch(/✗ setting SCHEDULE_NOTIFY_PALANTIR: .*\n/);
    expect(output).toMatch(/\n2 failed, /);
    expect(code).toBe(1);
  });
});

describe('local.settings.json', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'settings-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));
  const doctor = (text: string, change: Change = {}): Promise<Ended> => {
    writeFileSync(join(directory, 'local.settings.json'), text);
    // Without a sign-in for Azure: there the file is not read.
    const environment = { ...standIns.environment, AZURE_TOKEN_CREDENTIALS: '', ...change };
    return runCommand('cli/doctor.ts', [], { cwd: directory, environment });
  };

  test.each([
    [{ SQL_SERVER: 'access.database.windows.net' }, 'and SQL_SERVER is access.database.windows.net'],
    [{ AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential' }, 'AZURE_TOKEN_CREDENTIALS is set'],
    [{ AZURE_CLIENT_SECRET: 'x' }, 'AZURE_CLIENT_SECRET is set'],
  ])('serves no database in Azure: with %j it is not read, and it is said', async (change, reason) => {
    const text = '{ "Values": { "SQL_USER": "sa", "SQL_PASSWORD": "swordfish", "SQL_PORT": "1" } }';
    const { stdout, stderr } = await doctor(text, {
      ...change,
      // Missing, so that no server is asked.
      SQL_DATABASE: '',
    });
    expect(stderr).toContain(`local.settings.json is not read: `);
    expect(stderr).toContain(reason);
    expect(stdout).toContain('✓ setting SQL_USER: not set');
    expect(stdout).toContain('✓ setting SQL_PASSWORD: not set');
  });

  test('that names a server elsewhere is not read', async () => {
    const { SQL_SERVER, ...others } = standIns.environment;
    expect(SQL_SERVER).toBe('localhost');
    const text = '{ "Values": { "SQL_SERVER": "access.database.windows.net", "REVOCATION_CEILING": "5" } }';
    writeFileSync(join(directory, 'local.settings.json'), text);
    const { stdout, stderr } = await runCommand('cli/doctor.ts', [], {
      cwd: directory,
      environment: { ...others, AZURE_TOKEN_CREDENTIALS: '' },
    });
    expect(stderr).toContain('SQL_SERVER is access.database.windows.net. The settings come from the env');
    expect(stdout).toContain('✗ setting SQL_SERVER: missing');
    expect(stdout).toContain('✓ setting REVOCATION_CEILING: 1000 (default)');
  });

  test.each([
    ['{\n  "Values": {\n    "SQL_PASSWORD": swordfish\n  }\n}', 'line 3, column 21'],
    ['{\n  "Values": {\n    "SQL_PASSWORD": "swordfish"\n    "SQL_USER": "sa"\n  }\n}', 'line 4, column 5'],
    ['{ "Values": { "SQL_PASSWORD": "swordfish"', 'line 1, column 42'],
  ])('that is no JSON is named, with the place and without a value: %j', async (text, place) => {
    const { code, stdout, stderr } = await doctor(text);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^local\.settings\.json is not valid JSON: \w+ at line \d+, column \d+\./);
    expect(stderr).toContain(place);
    expect(stderr).not.toContain('swordfish');
  });

  test('may have comments and numbers; the environment comes first', async () => {
    const text =
      '\uFEFF{ // as the Core Tools take it\n "Values": { "NOTIFICATION_LEAD_DAYS": 400, "REVOCATION_CEILING": "no", }, }';
    const { stdout } = await doctor(text, { REVOCATION_CEILING: '5' });
    expect(stdout).toContain('setting NOTIFICATION_LEAD_DAYS: expected');
    expect(stdout).not.toContain('setting REVOCATION_CEILING: expected');
  });
});
