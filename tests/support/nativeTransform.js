/**
 * A jest transform of packages and of the SQL stand-in: instead of compiling a module anew for each test file, it takes
 * the one that the worker has loaded (testEnvironment.js). Where there is no such environment, in jest's global setup,
 * a package is as it is.
 * @type {import('@jest/transform').SyncTransformer}
 */
module.exports = {
  process(source, file) {
    const loaded = `module.exports = globalThis.requireNatively(${JSON.stringify(file)});`;
    if (file.endsWith('.ts')) return { code: loaded };
    return { code: `if (globalThis.requireNatively) {\n  ${loaded}\n  return;\n}\n${source}` };
  },
};
