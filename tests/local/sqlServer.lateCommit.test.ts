import { setTimeout as delay } from 'node:timers/promises';
import type { SqlServer } from '../../local/sqlServer';
import { Client, startServer, TYPES } from './sqlServer.support';

let server: SqlServer;
const open = (): Promise<Client> => Client.open(server);

const schema = `
  CREATE TABLE dbo.Run (Id INT NOT NULL CONSTRAINT PK_Run PRIMARY KEY, Status VARCHAR(20) NOT NULL, Done INT NOT NULL);
  CREATE TABLE dbo.Revoked (Id INT IDENTITY(1, 1) NOT NULL CONSTRAINT PK_Revoked PRIMARY KEY, Request INT NOT NULL);
  INSERT INTO dbo.Run (Id, Status, Done) VALUES (1, 'InProgress', 0)`;

beforeEach(async () => {
  server = await startServer();
  await (await open()).batch(schema);
});
afterEach(() => server.close());

const revokedBy = async (client: Client): Promise<unknown[]> =>
  (await client.batch('SELECT Request FROM dbo.Revoked ORDER BY Id')).rows.map(({ Request }) => Request);

/** Whether the promise is still pending after 50 ms. */
async function pending(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([promise.then(() => false), delay(50, true)]);
}

const insertOnce = `INSERT INTO dbo.Revoked (Request)
  SELECT @request WHERE NOT EXISTS (SELECT 1 FROM dbo.Revoked WHERE Request = @request)`;
const updateRun = `UPDATE dbo.Run SET Done = Done + 1 WHERE Id = 1 AND Status = 'InProgress'`;
const transaction = (...statements: string[]): string =>
  `SET XACT_ABORT ON; BEGIN TRANSACTION; ${statements.join('; ')}; COMMIT TRANSACTION;`;
const send = (client: Client, sql: string) => client.sql(sql, { request: { type: TYPES.Int, value: 7 } });

describe('a commit that is held back', () => {
  test('others read the state before it, and their writes wait; released, it is visible', async () => {
    const [first, second, reader] = [await open(), await open(), await open()];
    const commit = server.order({ kind: 'holdCommit', match: /INSERT/ });
    const answer = send(first, transaction(insertOnce));
    await commit.held;
    expect(await revokedBy(reader)).toEqual([]);
    const writing = second.batch('INSERT INTO dbo.Revoked (Request) VALUES (8)');
    expect(await pending(writing)).toBe(true);
    expect(await pending(answer)).toBe(true);
    commit.release();
    await Promise.all([answer, writing]);
    expect(await revokedBy(reader)).toEqual([7, 8]);
  });

  test('a statement outside a transaction is held as well', async () => {
    const [client, reader] = [await open(), await open()];
    const commit = server.order({ kind: 'holdCommit', match: /INSERT/, delayMs: 30 });
    const [before] = await Promise.all([commit.held.then(() => revokedBy(reader)), send(client, insertOnce)]);
    expect(before).toEqual([]);
    expect(await revokedBy(reader)).toEqual([7]);
  });

  test('it is committed even if the client loses its connection, disconnects or gives up', async () => {
    const [reader, dropped, gone] = [await open(), await open(), await open()];
    const tired = await Client.open(server, { options: { cancelTimeout: 30 } });
    const insert = transaction('INSERT INTO dbo.Revoked (Request) VALUES (@request)');

    const first = server.order({ kind: 'holdCommit', match: /INSERT/, drop: true });
    await expect(send(dropped, insert)).rejects.toMatchObject({ code: 'ECONNRESET' });
    first.release();

    const second = server.order({ kind: 'holdCommit', match: /INSERT/ });
    const leaving = send(gone, insert).catch(() => undefined);
    await second.held;
    await gone.close();
    await leaving;
    second.release();

    const third = server.order({ kind: 'holdCommit', match: /INSERT/ });
    await expect(tired.batch(insert.replace('@request', '7'), 100)).rejects.toThrow();
    await third.held;
    expect(await revokedBy(reader)).toEqual([7, 7]);
    third.release();
    await reader.batch(updateRun);
    expect(await revokedBy(reader)).toEqual([7, 7, 7]);
  });

  test('answerLate: as soon as another session waits to write', async () => {
    const [first, second] = [await open(), await open()];
    const commit = server.order({ kind: 'answerLate', match: /INSERT/ });
    const answer = send(first, transaction(insertOnce));
    await commit.held;
    expect(await revokedBy(second)).toEqual([]);
    expect(await pending(answer)).toBe(true);
    await second.batch(updateRun);
    await answer;
    expect(await revokedBy(second)).toEqual([7]);
  });

  test('a statement that commits nothing is answered at once', async () => {
    const client = await open();
    server.order({ kind: 'answerLate', times: 2 });
    expect(await revokedBy(client)).toEqual([]);
    await client.batch('CREATE TABLE #Due (Id INT); INSERT INTO #Due (Id) VALUES (1)');
  });

  test('clearing the faults, and closing the server, release it', async () => {
    const [first, second] = [await open(), await open()];
    const cleared = server.order({ kind: 'holdCommit', match: /INSERT/ });
    const answer = send(first, insertOnce);
    await cleared.held;
    server.clearFaults();
    await answer;
    const closed = server.order({ kind: 'holdCommit', match: /INSERT/, drop: true });
    await expect(second.batch('INSERT INTO dbo.Revoked (Request) VALUES (8)')).rejects.toThrow();
    await closed.held;
    // The server is closed after the test.
  });
});

