import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { EmailClient, type EmailMessage } from '@azure/communication-email';
import { createCertificates, trustAuthority, type Certificates } from '../../local/certificates';
import { startEmailService, type EmailService } from '../../local/email';
import { sendRaw } from '../support/rawRequest';

const goodToken = 'good-token';
let certificates: Certificates;
let service: EmailService;

function client(): EmailClient {
  const token = { token: goodToken, expiresOnTimestamp: Date.now() + 3_600_000 };
  const credential = { getToken: () => Promise.resolve(token) };
  return new EmailClient(service.endpoint, credential, { retryOptions: { maxRetries: 0 } });
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

const ana = messageTo('ana@example.com');
const send = (address = 'ana@example.com', operationId: string = randomUUID()) =>
  client().beginSend(messageTo(address), { operationId });

/** Sends by hand, where the test needs what the client hides. */
async function post(
  body: unknown,
  operationId = randomUUID() as string,
  token = goodToken,
): Promise<Response> {
  return fetch(`${service.endpoint}/emails:send?api-version=2025-09-01`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Operation-Id': operationId },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

const get = (path: string): Promise<Response> =>
  fetch(`${service.endpoint}${path}`, { headers: { Authorization: `Bearer ${goodToken}` } });
const codeOf = ({ headers }: Response): string | null => headers.get('x-ms-error-code');
const statuses = () => service.requests.map(({ method, status }) => `${method} ${status ?? 'none'}`);

beforeAll(async () => {
  certificates = await createCertificates();
  trustAuthority(certificates.authority);
  const acceptToken = (token: string): boolean => token === goodToken;
  service = await startEmailService({ tls: certificates, acceptToken, retryAfter: 0 });
});
beforeEach(() => service.reset());
afterAll(() => service.close());

describe('an accepted message', () => {
  test('is not delivered twice under its operation id, which no other message can use', async () => {
    const operationId = randomUUID();
    const first = await send('ana@example.com', operationId);
    const second = await send('ana@example.com', operationId);
    expect((await second.pollUntilDone()).id).toBe((await first.pollUntilDone()).id);
    await expect(send('ben@example.com', operationId)).rejects.toMatchObject({
      statusCode: 400,
      code: 'BadRequest',
    });
    expect(service.messages).toHaveLength(1);
  });

  test('keeps only its envelope where bodies are not to be kept, and takes the latency asked for', async () => {
    const other = await startEmailService({ tls: certificates, keepBodies: false });
    other.latencyMs = 100;
    const started = performance.now();
    await fetch(`${other.endpoint}/emails:send`, {
      method: 'POST',
      headers: { Authorization: 'Bearer any', 'Operation-Id': randomUUID() },
      body: JSON.stringify(ana),
    });
    await other.close();
    expect(performance.now() - started).toBeGreaterThanOrEqual(99);
    expect(other.messages[0]).toMatchObject({ to: ['ana@example.com'], subject: 'Your access ends soon' });
    for (const body of ['html', 'plainText']) expect(other.messages[0]).not.toHaveProperty(body);
  });
});

const to = (...addresses: string[]) => ({ recipients: { to: addresses.map((address) => ({ address })) } });
const withSubject = (subject: string) => ({ content: { subject, plainText: 'x' } });

test.each<[string, unknown, string, ...string[]]>([
  ['a recipient without @', to('ana.example.com'), 'InvalidEmailAddress'],
  ['an empty recipient', to(''), 'InvalidEmailAddress'],
  ['a line break in a recipient', to('a@b.example\r\nBcc: c@d.example'), 'InvalidEmailAddress'],
  ['no recipient', to(), 'InvalidEmailAddress'],
  ['more than 50 recipients', to(...Array.from({ length: 51 }, (_, i) => `a${i}@example.com`)), 'BadRequest'],
  ['a sender that is no address', { senderAddress: 'nobody' }, 'InvalidEmailAddress'],
  ['a reply-to that is no address', { replyTo: [{ address: 'nobody' }] }, 'InvalidEmailAddress'],
  ['an empty subject', withSubject(''), 'BadRequest'],
  ['a line break in the subject', withSubject('a\r\nBcc: c@d.example'), 'BadRequest'],
  ['no body text', { content: { subject: 'x' } }, 'BadRequest'],
  ['a body that is not JSON', 'subject=x', 'BadRequest'],
  ['an operation id that is not a UUID', {}, 'BadRequest', '42'],
])(
  'a message with %s is refused with 400, its code in header and body',
  async (_, change, code, ...[operationId]) => {
    const answer = await post(
      typeof change === 'string' ? change : { ...ana, ...(change as object) },
      operationId,
    );
    expect([answer.status, codeOf(answer)]).toEqual([400, code]);
    expect(await answer.json()).toMatchObject({ error: { code } });
    expect(service.messages).toEqual([]);
  },
);

test('a token that is not accepted, or none, is refused with 401', async () => {
  for (const token of ['stolen', '']) expect((await post(ana, randomUUID(), token)).status).toBe(401);
  expect(service.messages).toEqual([]);
});

test('an unknown operation, and any other address, is answered with 404', async () => {
  const unknown = await get(`/emails/operations/${randomUUID()}`);
  expect([unknown.status, codeOf(unknown)]).toEqual([404, 'OperationNotFound']);
  expect((await get('/sms')).status).toBe(404);
  expect((await get('//')).status).toBe(404);
});

describe('an ordered fault', () => {
  test.each([
    [undefined, ['a1', 'b2 fails', 'a3']],
    [/^a/, ['a1', 'b2', 'a3 fails', 'a4']],
  ])('hits the second send from now to %s, once', async (recipient, sends) => {
    service.order({ kind: 'error', status: 500, at: 2, ...(recipient && { recipient }) });
    for (const [name = '', fails] of sends.map((text) => text.split(' '))) {
      const sent = send(`${name}@example.com`);
      if (fails) await expect(sent).rejects.toMatchObject({ statusCode: 500, code: 'InternalServerError' });
      else await sent;
    }
  });

  test('never answers, until the client gives up', async () => {
    service.order({ kind: 'hang' });
    const givingUp = new AbortController();
    const sent = client().beginSend(ana, { operationId: randomUUID(), abortSignal: givingUp.signal });
    while (service.requests.every((request) => request.to === undefined)) await delay(10);
    givingUp.abort();
    await expect(sent).rejects.toThrow(/abort/i);
    expect(statuses()).toEqual(['POST none']);
    expect(service.messages).toEqual([]);
  });
});

describe('the mailbox', () => {
  const open = (path: string) => fetch(`${service.mailbox}${path}`);
  const page = async (path = '/') => (await open(path)).text();
  const recipients = async (path: string) =>
    ((await (await open(path)).json()) as { to: string[] }[]).flatMap((message) => message.to);
  const pathOfFirst = () => `/messages/${service.messages[0]?.operationId ?? ''}`;
  const receive = async (...names: string[]) => {
    for (const name of names) await post(messageTo(`${name}@example.com`));
  };

  test.each(['//', '//messages', '/other', `/messages/${randomUUID()}`, '*:99999'])(
    'has no page %s',
    async (path) => {
      expect((await sendRaw(service.mailbox, { path })).status).toBe(404);
    },
  );

  test('gives the messages as JSON in the order of acceptance, and lists the newest first', async () => {
    expect(await recipients('/messages')).toEqual([]);
    expect(await page()).toContain('No message yet');
    await receive('ana', 'ben');
    expect(await (await open('/messages')).json()).toEqual(JSON.parse(JSON.stringify(service.messages)));
    expect(await recipients('/messages')).toEqual(['ana@example.com', 'ben@example.com']);
    const list = await page();
    expect(list.indexOf('ben@example.com')).toBeLessThan(list.indexOf('ana@example.com'));
    expect(list).not.toContain('No message yet');
  });

  test('filters by recipient or subject under an address that can be shared', async () => {
    await receive('ana', 'ben', 'ana');
    const list = await page('/?q=ANA%40example');
    expect(list).toContain('2 messages with “ANA@example”');
    expect(list).not.toContain('ben@example.com');
    expect(await page('/?q=ends+SOON')).toContain('3 messages with “ends SOON”');
    expect(await page('/?q=nobody')).toContain('No message matches the filter');
    expect(await recipients('/messages?q=ben')).toEqual(['ben@example.com']);
  });

  test('shows a message with its headers, on a desktop, on a phone and as plain text', async () => {
    await receive('ana');
    const shown = await page(pathOfFirst());
    const texts = [
      'Your access ends soon',
      'ana@example.com',
      'access-team@example.com',
      'It ends on Friday.',
    ];
    for (const text of [...texts, 'Auto-Submitted: auto-generated', 'width: 390px'])
      expect(shown).toContain(text);
    expect(shown.match(new RegExp(`<iframe[^>]* src="${pathOfFirst()}/html"`, 'g'))).toHaveLength(2);
    expect(await page(`${pathOfFirst()}/html`)).toBe('<p>It ends on Friday.</p>');
  });

  test('shows what an enemy wrote as text, and a message’s HTML only where no script runs', async () => {
    const script = '<script>alert("x")</script>';
    const content = { subject: script, html: script, plainText: script };
    await post(messageTo('ana@example.com', { content }));
    const path = pathOfFirst();
    for (const text of [await page(), await page(path)]) expect(text).not.toContain('<script>alert');
    expect(await page(path)).toMatch(/<iframe\s+sandbox="allow-same-origin"/);
    const policy = (await open(`${path}/html`)).headers.get('content-security-policy');
    expect(policy).toContain("default-src 'none'");
    expect(policy).toMatch(/; sandbox allow-same-origin$/);
  });
});
