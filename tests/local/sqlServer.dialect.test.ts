/** T-SQL that is easily misunderstood, and errors. The product's own tests cover the statements that it sends. */
import type { SqlServer } from '../../local/sqlServer';
import { Client, startServer, TYPES, type Parameter } from './sqlServer.support';

let server: SqlServer;
let client: Client;

beforeAll(async () => {
  server = await startServer();
  client = await Client.open(server);
  await client.batch(`
    CREATE TABLE dbo.Person (
      Id INT IDENTITY(1, 1) NOT NULL CONSTRAINT PK_Person PRIMARY KEY,
      Name NVARCHAR(50) NOT NULL,
      Email VARCHAR(20) COLLATE Latin1_General_BIN2 NULL,
      Born DATE NULL,
      Seen DATETIME NULL,
      Precise DATETIME2(3) NULL,
      Score INT NULL CONSTRAINT CK_Person_Score CHECK (Score BETWEEN 0 AND 100),
      Reference UNIQUEIDENTIFIER NULL CONSTRAINT UQ_Person_Reference UNIQUE);
    CREATE TABLE [dbo].[Pet] (Id INT NOT NULL CONSTRAINT PK_Pet PRIMARY KEY, OwnerId INT NOT NULL
      CONSTRAINT FK_Pet_Person REFERENCES dbo.Person (Id), Name NVARCHAR(20) NOT NULL)`);
});
afterAll(async () => {
  await client.close();
  await server.close();
});
beforeEach(async () => {
  await client.batch(`DELETE FROM dbo.Pet; DELETE FROM dbo.Person;
    INSERT INTO dbo.Person (Name, Email, Born, Seen, Score) VALUES
      (N'Ann', 'ann@x', '2000-02-29', '2026-01-01T10:00:00', 10), (N'bob', 'Bob@x', '1990-01-01', NULL, 20), (N'Cy', NULL, NULL, NULL, 30);
    INSERT INTO dbo.Pet (Id, OwnerId, Name) SELECT 1, p.Id, 'Rex' FROM dbo.Person p WHERE p.Name = 'ann'`);
});

/** Each row's values, in order. */
const tuples = async (sql: string, parameters?: Record<string, Parameter>): Promise<unknown[][]> =>
  (await client.sql(sql, parameters)).rows.map((row) => Object.values(row));
const int = (value: number | null): Parameter => ({ type: TYPES.Int, value });
const text = (value: string | null): Parameter => ({ type: TYPES.NVarChar, value });
const parameters = { n: int(1), least: int(15), a: text('x'), b: text('X'), other: text('CY') };

test.each<[sql: string, rows: unknown[][]]>([
  [
    'SELECT Score % 20 AS L, COUNT(*) AS N FROM dbo.Person GROUP BY Score % 20 HAVING COUNT(*) > 1',
    [[10, 2]],
  ],
  // A step hides another object of its name, until its statement ends.
  ['WITH Pet AS (SELECT 7 AS Id) SELECT Id FROM Pet; SELECT Id FROM Pet', [[7], [1]]],
  ["SELECT Name FROM dbo.Person WHERE Name IN ('ANN', @other) ORDER BY Name", [['Ann'], ['Cy']]],
  ["SELECT Name FROM dbo.Person WHERE NOT (Email = 'ann@x')", [['bob']]],
  ['SELECT 1 AS x WHERE @n NOT IN (SELECT Score FROM dbo.Person)', [[1]]],
  ["SELECT Name FROM dbo.Person WHERE Name = N'ANN'", [['Ann']]],
  ['SELECT 1 AS x WHERE @a = @b', [[1]]],
  ["SELECT Id FROM dbo.Person WHERE Email = 'bob@x'", []],
  ["SELECT Name FROM dbo.Person WHERE Email COLLATE SQL_Latin1_General_CP1_CI_AS = 'bob@x'", [['bob']]],
  ["SELECT Name FROM dbo.Person WHERE Born = '2000-02-29T00:00:00'", [['Ann']]],
])('%s', async (sql, rows) => {
  expect(await tuples(sql, parameters)).toEqual(rows);
});

