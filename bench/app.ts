/** The app in the forms that are measured, each in a process of its own. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { unzipSync } from 'fflate';

export const root = join(__dirname, '..');
const directory = join(root, '.local/bench');

/** Entry files of the app in its forms. */
export interface Apps {
  /** The package, unpacked where there is no node_modules. */
  readonly deployed: string;
  /** Each source file by itself, as tsc emits it, with packages from node_modules. */
  readonly unbundled: string;
  /** An empty file. */
  readonly empty: string;
}

/** @param packageFile the zip that `npm run package` wrote */
export async function buildApps(packageFile: string): Promise<Apps> {
  rmSync(directory, { recursive: true, force: true });
  for (const [name, content] of Object.entries(unzipSync(readFileSync(packageFile)))) {
    const file = join(directory, 'deployed', name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  const apps: Apps = {
    deployed: join(directory, 'deployed/dist/main.mjs'),
    unbundled: join(directory, 'unbundled/functions/register.js'),
    empty: join(directory, 'empty.mjs'),
  };
  await build({
    // Not main.ts: its top-level await does not exist in CommonJS.
    entryPoints: globSync('src/**/*.ts', { cwd: root, exclude: ['src/main.ts'] }),
    absWorkingDir: root,
    outdir: join(directory, 'unbundled'),
    format: 'cjs',
    platform: 'node',
    target: 'node24',
    // import() becomes require(), as under "module": "commonjs".
    supported: { 'dynamic-import': false },
  });
  writeFileSync(apps.empty, '');
  return apps;
}

export interface AppProcess {
  /** From the start of the process to the registration of all functions, in ms. */
  readonly startMs: number;
  /** Starts a timer function. */
  trigger(name: string): void;
  /** Runs a timer function to its end. Throws if the run fails. */
  run(name: string): Promise<{ ms: number; peakRss: number }>;
  kill(): Promise<void>;
}

/** Starts the app in a process that holds nothing else. */
export async function startApp(
  entry: string,
  environment: Readonly<Record<string, string>>,
  nodeArguments: readonly string[] = [],
): Promise<AppProcess> {
  const started = performance.timeOrigin + performance.now();
  const child = fork(join(__dirname, 'appProcess.js'), [entry], {
    env: { ...process.env, ...environment },
    execArgv: [...nodeArguments],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const { registered } = await answer<{ registered: number }>(child);
  return {
    startMs: registered - started,
    trigger: (run) => child.send({ run }),
    run(run) {
      child.send({ run });
      return answer(child);
    },
    async kill() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** The next message of a child. Throws if that is an error, or if the child ends instead. */
export async function answer<T extends object>(child: ChildProcess): Promise<T> {
  const over = new AbortController();
  try {
    const [message] = (await Promise.race([
      once(child, 'message', { signal: over.signal }),
      once(child, 'exit', { signal: over.signal }).then(([code]) => {
        throw new Error(`The process of the benchmark ended with ${String(code)}`);
      }),
    ])) as [T | { error: string }];
    if ('error' in message) throw new Error(message.error);
    return message;
  } finally {
    over.abort();
  }
}
