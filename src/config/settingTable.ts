import * as z from 'zod';
import { singleLine } from '../singleLine';
import { isHost, isLinkTemplate, isRenewalTemplate, parseHttpsAddress } from './addresses';
import { NcrontabError, parseNcrontab } from './ncrontab';
import { defaultSchedules, isTimeZone, type ScheduleSetting } from './schedules';

/** The settings that are needed together. */
export type SettingGroup =
  'database' | 'email' | 'notification' | 'revocation' | 'schedule' | 'http' | 'page' | 'telemetry';

export interface SettingRow {
  readonly group: SettingGroup;
  readonly schema: z.ZodType<unknown, string>;
  /** What is expected, in words; absent: the schema's own message says it. */
  readonly expected?: string;
  readonly example: string;
  readonly required?: true;
  /** The default, as text. */
  readonly default?: string;
  /** Never shown. */
  readonly secret?: true;
  /** What it is for, in Markdown: docs/settings.md is generated from it (`npm run docs`). */
  readonly meaning: string;
  /** What happens where it is not given and has no default, in Markdown. */
  readonly otherwise?: string;
}

const flag = { schema: z.enum(['true', 'false']), expected: 'true or false' };
const emailAddress = { schema: z.email(), expected: 'an email address' };

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

/** One line, trimmed; singleLine says what is refused. */
const lineOfText = (max: number) => ({
  schema: z
    .string()
    .trim()
    .max(max)
    .refine((text) => singleLine(text) === text),
  expected: `one line of at most ${max} characters`,
});

