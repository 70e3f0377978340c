import { createDatabase } from '../../local/sampleDatabase';
import { previewJob } from '../../src/jobs/previewJob';
import {
  beforeStatement,
  finished,
  notifications,
  startTestEnvironment,
  type GrantSpec,
  type TestEnvironment,
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

/** The ms from now to an hour after midnight UTC, so many days from today. */
function inDays(days: number, hours = 1): number {
  const now = environment.standIn?.clock.now().getTime() ?? Date.now();
  return Math.floor(now / day) * day + days * day + hours * hour - now;
}

describe.each(notifications.map((job) => [job.platform.name, job] as const))('%s', (_, job) => {
  const { notificationTable, requestColumn } = job.platform;
  const add = (...grants: GrantSpec[]) => environment.addGrants(job, grants);
  const recorded = () =>
    environment.query(`SELECT *, ${requestColumn} AS RequestId FROM ${notificationTable} ORDER BY Id;`);
  const recordedAt = (id: number | string, sent: string) =>
    environment.query(
      `INSERT INTO ${notificationTable} (${requestColumn}, Notification_Sent_Dt, Notification_Sent_To, Notification_Sent_By) VALUES ('${id}', ${sent}, 'x@example.com', 'earlier');`,
    );
  const preview = () => previewJob(environment.services(), job);
  const dueIds = async () => (await preview()).grants.map(({ requestId }) => requestId);

  test('a reminder is sent and recorded: one row a grant, with the address and the job', async () => {
    const [id] = await add({ endsIn: inDays(5), email: 'Ada@Example.com' });
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({
      status: 'Completed',
      processedCount: 1,
      failedCount: 0,
      message: 'Started by hand.',
    });
    expect(await recorded()).toMatchObject([
      { RequestId: id, Notification_Sent_To: 'ada@example.com', Notification_Sent_By: job.type },
    ]);
    expect(environment.email.messages).toMatchObject([{ to: ['ada@example.com'] }]);
  });

  test('a second run sends nothing', async () => {
    await add({ endsIn: inDays(5) }, { endsIn: inDays(1) });
    await environment.run(job);
    const sent = environment.email.messages.length;
    expect(finished(await environment.run(job))).toMatchObject({ processedCount: 0, failedCount: 0 });
    expect(environment.email.messages).toHaveLength(sent);
    expect(await recorded()).toHaveLength(2);
  });

  test('the reminder is that of the smallest lead that has begun, at 00:00 UTC of its day', async () => {
    await add(
      { endsIn: inDays(15) }, // no lead has begun
      { endsIn: inDays(14, 23) },
      { endsIn: inDays(14, 0) },
      { endsIn: inDays(8) },
      { endsIn: inDays(7, 23) },
      { endsIn: inDays(2) },
      { endsIn: inDays(1, 23) },
    );
    const { count, grants } = await preview();
    expect(count).toBe(6);
    expect(grants.map((grant) => 'leadDays' in grant && grant.leadDays)).toEqual([1, 7, 7, 14, 14, 14]);
  });

  test('a notification since the lead began settles that reminder, and the next lead brings the next', async () => {
    const [before, since] = await add({ endsIn: inDays(7, 5) }, { endsIn: inDays(7, 6) });
    const today = 'CAST(CAST(GETUTCDATE() AS DATE) AS DATETIME)';
    // The 7 days' lead of both began at 00:00 today.
    if (before !== undefined) await recordedAt(before, `DATEADD(SECOND, -1, ${today})`);
    if (since !== undefined) await recordedAt(since, today);
    expect(await dueIds()).toEqual([before]);
  });

  test('a run that was missed is caught up: the reminder is due on every day of its lead', async () => {
    await add({ endsIn: inDays(3) }, { endsIn: inDays(4) }, { endsIn: inDays(6) });
    expect((await preview()).count).toBe(3);
  });

  test('a renewed grant starts afresh', async () => {
    const [id] = await add({ endsIn: inDays(13) });
    // It was reminded of its earlier end, and its end was moved.
    if (id !== undefined) await recordedAt(id, 'DATEADD(DAY, -20, GETUTCDATE())');
    expect(await dueIds()).toEqual([id]);
  });

  test('a grant that has expired, has no end or is not granted gets none', async () => {
    await add({ endsIn: -hour }, { endsIn: null }, { endsIn: inDays(5), status: 'Rejected' });
    expect((await preview()).count).toBe(0);
  });

  test('lead days are a setting', async () => {
    await add({ endsIn: inDays(25) }, { endsIn: inDays(2) });
    const { count, grants } = await previewJob(environment.services({ leadDays: [3, 30] }), job);
    expect(count).toBe(2);
    expect(grants.map((grant) => 'leadDays' in grant && grant.leadDays)).toEqual([3, 30]);
  });

  test('a person gets one email with all grants that are due, soonest first, whatever the case of the address', async () => {
    const ids = await add(
      { endsIn: inDays(6), email: 'ada@example.com', resource: 'second' },
      { endsIn: inDays(2), email: ' ADA@example.com ', resource: 'first' },
      { endsIn: inDays(13), email: 'Ada@Example.com', resource: 'third' },
      { endsIn: inDays(3), email: 'bob@example.com', resource: 'other' },
    );
    await environment.run(job);
    expect(environment.email.messages.map(({ to }) => to).sort()).toEqual([
      ['ada@example.com'],
      ['bob@example.com'],
    ]);
    const { plainText = '' } = environment.email.messages.find(({ to }) => to[0] === 'ada@example.com') ?? {};
    const places = ['first', 'second', 'third'].map((resource) => plainText.indexOf(resource));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(places).not.toContain(-1);
    expect(plainText).not.toContain('other');
    expect((await recorded()).map(({ RequestId }) => RequestId).sort()).toEqual([...ids].sort());
  });

  test('blanks around an address that nobody sees are left out: it is one person all the same', async () => {
    await add(
      ...[
        '\u00A0ada@example.com',
        'ada@example.com\r\n',
        '\uFEFFada@example.com\u200B',
        '\tAda@example.com ',
      ].map((email) => ({ endsIn: inDays(2), email })),
      { endsIn: inDays(2), email: 'ada@example.com\r\nBcc: all@example.com' },
    );
    expect(finished(await environment.run(job))).toMatchObject({ processedCount: 4, failedCount: 1 });
    expect(environment.email.messages.map(({ to }) => to)).toEqual([['ada@example.com']]);
  });

  test('a mail is the last reminder only after an earlier one', async () => {
    const [id = ''] = await add({ endsIn: 2 * hour, email: 'short@example.com' });
    const subjects = (): string[] => environment.email.messages.map(({ subject }) => subject);
    await environment.run(job);
    expect(subjects()).toEqual([expect.stringMatching(/^Your /)]);
    environment.email.reset();
    const { notificationTable, requestColumn } = job.platform;
    await environment.query(
      `UPDATE ${notificationTable} SET Notification_Sent_Dt = DATEADD(DAY, -5, GETUTCDATE()) WHERE ${requestColumn} = '${id}';`,
    );
    await environment.run(job);
    expect(subjects()).toEqual([expect.stringMatching(/^Last reminder: your /)]);
  });

  test('a recipient with 500 grants and more gets them in one email', async () => {
    await add(
      ...Array.from({ length: 1_100 }, (_, index) => ({
        endsIn: inDays(2) + index,
        email: 'many@example.com',
      })),
    );
    expect(finished(await environment.run(job))).toMatchObject({ processedCount: 1_100, failedCount: 0 });
    expect(environment.email.messages).toHaveLength(1);
    expect(await recorded()).toHaveLength(1_100);
  });

  test('grants too many for one message go out in several: one that is rejected costs its own grants only', async () => {
    await add(
      ...Array.from({ length: 4_500 }, (_, index) => ({
        endsIn: inDays(2) + index,
        email: 'many@example.com',
      })),
    );
    environment.email.order({ kind: 'error', status: 400, at: 2 });
    const { processedCount, failedCount } = finished(await environment.run(job));
    expect((processedCount ?? 0) + (failedCount ?? 0)).toBe(4_500);
    expect(processedCount).toBeGreaterThan(0);
    expect(failedCount).toBeGreaterThan(0);
    expect(await recorded()).toHaveLength(processedCount ?? 0);
    const [, rejected] = environment.email.requests.filter(({ method }) => method === 'POST');
    environment.email.clearFaults();
    expect(finished(await environment.run(job))).toMatchObject({
      processedCount: failedCount,
      failedCount: 0,
    });
    expect(environment.email.messages.at(-1)?.operationId).toBe(rejected?.operationId);
    expect(await recorded()).toHaveLength(4_500);
  });

  test('grants without a usable address are counted as failed and cost nobody else the reminder', async () => {
    await add(
      { endsIn: inDays(2), email: null },
      { endsIn: inDays(2), email: '' },
      { endsIn: inDays(2), email: 'nobody' },
      { endsIn: inDays(2), email: 'a@example.com\r\nBcc: b@example.com' },
      { endsIn: inDays(2), email: `${'x'.repeat(310)}@example.com` },
      { endsIn: inDays(2), email: 'ada@example.com' },
    );
    expect(finished(await environment.run(job))).toMatchObject({
      status: 'Completed',
      processedCount: 1,
      failedCount: 5,
    });
    expect(await recorded()).toHaveLength(1);
    expect(environment.email.requests.filter(({ method }) => method === 'POST')).toHaveLength(1);
  });

  test('a rejected message costs its recipient only, and the next run tries again', async () => {
    await add(
      { endsIn: inDays(2), email: 'bad@example.com' },
      { endsIn: inDays(2), email: 'good@example.com' },
    );
    environment.email.order({ kind: 'error', status: 400, recipient: 'bad@example.com' });
    expect(finished(await environment.run(job))).toMatchObject({
      status: 'Completed',
      processedCount: 1,
      failedCount: 1,
    });
    environment.email.clearFaults();
    expect(finished(await environment.run(job))).toMatchObject({ processedCount: 1, failedCount: 0 });
    expect(await recorded()).toHaveLength(2);
  });

  test('a message that the service fails after accepting it is not recorded, and a run of the next day sends it again', async () => {
    await add({ endsIn: inDays(2), email: 'gone@example.com' });
    environment.email.order({
      kind: 'outcome',
      failure: { code: 'EmailDroppedAllRecipientsSuppressed' },
      times: Infinity,
    });
    const services = environment.services();
    const failed = finished(await environment.run(job, services));
    expect(failed).toMatchObject({ status: 'Completed', processedCount: 0, failedCount: 1 });
    expect(failed.facts.failures).toMatchObject([
      { cause: 'rejected', code: 'EmailDroppedAllRecipientsSuppressed', count: 1 },
    ]);
    expect(await recorded()).toEqual([]);
    environment.email.clearFaults();
    expect(finished(await environment.run(job, services))).toMatchObject({
      processedCount: 0,
      failedCount: 1,
    });
    expect(environment.email.messages).toHaveLength(1);
    const tomorrow = environment.services();
    tomorrow.clock.advance(day);
    expect(finished(await environment.run(job, tomorrow))).toMatchObject({
      processedCount: 1,
      failedCount: 0,
    });
    // The service answers a repeated id with the failure it has: only another id brings another try.
    const ids = environment.email.messages.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(environment.email.messages.at(-1)?.status).not.toBe('Failed');
  });

  test('a message whose answer was lost is asked for by its operation id and not sent again', async () => {
    await add({ endsIn: inDays(2) });
    environment.email.order({ kind: 'dropAfter' });
    expect(finished(await environment.run(job))).toMatchObject({ processedCount: 1, failedCount: 0 });
    expect(environment.email.messages).toHaveLength(1);
    expect(environment.email.requests.filter(({ method }) => method === 'POST')).toHaveLength(1);
    expect(await recorded()).toHaveLength(1);
  });

  test('a message that was lost before the service had it is sent again under the same operation id', async () => {
    await add({ endsIn: inDays(2) });
    environment.email.order({ kind: 'dropBefore' });
    expect(finished(await environment.run(job))).toMatchObject({ processedCount: 1, failedCount: 0 });
    const posts = environment.email.requests.filter(({ method }) => method === 'POST');
    expect(posts).toHaveLength(2);
    expect(posts[0]?.operationId).toBe(posts[1]?.operationId);
    expect(environment.email.messages).toHaveLength(1);
  });

  test('a hung call ends by its deadline and the message goes out', async () => {
    await add({ endsIn: inDays(2) });
    environment.email.order({ kind: 'hang' });
    const services = environment.services({}, { timings: { callMs: 200 } });
    expect(finished(await environment.run(job, services))).toMatchObject({
      processedCount: 1,
      failedCount: 0,
    });
    expect(environment.email.messages).toHaveLength(1);
  });

  test('a short Retry-After is waited for', async () => {
    await add({ endsIn: inDays(2) });
    environment.email.order({ kind: 'error', status: 429, retryAfter: 7 });
    const services = environment.services();
    expect(finished(await environment.run(job, services))).toMatchObject({
      status: 'Completed',
      processedCount: 1,
      stoppedEarly: false,
    });
    expect(services.clock.slept.some((ms) => ms > 6_000 && ms <= 7_000)).toBe(true);
  });

  test('a wait and a duration stay what they are while the app’s clock is set back', async () => {
    await add({ endsIn: inDays(2) });
    environment.email.order({ kind: 'error', status: 429, retryAfter: 30 });
    const services = environment.services();
    const { clock, telemetry } = services;
    const sleep = clock.sleep.bind(clock);
    jest.spyOn(clock, 'sleep').mockImplementation((ms) => {
      clock.setBack(hour);
      return sleep(ms);
    });
    expect(finished(await environment.run(job, services))).toMatchObject({
      status: 'Completed',
      processedCount: 1,
    });
    expect(clock.slept.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(60_000);
    expect(telemetry.events[0]?.durationMs).toBeGreaterThanOrEqual(30_000);
  });

  test('a Retry-After beyond the time budget stops the run early, completed, and the next run goes on', async () => {
    await add({ endsIn: inDays(2) }, { endsIn: inDays(3) });
    environment.email.order({ kind: 'error', status: 429, retryAfter: 3_600, times: 2 });
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Completed', processedCount: 0, failedCount: 0, stoppedEarly: true });
    expect(run.message).toMatch(/^Stopped early: the email service asks to wait/);
    environment.email.clearFaults();
    expect(finished(await environment.run(job)).processedCount).toBe(2);
  });

  test.each([
    ['refuses the identity', { kind: 'error', status: 401 } as const],
    ['is down', { kind: 'error', status: 500 } as const],
  ])('a service that %s fails the run after a few messages', async (_, fault) => {
    await add(...Array.from({ length: 60 }, () => ({ endsIn: inDays(2) })));
    environment.email.order({ ...fault, times: 1_000 });
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 0 });
    expect(run.message).toMatch(/email service took none of the last 5 messages/);
    expect(run.failedCount).toBeLessThan(30);
    environment.email.clearFaults();
    expect(finished(await environment.run(job)).processedCount).toBe(60);
  });

  test('a service that takes none of a few messages fails the run too', async () => {
    await add({ endsIn: inDays(2) }, { endsIn: inDays(2) });
    environment.email.order({ kind: 'error', status: 401, times: Infinity });
    expect(finished(await environment.run(job))).toMatchObject({
      status: 'Failed',
      processedCount: 0,
      failedCount: 2,
    });
  });

  test('nothing is sent if it could not be recorded', async () => {
    await add({ endsIn: inDays(2) });
    try {
      // The look at what is due needs the table as well, so it goes only after that.
      beforeStatement('readDueReminders', 1, () => environment.query(`DROP TABLE ${notificationTable};`));
      const run = finished(await environment.run(job));
      expect(run.status).toBe('Failed');
      expect(run.message).toContain(notificationTable);
      expect(environment.email.requests).toEqual([]);
    } finally {
      jest.restoreAllMocks();
      await createDatabase(environment.session);
    }
  });

  test('a slow status is waited for a while; then the message counts as accepted', async () => {
    await add({ endsIn: inDays(2) });
    environment.email.order({ kind: 'outcome', runningReads: 1_000 });
    expect(finished(await environment.run(job))).toMatchObject({ status: 'Completed', processedCount: 1 });
    expect(await recorded()).toHaveLength(1);
  });

  test('a run that lost its lock starts no message and ends with "lock lost"; what was sent is recorded', async () => {
    await add(...Array.from({ length: 40 }, () => ({ endsIn: inDays(2) })));
    const services = environment.services();
    beforeStatement('recordNotification', 1, () =>
      environment.query("UPDATE dbo.JobRun SET Status = 'Failed', Error_Message = 'Abandoned: by a test';"),
    );
    const run = finished(await environment.run(job, services));
    expect(run).toMatchObject({ status: 'Failed', message: 'Abandoned: by a test' });
    expect(services.telemetry.exceptions[0]?.error.name).toBe('LockLostError');
    const sent = environment.email.messages.length;
    expect(sent).toBeLessThanOrEqual(10);
    expect(await recorded()).toHaveLength(sent);
    expect(run.processedCount).toBe(sent);
  });

  test('a lease that has run out stops new messages even if nobody has taken over', async () => {
    await add(...Array.from({ length: 40 }, () => ({ endsIn: inDays(2) })));
    beforeStatement('recordNotification', 1, () =>
      environment.query('UPDATE dbo.JobRun SET Started_At = DATEADD(MINUTE, -11, Started_At);'),
    );
    const run = finished(await environment.run(job));
    expect(run.status).toBe('Failed');
    expect(run.message).toMatch(/^Lock lost/);
    expect(environment.email.messages.length).toBeLessThanOrEqual(10);
    expect(await recorded()).toHaveLength(environment.email.messages.length);
  });

  test('a run whose time is spent stops early, and the next one goes on without sending twice', async () => {
    await add(...Array.from({ length: 40 }, () => ({ endsIn: inDays(2) })));
    const services = environment.services();
    beforeStatement('recordNotification', 5, () => services.clock.advance(200_000));
    const run = finished(await environment.run(job, services));
    expect(run).toMatchObject({ status: 'Completed', stoppedEarly: true });
    expect(run.processedCount).toBe((await recorded()).length);
    await environment.run(job);
    expect(environment.email.messages).toHaveLength(40);
    expect(await recorded()).toHaveLength(40);
  });

  test('a grant that is renewed between the look and the send gets no reminder for its old end', async () => {
    await add({ endsIn: inDays(2) });
    const end = job.platform.name === 'Databricks' ? 'access_end_dt' : 'AccessEndDate';
    const table =
      job.platform.name === 'Databricks' ? 'dbo.DataAccessDeltaRequests' : 'dbo.DataAccessPalantirRequests';
    beforeStatement('readDueReminders', 1, () =>
      environment.query(`UPDATE ${table} SET ${end} = DATEADD(DAY, 90, ${end});`),
    );
    expect(finished(await environment.run(job))).toMatchObject({ processedCount: 0, failedCount: 0 });
    expect(environment.email.messages).toEqual([]);
  });

  test('a request that is deleted while its message is sent is left out of the record, and named', async () => {
    const ids = await add(
      ...Array.from({ length: 5 }, () => ({ endsIn: inDays(2), email: 'ada@example.com' })),
    );
    const [, deleted = 0, , alsoDeleted = 0] = ids;
    beforeStatement('recordNotification', 2, async () => {
      for (const id of [deleted, alsoDeleted]) await environment.deleteRequest(job, id);
    });
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Completed', processedCount: 3, failedCount: 0 });
    expect(run.facts.failures).toEqual([
      { cause: 'deleted', count: 2, requestIds: [String(deleted), String(alsoDeleted)] },
    ]);
    expect(new Set((await recorded()).map(({ RequestId }) => RequestId))).toEqual(
      new Set(ids.filter((id) => id !== deleted && id !== alsoDeleted)),
    );
    await environment.run(job);
    expect(environment.email.messages).toHaveLength(1);
  });

  test('a view whose ids are not those of the table fails the run', async () => {
    await add({ endsIn: inDays(2) });
    const other =
      job.platform.name === 'Databricks'
        ? `${viewColumns(job).RequestId} + 1000000`
        : "CAST('99999999-0000-4000-8000-000000000001' AS UNIQUEIDENTIFIER)";
    await replaceView(environment, job, { columns: { RequestId: other } });
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 0 });
    expect(run.message).toContain('(SQL error 547 in recordNotification)');
  });

  test('a reminder whose run died before its record is sent under the same id, whatever it then looks like', async () => {
    await add({ endsIn: inDays(2) }, { endsIn: inDays(3) });
    beforeStatement('recordNotification', 2, () => environment.query(`DROP TABLE ${notificationTable};`));
    expect(finished(await environment.run(job)).status).toBe('Failed');
    jest.restoreAllMocks();
    await createDatabase(environment.session);
    const sent = environment.email.messages.length;
    expect(sent).toBeGreaterThan(0);
    await environment.query(
      job.platform.name === 'Databricks'
        ? "UPDATE dbo.DataAccessDeltaRequests SET requested_by = N'Renamed';"
        : "UPDATE dbo.DataAccessPalantirRequests SET RequestedBy = N'Renamed';",
    );
    const email = { ...environment.settings.email, contactText: 'Ask the data team.' };
    expect(finished(await environment.run(job, environment.services({ email })))).toMatchObject({
      status: 'Completed',
      processedCount: 2,
      failedCount: 0,
    });
    expect(environment.email.messages).toHaveLength(2);
  });

  test('a message says how many failed of which kind, with the first requests', async () => {
    const [missing, malformed, question, rejected] = await add(
      { endsIn: inDays(2), email: null },
      { endsIn: inDays(2), email: 'nobody' },
      { endsIn: inDays(2), email: 'also nobody' },
      { endsIn: inDays(2), email: 'bad@example.com' },
      { endsIn: inDays(2) },
    );
    environment.email.order({ kind: 'error', status: 400, recipient: 'bad@example.com' });
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Completed', processedCount: 1, failedCount: 4 });
    const { failures } = run.facts;
    expect(failures.map(({ cause, count }) => [cause, count])).toEqual([
      ['addressMalformed', 2],
      ['addressMissing', 1],
      ['rejected', 1],
    ]);
    expect(failures.map(({ requestIds }) => new Set(requestIds))).toEqual([
      new Set([String(malformed), String(question)]),
      new Set([String(missing)]),
      new Set([String(rejected)]),
    ]);
    expect(run.message).toMatch(
      /^Failed: 2 address malformed; 1 address missing; 1 rejected by the email service, code [\w-]+\. /,
    );
  });

  test('a request that the view yields more than once is reminded by nobody’s guess: the run fails and names it', async () => {
    const [twice, , only] = await add(
      { endsIn: inDays(2), resource: 'twice', email: 'a@example.com' },
      { endsIn: inDays(2), resource: 'none' },
      { endsIn: inDays(2), email: 'b@example.com' },
    );
    const { RequestId, RequesterEmail, Resource, ExpiresAt } = viewColumns(job);
    const id = `CASE WHEN ${Resource} = 'none' THEN NULL ELSE ${RequestId} END`;
    await replaceView(
      environment,
      job,
      { columns: { RequestId: id } },
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
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 1, failedCount: 0 });
    expect(run.message).toMatch(/^2 grants were due and left alone\. Failed: .*without a request id/);
    expect(run.facts.failures).toContainEqual({
      cause: 'duplicated',
      count: 1,
      requestIds: [String(twice)],
    });
    expect(environment.email.messages.map(({ to }) => to)).toEqual([['b@example.com']]);
    expect(await recorded()).toMatchObject([{ RequestId: only }]);
  });

  test('an end that cannot be compared leaves reminders due: the run fails and says how many', async () => {
    await add({ endsIn: inDays(2) }, { endsIn: inDays(3) });
    await replaceView(environment, job, {
      columns: { ExpiresAt: 'DATEADD(HOUR, 60, SYSUTCDATETIME())' },
    });
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 0 });
    expect(run.message).toMatch(/Failed: 2 with an end that compares unequal to itself/);
  });

  test('access that goes on by another request is not announced as ending', async () => {
    const soon = inDays(2);
    const [old, renewal, tied, tiedToo] = await add(
      { endsIn: soon, accessKey: 'a' },
      { endsIn: inDays(5), accessKey: 'a' },
      { endsIn: soon, accessKey: 'b' },
      { endsIn: soon, accessKey: 'b' },
    );
    await replaceView(environment, job, {});
    expect(await preview()).toMatchObject({ count: 3, coveredCount: 1, covered: [{ requestId: old }] });
    expect(finished(await environment.run(job)).processedCount).toBe(3);
    const ids = (await recorded()).map(({ RequestId }) => RequestId);
    expect(new Set(ids)).toEqual(new Set([renewal, tied, tiedToo]));
  });

  describe('access that has ended', () => {
    const revokedAt = (id: number | string | undefined, daysAgo: number) =>
      environment.query(
        `INSERT INTO ${job.platform.revocationTable} (${requestColumn}, Revoked_Dt, Revoked_By) VALUES ('${String(id)}', DATEADD(DAY, -${daysAgo}, GETUTCDATE()), 'earlier');`,
      );

    test('is told if a site wants it: once, and no further back than 7 days', async () => {
      const [recent, long, told, again, ending] = await add(
        { endsIn: -4 * day },
        { endsIn: -30 * day },
        { endsIn: -4 * day },
        { endsIn: -10 * day },
        { endsIn: inDays(2) },
      );
      await revokedAt(recent, 3);
      await revokedAt(long, 8);
      await revokedAt(told, 3);
      if (told !== undefined) await recordedAt(told, 'DATEADD(DAY, -2, GETUTCDATE())');
      // It was reminded before its end; that it has ended was not told.
      await revokedAt(again, 5);
      if (again !== undefined) await recordedAt(again, 'DATEADD(DAY, -11, GETUTCDATE())');

      expect((await preview()).count).toBe(1);
      const services = environment.services({ notifyRevoked: true });
      const { grants } = await previewJob(services, job);
      expect(grants.map(({ requestId, leadDays }) => [requestId, leadDays])).toEqual([
        [again, null],
        [recent, null],
        [ending, 7],
      ]);
      expect(finished(await environment.run(job, services))).toMatchObject({ processedCount: 3 });
      expect(finished(await environment.run(job, services))).toMatchObject({ processedCount: 0 });
    });

    test('is not told of a grant that was renewed, or is covered by another', async () => {
      const [renewed, covered] = await add(
        { endsIn: inDays(60) },
        { endsIn: -4 * day, accessKey: 'a' },
        { endsIn: inDays(60), accessKey: 'a' },
      );
      await replaceView(environment, job, {});
      await revokedAt(renewed, 3);
      await revokedAt(covered, 3);
      const services = environment.services({ notifyRevoked: true });
      expect((await previewJob(services, job)).count).toBe(0);
    });
  });
});
