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
  remindedBefore: true,
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
    .replace(/<\/?bdi[^>]*>/g, '')
    .replace(/<head>.*<\/head>|<[^>]*>/gs, ' ')
    .replace(/\s+/g, ' ')
    .replace(/&#39;/g, "'");

describe('one grant', () => {
  const { subject, plainText, html } = create([grant], berlin);

  test('is announced in one sentence: what ends, and when in the site’s time zone and in UTC', () => {
    expect(plainText).toContain(
      'Your access to finance.payroll.salaries on Databricks ends Tuesday 1 December 2026, 09:00 CET (08:00 UTC).\n',
    );
    expect(html.replace(/\s+/g, ' ').replace(/<\/?bdi[^>]*>/g, '')).toContain(
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

  test('is not marked as the last reminder where no other went before', () => {
    const only = create([{ ...grant, leadDays: 1, remindedBefore: false }], berlin);
    for (const text of [only.plainText, only.html, only.subject]) expect(text).not.toMatch(/last reminder/i);
  });

  test('says what is lost without a renewal', () => {
    for (const text of [plainText, textOf(html)])
      expect(text).toContain('Without a renewal you lose the access, and have to request it again.');
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
    expect(subject).toBe('Your access to 3 Databricks resources ends soon, the first on Tue 1 Dec');
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

  test('all at their last reminder: the subject says so', () => {
    const { subject: last } = create(many(3).map((one) => ({ ...one, leadDays: 1 })));
    expect(last).toBe(
      'Last reminder: your access to 3 Databricks resources ends soon, the first on Tue 1 Dec',
    );
  });

  test('some at their last reminder: the subject says how many, and they say so', () => {
    const message = create(many(3).map((one, index) => (index === 0 ? { ...one, leadDays: 1 } : one)));
    expect(message.subject).toBe(
      'Last reminder for 1: your access to 3 Databricks resources ends soon, the first on Tue 1 Dec',
    );
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
  const soon = { ...grant, resource: 'soon', expiresAt: new Date('2026-12-03T08:00:00Z') };
  const again = { ...linked, requestUrlTemplate: 'https://portal.example.com/new?like={requestNumber}' };

  test('is reported by its end, and without a link to renew what is over', () => {
    const { subject, plainText, html } = create([ended], berlin);
    expect(subject).toBe('Your Databricks access to finance.payroll.salaries has ended');
    expect(plainText).toContain(
      'Your access to finance.payroll.salaries on Databricks ended Tuesday 1 December 2026, 09:00 CET (08:00 UTC).\n',
    );
    expect(plainText).toContain('You can no longer use it. If you still need it, request it again.');
    expect(html).not.toContain('<a ');
    expect(plainText).toContain('Request: REQ-9\n');
  });

  test('has a link to request it again, where the site has given one', () => {
    const { plainText, html } = create([ended], again);
    expect(html).toMatch(/href="https:\/\/portal\.example\.com\/new\?like=REQ-9"[^>]*>Request again</);
    expect(plainText).toContain('Request again: https://portal.example.com/new?like=REQ-9\n');
    const fixed = create([{ ...ended, requestNumber: '' }], {
      ...plain,
      requestUrlTemplate: 'https://portal.example.com/new',
    });
    expect(fixed.plainText).toContain('Request again: https://portal.example.com/new\n');
  });

  test('has a section of its own beside what ends, and its place in the subject', () => {
    const { subject, plainText, html } = create([ended, soon], again);
    expect(subject).toBe(
      'Your Databricks access to soon ends Thu 3 Dec, 08:00 UTC; access to finance.payroll.salaries has ended',
    );
    expect(plainText).toContain(
      '\nAlready ended\n\n- finance.payroll.salaries, Tuesday 1 December 2026, 08:00 UTC, request: REQ-9, request again: https://portal.example.com/new?like=REQ-9\n',
    );
    expect(textOf(html)).toContain(
      'Already ended finance.payroll.salaries · Tuesday 1 December 2026, 08:00 UTC · Request REQ-9 · Request again',
    );
    expect(plainText).toContain('What has ended already, you can request again.');
    const others = many(3).map((one) => ({ ...one, leadDays: null }));
    expect(create([...others, soon]).subject).toBe(
      'Your Databricks access to soon ends Thu 3 Dec, 08:00 UTC; 3 others have ended',
    );
  });

  test('of several grants alone has a subject with their number', () => {
    const { subject } = create(many(3).map((one) => ({ ...one, leadDays: null })));
    expect(subject).toBe('Your access to 3 Databricks resources has ended');
  });
});

describe('the greeting', () => {
  const greetingOf = (...names: string[]): string | undefined =>
    create(names.map((requesterName, index) => ({ ...grant, requestId: index, requesterName })))
      .plainText.split('\n')
      .at(0);

  test('names the one person whose access it is, however the name is written', () => {
    expect(greetingOf('Ada Lovelace', 'ADA  LOVELACE ', '')).toBe('Hello Ada Lovelace,');
  });

  test('names both of two people who share an address, and nobody of more', () => {
    expect(greetingOf('Ada Lovelace', 'Charles Babbage')).toBe('Hello Ada Lovelace and Charles Babbage,');
    expect(greetingOf('Ada Lovelace', 'Charles Babbage', 'Mary Somerville')).toBe('Hello,');
    expect(greetingOf('', ' ')).toBe('Hello,');
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
      expect(text).toContain('Questions? Reply to this email, or write to access@example.com.');
      expect(text).toContain('Sent automatically by Access Expiry Jobs.');
    }
  });

  test.each(['DoNotReply@example.com', 'no-reply@example.com'])(
    'of a sender that nobody reads, %s, says where to ask',
    (senderAddress) => {
      for (const text of footers({ ...linked, senderAddress }))
        expect(text).toContain('Questions? Ask where you requested the access: https://portal.example.com.');
      for (const text of footers({ ...plain, senderAddress }))
        expect(text).toContain('Questions? Ask your manager or the team that granted you the access');
    },
  );

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
  const evil = { ...grant, resource: 'a\r\nBcc: everybody', requesterName: 'x\u0000\u2028\u202Ey' };
  const { plainText, subject } = create([evil], plain);
  expect(plainText).toContain('Your access to a Bcc: everybody on Databricks ends');
  expect(plainText).toContain('Hello x y,\n');
  expect(subject).not.toMatch(/[\r\n]/);
});

test.each([
  ['Persian', 'می\u200Cخواهم'],
  ['Hindi', 'क्\u200Dष'],
  ['Sinhala', 'ශ්\u200Dරී'],
  ['a family', '👩\u200D👩\u200D👧\u200D👦'],
  ['a flag of sequences', '🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}'],
])('invisible letters that belong to a name stay: %s', (_, name) => {
  const { plainText, html, subject } = create([{ ...grant, resource: name, requesterName: name }]);
  for (const text of [plainText, html, subject]) expect(text).toContain(name);
});

test.each([
  ['an override', 'a\u202Eb', 'ab'],
  ['an isolate that is not closed', 'a\u2067b', 'ab'],
  ['the end of an isolate of others', 'a\u2069b', 'ab'],
  ['tags that spell hidden text', 'a\u{E0062}\u{E0063}', 'a'],
  [
    'tags that make too long a flag',
    '🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E0074}\u{E0074}\u{E007F}',
    '🏴',
  ],
])('invisible characters that harm a line go: %s', (_, resource, expected) => {
  expect(create([{ ...grant, resource }]).plainText).toContain(`Your access to ${expected} on Databricks`);
});

test('a value is cleaned alike where it is shown and where it is linked', () => {
  const padded = { ...grant, requestNumber: '\u00A0REQ-1\u202E   \u200B' };
  const { plainText, html } = create([padded]);
  expect(plainText).toContain('Request: REQ-1\n');
  expect(html).toContain('href="https://portal.example.com/requests/REQ-1/renew"');
});

describe('a right-to-left value', () => {
  const hebrew = 'כספים.שכר';

  test('is isolated in each text; others, which need it not, are as they were', () => {
    const { subject, plainText, html } = create([{ ...grant, resource: hebrew }]);
    expect(subject).toContain(`access to \u2068${hebrew}\u2069 ends`);
    expect(plainText).toContain(`Your access to \u2068${hebrew}\u2069 on Databricks`);
    expect(plainText).toContain('Hello Ada Lovelace,\n');
    expect(html).toContain(`<strong><bdi dir="auto">${hebrew}</bdi></strong>`);
    expect(html).toContain('Hello <bdi dir="auto">Ada Lovelace</bdi>,');
  });
});

describe('a name that looks like a link', () => {
  const shown = (resource: string) => create([{ ...grant, resource }], plain);

  /** | is where it is broken by a character that nobody sees. */
  test.each([
    'data|.world|.com',
    'Sales (data|.world|.com)',
    'sign in at https|://evil|.example/login now',
    'www|.example',
    'shared|@example|.com',
    'münchen|.de/daten',
    'xn--e1aybc|.xn--p1ai',
  ])('is none for a client: %s', (expected) => {
    const { plainText, html } = shown(expected.replaceAll('|', ''));
    for (const text of [plainText, textOf(html)])
      expect(text).toContain(`Your access to ${expected.replaceAll('|', '\u2060')}`);
  });

  test.each([
    'finance.payroll.salaries',
    'sales.gold.table_1',
    'v1.2.3',
    'a.b',
    'Ada. Or Bob',
    'main.hr.org_units',
  ])('unlike one that does not, a copy of which has to be found: %s', (resource) => {
    const { plainText, html } = shown(resource);
    for (const text of [plainText, html]) expect(text).toContain(resource);
  });
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

test.each([
  ['https://portal.example.com/requests/{requestNumber}/renew', '..'],
  ['https://portal.example.com/requests/{requestNumber}/renew', '.'],
  ['https://portal.example.com/requests/{requestNumber}', '..'],
  ['https://portal.example.com/requests/{requestNumber}', '.'],
  ['https://portal.example.com/requests/.{requestNumber}', '.'],
  ['https://portal.example.com/requests/%2e{requestNumber}', '.'],
])(
  '%s has no link for the request number %s, which would leave its place',
  (renewalUrlTemplate, requestNumber) => {
    const { html, plainText } = create([{ ...grant, requestNumber }], { ...plain, renewalUrlTemplate });
    expect(html).not.toContain('href');
    expect(plainText).not.toContain('https:');
    expect(plainText).toMatch(/ask for a renewal/i);
  },
);

test.each(['...', '../..', '..\\', '?', '#', '%2e%2e', 'a/b'])(
  'the request number %s stays one segment of the path',
  (requestNumber) => {
    const { plainText } = create([{ ...grant, requestNumber }]);
    const [link = ''] = /https:\S+/.exec(plainText) ?? [];
    const [, requests, number = '', renew, ...others] = new URL(link).pathname.split('/');
    expect([requests, decodeURIComponent(number), renew, others]).toEqual([
      'requests',
      requestNumber,
      'renew',
      [],
    ]);
  },
);

describe('a digest too large for the service', () => {
  test('of 12,000 grants becomes several messages, each well under 10 MB, with each grant in one of them', () => {
    const grants = many(12_000, 60_000);
    const messages = createAll(grants, linked);
    expect(messages.length).toBeGreaterThan(1);
    expect(messages.flatMap((message) => message.grants)).toEqual(grants);
    expect(new Set(messages.map(({ operationId }) => operationId)).size).toBe(messages.length);
    expect(messages[1]?.subject).toMatch(
      new RegExp(
        `^Your access to [\\d,]+ Databricks resources ends soon, .* \\(part 2 of ${messages.length}\\)$`,
      ),
    );
    expect(messages[1]?.plainText).toContain(
      `This is part 2 of ${messages.length}: your list is too long for one email.`,
    );
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
