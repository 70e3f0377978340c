import type { JobRun } from '../../src/jobRun/jobRun';
import { failureCauses } from '../../src/jobs/failures';
import { previewJob } from '../../src/jobs/previewJob';
import {
  beforeEachStatement,
  beforeStatement,
  finished,
  realServer,
  revocations,
  startTestEnvironment,
  type TestEnvironment,
  type TestServices,
} from '../support/environment';
import { replaceView, restoreViews, viewColumns } from '../support/views';

const hour = 60 * 60 * 1000;
const day = 24 * hour;
let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterEach(async () => {
  jest.restoreAllMocks();
  await environment.reset();
  await restoreViews(environment);
});
afterAll(() => environment.close());

/** What SQL Server says of a request that is not there (547). */
const conflict =
  'The INSERT statement conflicted with the FOREIGN KEY constraint "FK_Request". The conflict occurred in database "access", table "dbo.Requests".';

/** The request ids that a run's row names for a cause. */
function idsOf(run: JobRun, cause: string): ReadonlySet<unknown> {
  return new Set(run.facts.failures.find((failure) => failure.cause === cause)?.requestIds);
}

/** A real server has no faults to order. */
const withFaults = realServer ? test.skip : test;

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
      message: 'Started by hand.',
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
    expect(run.message).toMatch(
      /^Safety stop: 6 grants .*\(5\)\. Nothing was revoked\. Review them in a preview/,
    );
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
    expect(run).toMatchObject({ status: 'Failed', message: 'Abandoned: by a test' });
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
    expect(run.message).toMatch(
      /^Stopped early: .*time budget.*More is left; run it by hand again\. Started by hand\. Run without the safety limit\.$/,
    );
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

  test('a request that the view yields more than once is left alone, and the run fails and names it', async () => {
    const [twice, also] = await environment.addGrants(job, [
      { endsIn: -hour, resource: 'twice' },
      { endsIn: -hour, resource: 'renewed' },
      { endsIn: -hour },
      { endsIn: -2 * hour },
    ]);
    const { Resource, ExpiresAt } = viewColumns(job);
    await replaceView(
      environment,
      job,
      {},
      { where: `${Resource} = 'twice'` },
      // Its other row is not due: which of the two is right, nobody can know.
      { columns: { ExpiresAt: `DATEADD(DAY, 30, ${ExpiresAt})` }, where: `${Resource} = 'renewed'` },
    );
    const preview = await previewJob(environment.services(), job);
    expect(preview).toMatchObject({ count: 2, failing: [{ cause: 'duplicated', count: 2 }] });
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 2 });
    expect(run.message).toMatch(
      /^2 grants were due and left alone\. Failed: 2 in the view more than once\. /,
    );
    expect(idsOf(run, 'duplicated')).toEqual(new Set([twice, also].map(String)));
    expect(await revoked()).toHaveLength(2);
  });

  test('the ceiling counts what the dry run counts, not what the view yields more than once', async () => {
    await environment.addGrants(
      job,
      Array.from({ length: 9 }, (_, index) => ({ endsIn: -hour, resource: index < 5 ? 'twice' : 'once' })),
    );
    await replaceView(environment, job, {}, { where: `${viewColumns(job).Resource} = 'twice'` });
    const services = environment.services({ revocationCeiling: 4 });
    expect(await previewJob(services, job)).toMatchObject({ count: 4, exceedsCeiling: false });
    expect(finished(await environment.run(job, services))).toMatchObject({
      status: 'Failed',
      processedCount: 4,
    });
  });

  test('a row without a request id costs that row alone, and the run fails and says so', async () => {
    await environment.addGrants(job, [
      { endsIn: -hour, resource: 'none' },
      { endsIn: -hour, resource: 'none' },
      { endsIn: -hour },
    ]);
    const { RequestId, Resource } = viewColumns(job);
    await replaceView(environment, job, {
      columns: { RequestId: `CASE WHEN ${Resource} = 'none' THEN NULL ELSE ${RequestId} END` },
    });
    expect(await previewJob(environment.services(), job)).toMatchObject({
      count: 1,
      failing: [{ cause: 'idMissing', count: 2 }],
    });
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 1 });
    expect(run.message).toMatch(/^2 grants were due and left alone\. Failed: 2 without a request id/);
  });

  test('an end that cannot be compared leaves grants due: the run fails and says how many', async () => {
    const ids = await environment.addGrants(job, [{ endsIn: -hour }, { endsIn: -hour }]);
    // As with a DATETIMEOFFSET or a masked column: what is read is not what the view compares.
    await replaceView(environment, job, {
      columns: { ExpiresAt: 'DATEADD(HOUR, -1, SYSUTCDATETIME())' },
    });
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 0 });
    expect(run.message).toMatch(
      /^2 grants were due and left alone\. Failed: 2 with an end that compares unequal to itself\. /,
    );
    expect(idsOf(run, 'endUnstable')).toEqual(new Set(ids.map(String)));
  });

  test('ends of type DATE are compared by day, also those before 1753, which a DATETIME has not', async () => {
    const [old, yesterday] = await environment.addGrants(job, [
      { endsIn: -hour, resource: 'old' },
      { endsIn: -day },
      { endsIn: 2 * day },
    ]);
    const { Resource, ExpiresAt } = viewColumns(job);
    await replaceView(environment, job, {
      columns: {
        ExpiresAt: `CASE WHEN ${Resource} = 'old' THEN CAST('1700-01-01' AS DATE) ELSE CAST(${ExpiresAt} AS DATE) END`,
      },
    });
    expect((await previewJob(environment.services(), job)).count).toBe(2);
    expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 2 });
    expect(new Set(await revoked())).toEqual(new Set([old, yesterday]));
    expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 0 });
  });

  /**
   * The requests at these positions, in the order of their ids, cannot be written: each batch with one of them is
   * answered with the fault. A lock time-out takes its time.
   */
  const obstruct = (
    positions: { readonly from: number; readonly to: number },
    fault:
      | { readonly kind: 'error'; readonly number: number; readonly message?: string }
      | { readonly kind: 'hang' },
    clock?: TestServices['clock'],
  ): jest.SpyInstance =>
    beforeEachStatement(({ name, sql, parameters }) => {
      if (name !== 'revokeBatch') return;
      const [first, last] = [parameters?.first?.value as number, parameters?.last?.value as number];
      if (last < positions.from || first > positions.to) return;
      environment.standIn?.order({ ...fault, match: /INSERT INTO dbo.RevokedAccess/ });
      clock?.advance(Number(/SET LOCK_TIMEOUT (\d+)/.exec(sql)?.[1]));
    });
  const addExpired = (count: number) =>
    environment.addGrants(
      job,
      Array.from({ length: count }, () => ({ endsIn: -hour })),
    );

  withFaults.each([
    ['that another transaction has locked', { kind: 'error', number: 1222 }, 'locked'],
    ['that the foreign key refuses', { kind: 'error', number: 547, message: conflict }, 'refused'],
    ['that is not written in time', { kind: 'hang' }, 'timedOut'],
  ] as const)(
    'a request %s is left for the next run and named; all others are revoked',
    async (_case, fault, cause) => {
      const ids = await addExpired(5);
      const obstruction = obstruct({ from: 2, to: 2 }, fault);
      const run = finished(
        await environment.run(
          job,
          environment.services({}, fault.kind === 'hang' ? { statementTimeout: 1_000 } : {}),
        ),
      );
      expect(run).toMatchObject({ status: 'Failed', processedCount: 4 });
      expect(run.message).toContain(
        `1 grant was due and left alone. Failed: 1 ${failureCauses[cause].words}.`,
      );
      expect(run.facts.failures).toEqual([{ cause, count: 1, requestIds: [String(ids[1])] }]);
      obstruction.mockRestore();
      expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 1 });
      expect(await revoked()).toHaveLength(5);
    },
  );

  withFaults(
    'many locked requests cost no other its turn: what comes behind them is revoked, and they are named',
    async () => {
      await addExpired(4_600);
      const services = environment.services();
      obstruct({ from: 1, to: 600 }, { kind: 'error', number: 1222 }, services.clock);
      const run = finished(await environment.run(job, services, { allowMassRevocation: true }));
      expect(run).toMatchObject({ status: 'Failed', stoppedEarly: false });
      const count = run.processedCount ?? 0;
      // To part the last of them from the locked ones there was no time.
      expect(count).toBeGreaterThan(3_950);
      expect(run.facts.failures).toMatchObject([{ cause: 'locked', count: 4_600 - count }]);
      expect(idsOf(run, 'locked').size).toBe(5);
      expect(await revoked()).toHaveLength(count);
    },
  );

  withFaults('a run that finds every request locked has failed and says so', async () => {
    await addExpired(540);
    const services = environment.services();
    obstruct({ from: 1, to: 540 }, { kind: 'error', number: 1222 }, services.clock);
    const run = finished(await environment.run(job, services));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 0 });
    expect(run.facts.failures).toMatchObject([{ cause: 'locked', count: 540 }]);
    expect(idsOf(run, 'locked').size).toBe(5);
    expect(services.telemetry.events).toMatchObject([{ status: 'Failed', dueCount: 540 }]);
  });

  test('a run whose time is spent before it has revoked anything has failed', async () => {
    await addExpired(3);
    const services = environment.services();
    beforeStatement('collectDueRevocations', 1, () => services.clock.advance(200_000));
    const run = finished(await environment.run(job, services));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 0 });
    expect(run.message).toMatch(/^Nothing was revoked of 3 grants due: its time budget is spent\./);
    expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 3 });
  });

  withFaults('a request that is deleted while its batch is written costs nobody else', async () => {
    const [deleted] = await addExpired(5);
    const [table, id] =
      job.platform.name === 'Databricks'
        ? ['dbo.DataAccessDeltaRequests', 'id']
        : ['dbo.DataAccessPalantirRequests', 'RequestId'];
    beforeStatement('revokeBatch', 1, async () => {
      await environment.query(`DELETE FROM ${table} WHERE ${id} = '${String(deleted)}';`);
      environment.standIn?.order({
        kind: 'error',
        number: 547,
        message: conflict,
        match: /INSERT INTO dbo.RevokedAccess/,
      });
    });
    expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 4 });
    expect(await revoked()).toHaveLength(4);
  });

  withFaults('a clock that is set back during the run revokes nothing before its end', async () => {
    await addExpired(2);
    beforeStatement('revokeBatch', 1, () => environment.standIn?.clock.advance(-2 * hour));
    expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 0 });
    expect(await revoked()).toEqual([]);
    environment.standIn?.clock.advance(2 * hour);
    expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 2 });
    expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 0 });
    expect(await revoked()).toHaveLength(2);
  });

  test('a grant is not revoked while another of the same access ends later; once the last has ended, all are', async () => {
    const [old, renewed, tied, tiedToo, other] = await environment.addGrants(job, [
      { endsIn: -2 * hour, accessKey: 'a' },
      { endsIn: hour, accessKey: 'a' },
      { endsIn: -hour, accessKey: 'b' },
      { endsIn: -hour, accessKey: 'b' },
      { endsIn: -hour },
    ]);
    await replaceView(environment, job, {});
    const preview = await previewJob(environment.services(), job);
    expect(preview).toMatchObject({ count: 3, coveredCount: 1, covered: [{ requestId: old }] });
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Completed', processedCount: 3 });
    expect(new Set(await revoked())).toEqual(new Set([tied, tiedToo, other]));

    const [table, end, id] =
      job.platform.name === 'Databricks'
        ? ['dbo.DataAccessDeltaRequests', 'access_end_dt', 'id']
        : ['dbo.DataAccessPalantirRequests', 'AccessEndDate', 'RequestId'];
    await environment.query(
      `UPDATE ${table} SET ${end} = DATEADD(HOUR, -1, GETUTCDATE()) WHERE ${id} = '${String(renewed)}';`,
    );
    expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 2 });
    expect(new Set(await revoked())).toEqual(new Set([tied, tiedToo, other, old, renewed]));
  });

  test('an access key that is empty or blank is none', async () => {
    const ids = await environment.addGrants(job, [
      { endsIn: -2 * hour, accessKey: '' },
      { endsIn: -hour, accessKey: '  ' },
      { endsIn: day, accessKey: '' },
      { endsIn: day, accessKey: '  ' },
    ]);
    await replaceView(environment, job, {});
    expect(await previewJob(environment.services(), job)).toMatchObject({ count: 2, coveredCount: 0 });
    expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 2 });
    expect(new Set(await revoked())).toEqual(new Set(ids.slice(0, 2)));
  });

  test('a dry run is read page by page in either order, and says how the ends are spread', async () => {
    await environment.addGrants(
      job,
      Array.from({ length: 130 }, (_, index) => ({ endsIn: -Math.floor(index / 2) * day - hour / 2 })),
    );
    const services = environment.services();
    for (const order of ['soonest', 'latest'] as const) {
      const first = await previewJob(services, job, { order });
      expect(first.grants).toHaveLength(100);
      if (first.next === null) throw new Error('There is a second page');
      const second = await previewJob(services, job, { order, after: first.next });
      expect(second.next).toBeNull();
      const grants = [...first.grants, ...second.grants];
      expect(new Set(grants.map(({ requestId }) => requestId)).size).toBe(130);
      const ends = grants.map(({ expiresAt }) => expiresAt.getTime());
      expect(ends).toEqual([...ends].sort((a, b) => (order === 'soonest' ? a - b : b - a)));
    }
    const { ends } = await previewJob(services, job);
    expect(ends?.spread.map(({ count }) => count)).toEqual([0, 70, 46, 12, 0, 2]);
    expect(ends?.spread[0]?.from).toBeNull();
    expect(ends?.spread.at(-1)?.to).toBeNull();
  });

  test('a view without a column fails the run with a message that names the column', async () => {
    const { grantView } = job.platform;
    await environment.query(`DROP VIEW ${grantView};`);
    await environment.query(`CREATE VIEW ${grantView} AS SELECT 1 AS RequestId, 'x' AS RequestNumber;`);
    const run = finished(await environment.run(job));
    expect(run.status).toBe('Failed');
    expect(run.message).toMatch(/Invalid column name '\w+'.*sql\/06_AccessGrant_views\.sql/);
  });

  test('a missing view fails the run with a message that names the view', async () => {
    await environment.query(`DROP VIEW ${job.platform.grantView};`);
    expect(finished(await environment.run(job)).message).toContain(job.platform.grantView);
  });
});
