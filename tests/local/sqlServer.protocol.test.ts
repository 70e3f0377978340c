import { setTimeout as delay } from 'node:timers/promises';
import { Request } from 'tedious';
import { createCertificates } from '../../local/certificates';
import type { SqlServer } from '../../local/sqlServer';
import { Client, startServer, TYPES, type ClientOptions } from './sqlServer.support';

let server: SqlServer;
const open = (options?: ClientOptions): Promise<Client> => Client.open(server, options);

beforeEach(async () => {
  server = await startServer();
  const client = await open();
  await client.batch('CREATE TABLE dbo.Number (N INT NOT NULL CONSTRAINT PK_Number PRIMARY KEY)');
  await client.close();
});
afterEach(() => server.close());

const count = async (client: Client): Promise<unknown> =>
  (await client.batch('SELECT COUNT(*) AS n FROM dbo.Number')).rows[0]?.n;
const insert = (client: Client, n: number): Promise<unknown> =>
  client.sql('INSERT INTO dbo.Number (N) VALUES (@n)', { n: { type: TYPES.Int, value: n } });
const lost = { code: 'ECONNRESET' };
const timedOut = { code: 'ETIMEOUT' };
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await delay(5);
};

describe('a connection', () => {
  test('is refused with another token than those that are accepted', async () => {
    const getToken = () => Promise.resolve({ token: 'another', expiresOnTimestamp: Date.now() + 3_600_000 });
    const authentication = { type: 'token-credential', options: { credential: { getToken } } } as const;
    await expect(open({ authentication })).rejects.toMatchObject({ code: 'ELOGIN' });
  });

  test('is given up by a client that trusts another authority', async () => {
    const { authority: ca } = await createCertificates();
    await expect(open({ options: { cryptoCredentialsDetails: { ca } } })).rejects.toThrow(/certificate/);
  });
});

describe('transactions', () => {
  test('closing a connection rolls back its transaction and drops its temporary tables', async () => {
    const [a, b] = [await open(), await open()];
    await a.batch('CREATE TABLE #Due (Id INT); BEGIN TRANSACTION; INSERT INTO dbo.Number (N) VALUES (1)');
    await expect(b.batch('SELECT * FROM #Due')).rejects.toMatchObject({ number: 208 });
    await a.close();
    await insert(b, 2);
    expect(await count(b)).toBe(1);
    await until(() => server.openSessions === 1);
  });

  test('what a transaction creates is seen by no other session, and goes with its rollback', async () => {
    const [a, b] = [await open(), await open()];
    await a.batch('BEGIN TRANSACTION; CREATE TABLE dbo.New (Id INT)');
    await expect(b.batch('SELECT * FROM dbo.New')).rejects.toMatchObject({ number: 208 });
    await a.batch('ROLLBACK');
    await expect(a.batch('SELECT * FROM dbo.New')).rejects.toMatchObject({ number: 208 });
  });

  test('settings and temporary tables of sp_executesql end with it; those of a batch stay for the session', async () => {
    const client = await open();
    await client.sql('SET XACT_ABORT ON; CREATE TABLE #Inner (Id INT)');
    await client.batch('BEGIN TRANSACTION');
    await expect(client.sql('SELECT * FROM #Inner')).rejects.toMatchObject({ number: 208 });
    expect((await client.batch('SELECT @@TRANCOUNT AS t; COMMIT')).rows).toEqual([{ t: 1 }]);
    await client.batch('CREATE TABLE #Outer (Id INT)');
    await client.batch('BEGIN TRANSACTION; DROP TABLE #Outer; ROLLBACK');
    expect((await client.sql('SELECT * FROM #Outer')).rows).toEqual([]);
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
    const numbers = JSON.stringify(Array.from({ length: 5_000 }, (_, n) => n));
    await client.sql("INSERT INTO dbo.Number (N) SELECT j.N FROM OPENJSON(@numbers) WITH (N INT '$') AS j", {
      numbers: { type: TYPES.NVarChar, value: numbers },
    });
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