const scheduleText = z.string().superRefine((text, context) => {
  try {
    parseNcrontab(text.trim());
  } catch (error) {
    if (!(error instanceof NcrontabError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
  }
});

const schedule = (setting: ScheduleSetting, job: string) => ({
  group: 'schedule' as const,
  schema: scheduleText,
  example: defaultSchedules[setting],
  default: defaultSchedules[setting],
  meaning: `when \`${job}\` runs`,
});

/** Every setting of the app, with its description. */
export const settingTable = {
  SQL_SERVER: {
    group: 'database',
    schema: z.string().refine(isHost),
    expected: "the server's host name and nothing else",
    example: 'my-server.database.windows.net',
    required: true,
    meaning: 'the server; of a failover group the read-write listener',
  },
  SQL_DATABASE: {
    group: 'database',
    schema: z.string(),
    expected: 'the name of the database',
    example: 'access',
    required: true,
    meaning: 'the database with the request tables',
  },
  SQL_PORT: {
    group: 'database',
    schema: wholeNumber(1, 65_535),
    expected: 'a port from 1 to 65535',
    example: '1433',
    default: '1433',
    meaning: 'the port of the server',
  },
  // Also for email, which nothing sends without the database.
  AZURE_CLIENT_ID: {
    group: 'database',
    schema: z.guid(),
    expected: "the identity's client id",
    example: '7c9e6679-7425-40de-944b-e07fc1f90ae7',
    meaning: 'the user-assigned managed identity that signs in, for email too',
    otherwise: 'the system-assigned identity; on a workstation your Azure sign-in',
  },
  SQL_USER: {
    group: 'database',
    schema: z.string(),
    expected: 'the name of a SQL login',
    example: 'sa',
    meaning: 'a SQL login, for a server on the same machine; refused for any other and in Azure',
    otherwise: 'the identity signs in',
  },
  SQL_PASSWORD: {
    group: 'database',
    schema: z.string(),
    expected: 'the password of SQL_USER',
    example: 'a-long-random-one',
    secret: true,
    meaning: 'its password',
    otherwise: 'the identity signs in',
  },
  SQL_TRUST_SERVER_CERTIFICATE: {
    group: 'database',
    ...flag,
    example: 'false',
    default: 'false',
    meaning:
      '`true` accepts the self-signed certificate of a server on the same machine; refused like a SQL login',
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
    meaning: 'the endpoint of the Azure communication resource',
  },
  EMAIL_SENDER_ADDRESS: {
    group: 'email',
    ...emailAddress,
    example: 'access@example.com',
    required: true,
    meaning: 'the sender: a sender of the domain linked to that resource',
  },
  EMAIL_REPLY_TO: {
    group: 'email',
    ...emailAddress,
    example: 'access-team@example.com',
    meaning: 'where replies go',
    otherwise: 'the sender',
  },
  RENEWAL_URL_TEMPLATE: {
    group: 'email',
    schema: z.string().refine(isRenewalTemplate),
    expected: 'an https address with {requestNumber} in its path or query',
    example: 'https://portal.example.com/requests/{requestNumber}/renew',
    meaning: 'the link that renews a grant',
    otherwise: 'no link',
  },
  REQUEST_URL_TEMPLATE: {
    group: 'email',
    schema: z.string().refine(isLinkTemplate),
    expected: 'an https address, with or without {requestNumber} in it',
    example: 'https://portal.example.com/requests/new?like={requestNumber}',
    meaning: 'where access that has ended is requested again; `{requestNumber}` is the old request',
    otherwise: 'no link',
  },
  NOTIFICATION_TIME_ZONE: {
    group: 'email',
    schema: z.string().refine(isTimeZone),
    expected: 'the IANA name of a time zone',
    example: 'Europe/Berlin',
    default: 'UTC',
    meaning: 'the zone in which mails show ends, besides UTC; reminders begin at 00:00 UTC in any case',
  },
  CONTACT_TEXT: {
    group: 'email',
    ...lineOfText(500),
    example: 'Write to data-access@example.com or ask in #data-access.',
    meaning: 'whom to ask: a sentence in the footer of mails',
    otherwise:
      '`EMAIL_REPLY_TO`; else the sender, or the site of the links where the sender is a `DoNotReply@`',
  },
  ORGANISATION_NAME: {
    group: 'email',
    ...lineOfText(100),
    example: 'Contoso',
    meaning: 'on whose behalf mails are sent, in their head and footer',
    otherwise: 'no name',
  },
  NOTIFICATION_LEAD_DAYS: {
    group: 'notification',
    schema: leadDays,
    expected: 'whole days from 1 to 365 separated by commas',
    example: '14,7,1',
    default: '14,7,1',
    meaning: "how many days before a grant's last day its reminders begin",
  },
  NOTIFY_REVOKED: {
    group: 'notification',
    ...flag,
    example: 'true',
    default: 'false',
    meaning:
      '`true`: people also get a mail about [access that has ended](operating.md#access-that-has-ended)',
  },
  REVOCATION_CEILING: {
    group: 'revocation',
    schema: wholeNumber(0, 999_999_999),
    expected: 'a whole number of grants from 0',
    example: '1000',
    default: '1000',
    meaning: 'the safety stop: a run that finds more grants due than this revokes none',
  },
  SCHEDULE_REVOKE_DATABRICKS: schedule('SCHEDULE_REVOKE_DATABRICKS', 'RevokeExpiredDatabricksRequests'),
  SCHEDULE_REVOKE_PALANTIR: schedule('SCHEDULE_REVOKE_PALANTIR', 'RevokeExpiredPalantirRequests'),
  SCHEDULE_NOTIFY_DATABRICKS: schedule('SCHEDULE_NOTIFY_DATABRICKS', 'ExpiryNotificationDatabricksRequests'),
  SCHEDULE_NOTIFY_PALANTIR: schedule('SCHEDULE_NOTIFY_PALANTIR', 'ExpiryNotificationPalantirRequests'),
  HTTP_AUTHORIZATION: {
    group: 'http',
    schema: z.enum(['key', 'signIn']),
    expected: 'key or signIn',
    example: 'key',
    default: 'key',
    meaning:
      'who may use the status page and the API: with `key`, holders of a function key; with `signIn`, [people who signed in](deploying.md#people-sign-in), for every POST with the role `Operator`',
  },
  DOCUMENTATION_URL: {
    group: 'page',
    schema: z.string().refine((text) => parseHttpsAddress(text)?.hash === ''),
    expected: 'an https address without a #',
    example: 'https://example.com/operating.md',
    meaning:
      'where [operating.md](operating.md) is published: the status page links each state to its section',
    otherwise: 'no links',
  },
  APPLICATIONINSIGHTS_CONNECTION_STRING: {
    group: 'telemetry',
    schema: z.string().regex(/InstrumentationKey=/i),
    expected: 'a connection string',
    example: 'InstrumentationKey=…;IngestionEndpoint=https://…',
    secret: true,
    meaning: 'where telemetry goes; Azure sets it when an Application Insights resource is connected',
    otherwise: 'no telemetry and no alerts',
  },
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: {
    group: 'telemetry',
    schema: z.string().regex(/(^|;)\s*Authorization=AAD\s*(;|$)/i),
    expected: 'Authorization=AAD, after ClientId=…; where the identity is user-assigned',
    example: 'ClientId=7c9e6679-7425-40de-944b-e07fc1f90ae7;Authorization=AAD',
    meaning:
      "sends telemetry with a token of the app's identity, for a resource without local authentication",
    otherwise: 'the connection string suffices',
  },
} satisfies Record<string, SettingRow>;

export type SettingName = keyof typeof settingTable;

/** The settings as they were read: undefined where one is optional and not given. */
export type SettingValues = {
  readonly [Name in SettingName]: (typeof settingTable)[Name] extends { required: true } | { default: string }
    ? z.output<(typeof settingTable)[Name]['schema']>
    : z.output<(typeof settingTable)[Name]['schema']> | undefined;
};

export const settingRows = Object.entries(settingTable) as [SettingName, SettingRow][];

/** The names of all settings. */
export const settingNames: readonly SettingName[] = settingRows.map(([name]) => name);
