import { settingNames } from '../src/config/settings';

/** Variables of @azure/identity, telemetry and the Functions host. */
const prefixes = /^(APPLICATIONINSIGHTS|AZURE|CONTAINER|EMAIL|IDENTITY|MSI|OTEL|SQL|WEBSITE)_/;

/**
 * Removes the app's settings from the environment of this process and its children. What runs on stand-ins calls it first:
 * settings exported for another command must never direct it to a real database.
 * @param keepSignIn keeps AZURE_*, with which a developer may sign in to a real server
 */
export function removeAppSettings({ keepSignIn = false } = {}): void {
  const appSettings = new Set<string>(settingNames);
  for (const name of Object.keys(process.env)) {
    if (!(appSettings.has(name) || prefixes.test(name)) || (keepSignIn && name.startsWith('AZURE_')))
      continue;
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the only way to unset an environment variable
    delete process.env[name];
  }
}
