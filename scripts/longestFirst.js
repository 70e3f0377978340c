/**
 * A jest sequencer: the files that take longest begin first, so that none of them is left to one worker at the end. Jest
 * does so by itself where it has timed them; a fresh clone has no times.
 */
const { existsSync } = require('node:fs');
const { join } = require('node:path');
const { default: Sequencer } = require('@jest/test-sequencer');

const longest = [
  'telemetry/telemetry',
  'jobs/faultSample',
  'local/start',
  'local/realServer',
  'functions/api',
  'jobs/processSample',
  'histories/histories',
  'functions/statusPage/accessibility',
  'functions/statusPage/content',
  'functions/statusPage/interaction',
  'sql/notification',
  'email/browser',
  'local/functionsHost',
  'cli/commandLine',
  'sql/agreement',
  'sql/revocation',
  'cli/doctor',
].map((name) => join(__dirname, '../tests', `${name}.test.ts`));

const moved = longest.filter((file) => !existsSync(file));
if (moved.length > 0) throw new Error(`scripts/longestFirst.js: no such test file: ${moved.join(', ')}`);

module.exports = class LongestFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path }) => (longest.includes(path) ? longest.indexOf(path) : longest.length);
    return super.sort(tests).sort((a, b) => rank(a) - rank(b));
  }
};
