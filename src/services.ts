import type { TokenCredential } from '@azure/identity';
import { systemClock, type Clock } from './clock';
import { readSettings, type Environment, type Settings } from './config/settings';
import { Database, type RetryOptions } from './database/database';
import { EmailClient } from './email/emailClient';
import { startTelemetry, type Telemetry } from './telemetry/telemetry';

/** What runs use. Reading a service whose settings are wrong throws a SettingsError. */
export interface Services {
  readonly settings: Settings;
  readonly database: Database;
  readonly emailClient: EmailClient;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
}

/** Differences of a command's services from the deployed app's. */
interface ServiceOptions extends RetryOptions {
  readonly credentialFor?: typeof createCredential;
}

/**
 * Creates the services that runs use from the app settings. Loads the settings' schema, the identity and telemetry; SQL
 * and email load at their first use.
 * @param credentialFor chooses the identity: that of the deployed app, unless a command has its own
 */
export async function createServices(
  environment: Environment,
  log: (message: string) => void,
  { credentialFor = createCredential, ...retryOptions }: ServiceOptions = {},
): Promise<Services> {
  const settings = readSettings(environment);
  const credential = await credentialFor(environment, settings.identityClientId);
  const telemetry = await startTelemetry(
    settings.telemetryConnectionString,
    settings.telemetryNeedsToken ? credential : undefined,
    log,
  );
  let database: Database | undefined;
  let emailClient: EmailClient | undefined;
  return {
    settings,
    get database() {
      // Shared: it limits the sessions of the process.
      return (database ??= new Database(settings.database, credential, undefined, retryOptions));
    },
    get emailClient() {
      // Shared by all runs: it knows how long the service has asked to wait.
      return (emailClient ??= new EmailClient(settings.email, credential));
    },
    telemetry,
    clock: systemClock,
  };
}

/**
 * The identity with which the app signs in to SQL, email and Application Insights: the managed identity where
 * IDENTITY_ENDPOINT is set, as in Azure; on a workstation the developer's Azure sign-in. Commands have cli/credential.ts.
 * @param clientId of a user-assigned managed identity
 */
export async function createCredential(
  environment: Environment,
  clientId: string | undefined,
): Promise<TokenCredential> {
  const { DefaultAzureCredential, ManagedIdentityCredential } = await import('@azure/identity');
  return environment.IDENTITY_ENDPOINT === undefined
    ? new DefaultAzureCredential(clientId === undefined ? {} : { managedIdentityClientId: clientId })
    : new ManagedIdentityCredential(clientId === undefined ? {} : { clientId });
}
