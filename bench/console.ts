/** The answers that read the history, with a JobRun of a million rows. */
import { join } from 'node:path';
import { startHostProcess } from '../local/functionsHost/process';
import { int, nVarChar } from '../src/database/statement';
import { addGrants, emptyTables, type BenchDatabase } from './database';
import { repeat, type Row } from './report';

const root = join(__dirname, '..');
const job = 'RevokeExpiredDatabricksRequests';
const sizes = [1_000, 1_000_000] as const;
/** Runs that one statement inserts. */
const chunk = 50_000;

/** Every 15 minutes one of the four jobs ran, back from now; each run of `job` wrote a row. */
async function addRuns({ session }: BenchDatabase, first: number, last: number): Promise<void> {
  for (let from = first; from <= last; from += chunk) {
    const numbers = Array.from({ length: Math.min(chunk, last - from + 1) }, (_, index) => from + index);
    const startedAt = 'DATEADD(MINUTE, -15 * (1000000 - j.n), GETUTCDATE())';
    await session.query({
      name: 'addRuns',
      sql: `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By, Completed_At, Processed_Count)
SELECT NEWID(), CASE WHEN j.n % 4 = 0 THEN '${job}' WHEN j.n % 4 = 1 THEN 'RevokeExpiredPalantirRequests'
    WHEN j.n % 4 = 2 THEN 'ExpiryNotificationDatabricksRequests' ELSE 'ExpiryNotificationPalantirRequests' END,
  'Completed', ${startedAt}, 'machine-1', DATEADD(SECOND, 2, ${startedAt}), 1
FROM OPENJSON(@numbers) WITH (n INT '$') AS j WHERE j.n >= @first;
INSERT INTO dbo.RevokedAccess_Databricks (DeltaRequestId, Revoked_Dt, Revoked_By)
SELECT 1, DATEADD(SECOND, 1, ${startedAt}), '${job}'
FROM OPENJSON(@numbers) WITH (n INT '$') AS j WHERE j.n >= @first AND j.n % 4 = 0 ORDER BY j.n;`,
      parameters: { numbers: nVarChar('max', JSON.stringify(numbers)), first: int(from) },
    });
  }
}

/** Leaves the database without runs. */
export async function consoleRows(database: BenchDatabase): Promise<Row[]> {
  await emptyTables(database);
  const [grant] = await database.query(
    'SELECT COUNT(*) AS Grants FROM dbo.DataAccessDeltaRequests WHERE id = 1;',
  );
  if (grant?.Grants === 0)
    await addGrants(database, { first: 1, last: 1, endsAt: 'DATEADD(DAY, -1, GETUTCDATE())', person: '1' });
  const app = await startHostProcess({
    appDirectory: root,
    settings: database.environment,
    port: 0,
    timers: false,
  });
  try {
    const measured = new Map<string, number[][]>();
    let added = 0;
    for (const size of sizes) {
      await addRuns(database, added + 1, size);
      added = size;
      const [run] = await database.query(
        `SELECT TOP (1) Job_Id FROM dbo.JobRun WHERE Job_Type = '${job}' AND Id >= ${size / 2} ORDER BY Id;`,
      );
      const middle = String(run?.Job_Id);
      const addresses = {
        'GET /api/jobs': '/api/jobs',
        'GET …/runs?limit=500': `/api/jobs/${job}/runs?limit=500`,
        'GET …/runs?limit=500, back from the middle of the history': `/api/jobs/${job}/runs?limit=500&before=${middle}`,
        'GET …/runs/{jobId}, in the middle of the history': `/api/jobs/${job}/runs/${middle}`,
        'the status page': '/api/status',
        'the status page with a job’s history': `/api/status?job=${job}`,
        'the status page with a run': `/api/status?run=${middle}`,
      };
      for (const [what, address] of Object.entries(addresses)) {
        const ask = async (): Promise<number> => {
          const started = performance.now();
          const answer = await fetch(`${app.url}${address}`);
          await answer.text();
          if (!answer.ok) throw new Error(`${address} was answered with ${answer.status}`);
          return performance.now() - started;
        };
        // Unmeasured, until the code is loaded and compiled.
        await repeat(ask, 3);
        measured.set(what, [...(measured.get(what) ?? []), await repeat(ask)]);
      }
    }
    return [...measured].map(([what, [small = [], large = []]]) => ({
      what: `${what}, 1,000,000 runs in JobRun`,
      against: '1,000 runs',
      unit: 'ms',
      measured: large,
      reference: small,
      figure: (ms) => ms,
      goal: { atMost: 100, unit: 'ms' },
    }));
  } finally {
    await app.stop();
    await emptyTables(database);
  }
}
