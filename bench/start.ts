/** Cold start: the start of the process, and the first run. */
import { setTimeout as delay } from 'node:timers/promises';
import { startApp, type Apps } from './app';
import type { BenchDatabase } from './database';
import { compare, runs, type Row } from './report';

export async function startRows({ standIns }: BenchDatabase, apps: Apps): Promise<Row[]> {
  const start = (entry: string) => async (): Promise<number> => {
    const app = await startApp(entry, {});
    await app.kill();
    return app.startMs;
  };
  const { sql } = standIns;
  const settings = {
    ...standIns.environment,
    // Nobody listens there: the measurement ends before anything is sent.
    APPLICATIONINSIGHTS_CONNECTION_STRING: `InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=https://127.0.0.1:9;LiveEndpoint=https://127.0.0.1:9`,
    AZURE_LOG_LEVEL: 'error',
  };
  const firstStatement = (entry: string) => async (): Promise<number> => {
    const app = await startApp(entry, settings);
    sql.clearStatements();
    const triggered = performance.now();
    app.trigger('RevokeExpiredDatabricksRequests');
    while (sql.statements.length === 0) await delay(1);
    const ms = performance.now() - triggered;
    await app.kill();
    return ms;
  };
  // Unmeasured: the files are in the system's cache afterwards.
  for (const entry of [apps.deployed, apps.unbundled]) await firstStatement(entry)();
  return compare([
    {
      what: 'cold start: process start to all functions registered',
      measured: start(apps.deployed),
      against: 'Node.js with an empty file',
      reference: start(apps.empty),
      figure: 'difference',
      atMost: 150,
      // Starts are short, and a busy machine's scatter is as large.
      times: 3 * runs,
    },
    {
      what: 'first run after a cold start: trigger to the first SQL statement',
      measured: firstStatement(apps.deployed),
      against: 'the same app not bundled',
      reference: firstStatement(apps.unbundled),
      atMost: 0.4,
    },
  ]);
}
