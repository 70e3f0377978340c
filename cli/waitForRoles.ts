/**
 * Waits until the roles that a provision has just assigned to a function app's identity are in force, before the first
 * deployment.
 *
 *     npm run deploy:wait -- --function-app <resource id of the function app>
 *
 * The signed-in identity needs Reader on the app's resource group.
 */
import { managementToken } from './credential';
import { parseArguments, readEnvironment, runCommand } from './environment';
import { DeployedAppError } from './resourceManager';
import { waitForRoleAssignments } from './roleAssignments';

const usage = `Usage: npm run deploy:wait -- --function-app <resource id of the function app>

Waits until the roles that were just assigned to the app's identity are in force. The signed-in identity needs Reader on
the app's resource group.`;

runCommand(usage, async () => {
  const { values } = parseArguments({ options: { 'function-app': { type: 'string' } } }, usage);
  const { 'function-app': appId } = values;
  if (appId === undefined) throw new DeployedAppError(usage);
  await waitForRoleAssignments({
    appId,
    token: await managementToken(readEnvironment('this command asks only Azure')),
    log: (line) => console.log(line),
  });
  return true;
});
