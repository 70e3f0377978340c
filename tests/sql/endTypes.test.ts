/** Ends of each type: the condition by day, which an index on any type serves, and the one by moment agree. */
import { jobs, type Job } from '../../src/jobs/catalogue';
import { arrange, day, minute, useEnvironment } from '../support/arrange';

const environment = useEnvironment();
const types = ['DATE', 'SMALLDATETIME', 'DATETIME', 'DATETIME2(7)'];
/** Around the next midnight, and around the midnight at which the window of the reminders closes. In ms. */
const ends = [-day, -minute, -3, 0, minute, day - 3, day, 14 * day, 15 * day - 3, 15 * day, 16 * day];
/** The times of the previews, which a real server’s clock ignores. In ms from that midnight. */
const moments = [-2_000, 0, day / 2];

/** The ids of what is due, by the moment. */
async function dueByMoment({ kind, platform }: Job): Promise<unknown[]> {
  const now = 'CAST(GETUTCDATE() AS DATETIME2(7))';
  const rows = await environment.query(
    `SELECT g.RequestId FROM ${platform.grantView} AS g WHERE ${
      kind === 'revocation'
        ? `CAST(g.ExpiresAt AS DATETIME2(7)) <= ${now}`
        : `CAST(g.ExpiresAt AS DATETIME2(7)) > ${now} AND DATEDIFF(DAY, GETUTCDATE(), g.ExpiresAt) <= 14`
    };`,
  );
  return rows.map(({ RequestId }) => RequestId).sort();
}

test.each(jobs.map((job) => [job.type, job] as const))('%s: both conditions agree', async (_, job) => {
  const midnight = Math.ceil(Date.now() / day) * day;
  const { add, columns, mapView, preview } = arrange(environment, job);
  const ids = await add(...ends.map(() => ({ endsIn: day })));
  for (const [index, id] of ids.entries())
    await environment.changeGrant(job, id, {
      endsAt: new Date(midnight + (ends[index] ?? 0)),
      granted: true,
    });
  for (const type of types) {
    await mapView({ columns: { ExpiresAt: `CAST(${columns.ExpiresAt} AS ${type})`, AccessKey: 'NULL' } });
    for (const moment of moments) {
      environment.standIn?.clock.set(new Date(midnight + moment));
      const expected = await dueByMoment(job);
      const { grants } = await preview({ leadDays: [1, 7, 14] });
      const due = grants.map(({ requestId }) => requestId).sort();
      expect([type, moment, due]).toEqual([type, moment, expected]);
      // Some are due and some are not.
      expect(expected.length).toBeGreaterThan(0);
      expect(expected.length).toBeLessThan(ends.length);
    }
  }
});
