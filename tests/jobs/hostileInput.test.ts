/** Hostile values of settings and columns; tests/functions/hostileRequests.slow.test.ts has hostile requests. */
import fc from 'fast-check';
import { readSettings, settingNames } from '../../src/config/settings';
import { isEmailAddress } from '../../src/email/address';
import type { DueGrant } from '../../src/email/digest';
import { createDigests } from '../../src/email/message';
import { jobs } from '../../src/jobs/catalogue';
import { singleLine } from '../../src/singleLine';
import { day, useEnvironment } from '../support/arrange';
import { finished, type GrantSpec } from '../support/environment';
import { nasty, text } from '../support/hostileInput';

/** Characters that break a mail's line, reorder it or hide text in it. Invisible letters do none of that. */
const disturbing =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202A-\u202E\u2066\u2067\u206A-\u206F\uFFF9-\uFFFB\u{E0000}-\u{E007F}]/u;
/** Unpaired isolates. */
const openIsolate = /\u2068(?![^\u2068\u2069]*\u2069)|(?<!\u2068[^\u2068\u2069]*)\u2069/;

/** Control and format characters, line and paragraph separators, halves of surrogate pairs. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

describe('Settings', () => {
  const minimal = {
    SQL_SERVER: 'my-server.database.windows.net',
    SQL_DATABASE: 'access',
    EMAIL_ENDPOINT: 'https://my-email.communication.azure.com',
    EMAIL_SENDER_ADDRESS: 'access@example.com',
  };
  const value = fc.oneof(
    text,
    fc.integer().map(String),
    fc.constantFrom('7,1', '0 0 * * * *', 'https://a.b/{requestNumber}'),
  );

  test('are valid, or refused with an error that names each malformed one', () => {
    // The two settings of a login are required together.
    const names = settingNames.filter((name) => !['SQL_USER', 'SQL_PASSWORD'].includes(name));
    const environment = fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 5 });
    fc.assert(
      fc.property(environment, (given) => {
        const settings = readSettings({ ...minimal, ...given });
        const wrong = settings.problems.map(({ setting }) => setting);
        expect(wrong.filter((name) => !Object.hasOwn(given, name))).toEqual([]);
        if (wrong.length > 0) return;
        expect(settings.database.port).toBeGreaterThan(0);
        expect(settings.email.endpoint).toMatch(/^https:\/\//);
        expect(isEmailAddress(settings.email.senderAddress)).toBe(true);
        expect(settings.leadDays.length).toBeGreaterThan(0);
        for (const days of settings.leadDays)
          expect(days >= 1 && days <= 365 && Number.isInteger(days)).toBe(true);
        expect(settings.revocationCeiling).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  test('no error message contains a password', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 12, unit: 'grapheme-ascii' }), (password) => {
        fc.pre(password.trim() !== '');
        const { problems } = readSettings({ SQL_PASSWORD: password });
        expect(problems.map(({ setting }) => setting)).toContain('SQL_USER');
        for (const { message } of problems) expect(message).not.toContain(password);
      }),
    );
  });
});

describe('A message', () => {
  const settings = {
    senderAddress: 'access@example.com',
    timeZone: 'UTC',
    renewalUrlTemplate: 'https://portal.example.com/requests/{requestNumber}/renew',
  };
  const harmless: DueGrant = {
    requestId: 1,
    requestNumber: 'REQ',
    requesterName: 'Name',
    resource: 'resource',
    expiresAt: new Date('2026-12-01T08:05:00Z'),
    leadDays: 7,
    remindedBefore: true,
    dueSince: new Date('2026-11-24T00:00:00Z'),
  };
  const evil = fc
    .record({ requestNumber: text, requesterName: text, resource: text })
    .map((values) => ({ ...harmless, ...values }));
  const digest = (grant: DueGrant) => {
    const options = { platformName: 'Databricks', lastLeadDays: 1, email: settings };
    const [message] = createDigests({ recipient: 'ada@example.com', grants: [grant] }, options);
    if (!message) throw new Error('There is no message');
    return message;
  };
  /** The tags with their attributes; links without their address. */
  const tags = (html: string): string[] =>
    (html.match(/<[^>]*>/g) ?? []).map((tag) => tag.replace(/^<a\s+href="[^"<>]*"/, '<a'));
  const isBlank = (value: string): boolean => singleLine(value) === '';
  /** The harmless grant, without a request number (and so without a link) or a name where the other has none. */
  const harmlessLike = ({ requestNumber, requesterName }: DueGrant): DueGrant => ({
    ...harmless,
    ...(isBlank(requestNumber) && { requestNumber: '' }),
    ...(isBlank(requesterName) && { requesterName: '' }),
  });

  test('has the same tags and attributes whatever the values are', () => {
    fc.assert(
      fc.property(evil, (grant) => {
        expect(tags(digest(grant).html)).toEqual(tags(digest(harmlessLike(grant)).html));
      }),
    );
  });

  test('has a subject of one printable line, and as many lines of text as the template', () => {
    fc.assert(
      fc.property(evil, (grant) => {
        const { subject, plainText } = digest(grant);
        for (const line of [subject, plainText.replaceAll('\n', '')]) {
          expect(line).not.toMatch(disturbing);
          expect(line).not.toMatch(openIsolate);
        }
        expect(subject.length).toBeLessThan(200);
        const lines = digest(harmlessLike(grant)).plainText.split('\n').length;
        expect(plainText.split(/\r\n|[\n\r\v\f\u0085\u2028\u2029]/)).toHaveLength(lines);
      }),
    );
  });

  test('has a link that stays on the template’s site and path', () => {
    fc.assert(
      fc.property(evil, (grant) => {
        fc.pre(!isBlank(grant.requestNumber));
        const link = /href="([^"]*)"/.exec(digest(grant).html)?.[1]?.replaceAll('&#39;', "'") ?? '';
        const { origin, pathname, search, hash } = new URL(link);
        expect([origin, search, hash]).toEqual(['https://portal.example.com', '', '']);
        expect(pathname).toMatch(/^\/requests\/[^/]*\/renew$/);
      }),
    );
  });

  test('goes to one plain address, without spaces, control characters, brackets or a second address', () => {
    const around = fc
      .tuple(text, fc.constantFrom('', 'ada@example.com', '<ada@example.com>'), text)
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(text, around, fc.emailAddress()), (address) => {
        if (!isEmailAddress(address)) return;
        expect(address).toMatch(/^[^\s@<>,;:"()[\]\\]+@[^\s@<>,;:"()[\]\\]+$/);
        expect(address).not.toMatch(unprintable);
        expect(address.length).toBeLessThanOrEqual(320);
      }),
    );
  });
});

