import { SqlError } from '../../src/database/errors';

const error = (number: number, message = 'Message.'): SqlError =>
  new SqlError(number, message, 'revokeBatch', 1);

test.each([
  // Azure SQL, "Troubleshoot connectivity issues and other errors", list of transient fault error codes.
  ...[926, 4060, 40197, 40501, 40613, 49918, 49919, 49920, 4221, 615],
  // EF Core, SqlServerTransientExceptionDetector.
  ...[1204, 1205, 3960, 3966, 8645, 8651, 10928, 10929, 10930, 10936, 17197, 40143, 40540, 49802, 49983],
  37396, // an expired token
])('error %d is transient', (number) => expect(error(number).transient).toBe(true));

test.each([
  [1222, 'a lock time-out'],
  [208, 'a missing object'],
  [229, 'a missing permission'],
  [2601, 'a duplicate key'],
  [18456, 'a login that is refused'],
])('error %d, %s, is not', (number) => expect(error(number).transient).toBe(false));

test.each([
  [
    'dbo.JobRun',
    'Apply the scripts in sql/ (npm run db:deploy), and compare the views with sql/06_AccessGrant_views.sql.',
  ],
  [
    'OPENJSON',
    'It needs compatibility level 130 or higher: ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = 130.',
  ],
])('an error says what to do if %s is missing', (name, advice) => {
  const message = `Invalid object name '${name}'.`;
  expect(error(208, message).message).toBe(`${message} ${advice} (SQL error 208 in revokeBatch)`);
});
