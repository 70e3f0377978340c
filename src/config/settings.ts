import { readAppServiceSettings, type AppServiceSettings } from './appService';
import {
  defaultSchedules,
  readScheduleZone,
  scheduleFor,
  schedulesReadAt,
  type ScheduleSetting,
  type ScheduleZone,
  type ZoneSetting,
} from './schedules';
import { settingRows, type SettingGroup, type SettingName, type SettingValues } from './settingTable';

export { settingNames, type SettingGroup, type SettingName } from './settingTable';

/** App settings are environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** How the app signs in to the database. */
export type DatabaseLogin =
  { readonly kind: 'identity' } | { readonly kind: 'sql'; readonly user: string; readonly password: string };

export interface DatabaseSettings {
  readonly database: {
    readonly server: string;
    readonly port: number;
    readonly name: string;
    readonly login: DatabaseLogin;
    readonly trustServerCertificate: boolean;
  };
  /** The client id of a user-assigned managed identity; absent: the system-assigned one. */
  readonly identityClientId?: string | undefined;
}

/**
 * The app settings. Reading a value whose settings are missing or malformed throws a SettingsError, so that a wrong
 * setting stops only what needs it.
 */
export interface Settings extends DatabaseSettings {
  readonly email: {
    readonly endpoint: string;
    readonly senderAddress: string;
    readonly replyTo?: string | undefined;
    /** Holds `{requestNumber}`. */
    readonly renewalUrlTemplate?: string | undefined;
    /** Where access that has ended is requested again; may hold `{requestNumber}`. */
    readonly requestUrlTemplate?: string | undefined;
    /** The IANA name of the zone that ends are shown in. */
    readonly timeZone: string;
    /** Whom to ask: a sentence of the footer. */
    readonly contactText?: string | undefined;
    readonly organisationName?: string | undefined;
  };
  /** When reminders begin: days before a grant's last day, ascending, each once. */
  readonly leadDays: readonly number[];
  /** Whether people also get a mail after their access has ended. */
  readonly notifyRevoked: boolean;
  /** The most grants that a revocation run revokes without an operator's confirmation. */
  readonly revocationCeiling: number;
  /** As the timers are registered with them; a malformed one is among the problems. */
  readonly schedules: Readonly<Record<ScheduleSetting, string>>;
  readonly scheduleZone: ScheduleZone;
  /** Also absent if it is malformed. */
  readonly documentationUrl?: string | undefined;
  /** Also absent if it is malformed. */
  readonly telemetryConnectionString?: string | undefined;
  /** Application Insights accepts telemetry only with a token of the app's identity. */
  readonly telemetryNeedsToken: boolean;
  /** When this process read the schedules. */
  readonly schedulesReadAt: Date;
  /** Every setting that is missing or malformed. */
  readonly problems: readonly SettingProblem[];
  readonly appService: AppServiceSettings;
}

/** A setting that is missing or malformed. */
export interface SettingProblem {
  readonly setting: SettingName | ZoneSetting;
  readonly group: SettingGroup;
  /** What it is, to be read after "is": missing, malformed or refused; what is expected, and an example. */
  readonly message: string;
}

/** A needed setting is missing or malformed. The message names all wrong settings, needed or not. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  constructor(readonly problems: readonly SettingProblem[]) {
    super(
      `Settings are wrong:\n${problems.map(({ setting, message }) => `- ${setting}: ${message}`).join('\n')}`,
    );
  }
}

/** An empty value counts as absent. */
function nonEmpty(environment: Environment): Environment {
  return Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim()));
}

/**
 * Whether this is Azure, decided as the Functions host does (azure-functions-host, EnvironmentExtensions): by
 * WEBSITE_INSTANCE_ID on App Service plans, by a container or pod name on consumption plans. A container elsewhere may
 * have a CONTAINER_NAME too, so the app's name, which Azure sets on every plan, is required as well.
 */
function runsInAzure(given: Environment): boolean {
  const instance = given.CONTAINER_NAME ?? given.WEBSITE_POD_NAME;
  return (
    given.WEBSITE_INSTANCE_ID !== undefined ||
    (instance !== undefined && given.WEBSITE_SITE_NAME !== undefined)
  );
}

/** Whether a server is on this machine; a container knows its host by a name of its own. */
export const isLocalHost = (server: string): boolean =>
  /^((.+\.)?localhost|127(\.\d{1,3}){3}|host\.docker\.internal)$/i.test(server);

const sqlLogin = ['SQL_USER', 'SQL_PASSWORD'] as const;

/** A SQL login requires both of its settings, and a server on this machine. */
function loginProblems(given: Environment): SettingProblem[] {
  const problem = (setting: SettingName, message: string): SettingProblem => ({
    setting,
    group: 'database',
    message,
  });
  const login = sqlLogin.filter((name) => given[name] !== undefined);
  const { SQL_SERVER: server } = given;
  const refusal = runsInAzure(given)
    ? 'refused in Azure, where the managed identity signs in over a trusted connection; remove it'
    : server !== undefined && !isLocalHost(server)
      ? 'refused for a server that is not on this machine: sign in with az login; remove it'
      : undefined;
  if (refusal !== undefined) {
    const trust =
      given.SQL_TRUST_SERVER_CERTIFICATE === 'true' ? (['SQL_TRUST_SERVER_CERTIFICATE'] as const) : [];
    return [...login, ...trust].map((name) => problem(name, refusal));
  }
  if (login.length !== 1) return [];
  return sqlLogin
    .filter((name) => given[name] === undefined)
    .map((name) => problem(name, `missing: expected with ${login.join()}, for a SQL login; or remove both`));
}

