import { runOnFunctionApp } from './functionAppCommand';
import { waitForRoleAssignments } from './roleAssignments';

const usage = `Usage: npm run deploy:wait -- --function-app <resource id of the function app>

Waits until the roles that were just assigned to the app's identity are in force. The signed-in identity needs Reader on
the app's resource group.`;

runOnFunctionApp(usage, waitForRoleAssignments);
