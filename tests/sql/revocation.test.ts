import { createDatabase } from '../../local/sampleDatabase';
import { previewJob } from '../../src/jobs/previewJob';
import {
  beforeStatement,
  finished,
  revocations,
  startTestEnvironment,
  type TestEnvironment,
} from '../support/environment';

const hour = 60 * 60 * 1000;
const day = 24 * hour;
let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterEach(() => {
  jest.restoreAllMocks();
  return environment.reset();
});
afterAll(() => environment.close());

describe.each(revocations.map((job) => [job.platform.name, job] as const))('%s', (_, job) => {
  const { revocationTable, requestColumn } = job.platform;
  const revoked = async () =>
    (await environment.query(`SELECT ${requestColumn} AS Id FROM ${revocationTable} ORDER BY Id;`)).map(
      ({ Id }) => Id,
    );
  const revocationAt = (id: number | string, hoursAgo: number) =>
    environment.query(
      `INSERT INTO ${revocationTable} (${requestColumn}, Revoked_Dt, Revoked_By) VALUES ('${id}', DATEADD(HOUR, -${hoursAgo}, GETUTCDATE()), 'earlier');`,
    );

  test('an expired grant is revoked, by the job and at the time of the database; others are not', async () => {
    const [expired] = await environment.addGrants(job, [
      { endsIn: -hour },
      { endsIn: hour },
      { endsIn: null },
      { endsIn: -hour, status: 'Rejected' },
    ]);
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({
      status: 'Completed',
      processedCount: 1,
      failedCount: null,
      errorMessage: null,
    });
    const rows = await environment.query(
      `SELECT *, DATEDIFF(SECOND, Revoked_Dt, GETUTCDATE()) AS Age FROM ${revocationTable};`,
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ [requestColumn]: expired, Revoked_By: job.type });
    expect(rows[0]?.Age).toBeLessThanOrEqual(5);
  });

  test('a second run changes nothing', async () => {
    await environment.addGrants(job, [{ endsIn: -hour }, { endsIn: -2 * hour }]);
    expect(finished(await environment.run(job)).processedCount).toBe(2);
    expect(finished(await environment.run(job)).processedCount).toBe(0);
    expect(await revoked()).toHaveLength(2);
  });

  test('a grant that was renewed after its revocation and has expired again is revoked again', async () => {
    const [renewedAndExpired, renewed] = await environment.addGrants(job, [
      { endsIn: -hour },
      { endsIn: day },
    ]);
    for (const id of [renewedAndExpired, renewed]) if (id !== undefined) await revocationAt(id, 48);
    expect(finished(await environment.run(job)).processedCount).toBe(1);
    const ids = await revoked();
    expect(ids.filter((id) => id === renewedAndExpired)).toHaveLength(2);
    expect(ids.filter((id) => id === renewed)).toHaveLength(1);
  });

  test('a revocation at or after the expiry settles it', async () => {
    const [id] = await environment.addGrants(job, [{ endsIn: -2 * hour }]);
    if (id !== undefined) await revocationAt(id, 1);
    expect(finished(await environment.run(job)).processedCount).toBe(0);
  });

  test('more grants than fit one batch are all revoked, each once', async () => {
    await environment.addGrants(
      job,
      Array.from({ length: 4_100 }, (_, index) => ({ endsIn: -hour - index })),
    );
    const run = finished(await environment.run(job, undefined, { allowMassRevocation: true }));
    expect(run.processedCount).toBe(4_100);
    expect(new Set(await revoked()).size).toBe(4_100);
    expect(await revoked()).toHaveLength(4_100);
  });

  test('the safety stop: more than the ceiling are due, nothing is written, and the message says how to go on', async () => {
    await environment.addGrants(
      job,
      Array.from({ length: 6 }, () => ({ endsIn: -hour })),
    );
    const services = environment.services({ revocationCeiling: 5 });
    const run = finished(await environment.run(job, services));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 0 });
    expect(run.errorMessage).toMatch(/^Safety stop: 6 grants .*\(5\).*dryRun=true.*allowMassRevocation=true/);
    expect(await revoked()).toEqual([]);
    expect(services.telemetry.events).toMatchObject([{ status: 'Failed', errorName: 'SafetyStopError' }]);

    expect(finished(await environment.run(job, services, { allowMassRevocation: true }))).toMatchObject({
      status: 'Completed',
      processedCount: 6,
    });
  });

  test('as many as the ceiling are revoked without a word', async () => {
    await environment.addGrants(
      job,
      Array.from({ length: 5 }, () => ({ endsIn: -hour })),
    );
    const services = environment.services({ revocationCeiling: 5 });
    expect(finished(await environment.run(job, services)).processedCount).toBe(5);
  });

  test('a dry run tells how many are due and the first 100 by expiry, writes nothing and takes no lock', async () => {
    await environment.addGrants(
      job,
      Array.from({ length: 120 }, (_, index) => ({ endsIn: -hour * (index + 1) })),
    );
    const preview = await previewJob(environment.services({ revocationCeiling: 100 }), job);
    expect(preview).toMatchObject({ jobType: job.type, count: 120, exceedsCeiling: true });
    expect(preview.grants).toHaveLength(100);
    const ends = preview.grants.map(({ expiresAt }) => expiresAt.getTime());
    expect(ends).toEqual([...ends].sort((a, b) => a - b));
    expect(await revoked()).toEqual([]);
    expect(await environment.runs(job)).toEqual([]);
  });

  test('a run that lost its lock writes nothing more and says so', async () => {
    await environment.addGrants(
      job,
      Array.from({ length: 4_100 }, () => ({ endsIn: -hour })),
    );
    const services = environment.services();
    beforeStatement('revokeBatch', 2, () =>
      environment.query("UPDATE dbo.JobRun SET Status = 'Failed', Error_Message = 'Abandoned: by a test';"),
    );
    const run = finished(await environment.run(job, services, { allowMassRevocation: true }));
    expect(run).toMatchObject({ status: 'Failed', errorMessage: 'Abandoned: by a test' });
    expect(services.telemetry.exceptions[0]?.error.name).toBe('LockLostError');
    const count = (await revoked()).length;
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(4_100);
    expect(run.processedCount).toBe(count);
  });

  test('a run whose time is spent finishes its row, says that more is left, and the next one goes on', async () => {
    await environment.addGrants(
      job,
      Array.from({ length: 4_100 }, () => ({ endsIn: -hour })),
    );
    const services = environment.services();
    beforeStatement('revokeBatch', 1, () => services.clock.advance(200_000));
    const run = finished(await environment.run(job, services, { allowMassRevocation: true }));
    expect(run).toMatchObject({ status: 'Completed', stoppedEarly: true });
    expect(run.errorMessage).toMatch(/^Stopped early: .*time budget.*More is left; run it by hand again\.$/);
    expect(run.processedCount).toBe((await revoked()).length);
    expect(run.processedCount).toBeGreaterThan(0);
    expect(run.processedCount).toBeLessThan(4_100);
    expect(services.telemetry.events).toMatchObject([{ status: 'Completed', stoppedEarly: true }]);

    await environment.run(job, undefined, { allowMassRevocation: true });
    expect(await revoked()).toHaveLength(4_100);
  });

  test('a grant that is renewed after the run has collected it is not revoked', async () => {
    await environment.addGrants(job, [{ endsIn: -hour }]);
    const [table, end] =
      job.platform.name === 'Databricks'
        ? ['dbo.DataAccessDeltaRequests', 'access_end_dt']
        : ['dbo.DataAccessPalantirRequests', 'AccessEndDate'];
    beforeStatement('revokeBatch', 1, () =>
      environment.query(`UPDATE ${table} SET ${end} = DATEADD(DAY, 30, GETUTCDATE());`),
    );
    expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 0 });
    expect(await revoked()).toEqual([]);
  });

  test('a view that yields a grant twice revokes it once', async () => {
    const { grantView } = job.platform;
    await environment.addGrants(job, [{ endsIn: -hour }]);
    const columns = 'RequestId, RequestNumber, RequesterName, RequesterEmail, Resource, ExpiresAt';
    const source =
      job.platform.name === 'Databricks'
        ? 'SELECT id AS RequestId, request_number AS RequestNumber, requested_by AS RequesterName, requested_by_email AS RequesterEmail, table_name AS Resource, access_end_dt AS ExpiresAt FROM dbo.DataAccessDeltaRequests'
        : 'SELECT RequestId, RequestNumber, RequestedBy AS RequesterName, RequestedByEmail AS RequesterEmail, ProjectName AS Resource, AccessEndDate AS ExpiresAt FROM dbo.DataAccessPalantirRequests';
    await environment.query(
      `CREATE OR ALTER VIEW ${grantView} AS SELECT ${columns} FROM (${source} UNION ALL ${source}) AS twice;`,
    );
    try {
      expect(finished(await environment.run(job)).processedCount).toBe(1);
      expect(await revoked()).toHaveLength(1);
    } finally {
      await restoreObjects();
    }
  });

  test('a view without a column fails the run with a message that names the column', async () => {
    const { grantView } = job.platform;
    await environment.query(`DROP VIEW ${grantView};`);
    await environment.query(`CREATE VIEW ${grantView} AS SELECT 1 AS RequestId, 'x' AS RequestNumber;`);
    try {
      const run = finished(await environment.run(job));
      expect(run.status).toBe('Failed');
      expect(run.errorMessage).toMatch(/Invalid column name 'ExpiresAt'.*sql\/06_AccessGrant_views\.sql/);
    } finally {
      await restoreObjects();
    }
  });

  test('a missing view fails the run with a message that names the view', async () => {
    await environment.query(`DROP VIEW ${job.platform.grantView};`);
    try {
      expect(finished(await environment.run(job)).errorMessage).toContain(job.platform.grantView);
    } finally {
      await restoreObjects();
    }
  });
});

async function restoreObjects(): Promise<void> {
  await createDatabase(environment.session);
}
