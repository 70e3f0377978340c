import type { Environment } from './settings';

/** The app as App Service describes it. Absent on a workstation. */
export interface AppServiceSettings {
  /** The function app's name. */
  readonly siteName?: string;
  /** App Service signs callers in, and removes x-ms-client-principal headers that they send themselves. */
  readonly authenticationOn: boolean;
  /** Functions that are switched off; their timers do not fire. */
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
 * Whether HTTP functions require a sign-in instead of a function key. A malformed setting means the key: registering must
 * neither fail nor open anything.
 */
export function signInRequired(environment: Environment = process.env): boolean {
  return environment.HTTP_AUTHORIZATION?.trim() === 'signIn';
}

/** As the Functions host reads a switch. */
function isOn(value: string | undefined): boolean {
  return value === '1' || value?.toLowerCase() === 'true';
}
