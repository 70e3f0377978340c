import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deployScripts, splitBatches, type KeepReplacedView } from '../../cli/deployScripts';
import { useEnvironment } from '../support/arrange';

const sqlDirectory = join(__dirname, '../../sql');
const environment = useEnvironment();

/** Applies a directory's scripts. @returns what is printed, also in `lines` */
async function deploy(
  keep?: KeepReplacedView,
  directory = sqlDirectory,
  lines: string[] = [],
): Promise<string[]> {
  await deployScripts(environment.session, directory, (line) => lines.push(line.trim()), keep);
  return lines;
}

const objects = () =>
  environment.query(`SELECT o.name, o.type_desc FROM sys.objects AS o
WHERE o.schema_id = (SELECT schema_id FROM sys.schemas WHERE name = 'dbo') AND o.is_ms_shipped = 0 ORDER BY o.name;`);

test('a second deployment changes nothing, and says so of each object in the order of the scripts', async () => {
  const before = await objects();
  expect(before.length).toBeGreaterThan(7);
  const lines = await deploy();
  expect(await objects()).toEqual(before);
  const isScript = (line: string) => line.endsWith('.sql');
  const changes = lines.filter((line) => !isScript(line) && !line.endsWith(': exists, unchanged'));
  expect(changes).toEqual(['role AccessExpiryJobs: permissions granted']);
  expect(lines.filter(isScript)).toEqual([
    '01_ExpiryNotification_Databricks.sql',
    '02_ExpiryNotification_Palantir.sql',
    '03_RevokedAccess_Databricks.sql',
    '04_RevokedAccess_Palantir.sql',
    '05_JobRun.sql',
    '06_AccessGrant_views.sql',
    '07_AccessExpiryJobs_role.sql',
  ]);
});

test('an error names the script, the batch, the line and the server’s message', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'scripts-'));
  writeFileSync(join(directory, '01_good.sql'), "PRINT 'one';\nGO\n");
  writeFileSync(
    join(directory, '02_bad.sql'),
    "PRINT 'two';\nGO\n-- a comment\nSELECT nothing FROM dbo.Missing;\nGO\n",
  );
  const lines: string[] = [];
  await expect(deploy(undefined, directory, lines)).rejects.toThrow(
    /^02_bad\.sql, batch 2 of 2, line \d+: Invalid object name 'dbo\.Missing'\. \(SQL error 208\)/,
  );
  expect(lines).toEqual(['01_good.sql', 'one', '02_bad.sql', 'two']);
  rmSync(directory, { recursive: true });
});

describe('a view that exists', () => {
  const view = 'dbo.AccessGrant_Palantir';
  const edited = `CREATE OR ALTER VIEW ${view} AS
SELECT r.RequestId, r.RequestNumber, r.RequestedBy AS RequesterName, r.RequestedByEmail AS RequesterEmail,
  r.ProjectName AS Resource, r.AccessEndDate AS ExpiresAt
FROM dbo.DataAccessPalantirRequests AS r WHERE r.Status = 'Granted' AND r.AccessEndDate IS NOT NULL;`;
  const definition = async (): Promise<string> => {
    const [row] = await environment.query(`SELECT OBJECT_DEFINITION(OBJECT_ID('${view}')) AS Text;`);
    return row?.Text as string;
  };
  const leftAsItIs =
    'differs from the script, left as it is (npm run db:deploy -- --replace-views replaces it)';

  // SQL Server stores the whole batch, comments included, but without OR ALTER.
  test.each([
    { how: 'by CREATE', text: 'CREATE OR ALTER', changed: 'CREATE  ', state: 'exists, unchanged' },
    { how: 'with other line ends', text: '\n', changed: ' \t\r\n', state: 'exists, unchanged' },
    { how: 'with another blank within a line', text: 'SELECT', changed: ' SELECT', state: leftAsItIs },
    { how: 'with another comment', text: '--', changed: '-- !', state: leftAsItIs },
  ])('and was created $how $state', async ({ text, changed, state }) => {
    const script = readFileSync(join(sqlDirectory, '06_AccessGrant_views.sql'), 'utf8');
    const [first] = splitBatches(script);
    await environment.query('DROP VIEW dbo.AccessRequest_Databricks;');
    await environment.query(first?.sql.replaceAll(text, changed) ?? '');
    expect(await deploy()).toContain(`view dbo.AccessRequest_Databricks: ${state}`);
  });

  test('and differs is not replaced before its text is saved', async () => {
    await environment.query(edited);
    const before = await definition();
    expect(before).toContain("'Granted'");
    const failing = deploy(() => {
      throw new Error('disk full');
    });
    await expect(failing).rejects.toThrow('disk full');
    expect(await definition()).toBe(before);
  });

  test('takes over the column types of the view below it, once that is replaced', async () => {
    const types = (name: string) =>
      environment.query(`SELECT t.name AS Type FROM sys.columns AS c JOIN sys.types AS t ON t.user_type_id = c.system_type_id
WHERE c.object_id = OBJECT_ID('dbo.${name}') AND c.name = 'RequestNumber';`);
    await environment.query(`CREATE OR ALTER VIEW dbo.AccessRequest_Palantir AS
SELECT r.RequestId, 1 AS RequestNumber, r.RequestedBy AS RequesterName, r.RequestedByEmail AS RequesterEmail,
  r.ProjectName AS Resource, r.AccessEndDate AS ExpiresAt, r.RequestNumber AS AccessKey, r.Status AS RequestStatus
FROM dbo.DataAccessPalantirRequests AS r;`);
    await environment.query(`DROP VIEW ${view};`);
    await deploy();
    expect(await types('AccessGrant_Palantir')).toEqual([{ Type: 'int' }]);
    await deploy(() => 'no file');
    for (const name of ['AccessGrant_Palantir', 'AccessRequest_Palantir'])
      expect(await types(name)).toEqual([{ Type: 'varchar' }]);
  });
});

