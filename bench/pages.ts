/** What the API and the status page take with a million runs in JobRun, and a run during many requests. */
import { setTimeout as delay } from 'node:timers/promises';
import { startHostProcess, type HostProcess } from '../local/functionsHost/process';
import { root } from './app';
import { emptyTables, insertNumbered, seedGrants, writtenTables, type BenchDatabase } from './database';
import { compare, repeat, type Row } from './report';

const job = 'RevokeExpiredDatabricksRequests';
const otherJob = 'RevokeExpiredPalantirRequests';

/** Every 15 minutes one of the four jobs ran; each run of `job` revoked one grant. */
async function addRuns(database: BenchDatabase, first: number, last: number): Promise<void> {
  const startedAt = 'DATEADD(MINUTE, -15 * (1000000 - j.n), GETUTCDATE())';
  await insertNumbered(
    database,
    first,
    last,
    (
      numbers,
    ) => `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By, Completed_At, Processed_Count)
SELECT NEWID(), CASE WHEN j.n % 4 = 0 THEN '${job}' WHEN j.n % 4 = 1 THEN '${otherJob}'
    WHEN j.n % 4 = 2 THEN 'ExpiryNotificationDatabricksRequests' ELSE 'ExpiryNotificationPalantirRequests' END,
  'Completed', ${startedAt}, 'machine-1', DATEADD(SECOND, 2, ${startedAt}), 1
${numbers};
INSERT INTO dbo.RevokedAccess_Databricks (DeltaRequestId, Revoked_Dt, Revoked_By)
SELECT 1, DATEADD(SECOND, 1, ${startedAt}), '${job}'
${numbers} AND j.n % 4 = 0 ORDER BY j.n;`,
  );
}

/** Each page's times in ms, with `runs` runs in JobRun. */
async function timePages(database: BenchDatabase, app: HostProcess, runs: number) {
  const [run] = await database.query(
    `SELECT TOP (1) Job_Id FROM dbo.JobRun WHERE Job_Type = '${job}' AND Id >= ${runs / 2} ORDER BY Id;`,
  );
  const middle = String(run?.Job_Id);
  const paths = {
    'GET /api/jobs': '/api/jobs',
    'GET …/runs?limit=500': `/api/jobs/${job}/runs?limit=500`,
    'GET …/runs?limit=500, from the middle of the history': `/api/jobs/${job}/runs?limit=500&before=${middle}`,
    'GET …/runs/{jobId}, in the middle of the history': `/api/jobs/${job}/runs/${middle}`,
    'the status page': '/api/status',
    'the status page with a job’s history': `/api/status?job=${job}`,
    'the status page with a run': `/api/status?run=${middle}`,
  };
  const times = new Map<string, number[]>();
  for (const [what, path] of Object.entries(paths)) {
    const get = async (): Promise<number> => {
      const started = performance.now();
      const response = await fetch(`${app.url}${path}`);
      await response.text();
      if (!response.ok) throw new Error(`${path} was answered with ${response.status}`);
      return performance.now() - started;
    };
    // Unmeasured, until the code is loaded and compiled.
    await repeat(get, 3);
    times.set(what, await repeat(get));
  }
  return times;
}

async function historyRows(database: BenchDatabase, app: HostProcess): Promise<Row[]> {
  await addRuns(database, 1, 1_000);
  const few = await timePages(database, app, 1_000);
  await addRuns(database, 1_001, 1_000_000);
  const many = await timePages(database, app, 1_000_000);
  return [...many].map(([what, measured]) => ({
    what: `${what}, 1,000,000 runs in JobRun`,
    against: '1,000 runs',
    measured,
    reference: few.get(what) ?? [],
    figure: 'measured',
    atMost: 100,
  }));
}

/** A timer's run of another job while 200 previews are asked for. */
function loadRows(database: BenchDatabase, app: HostProcess): Promise<Row[]> {
  const preview = async (): Promise<void> => {
    const response = await fetch(`${app.url}/api/jobs/${job}/runs?dryRun=true`, { method: 'POST' });
    await response.text();
  };
  const run = async (): Promise<number> => {
    await emptyTables(database, 'JobRun');
    const started = performance.now();
    await fetch(`${app.url}/admin/functions/${otherJob}`, { method: 'POST' });
    const completed = `SELECT Id FROM dbo.JobRun WHERE Job_Type = '${otherJob}' AND Status = 'Completed';`;
    while ((await database.query(completed)).length === 0) await delay(1);
    return performance.now() - started;
  };
  return compare([
    {
      what: 'a run during 200 previews at once of 10,000 grants',
      measured: async () => {
        const previews = Array.from({ length: 200 }, preview);
        const ms = await run();
        await Promise.all(previews);
        return ms;
      },
      against: 'without them',
      reference: run,
      figure: 'difference',
      atMost: 500,
    },
  ]);
}

export async function pageRows(database: BenchDatabase): Promise<Row[]> {
  const endsAt = 'DATEADD(DAY, CASE WHEN j.n % 10 = 0 THEN -1 ELSE 30 END, GETUTCDATE())';
  await seedGrants(database, 10_000, endsAt, 'j.n');
  const app = await startHostProcess({
    appDirectory: root,
    settings: database.environment,
    port: 0,
    timers: false,
  });
  try {
    return [...(await loadRows(database, app)), ...(await historyRows(database, app))];
  } finally {
    await app.stop();
    await emptyTables(database, ...writtenTables);
  }
}
