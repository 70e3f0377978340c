/** The bundled commands that a pipeline runs, in a directory that holds nothing else. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createSampleDatabase } from '../../local/sampleDatabase';
import { startStandIns, type StandIns } from '../../local/standIns';
import { bundleCommands } from '../../scripts/bundle';

const run = promisify(execFile);
let directory: string;
let standIns: StandIns;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'deploy-commands-'));
  await bundleCommands(directory);
  standIns = await startStandIns();
  await createSampleDatabase(standIns);
});
afterAll(async () => {
  await standIns.close();
  rmSync(directory, { recursive: true });
});

const command = (file: string, ...parameters: string[]) =>
  run(process.execPath, [join('cli', file), ...parameters], {
    cwd: directory,
    env: { PATH: process.env.PATH, ...standIns.environment },
  });

test('deployDatabase signs in as the identity and applies every numbered script, and no other', async () => {
  const { stdout, stderr } = await command('deployDatabase.mjs');
  expect(stderr).toBe('');
  const scripts = readdirSync(join(__dirname, '../../sql'));
  const applied = scripts.filter((script) => stdout.includes(`${script}\n`));
  expect(applied.length).toBeGreaterThan(5);
  expect(scripts.filter((script) => !applied.includes(script))).toEqual(['purge.sql']);
  expect(stdout).toContain('table dbo.JobRun: exists, unchanged');
});

test('verifyDeployment says what it expects', async () => {
  await expect(command('verifyDeployment.mjs', '--function-app', 'func')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('"func" is not the resource id of a function app') as string,
  });
});
