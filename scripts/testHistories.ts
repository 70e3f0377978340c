import { randomInt } from 'node:crypto';
import { parseArguments, runCommand } from '../cli/environment';
import { runJest, runJestOnServer } from './jest';

const usage = `Usage: npm run test:histories [-- --seed <number> --runs <histories of each job>]

Plays random histories of every job, 100 of each by default. The seed is printed; the same one makes the same histories.
On the stand-ins, or on the server that TEST_SQL_SERVER and the others of npm run test:sqlserver name: its clock cannot be
moved nor its commits held back, so its histories have fewer kinds of steps.`;

runCommand(usage, () => {
  const { values } = parseArguments(
    { options: { seed: { type: 'string' }, runs: { type: 'string', default: '100' } } },
    usage,
  );
  const { seed = String(randomInt(2 ** 31)), runs } = values;
  for (const number of [seed, runs])
    if (!/^\d{1,10}$/.test(number)) throw new Error(`"${number}" is not a whole number.\n${usage}`);
  const histories = { seed: Number(seed), runs: Number(runs) };
  const run = process.env.TEST_SQL_SERVER ? runJestOnServer : runJest;
  return run({ histories }, ['--testMatch', '**/tests/histories/*.test.ts']);
});
