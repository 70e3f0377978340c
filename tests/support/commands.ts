/**
 * The project's commands in processes of their own. They are bundled: read file by file, as the npm scripts read them,
 * their packages take most of their time.
 */
import { spawn, type ChildProcessByStdio, type SpawnOptions } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { build, stop, type Plugin } from 'esbuild';
import { bundleOptions, root } from '../../scripts/bundle';

/** One for all test files that run together, made by globalSetup.ts. */
const directory = process.env.TEST_COMMANDS ?? '';

/** Where no local.settings.json is. */
const emptyDirectory = join(directory, 'empty');

/** The TypeScript files of the project that tests start. */
const entryPoints = [
  'cli/deployDatabase.ts',
  'cli/doctor.ts',
  'cli/request.ts',
  'cli/runJob.ts',
  'local/start.ts',
  'scripts/testSqlServer.ts',
] as const;
type File = (typeof entryPoints)[number];

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, in the order in which they came. */
  readonly output: string;
}

export type Command = ChildProcessByStdio<null, Readable, Readable>;

export interface CommandOptions {
  /** A directory without local.settings.json, unless it is given. */
  readonly cwd?: string;
  /** Beside and above the environment of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A file of ours finds what lies around it as if it were not bundled. */
const ownDirectories: Plugin = {
  name: 'own directories',
  setup(bundler) {
    bundler.onLoad({ filter: /\.ts$/ }, ({ path }) => ({
      contents: `const __dirname = ${JSON.stringify(dirname(path))};\n${readFileSync(path, 'utf8')}`,
      loader: 'ts',
    }));
  },
};

/**
 * Before the tests of a file that start commands: the first such file bundles all of them, the others wait for it. If
 * that fails, it fails there, and the others find no command.
 */
export function useCommands(): void {
  beforeAll(async () => {
    const done = join(directory, 'bundled');
    // Gives what it has made, which is nothing where another file has come first.
    if (mkdirSync(join(directory, 'bundling'), { recursive: true }) === undefined) {
      while (!existsSync(done)) await delay(20);
      return;
    }
    try {
      await bundle();
    } finally {
      writeFileSync(done, '');
    }
  });
}

async function bundle(): Promise<void> {
  await build({
    ...bundleOptions,
    entryPoints: [...entryPoints],
    outdir: directory,
    outbase: root,
    // What a command loads only when it needs it stays in files of its own.
    splitting: true,
    // CommonJS, of which import() gives no names out of such a bundle.
    external: [...bundleOptions.external, 'selfsigned'],
    // Takes longer than it saves.
    minify: false,
    plugins: [...bundleOptions.plugins, ownDirectories],
    banner: {
      js: `import { createRequire as createRequireForBundle } from 'node:module';
const require = createRequireForBundle(${JSON.stringify(join(root, 'package.json'))});`,
    },
  });
  // esbuild is a process too.
  await stop();
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ scripts: bundledScripts() }));
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
}

/** The npm scripts of package.json, which start the bundled commands; the app is built already. */
function bundledScripts(): Record<string, string> {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  return Object.fromEntries(
    Object.entries(scripts).map(([name, script]) => [
      name,
      script.replace(/--import \S+ (\S+)\.ts/, '$1.mjs').replace(' --build', ''),
    ]),
  );
}

/** Starts a line in a shell, where `npm` runs the scripts of package.json with the bundled commands. */
export function startLine(line: string, environment: CommandOptions['environment'] = {}): Command {
  return startProgram('sh', ['-c', line], { cwd: directory, environment });
}

/** Starts a TypeScript file of the project. */
export function startCommand(file: File, args: readonly string[] = [], options?: CommandOptions): Command {
  return startProgram(process.execPath, [join(directory, file.replace(/\.ts$/, '.mjs')), ...args], options);
}

/** Runs a TypeScript file of the project to its end. */
export function runCommand(
  file: File,
  args: readonly string[] = [],
  options?: CommandOptions,
): Promise<Ended> {
  return ended(startCommand(file, args, options));
}

/** Starts a program with what it writes piped to this process, and without what npm has set for the tests. */
export function startProgram(
  program: string,
  args: readonly string[],
  { cwd = emptyDirectory, environment = {} }: CommandOptions = {},
): Command {
  const stdio = ['ignore', 'pipe', 'pipe'] satisfies SpawnOptions['stdio'];
  const own = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  return spawn(program, args, {
    cwd,
    env: { ...Object.fromEntries(own), ...environment },
    stdio,
  }) as Command;
}

/** Waits until the process has ended. */
export function ended(child: Command): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr, output }));
  });
}
