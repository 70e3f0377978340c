import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SqlServer } from '../../local/sqlServer';
import { Client, startServer, TYPES } from './sqlServer.support';

const scripts = join(__dirname, '../../sql');
let server: SqlServer;
let client: Client;

/** Runs a script's batches and answers what they printed. */
async function run(script: string): Promise<string[]> {
  const printed: string[] = [];
  for (const batch of readFileSync(script, 'utf8').split(/^GO\s*$/im)) {
    if (batch.trim() !== '') printed.push(...(await client.batch(batch)).infos);
  }
  return printed;
}

beforeEach(async () => {
  server = await startServer();
  client = await Client.open(server);
});
afterEach(async () => {
  await client.close();
  await server.close();
});

const rows = async (sql: string) => (await client.batch(sql)).rows;
const fails = async (sql: string, number: number, message = /./): Promise<void> => {
  await expect(client.batch(sql)).rejects.toMatchObject({
    number,
    message: expect.stringMatching(message) as string,
  });
};

describe("the product's scripts", () => {
  let created = 0;

  const runAll = async (): Promise<string[]> => {
    const printed: string[] = [];
    for (const script of readdirSync(scripts).sort()) printed.push(...(await run(join(scripts, script))));
    return printed;
  };

  beforeEach(async () => {
    await run(join(__dirname, '../../local/existingTables.sql'));
    created = (await runAll()).filter((line) => line.endsWith(': created')).length;
  });

  test('run a second time, they change nothing', async () => {
    const before = server.sqlite.prepare('SELECT sql FROM sqlite_schema ORDER BY name').all();
    const printed = await runAll();
    expect(created).toBeGreaterThan(0);
    expect(printed.filter((line) => line.includes('created'))).toEqual([]);
    expect(printed.filter((line) => line.includes('exists, unchanged'))).toHaveLength(created);
    expect(server.sqlite.prepare('SELECT sql FROM sqlite_schema ORDER BY name').all()).toEqual(before);
  });

  test('their objects are in the catalogue views', async () => {
    expect(
      await rows(`SELECT c.name, t.name AS type, c.max_length, c.is_nullable, c.is_identity FROM sys.columns AS c
        JOIN sys.types AS t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID(N'dbo.RevokedAccess_Palantir') ORDER BY c.column_id`),
    ).toEqual([
      { name: 'Id', type: 'int', max_length: 4, is_nullable: false, is_identity: true },
      {
        name: 'PalantirRequestId',
        type: 'uniqueidentifier',
        max_length: 16,
        is_nullable: false,
        is_identity: false,
      },
      { name: 'Revoked_Dt', type: 'datetime', max_length: 8, is_nullable: false, is_identity: false },
      { name: 'Revoked_By', type: 'varchar', max_length: 100, is_nullable: false, is_identity: false },
    ]);
    expect(
      await rows(`SELECT i.name, i.is_unique, i.has_filter, c.name AS [column] FROM sys.indexes AS i
        JOIN sys.index_columns AS x ON x.object_id = i.object_id AND x.index_id = i.index_id
        JOIN sys.columns AS c ON c.object_id = x.object_id AND c.column_id = x.column_id
        WHERE i.object_id = OBJECT_ID('dbo.JobRun') AND i.is_primary_key = 0 AND i.is_unique_constraint = 0 AND x.is_included_column = 0 ORDER BY i.name, x.key_ordinal`),
    ).toEqual([
      { name: 'IX_JobRun_Job_Type_Started_At', is_unique: false, has_filter: false, column: 'Job_Type' },
      { name: 'IX_JobRun_Job_Type_Started_At', is_unique: false, has_filter: false, column: 'Started_At' },
      { name: 'IX_JobRun_Job_Type_Started_At', is_unique: false, has_filter: false, column: 'Id' },
      { name: 'UX_JobRun_Job_Type_InProgress', is_unique: true, has_filter: true, column: 'Job_Type' },
    ]);
    expect(
      await rows(
        'SELECT OBJECT_NAME(f.parent_object_id) AS child, OBJECT_NAME(f.referenced_object_id) AS parent FROM sys.foreign_keys AS f ORDER BY f.name',
      ),
    ).toContainEqual({
      child: 'RevokedAccess_Palantir',
      parent: 'DataAccessPalantirRequests',
    });
    expect(
      await rows("SELECT definition FROM sys.check_constraints WHERE name = 'CK_JobRun_Status'"),
    ).toEqual([
      { definition: "(Status COLLATE Latin1_General_BIN2 IN ('InProgress', 'Completed', 'Failed'))" },
    ]);
    expect(
      await rows(
        "SELECT type, type_desc FROM sys.objects WHERE name IN ('JobRun', 'PK_JobRun', 'AccessGrant_Palantir') ORDER BY type",
      ),
    ).toEqual([
      { type: 'PK', type_desc: 'PRIMARY_KEY_CONSTRAINT' },
      { type: 'U', type_desc: 'USER_TABLE' },
      { type: 'V', type_desc: 'VIEW' },
    ]);
    expect(
      (
        await rows(
          "SELECT t.name, s.name AS s FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE t.name = 'jobrun'",
        )
      )[0],
    ).toEqual({ name: 'JobRun', s: 'dbo' });
  });

  test('roles, members and permissions are kept', async () => {
    await client.batch(
      'CREATE USER [func-app] FROM EXTERNAL PROVIDER; ALTER ROLE AccessExpiryJobs ADD MEMBER [func-app]; CREATE USER tester WITHOUT LOGIN',
    );
    expect(
      await rows(`SELECT r.name AS role, m.name AS member, m.type FROM sys.database_role_members AS x JOIN sys.database_principals AS r ON r.principal_id = x.role_principal_id
        JOIN sys.database_principals AS m ON m.principal_id = x.member_principal_id`),
    ).toEqual([{ role: 'AccessExpiryJobs', member: 'func-app', type: 'E' }]);
    expect(
      await rows(
        `SELECT p.permission_name, p.state_desc, c.name FROM sys.database_permissions AS p LEFT JOIN sys.columns AS c ON c.object_id = p.major_id AND c.column_id = p.minor_id
        WHERE p.grantee_principal_id = DATABASE_PRINCIPAL_ID('AccessExpiryJobs') AND p.major_id = OBJECT_ID('dbo.JobRun') ORDER BY p.permission_name, p.minor_id`,
      ),
    ).toEqual(
      [
        ['INSERT', null],
        ['SELECT', null],
        ['UPDATE', 'Status'],
        ['UPDATE', 'Completed_At'],
        ['UPDATE', 'Processed_Count'],
        ['UPDATE', 'Failed_Count'],
        ['UPDATE', 'Error_Message'],
      ].map(([permission_name, name]) => ({ permission_name, state_desc: 'GRANT', name })),
    );
    await fails('GRANT SELECT ON dbo.Missing TO AccessExpiryJobs', 15151);
    await fails('CREATE ROLE AccessExpiryJobs', 15023);
  });

  test('a user keeps the SID that it was created with, as the bytes of a GUID', async () => {
    await client.batch('CREATE USER [func]]app] WITH SID = 0x33221100554477668899AABBCCDDEEFF, TYPE = E');
    expect(
      await rows(
        "SELECT p.type, CASE WHEN p.type = 'E' THEN CAST(p.sid AS UNIQUEIDENTIFIER) END AS id FROM sys.database_principals AS p WHERE p.name = 'func]app'",
      ),
    ).toEqual([{ type: 'E', id: '00112233-4455-6677-8899-AABBCCDDEEFF' }]);
  });

  test('the text of a view is the whole batch that defined it', async () => {
    const text = '-- why\nCREATE OR ALTER VIEW dbo.Runs AS\nSELECT r.Id FROM dbo.JobRun AS r;';
    await client.batch(text);
    expect(
      await rows(
        "SELECT OBJECT_DEFINITION(OBJECT_ID('dbo.Runs')) AS runs, OBJECT_DEFINITION(OBJECT_ID('dbo.JobRun')) AS tab",
      ),
    ).toEqual([{ runs: text, tab: null }]);
  });

  test('extended properties of the database are kept, and it says what it is', async () => {
    await client.batch("EXEC sys.sp_addextendedproperty @name = N'made-by', @value = N'tests'");
    expect(await rows('SELECT name, value FROM sys.extended_properties WHERE class = 0')).toEqual([
      { name: 'made-by', value: 'tests' },
    ]);
    await fails("EXEC sp_addextendedproperty N'made-by', N'others'", 15233);
    await client.batch("EXEC sp_dropextendedproperty @name = N'made-by'");
    await fails("EXEC sp_dropextendedproperty @name = N'made-by'", 15217);
    await fails('EXEC sp_who', 40514, /sp_who/);
    expect(
      await rows(`SELECT d.name, d.compatibility_level AS level, d.collation_name AS collation,
        (SELECT COUNT(*) FROM sys.triggers) + (SELECT COUNT(*) FROM sys.masked_columns) AS others FROM sys.databases AS d`),
    ).toEqual([{ name: 'access', level: 160, collation: 'SQL_Latin1_General_CP1_CI_AS', others: 0 }]);
  });

  test('a second run in progress is refused by the filtered index, a completed one is not', async () => {
    const insert = (status: string) =>
      client.batch(`INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By)
        VALUES (NEWID(), 'RevokeExpiredPalantirRequests', '${status}', GETUTCDATE(), 'me')`);
    await insert('InProgress');
    await expect(insert('InProgress')).rejects.toMatchObject({
      number: 2601,
      message: expect.stringContaining("'UX_JobRun_Job_Type_InProgress'") as string,
    });
    await insert('Completed');
    await insert('Completed');
    await expect(insert('Unknown')).rejects.toMatchObject({
      number: 547,
      message: expect.stringContaining('CK_JobRun_Status') as string,
    });
  });

  test('the search for expired grants uses the indexes', async () => {
    await client.batch('CREATE INDEX IX_End ON dbo.DataAccessPalantirRequests (AccessEndDate)');
    const plan = server.explain(
      `SELECT g.RequestId FROM dbo.AccessGrant_Palantir AS g WHERE g.ExpiresAt <= GETUTCDATE() AND NOT EXISTS (
        SELECT 1 FROM dbo.RevokedAccess_Palantir AS r WHERE r.PalantirRequestId = g.RequestId AND r.Revoked_Dt >= g.ExpiresAt)`,
    );
    expect(plan.join('\n')).toMatch(
      /SEARCH r USING INDEX .*IX_End.* \(AccessEndDate>\? AND AccessEndDate<\?\)/,
    );
    expect(plan.join('\n')).toMatch(
      /SEARCH r USING COVERING INDEX .*\(PalantirRequestId=\? AND Revoked_Dt>\?\)/,
    );
  });
});

