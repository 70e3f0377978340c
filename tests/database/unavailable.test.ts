/** A database that is away for a moment. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { Database, type RetryOptions } from '../../src/database/database';

import { createCredential } from '../../src/services';
import {
  FastClock,
  finished,
  jobOf,
  startTestEnvironment,
  type TestEnvironment,
  type TestServices,
} from '../support/environment';

const hour = 60 * 60 * 1000;
const job = jobOf('revocation', 'Databricks');
let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
beforeEach(async () => {
  await environment.reset();
  await environment.addGrants(job, [{ endsIn: -hour }]);
});
afterAll(() => environment.close());

/** A loopback port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Services whose database has other settings until the first pause, and an identity of its own. */
async function services(
  awayAs: { readonly server?: string; readonly port?: number; readonly retryOptions?: RetryOptions } = {},
): Promise<{ services: TestServices; clock: FastClock }> {
  const clock = new FastClock();
  const { database } = environment.settings;
  const settings = {
    ...database,
    get server() {
      return clock.slept.length > 0 ? database.server : (awayAs.server ?? database.server);
    },
    get port() {
      return clock.slept.length > 0 ? database.port : (awayAs.port ?? database.port);
    },
  };
  // Tokens are kept by client id for the life of the process.
  const credential = await createCredential(environment.environment, randomUUID());
  return {
    services: {
      ...environment.services(),
      clock,
      database: new Database(settings, credential, undefined, awayAs.retryOptions),
    },
    clock,
  };
}

describe('a job goes on after a moment', () => {
  test.each([
    ['a refused connection', async () => services({ port: await closedPort() })],
    ['an unknown host name', () => services({ server: 'no-such-server.invalid' })],
    [
      'a token endpoint that fails',
      () => {
        environment.identity.order({ kind: 'error', status: 400 });
        return services();
      },
    ],
    [
      'a login that finds no database (4060)',
      () => {
        environment.standIn?.order({ kind: 'refuseLogin', number: 4060 });
        return services();
      },
    ],
    [
      'a database that is read-only after a failover (3906)',
      () => {
        environment.standIn?.order({ kind: 'error', match: /INSERT INTO dbo\.RevokedAccess/, number: 3906 });
        return services();
      },
    ],
  ])('of %s', async (_, arrange) => {
    const { services: arranged, clock } = await arrange();
    expect(finished(await environment.run(job, arranged))).toMatchObject({
      status: 'Completed',
      processedCount: 1,
    });
    expect(clock.slept).toEqual([5_000]);
  });
});

test('a database that stays away is told within the time budget of the run', async () => {
  environment.standIn?.order({
    kind: 'error',
    match: /INSERT INTO dbo\.RevokedAccess/,
    number: 3906,
    times: Infinity,
  });
  const { services: arranged, clock } = await services();
  expect(finished(await environment.run(job, arranged))).toMatchObject({
    status: 'Failed',
    message: expect.stringContaining('SQL error 3906') as string,
  });
  expect(clock.slept).toEqual([5_000, 10_000, 20_000, 30_000, 60_000]);
});

test('a database that is moved while a command uses it is waited for', async () => {
  const { standIn } = environment;
  const { services: arranged, clock } = await services({ retryOptions: { interactive: true } });
  standIn?.order({ kind: 'dropBefore', match: /INSERT INTO #Due/ });
  const sleep = jest.spyOn(clock, 'sleep');
  sleep.mockImplementationOnce((ms) => {
    standIn?.order({ kind: 'refuseLogin', number: 4060 });
    return clock.sleep(ms);
  });
  expect(finished(await environment.run(job, arranged)).status).toBe('Completed');
  expect(clock.slept).toEqual([5_000, 10_000]);
});
