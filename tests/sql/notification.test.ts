import { setTimeout as delay } from 'node:timers/promises';
import { createDatabase } from '../../local/sampleDatabase';
import { readJobState } from '../../src/jobs/jobStates';
import { ago, arrange, day, hour, pauseBefore, repeat, texts, useEnvironment } from '../support/arrange';
import { beforeEachStatement, beforeStatement, notifications } from '../support/environment';
import { testOnStandIn } from '../support/realServer';

const environment = useEnvironment();
/** The ms from now to an hour after midnight UTC, so many days from today. */
function inDays(days: number, hours = 1): number {
  const now = environment.standIn?.clock.now().getTime() ?? Date.now();
  return Math.floor(now / day) * day + days * day + hours * hour - now;
}

describe.each(notifications.map((job) => [job.platform.name, job] as const))('%s', (_, job) => {
  const { notificationTable } = job.platform;
  const site = arrange(environment, job);
  const { add, columns, preview, run } = site;
  const recorded = () => site.notifications();
  const recordedIds = async () => new Set((await recorded()).map(({ RequestId }) => RequestId));
  const dueIds = async () => (await preview()).grants.map(({ requestId }) => requestId);
  const messages = () => environment.email.messages;
  const posts = () => environment.email.requests.filter(({ method }) => method === 'POST');

  test('a reminder is due from 00:00 UTC of the day on which its lead begins, for the smallest lead that has begun', async () => {
    await add(
      { endsIn: inDays(15) }, // no lead has begun
      { endsIn: inDays(14, 23) },
      { endsIn: inDays(14, 0) },
      { endsIn: inDays(8) },
      { endsIn: inDays(7, 23) },
      { endsIn: inDays(5) },
      { endsIn: inDays(2) },
      { endsIn: inDays(1, 23) },
      // Ended, without an end, not granted: no reminder.
      { endsIn: -hour },
      { endsIn: null },
      { endsIn: inDays(5), status: 'Rejected' },
    );
    const leads = async (leadDays?: number[]) => {
      const { count, grants } = await preview(leadDays && { leadDays });
      return [count, grants.map((grant) => 'leadDays' in grant && grant.leadDays)];
    };
    expect(await leads()).toEqual([7, [1, 7, 7, 7, 14, 14, 14]]);
    expect(await leads([3, 30])).toEqual([8, [3, 3, 30, 30, 30, 30, 30, 30]]);
  });

  test('a failed message that went out again is known after days without a run', async () => {
    await add({ endsIn: inDays(7) });
    const onDay = async (days: number) => {
      const services = environment.services();
      services.clock.advance(days * day);
      environment.standIn?.clock.set(new Date(Date.now() + days * day));
      return run(services);
    };
    environment.email.order({ kind: 'outcome', failure: { code: 'EmailDropped' } });
    await onDay(0);
    beforeStatement('recordNotification', 2, () => {
      throw new Error('The process died');
    });
    await onDay(1);
    expect(await onDay(3)).toMatchObject({ processedCount: 1 });
    expect(messages().map(({ status }) => status)).toEqual(['Failed', 'Succeeded']);
  });

  test('a notification settles a reminder only if it was sent after the lead began', async () => {
    const [before, since, renewed] = await add(
      { endsIn: inDays(7, 5) },
      { endsIn: inDays(7, 6) },
      { endsIn: inDays(13) },
    );
    const today = 'CAST(CAST(GETUTCDATE() AS DATE) AS DATETIME)';
    // The lead of 7 days of both began at 00:00 today.
    await site.notified(before, `DATEADD(SECOND, -1, ${today})`);
    await site.notified(since, today);
    await site.notified(renewed, ago(20, 'DAY'));
    expect(await dueIds()).toEqual([before, renewed]);
  });

  test('a person gets one email with all due grants, soonest first, whatever case and blanks the address has', async () => {
    const ids = await add(
      { endsIn: inDays(6), email: 'ada@example.com', resource: 'second' },
      { endsIn: inDays(2), email: ' ADA@example.com ', resource: 'first' },
      { endsIn: inDays(13), email: '\u00A0Ada@Example.com', resource: 'sixth' },
      { endsIn: inDays(7), email: 'ada@example.com\r\n', resource: 'third' },
      { endsIn: inDays(8), email: '\uFEFFada@example.com\u200B', resource: 'fourth' },
      { endsIn: inDays(9), email: '\tAda@example.com ', resource: 'fifth' },
      { endsIn: inDays(3), email: 'bob@example.com', resource: 'other' },
    );
    await run();
    expect(
      messages()
        .map(({ to }) => to)
        .sort(),
    ).toEqual([['ada@example.com'], ['bob@example.com']]);
    const { plainText = '' } = messages().find(({ to }) => to[0] === 'ada@example.com') ?? {};
    const named = plainText.match(/\b(first|second|third|fourth|fifth|sixth|other)\b/g) ?? [];
    expect([...new Set(named)]).toEqual(['first', 'second', 'third', 'fourth', 'fifth', 'sixth']);
    expect(await recordedIds()).toEqual(new Set(ids));
  });

  test('a mail is the last reminder only after an earlier one', async () => {
    await add({ endsIn: 2 * hour });
    for (const subject of [/^Your /, /^Last reminder: your /]) {
      await run();
      expect(messages()).toMatchObject([{ subject: expect.stringMatching(subject) as string }]);
      environment.email.reset();
      await environment.query(`UPDATE ${notificationTable} SET Notification_Sent_Dt = ${ago(5, 'DAY')};`);
    }
  });

  test('grants too many for one message go out in as few as hold them; a rejected message fails only its own grants', async () => {
    await add(...repeat(4_500, (index) => ({ endsIn: inDays(2) + index, email: 'many@example.com' })));
    environment.email.order({ kind: 'error', status: 400, at: 2 });
    const { processedCount, failedCount } = await run();
    expect((processedCount ?? 0) + (failedCount ?? 0)).toBe(4_500);
    expect(processedCount).toBeGreaterThan(0);
    expect(failedCount).toBeGreaterThan(0);
    expect(await recorded()).toHaveLength(processedCount ?? 0);
    const accepted = messages().map(({ operationId }) => operationId);
    expect(posts()).toHaveLength(2);
    const rejected = posts().find(({ operationId = '' }) => !accepted.includes(operationId));
    environment.email.clearFaults();
    expect(await run()).toMatchObject({ processedCount: failedCount, failedCount: 0 });
    expect(messages().at(-1)?.operationId).toBe(rejected?.operationId);
    expect(await recorded()).toHaveLength(4_500);
  });

  test('grants without a usable address or with a rejected message are counted and named; the others are sent', async () => {
    const bad = (email: string | null) => ({ endsIn: inDays(2), email });
    const [missing, empty, ...others] = await add(
      ...[null, '', 'nobody', 'a@example.com\r\nBcc: b@example.com', `${'x'.repeat(300)}@example.com`].map(
        bad,
      ),
      bad('bad@example.com'),
      { endsIn: inDays(2) },
    );
    const malformed = others.slice(0, 3);
    // A site's column may hold more than the 320 characters of an address.
    const { RequesterEmail } = columns;
    const isLong = `LEFT(${RequesterEmail}, 9) = 'xxxxxxxxx'`;
    await site.mapView({
      columns: {
        RequesterEmail: `CASE WHEN ${isLong} THEN CONCAT('xxxxxxxxx', ${RequesterEmail}) ELSE ${RequesterEmail} END`,
      },
    });
    const rejected = others[3];
    environment.email.order({ kind: 'error', status: 400, recipient: 'bad@example.com' });
    const result = await run();
    expect(result).toMatchObject({
      status: 'Completed',
      processedCount: 1,
      failedCount: 6,
      message: expect.stringMatching(
        /^Failed: 3 with a malformed email address; 2 without an email address; 1 rejected by the email service, code [\w-]+\. /,
      ) as string,
    });
    expect(result.facts.failures.map(({ cause, requestIds }) => [cause, new Set(requestIds)])).toEqual([
      ['addressMalformed', new Set(texts(malformed))],
      ['addressMissing', new Set(texts([missing, empty]))],
      ['rejected', new Set(texts([rejected]))],
    ]);
    expect(posts()).toHaveLength(2);
    environment.email.clearFaults();
    expect(await run()).toMatchObject({ processedCount: 1, failedCount: 5 });
    expect(await recorded()).toHaveLength(2);
  });

  test('a message that fails after it was accepted is not recorded, and is sent again the next day', async () => {
    await add({ endsIn: inDays(2) });
    const failure = { code: 'EmailDroppedAllRecipientsSuppressed' };
    environment.email.order({ kind: 'outcome', failure, times: Infinity });
    const services = environment.services();
    expect(await run(services)).toMatchObject({
      status: 'Completed',
      processedCount: 0,
      failedCount: 1,
      facts: { failures: [{ cause: 'rejected', ...failure, count: 1 }] },
    });
    expect(await recorded()).toEqual([]);
    environment.email.clearFaults();
    expect(await run(services)).toMatchObject({ processedCount: 0, failedCount: 1 });
    expect(messages()).toHaveLength(1);
    const tomorrow = environment.services();
    tomorrow.clock.advance(day);
    expect(await run(tomorrow)).toMatchObject({ processedCount: 1, failedCount: 0 });
    // The service answers a repeated id with the failure it has: only another id brings another try.
    expect(new Set(messages().map(({ operationId }) => operationId)).size).toBe(messages().length);
    expect(messages().at(-1)?.status).not.toBe('Failed');
  });

  test.each([
    ['whose answer is lost is looked up by its operation id and not sent again', { kind: 'dropAfter' }, 1],
    ['that is lost on its way is sent again under the same id', { kind: 'dropBefore' }, 2],
    ['whose call hangs is sent again under the same id', { kind: 'hang' }, 2],
    ['whose status is slow counts as accepted after a while', { kind: 'outcome', runningReads: 1_000 }, 1],
  ] as const)('a message %s', async (_case, fault, sends) => {
    await add({ endsIn: inDays(2) });
    environment.email.order(fault);
    expect(await run()).toMatchObject({ status: 'Completed', processedCount: 1, failedCount: 0 });
    expect([messages().length, (await recorded()).length, posts().length]).toEqual([1, 1, sends]);
    expect(new Set(posts().map(({ operationId }) => operationId)).size).toBe(1);
  });

  test('a run waits for a short Retry-After, and no longer if the app’s clock is set back', async () => {
    await add({ endsIn: inDays(2) });
    environment.email.order({ kind: 'error', status: 429, retryAfter: 30 });
    const services = environment.services();
    const { clock, telemetry } = services;
    // An hour with each pause.
    jest.spyOn(clock, 'now').mockImplementation(() => Date.now() - clock.slept.length * hour);
    expect(await run(services)).toMatchObject({
      status: 'Completed',
      processedCount: 1,
      stoppedEarly: false,
    });
    expect(Math.max(...clock.slept)).toBeLessThanOrEqual(30_000);
    expect(clock.slept.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(60_000);
    expect(telemetry.events[0]?.durationMs).toBeGreaterThanOrEqual(30_000);
  });

  test('a Retry-After beyond the time budget stops the run early as Completed, and the next run goes on', async () => {
    await add({ endsIn: inDays(2) }, { endsIn: inDays(3) });
    environment.email.order({ kind: 'error', status: 429, retryAfter: 3_600, times: 2 });
    expect(await run()).toMatchObject({
      status: 'Completed',
      processedCount: 0,
      failedCount: 0,
      stoppedEarly: true,
      message: expect.stringMatching(/^Stopped early: the email service asks to wait/) as string,
    });
    environment.email.clearFaults();
    expect((await run()).processedCount).toBe(2);
  });

  test.each([
    ['refuses the identity', 401, 60, 5],
    ['is down', 500, 60, 5],
    ['refuses the identity for each of a few messages', 401, 2, 2],
  ])('a service that %s fails the run after a few messages', async (_case, status, count, last) => {
    await add(...repeat(count, { endsIn: inDays(2) }));
    environment.email.order({ kind: 'error', status, times: Infinity });
    const result = await run();
    expect(result).toMatchObject({ status: 'Failed', processedCount: 0 });
    if (last < count) expect(result.message).toMatch(/email service took none of the last 5 messages/);
    expect(result.failedCount).toBeGreaterThanOrEqual(last);
    expect(result.failedCount).toBeLessThan(30);
    environment.email.clearFaults();
    expect((await run()).processedCount).toBe(count);
  });

  test('nothing is sent if it cannot be recorded', async () => {
    await add({ endsIn: inDays(2) });
    // The search for what is due needs the table as well, so the table goes only after that.
    beforeStatement('readDueReminders', 1, () => environment.query(`DROP TABLE ${notificationTable};`));
    const result = await run();
    await createDatabase(environment.session);
    expect(result.status).toBe('Failed');
    expect(result.message).toContain(notificationTable);
    expect(environment.email.requests).toEqual([]);
  });

  test.each([
    [
      'whose row was closed',
      "Status = 'Failed', Error_Message = 'Abandoned: by a test'",
      /^Abandoned: by a test$/,
    ],
    ['whose lease has expired', 'Started_At = DATEADD(MINUTE, -11, Started_At)', /^Lock lost/],
  ])(
    'a run %s sends no further message and fails; what was sent is recorded',
    async (_case, change, message) => {
      await add(...repeat(40, { endsIn: inDays(2) }));
      const services = environment.services();
      beforeStatement('recordNotification', 1, () => environment.query(`UPDATE dbo.JobRun SET ${change};`));
      const result = await run(services);
      const sent = messages().length;
      expect(sent).toBeLessThanOrEqual(10);
      expect(result).toMatchObject({ status: 'Failed', processedCount: sent });
      expect(result.message).toMatch(message);
      expect(services.telemetry.exceptions[0]?.error.name).toBe('LockLostError');
      expect(await recorded()).toHaveLength(sent);
    },
  );

  test('a run at the end of its time budget stops early, and the next one sends the rest', async () => {
    await add(...repeat(40, { endsIn: inDays(2) }));
    const services = environment.services();
    beforeStatement('recordNotification', 5, () => services.clock.advance(200_000));
    const result = await run(services);
    expect(result).toMatchObject({
      status: 'Completed',
      stoppedEarly: true,
      processedCount: (await recorded()).length,
    });
    await run();
    expect([messages().length, (await recorded()).length]).toEqual([40, 40]);
  });

  test('the time budget ends also where no message can go to any address', async () => {
    await add(...repeat(250, (index) => ({ endsIn: inDays(2), email: `nobody${index}` })));
    const services = environment.services();
    beforeStatement('readDueReminders', 2, () => services.clock.advance(200_000));
    const result = await run(services);
    expect(result).toMatchObject({
      status: 'Completed',
      stoppedEarly: true,
      message: expect.stringMatching(
        /^Stopped early: its time budget .* Failed: \d+ with a malformed email address\. /,
      ) as string,
    });
    expect(result.failedCount).toBeLessThanOrEqual(100);
  });

  test('a grant that is renewed between the search and the send gets no reminder', async () => {
    await add({ endsIn: inDays(2) });
    beforeStatement('readDueReminders', 1, () => site.moveEnd('DATEADD(DAY, 90, GETUTCDATE())'));
    expect(await run()).toMatchObject({ processedCount: 0, failedCount: 0 });
    expect(messages()).toEqual([]);
  });

  test('a request that is deleted while its message is sent is not recorded, and named', async () => {
    const ids = await add(...repeat(5, { endsIn: inDays(2), email: 'ada@example.com' }));
    const [, deleted = 0, , alsoDeleted = 0] = ids;
    beforeStatement('recordNotification', 2, async () => {
      for (const id of [deleted, alsoDeleted]) await environment.deleteRequest(job, id);
    });
    expect(await run()).toMatchObject({
      status: 'Completed',
      processedCount: 3,
      failedCount: 0,
      facts: { failures: [{ cause: 'deleted', count: 2, requestIds: texts([deleted, alsoDeleted]) }] },
    });
    expect(await recordedIds()).toEqual(new Set(ids.filter((id) => id !== deleted && id !== alsoDeleted)));
    await run();
    expect(messages()).toHaveLength(1);
  });

  testOnStandIn(
    'a locked request delays only the record of its own mail, which is the same in the next run',
    async () => {
      const ada = { endsIn: inDays(2), email: 'ada@example.com' };
      const [locked, other] = await add(ada, ada, ...repeat(20, { endsIn: inDays(3) }));
      const match = /SET LOCK_TIMEOUT \d+;\s+INSERT INTO dbo.ExpiryNotification/;
      const lock = beforeEachStatement(({ name, parameters }) => {
        const grants = String(parameters?.grants?.value);
        if (name === 'recordNotification' && grants.includes(`:${JSON.stringify(locked)},`))
          environment.standIn?.order({ kind: 'error', number: 1222, match });
      });
      const services = environment.services();
      const result = await run(services);
      expect(result).toMatchObject({ status: 'Completed', processedCount: 20, failedCount: 2 });
      expect(result.facts.failures).toEqual([
        { cause: 'recordLocked', count: 2, requestIds: texts([locked, other]) },
      ]);
      expect(services.telemetry.events).toMatchObject([{ failedCount: 2, unansweredCount: 2 }]);
      lock.mockRestore();
      expect(await run()).toMatchObject({ status: 'Completed', processedCount: 2, failedCount: 0 });
      expect([messages().length, (await recorded()).length]).toEqual([21, 22]);
    },
  );

  test('a view whose ids are not those of the table fails the run', async () => {
    await add({ endsIn: inDays(2) });
    const other =
      job.platform.name === 'Databricks'
        ? `${columns.RequestId} + 1000000`
        : "CAST('99999999-0000-4000-8000-000000000001' AS UNIQUEIDENTIFIER)";
    await site.mapView({ columns: { RequestId: other } });
    expect(await run()).toMatchObject({
      status: 'Failed',
      processedCount: 0,
      message: expect.stringContaining('(SQL error 547 in recordNotification)') as string,
    });
  });

  test('a reminder that was sent and not recorded is sent under the same id, even with another text', async () => {
    await add({ endsIn: inDays(2) }, { endsIn: inDays(3) });
    beforeStatement('recordNotification', 2, () => environment.query(`DROP TABLE ${notificationTable};`));
    expect((await run()).status).toBe('Failed');
    jest.restoreAllMocks();
    await createDatabase(environment.session);
    expect(messages().length).toBeGreaterThan(0);
    await environment.query(
      `UPDATE ${site.requestTable} SET ${site.tableColumns.RequesterName} = N'Renamed';`,
    );
    const email = { ...environment.settings.email, contactText: 'Ask the data team.' };
    expect(await run(environment.services({ email }))).toMatchObject({
      status: 'Completed',
      processedCount: 2,
      failedCount: 0,
    });
    expect(messages()).toHaveLength(2);
  });

  test('skips duplicated requests and rows without an id; the run fails and names them', async () => {
    const [twice, , only] = await add(
      { endsIn: inDays(2), resource: 'twice', email: 'a@example.com' },
      { endsIn: inDays(2), resource: 'none' },
      { endsIn: inDays(2), email: 'b@example.com' },
    );
    const { RequestId, RequesterEmail, Resource, ExpiresAt } = columns;
    await site.mapView(
      { columns: { RequestId: `CASE WHEN ${Resource} = 'none' THEN NULL ELSE ${RequestId} END` } },
      {
        columns: {
          RequesterEmail: `CONCAT('other-', ${RequesterEmail})`,
          ExpiresAt: `DATEADD(DAY, 90, ${ExpiresAt})`,
        },
        where: `${Resource} = 'twice'`,
      },
    );
    expect(await preview()).toMatchObject({
      count: 1,
      failing: [
        { cause: 'idMissing', count: 1 },
        { cause: 'duplicated', count: 1, requestIds: [twice] },
      ],
    });
    const result = await run();
    expect(result).toMatchObject({
      status: 'Failed',
      processedCount: 1,
      failedCount: 0,
      message: expect.stringMatching(
        /^2 grants were due and skipped\. Failed: .*without a request id/,
      ) as string,
    });
    expect(result.facts.failures).toContainEqual({
      cause: 'duplicated',
      count: 1,
      requestIds: texts([twice]),
    });
    expect(messages().map(({ to }) => to)).toEqual([['b@example.com']]);
    expect(await recordedIds()).toEqual(new Set([only]));
  });

  test('a run that skips grants fails, even if it stops early', async () => {
    await add({ endsIn: inDays(2), resource: 'twice' }, { endsIn: inDays(2) }, { endsIn: inDays(3) });
    await site.mapView({}, { where: `${columns.Resource} = 'twice'` });
    environment.email.order({ kind: 'error', status: 429, retryAfter: 3_600, at: 2, times: 2 });
    const services = environment.services();
    expect(await run(services)).toMatchObject({
      status: 'Failed',
      stoppedEarly: true,
      processedCount: 1,
      message: expect.stringMatching(
        /^1 grant was due and skipped\. Stopped early: the email service .* continues\. Failed: 1 in the view more than once\. /,
      ) as string,
      facts: { stopped: 'throttled' },
    });
    expect(services.telemetry.exceptions[0]?.error.name).toBe('GrantsLeftError');
    const state = await readJobState(environment.session, job, services.settings, 1, services.clock);
    expect(state).toMatchObject({ state: 'Failed', earlyStopsInARow: 0 });
  });

  test('skips ends that are not comparable; the run fails and says how many', async () => {
    await add({ endsIn: inDays(2) }, { endsIn: inDays(3) });
    await site.mapView({ columns: { ExpiresAt: 'DATEADD(HOUR, 60, SYSUTCDATETIME())' } });
    pauseBefore('readDueReminders');
    expect(await run()).toMatchObject({
      status: 'Failed',
      processedCount: 0,
      message: expect.stringContaining('Failed: 2 with an end that is not comparable') as string,
    });
  });

  testOnStandIn(
    'an end that is not comparable fails the run even if its connection is lost after that',
    async () => {
      await add({ endsIn: inDays(1), resource: 'odd' }, ...repeat(110, { endsIn: inDays(6) }));
      const { Resource, ExpiresAt } = columns;
      const end = `CASE WHEN ${Resource} = 'odd' THEN DATEADD(HOUR, 20, SYSUTCDATETIME()) ELSE ${ExpiresAt} END`;
      await site.mapView({ columns: { ExpiresAt: end } });
      let pages = 0;
      beforeEachStatement(async ({ name }) => {
        if (name !== 'readDueReminders') return;
        await delay(20);
        if (++pages === 2) environment.standIn?.order({ kind: 'dropBefore', match: /FROM #Due AS d/ });
      });
      expect(await run()).toMatchObject({
        status: 'Failed',
        processedCount: 110,
        message: expect.stringContaining('Failed: 1 with an end that is not comparable') as string,
      });
    },
  );

  test('with notifyRevoked, ended access is announced once within 7 days, unless it was renewed or is covered', async () => {
    const ended = { endsIn: -4 * day };
    const [recent, long, notified, again, ending, renewed, covered] = await add(
      ended,
      { endsIn: -30 * day },
      ended,
      { endsIn: -10 * day },
      { endsIn: inDays(2) },
      { endsIn: inDays(60) },
      { ...ended, accessKey: 'a' },
      { endsIn: inDays(60), accessKey: 'a' },
    );
    await site.mapView({});
    for (const id of [recent, notified, renewed, covered]) await site.revoked(id, ago(3, 'DAY'));
    await site.revoked(long, ago(8, 'DAY'));
    await site.notified(notified, ago(2, 'DAY'));
    // It was reminded before its end, but not notified of the revocation.
    await site.revoked(again, ago(5, 'DAY'));
    await site.notified(again, ago(11, 'DAY'));

    expect(await dueIds()).toEqual([ending]);
    const { grants } = await preview({ notifyRevoked: true });
    expect(grants).toMatchObject([
      { requestId: again, leadDays: null },
      { requestId: recent, leadDays: null },
      { requestId: ending, leadDays: 7 },
    ]);
    for (const processedCount of [3, 0])
      expect(await run(environment.services({ notifyRevoked: true }))).toMatchObject({ processedCount });
  });
});
