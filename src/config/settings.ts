import * as z from 'zod';
import { singleLine } from '../singleLine';
import { isHost, isLinkTemplate, isRenewalTemplate, parseHttpsAddress } from './addresses';
import { NcrontabError, parseNcrontab } from './ncrontab';
import { readAppServiceSettings, type AppServiceSettings } from './appService';
import {
  defaultSchedules,
  isTimeZone,
  readScheduleZone,
  scheduleFor,
  schedulesReadAt,
  type ScheduleSetting,
  type ScheduleZone,
  type ZoneSetting,
} from './schedules';

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
  readonly identityClientId?: string;
}

/**
 * What the app settings say. Reading a value whose settings are missing or malformed throws a SettingsError, so that a
 * wrong setting stops only what needs it.
 */
export interface Settings extends DatabaseSettings {
  readonly email: {
    readonly endpoint: string;
    readonly senderAddress: string;
    readonly replyTo?: string;
    /** Holds `{requestNumber}`. */
    readonly renewalUrlTemplate?: string;
    /** Where access that has ended is requested again; it may have {requestNumber} in it. */
    readonly requestUrlTemplate?: string;
    /** The IANA name of the zone that ends are shown in. */
    readonly timeZone: string;
    /** Whom to ask: a sentence of the footer. */
    readonly contactText?: string;
    readonly organisationName?: string;
  };
  /** When reminders begin: days before a grant's last day, ascending, each once. */
  readonly leadDays: readonly number[];
  /** Whether people are told of access that has ended. */
  readonly notifyRevoked: boolean;
  /** The most grants that a revocation run revokes without an operator's confirmation. */
  readonly revocationCeiling: number;
  /** As the timers are registered with them; one that is malformed is among the problems. */
  readonly schedules: Readonly<Record<ScheduleSetting, string>>;
  readonly scheduleZone: ScheduleZone;
  /** Absent if it is malformed, too. */
  readonly documentationUrl?: string;
  /** Absent if it is malformed, too. */
  readonly telemetryConnectionString?: string;
  /** Application Insights takes telemetry with a token of the app's identity only. */
  readonly telemetryNeedsToken: boolean;
  /** Since when this process has had these schedules. */
  readonly schedulesReadAt: Date;
  /** Every setting that is missing or malformed. */
  readonly problems: readonly SettingProblem[];
  readonly appService: AppServiceSettings;
}

/** The settings that are needed together. */
export type SettingGroup =
  'http' | 'page' | 'database' | 'revocation' | 'notification' | 'email' | 'schedule' | 'telemetry';

/** A setting that is missing or malformed. */
export interface SettingProblem {
  readonly setting: SettingName | ZoneSetting;
  readonly group: SettingGroup;
  /** What is wrong, what is expected, and an example. */
  readonly message: string;
}

/** Something needs settings that are missing or malformed. The message names all that are, needed or not. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  constructor(readonly problems: readonly SettingProblem[]) {
    super(
      `Settings are missing or malformed:\n${problems.map(({ setting, message }) => `- ${setting}: ${message}`).join('\n')}`,
    );
  }
}

interface SettingRow {
  readonly group: SettingGroup;
  readonly schema: z.ZodType<unknown, string>;
  /** What the schema takes, read after "expected"; absent: the schema's own message says it. */
  readonly expected?: string;
  readonly example: string;
  readonly required?: true;
  /** The text that is in force where none is given. */
  readonly default?: string;
  /** Never shown. */
  readonly secret?: true;
}

const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .refine((value) => value >= min && value <= max);

const leadDays = z
  .string()
  .regex(/^\s*\d{1,3}\s*(,\s*\d{1,3}\s*)*$/)
  .transform((text) => [...new Set(text.split(',').map(Number))].sort((a, b) => a - b))
  .refine((days) => days.every((day) => day >= 1 && day <= 365));

/** One line that stays as it is given, but for blanks around it: see singleLine for what does not. */
const lineOfText = (max: number) =>
  z
    .string()
    .trim()
    .max(max)
    .refine((text) => singleLine(text) === text);

