/**
 * Loads an app as the Functions worker does, with nothing else in the process, and runs its timer functions by request.
 * Plain JavaScript: a loader for TypeScript would be measured along.
 *
 *     node bench/appProcess.js <entry file>
 *
 * Sends { registered, functions } once the app is loaded: the time in ms since 1970 and the number of its functions.
 * For each { run: <name> } it sends { ms, peakRss } (bytes), for { run: <name>, allocations: true } { allocated } (bytes),
 * or { error }.
 */
const { readFileSync } = require('node:fs');
const { Session } = require('node:inspector/promises');
const Module = require('node:module');
const { performance } = require('node:perf_hooks');
const { pathToFileURL } = require('node:url');

const functions = new Map();
let model;
const core = {
  version: '3.0.0',
  hostVersion: '4.1000.0',
  Disposable: class {},
  setProgrammingModel: (given) => {
    model = given;
  },
  getProgrammingModel: () => model,
  log: () => undefined,
  registerHook: () => new core.Disposable(),
  registerFunction: ({ name }, callback) => {
    functions.set(name, callback);
    return new core.Disposable();
  },
};
const load = Module.prototype.require;
Module.prototype.require = function (id) {
  return id === '@azure/functions-core' ? core : load.call(this, id);
};

import(pathToFileURL(process.argv[2]).href).then(() => {
  process.send({ registered: performance.timeOrigin + performance.now(), functions: functions.size });
});

/**
 * The peak RSS of this process since its start, in bytes. On Linux not by ru_maxrss: there it begins
 * at the peak of the process that started this one (exec keeps signal->maxrss).
 */
function peakRss() {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
}

/** What V8 allocates during some work, in bytes, garbage included: by its sampling heap profiler. */
async function allocatedBy(work) {
  const session = new Session();
  session.connect();
  await session.post('HeapProfiler.startSampling', {
    samplingInterval: 16_384,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
  await work();
  const { profile } = await session.post('HeapProfiler.stopSampling');
  session.disconnect();
  const sizeOf = ({ selfSize, children }) => children.reduce((size, child) => size + sizeOf(child), selfSize);
  return sizeOf(profile.head);
}

process.on('message', async ({ run, allocations }) => {
  const log = process.env.BENCH_LOG
    ? (...text) => process.stderr.write(`${text.join(' ')}\n`)
    : () => undefined;
  const context = { log, warn: log, error: log };
  const work = () => functions.get(run)({}, context);
  try {
    if (allocations) {
      process.send({ allocated: await allocatedBy(work) });
      return;
    }
    const started = performance.now();
    await work();
    process.send({ ms: performance.now() - started, peakRss: peakRss() });
  } catch (error) {
    process.send({ error: String(error) });
  }
});
