/** A database that is unavailable for a moment. */
import { randomUUID } from 'node:crypto';
import { Database, type RetryOptions } from '../../src/database/database';
import { createCredential } from '../../src/services';
import { arrange, hour, useEnvironment } from '../support/arrange';
import { closedPort } from '../support/closedPort';
import { jobOf, type TestServices } from '../support/environment';

const environment = useEnvironment();
const { add, run } = arrange(environment, jobOf('revocation', 'Databricks'));
beforeEach(() => add({ endsIn: -hour }));

/** Services with their own identity; until the first pause their database has other settings. */
async function services(
  awayAs: { readonly server?: string; readonly port?: number; readonly retryOptions?: RetryOptions } = {},
): Promise<TestServices> {
  const usual = environment.services();
  const { database } = environment.settings;
  const away = (): typeof awayAs => (usual.clock.slept.length > 0 ? {} : awayAs);
  const settings = {
    ...database,
    get server() {
      return away().server ?? database.server;
    },
    get port() {
      return away().port ?? database.port;
    },
  };
  // The library caches tokens by client id.
  const credential = await createCredential(environment.environment, randomUUID());
  return { ...usual, database: new Database(settings, credential, undefined, awayAs.retryOptions) };
}

const readOnly = { kind: 'error', match: /INSERT INTO dbo\.RevokedAccess/, number: 3906 } as const;

test.each([
  ['a refused connection', async () => services({ port: await closedPort() })],
  ['an unknown host name', () => services({ server: 'no-such-server.invalid' })],
  [
    'a database that is read-only after a failover (3906)',
    () => {
      environment.standIn?.order(readOnly);
      return services();
    },
  ],
])('a job continues after %s', async (_, unavailable) => {
  const arranged = await unavailable();
  expect(await run(arranged)).toMatchObject({ status: 'Completed', processedCount: 1 });
  expect(arranged.clock.slept).toEqual([5_000]);
});

test('a run fails within its time budget if the database stays unavailable', async () => {
  environment.standIn?.order({ ...readOnly, times: Infinity });
  const arranged = await services();
  expect(await run(arranged)).toMatchObject({
    status: 'Failed',
    message: expect.stringContaining('SQL error 3906') as string,
  });
  expect(arranged.clock.slept).toEqual([5_000, 10_000, 20_000, 30_000, 60_000]);
});

test('a command waits for a database that is moved while it runs', async () => {
  const { standIn } = environment;
  const arranged = await services({ retryOptions: { interactive: true } });
  const { clock } = arranged;
  standIn?.order({ kind: 'dropBefore', match: /INSERT INTO #Due/ });
  jest.spyOn(clock, 'sleep').mockImplementationOnce((ms) => {
    standIn?.order({ kind: 'refuseLogin', number: 4060 });
    return clock.sleep(ms);
  });
  expect((await run(arranged)).status).toBe('Completed');
  expect(clock.slept).toEqual([5_000, 10_000]);
});
