/** A reminder that is sent by hand: under every answer of the email service and every state of the grant. */
import { deadlineIn } from '../../src/clock';
import { databricks, palantir, type RequestId } from '../../src/jobs/platforms';
import { remind, type ReminderResult } from '../../src/jobs/reminder';
import {
  beforeStatement,
  finished,
  jobOf,
  startTestEnvironment,
  type GrantSpec,
  type TestEnvironment,
  type TestServices,
} from '../support/environment';
import { replaceView, restoreViews } from '../support/views';

const minute = 60_000;
const day = 24 * 60 * minute;
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

describe.each([databricks, palantir].map((platform) => [platform.name, platform] as const))(
  '%s: a reminder by hand',
  (_, platform) => {
    const [revocation, notification] = [
      jobOf('revocation', platform.name),
      jobOf('notification', platform.name),
    ];
    const { notificationTable, requestColumn } = platform;

    async function add(grant: GrantSpec): Promise<RequestId> {
      const [id] = await environment.addGrants(revocation, [grant]);
      if (id === undefined) throw new Error('No request was added');
      return id;
    }
    const send = (
      id: RequestId,
      services: TestServices = environment.services(),
      operator?: string,
    ): Promise<ReminderResult> =>
      remind(services, deadlineIn(services.clock, minute), platform, id, {
        ...(operator !== undefined && { operator }),
      });
    const recorded = () =>
      environment.query(
        `SELECT ${requestColumn} AS Id, Notification_Sent_To AS SentTo, Notification_Sent_By AS SentBy FROM ${notificationTable} ORDER BY Id;`,
      );
    /** What was recorded was so long ago. */
    const ago = (minutes: number) =>
      environment.query(
        `UPDATE ${notificationTable} SET Notification_Sent_Dt = DATEADD(MINUTE, -${minutes}, GETUTCDATE()) WHERE Id > 0;`,
      );
    const mails = () => environment.email.messages;

    test.each([
      ['is due', 5],
      ['is not due yet', 60],
    ])('is sent and recorded where the reminder %s: that grant alone, and no run', async (_case, days) => {
      const id = await add({ endsIn: days * day, email: 'Ada@Example.com' });
      await add({ endsIn: 5 * day, email: 'ada@example.com' });
      const services = environment.services();
      expect(await send(id, services, 'grace@example.com')).toEqual({
        kind: 'sent',
        sentTo: 'ada@example.com',
        sentBy: 'Operator grace@example.com',
      });
      expect(mails()).toMatchObject([{ to: ['ada@example.com'] }]);
      expect(await recorded()).toEqual([
        { Id: id, SentTo: 'ada@example.com', SentBy: 'Operator grace@example.com' },
      ]);
      expect(await environment.runs(notification)).toEqual([]);
      expect(services.telemetry.events).toEqual([]);
    });

    test('settles the reminder that is due: the next run sends none', async () => {
      const id = await add({ endsIn: 5 * day });
      expect(await send(id)).toMatchObject({ kind: 'sent', sentBy: 'Operator' });
      expect(finished(await environment.run(notification))).toMatchObject({ processedCount: 0 });
      expect(mails()).toHaveLength(1);
    });

    test('is refused for ten minutes after a message about the grant, whoever sent that', async () => {
      const id = await add({ endsIn: 5 * day });
      await environment.run(notification);
      expect(await send(id)).toMatchObject({ kind: 'justSent', at: expect.any(Date) as Date });
      await ago(9);
      expect(await send(id)).toMatchObject({ kind: 'justSent' });
      await ago(11);
      expect(await send(id)).toMatchObject({ kind: 'sent' });
      expect(await send(id)).toMatchObject({ kind: 'justSent' });
      expect(mails()).toHaveLength(2);
      expect(new Set(mails().map(({ operationId }) => operationId)).size).toBe(2);
    });

    test('is refused where a run sends one between the look and the send', async () => {
      const id = await add({ endsIn: 5 * day });
      beforeStatement('readNotificationHistory', 2, () => environment.run(notification));
      expect(await send(id)).toMatchObject({ kind: 'justSent' });
      expect(mails()).toHaveLength(1);
    });

    test('and a run that sends at the same moment are both recorded, and counted as the rows that the run wrote', async () => {
      const id = await add({ endsIn: 5 * day });
      beforeStatement('recordReminder', 1, () => environment.run(notification));
      expect(await send(id)).toMatchObject({ kind: 'sent' });
      expect((await recorded()).map(({ SentBy }) => SentBy)).toEqual([notification.type, 'Operator']);
      expect(mails()).toHaveLength(2);
    });

    test('several at once are one message to the service', async () => {
      const id = await add({ endsIn: 5 * day });
      const results = await Promise.all(Array.from({ length: 4 }, () => send(id)));
      expect(results.map(({ kind }) => kind)).toContain('sent');
      expect(new Set(mails().map(({ operationId }) => operationId)).size).toBe(1);
    });

    test.each([
      ['is missing', null, 'addressMissing'],
      ['is malformed', 'nobody', 'addressMalformed'],
    ])('is not sent to an address that %s, whether it is due or not', async (_case, email, cause) => {
      for (const days of [5, 60])
        expect(await send(await add({ endsIn: days * day, email }))).toEqual({
          kind: 'unusableAddress',
          cause,
        });
      expect(mails()).toEqual([]);
    });

    test.each([
      ['has ended', { endsIn: -minute }, 'revocationDue'],
      ['is not granted', { endsIn: 5 * day, status: 'Withdrawn' }, 'notGranted'],
    ])('is not sent where the grant %s', async (_case, grant, code) => {
      expect(await send(await add(grant))).toMatchObject({ kind: 'notRemindable', next: { code } });
      expect(mails()).toEqual([]);
    });

    test('is not sent where the grant is covered, or the view yields it twice', async () => {
      await replaceView(environment, revocation, {});
      const id = await add({ endsIn: 5 * day, accessKey: 'a' });
      await add({ endsIn: 50 * day, accessKey: 'a' });
      expect(await send(id)).toMatchObject({ kind: 'notRemindable', next: { code: 'covered' } });
      await replaceView(environment, revocation, {}, {});
      expect(await send(id)).toMatchObject({ kind: 'notRemindable', next: { code: 'duplicated' } });
      expect(mails()).toEqual([]);
    });

    test('of a request that there is not is told so', async () => {
      const unknown = platform === databricks ? 999_999 : '00000000-0000-4000-9000-000000000000';
      expect(await send(unknown)).toEqual({ kind: 'unknownRequest' });
    });

    test('that the service refuses is not recorded', async () => {
      const id = await add({ endsIn: 5 * day });
      environment.email.order({ kind: 'error', status: 400, times: 2 });
      expect(await send(id)).toMatchObject({ kind: 'rejected' });
      expect([mails(), await recorded()]).toEqual([[], []]);
    });

    test('that the service takes and then fails is not recorded', async () => {
      const id = await add({ endsIn: 5 * day, email: 'gone@example.com' });
      environment.email.order({ kind: 'outcome', failure: { code: 'EmailDropped' } });
      expect(await send(id)).toMatchObject({ kind: 'rejected' });
      expect(await recorded()).toEqual([]);
    });

    test('waits as long as the service asks, where it has that time, and else says how long', async () => {
      const id = await add({ endsIn: 5 * day });
      environment.email.order({ kind: 'error', status: 429, retryAfter: 10 });
      expect(await send(id)).toMatchObject({ kind: 'sent' });
      await ago(11);
      environment.email.order({ kind: 'error', status: 429, retryAfter: 3_600 });
      expect(await send(id)).toMatchObject({ kind: 'stopped', retryAfterMs: expect.any(Number) as number });
      expect(mails()).toHaveLength(1);
      expect(await recorded()).toHaveLength(1);
    });

    test('shares the pause that the service has asked a run for', async () => {
      const [id] = [await add({ endsIn: 5 * day }), await add({ endsIn: 5 * day })];
      const services = environment.services();
      environment.email.order({ kind: 'error', status: 429, retryAfter: 3_600, times: Infinity });
      expect(finished(await environment.run(notification, services))).toMatchObject({ stoppedEarly: true });
      const sends = () => environment.email.requests.filter(({ method }) => method === 'POST').length;
      const before = sends();
      expect(await send(id, services)).toMatchObject({ kind: 'stopped' });
      expect(sends()).toBe(before);
    });

    test.each([500, 403])('that the service does not take (%d) is not recorded', async (status) => {
      const id = await add({ endsIn: 5 * day });
      environment.email.order({ kind: 'error', status, times: Infinity });
      expect((await send(id)).kind).toMatch(/^(unavailable|unknown)$/);
      expect([mails(), await recorded()]).toEqual([[], []]);
    });

    test('whose answers are all lost is not known, and another try is the same message, recorded once', async () => {
      const id = await add({ endsIn: 5 * day });
      environment.email.order({ kind: 'dropAfter', times: Infinity });
      environment.email.order({ kind: 'dropBefore', on: 'status', times: Infinity });
      expect(await send(id)).toMatchObject({ kind: 'unknown' });
      expect(await recorded()).toEqual([]);
      environment.email.clearFaults();
      expect(await send(id)).toMatchObject({ kind: 'sent' });
      expect(new Set(mails().map(({ operationId }) => operationId)).size).toBe(1);
      expect(await recorded()).toHaveLength(1);
    });

    test('that was sent and cannot be recorded says so, and another try is the same message', async () => {
      const { standIn } = environment;
      if (!standIn) return;
      const id = await add({ endsIn: 5 * day });
      standIn.order({ kind: 'error', number: 229, match: /Notification_Sent_By = @sentBy/ });
      expect(await send(id)).toMatchObject({
        kind: 'unrecorded',
        reason: expect.stringMatching(/229/) as string,
      });
      expect(await send(id)).toMatchObject({ kind: 'sent' });
      expect(new Set(mails().map(({ operationId }) => operationId)).size).toBe(1);
    });

    test('is recorded once where the answer of its record is lost', async () => {
      const { standIn } = environment;
      if (!standIn) return;
      const id = await add({ endsIn: 5 * day });
      standIn.order({ kind: 'dropAfter', match: /Notification_Sent_By = @sentBy/ });
      expect(await send(id)).toMatchObject({ kind: 'sent' });
      expect(await recorded()).toHaveLength(1);
    });

    test('names an operator whose name is long or that of a job as an operator', async () => {
      const id = await add({ endsIn: 5 * day });
      const result = await send(id, environment.services(), notification.type.repeat(4));
      expect(result).toMatchObject({ kind: 'sent' });
      const [row] = await recorded();
      expect(row?.SentBy).toMatch(/^Operator /);
      expect(row?.SentBy).toHaveLength(100);
    });
  },
);
