/** DDL and the catalogue views of the SQL stand-in. tests/sql shows that the product's scripts run on it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { splitBatches } from '../../cli/deployScripts';
import type { SqlServer } from '../../local/sqlServer';
import { Client, startServer, TYPES } from './sqlServer.support';

const sql = join(__dirname, '../../sql');
let server: SqlServer;
let client: Client;

beforeEach(async () => {
  server = await startServer();
  client = await Client.open(server);
});
afterEach(async () => {
  await client.close();
  await server.close();
});

type Step = readonly [sql: string, expected?: number | object[], message?: RegExp];

/** Sends batches in turn. Expected: rows, or the number (and message) of an error. */
async function play(...steps: Step[]): Promise<void> {
  for (const [batch, expected, message = /./] of steps) {
    const sent = client.batch(batch);
    if (typeof expected === 'number')
      await expect(sent).rejects.toMatchObject({
        number: expected,
        message: expect.stringMatching(message) as string,
      });
    else if (expected) expect((await sent).rows).toEqual(expected);
    else await sent;
  }
}

describe("with the product's tables", () => {
  beforeEach(async () => {
    const scripts = readdirSync(sql).sort();
    for (const file of [join(sql, '../local/existingTables.sql'), ...scripts.map((name) => join(sql, name))])
      for (const { sql: batch } of splitBatches(readFileSync(file, 'utf8'))) await client.batch(batch);
  });

  test('the catalogue views show columns, indexes, constraints and schemas', async () => {
    const column = (name: string, type: string, max_length: number, is_identity = false) => ({
      name,
      type,
      max_length,
      is_nullable: false,
      is_identity,
    });
    await play(
      [
        `SELECT c.name, t.name AS type, c.max_length, c.is_nullable, c.is_identity FROM sys.columns AS c
        JOIN sys.types AS t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID(N'dbo.RevokedAccess_Palantir') ORDER BY c.column_id`,
        [
          column('Id', 'int', 4, true),
          column('PalantirRequestId', 'uniqueidentifier', 16),
          column('Revoked_Dt', 'datetime', 8),
          column('Revoked_By', 'varchar', 100),
        ],
      ],
      [
        `SELECT i.name, i.is_unique, i.has_filter, c.name AS [column] FROM sys.indexes AS i
        JOIN sys.index_columns AS x ON x.object_id = i.object_id AND x.index_id = i.index_id
        JOIN sys.columns AS c ON c.object_id = x.object_id AND c.column_id = x.column_id
        WHERE i.object_id = OBJECT_ID('dbo.JobRun') AND i.is_primary_key = 0 AND i.is_unique_constraint = 0 AND x.is_included_column = 0 ORDER BY i.name, x.key_ordinal`,
        [
          ...['Job_Type', 'Started_At', 'Id'].map((name) => ({
            name: 'IX_JobRun_Job_Type_Started_At',
            is_unique: false,
            has_filter: false,
            column: name,
          })),
          {
            name: 'UX_JobRun_Job_Type_InProgress',
            is_unique: true,
            has_filter: true,
            column: 'Job_Type',
          },
        ],
      ],
      [
        "SELECT OBJECT_NAME(f.parent_object_id) AS child, OBJECT_NAME(f.referenced_object_id) AS parent FROM sys.foreign_keys AS f WHERE f.parent_object_id = OBJECT_ID('dbo.RevokedAccess_Palantir')",
        [{ child: 'RevokedAccess_Palantir', parent: 'DataAccessPalantirRequests' }],
      ],
      [
        "SELECT definition FROM sys.check_constraints WHERE name = 'CK_JobRun_Status'",
        [{ definition: "(Status COLLATE Latin1_General_BIN2 IN ('InProgress', 'Completed', 'Failed'))" }],
      ],
      [
        "SELECT type, type_desc FROM sys.objects WHERE name IN ('JobRun', 'PK_JobRun', 'AccessGrant_Palantir') ORDER BY type",
        [
          { type: 'PK', type_desc: 'PRIMARY_KEY_CONSTRAINT' },
          { type: 'U', type_desc: 'USER_TABLE' },
          { type: 'V', type_desc: 'VIEW' },
        ],
      ],
      [
        "SELECT t.name, s.name AS s FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE t.name = 'jobrun'",
        [{ name: 'JobRun', s: 'dbo' }],
      ],
    );
  });

  test('users, members, permissions and properties are kept', async () => {
    const on = `FROM sys.database_permissions AS p LEFT JOIN sys.columns AS c ON c.object_id = p.major_id AND c.column_id = p.minor_id
        WHERE p.grantee_principal_id = DATABASE_PRINCIPAL_ID('AccessExpiryJobs') AND p.major_id = OBJECT_ID('dbo.JobRun')`;
    await play(
      ['CREATE USER [func-app] FROM EXTERNAL PROVIDER; ALTER ROLE AccessExpiryJobs ADD MEMBER [func-app]'],
      [
        `SELECT r.name AS role, m.name AS member, m.type FROM sys.database_role_members AS x JOIN sys.database_principals AS r ON r.principal_id = x.role_principal_id
        JOIN sys.database_principals AS m ON m.principal_id = x.member_principal_id`,
        [{ role: 'AccessExpiryJobs', member: 'func-app', type: 'E' }],
      ],
      [
        `SELECT p.permission_name AS p, p.state_desc, c.name ${on} ORDER BY p.permission_name, p.minor_id`,
        [
          ...['INSERT', 'SELECT'].map((p) => ({ p, state_desc: 'GRANT', name: null })),
          ...['Status', 'Completed_At', 'Processed_Count', 'Failed_Count', 'Error_Message'].map((name) => ({
            p: 'UPDATE',
            state_desc: 'GRANT',
            name,
          })),
        ],
      ],
      ['GRANT SELECT ON dbo.Missing TO AccessExpiryJobs', 15151],
      ['CREATE ROLE AccessExpiryJobs', 15023],
      ['CREATE USER [func]]app] WITH SID = 0x33221100554477668899AABBCCDDEEFF, TYPE = E'],
      [
        "SELECT CASE WHEN p.type = 'E' THEN CAST(p.sid AS UNIQUEIDENTIFIER) END AS id FROM sys.database_principals AS p WHERE p.name = 'func]app'",
        [{ id: '00112233-4455-6677-8899-AABBCCDDEEFF' }],
      ],
      ["EXEC sys.sp_addextendedproperty @name = N'made-by', @value = N'tests'"],
      [
        'SELECT name, value FROM sys.extended_properties WHERE class = 0',
        [{ name: 'made-by', value: 'tests' }],
      ],
      ["EXEC sp_addextendedproperty N'made-by', N'others'", 15233],
      ["EXEC sp_dropextendedproperty @name = N'made-by'"],
      ["EXEC sp_dropextendedproperty @name = N'made-by'", 15217],
      ['EXEC sp_who', 40514, /sp_who/],
      [
        `SELECT d.name, d.compatibility_level AS level, d.collation_name AS collation,
        (SELECT COUNT(*) FROM sys.triggers) + (SELECT COUNT(*) FROM sys.masked_columns) AS others FROM sys.databases AS d`,
        [{ name: 'access', level: 160, collation: 'SQL_Latin1_General_CP1_CI_AS', others: 0 }],
      ],
    );
  });
});

