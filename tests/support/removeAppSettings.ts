/** Before all test files: what an operator's shell holds reaches no test. */
import { removeAppSettings } from '../../local/appSettings';

export default (_: unknown, { globals }: { globals: { realServer?: boolean } }): void =>
  removeAppSettings({ keepSignIn: globals.realServer === true });
