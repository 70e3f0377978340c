/** Before each test file: what an operator's shell holds reaches no test. */
import { removeAppSettings } from '../../local/appSettings';
import { realServer } from './realServer';

removeAppSettings({ keepSignIn: realServer });
