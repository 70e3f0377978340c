/** The project's commands in processes of their own, bundled by globalSetup.ts. */
import { spawn, type ChildProcessByStdio, type SpawnOptions } from 'node:child_process';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { commands } from './bundleCommands';

/** One for all test files that run together. */
const directory = process.env.TEST_COMMANDS ?? '';

/** Where no local.settings.json is. */
const emptyDirectory = join(directory, 'empty');

type File = (typeof commands)[number];

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, in the order in which they came. */
  readonly output: string;
}

export type Command = ChildProcessByStdio<null, Readable, Readable>;

interface CommandOptions {
  /** A directory without local.settings.json, unless it is given. */
  readonly cwd?: string;
  /** In addition to the environment of this process. */
  readonly environment?: Readonly<Record<string, string>>;
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
  const texts = { stdout: '', stderr: '', output: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (chunk: Buffer) => {
      texts[name] += chunk.toString();
      texts.output += chunk.toString();
    });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...texts }));
  });
}
