/** The bundled commands that a pipeline runs, in a directory that holds nothing else. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
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

test('deployDatabase signs in as the identity and applies the scripts', async () => {
  const { stdout, stderr } = await command('deployDatabase.mjs');
  expect(stderr).toBe('');
  expect(stdout).toContain('table dbo.JobRun: exists, unchanged');
  expect(stdout).toContain('role AccessExpiryJobs: permissions granted');
});

test('verifyDeployment says what it expects', async () => {
  await expect(command('verifyDeployment.mjs', '--function-app', 'func')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('"func" is not the resource id of a function app') as string,
  });
});
