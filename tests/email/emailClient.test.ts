/** The client as the jobs use it, with the real library, against the email stand-in. */
import { createCertificates, trustAuthority } from '../../local/certificates';
import { startEmailService, type EmailService } from '../../local/email';
import { deadlineIn } from '../../src/clock';
import { EmailClient, type SendOutcome } from '../../src/email/emailClient';
import type { EmailMessage } from '../../src/email/message';
import { FastClock } from '../support/environment';

const hour = 60 * 60 * 1000;
const suppressed = 'EmailDroppedAllRecipientsSuppressed';

const message: EmailMessage = {
  operationId: '3d0f4e0c-5a53-5d0c-9d35-0d3a7c0b3a11',
  firstDay: '2026-12-01',
  recipient: 'ana@example.com',
  subject: 'Your access ends',
  plainText: 'It ends on Friday.',
  html: '<p>It ends on Friday.</p>',
};

let service: EmailService;
let client: EmailClient;
let clock: FastClock;

beforeAll(async () => {
  const { authority, ...tls } = await createCertificates();
  trustAuthority(authority);
  service = await startEmailService({ tls, retryAfter: 0 });
});
afterAll(() => service.close());

beforeEach(() => {
  service.reset();
  const credential = {
    getToken: () => Promise.resolve({ token: 'any', expiresOnTimestamp: Date.now() + hour }),
  };
  const { endpoint } = service;
  client = new EmailClient({ endpoint, senderAddress: 'access@example.com', timeZone: 'UTC' }, credential);
  clock = new FastClock();
  setTime('2026-12-01T06:30:00Z');
});

function setTime(time: string): void {
  clock.advance(Date.parse(time) - clock.now());
}

const send = (): Promise<SendOutcome> =>
  client.send(message, deadlineIn(clock, 60_000), () => Promise.resolve());
const failWith = (code: string): void =>
  service.order({ kind: 'outcome', failure: { code }, times: Infinity });
const rejectedWith = (code: string) => ({ kind: 'rejected', reason: `operation failed: ${code}` });

test('a message says in its headers that it is sent by a machine and wants no automatic answer', async () => {
  expect(await send()).toEqual({ kind: 'accepted', succeeded: true });
  expect(service.messages[0]?.headers).toEqual({
    'Auto-Submitted': 'auto-generated',
    'X-Auto-Response-Suppress': 'OOF, AutoReply',
  });
});

test('a message that is still on its way when the time is up is accepted, but has not succeeded', async () => {
  service.order({ kind: 'outcome', runningReads: 1_000 });
  expect(await send()).toEqual({ kind: 'accepted', succeeded: false });
});

describe('a message to a suppressed address', () => {
  test('goes out once on its first day and once on each day after, however many runs there are', async () => {
    failWith(suppressed);
    const sentAfterRun: number[] = [];
    for (const day of ['2026-12-01', '2026-12-02', '2026-12-03'])
      for (const time of ['06:30', '07:30', '18:30']) {
        setTime(`${day}T${time}:00Z`);
        expect(await send()).toEqual(rejectedWith(suppressed));
        sentAfterRun.push(service.messages.length);
      }
    expect(sentAfterRun).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3]);
    expect(new Set(service.messages.map(({ operationId }) => operationId)).size).toBe(3);
  });

  test('goes through on the day after its address was taken off the list, and then counts as accepted', async () => {
    failWith(suppressed);
    await send();
    service.clearFaults();
    expect(await send()).toEqual(rejectedWith(suppressed));
    setTime('2026-12-02T06:30:00Z');
    expect(await send()).toEqual({ kind: 'accepted', succeeded: true });
    expect(await send()).toEqual({ kind: 'accepted', succeeded: true });
    expect(service.messages.map(({ status }) => status)).toEqual(['Failed', 'Succeeded']);
  });
});

test('a message that failed for another reason gets its second try at once, and no third on that day', async () => {
  failWith('InternalServerError');
  expect(await send()).toEqual(rejectedWith('InternalServerError'));
  expect(await send()).toEqual(rejectedWith('InternalServerError'));
  expect(service.messages).toHaveLength(2);
  service.clearFaults();
  setTime('2026-12-02T06:30:00Z');
  expect(await send()).toEqual({ kind: 'accepted', succeeded: true });
});
