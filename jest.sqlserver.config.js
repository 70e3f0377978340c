// The tests in tests/sql against the SQL Server that the settings name. They drop and create all objects there.
if (!process.env.SQL_SERVER || !process.env.SQL_DATABASE) {
  throw new Error(
    'npm run test:sqlserver needs SQL_SERVER, SQL_DATABASE, and SQL_USER with SQL_PASSWORD or an Azure sign-in. ' +
      'Name a database for tests alone: all objects of the product are dropped and created there.',
  );
}

/** @type {import('jest').Config} */
module.exports = {
  ...require('./jest.config.js'),
  roots: ['<rootDir>/tests/sql'],
  // One database for all files.
  maxWorkers: 1,
};
