import {
  readSettings,
  settingNames,
  settingsInForce,
  type Environment,
  type Settings,
} from '../../src/config/settings';
import { settingRows } from '../../src/config/settingTable';
import { failed, ok, warning, type Finding } from './finding';

/** The settings as far as they can be used, so that one malformed setting does not hide other faults. */
export interface UsableSettings {
  /** Holds an example or the default for each setting that is malformed or missing. */
  readonly settings: Settings;
  /** As given. */
  readonly given: Settings;
  /** Says which of these settings has to be corrected first: one that is malformed or missing. */
  readonly fault: (...names: readonly string[]) => string | undefined;
}

/** Valid values for the settings that are required. */
const examples = new Map(
  settingRows.filter(([, { required }]) => required).map(([name, { example }]) => [name as string, example]),
);

/** Names that look like a setting's: an unknown one may be misspelt. */
const settingLike =
  /^(?:SQL|EMAIL|RENEWAL|REQUEST|NOTIFICATION|CONTACT|ORGANISATION|NOTIFY|REVOCATION|SCHEDULE|DOCUMENTATION)[_-]/i;

/** Reads the settings: what is missing, malformed or unknown, and the values in force. */
export function checkSettings(environment: Environment): { findings: Finding[]; usable: UsableSettings } {
  const given = readSettings(environment);
  const wrong = given.problems.map(({ setting }) => setting as string);
  const fault: UsableSettings['fault'] = (...names) => {
    const first = names.find((name) => wrong.includes(name));
    return first && `${first} has to be corrected first`;
  };
  const known: readonly string[] = settingNames;
  const unknown = Object.keys(environment).filter((name) => settingLike.test(name) && !known.includes(name));
  const findings = [
    ...given.problems.map(({ setting, message }) =>
      failed(`setting ${setting}`, message, 'correct it in the app settings (locally: local.settings.json)'),
    ),
    ...unknown.map((name) =>
      warning(
        `setting ${name}`,
        'unknown to the app',
        'if a setting is meant, correct its name (docs/settings.md)',
      ),
    ),
    ...settingsInForce(environment).map(({ setting, value, isDefault }) =>
      ok(`setting ${setting}`, value === undefined ? 'not set' : `${value}${isDefault ? ' (default)' : ''}`),
    ),
  ];
  if (wrong.length === 0) findings.unshift(ok('settings', 'complete and well-formed'));
  // A login needs both of its settings, or neither.
  const login = fault('SQL_USER', 'SQL_PASSWORD') ? ['SQL_USER', 'SQL_PASSWORD'] : [];
  const corrections = Object.fromEntries([...wrong, ...login].map((name) => [name, examples.get(name)]));
  const settings = readSettings({ ...environment, ...corrections });
  return { findings, usable: { settings, given, fault } };
}
