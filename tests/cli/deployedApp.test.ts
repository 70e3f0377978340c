/** The wait before a deployment and the check after it, against Azure Resource Manager and an app on loopback. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { verifyDeployedApp } from '../../cli/deployedApp';
import { waitForRoleAssignments } from '../../cli/roleAssignments';

const group = '/subscriptions/s/resourceGroups/g';
const appId = `${group}/providers/Microsoft.Web/sites/func-access-expiry-jobs`;
const principalId = '00112233-4455-6677-8899-aabbccddeeff';
const timers = [
  'RevokeExpiredDatabricksRequests',
  'RevokeExpiredPalantirRequests',
  'ExpiryNotificationDatabricksRequests',
  'ExpiryNotificationPalantirRequests',
];

let server: Server;
let address: string;
let requests: string[];
let lines: string[];
/** What each request is answered, by method and path; a function is asked each time. */
let answers: Record<string, (() => [number, unknown]) | [number, unknown]>;
let syncs: number;
let filters: (string | null)[];
/** Ages of the roles of the app's identity when they are asked for, in ms. */
let ages: readonly number[];
/** What the app answers to those who forge a sign-in, then 401. */
let forged: [number, unknown][];

function answer(request: IncomingMessage): [number, unknown] {
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost');
  const name = `${request.method ?? ''} ${pathname.replace(appId, '')}`;
  requests.push(name);
  filters.push(searchParams.get('$filter'));
  if (pathname === '/api/jobs') {
    if (request.headers['x-ms-client-principal-name'] !== undefined) return forged.shift() ?? [401, ''];
    const valid = request.headers['x-functions-key'] === 'the key';
    return valid ? [200, []] : [401, ''];
  }
  if (request.headers.authorization !== 'Bearer the token') return [401, {}];
  const found = answers[name];
  return typeof found === 'function' ? found() : (found ?? [404, { error: 'unknown' }]);
}

