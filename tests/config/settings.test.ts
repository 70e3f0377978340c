import { readFileSync } from 'node:fs';
import { defaultSchedules } from '../../src/config/schedules';
import {
  readDatabaseSettings,
  readSettings,
  settingNames,
  settingsInForce,
  SettingsError,
  type Environment,
} from '../../src/config/settings';

const minimal = {
  SQL_SERVER: 'my-server.database.windows.net',
  SQL_DATABASE: 'access',
  EMAIL_ENDPOINT: 'https://my-email.communication.azure.com',
  EMAIL_SENDER_ADDRESS: 'access@example.com',
};

/** What is wrong, by setting. */
function problems(environment: Environment): Record<string, string> {
  return Object.fromEntries(
    readSettings(environment).problems.map(({ setting, message }) => [setting, message]),
  );
}

test('the address of the operating guide is an https address, to which a section can be added', () => {
  const DOCUMENTATION_URL = 'https://example.com/operating.md';
  expect(readSettings({ ...minimal, DOCUMENTATION_URL }).documentationUrl).toBe(DOCUMENTATION_URL);
  for (const wrong of ['http://example.com', 'docs/operating.md', `${DOCUMENTATION_URL}#top`]) {
    const settings = readSettings({ ...minimal, DOCUMENTATION_URL: wrong });
    expect(settings.problems).toMatchObject([{ setting: 'DOCUMENTATION_URL', group: 'page' }]);
    expect(settings.documentationUrl).toBeUndefined();
  }
});

