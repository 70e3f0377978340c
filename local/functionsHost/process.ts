/** The local Functions host in a child process, as `npm start` and the tests run the built app. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface HostProcessOptions {
  readonly appDirectory: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** false: timers run by hand only. */
  readonly timers: boolean;
  /** App settings, in addition to the environment of this process. */
  readonly settings: Readonly<Record<string, string>>;
  /** Given each line of the host's log. */
  readonly onLine?: (line: string) => void;
}

export interface HostProcess {
  /** http://127.0.0.1:port */
  readonly url: string;
  readonly pid: number;
  /** The exit code, or the name of the signal that ended it. Settles when the process has ended. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Ends it as Azure does, which notifies the app (SIGTERM), or as a crash does (SIGKILL), and waits for the end. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<number | NodeJS.Signals>;
}

/** @throws Error with what the host wrote, if it ends before it serves the app */
export async function startHostProcess(options: HostProcessOptions): Promise<HostProcess> {
  const { appDirectory, port, timers, settings, onLine } = options;
  const child = fork(join(__dirname, 'main.ts'), [appDirectory, String(port), timers ? 'timers' : ''], {
    env: { ...process.env, ...settings },
    // Without tsx's hooks for ES modules, through which each file of the app would go: they double the time of a start.
    execArgv: ['--require', require.resolve('tsx/cjs')],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const written: string[] = [];
  const starting = new AbortController();
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface({ input: stream }).on('line', (line) => {
      if (!starting.signal.aborted) written.push(line);
      onLine?.(line);
    });
  }
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  const ready = once(child, 'message', { signal: starting.signal }) as Promise<[port: number]>;
  const first = await Promise.race([ready, ended]);
  starting.abort();
  if (!Array.isArray(first)) throw new Error(`The host ended with ${first}:\n${written.join('\n')}`);
  return {
    url: `http://127.0.0.1:${first[0]}`,
    pid: child.pid ?? 0,
    ended,
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
}
