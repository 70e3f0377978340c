import { readFileSync } from 'node:fs';
import { defaultSchedules } from '../../src/config/schedules';
import {
  readDatabaseSettings,
  readSettings,
  settingNames,
  settingsInForce,
  SettingsError,
  type Environment,
  type Settings,
} from '../../src/config/settings';

const minimal = {
  SQL_SERVER: 'my-server.database.windows.net',
  SQL_DATABASE: 'access',
  EMAIL_ENDPOINT: 'https://my-email.communication.azure.com',
  EMAIL_SENDER_ADDRESS: 'access@example.com',
};
const clientId = '7c9e6679-7425-40de-944b-e07fc1f90ae7';

const read = (change: Environment): Settings => readSettings({ ...minimal, ...change });

/** The problems, by setting. */
function problems(environment: Environment): Record<string, string> {
  return Object.fromEntries(
    readSettings(environment).problems.map(({ setting, message }) => [setting, message]),
  );
}

test('four settings are required; the others have the documented defaults', () => {
  expect(readSettings(minimal)).toEqual({
    database: {
      server: 'my-server.database.windows.net',
      port: 1433,
      name: 'access',
      login: { kind: 'identity' },
      trustServerCertificate: false,
    },
    email: {
      endpoint: 'https://my-email.communication.azure.com',
      senderAddress: 'access@example.com',
      timeZone: 'UTC',
    },
    leadDays: [1, 7, 14],
    notifyRevoked: false,
    revocationCeiling: 1000,
    scheduleZone: { timeZone: 'UTC' },
    schedules: defaultSchedules,
    telemetryNeedsToken: false,
    schedulesReadAt: expect.any(Date) as Date,
    problems: [],
    appService: { authenticationOn: false, disabledFunctions: new Set() },
  });
});

test('local.settings.json.example holds every setting and is valid', () => {
  const { Values } = JSON.parse(readFileSync('local.settings.json.example', 'utf8')) as {
    Values: Record<string, string>;
  };
  expect(readSettings(Values)).toMatchObject({ problems: [], schedules: defaultSchedules });
  expect(Object.keys(Values)).toEqual(expect.arrayContaining([...settingNames]));
});

describe('valid values', () => {
  const emailValues: readonly [setting: string, key: keyof Settings['email'], texts: readonly string[]][] = [
    [
      'RENEWAL_URL_TEMPLATE',
      'renewalUrlTemplate',
      [
        'https://portal.example.com/requests/{requestNumber}/renew',
        'https://portal.example.com?number={requestNumber}',
        'https://Portal.example.com:8443/anträge/#/{requestNumber}',
      ],
    ],
    [
      'REQUEST_URL_TEMPLATE',
      'requestUrlTemplate',
      ['https://portal.example.com/new', 'https://portal.example.com/new?like={requestNumber}'],
    ],
    ['NOTIFICATION_TIME_ZONE', 'timeZone', ['Europe/Berlin', 'America/Argentina/Buenos_Aires', 'Etc/UTC']],
    ['CONTACT_TEXT', 'contactText', ['Ask in #data-access.']],
    // "Data of the national library" in Persian, with the invisible letter that keeps its words apart.
    ['ORGANISATION_NAME', 'organisationName', ['O’Neil & Söhne', 'داده\u200Cهای کتابخانهٔ ملی 👩\u200D💻']],
  ];
  test.each(emailValues)('of %s', (setting, key, texts) => {
    expect(texts.map((text) => read({ [setting]: text }).email[key])).toEqual(texts);
  });

  test('of SQL_SERVER: names and IPv4 addresses', () => {
    const names = ['localhost', '127.0.0.1', 'sql_server', 'My-Server.database.windows.net'];
    expect(names.map((name) => read({ SQL_SERVER: name }).database.server)).toEqual(names);
  });

  test.each(['https://127.0.0.1:8443/', 'https://My-Email.communication.azure.com'])(
    'of EMAIL_ENDPOINT: %s is read as its origin',
    (text) => {
      expect(read({ EMAIL_ENDPOINT: text }).email.endpoint).toBe(text.toLowerCase().replace(/\/$/, ''));
    },
  );

  test.each(['Authorization=AAD', `ClientId=${clientId};Authorization=AAD`])('of telemetry: %s', (text) => {
    expect(read({ APPLICATIONINSIGHTS_AUTHENTICATION_STRING: text }).telemetryNeedsToken).toBe(true);
  });

  test('lead days are sorted and unique, text is trimmed, and an empty value means the default', () => {
    expect(read({ NOTIFICATION_LEAD_DAYS: '30, 7,7,1' }).leadDays).toEqual([1, 7, 30]);
    expect(read({ NOTIFICATION_LEAD_DAYS: '' }).leadDays).toEqual([1, 7, 14]);
    expect(read({ ORGANISATION_NAME: 'Contoso ' }).email.organisationName).toBe('Contoso');
    const DOCUMENTATION_URL = 'https://example.com/operating.md';
    expect(read({ DOCUMENTATION_URL }).documentationUrl).toBe(DOCUMENTATION_URL);
  });
});

