/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/tests'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/tests/faults/'],
  // uuid ships ES modules alone.
  transform: {
    '^.+\\.ts$': ['ts-jest', {}],
    '/node_modules/uuid/.+\\.js$': [
      'ts-jest',
      { tsconfig: { allowJs: true, module: 'commonjs', esModuleInterop: true }, diagnostics: false },
    ],
  },
  transformIgnorePatterns: ['/node_modules/(?!uuid/)'],
  testTimeout: 60_000,
};
