import type { TokenCredential } from '@azure/identity';
import type { Environment } from '../src/config/settings';
import { DeployedAppError } from './resourceManager';

/**
 * The identity of a command: the one that AZURE_TOKEN_CREDENTIALS names; else the developer's Azure sign-in, and only then
 * an identity of the machine, such as an agent's managed identity.
 * @param clientId of a user-assigned managed identity
 */
export async function createCommandCredential(
  environment: Environment,
  clientId: string | undefined,
): Promise<TokenCredential> {
  const {
    AzureCliCredential,
    AzureDeveloperCliCredential,
    AzurePowerShellCredential,
    ChainedTokenCredential,
    DefaultAzureCredential,
  } = await import('@azure/identity');
  const any = new DefaultAzureCredential(clientId === undefined ? {} : { managedIdentityClientId: clientId });
  if (environment.AZURE_TOKEN_CREDENTIALS) return any;
  return new ChainedTokenCredential(
    new AzureCliCredential(),
    new AzureDeveloperCliCredential(),
    new AzurePowerShellCredential(),
    any,
  );
}

/**
 * A bearer token for Azure Resource Manager.
 * @throws DeployedAppError if nobody is signed in
 */
export async function managementToken(environment: Environment): Promise<string> {
  try {
    const credential = await createCommandCredential(environment, undefined);
    const token = await credential.getToken('https://management.azure.com/.default');
    if (token) return token.token;
    throw new Error('none was issued');
  } catch (cause) {
    throw new DeployedAppError(
      `Could not get a token; sign in with az login or azd auth login: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}