describe('a JobRun table from before the scripts', () => {
  // Without indexes and checks.
  beforeEach(() =>
    environment.query(`DROP TABLE dbo.JobRun;
CREATE TABLE dbo.JobRun (Id INT IDENTITY(1, 1) NOT NULL CONSTRAINT PK_JobRun PRIMARY KEY,
  Job_Id UNIQUEIDENTIFIER NOT NULL, Job_Type VARCHAR(50) NOT NULL, Status VARCHAR(20) NOT NULL, Started_At DATETIME NOT NULL,
  Started_By VARCHAR(100) NOT NULL, Completed_At DATETIME NULL, Processed_Count INT NULL, Failed_Count INT NULL, Error_Message VARCHAR(500) NULL);`),
  );
  afterEach(async () => {
    await environment.query('DROP TABLE dbo.JobRun;');
    await deploy();
  });
  const indexCreated = 'index UX_JobRun_Job_Type_InProgress: created';

  test('with several runs in progress gets its index; only the newest run of a type that may be alive stays open', async () => {
    const row = (type: string, status: string, minutesAgo: number): string =>
      `(NEWID(), '${type}', '${status}', DATEADD(MINUTE, ${-minutesAgo}, GETUTCDATE()), 'host')`;
    await environment.query(`INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By) VALUES
  ${row('RevokeExpiredDatabricksRequests', 'InProgress', 9_000)},
  ${row('RevokeExpiredDatabricksRequests', 'InProgress', 30)},
  ${row('RevokeExpiredPalantirRequests', 'InProgress', 5)},
  ${row('RevokeExpiredPalantirRequests', 'InProgress', 4)},
  ${row('RevokeExpiredPalantirRequests', 'Completed', 2)},
  ${row('ExpiryNotificationPalantirRequests', 'InProgress', 3)},
  ${row('ExpiryNotificationPalantirRequests', 'InProgress', -600)};`);
    expect(await deploy()).toEqual(
      expect.arrayContaining([
        'table dbo.JobRun: runs in progress that were left by dead processes are closed as Failed',
        indexCreated,
      ]),
    );
    const open = { Status: 'InProgress', Completed_At: null, Error_Message: null };
    const closed = {
      Status: 'Failed',
      Completed_At: expect.any(Date) as Date,
      Error_Message: expect.stringMatching(/^Abandoned: /) as string,
    };
    const completed = { ...open, Status: 'Completed' };
    const sql = 'SELECT r.Status, r.Completed_At, r.Error_Message FROM dbo.JobRun AS r ORDER BY r.Id;';
    expect(await environment.query(sql)).toEqual([closed, closed, closed, open, completed, open, closed]);
  });

  test('with nothing in progress gets its index; no runs are mentioned', async () => {
    const lines = await deploy();
    expect(lines.filter((line) => /JobRun_Job_Type_InProgress|runs/.test(line))).toEqual([indexCreated]);
  });
});

test.each([
  ['Status', "'RevokeExpiredDatabricksRequests', 'inprogress'"],
  ['Job_Type', "'revokeexpireddatabricksrequests', 'InProgress'"],
])('a %s in the wrong case is refused in any collation', async (column, values) => {
  await expect(
    environment.query(`INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By)
SELECT NEWID(), ${values}, GETUTCDATE(), 'host';`),
  ).rejects.toMatchObject({ number: 547, message: expect.stringContaining(`CK_JobRun_${column}`) as string });
});

test('every constraint and index of the scripts is named by them', async () => {
  const rows = await environment.query(
    'SELECT i.name FROM sys.indexes AS i JOIN sys.tables AS t ON t.object_id = i.object_id UNION ALL SELECT o.name FROM sys.objects AS o;',
  );
  const names = rows.map(({ name }) => name as string | null);
  expect(names).toContain('UX_JobRun_Job_Type_InProgress');
  // The server's own names look like PK__JobRun__3214EC07F2A1.
  expect(names.filter((name) => name === null || /^[A-Z]{1,2}__/.test(name))).toEqual([]);
});

test('GO in any case separates batches on a line of its own; empty batches are skipped', () => {
  expect(splitBatches("SELECT 1;\r\nGo\n\n-- only a comment\nGO\r\nSELECT 'GO';\n  GO  \n")).toEqual([
    { sql: 'SELECT 1;', firstLine: 1 },
    { sql: "SELECT 'GO';", firstLine: 6 },
  ]);
});
