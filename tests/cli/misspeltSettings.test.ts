import { readFileSync } from 'node:fs';
import { findMisspelt } from '../../cli/misspeltSettings';

test.each([
  ['REVOCATION_CEILLING', 'REVOCATION_CEILING'],
  ['REVOCATIONCEILING', 'REVOCATION_CEILING'],
  ['SQL_SEVRER', 'SQL_SERVER'],
  ['SQL_PORTS', 'SQL_PORT'],
  ['sql_database', 'SQL_DATABASE'],
  ['EMAIL-REPLY-TO', 'EMAIL_REPLY_TO'],
  ['SCHEDULE_REVOKE_DATABRICK', 'SCHEDULE_REVOKE_DATABRICKS'],
])('%s is taken for a misspelt %s', (given, meant) => {
  expect(findMisspelt({ [given]: 'x' })).toEqual([{ given, meant }]);
});

test('neither the settings themselves nor variables of others are misspelt', () => {
  const { Values } = JSON.parse(readFileSync('local.settings.json.example', 'utf8')) as {
    Values: Record<string, string>;
  };
  const others = [
    ...['AZURE_TENANT_ID', 'AZURE_CLIENT_SECRET', 'SQL_HOST', 'TEST_SQL_SERVER', 'EMAIL', 'PATH', 'TZ'],
    ...['WEBSITE_SITE_NAME', 'IDENTITY_ENDPOINT', 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING', ''],
  ];
  const environment = { ...Values, ...Object.fromEntries(others.map((name) => [name, 'x'])) };
  expect(findMisspelt(environment)).toEqual([]);
});
