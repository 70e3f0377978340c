/**
 * Compares the product with references and prints the figures; docs/benchmarks.md explains them. Exit code 0: everything
 * was measured, whether or not it reached its goal.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isAskedForHelp } from '../cli/environment';
import { removeAppSettings } from '../local/appSettings';
import { buildApps, root, type Apps } from './app';
import { openDatabase, type BenchDatabase } from './database';
import { lockRows, memoryRows, notificationRows, revocationRows } from './jobs';
import { pageRows } from './pages';
import { report, type Row } from './report';
import { startRows } from './start';

const parts: Readonly<Record<string, (database: BenchDatabase, apps: Apps) => Promise<Row[]>>> = {
  lock: lockRows,
  revocation: revocationRows,
  notification: notificationRows,
  memory: memoryRows,
  pages: pageRows,
  start: startRows,
};

const usage = `Usage: npm run bench [-- --sqlserver] [-- ${Object.keys(parts).join(' ')}]

Measures the parts that are named, or all. --sqlserver: on the real server of npm run test:sqlserver.`;

async function main(): Promise<void> {
  if (isAskedForHelp()) {
    console.log(usage);
    return;
  }
  const { values, positionals } = parseArgs({
    options: { sqlserver: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const unknown = positionals.filter((name) => !(name in parts));
  if (unknown.length > 0) throw new Error(`No such part: ${unknown.join(', ')}. ${usage}`);
  removeAppSettings({ keepSignIn: values.sqlserver });
  const loader = ['--import', require.resolve('tsx')];
  execFileSync(process.execPath, [...loader, join(root, 'scripts/package.ts')], { stdio: 'ignore' });
  const apps = await buildApps(join(root, 'dist/access-expiry-jobs.zip'));
  const database = await openDatabase({ onSqlServer: values.sqlserver });
  const rows: Row[] = [];
  try {
    for (const [part, measure] of Object.entries(parts)) {
      if (positionals.length > 0 && !positionals.includes(part)) continue;
      const started = performance.now();
      rows.push(...(await measure(database, apps)));
      console.error(`${part}: ${Math.round((performance.now() - started) / 1000)} s`);
    }
  } finally {
    await database.close();
  }
  report(rows, database.server, join(root, '.local/bench.json'));
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
