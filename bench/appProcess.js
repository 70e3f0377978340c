/**
 * Loads an app as the Functions worker does, with nothing else in the process, and runs its timer functions on request.
 * Plain JavaScript: a loader for TypeScript would be measured too.
 *
 *     node bench/appProcess.js <entry file>
 *
 * Sends { registered }, in ms since 1970, when the app is loaded. Answers { run: <name> } with { ms, peakRss } (bytes) or
 * { error }.
 */
const { readFileSync } = require('node:fs');
const Module = require('node:module');
const { performance } = require('node:perf_hooks');
const { pathToFileURL } = require('node:url');

// The log of the runs.
console.warn = () => undefined;

const functions = new Map();
let model;
const core = {
  setProgrammingModel: (given) => {
    model = given;
  },
  getProgrammingModel: () => model,
  log: () => undefined,
  registerHook: () => undefined,
  registerFunction: ({ name }, callback) => functions.set(name, callback),
};
const load = Module.prototype.require;
Module.prototype.require = function (id) {
  return id === '@azure/functions-core' ? core : load.call(this, id);
};

import(pathToFileURL(process.argv[2]).href).then(() => {
  process.send({ registered: performance.timeOrigin + performance.now() });
});

/** In bytes. Not ru_maxrss on Linux: that begins at the peak of the parent process (exec keeps signal->maxrss). */
function peakRss() {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
}

process.on('message', async ({ run }) => {
  const started = performance.now();
  try {
    await functions.get(run)({}, {});
    process.send({ ms: performance.now() - started, peakRss: peakRss() });
  } catch (error) {
    process.send({ error: String(error) });
  }
});