test.each<[expression: string, value: unknown, type?: string]>([
  ["DATEDIFF(MINUTE, '2026-01-01T10:00:59.999', '2026-01-01T10:01:00')", 1],
  ["DATEDIFF(MINUTE, '2026-01-01T10:00:00', '2026-01-01T10:00:59.999')", 0],
  ["DATEDIFF(DAY, '2026-01-01T23:59:59', '2026-01-02')", 1],
  ["DATEDIFF(hour, '2026-01-01T00:59:00', '2026-01-01T02:00:00')", 2],
  ["DATEDIFF(SECOND, '1970-01-01', '2026-01-01')", 1767225600],
  ["DATEADD(DAY, 1, CAST('2026-12-31T23:59:29' AS SMALLDATETIME))", new Date('2027-01-01T23:59:00Z')],
  ["DATEADD(DAY, -14, CAST('2026-03-01' AS DATE))", new Date('2026-02-15'), 'Date'],
  ["CAST('2026-01-01T10:11:30' AS SMALLDATETIME)", new Date('2026-01-01T10:12:00Z')],
  ["CAST('2026-01-01T10:11:12.9999999' AS DATE)", new Date('2026-01-01')],
  ["CAST('2026-05-06T07:08:09.123' AS DATETIME)", new Date('2026-05-06T07:08:09.123Z'), 'DateTimeN'],
  ["CAST('12' AS INT) + 1", 13, 'IntN'],
  ['5 / 2', 2],
  ['CAST(1 AS BIT)', true, 'BitN'],
  ["CAST('-9007199254740993' AS BIGINT)", '-9007199254740993', 'IntN'],
  ["'a' + N'b'", 'ab', 'NVarChar'],
  ["CAST('abcdef' AS VARCHAR(3))", 'abc', 'VarChar'],
  ['COALESCE(NULL, NULL, 3)', 3],
  ["NULLIF('a', 'A')", null],
  ["CONCAT('a', NULL, 1, N'ß')", 'a1ß'],
  ["LOWER(N'ÄB')", 'äb'],
  ["TRANSLATE(N'abc', N'ab', N'ba')", 'bac'],
  [
    "HASHBYTES('SHA2_256', N'é')",
    Buffer.from('63e3c807f93f669a2625f37ee673726c36ef3e99b6b7db02c910be25087e0f9c', 'hex'),
    'VarBinary',
  ],
  [
    "HASHBYTES('SHA2_256', 'é')",
    Buffer.from('de2e331d891ae267a7009cb45b4e8830f170e0c937288ea2731a1941c7a53b0d', 'hex'),
  ],
  ['CASE WHEN NULL = NULL THEN 1 END', null],
  ['GETUTCDATE()', expect.any(Date), 'DateTimeN'],
  ['SYSUTCDATETIME()', expect.any(Date), 'DateTime2'],
])('%s is %p', async (...[expression, value, type]) => {
  const { rows, types } = await client.batch(`SELECT ${expression} AS v, CAST(NULL AS INT) AS n`);
  expect(rows).toEqual([{ v: value, n: null }]);
  if (type !== undefined) expect(types[0]).toBe(type);
});

