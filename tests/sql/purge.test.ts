/** sql/purge.sql: what it deletes, and that the jobs repeat nothing afterwards. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { splitBatches } from '../../cli/deployScripts';
import { platforms, type RequestId } from '../../src/jobs/platforms';
import { ago, arrange, day, hour, useEnvironment } from '../support/arrange';
import { jobOf, newGuid } from '../support/environment';

const script = readFileSync(join(__dirname, '../../sql/purge.sql'), 'utf8');
const environment = useEnvironment();

/** Runs the script with @before set, in batches of 3 ids. @returns what it prints */
async function purge(before = 'GETUTCDATE()'): Promise<string[]> {
  const lines: string[] = [];
  const text = script
    .replace('DECLARE @before DATETIME = NULL;', `DECLARE @before DATETIME = ${before};`)
    .replace('DECLARE @batch INT = 4000;', 'DECLARE @batch INT = 3;');
  expect(text).not.toBe(script);
  // Now is later than the last record.
  await delay(20);
  await environment.session.onPrint(
    (line) => lines.push(line),
    async () => {
      for (const { sql } of splitBatches(text)) await environment.session.query({ name: 'purge', sql });
    },
  );
  return lines;
}

const count = async (table: string, where = '1 = 1'): Promise<number> => {
  const [row] = await environment.query(`SELECT COUNT(*) AS Count FROM ${table} WHERE ${where};`);
  return row?.Count as number;
};

describe.each(platforms.map((platform) => [platform.name, platform] as const))('of %s', (name, platform) => {
  const { notificationTable, revocationTable, requestColumn, grantView } = platform;
  const revoke = jobOf('revocation', name);
  const site = arrange(environment, revoke);
  const notification = arrange(environment, jobOf('notification', name));
  const { add, addOne, requestTable, tableColumns } = site;
  const ends = [-2 * day, -400 * day, 5 * hour, 6 * day, 30 * hour].map((endsIn) => ({ endsIn }));

  /** Runs both jobs. @returns what they processed */
  const processed = async () => {
    const { processedCount: revoked } = await site.run();
    const services = environment.services({ notifyRevoked: true });
    const { processedCount: notified } = await notification.run(services);
    return { revoked, notified };
  };
  const recorded = async () => ({
    revoked: await count(revocationTable),
    notified: await count(notificationTable),
  });
  /** Records for each grant of the view. */
  const record = (at: string) =>
    environment.query(
      `INSERT INTO ${notificationTable} (${requestColumn}, Notification_Sent_Dt, Notification_Sent_To, Notification_Sent_By)
SELECT g.RequestId, ${at}, 'a@example.com', 'x' FROM ${grantView} AS g;
INSERT INTO ${revocationTable} (${requestColumn}, Revoked_Dt, Revoked_By)
SELECT g.RequestId, ${at}, 'x' FROM ${grantView} AS g;`,
    );
  /** Grants of every kind, revoked and mailed. */
  async function handled(): Promise<RequestId[]> {
    const ids = await add(...ends);
    expect(await processed()).toEqual({ revoked: 2, notified: 5 });
    return ids;
  }

  test('rows that the jobs need stay: nothing is mailed or revoked again', async () => {
    await handled();
    expect(await purge()).toContain(`${notificationTable}: 0 deleted`);
    expect(await processed()).toEqual({ revoked: 0, notified: 0 });
    expect(await recorded()).toEqual({ revoked: 2, notified: 5 });
    await environment.query(`DELETE FROM ${notificationTable} WHERE Notification_Sent_Dt < GETUTCDATE();
DELETE FROM ${revocationTable} WHERE Revoked_Dt < GETUTCDATE();`);
    expect(await processed()).toEqual({ revoked: 2, notified: 5 });
  });

  test('all rows of a grant but the newest are deleted, in batches', async () => {
    await add(...ends);
    for (const days of [800, 20]) await record(ago(days, 'DAY'));
    // The grant that ended 400 days ago is settled.
    expect(await processed()).toEqual({ revoked: 1, notified: 4 });
    expect(await purge()).toEqual(
      expect.arrayContaining([`${notificationTable}: 9 deleted`, `${revocationTable}: 6 deleted`]),
    );
    expect(await processed()).toEqual({ revoked: 0, notified: 0 });
  });

  test('rows recorded after @before stay', async () => {
    await handled();
    await environment.query(`UPDATE ${revocationTable} SET Revoked_Dt = DATEADD(DAY, -1, Revoked_Dt);`);
    const withdrawn = await addOne({ endsIn: -hour });
    expect(await site.run()).toMatchObject({ processedCount: 1 });
    await environment.changeGrant(revoke, withdrawn, { endsAt: new Date(), granted: false });
    expect(await purge(ago(1, 'HOUR'))).toContain(`${revocationTable}: 0 deleted`);
    expect(await purge()).toContain(`${revocationTable}: 1 deleted`);
  });

  test('the newest notification of a grant is deleted once no reminder depends on it', async () => {
    await add({ endsIn: -400 * day }, { endsIn: -300 * day });
    await record('g.ExpiresAt');
    expect(await purge()).toContain(`${notificationTable}: 1 deleted`);
  });

  test('a request that is no longer granted can be deleted only after a purge (547)', async () => {
    const [id = 0] = await handled();
    await environment.changeGrant(revoke, id, { endsAt: new Date(), granted: false });
    expect(await environment.deleteRequest(revoke, id)).toBe(false);
    await purge();
    expect(await environment.deleteRequest(revoke, id)).toBe(true);
    expect(await count(requestTable, `${tableColumns.RequestId} = '${id}'`)).toBe(0);
  });

  test('nothing is deleted if the view is empty', async () => {
    await handled();
    await site.mapView({ where: '1 = 0' });
    expect(await purge()).toContain(`${name}: nothing is deleted, since ${grantView} yields no grant.`);
    expect(await recorded()).toEqual({ revoked: 2, notified: 5 });
  });
});

test('the newest 30 runs of each job stay, and a run in progress', async () => {
  const run = (type: string, status: string, minutes: number) =>
    environment.query(
      `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By, Completed_At)
VALUES ('${newGuid()}', '${type}', '${status}', ${ago(minutes, 'MINUTE')}, 'machine-1', ${status === 'InProgress' ? 'NULL' : 'GETUTCDATE()'});`,
    );
  const [often, seldom] = [jobOf('revocation', 'Databricks').type, jobOf('revocation', 'Palantir').type];
  await run(often, 'InProgress', 500);
  for (let minutes = 40; minutes > 0; minutes--) await run(often, 'Completed', minutes);
  for (let minutes = 4; minutes > 0; minutes--) await run(seldom, 'Failed', minutes);
  // Runs are purged even if the views are empty.
  expect(await purge()).toContain('dbo.JobRun: 10 deleted');
  expect(await count('dbo.JobRun', `Job_Type = '${often}' AND Status = 'Completed'`)).toBe(30);
  expect(await count('dbo.JobRun', "Status = 'InProgress'")).toBe(1);
  expect(await count('dbo.JobRun', `Job_Type = '${seldom}'`)).toBe(4);
});

test.each(['NULL', 'DATEADD(DAY, 1, GETUTCDATE())'])(
  'nothing is deleted with @before = %s',
  async (before) => {
    expect(await purge(before)).toEqual(['Nothing is deleted: set @before to a time in the past.']);
  },
);
