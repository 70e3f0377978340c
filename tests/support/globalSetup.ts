/** Before all test files: what an operator's shell holds reaches no test, and commands are bundled once (commands.ts). */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeAppSettings } from '../../local/appSettings';

export default (_: unknown, { globals }: { globals: { realServer?: boolean } }): void => {
  removeAppSettings({ keepSignIn: globals.realServer === true });
  process.env.TEST_COMMANDS = mkdtempSync(join(tmpdir(), 'commands-'));
};
