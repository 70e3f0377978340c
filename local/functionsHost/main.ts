/**
 * The local Functions host as a process of its own.
 *
 *     tsx local/functionsHost/main.ts [--app <directory>] [--port 7071] [--settings local.settings.json] [--no-timers]
 *
 * Logs go to stdout. When the host is up it sends `{ ready: true, port }` over IPC, or prints it where it has
 * no parent. SIGINT, SIGTERM and the end of the parent close it; the exit code is 0.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { trustAuthority } from '../certificates';
import { startHost } from './host';
import type { HostLogEntry } from './log';

export interface HostReady {
  readonly ready: true;
  readonly port: number;
}

function log({ level, functionName, message }: HostLogEntry): void {
  if (level === 'trace' || level === 'debug' || level === 'none') return;
  console.log(`${new Date().toISOString()} ${level.padEnd(11)} ${functionName ?? 'host'}: ${message}`);
}

/** Takes the settings of a local.settings.json into the environment, which wins where both have one. */
function loadSettings(file: string): void {
  const { Values = {} } = JSON.parse(readFileSync(file, 'utf8')) as { Values?: Record<string, string> };
  const authority = process.env.NODE_EXTRA_CA_CERTS === undefined ? Values.NODE_EXTRA_CA_CERTS : undefined;
  for (const [name, value] of Object.entries(Values)) process.env[name] ??= value;
  // Node.js reads NODE_EXTRA_CA_CERTS before any script runs, so one from the file has to be added here.
  if (authority) trustAuthority(readFileSync(authority, 'utf8'));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      app: { type: 'string', default: process.cwd() },
      port: { type: 'string', default: '7071' },
      settings: { type: 'string' },
      'no-timers': { type: 'boolean', default: false },
    },
  });
  if (values.settings) loadSettings(values.settings);
  const host = await startHost({
    appDirectory: values.app,
    port: Number(values.port),
    timers: !values['no-timers'],
    log,
  });

  let closing: Promise<void> | undefined;
  const stop = (): void => {
    closing ??= host.close().then(
      () => process.exit(0),
      (error: unknown) => fail(error),
    );
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  process.on('disconnect', stop);

  const ready: HostReady = { ready: true, port: host.port };
  if (process.send) process.send(ready);
  else console.log(JSON.stringify(ready));
}

function fail(error: unknown): never {
  const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
  console.error(taken ? `${error.message}: choose another port with --port` : error);
  process.exit(1);
}

main().catch(fail);
