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
const options = { platformName: 'Databricks', lastLeadDays: 1, email: linked };
const digest = { recipient: 'ada@example.com', grants: [grant] };

/** The one message about some grants, by what differs from the grant above. */
function create(
  changes: readonly Partial<DueGrant>[],
  email: DigestOptions['email'] = linked,
  salt?: string,
): DigestMessage {
  const grants = changes.map((change) => ({ ...grant, ...change }));
  const [message, ...others] = createDigests({ ...digest, grants }, { ...options, email }, salt);
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

const bodies = ({ plainText, html }: DigestMessage): string[] => [plainText, textOf(html)];

const sentence =
  'Your access to finance.payroll.salaries on Databricks ends Tuesday 1 December 2026, 09:00 CET (08:00 UTC)';

describe('one grant', () => {
  const message = create([{}], berlin);
  const { subject, plainText, html } = message;

  test('is announced in one sentence, with its end in the site’s zone and in UTC, and what a renewal saves', () => {
    expect(subject).toBe('Your Databricks access to finance.payroll.salaries ends Tue 1 Dec, 09:00 CET');
    expect(plainText).toContain(`${sentence}.\n`);
    expect(html.replace(/\s+/g, ' ').replace(/<\/?bdi[^>]*>/g, '')).toContain(
      'Your access to <strong>finance.payroll.salaries</strong> on Databricks ends <strong>Tuesday 1 December 2026, 09:00 CET</strong> (08:00 UTC)',
    );
    for (const text of bodies(message))
      expect(text).toContain('Without a renewal you lose the access, and have to request it again.');
  });

  test('whose end is in another year than its reminder has the year in the subject', () => {
    const january = { expiresAt: new Date('2027-01-04T08:00:00Z') };
    const dueSince = new Date('2026-12-28T00:00:00Z');
    expect(create([{ ...january, dueSince }], berlin).subject).toMatch(/ ends Mon 4 Jan 2027, 09:00 CET$/);
    expect(create([{ ...january, dueSince }, january], berlin).subject).toMatch(
      /the first on Mon 4 Jan 2027$/,
    );
    expect(create([{ ...january, dueSince: new Date('2027-01-03') }]).subject).toMatch(
      / ends Mon 4 Jan, 08:00/,
    );
  });

  test('has one link, to renew it, and its request’s number', () => {
    expect(html.match(/<a\s/g)).toHaveLength(1);
    expect(html).toMatch(/href="https:\/\/portal\.example\.com\/requests\/REQ-1\/renew"[^>]*>Renew access</);
    expect(plainText).toContain(
      'Renew access: https://portal.example.com/requests/REQ-1/renew\nRequest: REQ-1\n',
    );
  });

  test.each([
    [1, true, true],
    [1, false, false],
    [7, true, false],
  ])(
    'at lead %i, reminded before: %s, is marked as its last reminder: %s',
    (leadDays, remindedBefore, last) => {
      const reminder = create([{ leadDays, remindedBefore }], berlin);
      for (const text of [reminder.subject, reminder.plainText, reminder.html])
        expect(/last reminder/i.test(text)).toBe(last);
      expect(reminder.subject).toMatch(last ? /^Last reminder: your Databricks access to finance/ : /^Your/);
    },
  );

  test('whose name is very long is named in full, and shortened in the subject', () => {
    const resource = 'x'.repeat(120);
    const long = create([{ resource }], berlin);
    for (const text of bodies(long)) expect(text).toContain(resource);
    expect(long.subject).toMatch(/^Your Databricks access to x{59}… ends Tue 1 Dec, 09:00 CET$/);
  });
});

describe('several grants', () => {
  test('come soonest first under the day of their end, each with its time and its link', () => {
    const message = create(many(3, 15 * hour), berlin);
    expect(message.subject).toBe('Your access to 3 Databricks resources ends soon, the first on Tue 1 Dec');
    const expected = [
      ['Tuesday 1 December 2026', 'sales.gold.table_1', '09:00 CET (08:00 UTC)'],
      ['Wednesday 2 December 2026', 'sales.gold.table_2', '00:00 CET (23:00 UTC on Tuesday 1 December)'],
      ['sales.gold.table_3', '15:00 CET (14:00 UTC)'],
    ].flat();
    for (const text of bodies(message)) {
      // After the sentence at the top, which has the first end as well.
      const body = text.slice(text.indexOf('Renew what you still need'));
      const places = expected.map((part) => body.indexOf(part));
      expect(places).not.toContain(-1);
      expect(places).toEqual(places.toSorted((a, b) => a - b));
      expect(body.split('Wednesday 2 December 2026')).toHaveLength(2);
    }
    for (const number of ['REQ-1', 'REQ-2', 'REQ-3'])
      for (const text of [message.plainText, message.html])
        expect(text).toContain(`https://portal.example.com/requests/${number}/renew`);
  });

  test.each([
    [3, 'Last reminder: your'],
    [1, 'Last reminder for 1: your'],
  ])('%i of 3 at their last reminder: the subject begins with "%s", and they say so', (last, start) => {
    const message = create(many(3).map((one, index) => (index < last ? { ...one, leadDays: 1 } : one)));
    expect(message.subject).toBe(
      `${start} access to 3 Databricks resources ends soon, the first on Tue 1 Dec`,
    );
    expect(message.plainText.match(/Last reminder/g)).toHaveLength(last);
    expect(message.html.match(/<strong[^>]*>Last reminder/g)).toHaveLength(last);
  });

  test('beyond 20 are a line each, and each request is named once after "request: "', () => {
    const { plainText, html } = create(many(60));
    const [full = '', rest = ''] = plainText.split('And 40 more\n');
    expect(full.match(/^- .*\n {2}Ends /gm)).toHaveLength(20);
    expect(
      rest.match(/^- sales\.gold\.table_\d+, \d\d:00 UTC, request: REQ-\d+, renew: \S+$/gm),
    ).toHaveLength(40);
    const numbers = many(60).map(({ requestNumber }) => requestNumber);
    expect([...plainText.matchAll(/request: ([^,\n]+)/gi)].map(([, number]) => number)).toEqual(numbers);
    for (const number of numbers) expect(html).toContain(`/requests/${number}/renew`);
    // Gmail cuts off what is beyond 102 kB.
    expect(Buffer.byteLength(html)).toBeLessThan(102_000);
  });
});

describe('access that has ended', () => {
  const ended = { requestId: 9, requestNumber: 'REQ-9', leadDays: null };
  const soon = { resource: 'soon', expiresAt: new Date('2026-12-03T08:00:00Z') };
  const again = { ...linked, requestUrlTemplate: 'https://portal.example.com/new?like={requestNumber}' };
  const threeEnded = many(3).map((one) => ({ ...one, leadDays: null }));

  test('is reported by its end, and without a link to renew what is over', () => {
    const { subject, plainText, html } = create([ended], berlin);
    expect(subject).toBe('Your Databricks access to finance.payroll.salaries has ended');
    expect(plainText).toContain(`${sentence.replace(' ends ', ' ended ')}.\n`);
    expect(plainText).toContain('If you still need it, request it again.');
    expect(plainText).toContain('Request: REQ-9\n');
    expect(plainText).toContain('because you held time-limited access on Databricks.');
    expect(plainText).not.toMatch(/you hold|unsubscribe|no longer use/);
    expect(html).not.toContain('<a ');
  });

  test('has a link to request it again, where the site has given one', () => {
    const { plainText, html } = create([ended], again);
    expect(html).toMatch(/href="https:\/\/portal\.example\.com\/new\?like=REQ-9"[^>]*>Request again</);
    expect(plainText).toContain('Request again: https://portal.example.com/new?like=REQ-9\n');
    const fixed = { ...plain, requestUrlTemplate: 'https://portal.example.com/new' };
    expect(create([{ ...ended, requestNumber: '' }], fixed).plainText).toContain(
      'Request again: https://portal.example.com/new\n',
    );
  });

  test('has a section of its own after what ends, and its place in the subject', () => {
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
  });

  test('of several grants has a subject with their number', () => {
    expect(create(threeEnded).subject).toBe('Your access to 3 Databricks resources has ended');
    expect(create([...threeEnded, soon]).subject).toBe(
      'Your Databricks access to soon ends Thu 3 Dec, 08:00 UTC; 3 others have ended',
    );
  });
});

test.each([
  [['Ada Lovelace', 'ADA  LOVELACE ', ''], 'Hello Ada Lovelace,'],
  [['Ada Lovelace', 'Charles Babbage'], 'Hello Ada Lovelace and Charles Babbage,'],
  [['Ada Lovelace', 'Charles Babbage', 'Mary Somerville'], 'Hello,'],
  [['', ' '], 'Hello,'],
])('the greeting of %j is "%s": up to two people who share an address are named', (names, greeting) => {
  const { plainText } = create(names.map((requesterName, requestId) => ({ requestId, requesterName })));
  expect(plainText.split('\n')[0]).toBe(greeting);
});

test.each([
  ['UTC', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 08:00 UTC'],
  ['Europe/London', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 08:00 GMT'],
  ['Europe/London', '2026-07-01T08:00:00Z', 'Wednesday 1 July 2026, 09:00 BST (08:00 UTC)'],
  ['Europe/Berlin', '2026-07-01T08:00:00Z', 'Wednesday 1 July 2026, 10:00 CEST (08:00 UTC)'],
  ['Australia/Sydney', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 19:00 AEDT (08:00 UTC)'],
  ['Asia/Kolkata', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 13:30 IST (08:00 UTC)'],
  ['Asia/Kathmandu', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 13:45 UTC+5:45 (08:00 UTC)'],
  ['America/Sao_Paulo', '2026-12-01T08:00:00Z', 'Tuesday 1 December 2026, 05:00 UTC-3 (08:00 UTC)'],
  // The evening before, for a reader west of UTC.
  [
    'America/New_York',
    '2026-12-02T00:05:00Z',
    'Tuesday 1 December 2026, 19:05 EST (00:05 UTC on Wednesday 2 December)',
  ],
  // The hour that the clocks repeat.
  ['Europe/Berlin', '2026-10-25T00:30:00Z', 'Sunday 25 October 2026, 02:30 CEST (00:30 UTC)'],
  ['Europe/Berlin', '2026-10-25T01:30:00Z', 'Sunday 25 October 2026, 02:30 CET (01:30 UTC)'],
])('in %s the end %s has the abbreviation of its season, or the offset: %s', (timeZone, end, expected) => {
  const { plainText } = create([{ expiresAt: new Date(end) }], { ...linked, timeZone });
  expect(/ ends (.*)\.\n/.exec(plainText)?.[1]).toBe(expected);
});

test.each<[Partial<DigestOptions['email']>, string]>([
  [{}, 'because you hold time-limited access on Databricks. You cannot unsubscribe from these reminders'],
  [{}, 'Questions? Reply to this email, or write to access@example.com.'],
  [{}, 'Sent automatically by Access Expiry Jobs.'],
  [{ organisationName: "O'Neil & Co" }, "on behalf of O'Neil & Co."],
  [{ replyTo: 'team@example.com' }, 'Questions? Reply to this email, or write to team@example.com.'],
  [{ replyTo: 'team@example.com', contactText: 'Ask in #data.' }, 'Questions? Ask in #data.'],
  ...['DoNotReply@example.com', 'no-reply@example.com'].flatMap(
    (senderAddress): [Partial<DigestOptions['email']>, string][] => [
      [{ ...linked, senderAddress }, 'Ask where you requested the access: https://portal.example.com.'],
      [{ senderAddress }, 'Ask your manager or the team that granted you the access'],
    ],
  ),
])('with %j the footer says: %s', (settings, expected) => {
  const { plainText, html } = create([{}], { ...plain, ...settings });
  expect(plainText.slice(plainText.indexOf('\n--\n'))).toContain(expected);
  expect(textOf(html).replaceAll('&amp;', '&')).toContain(expected);
});

test('values from the database are escaped in HTML, and links are encoded', () => {
  const { html, plainText } = create([
    {
      resource: `<script>alert("x")</script>`,
      requesterName: `O'Neil & <b>co</b>`,
      requestNumber: 'A/1&x="y"',
    },
  ]);
  expect(html).not.toMatch(/<script|<b>/);
  expect(html).toContain('&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;');
  expect(html).toContain('O&#39;Neil &amp; &lt;b&gt;co&lt;/b&gt;');
  expect(html).toContain('href="https://portal.example.com/requests/A%2F1%26x%3D%22y%22/renew"');
  expect(plainText).toContain(`<script>alert("x")</script>`);
});

test('no control character of a value breaks a line or a subject', () => {
  const evil = { resource: 'a\r\nBcc: everybody', requesterName: 'x\u0000\u2028\u202Ey' };
  const { plainText, subject } = create([evil], plain);
  expect(plainText).toContain('Your access to a Bcc: everybody on Databricks ends');
  expect(plainText).toContain('Hello x y,\n');
  expect(subject).not.toMatch(/[\r\n]/);
});

const scotland = '🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}';

test.each([
  ['Persian', 'می\u200Cخواهم'],
  ['Hindi', 'क्\u200Dष'],
  ['Sinhala', 'ශ්\u200Dරී'],
  ['a family', '👩\u200D👩\u200D👧\u200D👦'],
  ['a flag of sequences', scotland],
])('invisible letters that belong to a name stay: %s', (_, name) => {
  const { plainText, html, subject } = create([{ resource: name, requesterName: name }]);
  for (const text of [plainText, html, subject]) expect(text).toContain(name);
});

test.each([
  ['an override', 'a\u202Eb', 'ab'],
  ['an isolate that is not closed', 'a\u2067b', 'ab'],
  ['the end of an isolate of others', 'a\u2069b', 'ab'],
  ['tags that spell hidden text', 'a\u{E0062}\u{E0063}', 'a'],
  ['tags that make too long a flag', scotland.replace('\u{E007F}', '\u{E0074}\u{E0074}\u{E007F}'), '🏴'],
])('invisible characters that harm a line go: %s', (_, resource, expected) => {
  expect(create([{ resource }]).plainText).toContain(`Your access to ${expected} on Databricks`);
});

test('a value is cleaned alike where it is shown and where it is linked', () => {
  const { plainText, html } = create([{ requestNumber: '\u00A0REQ-1\u202E   \u200B' }]);
  expect(plainText).toContain('Request: REQ-1\n');
  expect(html).toContain('href="https://portal.example.com/requests/REQ-1/renew"');
});

test('a right-to-left value is isolated in each text; others need no isolate in plain text', () => {
  const hebrew = 'כספים.שכר';
  const { subject, plainText, html } = create([{ resource: hebrew }]);
  expect(subject).toContain(`access to \u2068${hebrew}\u2069 ends`);
  expect(plainText).toContain(`Your access to \u2068${hebrew}\u2069 on Databricks`);
  expect(plainText).toContain('Hello Ada Lovelace,\n');
  expect(html).toContain(`<strong><bdi dir="auto">${hebrew}</bdi></strong>`);
  expect(html).toContain('Hello <bdi dir="auto">Ada Lovelace</bdi>,');
});

/** | stands for a word joiner. */
test.each([
  'data|.world|.com',
  'Sales (data|.world|.com)',
  'sign in at https|://evil|.example/login now',
  'www|.example',
  'shared|@example|.com',
  'münchen|.de/daten',
  'xn--e1aybc|.xn--p1ai',
  // No address, and unchanged, so that a search finds a copy of it.
  'finance.payroll.salaries',
  'sales.gold.table_1',
  'v1.2.3',
  'a.b',
  'Ada. Or Bob',
  'main.hr.org_units',
])('no mail client makes a link of the name %s', (expected) => {
  const message = create([{ resource: expected.replaceAll('|', '') }], plain);
  for (const text of bodies(message))
    expect(text).toContain(`Your access to ${expected.replaceAll('|', '\u2060')} on`);
});

test('halves of characters, which SQL Server keeps, break neither a text nor a link', () => {
  const resource = `${'x'.repeat(58)}\uD83D\uDE00${'y'.repeat(9)}\uD83D`;
  const { html, plainText, subject } = create([{ resource, requestNumber: 'REQ-\uDE00' }]);
  expect(html).toContain('REQ-%EF%BF%BD/renew');
  for (const text of [plainText, subject]) expect(text.isWellFormed()).toBe(true);
});

const requests = 'https://portal.example.com/requests';

test.each<[string, Partial<DueGrant>[], string | undefined]>([
  ['no template', [{}], undefined],
  ['no template for several', many(3), undefined],
  ['no request number', [{ requestNumber: ' \u200B' }], `${requests}/{requestNumber}/renew`],
  // Numbers that would leave their place in the path.
  ...['..', '.'].flatMap((requestNumber): [string, Partial<DueGrant>[], string][] => [
    ['the template', [{ requestNumber }], `${requests}/{requestNumber}/renew`],
    ['the template', [{ requestNumber }], `${requests}/{requestNumber}`],
  ]),
  ['the template', [{ requestNumber: '.' }], `${requests}/.{requestNumber}`],
  ['the template', [{ requestNumber: '.' }], `${requests}/%2e{requestNumber}`],
])('with %s, %j and %s there is no link, and the text says to ask for a renewal', (_, grants, template) => {
  const { html, plainText } = create(grants, { ...plain, ...(template && { renewalUrlTemplate: template }) });
  expect(html).not.toContain('href');
  expect(plainText).not.toContain('https:');
  expect(plainText).toMatch(/ask for a renewal/i);
  if (grants[0]?.requestNumber === ' \u200B') expect(plainText).not.toMatch(/request:/i);
});

test.each(['...', '../..', '..\\', '?', '#', '%2e%2e', 'a/b'])(
  'the request number %s stays one segment of the path',
  (requestNumber) => {
    const [link = ''] = /https:\S+/.exec(create([{ requestNumber }]).plainText) ?? [];
    const segments = new URL(link).pathname.split('/').map(decodeURIComponent);
    expect(segments).toEqual(['', 'requests', requestNumber, 'renew']);
  },
);

describe('a digest too large for the service', () => {
  const size = ({ html, plainText }: DigestMessage): number =>
    Buffer.byteLength(JSON.stringify({ html, plainText }));

  test('of 12,000 grants becomes several messages of at most 5 MB, with each grant in one of them', () => {
    const grants = many(12_000, 60_000);
    const messages = createDigests({ ...digest, grants }, options);
    const { length } = messages;
    expect(length).toBeGreaterThan(1);
    expect(messages.flatMap((message) => message.grants)).toEqual(grants);
    expect(new Set(messages.map(({ operationId }) => operationId)).size).toBe(length);
    expect(messages[1]?.subject).toMatch(/^Your access to [\d,]+ Databricks resources ends soon, /);
    expect(messages[1]?.subject).toMatch(new RegExp(` \\(part 2 of ${length}\\)$`));
    expect(messages[1]?.plainText).toContain(
      `This is part 2 of ${length}: your list is too long for one email.`,
    );
    for (const message of messages) {
      expect(size(message)).toBeLessThan(5_000_000);
      expect(message.html).toContain(message.grants.at(-1)?.resource);
    }
  });

  test.each(['"', '客', '\uD83D\uDE00', '&'])(
    'is split by size, even if its names are full of %s',
    (character) => {
      const [requestNumber, resource] = [character.repeat(2_500), character.repeat(500)];
      const grants = many(400).map((one) => ({ ...one, requestNumber, resource }));
      const renewalUrlTemplate = 'https://portal.example.com/{requestNumber}?number={requestNumber}';
      const email = { ...plain, renewalUrlTemplate };
      for (const message of createDigests({ ...digest, grants }, { ...options, email }))
        expect(size(message)).toBeLessThan(5_000_000);
    },
  );
});

describe('the operation id', () => {
  const id = (
    change: Partial<DueGrant> = {},
    email: DigestOptions['email'] = linked,
    salt?: string,
  ): string => create([change], email, salt).operationId;

  test('is a UUID that depends on the reminder and not on its wording', () => {
    expect(id()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const looks = [
      id({ requesterName: 'Ada King', resource: 'finance.payroll', requestNumber: 'R-1' }),
      id({ dueSince: new Date(0) }),
      id({}, { ...berlin, senderAddress: 'other@example.com', replyTo: 'help@example.com' }),
      id({}, { ...plain, contactText: 'Ask the data team.' }),
    ];
    expect(new Set([id(), ...looks]).size).toBe(1);
  });

  test('differs for another request, end, lead, recipient, platform or salt', () => {
    const [other] = createDigests({ ...digest, recipient: 'bob@example.com' }, options);
    const [palantir] = createDigests(digest, { ...options, platformName: 'Palantir' });
    const ids = [
      id({ requestId: 2 }),
      id({ expiresAt: new Date(grant.expiresAt.getTime() + 1) }),
      id({ leadDays: 14 }),
      id({ leadDays: null }),
      id({}, linked, 'run-1'),
      id({}, linked, 'run-2'),
      other?.operationId,
      palantir?.operationId,
    ];
    expect(new Set([id(), ...ids]).size).toBe(1 + ids.length);
    expect(id({}, linked, 'run-1')).toBe(id({}, linked, 'run-1'));
  });
});

test('a message’s first day is the day on which the last of its grants became due', () => {
  const later = { dueSince: new Date(grant.dueSince.getTime() + 2 * day + hour) };
  expect(create([later, {}]).firstDay).toBe('2026-11-26');
});
