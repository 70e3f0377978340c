const { availableParallelism } = require('node:os');

/**
 * `npm test` runs all *.test.ts, `npm run test:quick` leaves out *.slow.test.ts: those that need the built app, a process
 * or a browser, or take seconds. `npm run test:faults` runs *.faults.ts.
 * @type {import('jest').Config}
 */
module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/tests'],
  testMatch: ['**/*.test.ts'],
  globalSetup: '<rootDir>/tests/support/globalSetup.ts',
  globalTeardown: '<rootDir>/tests/support/globalTeardown.ts',
  transform: {
    '\\.ts$': ['ts-jest', {}],
    '\\.js$': ['ts-jest', { tsconfig: { allowJs: true, isolatedModules: true } }],
  },
  // These packages ship ES modules only.
  transformIgnorePatterns: ['/node_modules/(?!(uuid|p-map)/)'],
  testTimeout: 60_000,
  // More workers than cores: many tests wait for a process or a browser.
  maxWorkers: 2 * availableParallelism(),
};
