import type { TokenCredential } from '@azure/identity';
import type { Environment } from '../src/config/settings';

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