test('four settings suffice; the others have the documented defaults', () => {
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

test.each(['Authorization=AAD', 'ClientId=7c9e6679-7425-40de-944b-e07fc1f90ae7;Authorization=AAD'])(
  'the authentication string %s makes telemetry sign in',
  (text) => {
    const settings = readSettings({ ...minimal, APPLICATIONINSIGHTS_AUTHENTICATION_STRING: text });
    expect(settings.telemetryNeedsToken).toBe(true);
  },
);

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

test('every missing and malformed setting is named, with what it expects and an example', () => {
  const found = problems(wrong);
  expect(Object.keys(found).sort()).toEqual([
    'APPLICATIONINSIGHTS_AUTHENTICATION_STRING',
    'AZURE_CLIENT_ID',
    'EMAIL_ENDPOINT',
    'EMAIL_SENDER_ADDRESS',
    'NOTIFICATION_LEAD_DAYS',
    'RENEWAL_URL_TEMPLATE',
    'REVOCATION_CEILING',
    'SCHEDULE_REVOKE_PALANTIR',
    'SQL_DATABASE',
    'SQL_PASSWORD',
    'SQL_PORT',
    'SQL_SERVER',
  ]);
  expect(found.SQL_SERVER).toMatch(/^missing: expected .* for example /);
  for (const [name, problem] of Object.entries(found))
    expect([name, problem]).toEqual([name, expect.stringMatching(/expected/)]);
});

describe('A wrong setting stops only what needs it', () => {
  test.each([
    ['SQL_PORT', { database: 'stops', email: 'works', leadDays: 'works', revocationCeiling: 'works' }],
    ['AZURE_CLIENT_ID', { database: 'stops', email: 'works', leadDays: 'works', revocationCeiling: 'works' }],
    [
      'EMAIL_SENDER_ADDRESS',
      { database: 'works', email: 'stops', leadDays: 'works', revocationCeiling: 'works' },
    ],
    [
      'RENEWAL_URL_TEMPLATE',
      { database: 'works', email: 'stops', leadDays: 'works', revocationCeiling: 'works' },
    ],
    [
      'NOTIFICATION_LEAD_DAYS',
      { database: 'works', email: 'works', leadDays: 'stops', revocationCeiling: 'works' },
    ],
    [
      'REVOCATION_CEILING',
      { database: 'works', email: 'works', leadDays: 'works', revocationCeiling: 'stops' },
    ],
    [
      'SCHEDULE_REVOKE_PALANTIR',
      { database: 'works', email: 'works', leadDays: 'works', revocationCeiling: 'works' },
    ],
  ] as const)('%s: %p', (name, expected) => {
    const settings = readSettings({ ...minimal, [name]: wrong[name] });
    const tryToRead = (value: keyof typeof expected): string => {
      try {
        expect(settings[value]).toBeDefined();
        return 'works';
      } catch (error) {
        if (!(error instanceof SettingsError)) throw error;
        expect(error.message).toContain(name);
        return 'stops';
      }
    };
    const read = Object.keys(expected).map((value) => [value, tryToRead(value as keyof typeof expected)]);
    expect(Object.fromEntries(read)).toEqual(expected);
  });

  test('the error names all that is wrong, needed or not', () => {
    const settings = readSettings(wrong);
    expect(() => settings.revocationCeiling).toThrow(
      expect.objectContaining({ problems: settings.problems }) as Error,
    );
  });

  test('the settings of the database alone are read without the others, and name only their own problems', () => {
    const { SQL_SERVER, SQL_DATABASE } = minimal;
    const clientId = '7c9e6679-7425-40de-944b-e07fc1f90ae7';
    expect(
      readDatabaseSettings({ SQL_SERVER, SQL_DATABASE, AZURE_CLIENT_ID: clientId, EMAIL_ENDPOINT: 'x' }),
    ).toMatchObject({ database: { server: SQL_SERVER }, identityClientId: clientId });
    const named = (): string[] => {
      try {
        readDatabaseSettings({});
      } catch (error) {
        if (error instanceof SettingsError) return error.problems.map(({ setting }) => setting);
      }
      return [];
    };
    expect(named()).toEqual(['SQL_SERVER', 'SQL_DATABASE']);
  });
});

test.each(['', '0', '7,', '7;1', '-7', '1.5', '400', 'seven'])(
  'lead days that are no list of positive days are refused or, empty, take the default: "%s"',
  (text) => {
    const environment = { ...minimal, NOTIFICATION_LEAD_DAYS: text };
    if (text === '') expect(readSettings(environment).leadDays).toEqual([1, 7, 14]);
    else expect(problems(environment)).toHaveProperty('NOTIFICATION_LEAD_DAYS');
  },
);

test('lead days are sorted, each once', () => {
  expect(readSettings({ ...minimal, NOTIFICATION_LEAD_DAYS: '30, 7,7,1' }).leadDays).toEqual([1, 7, 30]);
});

test.each(['0 0 * *', 'x', '0 0 25 * * *', '@hourly'])(
  'a schedule that the host refuses is refused: "%s"',
  (text) => {
    expect(problems({ ...minimal, SCHEDULE_NOTIFY_DATABRICKS: text }).SCHEDULE_NOTIFY_DATABRICKS).toContain(
      'six fields',
    );
  },
);

test.each([
  ['on a workstation', {}, 'taken'],
  ['on a workstation, in IPv4', { SQL_SERVER: '127.0.0.1' }, 'taken'],
  ['in a container, on its host', { SQL_SERVER: 'host.docker.internal' }, 'taken'],
  ['on a workstation, for a server in Azure', { SQL_SERVER: 'access.database.windows.net' }, 'refused'],
  ['on a workstation, for another machine', { SQL_SERVER: 'localhost.example.com' }, 'refused'],
  ['in a container that has a name for reasons of its own', { CONTAINER_NAME: 'dev' }, 'taken'],
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

test('the settings in force say what was given and what is a default, never a secret or a malformed value', () => {
  const given = {
    ...minimal,
    SQL_SERVER: 'localhost',
    SQL_PASSWORD: 'secret-1',
    SQL_USER: 'sa',
    REVOCATION_CEILING: 'secret-2',
    APPLICATIONINSIGHTS_CONNECTION_STRING: 'InstrumentationKey=secret-3',
  };
  const inForce = settingsInForce(given);
  const valueOf = (name: string) => inForce.find(({ setting }) => setting === name);
  expect(valueOf('SQL_SERVER')).toMatchObject({ value: 'localhost', isDefault: false });
  expect(valueOf('SQL_PORT')).toMatchObject({ value: '1433', isDefault: true });
  expect(valueOf('EMAIL_REPLY_TO')).toMatchObject({ value: undefined, isDefault: false });
  expect(valueOf('SQL_PASSWORD')).toMatchObject({ value: '(set, not shown)', isDefault: false });
  expect(valueOf('REVOCATION_CEILING')).toBeUndefined();
  expect(JSON.stringify(inForce)).not.toContain('secret');
});

test.each(['Europe/Berlin', 'America/Argentina/Buenos_Aires', 'Etc/UTC'])('%s is a time zone', (name) => {
  expect(readSettings({ ...minimal, NOTIFICATION_TIME_ZONE: name }).email.timeZone).toBe(name);
});

test.each(['Berlin', '+02:00', 'Europe/Berlin\n'])('%j is not a time zone', (name) => {
  expect(problems({ ...minimal, NOTIFICATION_TIME_ZONE: name })).toEqual({
    NOTIFICATION_TIME_ZONE: 'expected the IANA name of a time zone, for example Europe/Berlin',
  });
});

test('where access is requested is an https address, with or without the request’s number', () => {
  const address = (REQUEST_URL_TEMPLATE: string) => ({ ...minimal, REQUEST_URL_TEMPLATE });
  for (const url of ['https://portal.example.com/new', 'https://portal.example.com/new?like={requestNumber}'])
    expect(readSettings(address(url)).email.requestUrlTemplate).toBe(url);
  expect(problems(address('http://portal.example.com/new'))).toEqual({
    REQUEST_URL_TEMPLATE: expect.stringContaining('expected an https address') as string,
  });
});

test.each([
  [{}, { timeZone: 'UTC' }],
  [{ TZ: 'Etc/UTC' }, { timeZone: 'UTC' }],
  [{ WEBSITE_TIME_ZONE: ' Europe/Berlin ' }, { timeZone: 'Europe/Berlin', setting: 'WEBSITE_TIME_ZONE' }],
  [
    { WEBSITE_TIME_ZONE: 'Europe/Berlin', TZ: 'Asia/Tokyo' },
    { timeZone: 'Asia/Tokyo', setting: 'TZ' },
  ],
])('with %j the host reads schedules in the zone %j', (given, zone) => {
  const settings = readSettings({ ...minimal, ...given });
  expect(settings.scheduleZone).toEqual(zone);
  expect(settings.problems).toEqual([]);
});

test('a zone of the schedules that is no IANA name is a problem: their times are not known', () => {
  expect(problems({ ...minimal, WEBSITE_TIME_ZONE: 'W. Europe Standard Time' })).toEqual({
    WEBSITE_TIME_ZONE: expect.stringMatching(
      /^"W\. Europe Standard Time" is not the IANA name of a time zone, .* for example Europe\/Berlin$/,
    ) as string,
  });
});
test.each([
  ['EMAIL_ENDPOINT', 'https://my-email.communication.azure.com/;accesskey=c2VjcmV0'],
  ['EMAIL_ENDPOINT', 'https://my-email.communication.azure.com?key=secret'],
  ['EMAIL_ENDPOINT', 'https://my-email.communication.azure.com/#secret'],
  ['EMAIL_ENDPOINT', 'https://me:secret@my-email.communication.azure.com'],
  ['EMAIL_ENDPOINT', 'https://my-email.communication\n.azure.com'],
  ['EMAIL_ENDPOINT', 'endpoint=https://my-email.communication.azure.com/;accesskey=secret'],
  ['RENEWAL_URL_TEMPLATE', 'https://portal.example.com/\n{requestNumber}'],
  ['RENEWAL_URL_TEMPLATE', 'https://me:secret@portal.example.com/{requestNumber}'],
  ['RENEWAL_URL_TEMPLATE', 'https://{requestNumber}@portal.example.com/{requestNumber}'],
  ['RENEWAL_URL_TEMPLATE', 'https://{requestNumber}/renew'],
  ['RENEWAL_URL_TEMPLATE', 'https://portal.example.com{requestNumber}/renew'],
  ['RENEWAL_URL_TEMPLATE', 'https://portal.example.com:{requestNumber}/renew'],
  ['RENEWAL_URL_TEMPLATE', 'http://portal.example.com/{requestNumber}'],
  ['SQL_SERVER', 'me@my-server.database.windows.net'],
  ['SQL_SERVER', 'my-server.database.windows.net/access'],
  ['SQL_SERVER', 'my-server.database.windows.net:1433'],
  ['SQL_SERVER', 'my-server?x'],
])('%s is an address: %j is refused, and not shown', (setting, text) => {
  const given = { ...minimal, [setting]: text };
  expect(problems(given)).toEqual({ [setting]: expect.stringMatching(/^expected /) as string });
  expect(JSON.stringify([problems(given), settingsInForce(given)])).not.toContain('secret');
});

test.each([
  'https://portal.example.com/requests/{requestNumber}/renew',
  'https://portal.example.com?number={requestNumber}',
  'https://Portal.example.com:8443/anträge/#/{requestNumber}',
])('%s is a template of links', (text) => {
  expect(readSettings({ ...minimal, RENEWAL_URL_TEMPLATE: text }).email.renewalUrlTemplate).toBe(text);
});

test.each(['https://127.0.0.1:8443/', 'https://My-Email.communication.azure.com'])(
  'the endpoint %s is taken as its origin',
  (text) => {
    const { endpoint } = readSettings({ ...minimal, EMAIL_ENDPOINT: text }).email;
    expect(endpoint).toBe(text.toLowerCase().replace(/\/$/, ''));
  },
);

test.each(['localhost', '127.0.0.1', 'sql_server', 'My-Server.database.windows.net'])(
  '%s is the name of a server',
  (name) => expect(readSettings({ ...minimal, SQL_SERVER: name }).database.server).toBe(name),
);

test('what the footer of a mail says is one line of text', () => {
  const texts = { CONTACT_TEXT: 'Ask in #data-access.', ORGANISATION_NAME: 'O’Neil & Söhne' };
  expect(readSettings({ ...minimal, ...texts }).email).toMatchObject({
    contactText: 'Ask in #data-access.',
    organisationName: 'O’Neil & Söhne',
  });
  // "Data of the national library" in Persian, with the invisible letter that keeps its words apart.
  const persian = { ORGANISATION_NAME: 'داده\u200Cهای کتابخانهٔ ملی 👩\u200D💻 ' };
  expect(readSettings({ ...minimal, ...persian }).email.organisationName).toBe(
    persian.ORGANISATION_NAME.trim(),
  );
  expect(Object.keys(problems({ ...minimal, ORGANISATION_NAME: 'Contoso\u202E' }))).toEqual([
    'ORGANISATION_NAME',
  ]);
  const broken = { CONTACT_TEXT: 'Ask\nus', ORGANISATION_NAME: 'x'.repeat(101) };
  expect(Object.keys(problems({ ...minimal, ...broken }))).toEqual(['CONTACT_TEXT', 'ORGANISATION_NAME']);
});

describe('The documents', () => {
  const { Values } = JSON.parse(readFileSync('local.settings.json.example', 'utf8')) as {
    Values: Record<string, string>;
  };

  test('local.settings.json.example lists every setting and is valid but for what a site fills in', () => {
    expect(readSettings(Values).problems).toEqual([]);
    expect(readSettings(Values).schedules).toEqual(defaultSchedules);
    expect(settingNames.length).toBeGreaterThan(15);
    expect(settingNames.filter((name) => !(name in Values))).toEqual([]);
  });

  test('the README describes every setting', () => {
    const readme = readFileSync('README.md', 'utf8');
    const section = /^## Settings$.*?(?=^## )/ms.exec(readme)?.[0] ?? '';
    expect(settingNames.filter((name) => !section.includes(`\`${name}\``))).toEqual([]);
  });
});

test('what App Service says of itself is read: name, authentication, and the functions that are switched off', () => {
  const { appService } = readSettings({
    ...minimal,
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
