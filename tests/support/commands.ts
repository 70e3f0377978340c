/**
 * The project's commands in processes of their own. A command is bundled when a test file first starts it: its packages,
 * read file by file as its npm script reads them, take most of its time. Tests that begin with `npm` start the script.
 */
import { spawn, type ChildProcessByStdio, type SpawnOptions } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { build, stop, type Plugin } from 'esbuild';
import { commandOptions, root } from '../../scripts/bundle';

const directory = mkdtempSync(join(tmpdir(), 'commands-'));
afterAll(async () => {
  rmSync(directory, { recursive: true });
  // esbuild is a process too.
  await stop();
});

/** Where no local.settings.json is. */
const emptyDirectory = join(directory, 'empty');
mkdirSync(emptyDirectory);

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

const bundles = new Map<string, Promise<string>>();

/** The bundle of a TypeScript file of the project. */
function bundled(file: string): Promise<string> {
  let bundle = bundles.get(file);
  if (!bundle) bundles.set(file, (bundle = bundleFile(file)));
  return bundle;
}

async function bundleFile(file: string): Promise<string> {
  const outfile = join(directory, file.replace(/\.ts$/, '.mjs'));
  await build({
    ...commandOptions,
    entryPoints: [file],
    outfile,
    plugins: [...commandOptions.plugins, ownDirectories],
    banner: {
      js: `import { createRequire as createRequireForBundle } from 'node:module';
const require = createRequireForBundle(${JSON.stringify(join(root, 'package.json'))});`,
    },
  });
  return outfile;
}

/** Starts a TypeScript file of the project. */
export async function startCommand(
  file: string,
  args: readonly string[] = [],
  options?: CommandOptions,
): Promise<Command> {
  return startProgram(process.execPath, [await bundled(file), ...args], options);
}

/** Runs a TypeScript file of the project to its end. */
export async function runCommand(
  file: string,
  args: readonly string[] = [],
  options?: CommandOptions,
): Promise<Ended> {
  return ended(await startCommand(file, args, options));
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
