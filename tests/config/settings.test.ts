import { readFileSync } from 'node:fs';
import { defaultSchedules } from '../../src/config/schedules';
import { readSettings, SettingsError } from '../../src/config/settings';

const minimal = {
  SQL_SERVER: 'my-server.database.windows.net',
  SQL_DATABASE: 'access',
  EMAIL_ENDPOINT: 'https://my-email.communication.azure.com',
  EMAIL_SENDER_ADDRESS: 'access@example.com',
};

/** The problems of settings that are refused, by the setting they name. */
function problems(environment: Record<string, string | undefined>): Record<string, string> {
  try {
    readSettings(environment);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return Object.fromEntries(
      error.problems.map((problem): [string, string] => {
        const end = problem.indexOf(': ');
        return [problem.slice(0, end), problem.slice(end + 2)];
      }),
    );
  }
  throw new Error('The settings were taken');
}

test('four settings suffice; the others have the documented defaults', () => {
  expect(readSettings(minimal)).toEqual({
    database: {
      server: 'my-server.database.windows.net',
      port: 1433,
      name: 'access',
      login: { kind: 'identity' },
      trustServerCertificate: false,
    },
    email: { endpoint: 'https://my-email.communication.azure.com', senderAddress: 'access@example.com' },
    leadDays: [1, 7, 14],
    revocationCeiling: 1000,
    schedules: defaultSchedules,
  });
});

test('one error names every missing and malformed setting, what it expects and an example', () => {
  const found = problems({
    SQL_PORT: '70000',
    EMAIL_ENDPOINT: 'http://plain.example.com',
    EMAIL_SENDER_ADDRESS: 'nobody',
    NOTIFICATION_LEAD_DAYS: '14,soon',
    REVOCATION_CEILING: '-1',
    SCHEDULE_REVOKE_PALANTIR: 'hourly',
    RENEWAL_URL_TEMPLATE: 'https://portal.example.com/renew',
    AZURE_CLIENT_ID: 'me',
    SQL_USER: 'sa',
  });
  expect(Object.keys(found).sort()).toEqual([
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

test.each(['0 0 * * *', 'x', '0 0 25 * * *', '@hourly'])(
  'a schedule that is no NCRONTAB is refused: "%s"',
  (text) => {
    expect(problems({ ...minimal, SCHEDULE_NOTIFY_DATABRICKS: text }).SCHEDULE_NOTIFY_DATABRICKS).toContain(
      'six fields',
    );
  },
);

test('a SQL login and an untrusted certificate are taken locally and refused in Azure', () => {
  const login = { SQL_USER: 'sa', SQL_PASSWORD: 'secret', SQL_TRUST_SERVER_CERTIFICATE: 'true' };
  expect(readSettings({ ...minimal, ...login }).database).toMatchObject({
    login: { kind: 'sql', user: 'sa', password: 'secret' },
    trustServerCertificate: true,
  });
  for (const azure of [{ WEBSITE_INSTANCE_ID: 'a1' }, { CONTAINER_NAME: 'b2' }])
    expect(Object.keys(problems({ ...minimal, ...login, ...azure }))).toEqual(Object.keys(login));
});

test('local.settings.json.example lists every setting and is valid but for what a site fills in', () => {
  const { Values } = JSON.parse(readFileSync('local.settings.json.example', 'utf8')) as {
    Values: Record<string, string>;
  };
  expect(readSettings(Values).schedules).toEqual(defaultSchedules);
  const source = readFileSync('src/config/settings.ts', 'utf8');
  const names = [
    ...new Set(
      source.match(
        /\b(?:SQL|EMAIL|AZURE|RENEWAL|NOTIFICATION|REVOCATION|SCHEDULE|APPLICATIONINSIGHTS)_[A-Z_]+\b/g,
      ),
    ),
  ];
  expect(names.length).toBeGreaterThan(15);
  expect(names.filter((name) => !(name in Values))).toEqual([]);
});
