/** Mails, and the mailbox that shows them, in a browser. */
import type { Browser, Page } from 'playwright-core';
import { createCertificates, trustAuthority } from '../../local/certificates';
import { startEmailService, type EmailService } from '../../local/email';
import { deadlineIn, systemClock } from '../../src/clock';
import type { DueGrant } from '../../src/email/digest';
import { EmailClient } from '../../src/email/emailClient';
import { createDigests, type EmailMessage } from '../../src/email/message';
import { escapeHtml } from '../../src/html';
import { accessibilityFaults, describeInChromium, launchChromium } from '../support/browser';

const longName = `enterprise_data_platform.${'customer_relationship_'.repeat(5)}`.slice(0, 120);

const grant: DueGrant = {
  requestId: 1,
  requestNumber: 'REQ-1',
  requesterName: 'Ada Lovelace',
  resource: longName,
  expiresAt: new Date('2026-12-01T08:21:00Z'),
  leadDays: 1,
  remindedBefore: true,
  dueSince: new Date('2026-11-24T00:00:00Z'),
};

const grants = (count: number): DueGrant[] =>
  Array.from({ length: count }, (_, index) => ({
    ...grant,
    requestId: index + 1,
    requestNumber: `REQ-${index + 1}`,
    resource: index % 3 === 0 ? longName : `sales.gold.table_${index + 1}`,
    expiresAt: new Date(Date.parse('2026-12-01T08:00:00Z') + index * 8 * 3_600_000),
    // The last reminder, another one, and access that has ended.
    leadDays: [1, 7, 7, null][index % 4] ?? null,
  }));

const email = {
  senderAddress: 'access@example.com',
  renewalUrlTemplate: 'https://portal.example.com/requests/{requestNumber}/renew',
  timeZone: 'America/New_York',
  organisationName: 'Contoso',
};

function messageAbout(
  about: readonly DueGrant[],
  { settings = email, platformName = 'Databricks', recipient = 'ada@example.com' } = {},
): EmailMessage {
  const options = { platformName, lastLeadDays: 1, email: settings };
  const [message] = createDigests({ recipient, grants: about }, options);
  if (!message) throw new Error('There is no message');
  return message;
}

