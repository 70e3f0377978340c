/**
 * Measures the product against what it is set against, side by side, prints one table and writes it as JSON.
 *
 *     npm run bench [-- --sqlserver] [-- start lock load revocation notification memory console]
 *
 * Without names all of them. Runs against the SQL stand-in, or with --sqlserver against the real server of
 * `npm run test:sqlserver`: an empty database of its own. Exit code 0: all were measured, reached or not.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isAskedForHelp } from '../cli/environment';
import { removeAppSettings } from '../local/appSettings';
import { buildApps } from './app';
import { firstRunRow, packageRow, startRows } from './coldStart';
import { consoleRows } from './console';
import { openDatabase } from './database';
import { lockRows, memoryRows, notificationRow, revocationRows } from './jobs';
import { loadRows } from './load';
import { report, type Row } from './report';

const root = join(__dirname, '..');

const usage = `Usage: npm run bench [-- --sqlserver] [-- start lock revocation notification memory console]

Measures the parts that are named, or all. --sqlserver: against the real server of npm run test:sqlserver.`;

async function main(): Promise<void> {
  if (isAskedForHelp()) {
    console.log(usage);
    return;
  }
  const { values, positionals: names } = parseArgs({
    options: { sqlserver: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  removeAppSettings({ keepSignIn: values.sqlserver });
  const packageFile = join(root, 'dist/access-expiry-jobs.zip');
  execFileSync(process.execPath, ['--import', require.resolve('tsx'), join(root, 'scripts/package.ts')], {
    stdio: 'ignore',
  });
  const apps = await buildApps(packageFile);
  const database = await openDatabase({ onSqlServer: values.sqlserver });
  const { deployed } = apps;
  const rows: Row[] = [];
  const measure = async (part: string, work: () => Promise<Row[]>): Promise<void> => {
    if (names.length > 0 && !names.includes(part)) return;
    const started = performance.now();
    rows.push(...(await work()));
    console.error(`${part}: ${Math.round((performance.now() - started) / 1000)} s`);
  };
  try {
    await measure('lock', () => lockRows(database, deployed));
    await measure('load', () => loadRows(database));
    await measure('revocation', () => revocationRows(database, deployed));
    await measure('notification', async () => [await notificationRow(database, deployed)]);
    await measure('memory', () => memoryRows(database, deployed));
    await measure('console', () => consoleRows(database));
    await measure('start', async () => [
      ...(await startRows(apps)),
      await firstRunRow(apps, database),
      await packageRow(packageFile),
    ]);
  } finally {
    await database.close();
  }
  report(rows, database.server, join(root, '.local/bench.json'));
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
