import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHostProcess, type HostProcess } from '../../local/functionsHost/process';
import { LogLines } from '../support/logLines';
import { sendRaw } from '../support/rawRequest';

const app = `
import { app } from '@azure/functions';

app.http('echo', {
  methods: ['POST'],
  route: 'things/{kind}/items',
  handler: async (request) => ({
    jsonBody: { params: request.params, query: [...request.query], body: await request.text() },
  }),
});
app.http('failing', { methods: ['POST'], route: 'failing', handler: () => { throw new Error('failed on purpose'); } });
app.timer('everySecond', { schedule: '* * * * * *', handler: (timer, context) => {
  context.log('tick', JSON.stringify(timer));
} });
app.timer('slow', { schedule: '* * * * * *', handler: async (timer, context) => {
  context.log('slow begins');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  context.log('slow ends');
} });
app.timer('yearly', { schedule: '0 0 0 1 1 *', handler: () => undefined });
app.timer('brokenSchedule', { schedule: 'every day', handler: () => undefined });
`;

const folders: string[] = [];
const hosts: HostProcess[] = [];

/** A folder with an app as it is deployed; @azure/functions is the real one. */
function createApp(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'functions-host-'));
  folders.push(folder);
  mkdirSync(join(folder, 'node_modules', '@azure'), { recursive: true });
  symlinkSync(
    join(process.cwd(), 'node_modules', '@azure', 'functions'),
    join(folder, 'node_modules', '@azure', 'functions'),
  );
  const all = {
    'package.json': '{ "main": "dist/main.mjs" }',
    'host.json': '{ "version": "2.0" }',
    ...files,
  };
  mkdirSync(join(folder, 'dist'));
  for (const [name, content] of Object.entries(all)) writeFileSync(join(folder, name), content);
  return folder;
}

async function start(appDirectory: string, timers = false) {
  const log = new LogLines(10_000);
  const host = await startHostProcess({
    appDirectory,
    port: 0,
    timers,
    settings: {},
    onLine: log.add,
  });
  hosts.push(host);
  return { ...host, lines: log.lines, logged: log.logged };
}

afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop('SIGKILL')));
  for (const folder of folders) rmSync(folder, { recursive: true });
});

describe('an app', () => {
  let host: Awaited<ReturnType<typeof start>>;
  const post = async (path: string, request?: Parameters<typeof sendRaw>[1]) => {
    const { status, body } = await sendRaw(`${host.url}${path}`, { method: 'POST', ...request });
    return { status, body };
  };

  beforeAll(async () => {
    host = await start(createApp({ 'dist/main.mjs': app }));
  });

  test('gets repeated query values joined, no __proto__, and the body', async () => {
    const { body } = await post('/api/things/a/items?a=1&b=x%26y&a=2&__proto__=1', { body: 'bödy' });
    const query = [
      ['a', '1,2'],
      ['b', 'x&y'],
    ];
    expect(JSON.parse(body)).toMatchObject({ query, body: 'bödy' });
  });

  test.each([
    { path: '/api/things/b%20ig%2F1/items', kind: 'b ig/1' },
    { path: '/API/Things/X/Items/', kind: 'X' },
    // As Kestrel does with what cannot be decoded.
    ...['%', '%zz', '%E0%A4%A'].map((kind) => ({ path: `/api/things/${kind}/items`, kind })),
  ])('is found by its route: $path has the parameter $kind', async ({ path, kind }) => {
    expect(JSON.parse((await post(path)).body)).toMatchObject({ params: { kind } });
  });

  test('that throws answers 500 without the reason, which is in the log', async () => {
    expect(await post('/api/failing')).toEqual({ status: 500, body: '' });
    await host.logged('failing: Executed (failed');
    await host.logged('Error: failed on purpose');
  });

  test.each([
    ['GET', '/api/failing'],
    ['POST', '/api/things/items'],
    ['POST', '/admin/functions/failing'],
    ['POST', '/admin/functions/brokenSchedule'],
  ])('has %s %s answered with 404', async (method, path) => {
    expect((await post(path, { method })).status).toBe(404);
  });

  test('called with an invalid Host header answers 400', async () => {
    expect((await post('/api/failing', { headers: { Host: 'a b' } })).status).toBe(400);
  });

  test('has only the function with a broken schedule in error, which says why', async () => {
    const answer = await fetch(`${host.url}/admin/functions`);
    const list = (await answer.json()) as { name: string; error?: string }[];
    const [broken, ...others] = list.filter(({ error }) => error !== undefined);
    expect(broken?.error).toMatch(
      /brokenSchedule is in error: "every day" is not a valid NCRONTAB expression/,
    );
    expect(others).toEqual([]);
  });
});

test('timers run by their schedule, and a run never overlaps itself', async () => {
  const host = await start(createApp({ 'dist/main.mjs': app }), true);
  const { logged, lines } = host;
  await logged(
    'everySecond: tick {"schedule":{"adjustForDST":true},"scheduleStatus":null,"isPastDue":false}',
    3,
  );
  await logged('slow: Slot skipped');
  await logged('slow ends', 2);
  await host.stop();
  const steps = lines.flatMap((line) => /slow (begins|ends)/.exec(line)?.[1] ?? []);
  steps.forEach((step, index) => expect(step).toBe(index % 2 === 0 ? 'begins' : 'ends'));
  expect(lines.filter((line) => line.includes('yearly: Executing'))).toEqual([]);
});

test.each([
  ['is not built', {}, /The app is not built/],
  ['registers nothing', { 'dist/main.mjs': '' }, /registered no function/],
  ['fails while it loads', { 'dist/main.mjs': 'throw new Error("no such setting");' }, /no such setting/],
  [
    'has a host.json that is no JSON',
    { 'dist/main.mjs': app, 'host.json': '{' },
    /host\.json cannot be read/,
  ],
])('the host of an app that %s ends with what is wrong', async (_, files, message) => {
  await expect(start(createApp(files))).rejects.toThrow(message);
});
