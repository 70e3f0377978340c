/**
 * The whole product on this machine: stand-ins for Azure, a sample database, the built app in the local Functions host,
 * and each of the four jobs run once.
 *
 *     npm start [-- --once] [-- --port 7071]
 *
 * Goes on by schedule until Ctrl-C. With --once it ends after the table: exit code 0 only if all four jobs completed.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { jobs } from '../src/jobs/catalogue';
import type { JobRun } from '../src/jobRun/jobRun';
import { startHostProcess } from './functionsHost/process';
import { createSampleDatabase, type SampleSummary } from './sampleDatabase';
import { startStandIns } from './standIns';

const defaultPorts = { app: 7071, mailbox: 7072 };

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { once: { type: 'boolean', default: false }, port: { type: 'string' } },
  });
  const port = values.port ?? (values.once ? '0' : String(defaultPorts.app));
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    throw new Error(`--port is "${port}": expected a port, for example 7071`);

  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());

  say(
    'Access Expiry Jobs on this machine, with stand-ins for Azure SQL, the managed identity and the email service\n',
  );
  const standIns = await step('Starting the stand-ins', () =>
    startStandIns({ mailboxPort: values.once ? 0 : defaultPorts.mailbox }),
  );
  try {
    const sample = await step('Creating the sample database', () => createSampleDatabase(standIns));
    say(describeSample(sample));
    let showLog = false;
    const app = await step('Starting the function app', () =>
      startHostProcess({
        appDirectory: join(__dirname, '..'),
        settings: standIns.environment,
        port: Number(port),
        timers: !values.once,
        onLine: (line) => {
          if (showLog) say(line);
        },
      }),
    );
    try {
      say('\nRunning each job once, as an operator would: POST /api/jobs/{jobType}/runs\n');
      const completed = await runJobs(app.url, interrupted.signal);
      say(`\n${standIns.email.messages.length} emails were sent.`);
      if (values.once || interrupted.signal.aborted) return completed ? 0 : 1;
      say(describeAddresses(app.url, standIns.email.mailbox, standIns.environment));
      showLog = true;
      const exitCode = await Promise.race([
        once(interrupted.signal, 'abort').then(() => 0),
        app.ended.then(() => 1),
      ]);
      say('\nStopping: a job under way finishes its row first');
      return exitCode;
    } finally {
      await app.stop();
    }
  } finally {
    await standIns.close();
  }
}

function describeSample({ databricks, palantir }: SampleSummary): string {
  const line = (name: string, { requests, expired, due }: SampleSummary['databricks']): string =>
    `  ${name.padEnd(11)} ${requests} requests: ${expired} expired and to be revoked, ${due} with a reminder due`;
  return ['\nThe sample:', line('Databricks', databricks), line('Palantir', palantir), ''].join('\n');
}

/** Runs the four jobs one after the other and prints a line each as it ends. */
async function runJobs(url: string, signal: AbortSignal): Promise<boolean> {
  say(row('Job', 'Status', 'Processed', 'Failed', 'Duration'));
  say('-'.repeat(80));
  let completed = 0;
  for (const { type } of jobs) {
    if (signal.aborted) break;
    const startedAt = performance.now();
    const seconds = (): string => `${((performance.now() - startedAt) / 1000).toFixed(2)} s`;
    const progress = showProgress(() => row(type, 'running', '', '', seconds()));
    const answer = await fetch(`${url}/api/jobs/${type}/runs`, { method: 'POST' }).finally(progress.end);
    const body = (await answer.json()) as JobRun & { run?: JobRun; detail?: string };
    const run = answer.ok ? body : body.run;
    say(
      row(
        type,
        run?.status ?? `HTTP ${answer.status}`,
        run?.processedCount ?? '',
        run?.failedCount ?? '',
        seconds(),
      ),
    );
    if (!answer.ok) say(`    ${body.detail ?? ''}`);
    if (run?.status === 'Completed') completed++;
  }
  say('\nProcessed: grants revoked or notified. Failed: grants whose address is missing or malformed.');
  return completed === jobs.length;
}

function row(job: string, ...cells: (string | number)[]): string {
  return (
    job.padEnd(38) +
    cells.map((cell, index) => (index === 0 ? String(cell).padEnd(12) : String(cell).padStart(10))).join('')
  );
}

function describeAddresses(
  url: string,
  mailbox: string,
  environment: Readonly<Record<string, string>>,
): string {
  const settings = [
    'IDENTITY_ENDPOINT',
    'IDENTITY_HEADER',
    'NODE_EXTRA_CA_CERTS',
    'SQL_SERVER',
    'SQL_PORT',
    'SQL_DATABASE',
    'EMAIL_ENDPOINT',
    'EMAIL_SENDER_ADDRESS',
  ];
  return `
  Status page   ${url}/api/status
  Jobs API      ${url}/api/jobs
  Mailbox       ${mailbox}

Try:
  curl ${url}/api/jobs
  curl -X POST '${url}/api/jobs/RevokeExpiredDatabricksRequests/runs?dryRun=true'
  curl '${url}/api/jobs/ExpiryNotificationPalantirRequests/runs?limit=3'

Check this environment, in another terminal:
  ${settings.map((name) => `${name}='${environment[name] ?? ''}'`).join(' ')} npm run doctor

The jobs go on by schedule. Ctrl-C ends everything. What follows is the log of the app:
`;
}

async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const seconds = (): string => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
  const progress = showProgress(() => `${what} … ${seconds()}`);
  const result = await work().finally(progress.end);
  say(`${what}: done in ${seconds()}`);
  return result;
}

/** In a terminal, a line that is written anew while something works. */
function showProgress(line: () => string): { end: () => void } {
  if (!process.stdout.isTTY) return { end: () => undefined };
  const write = (): void => void process.stdout.write(`\r${line()}`);
  write();
  const timer = setInterval(write, 100);
  return {
    end: () => {
      clearInterval(timer);
      process.stdout.write('\r\u001B[K');
    },
  };
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
