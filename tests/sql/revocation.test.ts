import type { JobRun } from '../../src/jobRun/jobRun';
import { withoutSafetyStop } from '../../src/jobs/catalogue';
import { failureCauses } from '../../src/jobs/failures';
import { ago, arrange, day, hour, pauseBefore, repeat, texts, useEnvironment } from '../support/arrange';
import { beforeEachStatement, beforeStatement, revocations, type TestServices } from '../support/environment';
import { testOnStandIn } from '../support/realServer';

const environment = useEnvironment();

/** SQL Server's error for a request that does not exist (547). */
const conflict = {
  kind: 'error',
  number: 547,
  message:
    'The INSERT statement conflicted with the FOREIGN KEY constraint "FK_Request". The conflict occurred in database "access", table "dbo.Requests".',
} as const;
const expired = { endsIn: -hour };

/** The request ids in a run's row for a cause. */
const idsOf = (run: JobRun, cause: string): ReadonlySet<unknown> =>
  new Set(run.facts.failures.find((failure) => failure.cause === cause)?.requestIds);

describe.each(revocations.map((job) => [job.platform.name, job] as const))('%s', (_, job) => {
  const { grantView } = job.platform;
  const site = arrange(environment, job);
  const { add, addOne, columns, preview, run } = site;
  const { run: runWithoutCeiling } = arrange(environment, withoutSafetyStop(job));
  const revoked = async () => (await site.revocations()).map(({ RequestId }) => RequestId);

  testOnStandIn(
    'a safety stop after a batch whose answer was lost does not say that nothing was revoked',
    async () => {
      await add(...repeat(3, expired));
      environment.standIn?.order({ kind: 'dropAfter', match: /INSERT INTO dbo\.RevokedAccess/ });
      beforeStatement('collectDueRevocations', 2, async () => {
        await add(...repeat(6, expired));
      });
      const { message, processedCount } = await run(environment.services({ revocationCeiling: 5 }));
      expect(processedCount).toBe(3);
      expect(message).toMatch(/^Safety stop: 6 grants .* Nothing more was revoked\. /);
    },
  );

  test('an expired grant is revoked once for each end, dated by the database’s clock', async () => {
    const [never, renewedAndExpired, renewed, settled] = await add(
      expired,
      expired,
      { endsIn: day },
      { endsIn: -2 * hour },
      { endsIn: null },
      { ...expired, status: 'Rejected' },
    );
    for (const id of [renewedAndExpired, renewed]) await site.revoked(id, ago(48, 'HOUR'));
    await site.revoked(settled, ago(1, 'HOUR'));
    const [{ Now: before } = {}] = await environment.query('SELECT GETUTCDATE() AS Now;');
    expect(await run()).toMatchObject({
      status: 'Completed',
      processedCount: 2,
      failedCount: null,
      message: 'Started by hand.',
    });
    const rows = (await site.revocations()).slice(3);
    expect(rows).toMatchObject([{ Revoked_By: job.type }, { Revoked_By: job.type }]);
    expect(new Set(rows.map(({ RequestId }) => RequestId))).toEqual(new Set([never, renewedAndExpired]));
    for (const { Revoked_Dt: at } of rows)
      expect((at as Date).getTime()).toBeGreaterThanOrEqual((before as Date).getTime());
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 0 });
    expect(await revoked()).toHaveLength(5);
  });

  test('the safety stop revokes nothing if more than the ceiling are due', async () => {
    await add(...repeat(6, expired));
    expect(await run(environment.services({ revocationCeiling: 5 }))).toMatchObject({ status: 'Failed' });
    expect(await revoked()).toEqual([]);
    const services = environment.services({ revocationCeiling: 6 });
    expect(await run(services)).toMatchObject({ status: 'Completed', processedCount: 6 });
  });

  test('the ceiling counts what the preview counts, without duplicated requests', async () => {
    await add(...repeat(9, (index) => ({ ...expired, resource: index < 5 ? 'twice' : 'once' })));
    await site.mapView({}, { where: `${columns.Resource} = 'twice'` });
    expect(await preview({ revocationCeiling: 4 })).toMatchObject({ count: 4, exceedsCeiling: false });
    expect(await run(environment.services({ revocationCeiling: 4 }))).toMatchObject({
      status: 'Failed',
      processedCount: 4,
    });
  });

  test('a preview shows how the ends are spread, and writes nothing', async () => {
    await add(...repeat(130, (index) => ({ endsIn: -Math.floor(index / 2) * day - hour / 2 })));
    const { grants, ends, exceedsCeiling } = await preview({ revocationCeiling: 100 });
    expect(exceedsCeiling).toBe(true);
    const times = grants.map(({ expiresAt }) => expiresAt.getTime());
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    const { spread = [] } = ends ?? {};
    expect(spread.map(({ count }) => count)).toEqual([0, 70, 46, 12, 0, 2]);
    expect([spread[0]?.from, spread.at(-1)?.to]).toEqual([null, null]);
    expect([await revoked(), await environment.runs(job)]).toEqual([[], []]);
  });

  test('a run at the end of its time budget stops early and says that more is left; the next one goes on', async () => {
    await add(...repeat(4_100, (index) => ({ endsIn: -hour - index })));
    const services = environment.services();
    beforeStatement('revokeBatch', 1, () => services.clock.advance(200_000));
    const result = await runWithoutCeiling(services);
    expect(result).toMatchObject({
      status: 'Completed',
      stoppedEarly: true,
      processedCount: (await revoked()).length,
      message: expect.stringMatching(
        /^Stopped early: .*time budget.*More is left; run it by hand again\. Started by hand\. Run without the safety limit\.$/,
      ) as string,
    });
    expect(result.processedCount).toBeGreaterThan(0);
    expect(result.processedCount).toBeLessThan(4_100);
    expect(services.telemetry.events).toMatchObject([{ status: 'Completed', stoppedEarly: true }]);
    await runWithoutCeiling();
    const ids = await revoked();
    expect([ids.length, new Set(ids).size]).toEqual([4_100, 4_100]);
  });

  test('a run fails if its time budget ends before it has revoked anything', async () => {
    await add(...repeat(3, expired));
    const services = environment.services();
    beforeStatement('collectDueRevocations', 1, () => services.clock.advance(200_000));
    expect(await run(services)).toMatchObject({
      status: 'Failed',
      processedCount: 0,
      message: expect.stringMatching(
        /^Nothing was revoked of 3 grants due: its time budget is spent\./,
      ) as string,
    });
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 3 });
  });

  test('a grant that is renewed after the run has collected it is not revoked', async () => {
    await add(expired);
    beforeStatement('revokeBatch', 1, () => site.moveEnd('DATEADD(DAY, 30, GETUTCDATE())'));
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 0 });
    expect(await revoked()).toEqual([]);
  });

  const isLeft = `${columns.Resource} = 'left'`;
  test.each([
    {
      what: 'that is duplicated',
      // One of the rows is not due: nobody can know which is right.
      parts: [
        {},
        { where: isLeft },
        { columns: { ExpiresAt: `DATEADD(DAY, 30, ${columns.ExpiresAt})` }, where: isLeft },
      ],
      cause: 'duplicated',
      words: '2 in the view more than once. ',
    },
    {
      what: 'without a request id',
      parts: [{ columns: { RequestId: `CASE WHEN ${isLeft} THEN NULL ELSE ${columns.RequestId} END` } }],
      cause: 'idMissing',
      words: '2 without a request id',
    },
    {
      // Like a DATETIMEOFFSET or a masked column: what is read differs from what the view compares.
      what: 'whose end is not comparable',
      parts: [
        {
          columns: {
            ExpiresAt: `CASE WHEN ${isLeft} THEN DATEADD(HOUR, -1, SYSUTCDATETIME()) ELSE ${columns.ExpiresAt} END`,
          },
        },
      ],
      cause: 'endUnstable',
      words: '2 with an end that is not comparable. ',
    },
  ])('a request $what is skipped, and the run fails and names it', async ({ parts, cause, words }) => {
    const left = { ...expired, resource: 'left' };
    const [first, second] = await add(left, left, expired, { endsIn: -2 * hour });
    await site.mapView(...parts);
    pauseBefore('revokeBatch');
    // An end that is not comparable is found only when it is written.
    if (cause !== 'endUnstable')
      expect(await preview()).toMatchObject({ count: 2, failing: [{ cause, count: 2 }] });
    const result = await run();
    expect(result).toMatchObject({ status: 'Failed', processedCount: 2 });
    expect(result.message).toContain(`2 grants were due and skipped. Failed: ${words}`);
    if (cause !== 'idMissing') expect(idsOf(result, cause)).toEqual(new Set(texts([first, second])));
    expect(await revoked()).toHaveLength(2);
  });

  test('ends of type DATE are compared by day, even those before 1753, which no DATETIME holds', async () => {
    const [old, yesterday] = await add(
      { ...expired, resource: 'old' },
      { endsIn: -day },
      { endsIn: 2 * day },
    );
    const { Resource, ExpiresAt } = columns;
    const end = `CASE WHEN ${Resource} = 'old' THEN CAST('1700-01-01' AS DATE) ELSE CAST(${ExpiresAt} AS DATE) END`;
    await site.mapView({ columns: { ExpiresAt: end } });
    expect((await preview()).count).toBe(2);
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 2 });
    expect(new Set(await revoked())).toEqual(new Set([old, yesterday]));
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 0 });
  });

  /**
   * The requests at positions `from` to `to`, in the order of their ids, cannot be written: each batch with one of them is
   * answered with the fault. A lock time-out takes its time.
   */
  const obstruct = (
    [from, to]: readonly [number, number],
    fault:
      | { readonly kind: 'error'; readonly number: number; readonly message?: string }
      | { readonly kind: 'hang' },
    clock?: Pick<TestServices['clock'], 'advance'>,
  ): jest.SpyInstance =>
    beforeEachStatement(({ name, sql, parameters }) => {
      if (name !== 'revokeBatch') return;
      const [first, last] = [parameters?.first?.value as number, parameters?.last?.value as number];
      if (last < from || first > to) return;
      environment.standIn?.order({ ...fault, match: /INSERT INTO dbo.RevokedAccess/ });
      clock?.advance(Number(/SET LOCK_TIMEOUT (\d+)/.exec(sql)?.[1]));
    });
  const locked = { kind: 'error', number: 1222 } as const;

  testOnStandIn.each([
    ['that another transaction locks', locked, 'locked'],
    ['that the foreign key refuses', conflict, 'refused'],
    ['that is not written in time', { kind: 'hang' }, 'timedOut'],
  ] as const)(
    'a request %s is left for the next run and named; all others are revoked',
    async (_case, fault, cause) => {
      const ids = await add(...repeat(5, expired));
      const obstruction = obstruct([2, 2], fault);
      const hanging = fault.kind === 'hang' ? { statementTimeoutMs: 1_000 } : {};
      const result = await run(environment.services({}, hanging));
      expect(result).toMatchObject({ status: 'Failed', processedCount: 4 });
      expect(result.message).toContain(
        `1 grant was due and skipped. Failed: 1 ${failureCauses[cause].words}.`,
      );
      expect(result.facts.failures).toEqual([{ cause, count: 1, requestIds: [String(ids[1])] }]);
      obstruction.mockRestore();
      expect(await run()).toMatchObject({ status: 'Completed', processedCount: 1 });
      expect(await revoked()).toHaveLength(5);
    },
  );

  testOnStandIn('many locked requests delay only themselves; they are named', async () => {
    await add(...repeat(4_600, expired));
    const services = environment.services();
    obstruct([1, 600], locked, services.clock);
    const result = await runWithoutCeiling(services);
    const count = result.processedCount ?? 0;
    expect(result).toMatchObject({ status: 'Failed', stoppedEarly: false });
    // No time was left to separate the last of them from the locked ones.
    expect(count).toBeGreaterThan(3_950);
    expect(result.facts.failures).toMatchObject([{ cause: 'locked', count: 4_600 - count }]);
    expect(idsOf(result, 'locked').size).toBe(5);
    expect(await revoked()).toHaveLength(count);
  });

  testOnStandIn('a run that leaves locked requests fails, even if its time budget ends first', async () => {
    await add(...repeat(5, expired));
    const services = environment.services();
    obstruct([5, 5], locked, { advance: () => services.clock.advance(100_000) });
    const result = await run(services);
    expect(result).toMatchObject({
      status: 'Failed',
      stoppedEarly: true,
      processedCount: 3,
      message: expect.stringMatching(
        /^2 grants were due and skipped\. Stopped early: its time budget is spent\. .* Failed: 2 locked by another transaction\. /,
      ) as string,
    });
    expect(services.telemetry.events).toMatchObject([{ stoppedEarly: true, errorName: 'GrantsLeftError' }]);
  });

  testOnStandIn('a request that is deleted while its batch is written delays no other', async () => {
    const [deleted] = await add(...repeat(5, expired));
    beforeStatement('revokeBatch', 1, async () => {
      await environment.deleteRequest(job, deleted ?? 0);
      environment.standIn?.order({ ...conflict, match: /INSERT INTO dbo.RevokedAccess/ });
    });
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 4 });
    expect(await revoked()).toHaveLength(4);
  });

  testOnStandIn('nothing is revoked before its end if the clock is set back during the run', async () => {
    await add(expired, expired);
    beforeStatement('revokeBatch', 1, () => environment.standIn?.clock.advance(-2 * hour));
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 0 });
    expect(await revoked()).toEqual([]);
    environment.standIn?.clock.advance(2 * hour);
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 2 });
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 0 });
    expect(await revoked()).toHaveLength(2);
  });

  test('grants of the same access are revoked only after the last of them has ended', async () => {
    const [old, tied, tiedToo, other, empty, blank] = await add(
      { endsIn: -2 * hour, accessKey: 'a' },
      ...repeat(2, { ...expired, accessKey: 'b' }),
      expired,
      // Blank keys are ignored.
      { ...expired, accessKey: '' },
      { ...expired, accessKey: '  ' },
      { endsIn: day, accessKey: '' },
      { endsIn: day, accessKey: '  ' },
    );
    const renewed = await addOne({ endsIn: hour, accessKey: 'a' });
    await site.mapView({});
    expect(await preview()).toMatchObject({ count: 5, coveredCount: 1, covered: [{ requestId: old }] });
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 5 });
    const first = [tied, tiedToo, other, empty, blank];
    expect(new Set(await revoked())).toEqual(new Set(first));
    await site.moveEnd(ago(1, 'HOUR'), renewed);
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 2 });
    expect(new Set(await revoked())).toEqual(new Set([...first, old, renewed]));
  });

  test('a run fails and names the column that is missing', async () => {
    await environment.query(
      `CREATE OR ALTER VIEW ${grantView} AS SELECT 1 AS RequestId, 'x' AS RequestNumber;`,
    );
    expect(await run()).toMatchObject({
      status: 'Failed',
      message: expect.stringMatching(/Invalid column name '\w+'.*sql\/06_AccessGrant_views\.sql/) as string,
    });
  });
});
