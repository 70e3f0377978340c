import type { DigestOptions, DueGrant } from '../../src/email/digest';
import { createDigests, type DigestMessage } from '../../src/email/message';

const hour = 60 * 60 * 1000;
const day = 24 * hour;

const grant: DueGrant = {
  requestId: 1,
  requestNumber: 'REQ-1',
  requesterName: 'Ada Lovelace',
  resource: 'finance.payroll.salaries',
  expiresAt: new Date('2026-12-01T08:00:00Z'),
  leadDays: 7,
  dueSince: new Date('2026-11-24T00:00:00Z'),
};
const plain: DigestOptions['email'] = { senderAddress: 'access@example.com', timeZone: 'UTC' };
const linked = { ...plain, renewalUrlTemplate: 'https://portal.example.com/requests/{requestNumber}/renew' };
const berlin = { ...linked, timeZone: 'Europe/Berlin' };

const options = (email: DigestOptions['email']): DigestOptions => ({
  platformName: 'Databricks',
  lastLeadDays: 1,
  email,
});

function createAll(
  grants: readonly DueGrant[],
  email: DigestOptions['email'],
  salt?: string,
): DigestMessage[] {
  return createDigests({ recipient: 'ada@example.com', grants }, options(email), salt);
}

/** The one message of a digest. */
function create(grants: readonly DueGrant[], email: DigestOptions['email'] = linked, salt?: string) {
  const [message, ...others] = createAll(grants, email, salt);
  if (!message || others.length > 0) throw new Error(`${others.length + 1} messages`);
  return message;
}

/** Grants that end one after the other, so many ms apart. */
const many = (count: number, apart = hour): DueGrant[] =>
  Array.from({ length: count }, (_, index) => ({
    ...grant,
    requestId: index + 1,
    requestNumber: `REQ-${index + 1}`,
    resource: `sales.gold.table_${index + 1}`,
    expiresAt: new Date(grant.expiresAt.getTime() + index * apart),
  }));

