import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHostProcess, type HostProcess } from '../../local/functionsHost/process';
import { LogLines } from '../support/logLines';
import { sendRaw } from '../support/rawRequest';

const app = `
import { app } from '@azure/functions';

app.http('echo', {
  methods: ['GET', 'POST'],
  route: 'things/{kind}/items/{id?}',
  handler: async (request) => ({
    status: 201,
    headers: { 'X-Kind': request.params.kind },
    jsonBody: {
      method: request.method,
      params: request.params,
      query: [...request.query],
      header: request.headers.get('x-given'),
      body: await request.text(),
    },
  }),
});
app.http('special', { methods: ['GET'], route: 'things/special/items', handler: () => ({ body: 'special' }) });
app.http('nothing', { methods: ['DELETE'], handler: () => undefined });
app.http('failing', { methods: ['GET'], handler: () => { throw new Error('failed on purpose'); } });
app.http('late', {
  methods: ['GET'],
  handler: () => {
    app.http('tooLate', { handler: () => undefined });
  },
});
app.timer('everySecond', { schedule: '%EVERY_SECOND%', handler: (timer, context) => {
  context.log('tick', timer.isPastDue, context.functionName);
} });
app.timer('slow', { schedule: '* * * * * *', handler: async (timer, context) => {
  context.log('slow begins');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  context.log('slow ends');
} });
app.timer('yearly', { schedule: '0 0 0 1 1 *', handler: (timer, context) => {
  context.log('by hand', JSON.stringify(timer));
} });
app.timer('failingTimer', { schedule: '0 0 0 1 1 *', handler: () => { throw new Error('timer failed on purpose'); } });
app.timer('brokenSchedule', { schedule: 'every day', handler: () => undefined });
app.timer('missingSetting', { schedule: '%NO_SUCH_SETTING%', handler: () => undefined });
app.storageQueue('queue', { queueName: 'q', connection: 'c', handler: () => undefined });

app.hook.preInvocation((context) => {
  const { functionHandler, invocationContext } = context;
  context.functionHandler = (...inputs) => {
    invocationContext.log('before');
    return functionHandler(...inputs);
  };
});
app.hook.log((context) => { context.message += ', seen by the hook'; });
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
    settings: { EVERY_SECOND: '* * * * * *' },
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
  const call = (path: string, init?: RequestInit) => fetch(`${host.url}${path}`, init);

  beforeAll(async () => {
    host = await start(createApp({ 'dist/main.mjs': app }));
  });

  test('gets method, route parameters, query, headers and body, and gives status, headers and body', async () => {
    const answer = await call('/api/things/b%20ig%2F1/items/42?a=1&b=x%26y&a=2&__proto__=1', {
      method: 'POST',
      headers: { 'X-Given': 'yes' },
      body: 'bödy',
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('x-kind')).toBe('b ig/1');
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(await answer.json()).toEqual({
      method: 'POST',
      params: { kind: 'b ig/1', id: '42' },
      query: [
        ['a', '1,2'],
        ['b', 'x&y'],
      ],
      header: 'yes',
      body: 'bödy',
    });
  });

  test('is found by its route in any case, with a slash at the end, without an optional parameter, and literal segments first', async () => {
    const answer = await call('/API/Things/x/Items/');
    expect(await answer.json()).toMatchObject({ params: { kind: 'x' } });
    expect(await (await call('/api/things/special/items')).text()).toBe('special');
    const posted = await call('/api/things/special/items', { method: 'POST' });
    expect(await posted.json()).toMatchObject({ params: { kind: 'special' } });
  });

  test.each(['%', '%zz', '%E0%A4%A'])('gets %s, which cannot be decoded, as it is', async (kind) => {
    const { body } = await sendRaw(`${host.url}/api/things/${kind}/items`, {});
    expect(JSON.parse(body)).toMatchObject({ params: { kind } });
  });

  test('that returns nothing answers 204, and its hooks change the handler and the log', async () => {
    const answer = await call('/api/nothing', { method: 'DELETE' });
    expect(answer.status).toBe(204);
    await host.logged('nothing: before, seen by the hook');
  });

  test('that throws answers 500 without the reason, which is in the log', async () => {
    const answer = await call('/api/failing');
    expect([answer.status, await answer.text()]).toEqual([500, '']);
    expect((await host.logged('Error: failed on purpose'))[0]).toContain(
      'error       failing: Executed (failed',
    );
  });

  test('cannot register a function after it has started', async () => {
    expect((await call('/api/late')).status).toBe(500);
    await host.logged('"tooLate" was registered after the app had started');
  });

  test.each([
    ['GET', '/api/unknown'],
    ['PUT', '/api/nothing'],
    ['HEAD', '/api/things/x/items'],
    ['OPTIONS', '/api/things/x/items'],
    ['POST', '/admin/functions/unknown'],
    ['POST', '/admin/functions/echo'],
    ['POST', '/admin/functions/brokenSchedule'],
  ])('has %s %s answered with 404', async (method, path) => {
    expect((await call(path, { method })).status).toBe(404);
  });

  test('called with a Host header that is no host answers 400', async () => {
    const { status } = await sendRaw(`${host.url}/api/nothing`, { headers: { Host: 'a b' } });
    expect(status).toBe(400);
  });

  test('has its timers run by hand, which is answered at once', async () => {
    expect((await call('/admin/functions/yearly', { method: 'POST', body: '{}' })).status).toBe(202);
    const [line] = await host.logged('by hand {');
    expect(line).toMatch(
      /yearly: by hand \{"schedule":\{"adjustForDST":true\},"scheduleStatus":null,"isPastDue":false\}/,
    );
  });

  test('lives on after a timer that throws, which is logged', async () => {
    await call('/admin/functions/failingTimer', { method: 'POST' });
    await host.logged('Error: timer failed on purpose');
    expect((await call('/api/things/x/items')).status).toBe(201);
  });

  test('has only the function with a broken schedule or an unknown trigger in error, which says why', async () => {
    const list = (await (await call('/admin/functions')).json()) as { name: string; error?: string }[];
    const errors = list.filter(({ error }) => error !== undefined);
    expect(errors.map(({ name }) => name)).toEqual(['brokenSchedule', 'missingSetting', 'queue']);
    expect(errors[0]?.error).toMatch(
      /"every day" is not a valid NCRONTAB expression: it has 2 fields; expected six fields .* for example/,
    );
    expect(errors[1]?.error).toContain('the setting NO_SUCH_SETTING is missing');
    expect(errors[2]?.error).toContain('not queueTrigger');
    expect(list).toContainEqual({
      name: 'echo',
      trigger: 'httpTrigger',
      route: '/api/things/{kind}/items/{id?}',
      methods: ['GET', 'POST'],
    });
    expect(list).toContainEqual(expect.objectContaining({ name: 'everySecond', schedule: '* * * * * *' }));
  });
});

test('timers run by their schedule, with their own functions’ names, and a run never overlaps itself', async () => {
  const host = await start(createApp({ 'dist/main.mjs': app }), true);
  const { logged, lines } = host;
  const [tick] = await logged('tick false everySecond', 3);
  expect(tick).toContain('information everySecond: tick');
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
    'turns HTTP streaming on',
    {
      'dist/main.mjs': `import { app } from '@azure/functions'; app.setup({ enableHttpStream: true });${app.replace(/^import.*$/m, '')}`,
    },
    /HTTP streaming/,
  ],
  [
    'has a host.json that is no JSON',
    { 'dist/main.mjs': app, 'host.json': '{' },
    /host\.json cannot be read/,
  ],
])('the host of an app that %s ends with what is wrong', async (_, files, message) => {
  await expect(start(createApp(files))).rejects.toThrow(message);
});
