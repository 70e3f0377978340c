/** The built app in a process of the local host, on the stand-ins with the sample database. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Binding } from '../../local/functionsHost/core';
import { startHostProcess, type HostProcess } from '../../local/functionsHost/process';
import { createSampleDatabase, openSession } from '../../local/sampleDatabase';
import { startStandIns } from '../../local/standIns';
import type { Row } from '../../src/database/session';
import { LogLines } from './logLines';
import { expectDocumented } from './openApi';

export const appDirectory = join(__dirname, '../..');

export interface App extends HostProcess {
  /** The lines of stdout and stderr since the start or the last forgetLines. */
  readonly lines: readonly string[];
  forgetLines(): void;
  /** Checks every answer against docs/openapi.yaml. */
  call(path: string, init?: RequestInit): Promise<Response>;
  /** Starts a timer function; does not wait for its run. */
  fireTimer(name: string): Promise<void>;
  readonly logged: LogLines['logged'];
}

/** What startSample returns. */
export type Sample = Awaited<ReturnType<typeof startSample>>;

export interface RegisteredFunction {
  readonly name: string;
  readonly bindings: Readonly<Record<string, Binding>>;
}

/** What the built app registers with the Functions worker in an environment. */
export function registeredFunctions(environment: NodeJS.ProcessEnv): RegisteredFunction[] {
  const printed = execFileSync(
    process.execPath,
    ['--require', require.resolve('tsx/cjs'), join(__dirname, 'printFunctions.ts')],
    { cwd: appDirectory, env: environment, encoding: 'utf8' },
  );
  return JSON.parse(printed) as RegisteredFunction[];
}

const written = [
  'dbo.JobRun',
  'dbo.ExpiryNotification_Databricks',
  'dbo.ExpiryNotification_Palantir',
  'dbo.RevokedAccess_Databricks',
  'dbo.RevokedAccess_Palantir',
];

export async function startSample() {
  if (!existsSync(join(appDirectory, 'dist/main.mjs')))
    throw new Error('The app is not built: run npm run build');
  const standIns = await startStandIns();
  await createSampleDatabase(standIns);
  const session = await openSession(standIns);
  const apps: App[] = [];
  const query = (sql: string): Promise<Row[]> => session.query({ name: 'test', sql });
  return {
    standIns,
    /** For arranging and checking. */
    session,
    query,
    /**
     * Starts the app.
     * @param settings in addition to those of the stand-ins; an empty value is an absent setting
     */
    async startApp(settings: Readonly<Record<string, string>> = {}, { timers = false } = {}): Promise<App> {
      const app = await startApp({ ...standIns.environment, ...settings }, timers);
      apps.push(app);
      return app;
    },
    /** Clears runs, reminders, revocations, messages and faults: all of the sample is due again. */
    async reset(): Promise<void> {
      standIns.sql.clearFaults();
      standIns.email.reset();
      standIns.identity.clearFaults();
      await query(written.map((table) => `DELETE FROM ${table};`).join('\n'));
    },
    /** Ends all apps and the stand-ins. */
    async close(): Promise<void> {
      await Promise.all(apps.map((app) => app.stop('SIGKILL')));
      session.close();
      await standIns.close();
    },
  };
}

/**
 * The sample and the app of a test file, started before its tests. Before each, what runs have written is forgotten.
 * @param settings of the app, as for `startApp`, or what makes them then
 */
export function useSample(
  settings: Readonly<Record<string, string>> | (() => Readonly<Record<string, string>>) = {},
): {
  readonly sample: Sample;
  readonly app: App;
} {
  const sample = {} as Sample;
  const app = {} as App;
  beforeAll(async () => {
    Object.assign(sample, await startSample());
    Object.assign(app, await sample.startApp(typeof settings === 'function' ? settings() : settings));
  });
  beforeEach(async () => {
    await sample.reset();
    app.forgetLines();
  });
  afterAll(() => sample.close());
  return { sample, app };
}

/** @returns the body of an answer with the given status */
export async function readJson(
  app: App,
  path: string,
  { status = 200, ...init }: RequestInit & { readonly status?: number } = {},
): Promise<unknown> {
  const answer = await app.call(path, init);
  const body: unknown = await answer.json();
  expect({ path, status: answer.status, body }).toMatchObject({ path, status });
  return body;
}

/** @param timers whether they run by schedule */
export async function startApp(settings: Readonly<Record<string, string>>, timers = false): Promise<App> {
  const log = new LogLines(20_000);
  const host = await startHostProcess({ appDirectory, port: 0, timers, settings, onLine: log.add });
  return {
    ...host,
    lines: log.lines,
    forgetLines: () => void log.lines.splice(0),
    async call(path, init) {
      const response = await fetch(`${host.url}${path}`, init);
      await expectDocumented(init?.method ?? 'GET', path, response.clone());
      return response;
    },
    async fireTimer(name) {
      const { status } = await fetch(`${host.url}/admin/functions/${name}`, { method: 'POST' });
      if (status !== 202) throw new Error(`The host answered ${status} for the timer ${name}`);
    },
    logged: log.logged,
  };
}
