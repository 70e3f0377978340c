import { createCommandCredential } from './credential';
import { parseArguments, readEnvironment, runCommand } from './environment';
import { DeployedAppError, requireAppId, type AppInAzure } from './resourceManager';

/** Runs a command on the function app that --function-app names, with the developer's or the pipeline's sign-in. */
export function runOnFunctionApp(usage: string, command: (app: AppInAzure) => Promise<void>): void {
  runCommand(usage, async () => {
    const { values } = parseArguments({ options: { 'function-app': { type: 'string' } } }, usage);
    const { 'function-app': appId } = values;
    if (appId === undefined) throw new Error(`Expected --function-app.\n${usage}`);
    requireAppId(appId);
    await command({ appId, token: await managementToken(), log: (line) => console.log(line) });
    return true;
  });
}

/**
 * A bearer token for Azure Resource Manager.
 * @throws DeployedAppError if nobody is signed in
 */
async function managementToken(): Promise<string> {
  const environment = readEnvironment('this command asks only Azure');
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
