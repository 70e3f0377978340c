/**
 * The whole product on this machine: stand-ins for Azure, a sample database, the built app in the local Functions host,
 * and each of the four jobs run once.
 *
 *     npm start [-- [--once] [--port <port>] [--mailbox-port <port>]]
 *
 * Runs the jobs by schedule until Ctrl-C. With --once it ends after the table: exit code 0 only if all four jobs
 * completed. With --build it builds the app first.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isAskedForHelp, parseArguments } from '../cli/environment';
import { jobs } from '../src/jobs/catalogue';
import type { JobRun } from '../src/jobRun/jobRun';
import { removeAppSettings } from './appSettings';
import { startHostProcess } from './functionsHost/process';
import { createSampleDatabase, type PlatformSummary } from './sampleDatabase';
import { startStandIns, type StandIns } from './standIns';

const appDirectory = join(__dirname, '..');

const usage = `Usage: npm start [-- [--once] [--port <port>] [--mailbox-port <port>]]

Runs the whole product on this machine, with stand-ins for Azure and a sample, until Ctrl-C.

  --once                  ends after one run of each job
  --port <port>           of the status page and the API; 7071 by default
  --mailbox-port <port>   of the mailbox; 7072 by default

Exit code with --once 0: all jobs completed; 1: one failed.`;

interface Options {
  readonly build: boolean;
  readonly once: boolean;
  readonly port: number;
  readonly mailboxPort: number;
}

/** @returns the exit code */
async function main(): Promise<number> {
  if (isAskedForHelp()) {
    say(usage);
    return 0;
  }
  removeAppSettings();
  const options = readOptions();
  await checkPorts({ '--port': options.port, '--mailbox-port': options.mailboxPort });
  const interrupted = listenForInterrupts();
  say(
    'Access Expiry Jobs on this machine, with stand-ins for Azure SQL, the managed identity and the email service\n',
  );
  if (options.build) await step('Building the app', buildApp);
  // Closes what was started, in reverse, however this ends.
  await using running = new AsyncDisposableStack();
  const standIns = running.adopt(
    await step('Starting the stand-ins', () => startStandIns(options)),
    (started) => started.close(),
  );
  say(describeSample(await step('Creating the sample database', () => createSampleDatabase(standIns))));
  return await useApp(standIns, running, interrupted, options);
}

function readOptions(): Options {
  const { values } = parseArguments(
    {
      options: {
        build: { type: 'boolean', default: false },
        once: { type: 'boolean', default: false },
        port: { type: 'string' },
        'mailbox-port': { type: 'string' },
      },
    },
    usage,
  );
  const { build, once: endsAfterRuns } = values;
  const port = readPort('--port', values.port ?? (endsAfterRuns ? '0' : '7071'));
  const mailboxPort = readPort('--mailbox-port', values['mailbox-port'] ?? (endsAfterRuns ? '0' : '7072'));
  return { build, once: endsAfterRuns, port, mailboxPort };
}

/** Aborted on Ctrl-C, on SIGTERM, when npm ends, and when stdout is closed. */
function listenForInterrupts(): AbortSignal {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
  // npm passes a signal to the shell that it started this in; that ends and does not pass it on.
  const { ppid } = process;
  setInterval(() => {
    if (process.ppid !== ppid) interrupted.abort();
  }, 250).unref();
  // The reader has ended: `npm start | head`.
  process.stdout.on('error', () => interrupted.abort());
  return interrupted.signal;
}

/** Starts the app, runs each job once and, without --once, goes on until it is interrupted. */
async function useApp(
  { environment, email }: StandIns,
  running: AsyncDisposableStack,
  interrupted: AbortSignal,
  options: Options,
): Promise<number> {
  let showLog = false;
  const app = await step('Starting the function app', () =>
    startHostProcess({
      appDirectory,
      settings: environment,
      port: options.port,
      timers: !options.once,
      onLine: (line) => {
        if (showLog) say(line);
      },
    }),
  );
  running.defer(async () => {
    await app.stop();
  });
  const isInterrupted = (): boolean => interrupted.aborted;
  if (isInterrupted()) return 1;
  say('\nRunning each job once, as an operator would: POST /api/jobs/{jobType}/runs\n');
  const completed = await runJobs(app.url, interrupted);
  say(`\n${email.messages.length} emails were sent.`);
  if (options.once || isInterrupted()) return completed ? 0 : 1;
  say(describeAddresses(app.url, email.mailbox, environment));
  showLog = true;
  const exitCode = await Promise.race([once(interrupted, 'abort').then(() => 0), app.ended.then(() => 1)]);
  say('\nStopping: a job under way finishes its row first');
  return exitCode;
}