const ann = "FROM dbo.Person WHERE Name = 'Ann'";
test.each<[what: string, sql: string, row: unknown[]]>([
  [
    'DATETIME rounds to 1/300 s when stored; a DATE compares with it as its midnight',
    `UPDATE dbo.Person SET Seen = @at, Precise = @at WHERE Name = 'Ann'; SELECT Seen, Precise ${ann} AND Seen >= CAST('2026-01-02' AS DATE)`,
    [new Date('2026-01-02T00:00:00.007Z'), new Date('2026-01-02T00:00:00.005Z')],
  ],
  [
    'variables live through the batch, and @@ROWCOUNT is that of the statement before',
    'DECLARE @n INT = 5, @m INT; UPDATE dbo.Person SET Score = 1 WHERE Score > 10; SET @n = @@ROWCOUNT SET @m = (SELECT MAX(Score) FROM dbo.Person) SELECT @n AS n, @m AS m',
    [2, 10],
  ],
  ...['BEGIN TRANSACTION; COMMIT', 'SET NOCOUNT OFF', "PRINT 'x'"].map(
    (between): [string, string, unknown[]] => [
      `@@ROWCOUNT is 0 after ${between}`,
      `UPDATE dbo.Person SET Score = 1; ${between}; SELECT @@ROWCOUNT AS n`,
      [0],
    ],
  ),
])('%s', async (_what, sql, row) => {
  const at = text('2026-01-02T00:00:00.005');
  expect(await tuples(sql, { at, least: int(15) })).toEqual([row]);
});

test.each<[sql: string, number: number, message: RegExp]>([
  ['WITH a AS (SELECT 1 AS x) SELECT x FROM a; SELECT x FROM a', 208, /'a'/],
  ['SELECT 1 AS x FROM dbo.Missing', 208, /Invalid object name 'dbo\.Missing'/],
  ['SELECT Missing FROM dbo.Person', 207, /Invalid column name 'Missing'/],
  ['SELECT p.Missing FROM dbo.Person AS p', 207, /Missing/],
  ['SELECT q.Name FROM dbo.Person AS p', 4104, /q\.Name/],
  ["INSERT INTO dbo.Person (Name, Score) VALUES ('x', 101)", 547, /CK_Person_Score/],
  ["INSERT INTO dbo.Pet (Id, OwnerId, Name) VALUES (2, -1, 'x')", 547, /FK_Pet_Person/],
  [
    "INSERT INTO dbo.Person (Name, Email) VALUES ('x', '123456789012345678901')",
    2628,
    /table 'access\.dbo\.Person', column 'Email'/,
  ],
  ['INSERT INTO dbo.Person (Name) VALUES (NULL)', 515, /'Name'/],
  ['INSERT INTO dbo.Person (Score) VALUES (1)', 515, /'Name'/],
  ['UPDATE dbo.Person SET Name = NULL', 515, /UPDATE fails/],
  ["DELETE FROM dbo.Person WHERE Name = 'Ann'", 547, /REFERENCE constraint "FK_Pet_Person"/],
  ["INSERT INTO dbo.Pet (Id, OwnerId, Name) SELECT NULL, 1, 'x'", 515, /column 'Id'/],
  [
    "INSERT INTO dbo.Person (Name, Reference) SELECT TOP 2 'x', '00000000-0000-0000-0000-000000000001' FROM dbo.Person",
    2627,
    /UQ_Person_Reference/,
  ],
  ["SELECT CAST('x' AS INT) AS v", 245, /'x'/],
  ["SELECT CAST('x' AS BIGINT) AS v", 8114, /bigint/],
  ["SELECT CAST('x' AS UNIQUEIDENTIFIER) AS v", 8169, /uniqueidentifier/],
  ["SELECT CAST('2026-02-30' AS DATETIME2) AS v", 241, /date/],
  ['SELECT 1 / 0 AS v', 8134, /Divide by zero/],
  ["SELECT TRANSLATE(N'abc', N'ab', N'b') AS v", 9828, /equal number of characters/],
  ['CREATE TABLE dbo.Person (Id INT)', 2714, /Person/],
  ['UPDATE dbo.Person SET Score = 1; CREATE UNIQUE INDEX UX_Score ON dbo.Person (Score)', 1505, /UX_Score/],
  ['CREATE ROLE Jobs; CREATE ROLE Jobs', 15023, /Jobs/],
  ['GRANT SELECT ON dbo.Missing TO dbo', 15151, /dbo/],
  ['CREATE VIEW dbo.V AS SELECT x.Missing FROM dbo.Person AS x', 207, /Missing/],
  ['SELECT @x AS v', 137, /@x/],
  ["SELECT 'x", 102, /syntax/],
  ['SELECT (1', 102, /syntax/],
  ["SELECT V FROM OPENJSON('[1') WITH (V INT '$')", 13609, /JSON/],
  ...(
    [
      // What SQL Server refuses as well.
      ['WITH a AS (SELECT 1 AS x), A AS (SELECT 2 AS x) SELECT x FROM a', /two steps/],
      ['SELECT 1 AS x WITH a AS (SELECT 1 AS x) SELECT x FROM a', /semicolon/],
      ['WITH a AS (SELECT Id FROM dbo.Person ORDER BY Id) SELECT Id FROM a', /ORDER BY/],
      ['WITH a AS (SELECT 1) SELECT 1 AS x FROM a', /without a name/],
      ['SELECT Name, COUNT(*) AS N FROM dbo.Person', /Name outside GROUP BY/],
      ['SELECT Id FROM dbo.Person WHERE Email = Name', /collations/],
      ['PRINT 1; CREATE VIEW dbo.V AS SELECT 1 AS a', /together with other statements/],
      ['DROP TABLE dbo.Person', /foreign key/],
      ['SELECT Name FROM dbo.Person AS a JOIN dbo.Pet AS b ON b.OwnerId = a.Id', /ambiguous/],
      // What SQL Server accepts and the stand-in does not serve.
      ['MERGE INTO dbo.Person AS t USING dbo.Pet AS s ON 1 = 1 WHEN MATCHED THEN DELETE;', /MERGE INTO dbo/],
      ['SELECT SOUNDEX(Name) AS v FROM dbo.Person', /SOUNDEX: SELECT SOUNDEX\(Name\) AS v FROM dbo\.Person/],
      ["SELECT Name FROM dbo.Person WHERE Name LIKE '[a-c]%'", /LIKE/],
    ] as const
  ).map(([sql, message]): [string, number, RegExp] => [sql, 40514, message]),
])('%s fails with %i', async (sql, number, message) => {
  await expect(client.batch(sql)).rejects.toMatchObject({
    number,
    message: expect.stringMatching(message) as string,
  });
});

