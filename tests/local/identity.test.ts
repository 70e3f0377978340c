import { startIdentity, type Identity } from '../../local/identity';
import { createCredential } from '../../src/services';

let identity: Identity;

// One endpoint for all tests: @azure/identity reads the environment once per process.
beforeAll(async () => {
  identity = await startIdentity();
  Object.assign(process.env, identity.environment);
});

afterAll(() => identity.close());

test('a user-assigned identity is asked for by its client id; its token is valid for its own resource only', async () => {
  const clientId = '11111111-2222-3333-4444-555555555555';
  const credential = await createCredential(process.env, clientId);
  const { token } = (await credential.getToken('https://communication.azure.com//.default')) ?? {};
  expect(identity.requests).toMatchObject([{ clientId, status: 200 }]);
  expect(identity.isValid(token ?? '', 'https://communication.azure.com/')).toBe(true);
  expect(identity.isValid(token ?? '', 'https://database.windows.net/')).toBe(false);
  expect(identity.isValid('made-up', 'https://communication.azure.com/')).toBe(false);
});

test.each([
  ['a wrong header', 401, 'api-version=2019-08-01&resource=x', 'wrong'],
  ['another version of the interface', 400, 'api-version=2017-09-01&resource=x', undefined],
  ['no resource', 400, 'api-version=2019-08-01', undefined],
])('%s is answered with %i', async (_, status, query, header) => {
  const { IDENTITY_ENDPOINT, IDENTITY_HEADER } = identity.environment;
  const headers = { 'X-IDENTITY-HEADER': header ?? IDENTITY_HEADER };
  expect((await fetch(`${IDENTITY_ENDPOINT}?${query}`, { headers })).status).toBe(status);
});
