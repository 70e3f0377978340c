/** npm start as people type it. */
import { on, once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startStandIns } from '../../local/standIns';
import { jobs } from '../../src/jobs/catalogue';
import { ended, runCommand, startCommand, startLine, type Command, type Ended } from '../support/commands';
import { jobOf } from '../support/environment';

const notify = jobOf('notification', 'Palantir');

/** What an operator's shell may hold. Nothing that runs on stand-ins may take any of it. */
const operatorsShell = {
  SQL_SERVER: 'production.invalid',
  SQL_USER: 'operator',
  SQL_PASSWORD: 'secret',
  AZURE_CLIENT_ID: 'not a client id',
  EMAIL_REPLY_TO: 'not an address',
  NOTIFICATION_LEAD_DAYS: 'none',
  REVOCATION_CEILING: '0',
  SCHEDULE_REVOKE_PALANTIR: 'never',
  WEBSITE_INSTANCE_ID: 'a machine of Azure',
  APPLICATIONINSIGHTS_CONNECTION_STRING: 'not a connection string',
};

/** Waits until npm start has written the last line of its own; gives all that it has written to stdout. */
async function isUp({ stdout }: Command): Promise<string> {
  let text = '';
  for await (const [chunk] of on(stdout, 'data', { close: ['end'] }) as AsyncIterable<[Buffer]>) {
    text += chunk.toString();
    if (text.includes('The jobs run by schedule')) return text;
  }
  throw new Error(`npm start ended before it was up:\n${text}`);
}

const startProduct = (): Command => startCommand('local/start.ts', ['--port', '0', '--mailbox-port', '0']);

/** The directories of runs: in the temporary directory, and in memory where there is one. */
const runDirectories = (): string[] =>
  [tmpdir(), '/dev/shm'].flatMap((parent) =>
    existsSync(parent) ? readdirSync(parent).map((name) => join(parent, name)) : [],
  );

async function withPortTaken<T>(work: (port: number) => Promise<T>): Promise<T> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await work((server.address() as AddressInfo).port);
  } finally {
    await once(server.close(), 'close');
  }
}

describe('npm start', () => {
  test('with --once runs the four jobs, prints a line for each and ends with 0, whatever the shell holds', async () => {
    const { code, stdout, stderr } = await runCommand('local/start.ts', ['--once'], {
      environment: operatorsShell,
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const { type, kind } of jobs)
      expect(stdout).toMatch(
        new RegExp(
          `^${type} +Completed +[1-9]\\d* ${kind === 'notification' ? ' +[1-9]\\d*' : ''} +[\\d.]+ s$`,
          'm',
        ),
      );
    expect(stdout).toMatch(
      /Databricks +\d+ requests: \d+ expired and to be revoked, \d+ with a reminder due/,
    );
    expect(stdout).toMatch(/[1-9]\d* emails were sent/);
  });

  describe('without --once', () => {
    let product: Command;
    let end: Promise<Ended>;
    beforeAll(() => {
      product = startProduct();
      end = ended(product);
    });

    test('prints a line of settings for each shell with which the commands work on it', async () => {
      const printed = await isUp(product);
      const [line = ''] = /^ +IDENTITY_ENDPOINT=.* npm run doctor$/m.exec(printed) ?? [];
      const environment = Object.fromEntries(
        [...line.matchAll(/(\w+)='([^']*)'/g)].map(([, name = '', value = '']) => [name, value]),
      );
      const inPowerShell = Object.entries(environment).map(([name, value]) => `$env:${name}='${value}'; `);
      expect(printed).toContain(`\n  ${inPowerShell.join('')}npm run doctor\n`);
      const [dryRun, deployment] = await Promise.all([
        runCommand('cli/runJob.ts', [notify.type, '--dry-run'], { environment }),
        runCommand('cli/deployDatabase.ts', [], { environment }),
      ]);
      expect(dryRun).toMatchObject({ code: 0, stdout: expect.stringContaining(notify.type) as string });
      expect(deployment).toMatchObject({ code: 0, stderr: '' });
    });

    test('runs until Ctrl-C, says where to look, and ends cleanly with 0', async () => {
      product.kill('SIGINT');
      const { code, stdout, stderr } = await end;
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toMatch(/Status page +http:\/\/127\.0\.0\.1:\d+\/api\/status/);
      expect(stdout).toMatch(/Mailbox +http:\/\/127\.0\.0\.1:\d+/);
    });
  });

  test.each([
    [['--port', 'x'], /--port is "x": expected a port, for example npm start -- --port 7073/],
    [['--mailbox-port', '65536'], /--mailbox-port is "65536": expected a port/],
    [['--twice'], /--twice[^]*Usage: npm start/],
  ])('refuses %j with 1 and says why', async (args, message) => {
    const { code, stderr } = await runCommand('local/start.ts', args);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });

  test('ends at once with 1 and a line for each port that is taken, before it starts anything', async () => {
    await withPortTaken((port) =>
      withPortTaken(async (mailboxPort) => {
        const { code, stdout, stderr } = await runCommand('local/start.ts', [
          ...['--port', String(port), '--mailbox-port', String(mailboxPort)],
        ]);
        expect({ code, stdout, stderr }).toEqual({
          code: 1,
          stdout: '',
          stderr:
            `Port ${port} is taken: choose another with npm start -- --port <port>\n` +
            `Port ${mailboxPort} is taken: choose another with npm start -- --mailbox-port <port>\n`,
        });
      }),
    );
  });

  test('stand-ins that cannot all start leave nothing behind', async () => {
    const before = runDirectories();
    const servers = (): number =>
      process.getActiveResourcesInfo().filter((resource) => resource === 'TCPServerWrap').length;
    await withPortTaken(async (mailboxPort) => {
      await expect(startStandIns({ mailboxPort })).rejects.toThrow('EADDRINUSE');
      // A server that has closed is counted for some turns more.
      for (let turns = 0; servers() > 1 && turns < 100; turns++) await delay(20);
      expect(servers()).toBe(1);
    });
    expect(runDirectories().filter((path) => path.includes(`-${process.pid}-`))).toEqual(
      before.filter((path) => path.includes(`-${process.pid}-`)),
    );
  });

  test('what a killed run left is removed at the next start', async () => {
    const product = startProduct();
    const end = ended(product);
    await isUp(product);
    product.kill('SIGKILL');
    await end;
    const left = (): string[] =>
      runDirectories().filter((path) => path.includes(`jobs-${product.pid ?? 0}-`));
    expect(left().length).toBeGreaterThan(0);
    await (await startStandIns()).close();
    expect(left()).toEqual([]);
  });

  test('ends with npm, which SIGTERM ends', async () => {
    const npm = startLine('exec npm start --silent -- --port 0 --mailbox-port 0');
    // When the last process that writes to it has ended, the product among them.
    const end = ended(npm);
    await isUp(npm);
    npm.kill('SIGTERM');
    const { stdout } = await end;
    expect(stdout).toContain('Stopping: a job under way finishes its row first');
  });
});
