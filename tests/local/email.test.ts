import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { request as requestOverTls } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { EmailClient, type EmailClientOptions, type EmailMessage } from '@azure/communication-email';
import { createCertificates, trustAuthority, type Certificates } from '../../local/certificates';
import { startEmailService, type AcceptedMessage, type EmailService } from '../../local/email';

const goodToken = 'good-token';
let certificates: Certificates;
let service: EmailService;

function client(token = goodToken, options: EmailClientOptions = {}): EmailClient {
  const credential = {
    getToken: () => Promise.resolve({ token, expiresOnTimestamp: Date.now() + 3_600_000 }),
  };
  return new EmailClient(service.endpoint, credential, { retryOptions: { maxRetries: 0 }, ...options });
}

function messageTo(address: string, change: Partial<EmailMessage> = {}): EmailMessage {
  return {
    senderAddress: 'access@example.com',
    content: {
      subject: 'Your access ends soon',
      html: '<p>It ends on Friday.</p>',
      plainText: 'It ends on Friday.',
    },
    recipients: { to: [{ address }] },
    replyTo: [{ address: 'access-team@example.com' }],
    headers: { 'Auto-Submitted': 'auto-generated' },
    ...change,
  };
}

/** Sends by hand, where the test needs what the client hides. */
async function post(body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${service.endpoint}/emails:send?api-version=2025-09-01`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${goodToken}`, 'Content-Type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

const statuses = () => service.requests.map(({ method, status }) => `${method} ${status ?? 'none'}`);

beforeAll(async () => {
  certificates = await createCertificates();
  trustAuthority(certificates.authority);
});

beforeEach(async () => {
  service = await startEmailService({
    tls: certificates,
    acceptToken: (token) => token === goodToken,
    retryAfter: 0,
  });
});

afterEach(() => service.close());

describe('an accepted message', () => {
  test('is kept with all that the client gave, under the client’s operation id', async () => {
    const operationId = randomUUID();
    const poller = await client().beginSend(messageTo('ana@example.com'), { operationId });
    expect(await poller.pollUntilDone()).toMatchObject({ id: operationId, status: 'Succeeded' });
    expect(service.messages).toEqual([
      {
        operationId,
        sender: 'access@example.com',
        to: ['ana@example.com'],
        subject: 'Your access ends soon',
        html: '<p>It ends on Friday.</p>',
        plainText: 'It ends on Friday.',
        replyTo: ['access-team@example.com'],
        headers: { 'Auto-Submitted': 'auto-generated' },
        acceptedAt: expect.any(Date) as Date,
        status: 'Succeeded',
      },
    ]);
    expect(service.requests[0]).toEqual({
      method: 'POST',
      path: '/emails:send',
      operationId,
      to: ['ana@example.com'],
      status: 202,
    });
    expect(service.requests[1]).toEqual({
      method: 'GET',
      path: `/emails/operations/${operationId}`,
      operationId,
      status: 200,
    });
  });

  test('is answered with 202, where to read its status, and Running', async () => {
    const operationId = randomUUID();
    const answer = await post(messageTo('ana@example.com'), { 'Operation-Id': operationId });
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({ id: operationId, status: 'Running' });
    expect(answer.headers.get('operation-location')).toBe(
      `${service.endpoint}/emails/operations/${operationId}?api-version=2025-09-01`,
    );
    expect(answer.headers.get('retry-after')).toBe('0');
  });

  test('gets an operation id from the service if the client gives none', async () => {
    await client().beginSend(messageTo('ana@example.com'));
    expect(service.messages[0]?.operationId).toMatch(/^[\da-f-]{36}$/);
  });

  test('sent again under its operation id is answered as the first time and not delivered twice', async () => {
    const operationId = randomUUID();
    const first = await client().beginSend(messageTo('ana@example.com'), { operationId });
    const second = await client().beginSend(messageTo('ana@example.com'), { operationId });
    expect((await second.pollUntilDone()).id).toBe((await first.pollUntilDone()).id);
    expect(service.messages).toHaveLength(1);
  });

  test('leaves its operation id to no other message: that one gets 400', async () => {
    const operationId = randomUUID();
    await client().beginSend(messageTo('ana@example.com'), { operationId });
    await expect(client().beginSend(messageTo('ben@example.com'), { operationId })).rejects.toMatchObject({
      statusCode: 400,
      code: 'BadRequest',
    });
    expect(service.messages).toHaveLength(1);
  });

  test('keeps only its envelope where bodies are not to be kept', async () => {
    await service.close();
    service = await startEmailService({ tls: certificates, keepBodies: false });
    await client().beginSend(messageTo('ana@example.com'));
    expect(service.messages[0]).toMatchObject({ to: ['ana@example.com'], subject: 'Your access ends soon' });
    expect(service.messages[0]).not.toHaveProperty('html');
    expect(service.messages[0]).not.toHaveProperty('plainText');
  });
});

describe('a refused message', () => {
  test.each<[string, Partial<EmailMessage>, string]>([
    [
      'a recipient without @',
      { recipients: { to: [{ address: 'ana.example.com' }] } },
      'InvalidEmailAddress',
    ],
    ['an empty recipient', { recipients: { to: [{ address: '' }] } }, 'InvalidEmailAddress'],
    [
      'a line break in a recipient',
      { recipients: { to: [{ address: 'a@b.example\r\nBcc: c@d.example' }] } },
      'InvalidEmailAddress',
    ],
    ['no recipient', { recipients: { to: [] } }, 'InvalidEmailAddress'],
    [
      'more than 50 recipients',
      { recipients: { to: Array.from({ length: 51 }, (_, i) => ({ address: `a${i}@example.com` })) } },
      'BadRequest',
    ],
    ['a sender that is no address', { senderAddress: 'nobody' }, 'InvalidEmailAddress'],
    ['a reply-to that is no address', { replyTo: [{ address: 'nobody' }] }, 'InvalidEmailAddress'],
    ['an empty subject', { content: { subject: '', plainText: 'x' } }, 'BadRequest'],
    [
      'a line break in the subject',
      { content: { subject: 'a\r\nBcc: c@d.example', plainText: 'x' } },
      'BadRequest',
    ],
  ])('has %s: 400, and it is not kept', async (_, change, code) => {
    await expect(client().beginSend(messageTo('ana@example.com', change))).rejects.toMatchObject({
      statusCode: 400,
      code,
    });
    expect(service.messages).toHaveLength(0);
  });

  test.each<[string, unknown, Record<string, string>]>([
    ['no body text', { ...messageTo('ana@example.com'), content: { subject: 'x' } }, {}],
    ['a body that is no JSON', 'subject=x', {}],
    ['an operation id that is no UUID', messageTo('ana@example.com'), { 'Operation-Id': '42' }],
  ])('has %s: 400 with the code in the header x-ms-error-code too', async (_, body, headers) => {
    const answer = await post(body, headers);
    expect(answer.status).toBe(400);
    expect(answer.headers.get('x-ms-error-code')).toBe('BadRequest');
    expect(await answer.json()).toMatchObject({ error: { code: 'BadRequest' } });
  });

  test('is larger than 10 MB: 413', async () => {
    expect((await post('x'.repeat(10 * 1024 * 1024 + 1))).status).toBe(413);
  });

  test('has a token that is not accepted, or none: 401', async () => {
    await expect(client('stolen').beginSend(messageTo('ana@example.com'))).rejects.toMatchObject({
      statusCode: 401,
    });
    expect((await post(messageTo('ana@example.com'), { Authorization: '' })).status).toBe(401);
    expect(service.messages).toHaveLength(0);
  });
});

test('an operation that is not known, and any other address, is answered with 404', async () => {
  const headers = { Authorization: `Bearer ${goodToken}` };
  const unknown = await fetch(`${service.endpoint}/emails/operations/${randomUUID()}`, { headers });
  expect([unknown.status, unknown.headers.get('x-ms-error-code')]).toEqual([404, 'OperationNotFound']);
  expect((await fetch(`${service.endpoint}/sms`, { headers })).status).toBe(404);
  const { port } = new URL(service.endpoint);
  const sent = requestOverTls({ hostname: 'localhost', port, path: '//', headers, agent: false }).end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  answer.resume();
  expect(answer.statusCode).toBe(404);
});

test('every call takes the latency that was asked for', async () => {
  await service.close();
  service = await startEmailService({ tls: certificates });
  service.latencyMs = 100;
  const started = performance.now();
  await post(messageTo('ana@example.com'));
  expect(performance.now() - started).toBeGreaterThanOrEqual(99);
});

describe('an ordered fault', () => {
  const send = (address: string) => client().beginSend(messageTo(address));

  test('rejects one recipient as often as it says, and no other', async () => {
    service.order({ kind: 'error', status: 400, recipient: 'ana@example.com', times: Infinity });
    await expect(send('ana@example.com')).rejects.toMatchObject({
      statusCode: 400,
      code: 'InvalidEmailAddress',
    });
    await send('ben@example.com');
    await expect(send('ana@example.com')).rejects.toMatchObject({ statusCode: 400 });
    expect(service.messages.map(({ to }) => to)).toEqual([['ben@example.com']]);
  });

  test('hits the n-th send from now, once', async () => {
    await send('first@example.com');
    service.order({ kind: 'error', status: 401, at: 2 });
    await send('second@example.com');
    await expect(send('third@example.com')).rejects.toMatchObject({ statusCode: 401, code: 'Unauthorized' });
    await send('fourth@example.com');
    expect(service.messages).toHaveLength(3);
  });

  test('with a recipient counts only the sends to it', async () => {
    service.order({ kind: 'error', status: 500, recipient: /^ana@/, at: 2 });
    await send('ana@example.com');
    await send('ben@example.com');
    await expect(send('ana@example.com')).rejects.toMatchObject({
      statusCode: 500,
      code: 'InternalServerError',
    });
  });

  test.each([
    [429, 'TooManyRequests'],
    [503, 'ServiceUnavailable'],
  ])('answers %i with its Retry-After', async (status, code) => {
    service.order({ kind: 'error', status, retryAfter: 7 });
    const answer = await post(messageTo('ana@example.com'));
    expect([answer.status, answer.headers.get('retry-after'), answer.headers.get('x-ms-error-code')]).toEqual(
      [status, '7', code],
    );
  });

  test('never answers, until the client gives up', async () => {
    service.order({ kind: 'hang' });
    const givingUp = new AbortController();
    const sent = client().beginSend(messageTo('ana@example.com'), { abortSignal: givingUp.signal });
    while (statuses().length === 0) await delay(10);
    givingUp.abort();
    await expect(sent).rejects.toThrow(/abort/i);
    expect(statuses()).toEqual(['POST none']);
    expect(service.messages).toHaveLength(0);
  });

  test('drops the connection before the message is accepted', async () => {
    service.order({ kind: 'dropBefore' });
    await expect(send('ana@example.com')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(service.messages).toHaveLength(0);
  });

  test('loses the answer to an accepted message, whose status can be read', async () => {
    service.order({ kind: 'dropAfter' });
    const operationId = randomUUID();
    const sending = client().beginSend(messageTo('ana@example.com'), { operationId });
    await expect(sending).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(service.messages).toHaveLength(1);
    const status = await fetch(`${service.endpoint}/emails/operations/${operationId}`, {
      headers: { Authorization: `Bearer ${goodToken}` },
    });
    expect(await status.json()).toEqual({ id: operationId, status: 'Succeeded' });
  });

  test('that loses an answer does not deliver twice when the client itself sends again', async () => {
    service.order({ kind: 'dropAfter' });
    const retrying = client(goodToken, { retryOptions: { maxRetries: 1, retryDelayInMs: 1 } });
    await retrying.beginSend(messageTo('ana@example.com'), { operationId: randomUUID() });
    expect(statuses()).toEqual(['POST none', 'POST 202', 'GET 200']);
    expect(service.messages).toHaveLength(1);
  });

  test('keeps a message Running for as many reads as it says', async () => {
    service.order({ kind: 'outcome', runningReads: 3 });
    const poller = await client().beginSend(messageTo('ana@example.com'), { updateIntervalInMs: 1 });
    expect(service.messages[0]?.status).toBe('Running');
    expect((await poller.pollUntilDone()).status).toBe('Succeeded');
    expect(statuses()).toEqual(['POST 202', 'GET 200', 'GET 200', 'GET 200', 'GET 200']);
    expect(service.messages[0]?.status).toBe('Succeeded');
  });

  test('lets a message fail with its code', async () => {
    service.order({ kind: 'outcome', failure: { code: 'EmailDroppedAllRecipientsSuppressed' } });
    await expect(send('ana@example.com')).rejects.toThrow();
    expect(service.messages[0]).toMatchObject({
      status: 'Failed',
      error: { code: 'EmailDroppedAllRecipientsSuppressed', message: expect.any(String) as string },
    });
  });

  test.each([404, 429])(
    'answers a status read with %i once, though the message was accepted',
    async (status) => {
      service.order({ kind: 'error', on: 'status', status });
      await expect(send('ana@example.com')).rejects.toMatchObject({ statusCode: status });
      expect(service.messages).toHaveLength(1);
      expect(await (await send('ana@example.com')).pollUntilDone()).toMatchObject({ status: 'Succeeded' });
    },
  );

  test('is forgotten once faults are cleared', async () => {
    service.order({ kind: 'error', status: 500, times: Infinity });
    service.clearFaults();
    await send('ana@example.com');
    expect(service.messages).toHaveLength(1);
  });
});

describe('the mailbox', () => {
  const get = (path: string) => fetch(`${service.mailbox}${path}`);
  const page = async (path = '/') => (await get(path)).text();
  const json = async (path: string) => (await (await get(path)).json()) as AcceptedMessage[];

  test.each(['//', '//messages', '*:99999'])('has no page %s, and goes on', async (path) => {
    const { hostname, port } = new URL(service.mailbox);
    const [answer] = (await once(request({ hostname, port, path }).end(), 'response')) as [IncomingMessage];
    answer.resume();
    expect(answer.statusCode).toBe(404);
    expect((await get('/')).status).toBe(200);
  });

  test('gives the messages as JSON in the order of acceptance', async () => {
    expect(await json('/messages')).toEqual([]);
    await post(messageTo('ana@example.com'));
    await post(messageTo('ben@example.com'));
    const given = await json('/messages');
    expect(given).toEqual(JSON.parse(JSON.stringify(service.messages)));
    expect(given.map(({ to }) => to[0])).toEqual(['ana@example.com', 'ben@example.com']);
  });

  test('lists the newest message first', async () => {
    expect(await page()).toContain('No message yet');
    await post(messageTo('ana@example.com'));
    await post(messageTo('ben@example.com'));
    const list = await page();
    expect(list.indexOf('ben@example.com')).toBeLessThan(list.indexOf('ana@example.com'));
    expect(list).not.toContain('No message yet');
  });

  test('lists the messages to one recipient under an address that can be shared', async () => {
    for (const name of ['ana', 'ben', 'ana']) await post(messageTo(`${name}@example.com`));
    const list = await page('/?q=ANA%40example');
    expect(list).toContain('2 messages with “ANA@example”');
    expect(list).not.toContain('ben@example.com');
    expect(await page('/?q=nobody')).toContain('No message matches the filter');
    expect((await json('/messages?q=ben')).map(({ to }) => to)).toEqual([['ben@example.com']]);
  });

  test('lists 50 messages a page and the older ones behind a link, which keeps the recipient', async () => {
    await post(messageTo('other@example.com'));
    for (let number = 1; number <= 60; number += 1) await post(messageTo(`person${number}@example.com`));
    const newest = await page('/?q=person');
    expect(newest.match(/<li>/g)).toHaveLength(50);
    const [, older = ''] = /href="([^"]*)"\s+rel="next"/.exec(newest) ?? [];
    const rest = await page(older.replace('&amp;', '&'));
    expect(rest.match(/<li>/g)).toHaveLength(10);
    expect(rest).toContain('person10@example.com');
    expect(rest).not.toContain('person11@example.com');
    expect(rest).not.toContain('other@example.com');
  });

  test('shows a message with its headers, on a desktop, on a phone and as plain text', async () => {
    await post(messageTo('ana@example.com'));
    const path = `/messages/${service.messages[0]?.operationId ?? ''}`;
    const shown = await page(path);
    for (const text of [
      'Your access ends soon',
      'ana@example.com',
      'access-team@example.com',
      'It ends on Friday.',
    ])
      expect(shown).toContain(text);
    expect(shown).toContain('Auto-Submitted: auto-generated');
    expect(shown.match(new RegExp(`<iframe[^>]* src="${path}/html"`, 'g'))).toHaveLength(2);
    expect(shown).toContain('width: 390px');
    expect(await page(`${path}/html`)).toBe('<p>It ends on Friday.</p>');
  });

  test('shows what an enemy wrote as text, and a message’s HTML only where no script runs', async () => {
    const script = '<script>alert("x")</script>';
    await post(
      messageTo('ana@example.com', { content: { subject: script, html: script, plainText: script } }),
    );
    const path = `/messages/${service.messages[0]?.operationId ?? ''}`;
    for (const text of [await page(), await page(path)]) expect(text).not.toContain('<script>alert');
    expect(await page(path)).toMatch(/<iframe\s+sandbox="allow-same-origin"/);
    const policy = (await get(`${path}/html`)).headers.get('content-security-policy');
    expect(policy).toContain("default-src 'none'");
    expect(policy).toMatch(/; sandbox allow-same-origin$/);
  });

  test('has no other address', async () => {
    expect((await get('/other')).status).toBe(404);
    expect((await get(`/messages/${randomUUID()}`)).status).toBe(404);
  });
});
