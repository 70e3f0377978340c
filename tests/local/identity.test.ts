import { ManagedIdentityCredential } from '@azure/identity';
import { startIdentity, type Identity } from '../../local/identity';
import { sendRaw } from '../support/rawRequest';

let identity: Identity;

const sqlScope = 'https://database.windows.net/.default';
const sqlResource = 'https://database.windows.net/';

/** A request by hand, by default with the right header. */
async function ask(query: string, header?: string): Promise<Response> {
  const { IDENTITY_ENDPOINT, IDENTITY_HEADER } = identity.environment;
  return fetch(`${IDENTITY_ENDPOINT}?${query}`, {
    headers: { 'X-IDENTITY-HEADER': header ?? IDENTITY_HEADER },
  });
}

// One endpoint for all tests: @azure/identity reads the environment once per process.
beforeAll(async () => {
  identity = await startIdentity();
  Object.assign(process.env, identity.environment);
});

afterEach(() => identity.clearFaults());

afterAll(() => identity.close());

test('the system-assigned identity gets a token for the resource of the scope, valid for hours', async () => {
  const { token, expiresOnTimestamp } = await new ManagedIdentityCredential().getToken(sqlScope);
  expect(identity.isValid(token, sqlResource)).toBe(true);
  expect(expiresOnTimestamp).toBeGreaterThan(Date.now() + 3_600_000);
  expect(identity.requests.at(-1)).toEqual({ resource: 'https://database.windows.net', status: 200 });
});

test('a user-assigned identity is asked for by its client id', async () => {
  const clientId = '11111111-2222-3333-4444-555555555555';
  const credential = new ManagedIdentityCredential({ clientId });
  const { token } = await credential.getToken('https://communication.azure.com//.default');
  expect(identity.isValid(token, 'https://communication.azure.com/')).toBe(true);
  expect(identity.requests.at(-1)).toMatchObject({ clientId, status: 200 });
});

test('a token is valid for its own resource only, and a made-up token for none', async () => {
  const answer = await ask(`api-version=2019-08-01&resource=${encodeURIComponent(sqlResource)}`);
  const { access_token } = (await answer.json()) as { access_token: string };
  expect(identity.isValid(access_token, sqlResource)).toBe(true);
  expect(identity.isValid(access_token, 'https://communication.azure.com')).toBe(false);
  expect(identity.isValid('made-up', sqlResource)).toBe(false);
});

test.each([
  ['a wrong header', 401, 'api-version=2019-08-01&resource=x', 'wrong'],
  ['another version of the interface', 400, 'api-version=2017-09-01&resource=x', undefined],
  ['no resource', 400, 'api-version=2019-08-01', undefined],
])('%s is answered with %i', async (_, status, query, header) => {
  expect((await ask(query, header)).status).toBe(status);
  expect(identity.requests.at(-1)).toMatchObject({ status });
});

test('a path that names no endpoint is answered with 404, "//" too', async () => {
  const { origin } = new URL(identity.environment.IDENTITY_ENDPOINT);
  for (const path of ['//', '/msi']) expect((await sendRaw(`${origin}${path}`, {})).status).toBe(404);
  expect(identity.requests.at(-1)).toMatchObject({ status: 404 });
});

test('an ordered fault fails as many requests as it says, and then tokens are issued again', async () => {
  const query = 'api-version=2019-08-01&resource=x';
  identity.order({ kind: 'error', status: 500, times: 2 });
  const statuses = [await ask(query), await ask(query), await ask(query)].map(({ status }) => status);
  expect(statuses).toEqual([500, 500, 200]);
});