beforeAll(async () => {
  server = createServer((request, response) => {
    const [status, body] = answer(request);
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));
beforeEach(() => {
  requests = [];
  filters = [];
  lines = [];
  syncs = 0;
  forged = [];
  answers = {
    'GET ': [
      200,
      {
        properties: { defaultHostName: 'func.example.net' },
        identity: { userAssignedIdentities: { [`${group}/…/id-access-expiry-jobs-prod`]: { principalId } } },
      },
    ],
    [`GET ${group}/providers/Microsoft.Authorization/roleAssignments`]: () => [
      200,
      { value: ages.map((age) => ({ properties: { createdOn: new Date(Date.now() - age) } })) },
    ],
    'POST /host/default/sync': () => {
      syncs += 1;
      return [204, undefined];
    },
    'GET /functions': () => [
      200,
      {
        // What a fresh deployment may look like: the timers come with a later synchronisation.
        value: ['listJobs', ...timers.slice(0, syncs)].map((name) => ({ properties: { name } })),
      },
    ],
    'GET /config/authsettingsV2': [200, { properties: { platform: { enabled: false } } }],
    'POST /host/default/listkeys': [200, { functionKeys: { default: 'the key' } }],
  };
});

const verify = ({ id = appId, timeoutMs = 20_000 } = {}): Promise<string> =>
  verifyDeployedApp({
    appId: id,
    token: 'the token',
    log: (line) => lines.push(line),
    timeoutMs,
    pauseMs: 20,
    management: address,
    addressOf: () => address,
  });

test('synchronises until all four timers are listed, then asks the app for its jobs', async () => {
  await expect(verify()).resolves.toBe(`${address}/api/status`);
  expect(syncs).toBe(4);
  expect(requests.slice(-2)).toEqual(['GET /api/jobs', 'GET /api/jobs']);
  expect(lines[0]).toMatch(
    /^The functions are not listed yet: missing: RevokeExpiredPalantirRequests, .*NotificationPalantirRequests$/,
  );
  expect(lines.slice(-3)).toEqual([
    '4 timers and 1 HTTP functions are listed',
    'GET /api/jobs is answered: the app reaches the database',
    'A forged sign-in is refused (401)',
  ]);
});

test('says which functions are missing when time runs out', async () => {
  answers['POST /host/default/sync'] = [503, { Code: 'ServiceUnavailable' }];
  await expect(verify({ timeoutMs: 200 })).rejects.toThrow(
    /^The functions are not listed after 0 s: missing: RevokeExpiredDatabricksRequests, .*; synchronising the triggers answered 503\. Look at the log stream/,
  );
});

test('waits for an app that starts, and says how it answered', async () => {
  const keys = [undefined, undefined, 'the key'];
  answers['POST /host/default/listkeys'] = () => [200, { functionKeys: { default: keys.shift() } }];
  await expect(verify()).resolves.toBe(`${address}/api/status`);
  expect(lines.filter((line) => line === 'GET /api/jobs is not answered yet: 401, ""')).toHaveLength(2);
  await expect(verify({ timeoutMs: 200 })).rejects.toThrow(/^GET \/api\/jobs is not answered after 0 s: 401/);
});

test('asks an app that requires people to sign in only for a refusal', async () => {
  answers['GET /config/authsettingsV2'] = [200, { properties: { platform: { enabled: true } } }];
  forged = [[302, '']];
  await expect(verify()).resolves.toBe(`${address}/api/status`);
  expect(requests.filter((name) => name === 'GET /api/jobs')).toHaveLength(1);
  expect(lines.slice(-2)).toEqual([
    expect.stringContaining('App Service authentication'),
    'A forged sign-in is refused (302)',
  ]);
});

test('fails at once for an app that accepts a forged sign-in', async () => {
  forged = [[200, []]];
  await expect(verify()).rejects.toThrow(
    /^The app let in a caller without a key or a sign-in.*WEBSITE_AUTH_/,
  );
  expect(requests.filter((name) => name === 'GET /api/jobs')).toHaveLength(2);
});

test('waits for the refusal of an app that starts or is busy, and fails for any other answer', async () => {
  forged = [
    [503, 'starting'],
    [429, ''],
  ];
  await expect(verify()).resolves.toBe(`${address}/api/status`);
  expect(lines).toContain('A forged sign-in is not refused yet: it is busy (429)');
  forged = Array.from({ length: 1_000 }, () => [404, ''] as [number, unknown]);
  await expect(verify({ timeoutMs: 300 })).rejects.toThrow(/^A forged sign-in is not refused after 0 s: 404/);
});

test.each([
  ['a resource that is not there', { 'GET ': [404, {}] }, /^There is no function app \/subscriptions/],
  ['an identity without the role', { 'GET /functions': [403, {}] }, /needs the role Website Contributor/],
] as const)('gives up at once on %s', async (_, given, message) => {
  answers = { ...answers, ...(given as unknown as typeof answers) };
  await expect(verify()).rejects.toThrow(message);
  expect(requests.length).toBeLessThan(4);
});

describe('before the first deployment', () => {
  const wait = (settledMs?: number, token = 'the token'): Promise<void> =>
    waitForRoleAssignments({
      ...{ appId, token, management: address, log: (line: string) => lines.push(line) },
      ...(settledMs !== undefined && { settledMs }),
    });

  test('waits until the newest role of the app’s own identity is old enough', async () => {
    const begun = Date.now();
    ages = [60_000, -1_000];
    await wait(1_000);
    expect(Date.now() - begun).toBeGreaterThanOrEqual(2_000);
    expect(filters).toContain(`principalId eq '${principalId}'`);
    expect(lines).toEqual([
      expect.stringMatching(/^The app's roles are new: waiting [12] s until its storage knows them$/),
      "Roles of the app's identity: 2, each at least 1 s old",
    ]);
  });

  test('does not wait for older roles', async () => {
    ages = [10 * 60_000];
    await wait();
    expect(lines).toEqual(["Roles of the app's identity: 1, each at least 180 s old"]);
  });

  test('says what is missing: a role, an identity, a permission', async () => {
    ages = [];
    await expect(wait()).rejects.toThrow(`has no role in ${group}: provision first.`);
    await expect(wait(0, 'another token')).rejects.toThrow('needs the role Website Contributor');
    answers['GET '] = [200, { identity: {} }];
    await expect(wait()).rejects.toThrow('has no user-assigned identity');
  });
});
