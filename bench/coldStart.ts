/** Starting cold: the package, the start of the process, the first run. */
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { zipSync, type Zippable } from 'fflate';
import { startApp, type Apps } from './app';
import type { BenchDatabase } from './database';
import { repeat, runs, sideBySide, statistics, type Row } from './report';

const root = join(__dirname, '..');
const timer = 'RevokeExpiredDatabricksRequests';

/** Starts are short and a busy machine's scatter is as large: more runs than elsewhere. */
const starts = 3 * runs;

export async function startRows(apps: Apps): Promise<Row[]> {
  const start = (entry: string) => async (): Promise<number> => {
    const app = await startApp(entry, {});
    await app.kill();
    return app.startMs;
  };
  const what = 'cold start: process start to all functions registered';
  // Once unmeasured: all files are in the system's cache then, which favours the many files of the unbundled app.
  for (const entry of Object.values(apps) as string[]) await start(entry)();
  const eager = await sideBySide(start(apps.deployed), start(apps.eager));
  const lazy = await sideBySide(start(apps.deployed), start(apps.unbundled), starts);
  const empty = await sideBySide(start(apps.deployed), start(apps.empty), starts);
  const nothing = statistics(await repeat(start(apps.nothing), starts)).median;
  return [
    {
      what,
      against: 'the same app not bundled, everything loaded at start',
      unit: 'ms',
      ...eager,
      goal: { atMost: 0.5 },
    },
    {
      what,
      against: 'the same app not bundled, loading lazily too',
      unit: 'ms',
      ...lazy,
      goal: 'informative',
      note: `the start of Node.js with an empty file takes ${Math.round(nothing)} ms of both, so no app can reach half of the other. With everything loaded lazily one package is loaded at start, @azure/functions, which is one file itself. What bundling gains here shows in the first run and in the package.`,
    },
    {
      what,
      against: 'an app with one empty function',
      unit: 'ms',
      ...empty,
      figure: (measured, reference) => measured - reference,
      goal: { atMost: 150, unit: 'ms more' },
    },
  ];
}

/** From a timer's trigger to the arrival of the first SQL statement at the stand-in, telemetry on as deployed. */
export async function firstRunRow(apps: Apps, { standIns }: BenchDatabase): Promise<Row> {
  const { sql } = standIns;
  const settings = {
    ...standIns.environment,
    // Nobody listens there: what is measured is over before anything is sent.
    APPLICATIONINSIGHTS_CONNECTION_STRING: `InstrumentationKey=00000000-0000-4000-8000-000000000000;IngestionEndpoint=https://127.0.0.1:9;LiveEndpoint=https://127.0.0.1:9`,
    AZURE_LOG_LEVEL: 'error',
  };
  const first = (entry: string) => async (): Promise<number> => {
    const app = await startApp(entry, settings);
    sql.clearStatements();
    const triggered = performance.now();
    app.trigger(timer);
    while (sql.statements.length === 0) await delay(1);
    const ms = performance.now() - triggered;
    await app.kill();
    return ms;
  };
  await first(apps.deployed)();
  await first(apps.unbundled)();
  return {
    what: 'first run after a cold start: trigger to the first SQL statement',
    against: 'the same app not bundled',
    unit: 'ms',
    ...(await sideBySide(first(apps.deployed), first(apps.unbundled))),
    goal: { atMost: 0.4 },
    note: 'settings, identity, telemetry and SQL load here, and a token and a TLS connection are obtained. Always against the stand-in, which sees the statement come.',
  };
}

/** The zip against node_modules as `npm ci --omit=dev` leaves it, zipped in the same way. */
export async function packageRow(packageFile: string): Promise<Row> {
  const size = statSync(packageFile).size / 2 ** 20;
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>;
  };
  const production = Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional)
    .map(([path]) => path);
  const content: Zippable = {};
  let plain = 0;
  for (const path of production)
    for (const file of globSync(`${path}/**/*`, { cwd: root, withFileTypes: true })) {
      // Packages within a package are listed by themselves.
      const nested = file.parentPath.slice(join(root, path).length).includes('node_modules');
      if (!file.isFile() || nested) continue;
      const bytes = readFileSync(join(file.parentPath, file.name));
      plain += bytes.length;
      content[join(file.parentPath, file.name).slice(root.length + 1)] = bytes;
    }
  const zipped = zipSync(content, { level: 9 }).length / 2 ** 20;
  const fixed = (value: number): Promise<number[]> => repeat(() => Promise.resolve(value));
  return {
    what: 'package as deployed (zip)',
    against: 'node_modules with production dependencies, zipped',
    unit: 'MiB',
    measured: await fixed(size),
    reference: await fixed(zipped),
    goal: { atMost: 0.2 },
    note: `${Object.keys(content).length} files of ${production.length} packages, ${Math.round(plain / 2 ** 20)} MiB before they are zipped.`,
  };
}
