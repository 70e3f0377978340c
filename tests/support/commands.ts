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
  /** In addition to the environment of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** `__dirname` is as if a file were not bundled. */
const ownDirectories: Plugin = {
  name: 'own directories',
  setup(bundler) {
    bundler.onLoad({ filter: /\.ts$/ }, ({ path }) => ({
      contents: `const __dirname = ${JSON.stringify(dirname(path))};\n${readFileSync(path, 'utf8')}`,
      loader: 'ts',
    }));
  },
};

/** The first test file bundles all commands, the others wait for it. If that fails, the others find no command. */
export function useCommands(): void {
  beforeAll(async () => {
    const done = join(directory, 'bundled');
    // undefined if another file was first.
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
    // What a command imports dynamically stays in its own file.
    splitting: true,
    // CommonJS: import() in a bundle finds no names in it.
    external: [...bundleOptions.external, 'selfsigned'],
    // Slower than it saves.
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

/** The npm scripts of package.json, with the bundled commands and without the build. */
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

/** Starts a line in a shell, where `npm run` starts the bundled commands. */
export function startLine(line: string, environment: CommandOptions['environment'] = {}): Command {
  return startProgram('sh', ['-c', line], { cwd: directory, environment });
}

/** Starts a TypeScript file of the project. */
export function startCommand(file: File, args: readonly string[] = [], options?: CommandOptions): Command {
  return startProgram(process.execPath, [join(directory, file.replace(/\.ts$/, '.mjs')), ...args], options);
}

/** Runs a TypeScript file of the project. */
export function runCommand(
  file: File,
  args: readonly string[] = [],
  options?: CommandOptions,
): Promise<Ended> {
  return ended(startCommand(file, args, options));
}

/** Starts a program with piped output, without the environment variables of npm. */
export function startProgram(
  program: string,
  args: readonly string[],
  { cwd = emptyDirectory, environment = {} }: CommandOptions = {},
): Command {
  const stdio = ['ignore', 'pipe', 'pipe'] satisfies SpawnOptions['stdio'];
  const own = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  return spawn(program, args, { cwd, env: { ...Object.fromEntries(own), ...environment }, stdio }) as Command;
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
