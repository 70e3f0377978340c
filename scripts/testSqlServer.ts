/**
 * Runs tests/sql against a real SQL Server.
 *
 *     npm run test:sqlserver [-- <arguments of jest>]
 *
 * The server is the one that TEST_SQL_SERVER, TEST_SQL_PORT, TEST_SQL_DATABASE, TEST_SQL_USER, TEST_SQL_PASSWORD and
 * TEST_SQL_TRUST_SERVER_CERTIFICATE name, an Azure SQL one without a user by the developer's Azure sign-in; without
 * TEST_SQL_SERVER a container. Its database has to be empty.
 */
import { runCommand } from '../cli/environment';
import { removeAppSettings } from '../local/appSettings';
import { claimRealServer } from '../local/realServer';
import { runJest } from './jest';

const usage = `Usage: npm run test:sqlserver [-- <arguments of jest>]

Runs tests/sql against the real SQL Server that TEST_SQL_SERVER, TEST_SQL_DATABASE, TEST_SQL_USER and TEST_SQL_PASSWORD
name, or without TEST_SQL_SERVER in a container. The database has to be empty.`;

runCommand(usage, async () => {
  removeAppSettings({ keepSignIn: true });
  const server = await claimRealServer(process.env);
  try {
    return await runJest(
      { realServer: true },
      ['--testMatch', '**/tests/sql/*.test.ts', ...process.argv.slice(2)],
      server.environment,
    );
  } finally {
    await server.release();
  }
});
