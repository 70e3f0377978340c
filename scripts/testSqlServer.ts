/**
 * Runs tests/sql against a real SQL Server.
 *
 *     npm run test:sqlserver [-- <arguments of jest>]
 *
 * The server is the one that TEST_SQL_SERVER, TEST_SQL_PORT, TEST_SQL_DATABASE, TEST_SQL_USER, TEST_SQL_PASSWORD and
 * TEST_SQL_TRUST_SERVER_CERTIFICATE name, an Azure SQL one without a user by the developer's Azure sign-in; without
 * TEST_SQL_SERVER a container. Its database has to be empty.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { runCommand } from '../cli/environment';
import { removeAppSettings } from '../local/appSettings';
import { claimRealServer } from '../local/realServer';

runCommand(async () => {
  removeAppSettings({ keepSignIn: true });
  const server = await claimRealServer(process.env);
  // Ctrl-C goes to jest too; what was started here is released after it.
  process.on('SIGINT', () => undefined);
  try {
    const jest = spawn(
      process.execPath,
      [
        require.resolve('jest/bin/jest'),
        ...['--runInBand', '--globals', '{"realServer":true}', '--testMatch', '**/tests/sql/*.test.ts'],
        ...process.argv.slice(2),
      ],
      { stdio: 'inherit', env: { ...process.env, ...server.environment } },
    );
    const [code] = (await once(jest, 'exit')) as [number | null];
    return code === 0;
  } finally {
    await server.release();
  }
});