/** The text of an HTML body, as far as these tests need it. */
const textOf = (html: string): string =>
  html
    .replace(/<head>.*<\/head>|<[^>]*>/gs, ' ')
    .replace(/\s+/g, ' ')
    .replace(/&#39;/g, "'");

describe('one grant', () => {
  const { subject, plainText, html } = create([grant], berlin);

  test('is announced in one sentence: what ends, and when in the site’s time zone and in UTC', () => {
    expect(plainText).toContain(
      'Your access to finance.payroll.salaries on Databricks ends Tuesday 1 December 2026, 09:00 CET (08:00 UTC).\n',
    );
    expect(html.replace(/\s+/g, ' ')).toContain(
      'Your access to <strong>finance.payroll.salaries</strong> on Databricks ends <strong>Tuesday 1 December 2026, 09:00 CET</strong> (08:00 UTC)',
    );
  });

  test('has one link, to renew it, and its request’s number', () => {
    expect(html.match(/<a\s/g)).toHaveLength(1);
    expect(html).toMatch(/href="https:\/\/portal\.example\.com\/requests\/REQ-1\/renew"[^>]*>Renew access</);
    expect(plainText).toContain('Renew access: https://portal.example.com/requests/REQ-1/renew\n');
    expect(plainText).toContain('Request: REQ-1\n');
  });

  test('has a subject that says what ends and when', () => {
    expect(subject).toBe('Your Databricks access to finance.payroll.salaries ends Tue 1 Dec, 09:00 CET');
  });

  test('is marked as the last reminder at the smallest lead, and only then', () => {
    const last = create([{ ...grant, leadDays: 1 }], berlin);
    expect(last.subject).toBe(
      'Last reminder: your Databricks access to finance.payroll.salaries ends Tue 1 Dec, 09:00 CET',
    );
    for (const text of [last.plainText, last.html]) expect(text).toMatch(/last reminder/i);
    for (const text of [plainText, html, subject]) expect(text).not.toMatch(/last reminder/i);
  });

  test('whose name is very long is named in full, and shortened in the subject', () => {
    const resource = 'x'.repeat(120);
    const message = create([{ ...grant, resource }], berlin);
    for (const text of [message.plainText, message.html]) expect(text).toContain(resource);
    expect(message.subject).toMatch(/^Your Databricks access to x{59}… ends Tue 1 Dec, 09:00 CET$/);
  });
});

describe('several grants', () => {
  const { subject, plainText, html } = create(many(3, 15 * hour), berlin);

  test('have a subject with their number and the first end', () => {
    expect(subject).toBe('3 Databricks accesses end, the first on Tue 1 Dec');
  });

  test('come soonest first under the day of their end, each with its time and its link', () => {
    const expected = [
      'Tuesday 1 December 2026',
      'sales.gold.table_1',
      '09:00 CET (08:00 UTC)',
      'Wednesday 2 December 2026',
      'sales.gold.table_2',
      '00:00 CET (23:00 UTC on Tuesday 1 December)',
      'sales.gold.table_3',
      '15:00 CET (14:00 UTC)',
    ];
    for (const text of [plainText, textOf(html)]) {
      // Behind the sentence at the top, which has the first end as well.
      const body = text.slice(text.indexOf('Renew what you still need'));
      const places = expected.map((part) => body.indexOf(part));
      expect(places).not.toContain(-1);
      expect(places).toEqual([...places].sort((a, b) => a - b));
      expect(body.split('Wednesday 2 December 2026')).toHaveLength(2);
    }
    for (const number of ['REQ-1', 'REQ-2', 'REQ-3'])
      for (const text of [plainText, html])
        expect(text).toContain(`https://portal.example.com/requests/${number}/renew`);
  });

  test('of which one is at its last reminder: the subject and that grant say so', () => {
    const message = create(many(3).map((one, index) => (index === 0 ? { ...one, leadDays: 1 } : one)));
    expect(message.subject).toBe('Last reminder: 3 Databricks accesses end, the first on Tue 1 Dec');
    expect(message.plainText.match(/Last reminder/g)).toHaveLength(1);
    expect(message.html.match(/<strong[^>]*>Last reminder/g)).toHaveLength(1);
  });

  test('beyond 20 are a line each', () => {
    const grants = many(60);
    const message = create(grants);
    const [full = '', rest = ''] = message.plainText.split('And 40 more\n');
    expect(full.match(/^- .*\n {2}Ends /gm)).toHaveLength(20);
    expect(
      rest.match(/^- sales\.gold\.table_\d+, \d\d:00 UTC, request: REQ-\d+, renew: \S+$/gm),
    ).toHaveLength(40);
    for (const { requestNumber } of grants)
      expect(message.html).toContain(`/requests/${requestNumber}/renew`);
    // Gmail cuts off what is beyond 102 kB.
    expect(Buffer.byteLength(message.html)).toBeLessThan(102_000);
  });

  test('name each request once behind "request: " in the plain text', () => {
    const numbers = [...create(many(60)).plainText.matchAll(/request: ([^,\n]+)/gi)].map(
      ([, number]) => number,
    );
    expect(numbers).toEqual(many(60).map(({ requestNumber }) => requestNumber));
  });
});

describe('access that has ended', () => {
  const ended = { ...grant, requestId: 9, requestNumber: 'REQ-9', leadDays: null };

  test('is reported by its end, and without a link to renew what is over', () => {
    const { subject, plainText, html } = create([ended], berlin);
    expect(subject).toBe('Your Databricks access to finance.payroll.salaries has ended');
    expect(plainText).toContain(
      'Your access to finance.payroll.salaries on Databricks ended Tuesday 1 December 2026, 09:00 CET (08:00 UTC).\n',
    );
    expect(html).not.toContain('<a ');
    expect(plainText).toContain('Request: REQ-9\n');
  });

  test('has a section of its own beside what ends', () => {
    const soon = { ...grant, resource: 'soon', expiresAt: new Date('2026-12-03T08:00:00Z') };
    const { subject, plainText, html } = create([ended, soon]);
    expect(subject).toBe('Your Databricks access to soon ends Thu 3 Dec, 08:00 UTC');
    expect(plainText).toContain(
      '\nHas ended\n\n- finance.payroll.salaries, Tuesday 1 December 2026, 08:00 UTC, request: REQ-9\n',
    );
    expect(textOf(html)).toContain('Has ended finance.payroll.salaries · Tuesday 1 December 2026, 08:00 UTC');
  });

  test('of several grants alone has a subject with their number', () => {
    const { subject } = create(many(3).map((one) => ({ ...one, leadDays: null })));
    expect(subject).toBe('3 Databricks accesses have ended');
  });
});

describe('an end', () => {
  const sentence = (expiresAt: string, timeZone: string): string => {
    const { plainText } = create([{ ...grant, expiresAt: new Date(expiresAt) }], { ...linked, timeZone });
    return / ends (.*)\.\n/.exec(plainText)?.[1] ?? '';
  };

  test.each([
    ['UTC', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 08:00 UTC'],
    ['Europe/London', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 08:00 GMT'],
    ['Europe/London', '2026-07-01T08:00:00Z', 'Wednesday 1 July 2026, 09:00 BST (08:00 UTC)'],
    ['Europe/Berlin', '2026-07-01T08:00:00Z', 'Wednesday 1 July 2026, 10:00 CEST (08:00 UTC)'],
    ['Australia/Sydney', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 19:00 AEDT (08:00 UTC)'],
    ['Asia/Kolkata', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 13:30 IST (08:00 UTC)'],
    ['Asia/Kathmandu', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 13:45 UTC+5:45 (08:00 UTC)'],
    ['America/Sao_Paulo', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 05:00 UTC-3 (08:00 UTC)'],
  ])('in %s has the abbreviation of its season, or the offset: %s', (timeZone, expiresAt, expected) => {
    expect(sentence(expiresAt, timeZone)).toBe(expected);
  });

  test('shortly after midnight UTC is the evening before for a reader west of it', () => {
    expect(sentence('2026-12-02T00:05:00Z', 'America/New_York')).toBe(
      'Tuesday 1 December 2026, 19:05 EST (00:05 UTC on Wednesday 2 December)',
    );
  });

  test('in the hour that the clocks repeat is told apart by its abbreviation', () => {
    expect(sentence('2026-10-25T00:30:00Z', 'Europe/Berlin')).toMatch(/02:30 CEST \(00:30 UTC\)$/);
    expect(sentence('2026-10-25T01:30:00Z', 'Europe/Berlin')).toMatch(/02:30 CET \(01:30 UTC\)$/);
  });
});

describe('the footer', () => {
  const footers = (email: DigestOptions['email']): string[] => {
    const { plainText, html } = create([grant], email);
    return [plainText.slice(plainText.indexOf('\n--\n')), textOf(html)];
  };

  test('says why one gets this, that one cannot unsubscribe, and what sent it', () => {
    for (const text of footers(plain)) {
      expect(text).toContain('because you hold time-limited access on Databricks');
      expect(text).toContain('You cannot unsubscribe from these reminders');
      expect(text).toContain('Questions? Ask the team that manages your access.');
      expect(text).toContain('Sent automatically by Access Expiry Jobs.');
    }
  });

  test('names whom to ask and the organisation', () => {
    for (const text of footers({ ...plain, replyTo: 'team@example.com', organisationName: "O'Neil & Co" }))
      expect(text).toContain('Questions? Reply to this email, or write to team@example.com.');
    const asked = { ...plain, replyTo: 'team@example.com', contactText: 'Ask in #data-access.' };
    for (const text of footers(asked)) expect(text).toContain('Questions? Ask in #data-access.');
    const [text = '', html = ''] = footers({ ...plain, organisationName: "O'Neil & Co" });
    expect(text).toContain("on behalf of O'Neil & Co.");
    expect(html).toContain("on behalf of O'Neil &amp; Co.");
  });
});

test('values from the database are escaped in HTML, and links are encoded', () => {
  const evil = {
    ...grant,
    resource: `<script>alert("x")</script>`,
    requesterName: `O'Neil & <b>co</b>`,
    requestNumber: 'A/1&x="y"',
  };
  const { html, plainText } = create([evil]);
  expect(html).not.toMatch(/<script|<b>/);
  expect(html).toContain('&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;');
  expect(html).toContain('O&#39;Neil &amp; &lt;b&gt;co&lt;/b&gt;');
  expect(html).toContain('href="https://portal.example.com/requests/A%2F1%26x%3D%22y%22/renew"');
  expect(plainText).toContain(`<script>alert("x")</script>`);
});

test('no control character of a value breaks a line or a subject', () => {
  const evil = { ...grant, resource: 'a\r\nBcc: all@example.com', requesterName: 'x\u0000\u2028\u202Ey' };
  const { plainText, subject } = create([evil], plain);
  expect(plainText).toContain('Your access to a Bcc: all@example.com on Databricks ends');
  expect(plainText).toContain('Hello x y,\n');
  expect(subject).not.toMatch(/[\r\n]/);
});

test('halves of characters, which SQL Server keeps, break neither a text nor a link', () => {
  const broken = {
    ...grant,
    resource: `${'x'.repeat(58)}\uD83D\uDE00${'y'.repeat(9)}\uD83D`,
    requestNumber: 'REQ-\uDE00',
  };
  const { html, plainText, subject } = create([broken]);
  expect(html).toContain('REQ-%EF%BF%BD/renew');
  for (const text of [plainText, subject]) expect(text.isWellFormed()).toBe(true);
});

test('without a template, or for a request without a number, there is no link, and one is to ask for a renewal', () => {
  const unnumbered = { ...grant, requestNumber: ' \u200B' };
  for (const message of [create([grant], plain), create([unnumbered]), create(many(3), plain)]) {
    expect(message.html).not.toContain('href');
    expect(message.plainText).not.toContain('https:');
    expect(message.plainText).toMatch(/ask for a renewal/i);
  }
  expect(create([unnumbered]).plainText).not.toMatch(/request:/i);
});

describe('a digest too large for the service', () => {
  test('of 12,000 grants becomes several messages, each well under 10 MB, with each grant in one of them', () => {
    const grants = many(12_000, 60_000);
    const messages = createAll(grants, linked);
    expect(messages.length).toBeGreaterThan(1);
    expect(messages.flatMap((message) => message.grants)).toEqual(grants);
    expect(new Set(messages.map(({ operationId }) => operationId)).size).toBe(messages.length);
    for (const { html, plainText, grants: own } of messages) {
      expect(Buffer.byteLength(JSON.stringify({ html, plainText }))).toBeLessThan(5_000_000);
      expect(html).toContain(own.at(-1)?.resource);
    }
  });

  test.each(['"', '客', '\uD83D\uDE00', '&'])(
    'is split by size, even if its names are full of %s',
    (character) => {
      const grants = many(400).map((one) => ({
        ...one,
        requestNumber: character.repeat(2_500),
        resource: character.repeat(500),
      }));
      const renewalUrlTemplate = 'https://portal.example.com/{requestNumber}?number={requestNumber}';
      for (const { html, plainText } of createAll(grants, { ...plain, renewalUrlTemplate }))
        expect(Buffer.byteLength(JSON.stringify({ html, plainText }))).toBeLessThan(5_000_000);
    },
  );
});

describe('the operation id', () => {
  const id = (change: Partial<DueGrant> = {}, email: DigestOptions['email'] = linked, salt?: string) =>
    create([{ ...grant, ...change }], email, salt).operationId;

  test('is a UUID', () => {
    expect(id()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test('is that of the reminder, however its message looks', () => {
    const looks = [
      id({ requesterName: 'Ada King', resource: 'finance.payroll', requestNumber: 'R-1' }),
      id({ dueSince: new Date(0) }),
      id({}, { ...berlin, senderAddress: 'other@example.com', replyTo: 'help@example.com' }),
      id({}, { ...plain, contactText: 'Ask the data team.' }),
    ];
    expect(new Set([id(), ...looks]).size).toBe(1);
  });

  test('is another for another request, end, lead, recipient or platform', () => {
    const digest = { recipient: 'ada@example.com', grants: [grant] };
    const [other] = createDigests({ ...digest, recipient: 'bob@example.com' }, options(linked));
    const [palantir] = createDigests(digest, { ...options(linked), platformName: 'Palantir' });
    const ids = [
      id({ requestId: 2 }),
      id({ expiresAt: new Date(grant.expiresAt.getTime() + 1) }),
      id({ leadDays: 14 }),
      id({ leadDays: null }),
      other?.operationId,
      palantir?.operationId,
    ];
    expect(new Set([id(), ...ids]).size).toBe(1 + ids.length);
  });

  test('changes with the salt: a message that is sent again on purpose is another message', () => {
    expect(new Set([id(), id({}, linked, 'run-1'), id({}, linked, 'run-2')]).size).toBe(3);
    expect(id({}, linked, 'run-1')).toBe(id({}, linked, 'run-1'));
  });
});

test('a message’s first day is that since which the last of its grants is due', () => {
  const later = { ...grant, dueSince: new Date(grant.dueSince.getTime() + 2 * day + hour) };
  expect(create([later, grant]).firstDay).toBe('2026-11-26');
});
