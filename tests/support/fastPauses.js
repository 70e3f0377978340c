/** Loaded into the app's process: pauses are logged to stdout and pass at once, and the clocks advance. */
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
  // Lets others run, as a real pause would.
  const result = await pause(5, ...rest);
  ahead += ms;
  return result;
};
syncBuiltinESMExports();
