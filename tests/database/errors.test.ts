import { SqlError } from '../../src/database/errors';

const error = (number: number, message = 'Message.'): SqlError =>
  new SqlError(number, message, 'revokeBatch', 1);

describe('what passes by itself', () => {
  // Azure SQL, "Troubleshoot connectivity issues and other errors", list of transient fault error codes.
  test.each([926, 4060, 40197, 40501, 40613, 49918, 49919, 49920, 4221, 615])(
    'is %d of the list of Azure SQL',
    (number) => expect(error(number).transient).toBe(true),
  );

  test.each([
    1204, 1205, 3960, 3966, 8645, 8651, 10928, 10929, 10930, 10936, 17197, 40143, 40540, 49802, 49983,
  ])('is %d of the list of EF Core', (number) => expect(error(number).transient).toBe(true));

  test('is an expired token', () => expect(error(37396).transient).toBe(true));

  test.each([
    [1222, 'a lock time-out, for which somebody has set how long to wait'],
    [208, 'a missing object'],
    [229, 'a missing permission'],
    [2601, 'a duplicate key'],
    [18456, 'a login that is refused'],
  ])('is not %d, %s', (number) => expect(error(number).transient).toBe(false));
});

describe('an error says what to do', () => {
  test('where a table or view is missing', () => {
    expect(error(208, "Invalid object name 'dbo.JobRun'.").message).toBe(
      "Invalid object name 'dbo.JobRun'. Apply the scripts in sql/ (npm run db:deploy), and compare the views with " +
        'sql/06_AccessGrant_views.sql. (SQL error 208 in revokeBatch)',
    );
  });

  test('where the compatibility level is too low for OPENJSON', () => {
    expect(error(208, "Invalid object name 'OPENJSON'.").message).toBe(
      "Invalid object name 'OPENJSON'. It needs compatibility level 130 or higher: ALTER DATABASE CURRENT SET " +
        'COMPATIBILITY_LEVEL = 130. (SQL error 208 in revokeBatch)',
    );
  });
});
