import type { Environment } from './settings';

/** What App Service tells an app about itself. Nothing of it is required: on a workstation it is absent. */
export interface AppServiceSettings {
  /** The function app's name. */
  readonly siteName?: string;
  /** App Service authentication is on: App Service signs callers in, and takes their own x-ms-client-principal headers away. */
  readonly authenticationOn: boolean;
  /** Functions that are switched off; a timer among them fires no more. */
  readonly disabledFunctions: ReadonlySet<string>;
}

/** "How to disable functions in Azure Functions"; Linux has underscores for the dots. */
const disabledSetting = /^AzureWebJobs[._](.+)[._]Disabled$/i;

/**
 * Reads App Service's own app settings ("Environment variables and app settings in Azure App Service").
 * WEBSITE_AUTH_ENABLED is read-only there: App Service sets it.
 */
export function readAppServiceSettings(environment: Environment): AppServiceSettings {
  const siteName = environment.WEBSITE_SITE_NAME?.trim();
  return {
    ...(siteName && { siteName }),
    authenticationOn: isOn(environment.WEBSITE_AUTH_ENABLED),
    disabledFunctions: new Set(
      Object.entries(environment).flatMap(([name, value]) => {
        const functionName = disabledSetting.exec(name)?.[1];
        return functionName !== undefined && isOn(value) ? [functionName] : [];
      }),
    ),
  };
}

/**
 * Whether HTTP functions are for those who are signed in, instead of those who have a key. A malformed setting means the
 * key: registering must not fail, and must not open anything.
 */
export function signInRequired(environment: Environment = process.env): boolean {
  return environment.HTTP_AUTHORIZATION?.trim() === 'signIn';
}

/** As the Functions host reads a switch. */
function isOn(value: string | undefined): boolean {
  return value === '1' || value?.toLowerCase() === 'true';
}
