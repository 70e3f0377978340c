import { readSettings, settingsInForce, type Environment, type Settings } from '../../src/config/settings';
import { findMisspelt } from '../misspeltSettings';
import { failed, ok, warning, type Finding } from './finding';

/** The settings as far as they can be used, so that one malformed setting does not hide other faults. */
export interface UsableSettings {
  /** Holds an example or the default for each setting that is malformed or missing. */
  readonly settings: Settings;
  /** As they are given. */
  readonly given: Settings;
  /** The first of these settings that is malformed or missing. */
  readonly malformed: (...names: readonly string[]) => string | undefined;
}

/** Valid values for the settings without a default. */
const examples: Environment = {
  SQL_SERVER: 'my-server.database.windows.net',
  SQL_DATABASE: 'access',
  EMAIL_ENDPOINT: 'https://my-email.communication.azure.com',
  EMAIL_SENDER_ADDRESS: 'access@example.com',
};

/** Reads the settings: what is missing, malformed or misspelt, and the values in force. */
export function checkSettings(environment: Environment): { findings: Finding[]; usable: UsableSettings } {
  const settings = readSettings(environment);
  const { problems } = settings;
  const names = new Set<string>(problems.map(({ setting }) => setting));
  const malformed = (...wanted: readonly string[]): string | undefined =>
    wanted.find((name) => names.has(name));
  const findings = [
    ...problems.map(({ setting, message }) =>
      failed(`setting ${setting}`, message, 'correct it in the app settings (locally: local.settings.json)'),
    ),
    ...findMisspelt(environment).map(({ given, meant }) =>
      warning(`setting ${given}`, `unknown; is ${meant} meant?`, `rename it to ${meant}, or remove it`),
    ),
    ...settingsInForce(environment).map(({ setting, value, isDefault }) =>
      ok(`setting ${setting}`, value === undefined ? 'not set' : `${value}${isDefault ? ' (default)' : ''}`),
    ),
  ];
  if (problems.length === 0)
    return {
      findings: [ok('settings', 'complete and well-formed'), ...findings],
      usable: { settings, given: settings, malformed },
    };

  const replaced = new Set(names);
  // A login needs both of its settings, or neither.
  if (malformed('SQL_USER', 'SQL_PASSWORD')) replaced.add('SQL_USER').add('SQL_PASSWORD');
  const corrected = Object.fromEntries([...replaced].map((name) => [name, examples[name]]));
  return {
    findings,
    usable: { settings: readSettings({ ...environment, ...corrected }), given: settings, malformed },
  };
}