test('a view whose table has changed gives the error in it, and 4413', async () => {
  await client.batch('CREATE TABLE dbo.T (Id INT NOT NULL, A INT NULL)');
  await client.batch('CREATE VIEW dbo.V AS SELECT x.Id, x.A FROM dbo.T AS x');
  for (const [sql, number] of [
    ['DROP TABLE dbo.T; CREATE TABLE dbo.T (Id INT NOT NULL)', 207],
    ['DROP TABLE dbo.T', 208],
  ] as const) {
    await client.batch(sql);
    const error = await client.batch('SELECT Id FROM dbo.V').catch((reason: unknown) => reason);
    expect((error as AggregateError).errors).toMatchObject([{ number }, { number: 4413 }]);
  }
});

test('an error ends only its statement; with XACT_ABORT it ends the batch and rolls back', async () => {
  const sql =
    "INSERT INTO dbo.Person (Name) VALUES ('Di'); INSERT INTO dbo.Person (Name, Score) VALUES ('Ed', 101); INSERT INTO dbo.Person (Name) VALUES ('Flo')";
  const state = 'SELECT COUNT(*) AS n, @@TRANCOUNT AS t FROM dbo.Person';
  for (const options of ['', 'SET XACT_ABORT ON;']) {
    await expect(client.sql(`${options} BEGIN TRANSACTION; ${sql}; COMMIT`)).rejects.toMatchObject({
      number: 547,
    });
    expect(await tuples(state)).toEqual([[5, 0]]);
  }
});
