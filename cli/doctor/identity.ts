import type { TokenCredential } from '@azure/identity';
import type { Environment, Settings } from '../../src/config/settings';
import { formatUtc } from '../../src/format';
import { failed, ok, type Finding } from './finding';

/** The scopes that tedious and @azure/communication-email ask for. */
export const databaseScope = 'https://database.windows.net/.default';
export const emailScope = 'https://communication.azure.com//.default';

const tokenTimeoutMs = 60_000;

/** Whether AZURE_TOKEN_CREDENTIALS names the managed identity: commands prefer the developer's sign-in. */
export const usesManagedIdentity = ({ AZURE_TOKEN_CREDENTIALS: named }: Environment): boolean =>
  named?.trim().toLowerCase() === 'managedidentitycredential';

export function describeIdentity(
  environment: Environment,
  { database: { login }, identityClientId }: Settings,
): Finding {
  const identity = !usesManagedIdentity(environment)
    ? "the developer's Azure sign-in, whose permissions are not those of the function app"
    : identityClientId === undefined
      ? 'managed identity, system-assigned'
      : `managed identity with the client id ${identityClientId}`;
  return ok(
    'identity',
    login.kind === 'sql' ? `SQL login ${login.user} for the database; for email, ${identity}` : identity,
  );
}

/** Whether the identity gets a token for a service. */
export async function checkToken(
  credential: TokenCredential,
  scope: string,
  managed: boolean,
): Promise<Finding> {
  const subject = `token for ${new URL(scope).origin}`;
  const advice = managed
    ? 'assign the identity to the function app (az functionapp identity assign), and compare AZURE_CLIENT_ID with its client id'
    : 'sign in with az login';
  try {
    const token = await credential.getToken(scope, { abortSignal: AbortSignal.timeout(tokenTimeoutMs) });
    if (!token) return failed(subject, 'could not get one', advice);
    return ok(subject, `valid until ${formatUtc(new Date(token.expiresOnTimestamp))}`);
  } catch (error) {
    return failed(subject, `could not get one: ${shortReason(error)}`, advice);
  }
}

/** The first line of the error of @azure/identity and, from its chain of sign-ins, the line that az login corrects. */
function shortReason(error: unknown): string {
  const [first = '', ...others] = (error as Error).message.split('\n');
  return [first, ...others.filter((line) => line.includes('az login'))].join(' ');
}
