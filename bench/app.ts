/** The app in the forms that are measured, each in a process of its own. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { unzipSync } from 'fflate';

const root = join(__dirname, '..');
const directory = join(root, '.local/bench');

/** Entry files of the app in its forms. */
export interface Apps {
  /** What the package holds, unpacked where no node_modules is. */
  readonly deployed: string;
  /** Each source file by itself, as tsc emits it: packages come from node_modules. */
  readonly unbundled: string;
  /** The same, with every file and package loaded at start. */
  readonly eager: string;
  /** One function that does nothing, bundled. */
  readonly empty: string;
  /** No app at all. */
  readonly nothing: string;
}

/** The modules that the app loads when first needed. */
const lazy = [
  './services.js',
  './jobs/runJob.js',
  './functions/api.js',
  './database/driver.js',
  './telemetry/applicationInsights.js',
  '@azure/identity',
  '@azure/communication-email',
];

/** @param packageFile the zip that `npm run package` wrote */
export async function buildApps(packageFile: string): Promise<Apps> {
  rmSync(directory, { recursive: true, force: true });
  for (const [name, content] of Object.entries(unzipSync(readFileSync(packageFile)))) {
    const file = join(directory, 'deployed', name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  const unbundled = join(directory, 'unbundled');
  await build({
    // The entry awaits at its top level, which CommonJS does not know.
    entryPoints: globSync('src/**/*.ts', { cwd: root, exclude: ['src/main.ts'] }),
    absWorkingDir: root,
    outdir: unbundled,
    format: 'cjs',
    platform: 'node',
    target: 'node24',
    // import() becomes require(), as under "module": "commonjs".
    supported: { 'dynamic-import': false },
  });
  const eager = join(unbundled, 'eager.js');
  writeFileSync(
    eager,
    ['./functions/register.js', ...lazy].map((name) => `require(${JSON.stringify(name)});\n`).join(''),
  );
  const empty = join(directory, 'empty/main.mjs');
  await build({
    stdin: {
      contents: "import { app } from '@azure/functions'; app.http('empty', { handler: () => ({}) });",
      resolveDir: root,
    },
    outfile: empty,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'node',
    external: ['@azure/functions-core'],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  const nothing = join(directory, 'empty/nothing.mjs');
  writeFileSync(nothing, '');
  return {
    deployed: join(directory, 'deployed/dist/main.mjs'),
    unbundled: join(unbundled, 'functions/register.js'),
    eager,
    empty,
    nothing,
  };
}

export interface AppProcess {
  /** From the start of the process to the registration of all functions, in ms. */
  readonly startMs: number;
  /** Starts a timer function. */
  trigger(name: string): void;
  /** Runs a timer function to its end. Throws if the run fails. */
  run(name: string): Promise<{ ms: number; peakRss: number }>;
  /** The same; gives what V8 has allocated meanwhile, in bytes, garbage included. */
  allocatedBy(name: string): Promise<number>;
  kill(): Promise<void>;
}

/**
 * Starts the app in a process that holds nothing else.
 * @param nodeArguments arguments of Node.js
 */
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
  const { registered } = (await answer(child)) as { registered: number };
  const ask = async (message: { readonly run: string; readonly allocations?: true }): Promise<object> => {
    child.send(message);
    const result = (await answer(child)) as { error?: string };
    if (result.error !== undefined) throw new Error(`${message.run}: ${result.error}`);
    return result;
  };
  return {
    startMs: registered - started,
    trigger: (run) => child.send({ run }),
    async run(run) {
      return (await ask({ run })) as { ms: number; peakRss: number };
    },
    async allocatedBy(run) {
      return ((await ask({ run, allocations: true })) as { allocated: number }).allocated;
    },
    async kill() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** The next message of a child. Throws if it ends instead. */
export async function answer(child: ChildProcess): Promise<unknown> {
  const over = new AbortController();
  try {
    const [message] = (await Promise.race([
      once(child, 'message', { signal: over.signal }),
      once(child, 'exit', { signal: over.signal }).then(([code]) => {
        throw new Error(`The process of the benchmark ended with ${String(code)}`);
      }),
    ])) as [unknown];
    return message;
  } finally {
    over.abort();
  }
}
