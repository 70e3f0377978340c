import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkApplicationInsights } from '../../cli/doctor/applicationInsights';
import {
  describeDatabase,
  readFacts,
  type DatabaseFacts,
  type ExaminedDatabase,
} from '../../cli/doctor/database';
import { databaseChecks } from '../../cli/doctor/databaseChecks';
import { diagnose } from '../../cli/doctor/doctor';
import { checkEmailEndpoint } from '../../cli/doctor/email';
import { formatFinding } from '../../cli/doctor/finding';
import { checkToken, databaseScope } from '../../cli/doctor/identity';
import { checkJobSchedule } from '../../cli/doctor/schedules';
import { grants, tables } from '../../cli/doctor/schema';
import { readTable } from '../../cli/doctor/tables';
import { createDatabase, createSampleDatabase, openSession } from '../../local/sampleDatabase';
import { startStandIns, type StandIns } from '../../local/standIns';
import { readSettings, settingNames } from '../../src/config/settings';
import type { Row, Session } from '../../src/database/session';
import type { Statement } from '../../src/database/statement';
import { isEmailAddress } from '../../src/email/address';
import type { Job } from '../../src/jobs/catalogue';
import { platforms } from '../../src/jobs/platforms';
import { closedPort } from '../support/closedPort';
import { runCommand, type Ended } from '../support/commands';
import { jobOf } from '../support/environment';

let standIns: StandIns;
let session: Session;
let facts: DatabaseFacts;
let database: ExaminedDatabase;

beforeAll(async () => {
  standIns = await startStandIns();
  // @azure/identity reads both from the process.
  Object.assign(process.env, standIns.identity.environment);
  await createSampleDatabase(standIns);
  session = await openSession(standIns);
  facts = await readFacts(session);
  database = { ...facts, session };
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

/**
 * What npm run db:deploy does: missing tables and indexes come back, the views and grants are those of sql/.
 * @param changes what is replaced in the scripts: "text => other text"
 */
async function redeploy(changes: readonly string[] = []): Promise<void> {
  const deployment = await openSession(standIns);
  const query = deployment.query.bind(deployment);
  const change = (sql: string, line: string): string => {
    const [text = '', other = ''] = line.split(/ => ?/);
    return sql.replaceAll(text, other);
  };
  jest
    .spyOn(deployment, 'query')
    .mockImplementation((statement) => query({ ...statement, sql: changes.reduce(change, statement.sql) }));
  try {
    await createDatabase(deployment);
  } finally {
    deployment.close();
  }
}

/** Makes tables anew, from their scripts with such changes. */
async function remakeTables(changes?: readonly string[]): Promise<void> {
  await run('DROP TABLE dbo.JobRun, dbo.RevokedAccess_Databricks;');
  await redeploy(changes);
}

const withMark = (mark: string, lines: readonly string[]): string[] =>
  lines.filter((line) => line.startsWith(`${mark} `));
const run = (sql: string): Promise<Row[]> => session.query({ name: 'test', sql });
/** The beginnings of the lines of a text, in which "…" stands for anything. */
const linesOf = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) =>
      line
        .trim()
        .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
        .replaceAll('…', '.*'),
    );
const beginningWith = (text: TemplateStringsArray, ...values: readonly (string | number)[]): string[] =>
  linesOf(String.raw({ raw: text }, ...values)).map(
    (pattern) => expect.stringMatching(`^${pattern}`) as string,
  );

/** Cases separated by empty lines: a name, what is given, and the beginnings of the findings. */
function casesOf(text: string): (readonly [name: string, given: string[], expected: string])[] {
  return text.split(/\n\s*\n/).map((block) => {
    const [name = '', ...lines] = block.trim().split(/\n\s*/);
    const isFinding = (line: string): boolean => /^[✗!–]/.test(line);
    return [name, lines.filter((line) => !isFinding(line)), lines.filter(isFinding).join('\n')];
  });
}

/** The warnings of the unchanged sample. */
const ofSample = `
  ! permissions on dbo.DataAccessDeltaRequests: dbo has SELECT, INSERT, UPDATE, DELETE: more than the jobs need
  ! permissions on dbo.DataAccessPalantirRequests: dbo has SELECT, INSERT, UPDATE, DELETE: more than the jobs need
  ! addresses of dbo.AccessGrant_Databricks: … missing, … malformed
  ! addresses of dbo.AccessGrant_Palantir: … missing, … malformed`;
/** Findings other than those in order and the warnings of the sample. */
const troubles = (lines: readonly string[]): string[] =>
  lines.filter(
    (line) => !line.startsWith('✓') && !linesOf(ofSample).some((known) => new RegExp(`^${known}`).test(line)),
  );

type Answers = Readonly<Record<string, ((row: Row) => Row | undefined) | readonly Row[]>>;

/** The database with other answers to some statements, as another server would give them. */
const answering = (answers: Answers, differing: Partial<ExaminedDatabase> = {}): ExaminedDatabase =>
  withQuery(differing, async (statement) => {
    const answer = answers[statement.name];
    if (typeof answer !== 'function') return answer ? [...answer] : session.query(statement);
    return (await session.query(statement)).map(answer).filter((row) => row !== undefined);
  });

const withQuery = (
  differing: Partial<ExaminedDatabase>,
  query: (statement: Statement) => Promise<Row[]>,
): ExaminedDatabase => ({ ...database, ...differing, session: { query: query as Session['query'] } });