const schedule = z.string().superRefine((text, context) => {
  try {
    parseNcrontab(text.trim());
  } catch (error) {
    if (!(error instanceof NcrontabError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
  }
});

const scheduleRow = (setting: ScheduleSetting) => ({
  group: 'schedule' as const,
  schema: schedule,
  example: defaultSchedules[setting],
  default: defaultSchedules[setting],
});

/** Every setting of the app, each with its one description. */
const table = {
  SQL_SERVER: {
    group: 'database',
    schema: z.string().refine(isHost),
    expected: "the server's host name alone",
    example: 'my-server.database.windows.net',
    required: true,
  },
  SQL_DATABASE: {
    group: 'database',
    schema: z.string(),
    expected: 'the name of the database',
    example: 'access',
    required: true,
  },
  SQL_PORT: {
    group: 'database',
    schema: wholeNumber(1, 65_535),
    expected: 'a port from 1 to 65535',
    example: '1433',
    default: '1433',
  },
  // For email too, but nothing sends email without the database.
  AZURE_CLIENT_ID: {
    group: 'database',
    schema: z.guid(),
    expected: "the identity's client id",
    example: '7c9e6679-7425-40de-944b-e07fc1f90ae7',
  },
  SQL_USER: { group: 'database', schema: z.string(), expected: 'the name of a SQL login', example: 'sa' },
  SQL_PASSWORD: {
    group: 'database',
    schema: z.string(),
    expected: 'the password of SQL_USER',
    example: 'a-long-random-one',
    secret: true,
  },
  SQL_TRUST_SERVER_CERTIFICATE: {
    group: 'database',
    schema: z.enum(['true', 'false']),
    expected: 'true or false',
    example: 'false',
    default: 'false',
  },
  EMAIL_ENDPOINT: {
    group: 'email',
    schema: z
      .string()
      .transform(parseHttpsAddress)
      .refine((url) => url?.href === `${url?.origin}/`)
      .transform((url) => url?.origin ?? ''),
    expected: 'an https address without a path',
    example: 'https://my-email.communication.azure.com',
    required: true,
  },
  EMAIL_SENDER_ADDRESS: {
    group: 'email',
    schema: z.email(),
    expected: 'an email address',
    example: 'access@example.com',
    required: true,
  },
  EMAIL_REPLY_TO: {
    group: 'email',
    schema: z.email(),
    expected: 'an email address',
    example: 'access-team@example.com',
  },
  RENEWAL_URL_TEMPLATE: {
    group: 'email',
    schema: z.string().refine(isRenewalTemplate),
    expected: 'an https address with {requestNumber} in its path or query',
    example: 'https://portal.example.com/requests/{requestNumber}/renew',
  },
  REQUEST_URL_TEMPLATE: {
    group: 'email',
    schema: z.string().refine(isLinkTemplate),
    expected: 'an https address, with or without {requestNumber} in it',
    example: 'https://portal.example.com/requests/new?like={requestNumber}',
  },
  NOTIFICATION_TIME_ZONE: {
    group: 'email',
    schema: z.string().refine(isTimeZone),
    expected: 'the IANA name of a time zone',
    example: 'Europe/Berlin',
    default: 'UTC',
  },
  CONTACT_TEXT: {
    group: 'email',
    schema: lineOfText(500),
    expected: 'one line of at most 500 characters',
    example: 'Write to data-access@example.com or ask in #data-access.',
  },
  ORGANISATION_NAME: {
    group: 'email',
    schema: lineOfText(100),
    expected: 'one line of at most 100 characters',
    example: 'Contoso',
  },
  NOTIFICATION_LEAD_DAYS: {
    group: 'notification',
    schema: leadDays,
    expected: 'whole days from 1 to 365 separated by commas',
    example: '14,7,1',
    default: '14,7,1',
  },
  NOTIFY_REVOKED: {
    group: 'notification',
    schema: z.enum(['true', 'false']),
    expected: 'true or false',
    example: 'true',
    default: 'false',
  },
  REVOCATION_CEILING: {
    group: 'revocation',
    schema: wholeNumber(0, 999_999_999),
    expected: 'a whole number of grants from 0',
    example: '1000',
    default: '1000',
  },
  SCHEDULE_REVOKE_DATABRICKS: scheduleRow('SCHEDULE_REVOKE_DATABRICKS'),
  SCHEDULE_REVOKE_PALANTIR: scheduleRow('SCHEDULE_REVOKE_PALANTIR'),
  SCHEDULE_NOTIFY_DATABRICKS: scheduleRow('SCHEDULE_NOTIFY_DATABRICKS'),
  SCHEDULE_NOTIFY_PALANTIR: scheduleRow('SCHEDULE_NOTIFY_PALANTIR'),
  DOCUMENTATION_URL: {
    group: 'page',
    schema: z.string().refine((text) => parseHttpsAddress(text)?.hash === ''),
    expected: 'an https address without a #',
    example: 'https://example.com/operating.md',
  },
  HTTP_AUTHORIZATION: {
    group: 'http',
    schema: z.enum(['key', 'signIn']),
    expected: 'key or signIn',
    example: 'key',
    default: 'key',
  },
  APPLICATIONINSIGHTS_CONNECTION_STRING: {
    group: 'telemetry',
    schema: z.string().regex(/InstrumentationKey=/i),
    expected: 'a connection string',
    example: 'InstrumentationKey=…;IngestionEndpoint=https://…',
    secret: true,
  },
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: {
    group: 'telemetry',
    schema: z.string().regex(/(^|;)\s*Authorization=AAD\s*(;|$)/i),
    expected: 'Authorization=AAD, after ClientId=…; where the identity is user-assigned',
    example: 'ClientId=7c9e6679-7425-40de-944b-e07fc1f90ae7;Authorization=AAD',
  },
} satisfies Record<string, SettingRow>;

type Table = typeof table;
export type SettingName = keyof Table;

/** What the settings were read as: absent where one is optional and not given. */
type Values = {
  readonly [Name in SettingName]: Table[Name] extends { required: true } | { default: string }
    ? z.output<Table[Name]['schema']>
    : z.output<Table[Name]['schema']> | undefined;
};

const rows = Object.entries(table) as [SettingName, SettingRow][];

/** The names of all settings. */
export const settingNames: readonly SettingName[] = rows.map(([name]) => name);

/** An empty value counts as absent. */
function nonEmpty(environment: Environment): Environment {
  return Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim()));
}

