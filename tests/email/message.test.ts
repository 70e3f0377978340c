import { createDigest, formatUtc } from '../../src/email/message';

const grant = {
  requestId: 1,
  requestNumber: 'REQ-1',
  requesterName: 'Ada Lovelace',
  resource: 'sales.gold.orders',
  expiresAt: new Date('2026-12-01T08:05:00Z'),
  leadDays: 7,
};
const plain = { senderAddress: 'access@example.com' };
const linked = { ...plain, renewalUrlTemplate: 'https://portal.example.com/requests/{requestNumber}/renew' };

test('an end stands in the message with its date, time and zone', () => {
  expect(formatUtc(grant.expiresAt)).toBe('Tuesday 1 December 2026 at 08:05 UTC');
  const { subject, plainText, html } = createDigest('Databricks', 'ada@example.com', [grant], linked);
  for (const text of [subject, plainText, html])
    expect(text).toContain('Tuesday 1 December 2026 at 08:05 UTC');
});

test('values from the database are escaped in HTML, and links are encoded', () => {
  const evil = {
    ...grant,
    resource: `<script>alert("x")</script>`,
    requesterName: `O'Neil & <b>co</b>`,
    requestNumber: 'A/1&x="y"',
  };
  const { html, plainText } = createDigest('Databricks', 'ada@example.com', [evil], linked);
  expect(html).not.toMatch(/<script|<b>/);
  expect(html).toContain('&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;');
  expect(html).toContain('O&#39;Neil &amp; &lt;b&gt;co&lt;/b&gt;');
  expect(html).toContain('href="https://portal.example.com/requests/A%2F1%26x%3D%22y%22/renew"');
  expect(plainText).toContain(`<script>alert("x")</script>`);
});

test('no control character of a value breaks a line or a subject', () => {
  const evil = { ...grant, resource: 'a\r\nBcc: all@example.com', requesterName: 'x\u0000\u2028\u202Ey' };
  const { plainText, subject } = createDigest('Databricks', 'ada@example.com', [evil], plain);
  expect(plainText).toContain('- a Bcc: all@example.com\n');
  expect(plainText).toContain('Hello x y,\n');
  expect(subject).not.toMatch(/[\r\n]/);
});

test('a digest lists all grants in the order given and has no renewal link without a template', () => {
  const grants = [grant, { ...grant, requestId: 2, requestNumber: 'REQ-2', resource: 'second' }];
  const { plainText, html, subject } = createDigest('Palantir', 'ada@example.com', grants, plain);
  expect(subject).toBe('2 of your Palantir accesses end soon');
  expect(plainText.indexOf('sales.gold.orders')).toBeLessThan(plainText.indexOf('second'));
  expect(html).not.toContain('href');
});

test('the operation id is the same for the same message and another for another reminder', () => {
  const id = (leadDays: number, recipient = 'ada@example.com') =>
    createDigest('Databricks', recipient, [{ ...grant, leadDays }], linked).operationId;
  expect(id(7)).toBe(id(7));
  expect(id(7)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(id(1)).not.toBe(id(7));
  expect(id(7, 'bob@example.com')).not.toBe(id(7));
});

test('halves of characters, which SQL Server keeps, break neither a text nor a link', () => {
  const broken = { ...grant, resource: 'x\uD83D', requestNumber: 'REQ-\uDE00' };
  const { html, plainText } = createDigest('Databricks', 'ada@example.com', [broken], linked);
  expect(html).toContain('REQ-%EF%BF%BD/renew');
  expect(plainText.isWellFormed()).toBe(true);
});

test('the operation id changes with the sender: a message from another sender is another message', () => {
  const id = (senderAddress: string) =>
    createDigest('Databricks', 'ada@example.com', [grant], { senderAddress }).operationId;
  expect(id('a@example.com')).not.toBe(id('b@example.com'));
});
