import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { removeAppSettings } from '../local/appSettings';
import { claimRealServer } from '../local/realServer';

/**
 * Runs jest in a process of its own, without the app settings of the shell.
 * @param globals what its tests find in globalThis
 * @param environment variables besides those of this process
 * @returns whether all tests passed
 */
export async function runJest(
  globals: object,
  parameters: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<boolean> {
  removeAppSettings({ keepSignIn: true });
  // Ctrl-C goes to jest too; what was started here is released after it.
  process.on('SIGINT', () => undefined);
  const jest = spawn(
    process.execPath,
    [require.resolve('jest/bin/jest'), '--runInBand', '--globals', JSON.stringify(globals), ...parameters],
    { stdio: 'inherit', env: { ...process.env, ...environment } },
  );
  const [code] = (await once(jest, 'exit')) as [number | null];
  return code === 0;
}

/** The same on the real server that TEST_SQL_SERVER and its like name, or on a container. */
export async function runJestOnServer(globals: object, parameters: readonly string[]): Promise<boolean> {
  const server = await claimRealServer(process.env);
  try {
    return await runJest({ realServer: true, ...globals }, parameters, server.environment);
  } finally {
    await server.release();
  }
}