describeInChromium('In Chromium', () => {
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    browser = await launchChromium();
    page = await browser.newPage();
  });
  afterAll(() => browser.close());

  /** The page, empty, as somebody's who reads in such a window. */
  async function open(width: number, colorScheme: 'light' | 'dark'): Promise<Page> {
    await page.goto('about:blank');
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    return page;
  }

  /** A mail's frame has no scripts; mails are examined by themselves. */
  const faults = (of: Page) => accessibilityFaults(of, { iframes: false });

  /** Elements that reach beyond the window at the right. */
  const cutOff = (of: Page): Promise<unknown> =>
    of.evaluate(`[...document.body.querySelectorAll('*')]
        .filter((element) => element.getBoundingClientRect().right > innerWidth || element.scrollWidth > innerWidth)
        .map((element) => element.outerHTML.slice(0, 100))`);

  test.each([
    [1, 390, 'light'],
    [1, 1280, 'dark'],
    [5, 390, 'dark'],
    [5, 1280, 'light'],
    [60, 390, 'light'],
    [60, 1280, 'dark'],
  ] as const)(
    'a mail about %i grants, names of 120 characters among them, is whole at %i px and accessible, %s',
    async (count, width, scheme) => {
      const mail = await open(width, scheme);
      await mail.setContent(messageAbout(grants(count)).html);
      expect(await mail.getByText(longName).count()).toBeGreaterThan(0);
      expect(await cutOff(mail)).toEqual([]);
      expect(await faults(mail)).toEqual([]);
    },
  );

  describe.each([
    ['Hebrew', 'רות לוי', 'כספים.שכר (2026)', 'משרד האוצר', 'בקשה-17'],
    ['Arabic', 'ليلى حداد', 'مالية.رواتب [3]', 'وزارة المالية', 'طلب-١٧'],
    ['Persian', 'زهرا می\u200Cخواهد', 'داده\u200Cهای مالی!', 'کتابخانهٔ ملی', 'درخواست-۱۷'],
    ['Hebrew with an override', 'רות\u202E לוי', '\u2067כספים 12:00', 'משרד\u200F', '17-בקשה'],
    [
      'emoji',
      'Ada 👩\u200D👩\u200D👧\u200D👦',
      '🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F} sales',
      '👩\u200D💻 Contoso',
      'R-🎉',
    ],
  ])('a mail with names in %s', (_, requesterName, resource, organisationName, requestNumber) => {
    const settings = {
      ...email,
      organisationName,
      timeZone: 'Europe/Berlin',
      requestUrlTemplate: 'https://portal.example.com/requests/new',
    };
    const one = { ...grant, requestNumber, requesterName, resource };
    const ended = { ...one, leadDays: null };
    const digest = [...Array.from({ length: 22 }, () => one), ended, ended];

    /** The words around the names: as they are written, and as they are seen, by line and from the left. */
    const readWords = (of: Page): Promise<{ written: string[]; seen: string[] }> =>
      of.evaluate(`(() => {
        const words = [];
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        for (let node = texts.nextNode(); node; node = texts.nextNode()) {
          if (node.parentElement.closest('bdi, style')) continue;
          for (const { 0: word, index } of node.data.matchAll(/[A-Za-z0-9:()·,.]+/g)) {
            if (/\\u2068[^\\u2069]*$/.test(node.data.slice(0, index))) continue;
            const range = document.createRange();
            range.setStart(node, index);
            range.setEnd(node, index + word.length);
            const [place] = range.getClientRects();
            if (place) words.push({ word, left: place.left, middle: (place.top + place.bottom) / 2 });
          }
        }
        const byPlace = (a, b) => (Math.abs(a.middle - b.middle) > 4 ? a.middle - b.middle : a.left - b.left);
        return { written: words.map(({ word }) => word), seen: words.toSorted(byPlace).map(({ word }) => word) };
      })()`);

    const asText = ({ subject, plainText }: EmailMessage): string =>
      `<pre style="white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext">${escapeHtml(`${subject}\n\n${plainText}`)}</pre>`;

    test.each([390, 1280])('is read in the order in which it is written, at %i px', async (width) => {
      const mail = await open(width, 'light');
      for (const message of [messageAbout(digest, { settings }), messageAbout([one], { settings })])
        for (const body of [message.html, asText(message)]) {
          await mail.setContent(body);
          const { written, seen } = await readWords(mail);
          expect(written.length).toBeGreaterThan(80);
          expect(seen.join(' ')).toBe(written.join(' '));
          expect(await cutOff(mail)).toEqual([]);
        }
    });
  });

  test.each([
    ['light', 'rgb(255, 255, 255)'],
    ['dark', 'rgb(22, 27, 34)'],
  ] as const)('a mail is %s where the reader’s system is', async (scheme, color) => {
    const mail = await open(390, scheme);
    await mail.setContent(messageAbout(grants(1)).html);
    expect(await mail.evaluate(`getComputedStyle(document.querySelector('.card')).backgroundColor`)).toBe(
      color,
    );
  });

  describe('the mailbox', () => {
    let service: EmailService;
    let address: string;
    let send: (message: EmailMessage) => Promise<unknown>;

    beforeAll(async () => {
      const { authority, ...tls } = await createCertificates();
      trustAuthority(authority);
      service = await startEmailService({ tls });
      const credential = {
        getToken: () => Promise.resolve({ token: 'any', expiresOnTimestamp: Infinity }),
      };
      const client = new EmailClient({ ...email, endpoint: service.endpoint }, credential);
      send = (message) => client.send(message, deadlineIn(systemClock, 60_000), () => Promise.resolve());
      await send(messageAbout(grants(60)));
      address = `${service.mailbox}/messages/${service.messages[0]?.operationId ?? ''}`;
    });
    afterAll(() => service.close());

    test('shows a message whole, as on a desktop and as on a phone', async () => {
      const mailbox = await open(1280, 'light');
      await mailbox.goto(address, { waitUntil: 'load' });
      const frames = await mailbox.evaluate<
        { width: number; hidden: number[]; end: string }[]
      >(`[...document.querySelectorAll('iframe')].map((frame) => {
          const { scrollHeight, scrollWidth } = frame.contentDocument.documentElement;
          return {
            width: frame.clientWidth,
            hidden: [scrollWidth - frame.clientWidth, scrollHeight - frame.clientHeight],
            end: frame.contentDocument.body.innerText.trim().split('\\n').at(-1),
          };
        })`);
      expect(frames).toHaveLength(2);
      expect(frames[0]?.width).toBeGreaterThan(600);
      expect(frames[1]?.width).toBe(390);
      for (const { hidden, end } of frames) {
        expect(end).toMatch(/^Sent automatically/);
        for (const pixels of hidden) expect(pixels).toBeLessThanOrEqual(0);
      }
    });

    test.each([
      [390, 'light'],
      [1280, 'dark'],
    ] as const)('is accessible at %i px, %s', async (width, scheme) => {
      const mailbox = await open(width, scheme);
      for (const url of [service.mailbox, `${service.mailbox}/?q=nobody`, address]) {
        await mailbox.goto(url);
        expect(await faults(mailbox)).toEqual([]);
      }
    });

    test('shows new messages by itself, and keeps the filter and the focus', async () => {
      const about = (platformName: string): EmailMessage =>
        messageAbout(grants(1), { platformName, recipient: 'eve@example.com' });
      const mailbox = await open(1280, 'light');
      await mailbox.goto(`${service.mailbox}/?q=eve`);
      await mailbox.getByText('No message matches the filter').waitFor();
      await send(about('Palantir'));
      const first = mailbox.getByRole('link', { name: /your Palantir access/ });
      await first.waitFor();
      await first.focus();
      await send(about('Databricks'));
      await mailbox.getByText('2 messages with “eve”').waitFor();
      expect(await mailbox.evaluate(`document.activeElement.textContent`)).toMatch(/your Palantir access/);
    });

    test('leads from the list to a message, and from its recipient to all messages to that one', async () => {
      const mailbox = await open(390, 'light');
      await mailbox.goto(service.mailbox);
      await mailbox.getByRole('link', { name: /access to 45 Databricks resources ends/ }).click();
      expect(mailbox.url()).toBe(address);
      await mailbox.getByRole('link', { name: 'ada@example.com' }).click();
      expect(mailbox.url()).toBe(`${service.mailbox}/?q=ada%40example.com`);
      await mailbox.getByRole('searchbox', { name: 'Recipient or subject' }).fill('bob');
      await mailbox.getByRole('button', { name: 'Filter' }).click();
      expect(mailbox.url()).toBe(`${service.mailbox}/?q=bob`);
    });
  });
});