/** The findings of one check of the database. */
async function examine(subject: string, one = database): Promise<string[]> {
  const check = databaseChecks(readSettings(standIns.environment)).find((each) => each.subject === subject);
  if (!check) throw new Error(`There is no check of the ${subject}`);
  return (await check.check(one, new Map())).map(formatFinding);
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

  test('has every subject in order, but for the warnings of the sample', () => {
    const subjects = withMark('✓', lines)
      .map((line) => line.replace(/^✓ ([^:]+(?=:)|\S+).*$/, '$1'))
      .filter((subject) => !subject.startsWith('setting '));
    const jobTypes = ['RevokeExpired', 'ExpiryNotification'].flatMap((verb) =>
      ['Databricks', 'Palantir'].map((name) => `${verb}${name}Requests`),
    );
    expect(subjects).toEqual([
      'settings',
      'identity',
      'token for https',
      'token for https',
      'database',
      ...tables.map(({ name }) => `table ${name}`),
      'view dbo.AccessRequest_Databricks',
      'view dbo.AccessGrant_Databricks',
      'view dbo.AccessRequest_Palantir',
      'view dbo.AccessGrant_Palantir',
      'permissions',
      'role AccessExpiryJobs',
      'row-level security',
      'runs in dbo.JobRun',
      ...jobTypes.map((type) => `job ${type}`),
      'grants of dbo.AccessGrant_Databricks',
      'grants of dbo.AccessGrant_Palantir',
      'email endpoint https',
      'email sender access@example.com',
      ...jobTypes.map((type) => `schedule of ${type}`),
      'Application Insights',
    ]);
    expect(withMark('!', lines)).toEqual(beginningWith`${ofSample}`);
    expect(troubles(lines)).toEqual([]);
  });

  test('is only read: each statement is one SELECT, without a temporary table, and no message is sent', () => {
    expect(sent.length).toBeGreaterThan(20);
    for (const text of sent) {
      expect(text).toMatch(/^SELECT [^;]*;$/);
      expect(text).not.toMatch(/\bINTO\b|#/);
    }
    expect(standIns.email.messages).toEqual([]);
    // The stand-in is the ingestion endpoint too.
    expect(standIns.email.requests.map(({ method }) => method)).toEqual(['GET', 'HEAD']);
  });

  test.each(tables)('has in $name all that sql/ creates, and the doctor knows all of it', async (one) => {
    const actual = await readTable(database, one.name);
    expect(actual.map(({ part }) => part).sort()).toEqual(Object.keys(one.parts).sort());
  });
});

/** The columns of a view of grants on Databricks. */
const columns = {
  RequestId: 'r.id',
  RequestNumber: 'r.request_number',
  RequesterName: 'r.requested_by',
  RequesterEmail: 'r.requested_by_email',
  Resource: 'r.table_name',
  ExpiresAt: 'r.access_end_dt',
  AccessKey: 'r.request_number',
};

/** A view with some columns changed, or left out (''). */
function viewOf(
  change: Partial<typeof columns> = {},
  rest = 'WHERE r.access_end_dt IS NOT NULL',
  view = 'dbo.AccessGrant_Databricks',
): string {
  const selected = Object.entries({ ...columns, ...change })
    .filter(([, text]) => text !== '')
    .map(([name, text]) => `${text} AS ${name}`);
  return `CREATE OR ALTER VIEW ${view} AS SELECT ${selected.join(', ')} FROM dbo.DataAccessDeltaRequests AS r ${rest};`;
}

const runId = '00112233-4455-6677-8899-aabbccddeeff';
const insertRun = (type: string, status: string, minutesAhead = 0, id = `'${runId}'`): string =>
  `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By, Completed_At, Error_Message) ` +
  `SELECT ${id}, '${type}', '${status}', DATEADD(MINUTE, ${minutesAhead}, GETUTCDATE()), 'host', GETUTCDATE(), 'The view is gone.';`;

