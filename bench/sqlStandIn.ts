/**
 * How fast the SQL stand-in is, from one or more checkouts in one run, so that a change can be set against what was
 * before it: `npx tsx bench/sqlStandIn.ts ../before .` Each checkout's server runs in a process of its own. Rounds
 * alternate between the checkouts; the best of each is printed, and the processor time of the server, which other load
 * disturbs less.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { resolve } from 'node:path';
import { Connection, Request, TYPES } from 'tedious';
import { createCertificates, trustAuthority } from '../local/certificates';

const login = { user: 'bench', password: 'Bench-1' };
const rounds = 5;

const server = process.env.STAND_IN;
if (server === undefined) void main();
else void serve(server);

/** The stand-in of a checkout, until its parent ends. */
async function serve(checkout: string): Promise<void> {
  const { startSqlServer } = (await import(
    resolve(checkout, 'local/sqlServer/index.ts')
  )) as typeof import('../local/sqlServer');
  const tls = { key: process.env.TLS_KEY ?? '', cert: process.env.TLS_CERT ?? '' };
  const { port } = await startSqlServer({ tls, logins: { [login.user]: login.password } });
  process.on('disconnect', () => process.exit());
  process.on('message', () => process.send?.(processorMs()));
  process.send?.(port);
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

interface Figure {
  readonly ms: number;
  readonly processorMs: number;
}

async function main(): Promise<void> {
  const checkouts = process.argv.length > 2 ? process.argv.slice(2) : ['.'];
  const { authority, key, cert } = await createCertificates();
  trustAuthority(authority);
  const measured = await Promise.all(
    checkouts.map(async (checkout) => {
      const env = { ...process.env, STAND_IN: checkout, TLS_KEY: key, TLS_CERT: cert };
      const child = fork(__filename, { env, execArgv: process.execArgv });
      const port = await answer(child);
      return { checkout, child, connection: await connect(port), best: new Map<string, Figure>() };
    }),
  );
  for (let round = 0; round < rounds; round++)
    for (const { child, connection, best } of measured)
      for (const [name, { ms, processorMs: own }] of await measure(connection, child)) {
        const before = best.get(name) ?? { ms, processorMs: own };
        best.set(name, { ms: Math.min(ms, before.ms), processorMs: Math.min(own, before.processorMs) });
      }
  for (const { checkout, child, connection, best } of measured) {
    const figures = [...best].map(
      ([name, { ms, processorMs: own }]) =>
        `  ${name}: ${ms.toFixed(0)} ms, of the server's processor ${own.toFixed(0)} ms`,
    );
    process.stdout.write(`${checkout}\n${figures.join('\n')}\n`);
    connection.close();
    child.disconnect();
  }
}

function answer(child: ChildProcess): Promise<number> {
  return new Promise((done) => child.once('message', (message) => done(Number(message))));
}

async function connect(port: number): Promise<Connection> {
  const connection = new Connection({
    server: 'localhost',
    authentication: { type: 'default', options: { userName: login.user, password: login.password } },
    options: { port, database: 'access', encrypt: true, requestTimeout: 120_000 },
  });
  await new Promise<void>((done, failed) => connection.connect((error) => (error ? failed(error) : done())));
  await execute(
    connection,
    'CREATE TABLE dbo.Source (Id INT NOT NULL CONSTRAINT PK_Source PRIMARY KEY, Name VARCHAR(50) NOT NULL, Ends DATETIME2 NOT NULL)',
  );
  await execute(
    connection,
    'CREATE TABLE dbo.Target (Id INT IDENTITY(1, 1) NOT NULL CONSTRAINT PK_Target PRIMARY KEY, Source INT NOT NULL, At DATETIME NOT NULL, Name VARCHAR(50) NOT NULL)',
  );
  await execute(connection, 'CREATE INDEX IX_Target_Source ON dbo.Target (Source, At)');
  const ids = JSON.stringify(Array.from({ length: 100_000 }, (_, i) => i));
  await execute(
    connection,
    "INSERT INTO dbo.Source (Id, Name, Ends) SELECT j.n, CONCAT('name ', j.n), DATEADD(DAY, -(j.n % 100), GETUTCDATE()) FROM OPENJSON(@ids) WITH (n INT '$') AS j",
    { ids },
  );
  return connection;
}

async function measure(connection: Connection, child: ChildProcess): Promise<[string, Figure][]> {
  const processor = (): Promise<number> => {
    child.send('processor');
    return answer(child);
  };
  const timed = async (work: () => Promise<void>): Promise<Figure> => {
    const before = await processor();
    const started = performance.now();
    await work();
    const ms = performance.now() - started;
    return { ms, processorMs: (await processor()) - before };
  };
  const roundTrips = await timed(async () => {
    for (let i = 0; i < 2_000; i++) await execute(connection, 'SELECT @i AS v', { i });
  });
  await execute(connection, 'DELETE FROM dbo.Target; BEGIN TRANSACTION');
  const inserts = await timed(async () => {
    const sql = 'INSERT INTO dbo.Target (Source, At, Name) VALUES (@source, GETUTCDATE(), @name)';
    for (let source = 0; source < 20_000; source++) await execute(connection, sql, { source, name: 'x' });
  });
  await execute(connection, 'COMMIT; DELETE FROM dbo.Target');
  const select = await timed(() =>
    execute(
      connection,
      `INSERT INTO dbo.Target (Source, At, Name) SELECT s.Id, GETUTCDATE(), s.Name FROM dbo.Source AS s
        WHERE DATEDIFF(MINUTE, s.Ends, GETUTCDATE()) >= 0 AND NOT EXISTS (SELECT 1 FROM dbo.Target AS t WHERE t.Source = s.Id AND t.At >= s.Ends)`,
    ),
  );
  return [
    ['2,000 round trips', roundTrips],
    ['20,000 inserts', inserts],
    ['INSERT … SELECT of 100,000 rows', select],
  ];
}

function execute(
  connection: Connection,
  sql: string,
  parameters?: Readonly<Record<string, number | string>>,
): Promise<void> {
  return new Promise((done, failed) => {
    const request = new Request(sql, (error) => (error ? failed(error) : done()));
    if (parameters === undefined) {
      connection.execSqlBatch(request);
      return;
    }
    for (const [name, value] of Object.entries(parameters))
      request.addParameter(name, typeof value === 'number' ? TYPES.Int : TYPES.NVarChar, value);
    connection.execSql(request);
  });
}
