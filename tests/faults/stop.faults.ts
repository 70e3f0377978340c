/**
 * The app is stopped like by the Functions host (10 s for invocations, 5 s for appTerminate) while the database or the
 * email service is slow: the run finishes its row in time, and the next run repeats nothing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { jobs, type Job } from '../../src/jobs/catalogue';
import type { Row } from '../../src/database/session';
import { startSample, type App, type Sample } from '../support/app';

/** After the signal, in ms. */
const finishedWithin = 4_000;

/** At this latency the connection also breaks when the row is finished. */
const breaksAt = 5_000;

const sampleJobs = jobs.filter(({ platform }) => platform.name === 'Databricks');
const cases = [1_000, 5_000, 14_000].flatMap((latencyMs) =>
  sampleJobs.flatMap((job) => (['http', 'timer'] as const).map((trigger) => ({ latencyMs, job, trigger }))),
);

let sample: Sample;
beforeAll(async () => {
  sample = await startSample();
});
beforeEach(async () => {
  await sample.reset();
  sample.standIns.sql.clearStatements();
});
afterAll(() => sample.close());

test.each(cases)(
  '$job.type, started by $trigger and stopped at a latency of $latencyMs ms, finishes its row within 4 s',
  async ({ latencyMs, job, trigger }) => {
    const { sql, email } = sample.standIns;
    const app = await sample.startApp();
    beSlow(job, latencyMs);
    if (latencyMs === breaksAt) sql.order({ kind: 'dropBefore', match: /SET Status = @status/ });
    await start(app, job, trigger);
    await until(() =>
      job.kind === 'notification' ? email.requests.length > 0 : isSent('INSERT INTO dbo.RevokedAccess'),
    );
    const { run, line } = await stopAndRead(app);
    expect(run.Status).toMatch(/^(Completed|Failed)$/);
    if (job.kind === 'notification') {
      // A stop is no failure of the email service.
      expect(run.Status).toBe('Completed');
      if (!line.includes('; 0 invocations')) expect(run.Error_Message).toMatch(/\bstopped=shutdown\b/);
      await expectEachAcceptedIsRecordedOrUnknown(run.Error_Message);
    }
    sql.clearFaults();
    email.latencyMs = 0;
    const next = await sample.startApp();
    expect((await next.call(`/api/jobs/${job.type}/runs`, { method: 'POST' })).status).toBe(200);
    await next.stop();
    await expectNothingTwice(job, latencyMs);
  },
);

test('a run that is stopped while it takes its lock finishes its row', async () => {
  const app = await sample.startApp();
  sample.standIns.sql.order({ kind: 'holdCommit', match: /INSERT INTO dbo\.JobRun/, delayMs: 12_500 });
  await app.fireTimer('RevokeExpiredDatabricksRequests');
  await until(() => isSent('INSERT INTO dbo.JobRun'));
  const { run, line } = await stopAndRead(app);
  expect(line).toContain('; 1 invocations');
  expect(run).toMatchObject({
    Status: 'Completed',
    Error_Message: expect.stringContaining('stopped=shutdown') as string,
  });
});

/** Stops the app. @returns the only run's row, finished in time, and the host's line about the stop */
async function stopAndRead(app: App): Promise<{ run: Row; line: string }> {
  const stopped = app.stop('SIGTERM');
  const [line = ''] = await app.logged(/host: Stopping; \d+ invocations/);
  await stopped;
  const [run, ...others] = await sample.query('SELECT Status, Completed_At, Error_Message FROM dbo.JobRun;');
  if (!run) throw new Error('There is no run');
  expect(others).toEqual([]);
  const signalledAt = new Date(line.slice(0, line.indexOf(' ')));
  expect((run.Completed_At as Date).getTime() - signalledAt.getTime()).toBeLessThan(finishedWithin);
  return { run, line };
}

const isSent = (sql: string): boolean =>
  sample.standIns.sql.statements.some(({ text }) => text.includes(sql));

async function until(isMet: () => boolean): Promise<void> {
  while (!isMet()) await delay(10);
}

function beSlow({ kind }: Job, latencyMs: number): void {
  const { standIns } = sample;
  if (kind === 'notification') standIns.email.latencyMs = latencyMs;
  else
    standIns.sql.order({
      kind: 'delay',
      match: /INSERT INTO dbo\.RevokedAccess/,
      delayMs: latencyMs,
      times: Infinity,
    });
}

/** Does not wait for the run, whose answer is lost with the app. */
async function start(app: App, { type }: Job, trigger: 'http' | 'timer'): Promise<void> {
  if (trigger === 'timer') await app.fireTimer(type);
  else void fetch(`${app.url}/api/jobs/${type}/runs`, { method: 'POST' }).catch(() => undefined);
}

/** Every accepted message has a row, or is counted as unknown in the run. */
async function expectEachAcceptedIsRecordedOrUnknown(message: unknown): Promise<void> {
  const rows = await sample.query(
    'SELECT Notification_Sent_To AS SentTo FROM dbo.ExpiryNotification_Databricks;',
  );
  const recorded = new Set(rows.map(({ SentTo }) => SentTo));
  const unrecorded = sample.standIns.email.messages.filter(({ to }) => !recorded.has(to[0]?.toLowerCase()));
  const unknown = Number(/\bunknown=(\d+)/.exec(String(message))?.[1] ?? 0);
  expect(unrecorded.length).toBeLessThanOrEqual(unknown);
}

async function expectNothingTwice(job: Job, latencyMs: number): Promise<void> {
  const { requestColumn } = job.platform;
  const { table } = job.writes;
  const twice = await sample.query(
    `SELECT ${requestColumn} AS Id FROM ${table} GROUP BY ${requestColumn} HAVING COUNT(*) > 1;`,
  );
  expect(twice).toEqual([]);
  const [left] = await sample.query(`SELECT COUNT(*) AS Written FROM ${table};`);
  expect(left?.Written).toBe(70);
  // The last messages of the stopped app arrive late at the slow service.
  await delay(latencyMs);
  const recipients = sample.standIns.email.messages.map(({ to }) => to.join());
  expect(new Set(recipients).size).toBe(recipients.length);
}