describe('what is wrong in the database', () => {
  const replaced = 'in sql/06_AccessGrant_views.sql, then npm run db:deploy -- --replace-views';
  const skippedGrants = '– grants of dbo.AccessGrant_Databricks: the view is not as the jobs need it';
  const skippedStates = '– states of the jobs: the table is not as the jobs need it';
  const lock = 'UX_JobRun_Job_Type_InProgress';
  const byHand = 'change it by hand to what sql/05_JobRun.sql says: npm run db:deploy leaves a table';

  /** Each with the statements or the changes of the scripts that make it, and the beginnings of the findings. */
  const states = `
    a view that lacks a column
    ${viewOf({ RequesterEmail: '' })}
    ✗ column dbo.AccessGrant_Databricks.RequesterEmail: missing → add it (varchar, nvarchar, char or nchar) to the view ${replaced}
    ${skippedGrants}

    columns of types that the jobs cannot use
    ${viewOf({ RequestId: 'r.request_number', ExpiresAt: 'r.justification', AccessKey: 'NULL' })}
    ✗ column dbo.AccessGrant_Databricks.RequestId: is varchar, expected int → map it to another column ${replaced}
    ✗ column dbo.AccessGrant_Databricks.ExpiresAt: is nvarchar, expected datetime, datetime2, smalldatetime or date →
    ${skippedGrants}

    a view from before AccessKey
    ${viewOf({ AccessKey: '' })}
    ✗ view dbo.AccessGrant_Databricks: lacks the column AccessKey: add \`CAST(NULL AS NVARCHAR(400)) AS AccessKey\` to it → ${replaced}
    ${skippedGrants}

    a missing view of grants
    DROP VIEW dbo.AccessGrant_Databricks;
    ✗ view dbo.AccessGrant_Databricks: missing → npm run db:deploy
    ✗ permissions on dbo.AccessGrant_Databricks: dbo lacks SELECT
    ✗ role AccessExpiryJobs: not granted SELECT ON dbo.AccessGrant_Databricks
    ${skippedGrants}

    a missing view of requests, which the jobs do without
    ${viewOf()}
    DROP VIEW dbo.AccessRequest_Databricks;
    ! view dbo.AccessRequest_Databricks: missing: the status page and the API know requests only by their ids → map it in sql/06_AccessGrant_views.sql, then npm run db:deploy

    a view of requests that lacks a column
    ${viewOf()}
    ${viewOf({}, '', 'dbo.AccessRequest_Databricks')}
    ✗ column dbo.AccessRequest_Databricks.RequestStatus: missing → add it

    a view that yields a request more than once
    ${viewOf({}, 'JOIN (SELECT 1 AS n UNION ALL SELECT 2 AS n) AS twice ON twice.n > 0')}
    ✗ grants of dbo.AccessGrant_Databricks: … of … rows repeat a RequestId: … → correct the join in

    a view that yields rows without a request
    ${viewOf({ RequestId: 'CASE WHEN r.id > 3 THEN r.id END' }, '')}
    ✗ grants of dbo.AccessGrant_Databricks: 3 of … rows have no RequestId: 

    a view without rows
    ${viewOf({}, "WHERE r.request_status = 'approved?'")}
    ! grants of dbo.AccessGrant_Databricks: none with an end → if there should be some, look at

    a job whose last run failed
    ${insertRun('RevokeExpiredPalantirRequests', 'Failed')}
    ✗ job RevokeExpiredPalantirRequests: Failed. …The view is gone.… → docs/operating.md

    a run in progress since a time in the future
    ${insertRun('RevokeExpiredPalantirRequests', 'InProgress', 0, 'NEWID()')}
    ${insertRun('ExpiryNotificationPalantirRequests', 'Completed', 90, 'NEWID()')}
    ${insertRun('RevokeExpiredDatabricksRequests', 'InProgress', 90)}
    ! run ${runId}: RevokeExpiredDatabricksRequests, in progress since … UTC, which is in the future → the next run closes it
    ✗ job RevokeExpiredDatabricksRequests: Overdue. 

    the lock without its filter, and not unique
    DROP INDEX ${lock} ON dbo.JobRun; CREATE INDEX ${lock} ON dbo.JobRun (Job_Type);
    ✗ index ${lock}: is INDEX (Job_Type), expected UNIQUE INDEX (Job_Type) INCLUDE (Job_Id, Started_At, Started_By) WHERE Status='InProgress' → DROP INDEX ${lock} ON dbo.JobRun, then npm run db:deploy
    ${skippedStates}

    missing indexes
    DROP INDEX ${lock} ON dbo.JobRun;
    DROP INDEX IX_JobRun_Job_Type_Started_At ON dbo.JobRun;
    ✗ index ${lock}: missing → npm run db:deploy
    ✗ index IX_JobRun_Job_Type_Started_At: missing → npm run db:deploy
    ${skippedStates}

    columns of another type, length or nullability
    Error_Message VARCHAR(500) NULL => Error_Message VARCHAR(50) NULL
    Failed_Count INT NULL => Failed_Count BIGINT NULL
    Processed_Count INT NULL => Processed_Count INT NOT NULL
    ✗ column dbo.JobRun.Processed_Count: is INT NOT NULL, expected INT NULL → ${byHand}
    ✗ column dbo.JobRun.Failed_Count: is BIGINT NULL, expected INT NULL → ${byHand}
    ✗ column dbo.JobRun.Error_Message: is VARCHAR(50) NULL, expected VARCHAR(500) NULL → ${byHand}
    ${skippedStates}

    a missing column
    Error_Message => Error_Text
    ✗ column dbo.JobRun.Error_Message: missing → ALTER TABLE dbo.JobRun ADD Error_Message VARCHAR(500) NULL (npm run db:deploy
    ✗ role AccessExpiryJobs: not granted UPDATE (Error_Message) ON dbo.JobRun → npm run db:deploy
    ${skippedStates}

    missing constraints
    CONSTRAINT CK_JobRun_Status CHECK (Status COLLATE Latin1_General_BIN2 IN ('InProgress', 'Completed', 'Failed')) =>
    CONSTRAINT UQ_JobRun_Job_Id UNIQUE =>
    CONSTRAINT FK_RevokedAccess_Databricks_DataAccessDeltaRequests REFERENCES dbo.DataAccessDeltaRequests (id) =>
    ✗ constraint FK_RevokedAccess_Databricks_DataAccessDeltaRequests: missing → change it by hand
    ✗ index UQ_JobRun_Job_Id: missing → ${byHand}
    ✗ constraint CK_JobRun_Status: missing → ${byHand}
    ${skippedStates}

    missing tables
    DROP TABLE dbo.JobRun, dbo.RevokedAccess_Databricks;
    ✗ table dbo.RevokedAccess_Databricks: missing → npm run db:deploy
    ✗ table dbo.JobRun: missing → npm run db:deploy
    ✗ permissions on dbo.RevokedAccess_Databricks
    ✗ permissions on dbo.JobRun
    ✗ role AccessExpiryJobs
    – runs in dbo.JobRun: the table was not found
    ${skippedStates}

    a role that lacks a permission
    REVOKE UPDATE (Status) ON dbo.JobRun FROM AccessExpiryJobs;
    ✗ role AccessExpiryJobs: not granted UPDATE (Status) ON dbo.JobRun → npm run db:deploy

    a role with permissions of its own
    GRANT DELETE, UPDATE (Started_By) ON dbo.JobRun TO AccessExpiryJobs;
    ! role AccessExpiryJobs: granted more than in …: DELETE ON dbo.JobRun; UPDATE (Started_By) ON dbo.JobRun
`;

  test.each(casesOf(states))('%s: named, with what to do', async (_, given, expected) => {
    const changes = given.filter((line) => line.includes(' =>'));
    try {
      if (changes.length > 0) await remakeTables(changes);
      else for (const statement of given) await run(statement);
      expect(troubles(await examineWith())).toEqual(beginningWith`${expected}`);
    } finally {
      // Tables and permissions that were changed are made anew.
      await redeploy();
      await run('REVOKE DELETE ON dbo.JobRun FROM AccessExpiryJobs;');
      await remakeTables();
    }
  });

  test('db:deploy revokes UPDATE on whole rows, which an earlier version granted', async () => {
    await run(
      'REVOKE UPDATE ON dbo.JobRun FROM AccessExpiryJobs; GRANT UPDATE ON dbo.JobRun TO AccessExpiryJobs;',
    );
    await redeploy();
    expect(troubles(await examineWith())).toEqual([]);
  });

  test('a fault of the server in one check is named, and the other checks are made', async () => {
    standIns.sql.order({ kind: 'error', match: /COUNT\(DISTINCT/, number: 208, times: 1 });
    const lines = await examineWith();
    standIns.sql.clearFaults();
    expect(withMark('✗', lines)).toEqual(
      beginningWith`✗ grants of dbo.AccessGrant_Databricks: …SQL error 208 …→ run the view's SELECT`,
    );
    expect(lines).toContainEqual(expect.stringContaining('✓ grants of dbo.AccessGrant_Palantir'));
  });
});

describe('as SQL Server describes its objects', () => {
  const jobRun = 'table dbo.JobRun';
  const grantView = 'view dbo.AccessGrant_Palantir';

  test('a plain member of the role, who sees neither conditions nor the request tables, finds all in order', async () => {
    const hidden = answering({
      readIndexes: (row) => ({ ...row, FilterDefinition: null }),
      readConstraints: (row) => ({ ...row, Condition: null, Referenced: null }),
    });
    for (const expected of tables)
      expect(await examine(`table ${expected.name}`, hidden)).toEqual(beginningWith`✓`);
  });

  /** The database as an identity with these permissions sees it. */
  const permitting = (permissions: Readonly<Record<string, readonly string[]>>): ExaminedDatabase =>
    withQuery({}, ({ name, sql, parameters }) => {
      if (name === 'readUserName') return Promise.resolve([{ Name: 'func-access' }]);
      const held = permissions[parameters?.object?.value as string] ?? [];
      const asked = [...sql.matchAll(/AS \[([^\]]+)\]/g)].map(([, permission = '']) => permission);
      return Promise.resolve([Object.fromEntries(asked.map((one) => [one, held.includes(one) ? 1 : null]))]);
    });

  test('what an identity lacks is named, with how to grant it; the role suffices', async () => {
    expect(await examine('permissions', permitting(grants))).toEqual(
      beginningWith`✓ permissions: func-access has all that … grants, on 9 objects`,
    );
    const lacking = { ...grants, 'dbo.JobRun': ['SELECT', 'INSERT'], 'dbo.AccessGrant_Palantir': [] };
    expect(await examine('permissions', permitting(lacking))).toEqual(beginningWith`
        ✗ permissions on dbo.AccessGrant_Palantir: func-access lacks SELECT →
        ✗ permissions on dbo.JobRun: func-access lacks UPDATE (Status), …, UPDATE (Error_Message) → …ALTER ROLE AccessExpiryJobs ADD MEMBER`);
  });

  const ofColumns = 'columns of dbo.DataAccessDeltaRequests';
  const ofRows = 'row-level security';
  const ofRole = 'role AccessExpiryJobs';

  const encrypted = { Name: 'requested_by_email', Encryption: 'RANDOMIZED' };
  const policies = [
    { Policy: 'RequestFilter', TableName: 'dbo.DataAccessPalantirRequests' },
    { Policy: 'HrFilter', TableName: 'hr.Person' },
  ];

  const changing =
    (name: string, change: Row) =>
    (row: Row): Row =>
      row.Name === name ? { ...row, ...change } : row;
  const [lock, history, check] = [
    'UX_JobRun_Job_Type_InProgress',
    'IX_JobRun_Job_Type_Started_At',
    'CK_JobRun_Status',
  ] as const;

  test.each<[what: string, subject: string, answers: Answers, expected: string]>([
    [
      'a filter with brackets and a check as a chain of OR, which are those of the script',
      jobRun,
      {
        readIndexes: changing(lock, { FilterDefinition: "([Status]='InProgress')" }),
        readConstraints: changing(check, {
          Condition: "([Status]='Failed' OR [Status]='Completed' OR [Status]='InProgress')",
        }),
      },
      '✓',
    ],
    [
      'a check that allows another value',
      jobRun,
      { readConstraints: changing(check, { Condition: "([Status]='Failed' OR [Status]='Done')" }) },
      "✗ constraint CK_JobRun_Status: is CHECK 'Done', 'Failed', expected CHECK 'Completed', 'Failed'",
    ],
    [
      'an index and a constraint that are disabled',
      jobRun,
      {
        readIndexes: changing(history, { IsDisabled: true }),
        readConstraints: changing(check, { IsDisabled: true, Condition: null }),
      },
      `✗ index IX_JobRun_Job_Type_Started_At: is INDEX …, DISABLED, expected
       ✗ constraint CK_JobRun_Status: is …DISABLED, expected`,
    ],
    [
      'an encrypted column',
      ofColumns,
      { readEncryptedColumns: [encrypted] },
      '! column dbo.DataAccessDeltaRequests.requested_by_email: Always Encrypted (RANDOMIZED), and the app holds no key: …RequesterEmail… → if the view maps it, map a column that is not encrypted',
    ],
    [
      'tables that row-level security filters, read by a view or not',
      ofRows,
      { readSecurityPolicies: policies },
      `! row-level security of dbo.DataAccessPalantirRequests: the policy RequestFilter filters it: rows that it keeps from the app are missing without an error → let its predicate pass the app: OR IS_ROLEMEMBER(N'AccessExpiryJobs') = 1
       ! row-level security of hr.Person: the policy HrFilter filters it, which matters if a view reads it: `,
    ],
    ['no filter', ofRows, {}, '✓ row-level security: filters no table'],
    [
      'a trigger on JobRun, which is part of taking the lock',
      'runs in dbo.JobRun',
      { readTriggers: [{ Name: 'TR_Audit' }] },
      `✓ runs in dbo.JobRun
       ! trigger TR_Audit on dbo.JobRun: … → if jobs fail, DISABLE TRIGGER TR_Audit ON dbo.JobRun`,
    ],
    [
      'a missing role',
      ofRole,
      { readRolePermissions: [] },
      '✗ role AccessExpiryJobs: missing, or granted nothing → npm run',
    ],
  ])('%s', async (_, subject, answers, expected) => {
    expect(await examine(subject, answering(answers))).toEqual(beginningWith`${expected}`);
  });

  const masked = { Name: 'access_end_dt', UnmasksAll: false, Unmasks: false, RoleUnmasks: false };
  const maskedColumn = '! column dbo.DataAccessDeltaRequests.access_end_dt: masked';
  const unmask =
    'if the view maps it, GRANT UNMASK ON dbo.DataAccessDeltaRequests (access_end_dt) TO AccessExpiryJobs ' +
    '(before SQL Server 2022: GRANT UNMASK TO AccessExpiryJobs)';
  const blind = `${maskedColumn}, and this identity cannot see through it: it lacks UNMASK → ${unmask}`;
  const roleIsBlind = `${maskedColumn}: this identity sees through it (UNMASK), the role AccessExpiryJobs does not → ${unmask}`;

  test.each<[unmasking: Row, expected: string]>([
    [{}, blind],
    [{ Unmasks: null, RoleUnmasks: true }, blind],
    [{ UnmasksAll: true, Unmasks: null }, roleIsBlind],
    [{ Unmasks: true, RoleUnmasks: true }, ''],
  ])('a masked column with %j', async (unmasking, expected) => {
    const found = await examine(ofColumns, answering({ readMaskedColumns: [{ ...masked, ...unmasking }] }));
    expect(found).toEqual(beginningWith`${expected}`);
  });

  const unseen = 'cannot be seen by this identity';
  const unseenOrMissing = `${unseen}: it is missing, or the identity lacks the role in sql/07_AccessExpiryJobs_role.sql`;
  const nothing: Answers = Object.fromEntries(
    ['readColumns', 'readIndexes', 'readConstraints', 'readRolePermissions'].map((name) => [name, []]),
  );

  test.each<[what: string, subject: string, answers: Answers, expected: string]>([
    ['filters', ofRows, {}, `– row-level security: ${unseen}`],
    ['a role', ofRole, nothing, `– role AccessExpiryJobs: ${unseen}`],
    ['a table', jobRun, nothing, `– table dbo.JobRun: ${unseenOrMissing}`],
    ['a view', grantView, nothing, `– view dbo.AccessGrant_Palantir: ${unseenOrMissing}`],
    [
      'indexes and constraints',
      'table dbo.RevokedAccess_Palantir',
      { readIndexes: [], readConstraints: [] },
      `– index PK_RevokedAccess_Palantir: ${unseen}
       – index IX_RevokedAccess_Palantir_PalantirRequestId_Revoked_Dt: ${unseen}
       – constraint FK_RevokedAccess_Palantir_DataAccessPalantirRequests: ${unseen}
       – index IX_RevokedAccess_Palantir_Revoked_Dt: ${unseen}`,
    ],
  ])('what an identity may not see is skipped: %s', async (_, subject, answers, expected) => {
    const found = await examine(subject, answering(answers, { seesDefinitions: false }));
    expect(found).toEqual(beginningWith`${expected}`);
  });

  describe('names in another case', () => {
    /** The names of objects in upper case; what is quoted stays. */
    const upper = (row: Row): Row =>
      Object.fromEntries(
        Object.entries(row).map(([key, value]) => [
          key,
          ['Name', 'ColumnName', 'FilterDefinition', 'Referenced'].includes(key) && typeof value === 'string'
            ? value.replace(/'[^']*'|\w+/g, (word) => (word.startsWith("'") ? word : word.toUpperCase()))
            : value,
        ]),
      );
    const changes = { readColumns: upper, readIndexes: upper, readConstraints: upper };

    test('are those of the script where the database ignores case', async () => {
      expect(facts.foldName('JobRun')).toBe('jobrun');
      const other = answering(changes);
      for (const expected of tables)
        expect(await examine(`table ${expected.name}`, other)).toEqual(
          beginningWith`✓ table ${expected.name}: `,
        );
      expect(await examine(grantView, other)).toEqual(beginningWith`✓ view`);
    });

    test('are unknown where it does not', async () => {
      const heedsCase = answering({ readFacts: (row) => ({ ...row, NamesIgnoreCase: false }) });
      const { foldName } = await readFacts(heedsCase.session);
      const other = answering(changes, { foldName });
      expect([...(await examine(grantView, other)), ...(await examine(jobRun, other))]).toEqual(
        expect.arrayContaining(beginningWith`
            ✗ column dbo.AccessGrant_Palantir.RequestNumber: missing
            ✗ column dbo.JobRun.Job_Type: missing`),
      );
    });
  });

  test('a compatibility level that does not know OPENJSON is named', () => {
    const lines = (compatibilityLevel: number | null): string[] =>
      describeDatabase({ ...facts, compatibilityLevel }, 'server:1433').map(formatFinding);
    expect(facts.compatibilityLevel).toBeGreaterThanOrEqual(130);
    const found = '✓ database: access on server:1433, Microsoft SQL Server';
    expect(lines(130)).toEqual(beginningWith`${found}`);
    expect(lines(null)).toHaveLength(1);
    expect(lines(120)).toEqual(beginningWith`${found}
        ✗ compatibility level: is 120, expected 130 or higher: the jobs read lists by OPENJSON → ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = 130`);
  });
});