test('views are checked when they are created, and again when they are read; their text is the whole batch', async () => {
  const binding = async (number: number): Promise<void> => {
    const error = await client.batch('SELECT Id FROM dbo.V').catch((reason: unknown) => reason);
    expect((error as AggregateError).errors).toMatchObject([{ number }, { number: 4413 }]);
  };
  const text = '-- why\nCREATE OR ALTER VIEW dbo.V AS SELECT x.Id, x.A AS Renamed FROM dbo.T AS x;';
  await play(
    ['CREATE TABLE dbo.T (Id INT NOT NULL, A INT NULL, B INT NULL)'],
    ['CREATE VIEW dbo.V AS SELECT x.Missing FROM dbo.T AS x', 207, /Missing/],
    ['CREATE VIEW dbo.V AS SELECT Id FROM dbo.Missing', 208, /dbo\.Missing/],
    ['PRINT 1; CREATE VIEW dbo.V AS SELECT 1 AS a', 111],
    [text],
    [
      "SELECT OBJECT_DEFINITION(OBJECT_ID('dbo.V')) AS v, OBJECT_DEFINITION(OBJECT_ID('dbo.T')) AS t",
      [{ v: text, t: null }],
    ],
    ['ALTER TABLE dbo.T DROP COLUMN A'],
  );
  await binding(207);
  await client.batch('DROP TABLE dbo.T');
  await binding(208);
});

