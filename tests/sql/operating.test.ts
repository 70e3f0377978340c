/** The SQL of docs/database.md and docs/operating.md, run as it is written there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deadlineIn } from '../../src/clock';
import { databricks } from '../../src/jobs/platforms';
import { remind } from '../../src/jobs/reminder';
import { ago, arrange, day, hour, useEnvironment } from '../support/arrange';
import { jobOf } from '../support/environment';

const documents = ['database.md', 'operating.md']
  .map((name) => readFileSync(join(__dirname, '../../docs', name), 'utf8'))
  .join('\n');
const environment = useEnvironment();
const revocation = arrange(environment, jobOf('revocation', 'Databricks'));
const notification = arrange(environment, jobOf('notification', 'Databricks'));
const { add, addOne, moveEnd } = revocation;

/** The first block of SQL in a section. */
function sqlIn(heading: string): string {
  const section = documents.slice(documents.indexOf(`${heading}\n`));
  const [, sql] = /```sql\n(.*?)```/s.exec(section) ?? [];
  if (sql === undefined) throw new Error(`docs/ has no SQL under "${heading}"`);
  return sql;
}

test('revocations are read by Id, with a mark on those that were renewed meanwhile', async () => {
  const sql = sqlIn('## From a row to removed access');
  const rowsAfter = (id: number) => environment.query(sql.replaceAll('@lastId', String(id)));
  const [first, second] = await add({ endsIn: -2 * hour }, { endsIn: -hour });
  await revocation.run();
  await moveEnd('DATEADD(DAY, 30, GETUTCDATE())', second);

  const rows = await rowsAfter(0);
  expect(rows).toMatchObject([
    { DeltaRequestId: first, Renewed: 0 },
    { DeltaRequestId: second, Renewed: 1 },
  ]);
  const last = rows.at(-1)?.Id as number;
  expect(await rowsAfter(last)).toEqual([]);

  // A later revocation has a larger Id, also one of the same request.
  await moveEnd(ago(1, 'MINUTE'), second);
  await environment.query(
    `UPDATE dbo.RevokedAccess_Databricks SET Revoked_Dt = ${ago(1, 'HOUR')} WHERE Id > 0;`,
  );
  await revocation.run();
  expect(await rowsAfter(last)).toMatchObject([{ DeltaRequestId: second, Renewed: 0 }]);
});

test('a reminder counts as sent after its end was moved, until it is sent by hand or the next lead begins', async () => {
  const inDays = (days: number) => `DATEADD(DAY, ${days}, CAST(CAST(GETUTCDATE() AS DATE) AS DATETIME))`;
  const id = await addOne({ endsIn: 7 * day });
  await moveEnd(inDays(7));
  expect(await notification.run()).toMatchObject({ processedCount: 1 });
  // The reminder of 14 days began today, that of 7 days two days ago.
  for (const days of [14, 5]) {
    await moveEnd(inDays(days));
    expect(await notification.run()).toMatchObject({ processedCount: 0 });
  }
  await moveEnd(inDays(14));
  await environment.query(
    `UPDATE dbo.ExpiryNotification_Databricks SET Notification_Sent_Dt = ${ago(11, 'MINUTE')} WHERE Id > 0;`,
  );
  const services = environment.services();
  expect(await remind(services, deadlineIn(services.clock, day), databricks, id)).toMatchObject({
    kind: 'sent',
  });

  const sql = sqlIn('### Sending a reminder by hand').replaceAll('4711', String(id));
  const records = await environment.query(sql);
  expect(records).toHaveLength(2);
  expect(records[0]?.Id).toBeGreaterThan(records[1]?.Id as number);
});
