import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Request } from 'tedious';
import type { SqlServer } from '../../local/sqlServer';
import { Client, startServer, TOKEN, TYPES, type ClientOptions } from './sqlServer.support';

let server: SqlServer;
const open = (options?: ClientOptions): Promise<Client> => Client.open(server, options);

beforeEach(async () => {
  server = await startServer();
  const client = await open();
  await client.batch('CREATE TABLE dbo.Number (N INT NOT NULL CONSTRAINT PK_Number PRIMARY KEY)');
  await client.close();
  server.clearStatements();
});
afterEach(() => server.close());

const count = async (client: Client): Promise<unknown> =>
  (await client.batch('SELECT COUNT(*) AS n FROM dbo.Number')).rows[0]?.n;
const insert = (client: Client, n: number): Promise<unknown> =>
  client.sql('INSERT INTO dbo.Number (N) VALUES (@n)', { n: { type: TYPES.Int, value: n } });
const lost = { code: 'ECONNRESET' };
const timedOut = { code: 'ETIMEOUT' };
/** Adds the numbers 1 to `count`, past T-SQL. */
const fill = (count: number): void =>
  server.sqlite.exec(
    `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ${count}) INSERT INTO Number SELECT n FROM s`,
  );
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await delay(5);
};

describe('a connection', () => {
  test('with a federated login gets in with a token from a TokenCredential, and is refused with another', async () => {
    const scopes: unknown[] = [];
    const credential = (token: string) => ({
      type: 'token-credential' as const,
      options: {
        credential: {
          getToken: (scope: string | string[]) => {
            scopes.push(scope);
            return Promise.resolve({ token, expiresOnTimestamp: Date.now() + 3_600_000 });
          },
        },
      },
    });
    const client = await open({ authentication: credential(TOKEN) });
    expect((await client.batch('SELECT 1 AS v')).rows).toEqual([{ v: 1 }]);
    expect(String(scopes[0])).toBe('https://database.windows.net/.default');
    await expect(open({ authentication: credential('another') })).rejects.toMatchObject({ code: 'ELOGIN' });
  });

  test('packets of any size carry long messages both ways', async () => {
    const text = 'x'.repeat(300_000);
    for (const packetSize of [512, 32767]) {
      const client = await open({ options: { packetSize } });
      expect((await client.sql('SELECT @t AS t', { t: { type: TYPES.NVarChar, value: text } })).rows).toEqual(
        [{ t: text }],
      );
    }
  });

  test('statements are kept as sent, with their parameters, without the settings that tedious sends first', async () => {
    const client = await open();
    await insert(client, 7);
    await client.batch('SELECT 1 AS v');
    const [first, second] = server.statements;
    expect(server.statements).toHaveLength(2);
    expect(first).toMatchObject({
      text: 'INSERT INTO dbo.Number (N) VALUES (@n)',
      parameters: [{ name: '@n', type: { name: 'int' }, value: 7n }],
    });
    expect(second).toMatchObject({ text: 'SELECT 1 AS v', parameters: [], connection: first?.connection });
  });
});