describe('a statement that waits to write reads the snapshot taken when it began', () => {
  /** A first try whose answer is lost and whose commit comes once the second waits. */
  async function overtake(first: string, second: string): Promise<unknown[]> {
    const [lost, retry] = [await open(), await open()];
    server.order({ kind: 'answerLate', match: /INSERT/, drop: true });
    await expect(send(lost, first)).rejects.toMatchObject({ code: 'ECONNRESET' });
    await send(retry, second);
    return revokedBy(retry);
  }

  test('so a check within the INSERT does not see the first try, and one after an UPDATE that waited does', async () => {
    expect(await overtake(transaction(insertOnce, updateRun), transaction(insertOnce, updateRun))).toEqual([
      7, 7,
    ]);
    await (await open()).batch('DELETE FROM dbo.Revoked');
    expect(await overtake(transaction(updateRun, insertOnce), transaction(updateRun, insertOnce))).toEqual([
      7,
    ]);
  });

  test.each(['dbo.Run WITH (UPDLOCK)', 'dbo.InProgress'])(
    'also that of %s, whose rows others have changed meanwhile',
    async (source) => {
      await (
        await open()
      ).batch('CREATE OR ALTER VIEW dbo.InProgress AS SELECT r.Id, r.Status FROM dbo.Run AS r');
      const closing = transaction(
        "UPDATE dbo.Run SET Status = 'Failed' WHERE Id = 1",
        'INSERT INTO dbo.Revoked (Request) VALUES (1)',
      );
      const insertIf = `${insertOnce} AND EXISTS (SELECT 1 FROM ${source} WHERE Id = 1 AND Status = 'InProgress')`;
      expect(await overtake(closing, transaction(insertIf))).toEqual([1, 7]);
    },
  );

  test('an UPDATE or a DELETE sees the newest of the rows that it changes, and the snapshot of others', async () => {
    const first = transaction(
      'UPDATE dbo.Run SET Done = 5 WHERE Id = 1',
      'INSERT INTO dbo.Revoked (Request) VALUES (1)',
    );
    const done = async () => (await (await open()).batch('SELECT Done FROM dbo.Run')).rows[0]?.Done;
    await overtake(
      first,
      'UPDATE dbo.Run SET Done = Done + (SELECT COUNT(*) FROM dbo.Revoked) + 10 WHERE Done = 5',
    );
    expect(await done()).toBe(15);
    await overtake(first, 'DELETE FROM dbo.Revoked WHERE (SELECT Done FROM dbo.Run) = 15');
    expect(await revokedBy(await open())).toEqual([]);
  });

  test('it uses the time at which it began, and a client that gives up leaves its session unchanged', async () => {
    const [first, second] = [await open(), await open()];
    const began = server.clock.now();
    const commit = server.order({ kind: 'holdCommit', match: /INSERT/ });
    const answer = send(first, transaction(insertOnce));
    await commit.held;
    await expect(second.batch('DELETE FROM dbo.Revoked', 50)).rejects.toMatchObject({ code: 'ETIMEOUT' });
    const third = await open();
    const writing = third.batch(
      "INSERT INTO dbo.Revoked (Request) SELECT DATEDIFF(MINUTE, '2026-01-01', GETUTCDATE())",
    );
    expect(await pending(writing)).toBe(true);
    server.clock.advance(60 * 60_000);
    commit.release();
    await Promise.all([answer, writing]);
    const minutes = (await revokedBy(third))[1] as number;
    expect(minutes - Math.floor((began.getTime() - Date.UTC(2026, 0, 1)) / 60_000)).toBeLessThan(30);
    server.clock.set(new Date());
    await second.batch(transaction('DELETE FROM dbo.Revoked'));
    expect(await revokedBy(third)).toEqual([]);
  });
});
