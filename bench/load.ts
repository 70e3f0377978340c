/** Many requests at once: the sessions that the app opens, and a run beside them. */
import { join } from 'node:path';
import { startHostProcess } from '../local/functionsHost/process';
import { addGrants, emptyTables, type BenchDatabase } from './database';
import { repeat, type Row } from './report';

const root = join(__dirname, '..');
const run = 'RevokeExpiredPalantirRequests';
const previews = 200;
const grants = 10_000;

/** Expects a database without grants, and leaves it so. */
export async function loadRows(database: BenchDatabase): Promise<Row[]> {
  await addGrants(database, {
    first: 1,
    last: grants,
    endsAt: 'DATEADD(DAY, CASE WHEN j.n % 10 = 0 THEN -1 ELSE 30 END, GETUTCDATE())',
    person: 'j.n',
  });
  const app = await startHostProcess({
    appDirectory: root,
    settings: database.environment,
    port: 0,
    timers: false,
  });
  const { sql } = database.standIns;
  const ofOthers = sql.openSessions;
  const preview = async (): Promise<number> => {
    const answer = await fetch(`${app.url}/api/jobs/RevokeExpiredDatabricksRequests/runs?dryRun=true`, {
      method: 'POST',
    });
    await answer.text();
    return answer.status;
  };
  /** The most sessions that the app has open while something is done. */
  const mostSessions = async (work: () => Promise<unknown>): Promise<number> => {
    let most = 0;
    const counting = setInterval(() => (most = Math.max(most, sql.openSessions - ofOthers)), 1);
    await work();
    clearInterval(counting);
    return most;
  };
  /** From the trigger of a timer to the end of its run, in ms. */
  const timeRun = async (): Promise<number> => {
    const started = performance.now();
    await fetch(`${app.url}/admin/functions/${run}`, { method: 'POST' });
    for (;;) {
      const rows = await database.query(
        `SELECT Id FROM dbo.JobRun WHERE Job_Type = '${run}' AND Status = 'Completed';`,
      );
      if (rows.length > 0) break;
    }
    const ms = performance.now() - started;
    await emptyTables(database, ['dbo.JobRun']);
    return ms;
  };
  const statuses = new Map<number, number>();
  const sessions: number[] = [];
  const beside = async (): Promise<number> => {
    let ms = 0;
    sessions.push(
      await mostSessions(async () => {
        const asked = Array.from({ length: previews }, preview);
        ms = await timeRun();
        for (const status of await Promise.all(asked)) statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }),
    );
    return ms;
  };
  try {
    // Unmeasured, until the code is loaded and compiled.
    await preview();
    await timeRun();
    const onePreview = await repeat(() => mostSessions(preview));
    const alone = await repeat(timeRun);
    const together = await repeat(beside);
    const answered = [...statuses]
      .map(([status, count]) => `${count} were answered with ${status}`)
      .join(', ');
    const what = `${previews} previews at once, ${grants.toLocaleString('en')} grants`;
    return [
      {
        what: `${what}, and a run: the most sessions of the app`,
        against: 'one preview',
        unit: 'sessions',
        measured: sessions,
        reference: onePreview,
        figure: (most) => most,
        goal: { atMost: 16 },
        note: `of all ${previews * together.length}, ${answered}. Counted at the stand-in every millisecond, those included that are being closed; on a real server they are not counted.`,
      },
      {
        what: `a run beside ${what}: from its trigger to its end`,
        against: 'alone',
        unit: 'ms',
        measured: together,
        reference: alone,
        figure: (ms, reference) => ms - reference,
        goal: { atMost: 500, unit: 'ms more' },
        note: 'it waits for no preview: what it takes longer, the processor and the server are shared with them.',
      },
    ];
  } finally {
    await app.stop();
    await emptyTables(database);
    await emptyTables(database, ['dbo.DataAccessDeltaRequests']);
  }
}
