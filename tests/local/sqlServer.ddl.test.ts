/** DDL and the catalogue views of the SQL stand-in. tests/sql shows that the product's scripts run on it. */
import type { SqlServer } from '../../local/sqlServer';
import { Client, startServer } from './sqlServer.support';

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

test('the catalogue views show columns, indexes and permissions', async () => {
  await play(
    [
      `CREATE TABLE dbo.Run (Id INT IDENTITY(1, 1) NOT NULL CONSTRAINT PK_Run PRIMARY KEY, Type VARCHAR(9) NOT NULL, Note NVARCHAR(9) NULL);
       CREATE UNIQUE INDEX UX_Type ON dbo.Run (Type, Id DESC) INCLUDE (Note) WHERE Note = 'x';
       CREATE ROLE Jobs; CREATE USER [func]]app] WITH SID = 0x33221100554477668899AABBCCDDEEFF, TYPE = E;
       ALTER ROLE Jobs ADD MEMBER [func]]app]; GRANT SELECT, UPDATE (Type, Note) ON dbo.Run TO Jobs`,
    ],
    [
      `SELECT c.name, t.name AS type, c.max_length, c.is_nullable, c.is_identity FROM sys.columns AS c
        JOIN sys.types AS t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID(N'dbo.Run') ORDER BY c.column_id`,
      [
        { name: 'Id', type: 'int', max_length: 4, is_nullable: false, is_identity: true },
        { name: 'Type', type: 'varchar', max_length: 9, is_nullable: false, is_identity: false },
        { name: 'Note', type: 'nvarchar', max_length: 18, is_nullable: true, is_identity: false },
      ],
    ],
    [
      `SELECT i.name, i.is_unique, i.has_filter, c.name AS [column], x.key_ordinal, x.is_descending_key AS is_desc FROM sys.indexes AS i
        JOIN sys.index_columns AS x ON x.object_id = i.object_id AND x.index_id = i.index_id
        JOIN sys.columns AS c ON c.object_id = x.object_id AND c.column_id = x.column_id
        WHERE i.object_id = OBJECT_ID('dbo.Run') AND i.is_primary_key = 0 ORDER BY x.index_column_id`,
      [
        ['Type', 1, false],
        ['Id', 2, true],
        ['Note', 0, false],
      ].map(([column, key_ordinal, is_desc]) => ({
        ...{ name: 'UX_Type', is_unique: true, has_filter: true, column, key_ordinal, is_desc },
      })),
    ],
    [
      `SELECT m.name, CAST(m.sid AS UNIQUEIDENTIFIER) AS id, p.permission_name AS p, c.name AS c FROM sys.database_role_members AS x
        JOIN sys.database_principals AS m ON m.principal_id = x.member_principal_id
        JOIN sys.database_permissions AS p ON p.grantee_principal_id = x.role_principal_id
        LEFT JOIN sys.columns AS c ON c.object_id = p.major_id AND c.column_id = p.minor_id ORDER BY p.permission_name, p.minor_id`,
      [
        ['SELECT', null],
        ['UPDATE', 'Type'],
        ['UPDATE', 'Note'],
      ].map(([p, c]) => ({ name: 'func]app', id: '00112233-4455-6677-8899-AABBCCDDEEFF', p, c })),
    ],
    ['GRANT SELECT ON dbo.Missing TO Jobs', 15151],
    ['CREATE ROLE Jobs', 15023],
    ['EXEC sp_who', 40514, /sp_who/],
  );
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
    ['PRINT 1; CREATE VIEW dbo.V AS SELECT 1 AS a', 40514],
    [text],
    [
      "SELECT OBJECT_DEFINITION(OBJECT_ID('dbo.V')) AS v, OBJECT_DEFINITION(OBJECT_ID('dbo.T')) AS t",
      [{ v: text, t: null }],
    ],
    ['DROP TABLE dbo.T; CREATE TABLE dbo.T (Id INT NOT NULL)'],
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
  const addParent = "INSERT INTO dbo.Parent (Id, Code) VALUES (NEWID(), 'A')";

  test.each<[what: string, ...Step[]]>([
    [
      'a parent that has children can be neither deleted nor dropped',
      ['DELETE FROM dbo.Parent', 547, /REFERENCE constraint "FK_Child_Parent"/],
      ['DROP TABLE dbo.Parent', 40514],
      ['DROP TABLE dbo.Child, dbo.Parent; DROP TABLE IF EXISTS dbo.Child'],
      ['SELECT name FROM sys.objects', []],
    ],
    [
      'indexes are created once, kept unique, and dropped',
      ['CREATE UNIQUE NONCLUSTERED INDEX UX_Code ON dbo.Parent (Code ASC) INCLUDE (Id)'],
      ['CREATE INDEX UX_Code ON dbo.Parent (Code)', 40514],
      [addParent, 2601, /UX_Code/],
      ['DROP INDEX UX_Code ON dbo.Parent; DROP INDEX IF EXISTS UX_Code ON dbo.Parent'],
      [addParent],
      ['CREATE UNIQUE INDEX UX_Code ON dbo.Parent (Code)', 1505],
    ],
  ])('%s', async (_what, ...steps) => play(...steps));

  test('what a transaction created goes with its rollback, and other sessions never saw it', async () => {
    const other = await Client.open(server);
    const create = 'BEGIN TRANSACTION; CREATE TABLE dbo.New (Id INT)';
    await play([create], ["SELECT OBJECT_ID('dbo.New') - OBJECT_ID('dbo.New') AS v", [{ v: 0 }]]);
    expect((await other.batch("SELECT OBJECT_ID('dbo.New') AS v")).rows).toEqual([{ v: null }]);
    await play(['ROLLBACK'], ['SELECT * FROM dbo.New', 208], [`${create}; COMMIT`]);
    expect((await other.batch('SELECT * FROM dbo.New')).rows).toEqual([]);
    await other.close();
  });
});
