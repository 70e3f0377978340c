/** The wait before a first deployment, against Azure Resource Manager on loopback. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { waitForRoleAssignments } from '../../cli/roleAssignments';

const group = '/subscriptions/s/resourceGroups/g';
const appId = `${group}/providers/Microsoft.Web/sites/func-access-expiry-jobs`;
const principalId = '00112233-4455-6677-8899-aabbccddeeff';

let server: Server;
let management: string;
let lines: string[];
let filters: (string | null)[];
/** Ages of the roles when they are asked for, in ms. */
let ages: readonly number[];
let identity: object;

beforeAll(async () => {
  server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost');
    const answers: Record<string, () => object> = {
      [appId]: () => ({ identity }),
      [`${group}/providers/Microsoft.Authorization/roleAssignments`]: () => {
        filters.push(searchParams.get('$filter'));
        return { value: ages.map((age) => ({ properties: { createdOn: new Date(Date.now() - age) } })) };
      },
    };
    const found = request.headers.authorization === 'Bearer the token' ? answers[pathname] : undefined;
    response
      .writeHead(found ? 200 : 403, { 'Content-Type': 'application/json' })
      .end(JSON.stringify(found?.() ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  management = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));
beforeEach(() => {
  lines = [];
  filters = [];
  identity = { userAssignedIdentities: { [`${group}/…/id-access-expiry-jobs-prod`]: { principalId } } };
});

const wait = (settledMs?: number, token = 'the token'): Promise<void> =>
  waitForRoleAssignments({
    ...{ appId, token, management, log: (line: string) => lines.push(line) },
    ...(settledMs !== undefined && { settledMs }),
  });

test('waits until the newest role of the app’s own identity is old enough', async () => {
  const begun = Date.now();
  ages = [60_000, -1_000];
  await wait(1_000);
  expect(Date.now() - begun).toBeGreaterThanOrEqual(2_000);
  expect(filters).toEqual([`principalId eq '${principalId}'`]);
  expect(lines).toEqual([
    expect.stringMatching(/^The app's roles are new: waiting [12] s until its storage knows them$/),
    "Roles of the app's identity: 2, each at least 1 s old",
  ]);
});

test('does not wait for roles that were there before', async () => {
  ages = [10 * 60_000];
  await wait();
  expect(lines).toEqual(["Roles of the app's identity: 1, each at least 180 s old"]);
});

test('says what is missing: a role, an identity, a permission', async () => {
  ages = [];
  await expect(wait()).rejects.toThrow(`has no role in ${group}: provision first.`);
  identity = {};
  await expect(wait()).rejects.toThrow('has no user-assigned identity');
  await expect(wait(0, 'another token')).rejects.toThrow('needs the role Website Contributor');
});
