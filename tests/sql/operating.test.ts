/** What docs/operating.md shows a site, done as it is written there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deadlineIn } from '../../src/clock';
import { findJob, type Job } from '../../src/jobs/catalogue';
import { databricks } from '../../src/jobs/platforms';
import { remind as remindByHand } from '../../src/jobs/reminder';
import { finished, startTestEnvironment, type TestEnvironment } from '../support/environment';

const operating = readFileSync(join(__dirname, '../../docs/operating.md'), 'utf8');
const hour = 60 * 60 * 1000;
const day = 24 * hour;
let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterEach(() => environment.reset());
afterAll(() => environment.close());

/** The first block of SQL in a section. */
function sqlIn(heading: string): string {
  const section = operating.slice(operating.indexOf(`${heading}\n`));
  const [, sql] = /```sql\n(.*?)```/s.exec(section) ?? [];
  if (sql === undefined) throw new Error(`docs/operating.md has no SQL under "${heading}"`);
  return sql;
}

function jobOf(type: Job['type']): Job {
  const job = findJob(type);
  if (!job) throw new Error(`Unknown job type: ${type}`);
  return job;
}
const revoke = jobOf('RevokeExpiredDatabricksRequests');
const remind = jobOf('ExpiryNotificationDatabricksRequests');

const moveEnd = (id: number | string | undefined, end: string) =>
  environment.query(
    `UPDATE dbo.DataAccessDeltaRequests SET access_end_dt = ${end} WHERE id = ${String(id)};`,
  );

test('the rows to remove access by are read by their Id, and one that was renewed meanwhile says so', async () => {
  const sql = sqlIn('## From a row to removed access');
  const rowsAfter = (id: number) => environment.query(sql.replaceAll('@lastId', String(id)));
  const [first, second] = await environment.addGrants(revoke, [{ endsIn: -2 * hour }, { endsIn: -hour }]);
  finished(await environment.run(revoke));
  await moveEnd(second, 'DATEADD(DAY, 30, GETUTCDATE())');

  const rows = await rowsAfter(0);
  expect(rows).toMatchObject([
    { DeltaRequestId: first, Renewed: 0 },
    { DeltaRequestId: second, Renewed: 1 },
  ]);
  const last = rows.at(-1)?.Id as number;
  expect(await rowsAfter(last)).toEqual([]);

  // A later revocation has a larger Id, also one of the same request.
  await moveEnd(second, 'DATEADD(MINUTE, -1, GETUTCDATE())');
  await environment.query(
    'UPDATE dbo.RevokedAccess_Databricks SET Revoked_Dt = DATEADD(HOUR, -1, GETUTCDATE()) WHERE DeltaRequestId <> 0;',
  );
  finished(await environment.run(revoke));
  expect(await rowsAfter(last)).toMatchObject([{ DeltaRequestId: second, Renewed: 0 }]);
});

test('a reminder whose end was moved counts as sent, until it is sent by hand or the next lead begins', async () => {
  const inDays = (days: number) => `DATEADD(DAY, ${days}, CAST(CAST(GETUTCDATE() AS DATE) AS DATETIME))`;
  const [id] = await environment.addGrants(remind, [{ endsIn: 7 * day }]);
  await moveEnd(id, inDays(7));
  expect(finished(await environment.run(remind))).toMatchObject({ processedCount: 1 });
  // The reminder of 14 days began today, that of 7 days two days ago.
  for (const days of [14, 5]) {
    await moveEnd(id, inDays(days));
    expect(finished(await environment.run(remind))).toMatchObject({ processedCount: 0 });
  }
  await moveEnd(id, inDays(14));
  await environment.query(
    'UPDATE dbo.ExpiryNotification_Databricks SET Notification_Sent_Dt = DATEADD(MINUTE, -11, GETUTCDATE()) WHERE DeltaRequestId <> 0;',
  );
  const services = environment.services();
  const result = await remindByHand(services, deadlineIn(services.clock, day), databricks, id ?? 0);
  expect(result).toMatchObject({ kind: 'sent' });

  const sql = sqlIn('### Sending a reminder by hand').replaceAll('4711', String(id));
  const records = await environment.query(sql);
  expect(records).toHaveLength(2);
  expect(records[0]?.Id).toBeGreaterThan(records[1]?.Id as number);
});
