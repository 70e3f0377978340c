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
  client = newClient();
  clock = new FastClock();
  setTime('2026-12-01T06:30:00Z');
});

function newClient(timings?: ConstructorParameters<typeof EmailClient>[2]): EmailClient {
  const credential = {
    getToken: () => Promise.resolve({ token: 'any', expiresOnTimestamp: Date.now() + hour }),
  };
  const { endpoint } = service;
  return new EmailClient(
    { endpoint, senderAddress: 'access@example.com', replyTo: 'team@example.com', timeZone: 'UTC' },
    credential,
    timings,
  );
}

function setTime(time: string): void {
  clock.advance(Date.parse(time) - clock.now());
}

const send = (one = message): Promise<SendOutcome> =>
  client.send(one, deadlineIn(clock, 60_000), () => Promise.resolve());
const failWith = (code: string): void =>
  service.order({ kind: 'outcome', failure: { code }, times: Infinity });
const rejectedWith = (code: string) => ({ kind: 'rejected', reason: `operation failed: ${code}` });

test('a message names the reply-to address, and says in its headers that it wants no automatic answer', async () => {
  expect(await send()).toEqual({ kind: 'accepted', succeeded: true });
  const [{ replyTo, headers } = {}] = service.messages;
  expect(replyTo).toEqual(['team@example.com']);
  expect(headers).toEqual({
    'Auto-Submitted': 'auto-generated',
    'X-Auto-Response-Suppress': 'OOF, AutoReply',
  });
});

test('a message that is still on its way when the time is up is accepted, but has not succeeded', async () => {
  service.order({ kind: 'outcome', runningReads: 1_000 });
  expect(await send()).toEqual({ kind: 'accepted', succeeded: false });
});

test.each(['send', 'status'] as const)(
  'an answer to a %s that stalls after its headers is a lost answer',
  async (on) => {
    client = newClient({ callMs: 300 });
    service.order({ kind: 'stall', on });
    expect(await send()).toMatchObject({ kind: 'accepted' });
    expect(service.messages).toHaveLength(1);
  },
);

/** Sends as another process does, which knows nothing of earlier calls. */
const sendAnew = (): Promise<SendOutcome> => {
  client = newClient();
  return send();
};
const posts = (): number => service.requests.filter(({ method }) => method === 'POST').length;

describe.each([
  ['in one process', send],
  ['in a new process each time', sendAnew],
])('a message that the service takes and then fails, %s,', (_, sendAgain) => {
  test.each([suppressed, 'InternalServerError'])(
    'goes out once a day, however many runs there are: %s',
    async (code) => {
      failWith(code);
      const sentAfterRun: number[] = [];
      for (const day of ['2026-12-01', '2026-12-02', '2026-12-03'])
        for (const time of ['06:30', '07:30', '18:30']) {
          setTime(`${day}T${time}:00Z`);
          expect(await sendAgain()).toEqual(rejectedWith(code));
          sentAfterRun.push(service.messages.length);
        }
      expect(sentAfterRun).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3]);
      expect(new Set(service.messages.map(({ operationId }) => operationId)).size).toBe(3);
    },
  );

  test('goes through on a later day, and then counts as accepted', async () => {
    failWith(suppressed);
    await sendAgain();
    service.clearFaults();
    expect(await sendAgain()).toEqual(rejectedWith(suppressed));
    setTime('2026-12-02T06:30:00Z');
    expect(await sendAgain()).toEqual({ kind: 'accepted', succeeded: true });
    expect(await sendAgain()).toEqual({ kind: 'accepted', succeeded: true });
    expect(service.messages.map(({ status }) => status)).toEqual(['Failed', 'Succeeded']);
  });
});

test('a message that is late when it is first sent, and fails, is sent once a day by a process', async () => {
  failWith('InternalServerError');
  setTime('2026-12-02T06:30:00Z');
  await send();
  await send();
  expect(service.messages).toHaveLength(1);
});

test('a process asks once a day to send a message that the service refuses', async () => {
  service.order({ kind: 'error', status: 400, times: Infinity });
  expect(await send()).toEqual({ kind: 'rejected', reason: 'HTTP 400 InvalidEmailAddress' });
  expect(await send()).toEqual({ kind: 'rejected', reason: 'HTTP 400 InvalidEmailAddress' });
  expect(posts()).toBe(1);
  setTime('2026-12-02T06:30:00Z');
  await send();
  await send();
  expect(posts()).toBe(2);
});

test('a refusal is not believed where the service has the message: it is accepted', async () => {
  service.order({ kind: 'dropAfter' });
  service.order({ kind: 'dropBefore', on: 'status' });
  expect((await send()).kind).toBe('unknown');
  // The service takes another text under a known id for an error.
  const reworded = { ...message, plainText: 'It ends this Friday.' };
  client = newClient();
  expect(await send(reworded)).toEqual({ kind: 'accepted', succeeded: true });
  expect(service.requests.at(-2)).toMatchObject({ method: 'POST', status: 400 });
  expect(service.messages).toHaveLength(1);
});

test('a message that was accepted on an earlier day is found before it is sent', async () => {
  await send();
  setTime('2026-12-03T06:30:00Z');
  client = newClient();
  expect(await send()).toEqual({ kind: 'accepted', succeeded: true });
  expect(posts()).toBe(1);
});

test('a message that was failed on one day and accepted on the next is found on the third', async () => {
  failWith('InternalServerError');
  await send();
  service.clearFaults();
  setTime('2026-12-02T18:45:00Z');
  expect(await sendAnew()).toMatchObject({ kind: 'accepted' });
  setTime('2026-12-03T06:45:00Z');
  expect(await sendAnew()).toMatchObject({ kind: 'accepted' });
  expect(service.messages).toHaveLength(2);
});

test.each(['send', 'status'] as const)('a single 401 on a %s is the service’s own', async (on) => {
  service.order({ kind: 'error', status: 401, on });
  expect(await send()).toEqual({ kind: 'accepted', succeeded: true });
  expect(service.messages).toHaveLength(1);
});

test('a message that was accepted under an id of an earlier try is not sent again', async () => {
  await send({ ...message, operationId: '6f0f4e0c-5a53-5d0c-9d35-0d3a7c0b3a12' });
  const earlierIds = ['6f0f4e0c-5a53-5d0c-9d35-0d3a7c0b3a12'];
  expect(await send({ ...message, earlierIds })).toMatchObject({ kind: 'accepted' });
  expect(service.messages).toHaveLength(1);
});

test('two 401 in a row are a refusal of the identity', async () => {
  service.order({ kind: 'error', status: 401, times: 2 });
  expect(await send()).toEqual({ kind: 'unavailable', reason: 'HTTP 401 Unauthorized', permanent: true });
});

test('a Retry-After that is a date counts from the date of the answer', async () => {
  const date = new Date(Math.ceil(Date.now() / 1000) * 1000 + 20_000);
  service.order({ kind: 'error', status: 429, retryAfter: date.toUTCString() });
  expect(await send()).toEqual({ kind: 'accepted', succeeded: true });
  expect(clock.slept[0]).toBeGreaterThan(15_000);
  expect(clock.slept[0]).toBeLessThan(25_000);
});