test.each(platforms)('addresses of $name are counted by the rule of the app', async (platform) => {
  const rows = await run(`SELECT RequesterEmail FROM ${platform.grantView};`);
  const addresses = rows.map(({ RequesterEmail }) => ((RequesterEmail ?? '') as string).trim());
  const missing = addresses.filter((address) => address === '').length;
  const malformed = addresses.filter((address) => address !== '' && !isEmailAddress(address)).length;
  expect(await examine(`grants of ${platform.grantView}`)).toEqual([
    expect.stringContaining(`: ${rows.length}, ending from `),
    expect.stringMatching(
      `: ${missing} missing, ${malformed} malformed \\((\\d+ with [^,]+(, )?)+\\): no reminder`,
    ),
  ]);
});

describe('settings', () => {
  test('are shown with the values in force, but for secrets; unknown ones are warned of', async () => {
    const lines = await examineWith({
      REVOCATION_CEILING: '250',
      SQL_USER: 'sa',
      SQL_PASSWORD: 'not to be seen',
      REVOCATION_CEILLING: '5',
      'email-reply-to': 'x',
      TEST_SQL_SERVER: 'x',
      EMAIL: 'x',
    });
    expect(lines).toEqual(
      expect.arrayContaining([
        '✓ setting SQL_SERVER: localhost',
        '✓ setting REVOCATION_CEILING: 250',
        '✓ setting NOTIFICATION_LEAD_DAYS: 14,7,1 (default)',
        '✓ setting EMAIL_REPLY_TO: not set',
        '✓ setting SQL_PASSWORD: (set, not shown)',
      ]),
    );
    const unknown = 'unknown to the app → if a setting is meant, correct its name (docs/settings.md)';
    expect(withMark('!', lines).filter((line) => line.includes('setting '))).toEqual([
      `! setting REVOCATION_CEILLING: ${unknown}`,
      `! setting email-reply-to: ${unknown}`,
    ]);
    expect(withMark('✓', lines).filter((line) => line.includes(' setting '))).toHaveLength(
      settingNames.length,
    );
    expect(lines.join('\n')).not.toMatch(/not to be seen|InstrumentationKey/);
  });

  const first = 'has to be corrected first';
  const states = `
    a job whose own setting is wrong has failed, as Misconfigured
    REVOCATION_CEILING=many
    ✗ setting REVOCATION_CEILING
    ✗ job RevokeExpiredDatabricksRequests: Misconfigured. It cannot run: REVOCATION_CEILING is malformed:
    ✗ job RevokeExpiredPalantirRequests: Misconfigured. It cannot run: REVOCATION_CEILING is malformed:

    a bad sender and a bad schedule are named each, and all else is examined
    EMAIL_SENDER_ADDRESS=access at example
    SCHEDULE_REVOKE_DATABRICKS=0 61 * * * *
    ✗ setting EMAIL_SENDER_ADDRESS: malformed: expected an email address…→ correct it
    ✗ setting SCHEDULE_REVOKE_DATABRICKS: malformed: "0 61 * * * *" is not a valid NCRONTAB expression: "61" in the field minute
    ✗ job RevokeExpiredDatabricksRequests: Misconfigured.
    ✗ job ExpiryNotificationDatabricksRequests: Misconfigured.
    ✗ job ExpiryNotificationPalantirRequests: Misconfigured.
    – email sender: EMAIL_SENDER_ADDRESS ${first}
    – schedule of RevokeExpiredDatabricksRequests: SCHEDULE_REVOKE_DATABRICKS ${first}

    without those of the database and of email, each is named and what needs them is skipped
    SQL_SERVER=
    SQL_USER=sa
    EMAIL_ENDPOINT=http://localhost
    AZURE_CLIENT_ID=mine
    APPLICATIONINSIGHTS_CONNECTION_STRING=key
    ✗ setting SQL_SERVER
    ✗ setting AZURE_CLIENT_ID
    ✗ setting EMAIL_ENDPOINT
    ✗ setting APPLICATIONINSIGHTS_CONNECTION_STRING
    ✗ setting SQL_PASSWORD
    – identity: AZURE_CLIENT_ID ${first}
    – database: SQL_SERVER ${first}
    – email endpoint: EMAIL_ENDPOINT ${first}
    – Application Insights: APPLICATIONINSIGHTS_CONNECTION_STRING ${first}

    a zone of the schedules other than UTC is named by its setting
    TZ=Europe/Berlin
    SCHEDULE_NOTIFY_PALANTIR=01:00:00
    ✗ setting SCHEDULE_NOTIFY_PALANTIR: malformed: "01:00:00" is a time span, … App Service plan
    ✗ job ExpiryNotificationPalantirRequests: Misconfigured.
    ! time zone of the schedules: TZ is set: the host reads them in Europe/Berlin, summer time included → remove TZ if UTC is meant; Flex Consumption does not support it
    – schedule of ExpiryNotificationPalantirRequests: SCHEDULE_NOTIFY_PALANTIR ${first}

    a zone that is unknown is a wrong setting
    TZ=Berlin
    ✗ setting TZ: malformed: "Berlin" is not the IANA name of a time zone`;

  test.each(casesOf(states))('%s', async (_, settings, expected) => {
    const change = Object.fromEntries(settings.map((setting) => setting.split('='))) as Change;
    expect(troubles(await examineWith(change))).toEqual(beginningWith`${expected}`);
  });
});

