const { availableParallelism } = require('node:os');

/**
 * `npm test` runs *.test.ts, `npm run test:quick` those of them that start no process, no browser and take seconds,
 * `npm run test:faults` the full fault suites *.faults.ts, `npm run test:histories` more of
 * tests/histories (scripts/testHistories.ts), `npm run test:sqlserver` the tests in tests/sql against a real server
 * (scripts/testSqlServer.ts).
 * @type {import('jest').Config}
 */
module.exports = {
  testEnvironment: '<rootDir>/tests/support/testEnvironment.js',
  roots: ['<rootDir>/tests'],
  testMatch: ['**/*.test.ts'],
  globalSetup: '<rootDir>/tests/support/globalSetup.ts',
  globalTeardown: '<rootDir>/tests/support/globalTeardown.ts',
  transform: {
    '/local/sqlServer/.+\\.ts$': '<rootDir>/tests/support/nativeTransform.js',
    '^.+\\.ts$': ['ts-jest', {}],
    // They ship ES modules only.
    '/node_modules/(uuid|p-map)/.+\\.js$': [
      'ts-jest',
      {
        tsconfig: { allowJs: true, module: 'commonjs', esModuleInterop: true, isolatedModules: true },
        diagnostics: false,
      },
    ],
    '/node_modules/.+\\.c?js$': '<rootDir>/tests/support/nativeTransform.js',
  },
  // Loaded for each test file: they keep tokens, read the environment of the tests, or know their own realm only.
  // tsx is loaded outside of all realms.
  transformIgnorePatterns: ['/node_modules/(@azure/(identity|msal-node)|esbuild|tsx)/'],
  testTimeout: 60_000,
  // More workers than cores: many tests wait for a process or a browser.
  maxWorkers: Math.ceil(1.5 * availableParallelism()),
  testSequencer: '<rootDir>/scripts/longestFirst.js',
  reporters: ['default', '<rootDir>/scripts/slowestFiles.js'],
};
