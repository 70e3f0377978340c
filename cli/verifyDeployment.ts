/**
 * Synchronises the triggers of a function app that was just deployed, waits until its timers are listed and its API
 * answers, and checks that it refuses a forged sign-in.
 *
 *     npm run deploy:verify -- --function-app <resource id of the function app>
 *
 * The signed-in identity needs the role Website Contributor on the app. Exit code 1 if the app is not ready in time.
 */
import { managementToken } from './credential';
import { verifyDeployedApp } from './deployedApp';
import { parseArguments, readEnvironment, runCommand } from './environment';
import { DeployedAppError } from './resourceManager';

const usage = `Usage: npm run deploy:verify -- --function-app <resource id of the function app>

Waits until the timers and HTTP functions of an app that was just deployed are listed, and its API answers. The signed-in
identity needs the role Website Contributor on the app.

Exit code 0: it works; 1: it is not ready in time.`;

runCommand(usage, async () => {
  const { values } = parseArguments({ options: { 'function-app': { type: 'string' } } }, usage);
  const { 'function-app': appId } = values;
  if (appId === undefined) throw new DeployedAppError(usage);
  const statusPage = await verifyDeployedApp({
    appId,
    token: await managementToken(readEnvironment('this command asks only Azure')),
    log: (line) => console.log(line),
  });
  console.log(`Status page: ${statusPage}`);
  return true;
});