describe('tables', () => {
  beforeEach(() =>
    play([
      `CREATE TABLE dbo.Parent (Id UNIQUEIDENTIFIER NOT NULL CONSTRAINT PK_Parent PRIMARY KEY, Code VARCHAR(5) NOT NULL);
      CREATE TABLE dbo.Child (Id INT IDENTITY(1, 1) NOT NULL PRIMARY KEY, ParentId UNIQUEIDENTIFIER NOT NULL, Note NVARCHAR(10) NULL,
        CONSTRAINT FK_Child_Parent FOREIGN KEY (ParentId) REFERENCES dbo.Parent (Id), CONSTRAINT CK_Child_Note CHECK (Note <> 'bad'));
      INSERT INTO dbo.Parent (Id, Code) VALUES ('00000000-0000-0000-0000-00000000000a', 'a');
      INSERT INTO dbo.Child (ParentId, Note) VALUES ('00000000-0000-0000-0000-00000000000A', 'good')`,
    ]),
  );
  const addChild = "INSERT INTO dbo.Child (ParentId, Note) VALUES (NEWID(), 'bad')";
  const addOnce = "INSERT INTO dbo.Once (Note) VALUES ('GOOD')";
  const addParent = "INSERT INTO dbo.Parent (Id, Code) VALUES (NEWID(), 'A')";
  const addCheck = "ALTER TABLE dbo.Child ADD CONSTRAINT CK_Good CHECK (Note = 'good')";

  test.each<[what: string, ...Step[]]>([
    [
      'columns are added and dropped, with defaults for the rows that exist',
      [
        "ALTER TABLE dbo.Child ADD Region VARCHAR(9) NOT NULL CONSTRAINT DF_Region DEFAULT N'west', Size VARCHAR(3) NULL",
      ],
      ['SELECT Region, Size FROM dbo.Child', [{ Region: 'west', Size: null }]],
      ["UPDATE dbo.Child SET Size = 'long'", 2628, /'Size'/],
      ['ALTER TABLE dbo.Child DROP COLUMN Region', 5074, /DF_Region/],
      ['ALTER TABLE dbo.Child DROP CONSTRAINT DF_Region; ALTER TABLE dbo.Child DROP COLUMN Region, Size'],
      ['SELECT Region FROM dbo.Child', 207],
      ['ALTER TABLE dbo.Child DROP COLUMN IF EXISTS Region'],
      ['ALTER TABLE dbo.Child DROP COLUMN Region', 4924],
    ],
    [
      'constraints are dropped',
      [addChild, 547, /CK_Child_Note/],
      [
        'ALTER TABLE dbo.Child DROP CONSTRAINT CK_Child_Note; ALTER TABLE dbo.Child DROP CONSTRAINT FK_Child_Parent',
      ],
      [addChild],
      ['CREATE TABLE dbo.Once (Note NVARCHAR(9) NULL CONSTRAINT UQ_Note UNIQUE)'],
      ["INSERT INTO dbo.Once (Note) VALUES ('good')"],
      [addOnce, 2627, /UQ_Note/],
      ['ALTER TABLE dbo.Once DROP CONSTRAINT UQ_Note'],
      [addOnce],
      ['ALTER TABLE dbo.Once DROP CONSTRAINT UQ_Note', 3728],
    ],
    [
      'a check is added to a table whose rows meet it',
      [addCheck],
      ["UPDATE dbo.Child SET Note = 'other'", 547, /CK_Good/],
      ["ALTER TABLE dbo.Child DROP CONSTRAINT CK_Good; UPDATE dbo.Child SET Note = 'other'"],
      [addCheck, 547, /CK_Good/],
      ['ALTER TABLE dbo.Child ADD CONSTRAINT UQ_Note UNIQUE (Note)', 40514, /UQ_Note/],
    ],
    [
      'a parent that has children can be neither deleted nor dropped',
      ['DELETE FROM dbo.Parent', 547, /REFERENCE constraint "FK_Child_Parent"/],
      ['DROP TABLE dbo.Parent', 3726],
      ['DROP TABLE dbo.Child, dbo.Parent; DROP TABLE IF EXISTS dbo.Child'],
      ['SELECT name FROM sys.objects', []],
    ],
    [
      'indexes are created once, kept unique, and dropped',
      ['CREATE UNIQUE NONCLUSTERED INDEX UX_Code ON dbo.Parent (Code ASC) INCLUDE (Id)'],
      ['CREATE INDEX UX_Code ON dbo.Parent (Code)', 1913],
      [addParent, 2601, /UX_Code/],
      ['DROP INDEX UX_Code ON dbo.Parent; DROP INDEX IF EXISTS UX_Code ON dbo.Parent'],
      [addParent],
      ['CREATE UNIQUE INDEX UX_Code ON dbo.Parent (Code)', 1505],
    ],
  ])('%s', async (_what, ...steps) => play(...steps));

  test('what a transaction created goes with its rollback, and other sessions never saw it', async () => {
    const other = await Client.open(server);
    const create = 'BEGIN TRANSACTION; CREATE TABLE dbo.New (Id INT)';
    await play(
      [`${create}; ALTER TABLE dbo.Child DROP COLUMN IF EXISTS Missing`],
      ["SELECT OBJECT_ID('dbo.New') - OBJECT_ID('dbo.New') AS v", [{ v: 0 }]],
    );
    expect((await other.batch("SELECT OBJECT_ID('dbo.New') AS v")).rows).toEqual([{ v: null }]);
    await play(['ROLLBACK'], ['SELECT * FROM dbo.New', 208], [`${create}; COMMIT`]);
    expect((await other.batch('SELECT * FROM dbo.New')).rows).toEqual([]);
    await other.close();
  });

  test('an IF chooses its branch, ELSE included', async () => {
    const choice = "IF OBJECT_ID(@name, N'U') IS NULL BEGIN PRINT 'no'; SELECT 1 AS v END ELSE SELECT 2 AS v";
    for (const [value, rows, infos] of [
      ['dbo.Parent', [{ v: 2 }], []],
      ['dbo.Absent', [{ v: 1 }], ['no']],
    ] as const)
      expect(await client.sql(choice, { name: { type: TYPES.NVarChar, value } })).toMatchObject({
        rows,
        infos,
      });
    await play(['IF @@TRANCOUNT > 0 ROLLBACK; BEGIN TRANSACTION; IF @@TRANCOUNT > 0 ROLLBACK']);
  });
});
