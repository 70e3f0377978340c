/** Before all test files: what an operator's shell holds reaches no test; what they share has its place (commands.ts). */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeAppSettings } from '../../local/appSettings';

export default (_: unknown, { globals }: { globals: { realServer?: boolean } }): void => {
  removeAppSettings({ keepSignIn: globals.realServer === true });
  const directory = mkdtempSync(join(tmpdir(), 'commands-'));
  mkdirSync(join(directory, 'empty'));
  process.env.TEST_COMMANDS = directory;
  // Tests start some 150 processes that load the same packages: Node.js keeps what it has compiled.
  process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'node-compile-cache');
};
