/**
 * The app is stopped like by the Functions host (10 s for invocations, 5 s for appTerminate) while the database or the
 * email service is slow: the run finishes its row in time, and the next run repeats nothing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { jobs, type Job } from '../../src/jobs/catalogue';
import type { Row } from '../../src/database/session';
import { findBreaches, observe } from '../histories/invariants';
import { createWorld, databaseTime, many, type World } from '../histories/world';
import type { App } from '../support/app';
import { standInOf } from '../support/environment';
import { until, useInstances } from './instances';

/** After the signal, in ms. */
const finishedWithin = 4_000;

/** At this latency the connection also breaks when the row is finished. */
const breaksAt = 5_000;

const cases = [1_000, 5_000, 14_000].flatMap((latencyMs) =>
  jobs
    .filter(({ platform }) => platform.name === 'Databricks')
    .flatMap((job) => (['http', 'timer'] as const).map((trigger) => ({ latencyMs, job, trigger }))),
);

const { environment, startInstance } = useInstances();

test.each(cases)(
  '$job.type, started by $trigger and stopped at a latency of $latencyMs ms, finishes its row within 4 s',
  async ({ latencyMs, job, trigger }) => {
    const { email } = environment;
    const sql = standInOf(environment);
    const world = await createWorld(environment, many(job, 70));
    const app = await startInstance();
    beSlow(job, latencyMs);
    if (latencyMs === breaksAt) sql.order({ kind: 'dropBefore', match: /SET Status = @status/ });
    await start(app, job, trigger);
    if (job.kind === 'notification') await until('a message is sent', () => email.requests.length > 0);
    else await untilSent('INSERT INTO dbo.RevokedAccess');
    const { run, line } = await stopAndRead(app, job);
    expect(run.Status).toMatch(/^(Completed|Failed)$/);
    if (job.kind === 'notification') {
      // A stop is no failure of the email service.
      expect(run.Status).toBe('Completed');
      if (!line.includes('; 0 invocations')) expect(run.Error_Message).toMatch(/\bstopped=shutdown\b/);
      await expectEachAcceptedIsRecordedOrUnknown(world, run.Error_Message);
    }
    sql.clearFaults();
    email.latencyMs = 0;
    const next = await startInstance();
    expect((await next.call(`/api/jobs/${job.type}/runs`, { method: 'POST' })).status).toBe(200);
    await next.stop();
    // The last messages of the stopped app arrive late at the slow service.
    await delay(latencyMs);
    expect(await findBreaches(world, 'atEnd')).toEqual([]);
  },
);

test.each(jobs.slice(0, 1))('$type, stopped while it takes its lock, finishes its row', async (job) => {
  await createWorld(environment, many(job, 70));
  const app = await startInstance();
  standInOf(environment).order({ kind: 'holdCommit', match: /INSERT INTO dbo\.JobRun/, delayMs: 12_500 });
  await app.fireTimer(job.type);
  await untilSent('INSERT INTO dbo.JobRun');
  const { run, line } = await stopAndRead(app, job);
  expect(line).toContain('; 1 invocations');
  expect(run).toMatchObject({
    Status: 'Completed',
    Error_Message: expect.stringContaining('stopped=shutdown') as string,
  });
});

/** Stops the app. @returns the only run's row, finished in time, and the host's line about the stop */
async function stopAndRead(app: App, job: Job): Promise<{ run: Row; line: string }> {
  const stopped = app.stop('SIGTERM');
  const [line = ''] = await app.logged(/host: Stopping; \d+ invocations/);
  await stopped;
  const [run, ...others] = await environment.runs(job);
  if (!run) throw new Error('There is no run');
  expect(others).toEqual([]);
  const ahead = +(await databaseTime(environment)) - Date.now();
  const signalledAt = Date.parse(line.slice(0, line.indexOf(' '))) + ahead;
  expect((run.Completed_At as Date).getTime() - signalledAt).toBeLessThan(finishedWithin);
  return { run, line };
}

const untilSent = (sql: string): Promise<void> =>
  until(`${sql} is sent`, () => standInOf(environment).statements.some(({ text }) => text.includes(sql)));

function beSlow({ kind }: Job, latencyMs: number): void {
  if (kind === 'notification') environment.email.latencyMs = latencyMs;
  else
    standInOf(environment).order({
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
async function expectEachAcceptedIsRecordedOrUnknown(world: World, message: unknown): Promise<void> {
  const { accepted, written } = await observe(world);
  const unrecorded = [...accepted.keys()].filter((id) => !written.has(id));
  const unknown = Number(/\bunknown=(\d+)/.exec(String(message))?.[1] ?? 0);
  expect(unrecorded.length).toBeLessThanOrEqual(unknown);
}
