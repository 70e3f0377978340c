import { runCommand } from '../cli/environment';
import { runJestOnServer } from './jest';

const usage = `Usage: npm run test:sqlserver [-- <arguments of jest>]

Runs tests/sql against the real SQL Server that TEST_SQL_SERVER, TEST_SQL_PORT, TEST_SQL_DATABASE, TEST_SQL_USER,
TEST_SQL_PASSWORD and TEST_SQL_TRUST_SERVER_CERTIFICATE name, an Azure SQL one without a user by your Azure sign-in; without
TEST_SQL_SERVER in a container. The database has to be empty.`;

// --testMatch comes last: it takes every word after it.
runCommand(usage, () =>
  runJestOnServer({}, [...process.argv.slice(2), '--testMatch', '**/tests/sql/*.test.ts']),
);