/**
 * Whether this is Azure, by what the Functions host itself goes by (azure-functions-host, EnvironmentExtensions):
 * WEBSITE_INSTANCE_ID on App Service plans; on the consumption plans a container or pod name. A container may have a
 * CONTAINER_NAME anywhere, so the app's name, which Azure sets on every plan, has to be there too.
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

/** A SQL login is for a server on this machine, and both of its settings belong together. */
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

/** Values of settings with a problem are absent, whatever their type says: see the problems first. */
function parse(given: Environment): { values: Values; problems: SettingProblem[] } {
  const values: Partial<Record<SettingName, unknown>> = {};
  const problems: SettingProblem[] = [];
  for (const [setting, { group, schema, expected, example, required, default: fallback }] of rows) {
    const text = given[setting] ?? fallback;
    const expectation = `expected ${expected}, for example ${example}`;
    if (text === undefined) {
      if (required) problems.push({ setting, group, message: `missing: ${expectation}` });
      continue;
    }
    const { data, error } = schema.safeParse(text);
    if (error) {
      const message = expected === undefined ? (error.issues[0]?.message ?? '') : expectation;
      problems.push({ setting, group, message });
    } else values[setting] = data;
  }
  problems.push(...loginProblems(given));
  return { values: values as Values, problems };
}

/** @throws SettingsError if a setting of the group is missing or malformed */
function requireGroup(needed: SettingGroup, problems: readonly SettingProblem[]): void {
  if (problems.some(({ group }) => group === needed)) throw new SettingsError(problems);
}

