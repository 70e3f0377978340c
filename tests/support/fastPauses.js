/** Loaded into the app's process: a pause is told on stdout and passes at once, and the clocks move on by it. */
const { syncBuiltinESMExports } = require('node:module');
const { performance } = require('node:perf_hooks');
const timers = require('node:timers/promises');

const { setTimeout: pause } = timers;
const { now } = Date;
let ahead = 0;
const elapsed = performance.now.bind(performance);
Date.now = () => now() + ahead;
performance.now = () => elapsed() + ahead;
timers.setTimeout = async (ms, ...rest) => {
  process.stdout.write(`PAUSE OF ${ms} ms\n`);
  // The event loop turns, as it would in a real pause.
  const result = await pause(5, ...rest);
  ahead += ms;
  return result;
};
syncBuiltinESMExports();