describe('views', () => {
  test('are checked when they are created, and again when they are read', async () => {
    await client.batch('CREATE TABLE dbo.T (Id INT NOT NULL, A INT NULL, B INT NULL)');
    await fails('CREATE VIEW dbo.V AS SELECT x.Missing FROM dbo.T AS x', 207, /Missing/);
    await fails('CREATE VIEW dbo.V AS SELECT Id FROM dbo.Missing', 208, /dbo\.Missing/);
    await client.batch('CREATE VIEW dbo.V AS SELECT x.Id, x.A AS Renamed FROM dbo.T AS x');
    await client.batch('ALTER TABLE dbo.T DROP COLUMN A');
    const error = await client.batch('SELECT Id FROM dbo.V').catch((reason: unknown) => reason);
    expect((error as AggregateError).errors).toMatchObject([{ number: 207 }, { number: 4413 }]);
    await client.batch('DROP TABLE dbo.T');
    const second = await client.batch('SELECT Id FROM dbo.V').catch((reason: unknown) => reason);
    expect((second as AggregateError).errors).toMatchObject([{ number: 208 }, { number: 4413 }]);
    await fails('PRINT 1; CREATE VIEW dbo.W AS SELECT 1 AS a', 111);
  });
});

describe('tables', () => {
  beforeEach(async () => {
    await client.batch(`CREATE TABLE dbo.Parent (Id UNIQUEIDENTIFIER NOT NULL CONSTRAINT PK_Parent PRIMARY KEY, Code VARCHAR(5) NOT NULL);
      CREATE TABLE dbo.Child (Id INT IDENTITY(1, 1) NOT NULL PRIMARY KEY, ParentId UNIQUEIDENTIFIER NOT NULL, Note NVARCHAR(10) NULL,
        CONSTRAINT FK_Child_Parent FOREIGN KEY (ParentId) REFERENCES dbo.Parent (Id), CONSTRAINT CK_Child_Note CHECK (Note <> 'bad'));
      INSERT INTO dbo.Parent (Id, Code) VALUES ('00000000-0000-0000-0000-00000000000a', 'a');
      INSERT INTO dbo.Child (ParentId, Note) VALUES ('00000000-0000-0000-0000-00000000000A', 'good')`);
  });

  test('columns are added and dropped, with defaults for the rows that are there', async () => {
    await client.batch(
      "ALTER TABLE dbo.Child ADD Made DATETIME NOT NULL CONSTRAINT DF_Made DEFAULT '2026-01-01', Size VARCHAR(3) NULL",
    );
    expect((await rows('SELECT Made, Size FROM dbo.Child'))[0]).toMatchObject({
      Made: expect.any(Date) as Date,
      Size: null,
    });
    await fails("UPDATE dbo.Child SET Size = 'long'", 2628, /'Size'/);
    await fails('ALTER TABLE dbo.Child DROP COLUMN Made', 5074, /DF_Made/);
    await client.batch(
      'ALTER TABLE dbo.Child DROP CONSTRAINT DF_Made; ALTER TABLE dbo.Child DROP COLUMN Made, Size',
    );
    await fails('SELECT Made FROM dbo.Child', 207);
    await client.batch('ALTER TABLE dbo.Child DROP COLUMN IF EXISTS Made');
    await fails('ALTER TABLE dbo.Child DROP COLUMN Made', 4924);
  });

  test('constraints are dropped', async () => {
    await fails("INSERT INTO dbo.Child (ParentId, Note) VALUES (NEWID(), 'bad')", 547, /CK_Child_Note/);
    await client.batch(
      'ALTER TABLE dbo.Child DROP CONSTRAINT CK_Child_Note; ALTER TABLE dbo.Child DROP CONSTRAINT FK_Child_Parent',
    );
    await client.batch("INSERT INTO dbo.Child (ParentId, Note) VALUES (NEWID(), 'bad')");
    await client.batch('CREATE TABLE dbo.Once (Note NVARCHAR(9) NULL CONSTRAINT UQ_Note UNIQUE)');
    await client.batch("INSERT INTO dbo.Once (Note) VALUES ('good')");
    await fails("INSERT INTO dbo.Once (Note) VALUES ('GOOD')", 2627, /UQ_Note/);
    await client.batch('ALTER TABLE dbo.Once DROP CONSTRAINT UQ_Note');
    await client.batch("INSERT INTO dbo.Once (Note) VALUES ('GOOD')");
    await fails('ALTER TABLE dbo.Once DROP CONSTRAINT UQ_Note', 3728);
  });

  test('a check is added to a table whose rows meet it', async () => {
    const add = "ALTER TABLE dbo.Child ADD CONSTRAINT CK_Good CHECK (Note = 'good')";
    await client.batch(add);
    await fails("UPDATE dbo.Child SET Note = 'other'", 547, /CK_Good/);
    await client.batch("ALTER TABLE dbo.Child DROP CONSTRAINT CK_Good; UPDATE dbo.Child SET Note = 'other'");
    await fails(add, 547, /CK_Good/);
    await fails('ALTER TABLE dbo.Child ADD CONSTRAINT UQ_Note UNIQUE (Note)', 40514, /UQ_Note/);
  });

  test('a parent that has children can be neither deleted nor dropped', async () => {
    await fails('DELETE FROM dbo.Parent', 547, /REFERENCE constraint "FK_Child_Parent"/);
    await fails('DROP TABLE dbo.Parent', 3726);
    await client.batch('DROP TABLE dbo.Child, dbo.Parent; DROP TABLE IF EXISTS dbo.Child');
    expect(await rows('SELECT name FROM sys.objects')).toEqual([]);
  });

  test('indexes are created once, kept unique, and dropped', async () => {
    await client.batch('CREATE UNIQUE NONCLUSTERED INDEX UX_Code ON dbo.Parent (Code ASC) INCLUDE (Id)');
    await fails('CREATE INDEX UX_Code ON dbo.Parent (Code)', 1913);
    await fails("INSERT INTO dbo.Parent (Id, Code) VALUES (NEWID(), 'A')", 2601, /UX_Code/);
    await client.batch('DROP INDEX UX_Code ON dbo.Parent; DROP INDEX IF EXISTS UX_Code ON dbo.Parent');
    await client.batch("INSERT INTO dbo.Parent (Id, Code) VALUES (NEWID(), 'A')");
    await fails('CREATE UNIQUE INDEX UX_Code ON dbo.Parent (Code)', 1505);
  });

  test('what a transaction created goes with its rollback, and other sessions never saw it', async () => {
    const other = await Client.open(server);
    await client.batch(
      'BEGIN TRANSACTION; CREATE TABLE dbo.New (Id INT); ALTER TABLE dbo.Child DROP COLUMN IF EXISTS Missing',
    );
    expect(await rows("SELECT OBJECT_ID('dbo.New') - OBJECT_ID('dbo.New') AS v")).toEqual([{ v: 0 }]);
    expect((await other.batch("SELECT OBJECT_ID('dbo.New') AS v")).rows).toEqual([{ v: null }]);
    await client.batch('ROLLBACK');
    await fails('SELECT * FROM dbo.New', 208);
    await client.batch('BEGIN TRANSACTION; CREATE TABLE dbo.New (Id INT); COMMIT');
    expect((await other.batch('SELECT * FROM dbo.New')).rows).toEqual([]);
    await other.close();
  });

  test('an IF chooses its branch, ELSE included', async () => {
    const sql = "IF OBJECT_ID(@name, N'U') IS NULL BEGIN PRINT 'no'; SELECT 1 AS v END ELSE SELECT 2 AS v";
    const found = await client.sql(sql, { name: { type: TYPES.NVarChar, value: 'dbo.Parent' } });
    const missing = await client.sql(sql, { name: { type: TYPES.NVarChar, value: 'dbo.Absent' } });
    expect([found.rows, found.infos, missing.rows, missing.infos]).toEqual([
      [{ v: 2 }],
      [],
      [{ v: 1 }],
      ['no'],
    ]);
    await client.batch('IF @@TRANCOUNT > 0 ROLLBACK; BEGIN TRANSACTION; IF @@TRANCOUNT > 0 ROLLBACK');
  });
});