test.each(
  Object.entries({
    EMAIL_ENDPOINT: [
      'https://my-email.communication.azure.com/;accesskey=c2VjcmV0',
      'https://my-email.communication.azure.com?key=secret',
      'https://my-email.communication.azure.com/#secret',
      'https://me:secret@my-email.communication.azure.com',
      'https://my-email.communication\n.azure.com',
      'endpoint=https://my-email.communication.azure.com/;accesskey=secret',
    ],
    RENEWAL_URL_TEMPLATE: [
      'https://portal.example.com/\n{requestNumber}',
      'https://me:secret@portal.example.com/{requestNumber}',
      'https://{requestNumber}@portal.example.com/{requestNumber}',
      'https://{requestNumber}/renew',
      'https://portal.example.com{requestNumber}/renew',
      'https://portal.example.com:{requestNumber}/renew',
      'http://portal.example.com/{requestNumber}',
    ],
    REQUEST_URL_TEMPLATE: ['http://portal.example.com/new'],
    DOCUMENTATION_URL: ['http://example.com', 'docs/operating.md', 'https://example.com/operating.md#top'],
    SQL_SERVER: [
      'me@my-server.database.windows.net',
      'my-server.database.windows.net/access',
      'my-server.database.windows.net:1433',
      'my-server?x',
    ],
    NOTIFICATION_TIME_ZONE: ['Berlin', '+02:00', 'Europe/Berlin\n'],
    NOTIFICATION_LEAD_DAYS: ['0', '7,', '7;1', '-7', '1.5', '400', 'seven'],
    CONTACT_TEXT: ['Ask\nus'],
    ORGANISATION_NAME: ['x'.repeat(101), 'Contoso\u202E'],
    SCHEDULE_NOTIFY_DATABRICKS: ['0 0 * *', 'x', '0 0 25 * * *', '@hourly'],
  }),
)('a malformed %s is refused and not shown: %j', (setting, texts) => {
  for (const text of texts) {
    const given = { ...minimal, [setting]: text };
    const found = problems(given);
    expect([text, found]).toEqual([
      text,
      { [setting]: expect.stringMatching(/expected .*, for example /) as string },
    ]);
    expect(JSON.stringify([found, settingsInForce(given)])).not.toContain('secret');
  }
});

const wrong = {
  SQL_PORT: '70000',
  EMAIL_ENDPOINT: 'http://plain.example.com',
  EMAIL_SENDER_ADDRESS: 'nobody',
  NOTIFICATION_LEAD_DAYS: '14,soon',
  REVOCATION_CEILING: '-1',
  SCHEDULE_REVOKE_PALANTIR: 'hourly',
  RENEWAL_URL_TEMPLATE: 'https://portal.example.com/renew',
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=me',
  AZURE_CLIENT_ID: 'me',
  SQL_USER: 'sa',
};

test('names every missing and malformed setting, with what is expected', () => {
  const missing = ['SQL_SERVER', 'SQL_DATABASE', 'SQL_PASSWORD'];
  const found = problems(wrong);
  const own = Object.keys(wrong).filter((name) => name !== 'SQL_USER');
  expect(Object.keys(found).sort()).toEqual([...own, ...missing].sort());
  for (const problem of Object.values(found)) expect(problem).toContain('expected');
  expect(found.SQL_SERVER).toMatch(/^missing: expected .* for example /);
});

describe('a wrong setting affects only what needs it', () => {
  const parts = ['database', 'email', 'leadDays', 'revocationCeiling'] as const;
  test.each([
    ['SQL_PORT', 'database'],
    ['AZURE_CLIENT_ID', 'database'],
    ['EMAIL_SENDER_ADDRESS', 'email'],
    ['RENEWAL_URL_TEMPLATE', 'email'],
    ['NOTIFICATION_LEAD_DAYS', 'leadDays'],
    ['REVOCATION_CEILING', 'revocationCeiling'],
    ['SCHEDULE_REVOKE_PALANTIR', undefined],
    ['APPLICATIONINSIGHTS_AUTHENTICATION_STRING', undefined],
  ] as const)('%s stops %s', (name, stopped) => {
    const settings = read({ [name]: wrong[name] });
    for (const part of parts.filter((one) => one !== stopped)) expect(settings[part]).toBeDefined();
    if (stopped) expect(() => settings[stopped]).toThrow(name);
  });

  test('the error names all wrong settings, needed or not', () => {
    const settings = readSettings(wrong);
    expect(() => settings.revocationCeiling).toThrow(new SettingsError(settings.problems));
  });

  test('the settings of the database are read without the others', () => {
    const { SQL_SERVER, SQL_DATABASE } = minimal;
    expect(
      readDatabaseSettings({ SQL_SERVER, SQL_DATABASE, AZURE_CLIENT_ID: clientId, EMAIL_ENDPOINT: 'x' }),
    ).toMatchObject({ database: { server: SQL_SERVER }, identityClientId: clientId });
    expect(() => readDatabaseSettings({})).toThrow(
      expect.objectContaining({
        problems: [
          expect.objectContaining({ setting: 'SQL_SERVER' }),
          expect.objectContaining({ setting: 'SQL_DATABASE' }),
        ],
      }) as Error,
    );
  });
});