describe('Column values', () => {
  const cut = (value: string): string => value.replaceAll('\u0000', '').slice(0, 100);
  const evilGrants: GrantSpec[] = nasty.flatMap((value, index) => [
    { endsIn: 2 * day, email: `person${index}@example.com`, name: cut(value), resource: cut(value) },
    { endsIn: 2 * day, email: cut(value), name: 'Ada', resource: 'orders' },
    { endsIn: 2 * day, email: `eve@example.com${cut(value)}`, name: cut(value), resource: 'orders' },
    { endsIn: -day, email: cut(value), name: cut(value), resource: cut(value) },
  ]);
  const plainGrants: GrantSpec[] = [
    { endsIn: 2 * day, email: 'ada@example.com' },
    { endsIn: 2 * day, email: '' },
    { endsIn: -day },
  ];

  const environment = useEnvironment();

  /** Runs each job over these grants. @returns the texts of all statements, and what was logged */
  async function runOver(grants: readonly GrantSpec[]): Promise<{ sql: string[]; logged: string[] }> {
    const sql = new Set<string>();
    const logged: string[] = [];
    for (const job of jobs) {
      await environment.reset();
      await environment.addGrants(job, grants);
      environment.standIn?.clearStatements();
      const log = (message: string): void => void logged.push(message);
      const run = finished(await environment.run(job, environment.services(), { log }));
      expect(run).toMatchObject({ jobType: job.type, status: 'Completed' });
      for (const statement of environment.standIn?.statements ?? []) sql.add(statement.text);
      const { messages } = environment.email;
      expect(messages.length > 0).toBe(job.kind === 'notification');
      for (const { to, subject, html = '' } of messages) {
        expect(to).toHaveLength(1);
        expect(isEmailAddress(to[0] ?? '')).toBe(true);
        expect(to[0]).not.toContain('everybody');
        expect(subject).not.toMatch(disturbing);
        expect(html).not.toMatch(/<(script|img|h1)>/i);
      }
    }
    return { sql: [...sql].sort(), logged };
  }

  test('reach the database only as parameters, messages only escaped, and no log', async () => {
    const { sql, logged } = await runOver(evilGrants);
    expect(sql).toEqual((await runOver(plainGrants)).sql);
    expect(sql.length).toBeGreaterThan(5);
    expect(logged.length).toBeGreaterThan(2);
    for (const line of logged) {
      expect(line).not.toMatch(unprintable);
      for (const value of nasty.filter((one) => one.trim().length > 2))
        expect(line).not.toContain(cut(value));
    }
  });
});
