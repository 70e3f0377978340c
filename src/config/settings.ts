import { z } from 'zod';
import { NcrontabError, parseNcrontab } from './ncrontab';
import { defaultSchedules, type ScheduleSetting } from './schedules';

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

export interface Settings extends DatabaseSettings {
  readonly email: {
    readonly endpoint: string;
    readonly senderAddress: string;
    readonly replyTo?: string;
    /** Holds `{requestNumber}`. */
    readonly renewalUrlTemplate?: string;
  };
  /** When reminders begin: days before a grant's last day, ascending, each once. */
  readonly leadDays: readonly number[];
  /** Whether people are told of access that has ended. */
  readonly notifyRevoked: boolean;
  /** The most grants that a revocation run revokes without an operator's word. */
  readonly revocationCeiling: number;
  readonly schedules: Readonly<Record<ScheduleSetting, string>>;
  readonly telemetryConnectionString?: string;
}

/** One or more settings are missing or malformed. The message names each, what it expects and an example. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  constructor(readonly problems: readonly string[]) {
    super(`Settings are missing or malformed:\n${problems.map((problem) => `- ${problem}`).join('\n')}`);
  }
}

const wholeNumber = (min: number, max: number, expectation: string) =>
  z
    .string()
    .regex(/^\d{1,9}$/, expectation)
    .transform(Number)
    .refine((value) => value >= min && value <= max, expectation);

const emailAddress = (example: string) => z.email(`expected an email address, for example ${example}`);

const leadDaysExpectation = 'expected whole days from 1 to 365 parted by commas, for example 14,7,1';
const leadDays = z
  .string()
  .regex(/^\s*\d{1,3}\s*(,\s*\d{1,3}\s*)*$/, leadDaysExpectation)
  .transform((text) => [...new Set(text.split(',').map(Number))].sort((a, b) => a - b))
  .refine((days) => days.every((day) => day >= 1 && day <= 365), leadDaysExpectation);

const schedule = z.string().superRefine((text, context) => {
  try {
    parseNcrontab(text);
  } catch (error) {
    if (!(error instanceof NcrontabError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
  }
});

const portExpectation = 'expected a port from 1 to 65535, for example 1433';
const ceilingExpectation = 'expected a whole number of grants from 0, for example 1000';
const endpointExpectation = 'expected an https address, for example https://my-email.communication.azure.com';
const templateExpectation =
  'expected an https address with {requestNumber} in it, for example https://portal.example.com/requests/{requestNumber}/renew';

const databaseSchema = z.object({
  SQL_SERVER: z
    .string('missing: expected the server, for example my-server.database.windows.net')
    .regex(/^[^\s:/,;]+$/, 'expected a host name alone, for example my-server.database.windows.net'),
  SQL_DATABASE: z.string('missing: expected the name of the database, for example access'),
  SQL_PORT: wholeNumber(1, 65_535, portExpectation).default(1433),
  AZURE_CLIENT_ID: z
    .guid("expected the identity's client id, for example 7c9e6679-7425-40de-944b-e07fc1f90ae7")
    .optional(),
  SQL_USER: z.string().optional(),
  SQL_PASSWORD: z.string().optional(),
  SQL_TRUST_SERVER_CERTIFICATE: z.enum(['true', 'false'], 'expected true or false').default('false'),
});

const schema = databaseSchema.extend({
  EMAIL_ENDPOINT: z
    .url({
      protocol: /^https$/,
      error: (issue) => (issue.input === undefined ? `missing: ${endpointExpectation}` : endpointExpectation),
    })
    .transform((url) => url.replace(/\/+$/, '')),
  EMAIL_SENDER_ADDRESS: z.email({
    error: (issue) =>
      `${issue.input === undefined ? 'missing: ' : ''}expected an email address, for example access@example.com`,
  }),
  EMAIL_REPLY_TO: emailAddress('access-team@example.com').optional(),
  RENEWAL_URL_TEMPLATE: z
    .string()
    .refine(
      (text) => text.includes('{requestNumber}') && URL.canParse(text) && text.startsWith('https://'),
      templateExpectation,
    )
    .optional(),
  NOTIFICATION_LEAD_DAYS: leadDays.default([1, 7, 14]),
  NOTIFY_REVOKED: z.enum(['true', 'false'], 'expected true or false').default('false'),
  REVOCATION_CEILING: wholeNumber(0, 999_999_999, ceilingExpectation).default(1000),
  SCHEDULE_REVOKE_DATABRICKS: schedule.default(defaultSchedules.SCHEDULE_REVOKE_DATABRICKS),
  SCHEDULE_REVOKE_PALANTIR: schedule.default(defaultSchedules.SCHEDULE_REVOKE_PALANTIR),
  SCHEDULE_NOTIFY_DATABRICKS: schedule.default(defaultSchedules.SCHEDULE_NOTIFY_DATABRICKS),
  SCHEDULE_NOTIFY_PALANTIR: schedule.default(defaultSchedules.SCHEDULE_NOTIFY_PALANTIR),
  APPLICATIONINSIGHTS_CONNECTION_STRING: z
    .string()
    .regex(
      /InstrumentationKey=/i,
      'expected a connection string, for example InstrumentationKey=…;IngestionEndpoint=https://…',
    )
    .optional(),
});

const sqlLogin = ['SQL_USER', 'SQL_PASSWORD'] as const;

/**
 * A SQL login is for a local or CI server. Every Azure instance has WEBSITE_INSTANCE_ID, or CONTAINER_NAME on the
 * consumption plans: what the Functions runtime itself goes by (azure-functions-host, EnvironmentExtensions).
 */
