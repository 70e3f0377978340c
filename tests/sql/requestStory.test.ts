/** What comes next for a request. agreement.slow.test.ts compares it with what the jobs do. */
import { deadlineIn } from '../../src/clock';
import type { Settings } from '../../src/config/settings';
import { databricks, platforms, type RequestId } from '../../src/jobs/platforms';
import { describeNext } from '../../src/jobs/nextStepWords';
import { searchRequests } from '../../src/jobs/requestSearch';
import { readStory, type RequestStory } from '../../src/jobs/requestStory';
import { ago, arrange, day, hour, pauseBefore, useEnvironment } from '../support/arrange';
import { jobOf, type GrantSpec } from '../support/environment';
import { testOnStandIn } from '../support/realServer';
import type { ViewPart } from '../support/views';

const environment = useEnvironment();

const now = (): number => environment.standIn?.clock.now().getTime() ?? Date.now();

/** 00:00 UTC, so many days from today. */
const midnight = (days: number): Date => new Date(Math.floor(now() / day) * day + days * day);

/** The ms from now to 05:00 UTC, so many days from today. */
const inDays = (days: number): number => midnight(days).getTime() + 5 * hour - now();

const anyDate = expect.any(Date) as Date;

describe.each(platforms.map((platform) => [platform.name, platform] as const))(
  'a request of %s',
  (_, platform) => {
    const revocation = jobOf('revocation', platform.name);
    const notification = jobOf('notification', platform.name);
    const { grantView } = platform;
    const site = arrange(environment, revocation);
    const { addOne: add, columns, mapView } = site;
    const notify = arrange(environment, notification).run;

    async function storyOf(id: RequestId, settings?: Partial<Settings>): Promise<RequestStory> {
      const services = environment.services(settings);
      const story = await readStory(services, deadlineIn(services.clock, hour), platform, id);
      if (!story) throw new Error(`There is no request ${id}`);
      return story;
    }
    const nextOf = async (id: RequestId, settings?: Partial<Settings>) => (await storyOf(id, settings)).next;

    interface Case {
      readonly what: string;
      readonly grant: () => GrantSpec;
      readonly view?: readonly ViewPart[];
      readonly next: (story: RequestStory) => object;
      readonly words: RegExp;
    }
    const unusable = (adjective: string, email: string | null, code: string): Case => ({
      what: `has a reminder due that cannot be sent where its address is ${adjective}`,
      grant: () => ({ endsIn: inDays(5), email }),
      next: () => ({ code, since: midnight(-2) }),
      words: new RegExp(`cannot be sent: its address is ${adjective}\\. .*The next run`),
    });
    const duplicated = (days: number): Case => ({
      what: `is skipped where the view yields it twice and it ends in ${days} days`,
      grant: () => ({ endsIn: inDays(days) }),
      view: [{}, {}],
      next: () => ({ code: 'duplicated', viewRows: 2 }),
      words: new RegExp(`${grantView} yields it twice\\.`),
    });
    const unstable = (hours: number): Case => ({
      what: `is skipped where its end, in ${hours} hours, does not compare equal to itself`,
      grant: () => ({ endsIn: 0 }),
      view: [{ columns: { ExpiresAt: `DATEADD(HOUR, ${hours}, SYSUTCDATETIME())` } }],
      next: () => ({ code: 'endUnstable' }),
      words: /^Skipped: its end is not comparable\. Map ExpiresAt/,
    });
    const notGranted = (grant: GrantSpec, words: RegExp): Case => ({
      what: `that is not granted has nothing to come: ${JSON.stringify(grant)}`,
      grant: () => grant,
      next: () => ({ code: 'notGranted' }),
      words,
    });

    test.each<Case>([
      {
        what: 'has a reminder due since its lead began',
        grant: () => ({ endsIn: inDays(5) }),
        next: () => ({ code: 'reminderDue', leadDays: 7, since: midnight(-2), nextRunAt: anyDate }),
        words: /^The 7-day reminder has been due since /,
      },
      {
        what: 'has its first reminder when the largest lead begins',
        grant: () => ({ endsIn: inDays(15) }),
        next: () => ({ code: 'reminderLater', leadDays: 14, at: midnight(1) }),
        words: /^No reminder is due yet: the first begins at .* 14 days before/,
      },
      {
        what: 'has its revocation due since its end; its address does not matter',
        grant: () => ({ endsIn: -hour, email: null }),
        next: ({ grant }) => ({ code: 'revocationDue', since: grant?.expiresAt, nextRunAt: anyDate }),
        words: /^Its revocation has been due since .* the next run, at .*, records it\.$/,
      },
      unusable('missing', null, 'addressMissing'),
      unusable('malformed', 'nobody', 'addressMalformed'),
      duplicated(5),
      duplicated(-5),
      unstable(24),
      unstable(-24),
      notGranted(
        { endsIn: 5 * day, status: 'Withdrawn' },
        /^Nothing: it is not granted \(status Withdrawn\)\.$/,
      ),
      notGranted(
        { endsIn: null, status: 'Pending' },
        new RegExp(
          `^Nothing: ${grantView} does not yield it: its status is Pending, and it has no end\\. If `,
        ),
      ),
    ])('$what', async ({ grant, view, next, words }) => {
      if (view) await mapView(...view);
      const id = await add(grant());
      pauseBefore('judgeRequest');
      const story = await storyOf(id);
      expect(story.next).toEqual(next(story));
      expect(describeNext(story)).toMatch(words);
    });

    test('has a reminder due once its lead begins', async () => {
      const { standIn } = environment;
      const id = await add({ endsIn: inDays(15) });
      expect(await nextOf(id)).toMatchObject({ code: 'reminderLater' });
      standIn?.clock.advance(midnight(1).getTime() - now());
      if (standIn) expect(await nextOf(id)).toMatchObject({ code: 'reminderDue', since: midnight(0) });
    });

    test('has no reminder due once it was sent; next is a later lead, and after the last its revocation', async () => {
      const [soon, later] = [await add({ endsIn: inDays(1) }), await add({ endsIn: inDays(5) })];
      await notify();
      const story = await storyOf(later);
      expect(story.next).toEqual({
        code: 'reminderSent',
        leadDays: 7,
        sentAt: story.notifications[0]?.at,
        nextLeadDays: 1,
        at: midnight(4),
      });
      expect(describeNext(story)).toMatch(
        /the 7-day reminder was sent at .*Next is the 1-day reminder, due from /,
      );
      const last = await storyOf(soon);
      expect(last.next).toMatchObject({ code: 'reminderSent', nextLeadDays: null });
      expect(describeNext(last)).toMatch(/Next is its revocation, due from /);
    });

    test('is covered by a later one for the same access, even before its reminder would be due', async () => {
      await mapView({});
      const ids: RequestId[] = [];
      for (const days of [5, -1, 90, 95]) ids.push(await add({ endsIn: inDays(days), accessKey: 'a' }));
      const last = ids.pop() ?? 0;
      const { grant, next } = await storyOf(last);
      const coveredBy = { requestId: last, requestNumber: grant?.requestNumber };
      for (const id of ids) {
        const story = await storyOf(id);
        expect(story.next).toEqual({ code: 'covered', coveredBy, until: grant?.expiresAt });
        expect(describeNext(story)).toContain(`Nothing while request ${grant?.requestNumber ?? ''}`);
      }
      expect(next).toMatchObject({ code: 'reminderLater' });
    });

    test('has its revocation blocked by the safety stop', async () => {
      const [id] = [await add({ endsIn: -hour }), await add({ endsIn: -hour })];
      const story = await storyOf(id, { revocationCeiling: 1 });
      expect(story.next).toMatchObject({ code: 'safetyStop', dueCount: 2, ceiling: 1 });
      expect(describeNext(story)).toContain(
        'blocked by the safety stop: 2 grants are due, more than REVOCATION_CEILING (1).',
      );
      expect(await nextOf(id, { revocationCeiling: 2 })).toMatchObject({ code: 'revocationDue' });
    });

    test('has nothing to come once it was revoked after its end', async () => {
      const [revoked, renewed] = [await add({ endsIn: -hour }), await add({ endsIn: -hour })];
      await site.revoked(renewed, ago(2, 'HOUR'));
      expect(await nextOf(renewed)).toMatchObject({ code: 'revocationDue' });
      await site.run();
      const story = await storyOf(revoked);
      expect(story.next).toEqual({ code: 'revoked', at: story.revocations[0]?.at });
      expect(describeNext(story)).toMatch(/^Nothing: its revocation was recorded at /);
    });

    test('that the view yields without an end has nothing to come', async () => {
      const id = await add({ endsIn: null });
      const list = Object.entries({ ...columns, ExpiresAt: 'CAST(NULL AS DATETIME2)' }).map(
        ([name, sql]) => `${sql} AS ${name}`,
      );
      await environment.query(
        `CREATE OR ALTER VIEW ${grantView} AS SELECT ${list.join(', ')} FROM ${site.requestTable} AS r;`,
      );
      const story = await storyOf(id);
      expect(story.next).toEqual({ code: 'endMissing' });
      expect(describeNext(story)).toMatch(/^Nothing: it has no end\. If its access should end, /);
    });

    test('has its notifications and revocations, newest first, each with its run', async () => {
      const id = await add({ endsIn: inDays(5), email: 'Ada@Example.com' });
      const { jobId } = await notify();
      await site.notified(id, ago(9, 'DAY'), notification.type);
      await site.notified(id, ago(8, 'DAY'), 'by hand');
      await environment.changeGrant(revocation, id, { endsAt: new Date(now() - hour), granted: true });
      const later = await site.run();
      await environment.changeGrant(revocation, id, { endsAt: new Date(now() - hour), granted: false });
      expect(await storyOf(id)).toMatchObject({
        request: { requestId: id, status: 'Withdrawn' },
        grant: null,
        next: { code: 'notGranted' },
        notifications: [
          { sentTo: 'ada@example.com', by: notification.type, jobId },
          { sentTo: 'x@example.com', by: 'by hand', jobId: null },
          // No run began before it.
          { sentTo: 'x@example.com', by: notification.type, jobId: null },
        ],
        revocations: [{ by: revocation.type, jobId: later.jobId }],
      });
    });
  },
);

testOnStandIn('a search that times out says so, and still finds a request by its id', async () => {
  const id = await arrange(environment, jobOf('revocation', 'Databricks')).addOne({ endsIn: hour });
  const services = environment.services({}, { statementTimeoutMs: 2_000 });
  environment.standIn?.order({ kind: 'hang', match: /MatchRank/ });
  const search = await searchRequests(services, deadlineIn(services.clock, hour), String(id));
  expect(search).toMatchObject({
    requests: [{ request: { requestId: id } }],
    incomplete: [databricks],
    missing: [],
  });
});
