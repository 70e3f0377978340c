/**
 * A jest transform of packages: instead of compiling a package anew for each test file, it takes the one that the
 * worker has loaded (testEnvironment.js). Where there is no such environment, in jest's global setup, the package is as
 * it is.
 * @type {import('@jest/transform').SyncTransformer}
 */
module.exports = {
  process: (source, file) => ({
    code: `if (globalThis.requireNatively) {
  module.exports = globalThis.requireNatively(${JSON.stringify(file)});
  return;
}
${source}`,
  }),
};
