/** A database that is away for a moment. */
import { randomUUID } from 'node:crypto';
import { Database, type RetryOptions } from '../../src/database/database';
import { createCredential } from '../../src/services';
import { arrange, hour, useEnvironment } from '../support/arrange';
import { closedPort } from '../support/closedPort';
import { jobOf, type TestServices } from '../support/environment';

const environment = useEnvironment();
const { add, run } = arrange(environment, jobOf('revocation', 'Databricks'));
beforeEach(() => add({ endsIn: -hour }));

/** Services whose database has other settings until the first pause, and an identity of its own. */
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
  // Tokens are kept by client id for the life of the process.
  const credential = await createCredential(environment.environment, randomUUID());
  return { ...usual, database: new Database(settings, credential, undefined, awayAs.retryOptions) };
}

const readOnly = { kind: 'error', match: /INSERT INTO dbo\.RevokedAccess/, number: 3906 } as const;

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
      environment.standIn?.order(readOnly);
      return services();
    },
  ],
])('a job continues after a moment of %s', async (_, unavailable) => {
  const arranged = await unavailable();
  expect(await run(arranged)).toMatchObject({ status: 'Completed', processedCount: 1 });
  expect(arranged.clock.slept).toEqual([5_000]);
});

test('a database that stays away is reported within the time budget of the run', async () => {
  environment.standIn?.order({ ...readOnly, times: Infinity });
  const arranged = await services();
  expect(await run(arranged)).toMatchObject({
    status: 'Failed',
    message: expect.stringContaining('SQL error 3906') as string,
  });
  expect(arranged.clock.slept).toEqual([5_000, 10_000, 20_000, 30_000, 60_000]);
});

test('a database that is moved while a command uses it is waited for', async () => {
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
