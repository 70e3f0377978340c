import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeAppSettings } from '../../local/appSettings';

const { Values: settings } = JSON.parse(
  readFileSync(join(__dirname, '../../local.settings.json.example'), 'utf8'),
) as { Values: Record<string, string> };

// What the Functions host needs of its own; the app does not read it.
const hostsOwn = ['FUNCTIONS_WORKER_RUNTIME', 'AzureWebJobsStorage'];

const names = [
  ...Object.keys(settings).filter((name) => !hostsOwn.includes(name)),
  ...['IDENTITY_ENDPOINT', 'IDENTITY_HEADER', 'AZURE_TENANT_ID', 'CONTAINER_NAME', 'WEBSITE_INSTANCE_ID'],
];

let environment: NodeJS.ProcessEnv;
beforeEach(() => {
  environment = { ...process.env };
  for (const name of names) process.env[name] = 'of an operator';
});
afterEach(() => {
  removeAppSettings();
  Object.assign(process.env, environment);
});

const left = (): string[] => names.filter((name) => name in process.env);

test('removes every setting of the app and of its identity, and nothing else', () => {
  removeAppSettings();
  expect(left()).toEqual([]);
  expect(process.env).toEqual(environment);
});

test('keeps AZURE_* for a developer’s sign-in', () => {
  removeAppSettings({ keepSignIn: true });
  expect(left()).toEqual(names.filter((name) => name.startsWith('AZURE_')));
});
