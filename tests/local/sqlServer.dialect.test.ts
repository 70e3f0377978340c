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
      Reference UNIQUEIDENTIFIER NULL CONSTRAINT UQ_Person_Reference UNIQUE,
      Made DATETIME NOT NULL CONSTRAINT DF_Person_Made DEFAULT (GETUTCDATE()));
    CREATE TABLE [dbo].[Pet] (Id INT NOT NULL CONSTRAINT PK_Pet PRIMARY KEY, OwnerId INT NOT NULL
      CONSTRAINT FK_Pet_Person FOREIGN KEY (OwnerId) REFERENCES dbo.Person (Id), Name NVARCHAR(20) NOT NULL)`);
});
afterAll(async () => {
  await client.close();
  await server.close();
});
beforeEach(async () => {
  await client.batch(`DELETE FROM dbo.Pet; DELETE FROM dbo.Person;
    INSERT INTO dbo.Person (Name, Email, Born, Seen, Score) VALUES
      (N'Ann', 'ann@x', '2000-02-29', '2026-01-01T10:00:00', 10), (N'bob', 'Bob@x', '1990-01-01', NULL, 20), (N'Cy', NULL, NULL, NULL, 30)`);
});

const rows = async (sql: string, parameters?: Record<string, Parameter>) =>
  (await client.sql(sql, parameters)).rows;
/** One row's values, in order. */
const values = async (sql: string, parameters?: Record<string, Parameter>): Promise<unknown[]> =>
  Object.values((await rows(sql, parameters))[0] ?? {});
const failing = (sql: string, parameters?: Record<string, Parameter>): Promise<unknown> =>
  client.sql(sql, parameters);
const int = (value: number | null): Parameter => ({ type: TYPES.Int, value });
const text = (value: string | null): Parameter => ({ type: TYPES.NVarChar, value });

describe('queries', () => {
  test('TOP and ORDER BY', async () => {
    expect(
      await rows('SELECT TOP (@n) p.Name FROM dbo.Person AS p ORDER BY p.Name DESC', { n: int(1) }),
    ).toEqual([{ Name: 'Cy' }]);
    expect(await rows('SELECT TOP 2 Name FROM Person ORDER BY Id')).toHaveLength(2);
  });

  test('joins, derived tables, subqueries and UNION ALL', async () => {
    await client.batch(
      "INSERT INTO dbo.Pet (Id, OwnerId, Name) SELECT 1, p.Id, 'Rex' FROM dbo.Person p WHERE p.Name = 'ann'",
    );
    expect(
      await rows(
        'SELECT p.Name, t.Name AS Pet FROM dbo.Person AS p LEFT JOIN dbo.Pet AS t ON t.OwnerId = p.Id ORDER BY p.Id',
      ),
    ).toEqual([
      { Name: 'Ann', Pet: 'Rex' },
      { Name: 'bob', Pet: null },
      { Name: 'Cy', Pet: null },
    ]);
    expect(
      await values(
        "SELECT d.N FROM (SELECT COUNT(*) AS N FROM dbo.Pet) AS d WHERE EXISTS (SELECT 1 FROM dbo.Person WHERE Name = 'Ann')",
      ),
    ).toEqual([1]);
    expect(
      await rows('SELECT Name FROM dbo.Person UNION ALL SELECT Name FROM dbo.Pet ORDER BY Name'),
    ).toHaveLength(4);
    expect(await values('SELECT (SELECT MAX(Score) FROM dbo.Person) AS Most')).toEqual([30]);
  });

  test('grouping, aggregates and window functions, and 8120 for a column outside them', async () => {
    expect(
      await values('SELECT COUNT(*) AS a, SUM(Score) AS b, MIN(Name) AS c, MAX(Born) AS d FROM dbo.Person'),
    ).toEqual([3, 60, 'Ann', new Date('2000-02-29')]);
    expect(
      await rows(
        'SELECT Score % 20 AS L, COUNT(*) AS N FROM dbo.Person GROUP BY Score % 20 HAVING COUNT(*) > 1',
      ),
    ).toEqual([{ L: 10, N: 2 }]);
    const ranked =
      'SELECT p.Name, ROW_NUMBER() OVER (PARTITION BY p.Score % 20 ORDER BY p.Score DESC) AS R FROM dbo.Person AS p';
    expect(await rows(`SELECT r.Name FROM (${ranked}) AS r WHERE r.R = 1 ORDER BY r.Name`)).toEqual([
      { Name: 'bob' },
      { Name: 'Cy' },
    ]);
    await expect(failing('SELECT Name, COUNT(*) AS N FROM dbo.Person')).rejects.toMatchObject({
      number: 8120,
    });
  });

  test('WITH names queries that later ones and the statement read, also one that writes', async () => {
    const steps = `WITH Scored AS (SELECT p.Id, p.Name, p.Score FROM dbo.Person AS p WHERE p.Score > @least),
  Best AS (SELECT MAX(s.Score) AS Score FROM Scored AS s)`;
    const least = { least: int(15) };
    expect(
      await rows(
        `${steps} SELECT s.Name, b.Score AS Best FROM Scored AS s LEFT JOIN Best AS b ON b.Score = s.Score ORDER BY s.Name`,
        least,
      ),
    ).toEqual([
      { Name: 'bob', Best: null },
      { Name: 'Cy', Best: 30 },
    ]);
    await client.sql(
      `${steps} INSERT INTO dbo.Pet (Id, OwnerId, Name) SELECT s.Id, s.Id, N'Rex' FROM Scored AS s`,
      least,
    );
    await client.sql(
      `${steps} UPDATE dbo.Pet SET Name = N'Best' WHERE OwnerId IN (SELECT s.Id FROM Scored AS s JOIN Best AS b ON b.Score = s.Score)`,
      least,
    );
    expect(await rows('SELECT Name FROM dbo.Pet ORDER BY Id')).toEqual([{ Name: 'Rex' }, { Name: 'Best' }]);
    // A step that stands before another object of its name hides it; names end with their statement.
    expect(await values('WITH Pet AS (SELECT 7 AS Id) SELECT Id FROM Pet')).toEqual([7]);
    expect(
      await rows('WITH One AS (SELECT 1 AS Id) SELECT Id FROM One; SELECT Id FROM dbo.Pet'),
    ).toHaveLength(3);
  });

  test.each([
    [239, 'WITH a AS (SELECT 1 AS x), A AS (SELECT 2 AS x) SELECT x FROM a'],
    [319, 'SELECT 1 AS x WITH a AS (SELECT 1 AS x) SELECT x FROM a'],
    [208, 'WITH a AS (SELECT 1 AS x) SELECT x FROM a; SELECT x FROM a'],
    [1033, 'WITH a AS (SELECT Id FROM dbo.Person ORDER BY Id) SELECT Id FROM a'],
    [8155, 'WITH a AS (SELECT 1) SELECT 1 AS x FROM a'],
  ])('WITH: error %d', async (number, sql) => {
    await expect(failing(sql)).rejects.toMatchObject({ number });
  });

  test('predicates: IN, BETWEEN, IS NULL, NOT and three-valued logic', async () => {
    expect(
      await rows("SELECT Name FROM dbo.Person WHERE Name IN ('ANN', @other) ORDER BY Name", {
        other: text('CY'),
      }),
    ).toHaveLength(2);
    expect(
      await rows('SELECT Name FROM dbo.Person WHERE Score NOT BETWEEN 15 AND 25 AND Email IS NOT NULL'),
    ).toEqual([{ Name: 'Ann' }]);
    expect(await rows("SELECT Name FROM dbo.Person WHERE NOT (Email = 'ann@x')")).toEqual([{ Name: 'bob' }]);
    expect(
      await rows('SELECT 1 AS x WHERE @n NOT IN (SELECT Score FROM dbo.Person)', { n: int(5) }),
    ).toHaveLength(1);
  });

  test('text compares without case unless a column is BIN2, and mixing the two is error 468', async () => {
    expect(await rows("SELECT Id FROM dbo.Person WHERE Name = N'ANN'")).toHaveLength(1);
    expect(await rows('SELECT 1 AS x WHERE @a = @b', { a: text('x'), b: text('X') })).toHaveLength(1);
    expect(await rows("SELECT Id FROM dbo.Person WHERE Email = 'bob@x'")).toHaveLength(0);
    expect(
      await rows("SELECT Id FROM dbo.Person WHERE Email COLLATE SQL_Latin1_General_CP1_CI_AS = 'bob@x'"),
    ).toHaveLength(1);
    await expect(failing('SELECT Id FROM dbo.Person WHERE Email = Name')).rejects.toMatchObject({
      number: 468,
    });
  });

  test('OPENJSON WITH reads scalars and objects, typed', async () => {
    const json = text(
      JSON.stringify([{ id: 7, g: 'aaaaaaaa-0000-0000-0000-000000000001', n: 'Zoë' }, { id: 8 }]),
    );
    expect(
      await rows(
        "SELECT j.Id, j.G, j.N FROM OPENJSON(@j) WITH (Id INT '$.id', G UNIQUEIDENTIFIER '$.g', N NVARCHAR(10) '$.n') AS j",
        { j: json },
      ),
    ).toEqual([
      { Id: 7, G: 'AAAAAAAA-0000-0000-0000-000000000001', N: 'Zoë' },
      { Id: 8, G: null, N: null },
    ]);
    expect(
      await rows("SELECT j.V FROM OPENJSON(@j) WITH (V DATETIME2(3) '$') AS j", {
        j: text('["2026-02-03T04:05:06.789"]'),
      }),
    ).toEqual([{ V: new Date('2026-02-03T04:05:06.789Z') }]);
    await expect(
      failing("SELECT V FROM OPENJSON(@j) WITH (V INT '$')", { j: text('[1') }),
    ).rejects.toMatchObject({ number: 13609 });
  });
});

describe('functions', () => {
  test.each<[string, unknown]>([
    ["DATEDIFF(MINUTE, '2026-01-01T10:00:59.999', '2026-01-01T10:01:00')", 1],
    ["DATEDIFF(MINUTE, '2026-01-01T10:00:00', '2026-01-01T10:00:59.999')", 0],
    ["DATEDIFF(DAY, '2026-01-01T23:59:59', '2026-01-02')", 1],
    ["DATEDIFF(hour, '2026-01-01T00:59:00', '2026-01-01T02:00:00')", 2],
    ["DATEDIFF(SECOND, '1970-01-01', '2026-01-01')", 1767225600],
    ["DATEDIFF(MILLISECOND, '2026-01-01', '2026-01-01T00:00:01.5')", 1500],
    ["CAST('2026-01-01T10:11:30' AS SMALLDATETIME)", new Date('2026-01-01T10:12:00Z')],
    ["DATEADD(DAY, 1, CAST('2026-12-31T23:59:29' AS SMALLDATETIME))", new Date('2027-01-01T23:59:00Z')],
    ["DATEADD(DAY, -14, CAST('2026-03-01' AS DATE))", new Date('2026-02-15')],
    ["DATEADD(MILLISECOND, 1, CAST('2026-01-01' AS DATETIME2(3)))", new Date('2026-01-01T00:00:00.001Z')],
    ["DATEADD(MILLISECOND, 2, CAST('2026-01-01' AS DATETIME))", new Date('2026-01-01T00:00:00.003Z')],
    ["CAST('2026-01-01T10:11:12.9999999' AS DATE)", new Date('2026-01-01')],
    ["CAST('12' AS INT) + 1", 13],
    ['5 / 2', 2],
    ["'a' + N'b'", 'ab'],
    ["CAST('abcdef' AS VARCHAR(3))", 'abc'],
    ['COALESCE(NULL, NULL, 3)', 3],
    ["NULLIF('a', 'A')", null],
    ["CONCAT('a', NULL, 1, N'ß')", 'a1ß'],
    ["LOWER(N'ÄB')", 'äb'],
    [
      "HASHBYTES('SHA2_256', N'é')",
      Buffer.from('63e3c807f93f669a2625f37ee673726c36ef3e99b6b7db02c910be25087e0f9c', 'hex'),
    ],
    [
      "HASHBYTES('SHA2_256', 'é')",
      Buffer.from('de2e331d891ae267a7009cb45b4e8830f170e0c937288ea2731a1941c7a53b0d', 'hex'),
    ],
    ['CASE WHEN NULL = NULL THEN 1 END', null],
    ['DB_NAME()', 'access'],
    ["HAS_PERMS_BY_NAME('dbo.Person', 'OBJECT', 'SELECT')", 1],
    ["HAS_PERMS_BY_NAME('dbo.Nothing', 'OBJECT', 'SELECT')", null],
    ["HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'VIEW DEFINITION')", 1],
    ["OBJECT_ID(N'dbo.Nothing')", null],
    ["OBJECT_ID(N'[dbo].[Person]', N'V')", null],
    ['CAST(1 AS BIT)', true],
    ['CAST(9007199254740993 AS BIGINT)', '9007199254740993'],
  ])('%s is %p', async (expression, expected) => {
    expect(await values(`SELECT ${expression} AS v`)).toEqual([expected]);
  });

  test('GETUTCDATE is one DATETIME for a statement, on the clock that tests move; SYSUTCDATETIME a DATETIME2', async () => {
    server.clock.set(new Date('2030-01-01T00:00:00.000Z'));
    server.clock.advance(60_000);
    const answer = await client.batch('SELECT GETUTCDATE() AS a, SYSUTCDATETIME() AS b');
    server.clock.set(new Date());
    expect(answer.columns.map(({ type }) => type)).toEqual(['DateTimeN', 'DateTime2']);
    expect((answer.rows[0]?.a as Date).getTime() - Date.parse('2030-01-01T00:01:00Z')).toBeLessThan(5_000);
    expect(Math.abs(Date.now() - server.clock.now().getTime())).toBeLessThan(5_000);
  });

  test('NEWID differs by row', async () => {
    expect(new Set((await rows('SELECT NEWID() AS g FROM dbo.Person')).map(({ g }) => g)).size).toBe(3);
  });
});

describe('types on the wire', () => {
  test.each<[string, Parameter, unknown, string]>([
    ['INT', int(-5), -5, 'IntN'],
    ['a null INT', int(null), null, 'IntN'],
    [
      'UNIQUEIDENTIFIER',
      { type: TYPES.UniqueIdentifier, value: '0123abcd-4567-89ef-0123-456789abcdef' },
      '0123ABCD-4567-89EF-0123-456789ABCDEF',
      'UniqueIdentifier',
    ],
    ['VARCHAR', { type: TYPES.VarChar, value: 'é€', length: 10 }, 'é€', 'VarChar'],
    ['NVARCHAR', { type: TYPES.NVarChar, value: 'жλ😀' }, 'жλ😀', 'NVarChar'],
    ['NVARCHAR(MAX)', { type: TYPES.NVarChar, value: 'ж'.repeat(100_000) }, 'ж'.repeat(100_000), 'NVarChar'],
  ])('%s comes back as it was sent', async (_name, parameter, expected, type) => {
    const answer = await client.sql('SELECT @p AS v', { p: parameter });
    expect(answer.rows[0]?.v).toEqual(expected);
    expect(answer.columns[0]?.type).toBe(type);
  });

  test.each<[string, unknown, string]>([
    ['CAST(1 AS BIT)', true, 'BitN'],
    ['CAST(255 AS TINYINT)', 255, 'IntN'],
    ['CAST(-3 AS SMALLINT)', -3, 'IntN'],
    ["CAST('-9007199254740993' AS BIGINT)", '-9007199254740993', 'IntN'],
    ["CAST('2026-05-06T07:08:09.123' AS DATETIME)", new Date('2026-05-06T07:08:09.123Z'), 'DateTimeN'],
    ["CAST('1899-12-31T00:00:00' AS DATETIME)", new Date('1899-12-31'), 'DateTimeN'],
    ["CAST('2026-05-06T07:08:09.123' AS DATETIME2(3))", new Date('2026-05-06T07:08:09.123Z'), 'DateTime2'],
    ["CAST('2026-05-06' AS DATE)", new Date('2026-05-06'), 'Date'],
    [
      "CAST(CAST('0123abcd-4567-89ef-0123-456789abcdef' AS UNIQUEIDENTIFIER) AS VARBINARY(16))",
      Buffer.from('cdab23016745ef890123456789abcdef', 'hex'),
      'VarBinary',
    ],
  ])('%s is read as %p', async (expression, expected, type) => {
    const answer = await client.batch(`SELECT ${expression} AS v, CAST(NULL AS INT) AS n`);
    expect(answer.rows).toEqual([{ v: expected, n: null }]);
    expect(answer.columns[0]?.type).toBe(type);
  });

  test('columns of tables, views and expressions have their declared types', async () => {
    await client.batch(
      'CREATE OR ALTER VIEW dbo.Seen AS SELECT p.Reference AS R, p.Precise AS P, p.Name AS N FROM dbo.Person AS p WHERE p.Score IS NOT NULL',
    );
    const answer = await client.batch(
      'SELECT s.R, s.P, s.N, COUNT(*) OVER (PARTITION BY s.N) AS C, DATEADD(DAY, 1, s.P) AS D, CAST(GETUTCDATE() AS DATE) AS E FROM dbo.Seen AS s',
    );
    expect(answer.columns.map(({ type }) => type)).toEqual([
      'UniqueIdentifier',
      'DateTime2',
      'NVarChar',
      'IntN',
      'DateTime2',
      'Date',
    ]);
  });

  test('DATETIME rounds to 1/300 s when stored; a DATE compares with it as its midnight', async () => {
    await client.sql("UPDATE dbo.Person SET Seen = @at, Precise = @at WHERE Name = 'Cy'", {
      at: text('2026-01-02T00:00:00.005'),
    });
    expect(
      await values(
        "SELECT Seen, Precise FROM dbo.Person WHERE Name = 'Cy' AND Seen >= CAST('2026-01-02' AS DATE)",
      ),
    ).toEqual([new Date('2026-01-02T00:00:00.007Z'), new Date('2026-01-02T00:00:00.005Z')]);
    expect(await rows("SELECT 1 AS x FROM dbo.Person WHERE Born = '2000-02-29T00:00:00'")).toHaveLength(1);
  });
});

describe('statements that write', () => {
  test('@@ROWCOUNT is that of the statement before; variables live through the batch', async () => {
    expect(
      await values(
        'DECLARE @n INT = 5, @m INT; UPDATE dbo.Person SET Score = 1 WHERE Score > 10; SET @n = @@ROWCOUNT SET @m = (SELECT MAX(Score) FROM dbo.Person) SELECT @n AS n, @m AS m',
      ),
    ).toEqual([2, 10]);
    expect(
      await values(
        "UPDATE dbo.Person SET Score = 3; UPDATE dbo.Person SET Score = COALESCE(Score, 0) + @@ROWCOUNT WHERE Name = 'Ann'; SELECT Score FROM dbo.Person WHERE Name = 'Ann'",
      ),
    ).toEqual([6]);
  });

  test('BEGIN, COMMIT, PRINT and SET options put @@ROWCOUNT to nothing', async () => {
    for (const between of ['BEGIN TRANSACTION; COMMIT', 'SET NOCOUNT OFF', "PRINT 'x'"]) {
      expect(await values(`UPDATE dbo.Person SET Score = 1; ${between}; SELECT @@ROWCOUNT AS n`)).toEqual([
        0,
      ]);
    }
  });

  test.each<[string, number, RegExp]>([
    ['SELECT 1 AS x FROM dbo.Missing', 208, /Invalid object name 'dbo\.Missing'/],
    ['SELECT Missing FROM dbo.Person', 207, /Invalid column name 'Missing'/],
    ['SELECT p.Missing FROM dbo.Person AS p', 207, /Missing/],
    ['SELECT q.Name FROM dbo.Person AS p', 4104, /q\.Name/],
    ["INSERT INTO dbo.Person (Name, Score) VALUES ('x', 101)", 547, /CK_Person_Score/],
    ["INSERT INTO dbo.Pet (Id, OwnerId, Name) VALUES (1, -1, 'x')", 547, /FK_Pet_Person/],
    [
      "INSERT INTO dbo.Person (Name, Email) VALUES ('x', '123456789012345678901')",
      2628,
      /table 'access\.dbo\.Person', column 'Email'/,
    ],
    ['INSERT INTO dbo.Person (Name) VALUES (NULL)', 515, /'Name'/],
    ['INSERT INTO dbo.Person (Score) VALUES (1)', 515, /'Name'/],
    ['UPDATE dbo.Person SET Name = NULL', 515, /UPDATE fails/],
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
    ['CREATE TABLE dbo.Person (Id INT)', 2714, /Person/],
    ['SELECT @x AS v', 137, /@x/],
    ["SELECT 'x", 105, /quotation mark/],
    ['SELECT (1', 102, /syntax/],
    ['SELECT Name FROM (SELECT Name FROM dbo.Person ORDER BY Name) AS d', 1033, /ORDER BY/],
    [
      'MERGE INTO dbo.Person AS t USING dbo.Pet AS s ON 1 = 1 WHEN MATCHED THEN DELETE;',
      40514,
      /MERGE INTO dbo\.Person AS t/,
    ],
    [
      'SELECT SOUNDEX(Name) AS v FROM dbo.Person',
      40514,
      /SOUNDEX: SELECT SOUNDEX\(Name\) AS v FROM dbo\.Person/,
    ],
    ["SELECT Name FROM dbo.Person WHERE Name LIKE '[a-c]%'", 40514, /LIKE/],
  ])('%s fails with %i', async (sql, number, message) => {
    await expect(client.batch(sql)).rejects.toMatchObject({
      number,
      message: expect.stringMatching(message) as string,
    });
  });

  test('an error ends its statement only; with XACT_ABORT it ends the batch and rolls back', async () => {
    const sql =
      "INSERT INTO dbo.Person (Name) VALUES ('Di'); INSERT INTO dbo.Person (Name, Score) VALUES ('Ed', 101); INSERT INTO dbo.Person (Name) VALUES ('Flo')";
    await expect(client.batch(`BEGIN TRANSACTION; ${sql}; COMMIT`)).rejects.toMatchObject({ number: 547 });
    expect(await values('SELECT COUNT(*) AS n FROM dbo.Person')).toEqual([5]);
    await expect(
      client.sql(`SET XACT_ABORT ON; BEGIN TRANSACTION; ${sql}; COMMIT TRANSACTION`),
    ).rejects.toMatchObject({ number: 547 });
    expect(await values('SELECT COUNT(*) AS n, @@TRANCOUNT AS t FROM dbo.Person')).toEqual([5, 0]);
  });
});
