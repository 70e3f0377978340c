import { existsSync, readFileSync } from 'node:fs';
import type { Environment } from '../src/config/settings';

const localSettings = 'local.settings.json';

/** The app settings of a command: the environment, and below it the Values of local.settings.json where there is one. */
export function readEnvironment(): Environment {
  if (!existsSync(localSettings)) return process.env;
  const { Values = {} } = JSON.parse(readFileSync(localSettings, 'utf8')) as {
    Values?: Record<string, string>;
  };
  return { ...Values, ...process.env };
}

/** Runs a command: an error is told without its stack, and the exit code says how it ended. */
export function runCommand(command: () => Promise<boolean>): void {
  command().then(
    (succeeded) => {
      process.exitCode = succeeded ? 0 : 1;
    },
    (error: unknown) => {
      console.error(error instanceof Error ? error.message : error);
      process.exitCode = 1;
    },
  );
}