function loginProblems(given: Environment): string[] {
  const login = sqlLogin.filter((name) => given[name] !== undefined);
  if ((given.WEBSITE_INSTANCE_ID ?? given.CONTAINER_NAME) !== undefined) {
    const trust = given.SQL_TRUST_SERVER_CERTIFICATE === 'true' ? ['SQL_TRUST_SERVER_CERTIFICATE'] : [];
    return [...login, ...trust].map(
      (name) =>
        `${name}: refused in Azure, where the managed identity signs in over a trusted connection; remove it`,
    );
  }
  if (login.length !== 1) return [];
  const absent = sqlLogin.filter((name) => given[name] === undefined);
  return absent.map(
    (name) => `${name}: missing: expected with ${login.join()}, for a SQL login; or remove both`,
  );
}

/**
 * Reads the settings of the database alone, for tools that need no more.
 * @throws SettingsError naming every missing or malformed setting
 */
export function readDatabaseSettings(environment: Environment): DatabaseSettings {
  return toDatabaseSettings(validate(databaseSchema, environment));
}

function toDatabaseSettings(data: z.output<typeof databaseSchema>): DatabaseSettings {
  return {
    database: {
      server: data.SQL_SERVER,
      port: data.SQL_PORT,
      name: data.SQL_DATABASE,
      login:
        data.SQL_USER !== undefined && data.SQL_PASSWORD !== undefined
          ? { kind: 'sql', user: data.SQL_USER, password: data.SQL_PASSWORD }
          : { kind: 'identity' },
      trustServerCertificate: data.SQL_TRUST_SERVER_CERTIFICATE === 'true',
    },
    ...(data.AZURE_CLIENT_ID && { identityClientId: data.AZURE_CLIENT_ID }),
  };
}

/** An empty value counts as absent. */
function validate<T>(theSchema: z.ZodType<T>, environment: Environment): T {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim()));
  const { data, error } = theSchema.safeParse(given);
  const problems = [
    ...(error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`),
    ...loginProblems(given),
  ];
  if (!data || problems.length > 0) throw new SettingsError(problems);
  return data;
}

/**
 * Reads all settings from app settings (environment variables).
 * @throws SettingsError naming every missing or malformed setting
 */
export function readSettings(environment: Environment): Settings {
  const data = validate(schema, environment);
  return {
    ...toDatabaseSettings(data),
    email: {
      endpoint: data.EMAIL_ENDPOINT,
      senderAddress: data.EMAIL_SENDER_ADDRESS,
      ...(data.EMAIL_REPLY_TO && { replyTo: data.EMAIL_REPLY_TO }),
      ...(data.RENEWAL_URL_TEMPLATE && { renewalUrlTemplate: data.RENEWAL_URL_TEMPLATE }),
    },
    leadDays: data.NOTIFICATION_LEAD_DAYS,
    notifyRevoked: data.NOTIFY_REVOKED === 'true',
    revocationCeiling: data.REVOCATION_CEILING,
    schedules: {
      SCHEDULE_REVOKE_DATABRICKS: data.SCHEDULE_REVOKE_DATABRICKS,
      SCHEDULE_REVOKE_PALANTIR: data.SCHEDULE_REVOKE_PALANTIR,
      SCHEDULE_NOTIFY_DATABRICKS: data.SCHEDULE_NOTIFY_DATABRICKS,
      SCHEDULE_NOTIFY_PALANTIR: data.SCHEDULE_NOTIFY_PALANTIR,
    },
    ...(data.APPLICATIONINSIGHTS_CONNECTION_STRING && {
      telemetryConnectionString: data.APPLICATIONINSIGHTS_CONNECTION_STRING,
    }),
  };
}
