/**
 * The local Functions host as a process of its own, started by process.ts with the app's directory, a port, and `timers`
 * if they run by their schedule. Logs go to stdout. When the host is up it sends its port over IPC. SIGINT, SIGTERM and
 * the end of the parent close it; the exit code is 0.
 */
import { startHost } from './host';
import type { HostLogEntry } from './log';

function log({ level, functionName, message }: HostLogEntry): void {
  if (level === 'trace' || level === 'debug' || level === 'none') return;
  console.log(`${new Date().toISOString()} ${level.padEnd(11)} ${functionName ?? 'host'}: ${message}`);
}

async function main(): Promise<void> {
  const [appDirectory = '', port, timers] = process.argv.slice(2);
  const host = await startHost({ appDirectory, port: Number(port), timers: timers === 'timers', log });
  let closing: Promise<void> | undefined;
  const stop = (): void => {
    closing ??= host.close().then(() => process.exit(0), fail);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  process.on('disconnect', stop);
  process.send?.(host.port);
}

function fail(error: unknown): never {
  console.error(error);
  process.exit(1);
}

main().catch(fail);
