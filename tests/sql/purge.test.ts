/** What sql/purge.sql deletes, and that the jobs do nothing again for it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { splitBatches } from '../../cli/deployScripts';
import type { Job } from '../../src/jobs/catalogue';
import type { RequestId } from '../../src/jobs/platforms';
import {
  finished,
  jobOf,
  newGuid,
  startTestEnvironment,
  type TestEnvironment,
  type GrantSpec,
} from '../support/environment';
import { replaceView, restoreViews } from '../support/views';

const script = readFileSync(join(__dirname, '../../sql/purge.sql'), 'utf8');
const hour = 60 * 60 * 1000;
const day = 24 * hour;
let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterEach(() => environment.reset());
afterAll(() => environment.close());

/** Runs the script with its one knob set, in batches of 3 ids; returns what it prints. */
async function purge(before = 'GETUTCDATE()'): Promise<string[]> {
  const lines: string[] = [];
  const text = script
    .replace('DECLARE @before DATETIME = NULL;', `DECLARE @before DATETIME = ${before};`)
    .replace('DECLARE @batch INT = 4000;', 'DECLARE @batch INT = 3;');
  expect(text).not.toBe(script);
  // What was recorded last is before now.
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
const services = () => environment.services({ notifyRevoked: true });
const processed = async (job: Job): Promise<number | null> =>
  finished(await environment.run(job, services())).processedCount;
const literal = (id: RequestId | undefined): string => `'${String(id)}'`;

describe.each(['Databricks', 'Palantir'] as const)('of %s', (platform) => {
  const revoke = jobOf('revocation', platform);
  const notify = jobOf('notification', platform);
  const { notificationTable, revocationTable, requestColumn, grantView } = revoke.platform;
  const requestTable =
    platform === 'Databricks' ? 'dbo.DataAccessDeltaRequests' : 'dbo.DataAccessPalantirRequests';
  const key = platform === 'Databricks' ? 'id' : 'RequestId';

  const ends: readonly GrantSpec[] = [
    { endsIn: -2 * day },
    { endsIn: -400 * day },
    { endsIn: 5 * hour },
    { endsIn: 6 * day },
    { endsIn: 30 * hour },
  ];
  /** Grants of every kind, revoked and mailed. */
  async function handled(): Promise<RequestId[]> {
    const ids = await environment.addGrants(revoke, ends);
    expect(await processed(revoke)).toBe(2);
    expect(await processed(notify)).toBe(5);
    return ids;
  }

  test('what the jobs need stays: none of it is mailed or revoked again', async () => {
    await handled();
    expect(await purge()).toContain(`${notificationTable}: 0 deleted`);
    expect([await processed(revoke), await processed(notify)]).toEqual([0, 0]);
    expect([await count(notificationTable), await count(revocationTable)]).toEqual([5, 2]);
  });

  test('deleting by age mails and revokes again', async () => {
    await handled();
    await environment.query(`DELETE FROM ${notificationTable} WHERE Notification_Sent_Dt < GETUTCDATE();
DELETE FROM ${revocationTable} WHERE Revoked_Dt < GETUTCDATE();`);
    expect([await processed(revoke), await processed(notify)]).toEqual([2, 5]);
  });

  test('earlier rows of a grant go, in batches, and the newest stays', async () => {
    await environment.addGrants(revoke, ends);
    for (const days of [800, 20])
      await environment.query(
        `INSERT INTO ${notificationTable} (${requestColumn}, Notification_Sent_Dt, Notification_Sent_To, Notification_Sent_By)
SELECT g.RequestId, DATEADD(DAY, -${days}, GETUTCDATE()), 'a@example.com', 'x' FROM ${grantView} AS g;
INSERT INTO ${revocationTable} (${requestColumn}, Revoked_Dt, Revoked_By)
SELECT g.RequestId, DATEADD(DAY, -${days}, GETUTCDATE()), 'x' FROM ${grantView} AS g;`,
      );
    // The grant that ended 400 days ago is settled.
    expect([await processed(revoke), await processed(notify)]).toEqual([1, 4]);
    expect(await purge()).toEqual(
      expect.arrayContaining([`${notificationTable}: 9 deleted`, `${revocationTable}: 6 deleted`]),
    );
    expect([await processed(revoke), await processed(notify)]).toEqual([0, 0]);
  });

  test('a date spares what was recorded since', async () => {
    await handled();
    await environment.query(`UPDATE ${revocationTable} SET Revoked_Dt = DATEADD(DAY, -1, Revoked_Dt);`);
    const [withdrawn] = await environment.addGrants(revoke, [{ endsIn: -hour }]);
    expect(await processed(revoke)).toBe(1);
    await environment.changeGrant(revoke, withdrawn ?? 0, { endsAt: new Date(), granted: false });
    expect(await purge('DATEADD(HOUR, -1, GETUTCDATE())')).toContain(`${revocationTable}: 0 deleted`);
    expect(await purge()).toContain(`${revocationTable}: 1 deleted`);
  });

  test('the newest notification of a grant goes once no reminder can rest on it', async () => {
    await environment.addGrants(notify, [{ endsIn: -400 * day }, { endsIn: -300 * day }]);
    await environment.query(
      `INSERT INTO ${notificationTable} (${requestColumn}, Notification_Sent_Dt, Notification_Sent_To, Notification_Sent_By)
SELECT g.RequestId, g.ExpiresAt, 'a@example.com', 'x' FROM ${grantView} AS g;`,
    );
    expect(await purge()).toContain(`${notificationTable}: 1 deleted`);
  });

  test('a request that is no longer granted can be deleted after it, and not before (547)', async () => {
    const [id] = await handled();
    const remove = () => environment.query(`DELETE FROM ${requestTable} WHERE ${key} = ${literal(id)};`);
    await environment.changeGrant(revoke, id ?? 0, { endsAt: new Date(), granted: false });
    await expect(remove()).rejects.toMatchObject({ number: 547 });
    await purge();
    await remove();
    expect(await count(requestTable, `${key} = ${literal(id)}`)).toBe(0);
  });

  test('nothing is deleted where the view yields nothing', async () => {
    await handled();
    try {
      await replaceView(environment, revoke, { where: '1 = 0' });
      expect(await purge()).toContain(`${platform}: nothing is deleted, since ${grantView} yields no grant.`);
    } finally {
      await restoreViews(environment);
    }
    expect([await count(notificationTable), await count(revocationTable)]).toEqual([5, 2]);
  });
});

test('the newest 30 runs of each job stay, and one in progress', async () => {
  const run = (type: string, status: string, minutes: number) =>
    environment.query(
      `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By, Completed_At)
VALUES ('${newGuid()}', '${type}', '${status}', DATEADD(MINUTE, -${minutes}, GETUTCDATE()), 'machine-1', ${status === 'InProgress' ? 'NULL' : 'GETUTCDATE()'});`,
    );
  const [often, seldom] = [jobOf('revocation', 'Databricks').type, jobOf('revocation', 'Palantir').type];
  await run(often, 'InProgress', 500);
  for (let minutes = 40; minutes > 0; minutes--) await run(often, 'Completed', minutes);
  for (let minutes = 4; minutes > 0; minutes--) await run(seldom, 'Failed', minutes);
  // A view that yields nothing says nothing about the runs.
  expect(await purge()).toContain('dbo.JobRun: 10 deleted');
  expect(await count('dbo.JobRun', `Job_Type = '${often}' AND Status = 'Completed'`)).toBe(30);
  expect(await count('dbo.JobRun', "Status = 'InProgress'")).toBe(1);
  expect(await count('dbo.JobRun', `Job_Type = '${seldom}'`)).toBe(4);
});

test.each(['NULL', 'DATEADD(DAY, 1, GETUTCDATE())'])(
  'with the date %s nothing is deleted',
  async (before) => {
    expect(await purge(before)).toEqual(['Nothing is deleted: set @before to a time in the past.']);
  },
);