function toDatabaseSettings(values: Values): DatabaseSettings['database'] {
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

/**
 * Reads the settings of the database alone, for tools that need no more.
 * @throws SettingsError naming every one that is missing or malformed
 */
export function readDatabaseSettings(environment: Environment): DatabaseSettings {
  const { values, problems } = parse(nonEmpty(environment));
  const own = problems.filter(({ group }) => group === 'database');
  requireGroup('database', own);
  const { AZURE_CLIENT_ID: identityClientId } = values;
  return { database: toDatabaseSettings(values), ...(identityClientId && { identityClientId }) };
}

/** Reads all settings. What is wrong is in `problems`, and is thrown when a value that needs it is read. */
export function readSettings(environment: Environment): Settings {
  const { values, problems } = parse(nonEmpty(environment));
  const scheduleZone = readScheduleZone(environment);
  if (scheduleZone.setting && scheduleZone.problem !== undefined)
    problems.push({ setting: scheduleZone.setting, group: 'schedule', message: scheduleZone.problem });
  const {
    AZURE_CLIENT_ID: identityClientId,
    APPLICATIONINSIGHTS_CONNECTION_STRING: telemetryConnectionString,
    DOCUMENTATION_URL: documentationUrl,
  } = values;
  return {
    get database() {
      requireGroup('database', problems);
      return toDatabaseSettings(values);
    },
    get email() {
      requireGroup('email', problems);
      return {
        endpoint: values.EMAIL_ENDPOINT,
        senderAddress: values.EMAIL_SENDER_ADDRESS,
        ...(values.EMAIL_REPLY_TO && { replyTo: values.EMAIL_REPLY_TO }),
        ...(values.RENEWAL_URL_TEMPLATE && { renewalUrlTemplate: values.RENEWAL_URL_TEMPLATE }),
        ...(values.REQUEST_URL_TEMPLATE && { requestUrlTemplate: values.REQUEST_URL_TEMPLATE }),
        timeZone: values.NOTIFICATION_TIME_ZONE,
        ...(values.CONTACT_TEXT && { contactText: values.CONTACT_TEXT }),
        ...(values.ORGANISATION_NAME && { organisationName: values.ORGANISATION_NAME }),
      };
    },
    get leadDays() {
      requireGroup('notification', problems);
      return values.NOTIFICATION_LEAD_DAYS;
    },
    get notifyRevoked() {
      requireGroup('notification', problems);
      return values.NOTIFY_REVOKED === 'true';
    },
    get revocationCeiling() {
      requireGroup('revocation', problems);
      return values.REVOCATION_CEILING;
    },
    schedules: {
      SCHEDULE_REVOKE_DATABRICKS: scheduleFor('SCHEDULE_REVOKE_DATABRICKS', environment),
      SCHEDULE_REVOKE_PALANTIR: scheduleFor('SCHEDULE_REVOKE_PALANTIR', environment),
      SCHEDULE_NOTIFY_DATABRICKS: scheduleFor('SCHEDULE_NOTIFY_DATABRICKS', environment),
      SCHEDULE_NOTIFY_PALANTIR: scheduleFor('SCHEDULE_NOTIFY_PALANTIR', environment),
    },
    scheduleZone,
    ...(identityClientId && { identityClientId }),
    ...(documentationUrl && { documentationUrl }),
    ...(telemetryConnectionString && { telemetryConnectionString }),
    telemetryNeedsToken: values.APPLICATIONINSIGHTS_AUTHENTICATION_STRING !== undefined,
    appService: readAppServiceSettings(environment),
    schedulesReadAt,
    problems,
  };
}

/** A setting as it is in force. */
export interface SettingInForce {
  readonly setting: SettingName;
  /** Undefined where it is optional and not given. A secret's value is never in here. */
  readonly value: string | undefined;
  readonly isDefault: boolean;
}

/** The settings in force, to be shown; those with a problem are left out, since what was given may be a secret. */
export function settingsInForce(environment: Environment): SettingInForce[] {
  const given = nonEmpty(environment);
  const wrong = new Set<string>(parse(given).problems.map(({ setting }) => setting));
  return rows
    .filter(([setting]) => !wrong.has(setting))
    .map(([setting, { secret, default: fallback }]) => {
      const text = given[setting];
      return {
        setting,
        value: text === undefined ? fallback : secret ? '(set, not shown)' : text,
        isDefault: text === undefined && fallback !== undefined,
      };
    });
}
