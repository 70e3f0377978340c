import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Runs jest in a process of its own.
 * @param globals what its tests find in globalThis
 * @param environment variables beside those of this process
 * @returns whether all tests passed
 */
export async function runJest(
  globals: object,
  parameters: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<boolean> {
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
