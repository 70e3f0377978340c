/**
 * A retry that overtakes its own first try: session 1 has written and stalls before its commit is acknowledged; the app
 * gives it up and tries again on session 2, which collects what is due and cannot see session 1's rows yet.
 */
import { Session } from '../../src/database/session';
import { jobs } from '../../src/jobs/catalogue';
import { createCredential } from '../../src/services';
import {
  beforeStatement,
  finished,
  startTestEnvironment,
  type TestEnvironment,
} from '../support/environment';

const hour = 60 * 60 * 1000;
let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment({ ignoreLockHints: true });
});
afterEach(() => {
  jest.restoreAllMocks();
  return environment.reset();
});
afterAll(() => environment.close());

describe.each(jobs.map((job) => [job.type, job] as const))('%s', (_, job) => {
  const { revocationTable, notificationTable } = job.platform;
  const table = job.kind === 'revocation' ? revocationTable : notificationTable;
  const addDue = (count: number) =>
    environment.addGrants(
      job,
      Array.from({ length: count }, () => ({
        endsIn: job.kind === 'revocation' ? -hour : 30 * hour,
        email: 'ada@example.com',
      })),
    );
  const written = () => environment.query(`SELECT Id FROM ${table};`);

  test('writes nothing twice when the first try commits after the second has begun', async () => {
    await addDue(3);
    // The first record of a run is its empty trial; the second is that of the message.
    const [statement, nth] =
      job.kind === 'revocation' ? (['revokeBatch', 1] as const) : (['recordNotification', 2] as const);
    beforeStatement(statement, nth, () =>
      environment.standIn?.order({
        kind: 'answerLate',
        match: new RegExp(`INSERT INTO ${table}`),
        drop: true,
      }),
    );
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Completed', processedCount: 3 });
    expect(await written()).toHaveLength(3);
    expect(await environment.runs(job)).toHaveLength(1);
  });

  test('writes nothing once its row is being closed, even where it begins before that is committed', async () => {
    await addDue(3);
    const { standIn } = environment;
    if (!standIn) throw new Error('Commits are held back by the stand-in');
    const other = await openSession();
    const commit = standIn.order({ kind: 'holdCommit', match: /'closed by a test'/ });
    let closing: Promise<unknown> | undefined;
    beforeStatement(job.kind === 'revocation' ? 'revokeBatch' : 'checkLease', 1, async () => {
      closing = other.query({
        name: 'close',
        sql: "UPDATE dbo.JobRun SET Status = 'Failed', Error_Message = 'closed by a test' WHERE Status = 'InProgress';",
      });
      await commit.held;
      // The statement has begun, and waits or reads the state before, until the row is closed for all to see.
      setTimeout(() => commit.release(), 100);
    });
    const run = finished(await environment.run(job));
    await closing;
    other.close();
    expect(run).toMatchObject({ status: 'Failed', errorMessage: 'closed by a test' });
    // A message that went out before the row was closed is recorded; nothing is revoked.
    expect(await written()).toHaveLength(job.kind === 'revocation' ? 0 : 3);
    expect(run.processedCount ?? 0).toBe((await written()).length);
  });
});

async function openSession(): Promise<Session> {
  return Session.open(
    environment.settings.database,
    await createCredential(environment.environment, undefined),
    30_000,
  );
}