/** Values of settings with a problem are absent, despite their type: check the problems first. */
function parse(environment: Environment): { values: SettingValues; problems: SettingProblem[] } {
  const given = nonEmpty(environment);
  const values: Partial<Record<SettingName, unknown>> = {};
  const problems: SettingProblem[] = [];
  for (const [setting, { group, schema, expected, example, required, default: fallback }] of settingRows) {
    const text = given[setting] ?? fallback;
    const expectation = `expected ${expected}, for example ${example}`;
    if (text === undefined) {
      if (required) problems.push({ setting, group, message: `missing: ${expectation}` });
      continue;
    }
    const { data, error } = schema.safeParse(text);
    if (error) {
      const reason = expected === undefined ? (error.issues[0]?.message ?? '') : expectation;
      problems.push({ setting, group, message: `malformed: ${reason}` });
    } else values[setting] = data;
  }
  problems.push(...loginProblems(given));
  return { values: values as SettingValues, problems };
}

/** @throws SettingsError if a setting of the group is missing or malformed */
function requireGroup(needed: SettingGroup, problems: readonly SettingProblem[]): void {
  if (problems.some(({ group }) => group === needed)) throw new SettingsError(problems);
}

function toDatabaseSettings(values: SettingValues): DatabaseSettings['database'] {
  const { SQL_USER: user, SQL_PASSWORD: password } = values;
  return {
    server: values.SQL_SERVER,
    port: values.SQL_PORT,
    name: values.SQL_DATABASE,
    login:
      user !== undefined && password !== undefined ? { kind: 'sql', user, password } : { kind: 'identity' },
    trustServerCertificate: values.SQL_TRUST_SERVER_CERTIFICATE === 'true',
  };
}

function toEmailSettings(values: SettingValues): Settings['email'] {
  return {
    endpoint: values.EMAIL_ENDPOINT,
    senderAddress: values.EMAIL_SENDER_ADDRESS,
    replyTo: values.EMAIL_REPLY_TO,
    renewalUrlTemplate: values.RENEWAL_URL_TEMPLATE,
    requestUrlTemplate: values.REQUEST_URL_TEMPLATE,
    timeZone: values.NOTIFICATION_TIME_ZONE,
    contactText: values.CONTACT_TEXT,
    organisationName: values.ORGANISATION_NAME,
  };
}

/**
 * Reads the settings of the database only, for tools that need no others.
 * @throws SettingsError naming every one that is missing or malformed
 */
export function readDatabaseSettings(environment: Environment): DatabaseSettings {
  const { values, problems } = parse(environment);
  requireGroup(
    'database',
    problems.filter(({ group }) => group === 'database'),
  );
  return { database: toDatabaseSettings(values), identityClientId: values.AZURE_CLIENT_ID };
}

/** Reads all settings. Wrong ones are in `problems`; reading a value that needs one throws. */
export function readSettings(environment: Environment): Settings {
  const { values, problems } = parse(environment);
  const scheduleZone = readScheduleZone(environment);
  if (scheduleZone.setting && scheduleZone.problem !== undefined)
    problems.push({
      setting: scheduleZone.setting,
      group: 'schedule',
      message: `malformed: ${scheduleZone.problem}`,
    });
  const checked = <T>(group: SettingGroup, value: T): T => {
    requireGroup(group, problems);
    return value;
  };
  return {
    get database() {
      return checked('database', toDatabaseSettings(values));
    },
    get email() {
      return checked('email', toEmailSettings(values));
    },
    get leadDays() {
      return checked('notification', values.NOTIFICATION_LEAD_DAYS);
    },
    get notifyRevoked() {
      return checked('notification', values.NOTIFY_REVOKED === 'true');
    },
    get revocationCeiling() {
      return checked('revocation', values.REVOCATION_CEILING);
    },
    schedules: readSchedules(environment),
    scheduleZone,
    identityClientId: values.AZURE_CLIENT_ID,
    documentationUrl: values.DOCUMENTATION_URL,
    telemetryConnectionString: values.APPLICATIONINSIGHTS_CONNECTION_STRING,
    telemetryNeedsToken: values.APPLICATIONINSIGHTS_AUTHENTICATION_STRING !== undefined,
    appService: readAppServiceSettings(environment),
    schedulesReadAt,
    problems,
  };
}

function readSchedules(environment: Environment): Settings['schedules'] {
  const settings = Object.keys(defaultSchedules) as ScheduleSetting[];
  return Object.fromEntries(
    settings.map((setting) => [setting, scheduleFor(setting, environment)]),
  ) as Settings['schedules'];
}

/** A setting in force. */
export interface SettingInForce {
  readonly setting: SettingName;
  /** Undefined where it is optional and not given. Never the value of a secret. */
  readonly value: string | undefined;
  readonly isDefault: boolean;
}

/** The settings in force, for display. Wrong ones are left out, since the value may be a secret. */
export function settingsInForce(environment: Environment): SettingInForce[] {
  const given = nonEmpty(environment);
  const wrong = new Set<string>(parse(environment).problems.map(({ setting }) => setting));
  return settingRows
    .filter(([setting]) => !wrong.has(setting))
    .map(([setting, { secret, default: fallback }]) => {
      const text = given[setting];
      const shown = secret ? '(set, not shown)' : text;
      return {
        setting,
        value: text === undefined ? fallback : shown,
        isDefault: text === undefined && fallback !== undefined,
      };
    });
}