test('what is waited for is reported before its findings', async () => {
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
  test('a token that cannot be obtained is named for each service, and what needs it is skipped', async () => {
    standIns.identity.order({ kind: 'error', status: 400, times: Infinity });
    // Tokens are cached by client id for the life of the process.
    const lines = await examineWith({ AZURE_CLIENT_ID: randomUUID() });
    standIns.identity.clearFaults();
    expect(troubles(lines)).toEqual(beginningWith`
        ✗ token for https://database.windows.net: could not get one: …→ assign the identity
        ✗ token for https://communication.azure.com: could not get one, for the same reason → …AZURE_CLIENT_ID
        – database: there is no token for it
        – email endpoint: there is no token for it`);
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
    expect(withMark('✗', lines)).toEqual(
      beginningWith`✗ database: The database access on localhost:… cannot be reached: …SQL error 18456…→ check SQL_SERVER`,
    );
    expect(lines.join('\n')).not.toContain('wrong');
  });

  test('a database or an email endpoint that cannot be reached is named with the cause', async () => {
    const port = await closedPort();
    const lines = await examineWith({ SQL_PORT: String(port), EMAIL_ENDPOINT: `https://localhost:${port}` });
    expect(troubles(lines)).toEqual(beginningWith`
        ✗ database: The database access on localhost:${port} cannot be reached: …→ check SQL_SERVER
        – tables, views, permissions and grants: the database cannot be reached
        ✗ email endpoint https://localhost:${port}: cannot be reached: …ECONNREFUSED…→ compare EMAIL_ENDPOINT`);
    // Once each.
    expect(troubles(lines)[0]?.match(/Could not connect|ECONNREFUSED/g)).toEqual([
      'Could not connect',
      'ECONNREFUSED',
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
    expect(withMark(mark, lines).filter((line) => line.includes('email endpoint'))).toEqual(
      beginningWith`${mark} email endpoint …${text}`,
    );
  });

  test('an address that answers, but not as the email service does, is warned of', async () => {
    const credential = { getToken: () => Promise.resolve({ token: 'any', expiresOnTimestamp: 0 }) };
    const email = { endpoint: standIns.email.mailbox, senderAddress: 'access@example.com' };
    expect(formatFinding(await checkEmailEndpoint(email, credential))).toMatch(
      /^! email endpoint .* but not as the email service does/,
    );
  });

  test('telemetry: an ingestion endpoint that answers, with TLS or without, is in order', async () => {
    const check = async (...args: Parameters<typeof checkApplicationInsights>): Promise<string> =>
      formatFinding(await checkApplicationInsights(...args));
    expect(await check(undefined)).toMatch(
      /^! Application Insights: not connected.*→ set APPLICATIONINSIGHTS_CONNECTION_STRING/,
    );
    for (const endpoint of [`${standIns.email.endpoint}/`, standIns.email.mailbox])
      expect(await check(`InstrumentationKey=k;IngestionEndpoint=${endpoint}`)).toBe(
        `✓ Application Insights: the ingestion endpoint ${endpoint} can be reached`,
      );
    expect(await check(`IngestionEndpoint=https://localhost:${await closedPort()}`)).toMatch(
      /^✗ .*cannot be reached: .*ECONNREFUSED/,
    );
    const silent = createServer((socket) => socket.resume()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    expect(await check(`IngestionEndpoint=http://localhost:${port}`, 100)).toMatch(
      /^✗ .*cannot be reached: .*time/,
    );
    silent.close();
  });
});

describe('a schedule', () => {
  const from = new Date('2026-11-24T17:45:00Z');
  const lineFor = (kind: Job['kind'], expression: string, timeZone: string): string =>
    formatFinding(checkJobSchedule(jobOf(kind, 'Palantir'), expression, { timeZone }, from));

  test.each([
    ['revocation', '0 0 * * * *', '✓'],
    ['revocation', '0 */15 * * * *', '✓'],
    ['revocation', '0 0 */2 * * *', '! …; it pauses for 2 h, longer than … → run it hourly'],
    ['revocation', '0 0 3 * * *', '! …; it pauses for 24 h, longer than … → run it hourly'],
    ['revocation', '0 0 8-17 * * *', '! …; it pauses for 15 h, longer than … → run it hourly'],
    ['notification', '0 0 9 * * *', '! …; it pauses for 24 h, longer than … → run it hourly'],
    ['notification', '0 0 * * * 1-5', '! …; it pauses for 2 days, longer than … → run it hourly'],
    ['notification', '0 0 7-18 * * *', '✓'],
    [
      'notification',
      '0 30 6-18 * * *',
      '✓ …: hourly from 06:30 to 18:30 UTC (0 30 6-18 * * *); next 2026-11-24 18:30 UTC, 2026-11-25 06:30 UTC, 2026-11-25 07:30 UTC',
    ],
    ['notification', '30 0 * * * *', '✓ …: 30 0 * * * *; next '],
    [
      'notification',
      '0 0 0 * * SAT-SUN',
      '! …: daily at 00:00 UTC (0 0 0 * * SAT-SUN); next …, 2026-11-27 00:00 UTC. "SAT-SUN" in the field day of week means SUN-SAT: ' +
        'the host swaps the ends of a reversed range. → if something else is meant, correct SCHEDULE_NOTIFY_PALANTIR',
    ],
    [
      'notification',
      '0 0 0 31 2 *',
      '! …: 0 0 0 31 2 *; names a time that never comes: the timer never fires → correct SCHEDULE_NOTIFY_PALANTIR',
    ],
  ] as const)('of a %s, %s: %s', (kind, expression, expected) => {
    expect([lineFor(kind, expression, 'UTC')]).toEqual(beginningWith`${expected}`);
  });

  test('in another time zone is shown in words of that zone, with its next times in UTC', () => {
    expect(lineFor('notification', '0 30 6-18 * * *', 'Europe/Berlin')).toContain(
      ': hourly from 06:30 to 18:30 Europe/Berlin (0 30 6-18 * * *); next 2026-11-25 05:30 UTC, 2026-11-25 06:30 UTC, ',
    );
  });
});

describe('npm run doctor', () => {
  test.each([
    [{}, 0, /✓ table dbo\.JobRun: 10 columns.*\n[^]*\n0 failed, \d+ to look at, 0 skipped, \d+ in order\n$/],
    [
      { SCHEDULE_NOTIFY_PALANTIR: 'daily' },
      1,
      /✗ setting SCHEDULE_NOTIFY_PALANTIR: .*\n[^]*\n2 failed, \d+ to look at/,
    ],
  ])('with %j ends with %d, after a line for each finding', async (change: Change, expected, lines) => {
    const environment = { ...standIns.environment, ...change };
    const { code, output } = await runCommand('cli/doctor.ts', [], { environment });
    expect(output).toMatch(lines);
    // Only on a terminal.
    expect(output).not.toContain('waiting');
    expect(code).toBe(expected);
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
    const environment = { AZURE_TOKEN_CREDENTIALS: '', ...change };
    return runCommand('cli/doctor.ts', [], { cwd: directory, environment });
  };

  const elsewhere = 'access.database.windows.net';
  test.each([
    [{ SQL_SERVER: elsewhere }, '', `and SQL_SERVER is ${elsewhere}`],
    [{ AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential' }, '', 'AZURE_TOKEN_CREDENTIALS is set'],
    [{ AZURE_CLIENT_SECRET: 'x' }, '', 'AZURE_CLIENT_SECRET is set'],
    [{}, elsewhere, `SQL_SERVER is ${elsewhere}. The settings come from the env`],
  ])(
    'serves no database in Azure: with %j, and the server %j in it, it is not read',
    async (change: Change, server, reason) => {
      const Values = { SQL_USER: 'sa', SQL_PASSWORD: 'swordfish', ...(server && { SQL_SERVER: server }) };
      const { stdout, stderr } = await doctor(JSON.stringify({ Values }), change);
      expect(stderr).toMatch(/^local\.settings\.json is not read: /);
      expect(stderr).toContain(reason);
      expect(stdout).toContain('✓ setting SQL_USER: not set');
      expect(stdout).toContain('✓ setting SQL_PASSWORD: not set');
    },
  );

  test.each([
    ['{\n  "Values": {\n    "SQL_PASSWORD": swordfish\n  }\n}', 'line 3, column 21'],
    ['{\n  "Values": {\n    "SQL_PASSWORD": "swordfish"\n    "SQL_USER": "sa"\n  }\n}', 'line 4, column 5'],
    ['{ "Values": { "SQL_PASSWORD": "swordfish"', 'line 1, column 42'],
  ])('that is not JSON is named, with the place and without a value: %j', async (text, place) => {
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
    expect(stdout).toContain('setting NOTIFICATION_LEAD_DAYS: malformed: expected');
    expect(stdout).not.toContain('setting REVOCATION_CEILING: malformed: expected');
  });
});