describe('transactions', () => {
  test('others read what is committed while a transaction is open, and its writes when it ends', async () => {
    const [a, b] = [await open(), await open()];
    await a.batch('BEGIN TRANSACTION; INSERT INTO dbo.Number (N) VALUES (1)');
    expect(await count(b)).toBe(0);
    expect(await count(a)).toBe(1);
    await a.batch('COMMIT TRANSACTION');
    expect(await count(b)).toBe(1);
  });

  test('writers wait for each other in the order of their arrival', async () => {
    const [a, b, c] = [await open(), await open(), await open()];
    await a.batch('CREATE TABLE dbo.Turn (Id INT IDENTITY(1, 1) PRIMARY KEY, Who VARCHAR(1) NOT NULL)');
    const take = (who: string): string => `INSERT INTO dbo.Turn (Who) VALUES ('${who}')`;
    await a.batch(`BEGIN TRANSACTION; ${take('a')}`);
    const first = b.batch(take('b'));
    await until(() => server.statements.length === 3);
    const second = c.batch(take('c'));
    await until(() => server.statements.length === 4);
    await a.batch('COMMIT');
    await Promise.all([first, second]);
    const { rows } = await a.batch('SELECT Who FROM dbo.Turn ORDER BY Id');
    expect(rows.map(({ Who }) => Who)).toEqual(['a', 'b', 'c']);
  });

  test('closing a connection rolls back its transaction and drops its temporary tables', async () => {
    const [a, b] = [await open(), await open()];
    await a.batch('CREATE TABLE #Due (Id INT); BEGIN TRANSACTION; INSERT INTO dbo.Number (N) VALUES (1)');
    await expect(b.batch('SELECT * FROM #Due')).rejects.toMatchObject({ number: 208 });
    await a.close();
    await insert(b, 2);
    expect(await count(b)).toBe(1);
    await until(() => server.openSessions === 1);
  });

  test('settings and temporary tables of sp_executesql end with it; those of a batch stay for the session', async () => {
    const client = await open();
    await client.sql('SET XACT_ABORT ON; CREATE TABLE #Inner (Id INT)');
    await client.batch('BEGIN TRANSACTION');
    await expect(client.sql('SELECT * FROM #Inner')).rejects.toMatchObject({ number: 208 });
    expect((await client.batch('SELECT @@TRANCOUNT AS t; COMMIT')).rows).toEqual([{ t: 1 }]);
    await client.batch(
      'DROP TABLE IF EXISTS #Outer; CREATE TABLE #Outer (Position INT IDENTITY(1,1) PRIMARY KEY, V NVARCHAR(9) NOT NULL)',
    );
    await client.sql(
      "INSERT INTO #Outer (V) SELECT v.x FROM (SELECT 'b' AS x UNION ALL SELECT 'a') AS v ORDER BY v.x",
    );
    expect((await client.sql('SELECT Position, V FROM #Outer')).rows).toEqual([
      { Position: 1, V: 'a' },
      { Position: 2, V: 'b' },
    ]);
    await client.batch('BEGIN TRAN; DROP TABLE #Outer; ROLLBACK');
    expect((await client.batch('SELECT * FROM #Outer')).rows).toHaveLength(2);
  });
});

describe('attention', () => {
  test('a statement that waits for a lock can time out, and the connection goes on', async () => {
    const [a, b] = [await open(), await open()];
    await a.batch('BEGIN TRANSACTION; INSERT INTO dbo.Number (N) VALUES (1)');
    await expect(b.batch('INSERT INTO dbo.Number (N) VALUES (2)', 100)).rejects.toMatchObject(timedOut);
    expect((await b.batch('SELECT 1 AS v')).rows).toEqual([{ v: 1 }]);
    await a.batch('COMMIT');
    expect(await count(b)).toBe(1);
  });

  test('with XACT_ABORT a time-out rolls the transaction back', async () => {
    const client = await open();
    await client.batch('SET XACT_ABORT ON; BEGIN TRANSACTION; INSERT INTO dbo.Number (N) VALUES (1)');
    server.order({ kind: 'hang' });
    await expect(client.batch('SELECT 1 AS v', 100)).rejects.toMatchObject(timedOut);
    expect((await client.batch('SELECT @@TRANCOUNT AS t')).rows).toEqual([{ t: 0 }]);
  });

  test('cancelling at any moment leaves the connection usable', async () => {
    const client = await open();
    fill(5_000);
    let cancelled = 0;
    for (let i = 0; i < 60; i++) {
      const request = new Request('SELECT N FROM dbo.Number ORDER BY N', () => undefined);
      const ended = new Promise<void>((resolve) => {
        request.callback = (error?: Error | null) => {
          if (error) cancelled++;
          resolve();
        };
      });
      client.connection.execSql(request);
      await delay(i % 12);
      request.cancel();
      await ended;
      expect((await client.sql('SELECT @i AS i', { i: { type: TYPES.Int, value: i } })).rows).toEqual([
        { i },
      ]);
    }
    expect(cancelled).toBeGreaterThan(0);
  });
});

test('a client that stops reading pauses the sending, and other clients go on', async () => {
  fill(60_000);
  const [slow, other] = [await open(), await open()];
  let received = 0;
  const request = new Request('SELECT n.N, @text AS T FROM dbo.Number AS n', () => undefined);
  request.addParameter('text', TYPES.NVarChar, 'x'.repeat(500));
  const ended = new Promise<void>((resolve) => {
    request.callback = () => resolve();
  });
  request.on('row', () => {
    if (++received === 1) request.pause();
  });
  slow.connection.execSql(request);
  // What the client has already read still arrives.
  let seen = -1;
  while (seen !== received || seen === 0) {
    seen = received;
    await delay(200);
  }
  expect(await count(other)).toBe(60_000);
  expect(received).toBe(seen);
  expect(seen).toBeLessThan(60_000);
  request.resume();
  await ended;
  expect(received).toBe(60_000);
});