function readPort(option: string, text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new Error(`${option} is "${text}": expected a port, for example npm start -- ${option} 7073`);
}

/** @throws Error with a line for each port that cannot be used, and the option that moves it */
async function checkPorts(ports: Readonly<Record<string, number>>): Promise<void> {
  const servers: Server[] = [];
  const problems: string[] = [];
  for (const [option, port] of Object.entries(ports)) {
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
      servers.push(server);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const problem = code === 'EADDRINUSE' ? 'is taken' : `cannot be used (${code ?? String(error)})`;
      problems.push(`Port ${port} ${problem}: choose another with npm start -- ${option} <port>`);
    }
  }
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  if (problems.length > 0) throw new Error(problems.join('\n'));
}

async function buildApp(): Promise<void> {
  const script = join(appDirectory, 'scripts/build.ts');
  await promisify(execFile)(process.execPath, ['--import', require.resolve('tsx'), script]);
}

function describeSample(sample: readonly PlatformSummary[]): string {
  const lines = sample.map(
    ({ platform, requests, expired, due }) =>
      `  ${platform.padEnd(11)} ${requests} requests: ${expired} expired and to be revoked, ${due} with a reminder due`,
  );
  return ['\nThe sample:', ...lines, ''].join('\n');
}

/** Runs the four jobs one after the other and prints a line each as it ends. */
async function runJobs(url: string, signal: AbortSignal): Promise<boolean> {
  say('Job'.padEnd(38) + cells('Status', 'Processed', 'Failed', 'Duration'));
  say('-'.repeat(80));
  let completed = 0;
  for (const { type } of jobs) {
    if (signal.aborted) break;
    const startedAt = performance.now();
    process.stdout.write(type.padEnd(38));
    const answer = await fetch(`${url}/api/jobs/${type}/runs`, { method: 'POST' });
    const body = (await answer.json()) as JobRun & { run?: JobRun; detail?: string };
    const run = answer.ok ? body : body.run;
    const { status = `HTTP ${answer.status}`, processedCount, failedCount } = run ?? {};
    say(cells(status, processedCount ?? '', failedCount ?? '', `${secondsSince(startedAt).toFixed(2)} s`));
    if (!answer.ok) say(`    ${body.detail ?? ''}`);
    if (status === 'Completed') completed++;
  }
  say('\nProcessed: grants revoked or notified. Failed: grants whose address is missing or malformed.');
  return completed === jobs.length;
}

function cells(status: string, ...others: (string | number)[]): string {
  return status.padEnd(12) + others.map((cell) => String(cell).padStart(10)).join('');
}

function describeAddresses(url: string, mailbox: string, environment: StandIns['environment']): string {
  const variables = Object.entries(environment);
  const inPosixShell = variables.map(([name, value]) => `${name}='${value.replaceAll("'", "'\\''")}'`);
  const inPowerShell = variables.map(([name, value]) => `$env:${name}='${value.replaceAll("'", "''")}'`);
  return `
  Status page   ${url}/api/status
  Jobs API      ${url}/api/jobs
  Mailbox       ${mailbox}

Try:
  curl ${url}/api/jobs
  curl -X POST '${url}/api/jobs/RevokeExpiredDatabricksRequests/runs?dryRun=true'
  curl '${url}/api/jobs/ExpiryNotificationPalantirRequests/runs?limit=3'

In another terminal, npm run doctor, npm run job, npm run request and npm run db:deploy work on this environment. In a
POSIX shell:
  ${[...inPosixShell, 'npm run doctor'].join(' ')}
In PowerShell:
  ${[...inPowerShell, 'npm run doctor'].join('; ')}

The jobs run by schedule. Ctrl-C ends everything. What follows is the log of the app:
`;
}

async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  process.stdout.write(`${what} … `);
  try {
    return await work();
  } finally {
    say(`${secondsSince(startedAt).toFixed(1)} s`);
  }
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1000;
}

function say(text: string): void {
  console.log(text);
}

main().then(
  (exitCode) => {
    process.exitCode = exitCode;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  },
);
