/** The built app in the local Functions host, as a process of its own. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { HostReady } from './functionsHost/main';

export interface AppProcess {
  /** http://127.0.0.1:port */
  readonly url: string;
  readonly child: ChildProcess;
  /** What it has written so far. */
  log(): string;
  /** Asks it to end, and waits: running jobs finish their rows. */
  stop(): Promise<void>;
}

export interface AppProcessOptions {
  /** Settings, on top of this process's environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** 0, the default, takes a free port. */
  readonly port?: number;
  /** Whether timers fire by their schedules; by default they do not. */
  readonly timers?: boolean;
  /** Told each line that the host and the app write. */
  readonly onLine?: (line: string) => void;
}

const root = join(__dirname, '..');

/**
 * Starts the app that `npm run build` has built and waits until its functions are served.
 * @throws Error with what the process wrote, if it ends before that
 */
export async function startApp({
  environment,
  port = 0,
  timers = false,
  onLine,
}: AppProcessOptions): Promise<AppProcess> {
  const child = fork(
    join(root, 'local/functionsHost/main.ts'),
    ['--app', root, '--port', String(port), ...(timers ? [] : ['--no-timers'])],
    {
      cwd: root,
      env: { ...process.env, ...environment },
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    },
  );
  let written = '';
  const listen = (chunk: Buffer): void => {
    const text = chunk.toString();
    written += text;
    if (onLine) for (const line of text.split('\n')) if (line) onLine(line);
  };
  child.stdout?.on('data', listen);
  child.stderr?.on('data', listen);
  const ended = once(child, 'exit');
  const ready = once(child, 'message') as Promise<[HostReady]>;
  const first = await Promise.race([ready, ended.then(() => undefined)]);
  if (!first) throw new Error(`The app did not start:\n${written}`);
  return {
    url: `http://127.0.0.1:${first[0].port}`,
    child,
    log: () => written,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