describe('faults', () => {
  test('dropBefore and dropAfter: the connection is lost before or after the statement; an open transaction has not happened', async () => {
    const [first, second, third, other] = [await open(), await open(), await open(), await open()];
    server.order({ kind: 'dropBefore' });
    await expect(insert(first, 1)).rejects.toMatchObject(lost);
    expect(await count(other)).toBe(0);
    server.order({ kind: 'dropAfter', match: /INSERT/ });
    await expect(insert(second, 1)).rejects.toMatchObject(lost);
    expect(await count(other)).toBe(1);
    server.order({ kind: 'dropAfter' });
    await expect(
      third.batch('BEGIN TRANSACTION; INSERT INTO dbo.Number (N) VALUES (2)'),
    ).rejects.toMatchObject(lost);
    expect(await count(other)).toBe(1);
  });

  test('error: the nth statement over all sessions is answered with the number and does not run', async () => {
    const [a, b] = [await open(), await open()];
    server.order({ kind: 'error', at: 2, times: 2, number: 40501 });
    await insert(a, 1);
    await expect(insert(b, 2)).rejects.toMatchObject({ number: 40501, class: 20 });
    await expect(insert(a, 3)).rejects.toMatchObject({ number: 40501 });
    const c = await open();
    expect(await count(c)).toBe(1);
  });

  test('error 1205 rolls the transaction back, another error leaves it open unless XACT_ABORT is on', async () => {
    const client = await open();
    await client.batch('BEGIN TRANSACTION; INSERT INTO dbo.Number (N) VALUES (1)');
    const failsWith = async (number: number, depth: number): Promise<void> => {
      server.order({ kind: 'error', number });
      await expect(count(client)).rejects.toMatchObject({ number, class: number === 1205 ? 13 : 16 });
      expect((await client.batch('SELECT @@TRANCOUNT AS t')).rows).toEqual([{ t: depth }]);
    };
    await failsWith(1222, 1);
    await failsWith(1205, 0);
    await client.batch('SET XACT_ABORT ON; BEGIN TRANSACTION');
    await failsWith(1222, 0);
  });

  test('delay: the statement runs later; hang: it does not run', async () => {
    const client = await open();
    server.order({ kind: 'delay', delayMs: 60 });
    const started = performance.now();
    await insert(client, 1);
    expect(performance.now() - started).toBeGreaterThan(55);
    server.order({ kind: 'hang' });
    await expect(client.batch('INSERT INTO dbo.Number (N) VALUES (2)', 100)).rejects.toMatchObject(timedOut);
    expect(await count(client)).toBe(1);
  });

  test('hold: the statement runs when it is released or forgotten, or not at all if its client gives up first', async () => {
    const [client, reader] = [await open(), await open()];
    for (const [n, release] of [
      (held: { release(): void }) => held.release(),
      () => server.clearFaults(),
    ].entries()) {
      const held = server.order({ kind: 'hold', match: /INSERT/ });
      const inserting = insert(client, n);
      await held.held;
      expect(await count(reader)).toBe(n);
      release(held);
      await inserting;
      expect(await count(reader)).toBe(n + 1);
    }
    const tooLong = server.order({ kind: 'hold', match: /INSERT/ });
    await expect(client.batch('INSERT INTO dbo.Number (N) VALUES (9)', 100)).rejects.toMatchObject(timedOut);
    tooLong.release();
    expect(await count(client)).toBe(2);
  });
});

test('closing ends the sessions and deletes the temporary file', async () => {
  const [{ file }] = server.sqlite.prepare('PRAGMA database_list').all() as [{ file: string }];
  const { connection } = await open();
  const ended = new Promise((resolve) => connection.once('end', resolve));
  expect(existsSync(file)).toBe(true);
  await server.close();
  await ended;
  expect(existsSync(file)).toBe(false);
  server = await startServer();
});
