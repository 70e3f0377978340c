/** Reminders sent by hand, for every answer of the email service and every state of a grant. */
import { deadlineIn } from '../../src/clock';
import { platforms, type RequestId } from '../../src/jobs/platforms';
import { remind } from '../../src/jobs/reminder';
import { arrange, day, minute, useEnvironment } from '../support/arrange';
import { beforeStatement, jobOf, type GrantSpec } from '../support/environment';
import { testOnStandIn } from '../support/realServer';

const environment = useEnvironment();
const inDays = (days: number): GrantSpec => ({ endsIn: days * day });

describe.each(platforms.map((platform) => [platform.name, platform] as const))(
  '%s: a reminder by hand',
  (_, platform) => {
    const notification = jobOf('notification', platform.name);
    const { addOne: add, mapView, notifications, run } = arrange(environment, notification);
    const send = (id: RequestId, services = environment.services(), operator?: string) =>
      remind(services, deadlineIn(services.clock, minute), platform, id, {
        ...(operator !== undefined && { operator }),
      });
    const mails = () => environment.email.messages;
    const posts = () => environment.email.requests.filter(({ method }) => method === 'POST').length;
    /** The numbers of messages, of their operation ids, and of records. */
    const left = async () => ({
      mails: mails().length,
      ids: new Set(mails().map(({ operationId }) => operationId)).size,
      records: (await notifications()).length,
    });
    const nothing = { mails: 0, ids: 0, records: 0 };

    test.each([
      ['is due', 5],
      ['is not due yet', 60],
    ])('is sent and recorded for one grant, without a run, when the reminder %s', async (_case, days) => {
      const id = await add({ ...inDays(days), email: 'Ada@Example.com' });
      await add({ ...inDays(5), email: 'ada@example.com' });
      const services = environment.services();
      const [sentTo, sentBy] = ['ada@example.com', 'Operator grace@example.com'];
      expect(await send(id, services, 'grace@example.com')).toEqual({ kind: 'sent', sentTo, sentBy });
      expect(mails()).toMatchObject([{ to: [sentTo] }]);
      expect(await notifications()).toMatchObject([
        { RequestId: id, Notification_Sent_To: sentTo, Notification_Sent_By: sentBy },
      ]);
      expect([await environment.runs(notification), services.telemetry.events]).toEqual([[], []]);
    });

    test('settles the reminder: the next run sends none', async () => {
      expect(await send(await add(inDays(5)))).toMatchObject({ kind: 'sent', sentBy: 'Operator' });
      expect(await run()).toMatchObject({ processedCount: 0 });
      expect(mails()).toHaveLength(1);
    });

    test('is refused if a run sends one between the check and the send', async () => {
      const id = await add(inDays(5));
      beforeStatement('readNotificationHistory', 2, run);
      expect(await send(id)).toMatchObject({ kind: 'justSent' });
      expect(mails()).toHaveLength(1);
    });

    test('and one of a run at the same moment are both recorded', async () => {
      const id = await add(inDays(5));
      beforeStatement('recordReminder', 1, run);
      expect(await send(id)).toMatchObject({ kind: 'sent' });
      expect((await notifications()).map((row) => row.Notification_Sent_By)).toEqual([
        notification.type,
        'Operator',
      ]);
      expect(mails()).toHaveLength(2);
    });

    const notRemindable = (code: string) => ({ kind: 'notRemindable', next: { code } });
    test('is not sent to a malformed address, even before it is due', async () => {
      const id = await add({ ...inDays(60), email: 'nobody' });
      expect(await send(id)).toMatchObject({ kind: 'unusableAddress', cause: 'addressMalformed' });
      expect(await left()).toEqual(nothing);
    });

    test('is not sent if the grant is covered or duplicated', async () => {
      await mapView({});
      const id = await add({ ...inDays(5), accessKey: 'a' });
      await add({ ...inDays(50), accessKey: 'a' });
      expect(await send(id)).toMatchObject(notRemindable('covered'));
      await mapView({}, {});
      expect(await send(id)).toMatchObject(notRemindable('duplicated'));
      expect(await left()).toEqual(nothing);
    });

    test('of a request that only the records know is refused, with the cause', async () => {
      const id = await add(inDays(5));
      expect(await send(id)).toMatchObject({ kind: 'sent' });
      await mapView({ where: '1 = 0' });
      expect(await send(id)).toMatchObject(notRemindable('notGranted'));
      await mapView({});
      expect(await left()).toMatchObject({ mails: 1 });
    });

    test('that the service takes and then fails is not recorded', async () => {
      const id = await add(inDays(5));
      environment.email.order({ kind: 'outcome', failure: { code: 'EmailDropped' } });
      expect(await send(id)).toMatchObject({ kind: 'rejected' });
      expect(await left()).toEqual({ mails: 1, ids: 1, records: 0 });
    });

    test('waits as long as the service asks if there is time', async () => {
      const id = await add(inDays(5));
      environment.email.order({ kind: 'error', status: 429, retryAfter: 10 });
      expect(await send(id)).toMatchObject({ kind: 'sent' });
      expect(await left()).toEqual({ mails: 1, ids: 1, records: 1 });
    });

    test('keeps a pause that the service has asked a run for', async () => {
      const [id] = [await add(inDays(5)), await add(inDays(5))];
      const services = environment.services();
      environment.email.order({ kind: 'error', status: 429, retryAfter: 3_600, times: Infinity });
      expect(await run(services)).toMatchObject({ stoppedEarly: true });
      const before = posts();
      expect(await send(id, services)).toMatchObject({ kind: 'stopped' });
      expect(posts()).toBe(before);
    });

    test('whose answers are all lost is unknown; another try sends the same message and records it once', async () => {
      const id = await add(inDays(5));
      environment.email.order({ kind: 'dropAfter', times: Infinity });
      environment.email.order({ kind: 'dropBefore', on: 'status', times: Infinity });
      expect(await send(id)).toMatchObject({ kind: 'unknown' });
      expect(await notifications()).toEqual([]);
      environment.email.clearFaults();
      expect(await send(id)).toMatchObject({ kind: 'sent' });
      expect(await left()).toMatchObject({ ids: 1, records: 1 });
    });

    testOnStandIn('whose answers are all lost is the same message after midnight', async () => {
      const { standIn } = environment;
      const services = environment.services();
      const late = Math.ceil(Date.now() / day) * day - 4 * minute;
      standIn?.clock.set(new Date(late));
      services.clock.advance(late - Date.now());
      const id = await add({ endsIn: 40 * day + (late - Date.now()) });
      environment.email.order({ kind: 'dropAfter' });
      environment.email.order({ kind: 'error', on: 'status', status: 500, times: Infinity });
      expect(await send(id, services)).toMatchObject({ kind: 'unknown' });
      environment.email.clearFaults();
      standIn?.clock.set(new Date(late + 6 * minute));
      services.clock.advance(6 * minute);
      expect(await send(id, services)).toMatchObject({ kind: 'sent' });
      expect(await left()).toEqual({ mails: 1, ids: 1, records: 1 });
    });

    test('that the service refused is sent once the cause is corrected', async () => {
      const id = await add(inDays(5));
      const services = environment.services();
      environment.email.order({ kind: 'error', status: 400 });
      expect(await send(id, services)).toMatchObject({ kind: 'rejected' });
      expect(await send(id, services)).toMatchObject({ kind: 'sent' });
    });

    testOnStandIn('that was sent and not recorded says so; another try sends the same message', async () => {
      const id = await add(inDays(5));
      const match = /Notification_Sent_By = @sentBy/;
      environment.standIn?.order({ kind: 'error', number: 229, match });
      expect(await send(id)).toMatchObject({
        kind: 'unrecorded',
        reason: expect.stringMatching(/229/) as string,
      });
      // The answer to the record is lost: it is recorded once.
      environment.standIn?.order({ kind: 'dropAfter', match });
      expect(await send(id)).toMatchObject({ kind: 'sent' });
      expect(await left()).toMatchObject({ ids: 1, records: 1 });
    });

    test.each([
      ['that of a job', notification.type.repeat(4), 100],
      ['of characters that take several bytes in UTF-8', 'é'.repeat(100), 'Operator '.length + 45],
    ])('is recorded as by an operator, even if the name is long, %s', async (_case, operator, length) => {
      const id = await add(inDays(5));
      const sentBy = `Operator ${operator}`.slice(0, length);
      expect(await send(id, environment.services(), operator)).toMatchObject({ kind: 'sent', sentBy });
      expect(await notifications()).toMatchObject([{ Notification_Sent_By: sentBy }]);
    });
  },
);