test.each([
  ['on a workstation', {}, 'taken'],
  ['on a workstation, in IPv4', { SQL_SERVER: '127.0.0.1' }, 'taken'],
  ['in a container, on its host', { SQL_SERVER: 'host.docker.internal' }, 'taken'],
  ['on a workstation, for a server in Azure', { SQL_SERVER: 'access.database.windows.net' }, 'refused'],
  ['on a workstation, for another machine', { SQL_SERVER: 'localhost.example.com' }, 'refused'],
  ['in a container with CONTAINER_NAME', { CONTAINER_NAME: 'dev' }, 'taken'],
  ['on an App Service plan', { WEBSITE_INSTANCE_ID: 'a1' }, 'refused'],
  ['on a consumption plan', { CONTAINER_NAME: 'b2', WEBSITE_SITE_NAME: 'access' }, 'refused'],
  ['on Flex Consumption', { WEBSITE_POD_NAME: 'c3', WEBSITE_SITE_NAME: 'access' }, 'refused'],
])('a SQL login and an untrusted certificate %s: %p %s', (_, environment, expected) => {
  const login = { SQL_USER: 'sa', SQL_PASSWORD: 'secret', SQL_TRUST_SERVER_CERTIFICATE: 'true' };
  const given = { ...minimal, SQL_SERVER: 'localhost', ...login, ...environment };
  expect(Object.keys(problems(given))).toEqual(expected === 'refused' ? Object.keys(login) : []);
  if (expected === 'taken')
    expect(readSettings(given).database).toMatchObject({
      login: { kind: 'sql', user: 'sa', password: 'secret' },
      trustServerCertificate: true,
    });
});

test('the settings in force mark defaults, and show no secret and no malformed value', () => {
  const inForce = settingsInForce({
    ...minimal,
    SQL_SERVER: 'localhost',
    SQL_PASSWORD: 'secret-1',
    SQL_USER: 'sa',
    REVOCATION_CEILING: 'secret-2',
    APPLICATIONINSIGHTS_CONNECTION_STRING: 'InstrumentationKey=secret-3',
  });
  expect(inForce).toEqual(
    expect.arrayContaining([
      { setting: 'SQL_SERVER', value: 'localhost', isDefault: false },
      { setting: 'SQL_PORT', value: '1433', isDefault: true },
      { setting: 'EMAIL_REPLY_TO', value: undefined, isDefault: false },
      { setting: 'SQL_PASSWORD', value: '(set, not shown)', isDefault: false },
    ]),
  );
  expect(inForce.map(({ setting }) => setting)).not.toContain('REVOCATION_CEILING');
  expect(JSON.stringify(inForce)).not.toContain('secret');
});

test.each([
  [{}, { timeZone: 'UTC' }],
  [{ TZ: 'Etc/UTC' }, { timeZone: 'UTC' }],
  [{ WEBSITE_TIME_ZONE: ' Europe/Berlin ' }, { timeZone: 'Europe/Berlin', setting: 'WEBSITE_TIME_ZONE' }],
  [
    { WEBSITE_TIME_ZONE: 'Europe/Berlin', TZ: 'Asia/Tokyo' },
    { timeZone: 'Asia/Tokyo', setting: 'TZ' },
  ],
])('with %j the host reads schedules in the zone %j', (given, scheduleZone) => {
  const { scheduleZone: zone, problems: none } = read(given);
  expect([zone, none]).toEqual([scheduleZone, []]);
});

test('a time zone that is not an IANA name is a problem', () => {
  expect(problems({ ...minimal, WEBSITE_TIME_ZONE: 'W. Europe Standard Time' })).toEqual({
    WEBSITE_TIME_ZONE: expect.stringMatching(
      /^malformed: "W\. Europe Standard Time" is not the IANA name of a time zone, .* for example Europe\/Berlin$/,
    ) as string,
  });
});

test('reads name, authentication and disabled functions from the settings of App Service', () => {
  const { appService } = read({
    WEBSITE_SITE_NAME: 'func-access',
    WEBSITE_AUTH_ENABLED: 'True',
    'AzureWebJobs.RevokeExpiredDatabricksRequests.Disabled': 'true',
    AzureWebJobs_RevokeExpiredPalantirRequests_Disabled: '1',
    'AzureWebJobs.ExpiryNotificationPalantirRequests.Disabled': 'false',
  });
  expect(appService).toEqual({
    siteName: 'func-access',
    authenticationOn: true,
    disabledFunctions: new Set(['RevokeExpiredDatabricksRequests', 'RevokeExpiredPalantirRequests']),
  });
});
