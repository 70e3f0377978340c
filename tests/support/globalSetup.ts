/** Before all test files: removes the app settings of the shell, and bundles the commands. */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeAppSettings } from '../../local/appSettings';
import { bundleCommands } from './bundleCommands';

export default async (_: unknown, { globals }: { globals: { realServer?: boolean } }): Promise<void> => {
  removeAppSettings({ keepSignIn: globals.realServer === true });
  const directory = mkdtempSync(join(tmpdir(), 'commands-'));
  mkdirSync(join(directory, 'empty'));
  await bundleCommands(directory);
  process.env.TEST_COMMANDS = directory;
  // Some 150 processes load the same packages: Node.js caches their compiled code.
  process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'node-compile-cache');
};
