import { verifyDeployedApp } from './deployedApp';
import { runOnFunctionApp } from './functionAppCommand';

const usage = `Usage: npm run deploy:verify -- --function-app <resource id of the function app>

Synchronises the triggers of an app that was just deployed, waits until its timers and HTTP functions are listed and its
API answers, and checks that it refuses a forged sign-in. The signed-in identity needs the role Website Contributor on the
app.

Exit code 0: it works; 1: it is not ready in time.`;

runOnFunctionApp(usage, async (app) => {
  app.log(`Status page: ${await verifyDeployedApp(app)}`);
});
