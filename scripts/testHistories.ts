/**
 * Plays random histories of every job: tests/histories.
 *
 *     npm run test:histories [-- --seed <number> --runs <histories of each job>]
 *
 * On the stand-ins, or on the real SQL Server that TEST_SQL_* name as for `npm run test:sqlserver`: its clock cannot be moved
 * nor its commits held back, so that its histories have fewer kinds of steps. The seed is printed; the same seed makes the
 * same histories.
 */
import { randomInt } from 'node:crypto';
import { parseArguments, runCommand } from '../cli/environment';
import { removeAppSettings } from '../local/appSettings';
import { claimRealServer } from '../local/realServer';
import { runJest } from './jest';

const usage = `Usage: npm run test:histories [-- --seed <number> --runs <histories of each job>]

Plays random histories of every job, 100 of each by default. The seed is printed; the same one makes the same histories.`;

runCommand(usage, async () => {
  const { values } = parseArguments(
    { options: { seed: { type: 'string' }, runs: { type: 'string', default: '100' } } },
    usage,
  );
  const { seed = String(randomInt(2 ** 31)), runs } = values;
  for (const number of [seed, runs])
    if (!/^\d{1,10}$/.test(number)) throw new Error(`"${number}" is not a whole number.\n${usage}`);
  const histories = { seed: Number(seed), runs: Number(runs) };
  const parameters = ['--testMatch', '**/tests/histories/*.test.ts'];
  removeAppSettings({ keepSignIn: true });
  if ((process.env.TEST_SQL_SERVER ?? '') === '') return runJest({ histories }, parameters);
  const server = await claimRealServer(process.env);
  try {
    return await runJest({ realServer: true, histories }, parameters, server.environment);
  } finally {
    await server.release();
  }
});
