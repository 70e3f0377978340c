/** Many requests at once: a bounded number of sessions, and nobody is held up by those who ask for something else. */
import { setTimeout } from 'node:timers/promises';
import { useSample } from '../support/app';
import { jobOf } from '../support/environment';

const revoke = `/api/jobs/${jobOf('revocation', 'Palantir').type}/runs`;
const notify = `/api/jobs/${jobOf('notification', 'Databricks').type}/runs`;
const post = { method: 'POST' };

const { sample, app } = useSample();
beforeAll(() => app.call('/api/jobs'));

/** The sessions of the app: the other one is the test's own. */
const sessions = (): number => sample.standIns.sql.openSessions - 1;

/** Waits until there are exactly so many; the server notices a closed one a little later. */
async function untilSessions(count: number): Promise<void> {
  while (sessions() !== count) await setTimeout(10);
}

test('previews have 4 sessions; others wait a little and get 503, while runs and pages go on', async () => {
  const hold = sample.standIns.sql.order({ kind: 'hold', match: /AS ReadAt/, times: 4 });
  const previews = Array.from({ length: 4 }, () => app.call(`${notify}?dryRun=true`, post));
  await untilSessions(4);
  const refused = [
    app.call(`${notify}?dryRun=true`, post),
    app.call('/api/jobs?due=true'),
    app.call('/api/status?job=ExpiryNotificationDatabricksRequests&preview=soonest'),
  ];
  expect((await app.call(revoke, post)).status).toBe(200);
  expect((await app.call('/api/jobs')).status).toBe(200);
  expect((await app.call('/api/status')).status).toBe(200);
  const answers = await Promise.all(refused);
  expect(answers.map(({ status, headers }) => [status, headers.get('retry-after')])).toEqual(
    refused.map(() => [503, '5']),
  );
  for (const answer of answers)
    expect(await answer.text()).toMatch(/The app is busy.*All 4 database sessions/s);
  hold.release();
  for (const answer of await Promise.all(previews)) expect(answer.status).toBe(200);
});

test('a preview that waits gets the session of one that has ended', async () => {
  const hold = sample.standIns.sql.order({ kind: 'hold', match: /AS ReadAt/, times: 4 });
  const previews = Array.from({ length: 12 }, () => app.call(`${notify}?dryRun=true`, post));
  await untilSessions(4);
  hold.release();
  for (const answer of await Promise.all(previews)) expect(answer.status).toBe(200);
});

test('runs have 8 sessions; of many at once one runs, and the others get 409', async () => {
  const hold = sample.standIns.sql.order({ kind: 'hold', match: /INSERT INTO dbo\.JobRun/, times: 8 });
  const runs = Array.from({ length: 20 }, () => app.call(revoke, post));
  await untilSessions(8);
  expect((await app.call('/api/jobs')).status).toBe(200);
  await untilSessions(8);
  hold.release();
  const statuses = (await Promise.all(runs)).map(({ status }) => status).sort();
  expect(statuses[0]).toBe(200);
  expect(new Set(statuses)).toEqual(new Set([200, 409]));
});

test('of 200 previews at once none fails: they are answered, or refused with 429 by the host, in few sessions', async () => {
  let most = 0;
  const counting = setInterval(() => (most = Math.max(most, sessions())), 1);
  const answers = await Promise.all(
    Array.from({ length: 200 }, () => app.call(`${notify}?dryRun=true`, post)),
  );
  clearInterval(counting);
  const counts = Map.groupBy(answers, ({ status }) => status);
  expect([...counts.keys()].filter((status) => ![200, 429, 503].includes(status))).toEqual([]);
  expect(counts.get(200)?.length).toBeGreaterThan(3);
  expect(counts.get(429)?.length).toBeGreaterThan(0);
  // One that is being closed is counted beside its successor.
  expect(most).toBeLessThanOrEqual(8);
});
