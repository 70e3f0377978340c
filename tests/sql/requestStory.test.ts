/** What comes next for a request, and why nothing does; held against what the jobs collect. */
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { deadlineIn } from '../../src/clock';
import type { Settings } from '../../src/config/settings';
import { databricks, palantir, type RequestId } from '../../src/jobs/platforms';
import { previewJob } from '../../src/jobs/previewJob';
import { describeNext } from '../../src/jobs/nextStepWords';
import { searchRequests } from '../../src/jobs/requestSearch';
import { readStory, type RequestStory } from '../../src/jobs/requestStory';
import {
  beforeEachStatement,
  finished,
  jobOf,
  realServer,
  startTestEnvironment,
  type GrantSpec,
  type TestEnvironment,
} from '../support/environment';
import { replaceView, restoreViews, viewColumns } from '../support/views';

const hour = 60 * 60 * 1000;
const day = 24 * hour;
let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterEach(async () => {
  await environment.reset();
  await restoreViews(environment);
});
afterAll(() => environment.close());

const now = (): number => environment.standIn?.clock.now().getTime() ?? Date.now();

/** 00:00 UTC of the day that lies so many days from today. */
const midnight = (days: number): Date => new Date(Math.floor(now() / day) * day + days * day);

/** The ms from now to five o'clock UTC of the day that lies so many days from today. */
const inDays = (days: number): number => midnight(days).getTime() + 5 * hour - now();

describe.each([databricks, palantir].map((platform) => [platform.name, platform] as const))(
  'a request of %s',
  (_, platform) => {
    const revocation = jobOf('revocation', platform.name);
    const notification = jobOf('notification', platform.name);
    const { revocationTable, notificationTable, requestColumn, grantView } = platform;

    async function add(grant: GrantSpec): Promise<RequestId> {
      const [id] = await environment.addGrants(revocation, [grant]);
      if (id === undefined) throw new Error('No request was added');
      return id;
    }
    async function storyOf(id: RequestId, settings: Partial<Settings> = {}): Promise<RequestStory> {
      const services = environment.services(settings);
      const story = await readStory(services, deadlineIn(services.clock, hour), platform, id);
      if (!story) throw new Error(`There is no request ${id}`);
      return story;
    }
    const nextOf = async (id: RequestId, settings?: Partial<Settings>) => (await storyOf(id, settings)).next;
    const wordsOf = async (id: RequestId, settings?: Partial<Settings>) =>
      describeNext(await storyOf(id, settings));
    const revoke = (id: RequestId, at: string) =>
      environment.query(
        `INSERT INTO ${revocationTable} (${requestColumn}, Revoked_Dt, Revoked_By) VALUES ('${id}', ${at}, 'earlier');`,
      );

    test('has a reminder due since its lead began', async () => {
      const id = await add({ endsIn: inDays(5) });
      expect(await nextOf(id)).toEqual({
        code: 'reminderDue',
        leadDays: 7,
        since: midnight(-2),
        nextRunAt: expect.any(Date) as Date,
      });
      expect(await wordsOf(id)).toMatch(/^The reminder of 7 days before the last day has been due since /);
    });

    test('has its first reminder when the largest lead begins, and not a moment before', async () => {
      const id = await add({ endsIn: inDays(15) });
      const next = await nextOf(id);
      expect(next).toEqual({ code: 'reminderLater', leadDays: 14, at: midnight(1) });
      expect(await wordsOf(id)).toMatch(/^No reminder is due yet: the first begins at .* 14 days before/);
      const { standIn } = environment;
      if (!standIn) return;
      standIn.clock.advance(midnight(1).getTime() - now());
      try {
        expect(await nextOf(id)).toMatchObject({ code: 'reminderDue', since: midnight(0) });
      } finally {
        standIn.clock.set(new Date());
      }
    });

    test('has no reminder due once it was sent: the next lead begins later, and after the last its revocation', async () => {
      const [soon, later] = [await add({ endsIn: inDays(1) }), await add({ endsIn: inDays(5) })];
      await environment.run(notification);
      const { notifications } = await storyOf(later);
      const sentAt = notifications[0]?.at;
      expect(await nextOf(later)).toEqual({
        code: 'reminderSent',
        leadDays: 7,
        sentAt,
        nextLeadDays: 1,
        at: midnight(4),
      });
      expect(await wordsOf(later)).toMatch(
        /7 days before the last day was sent at .*Next is the one of 1 day/,
      );
      expect(await nextOf(soon)).toMatchObject({ code: 'reminderSent', nextLeadDays: null });
      expect(await wordsOf(soon)).toMatch(/Next is its revocation, at /);
    });

    test('is covered by another for the same access that ends later, whether its reminder would be due or not', async () => {
      await replaceView(environment, revocation, {});
      const ids = [
        await add({ endsIn: inDays(5), accessKey: 'a' }),
        await add({ endsIn: -day, accessKey: 'a' }),
        await add({ endsIn: inDays(90), accessKey: 'a' }),
        await add({ endsIn: inDays(95), accessKey: 'a' }),
      ];
      const [, , , last = 0] = ids;
      const { grant } = await storyOf(last);
      for (const id of ids.slice(0, 3))
        expect(await nextOf(id)).toEqual({
          code: 'covered',
          coveredBy: { requestId: last, requestNumber: grant?.requestNumber },
          until: grant?.expiresAt,
        });
      expect(await wordsOf(ids[0] ?? 0)).toContain(`Nothing while request ${grant?.requestNumber ?? ''}`);
      expect(await nextOf(last)).toMatchObject({ code: 'reminderLater' });
    });

    test.each([
      ['is missing', null, 'addressMissing'],
      ['is malformed', 'nobody', 'addressMalformed'],
    ])('has a reminder due that cannot be sent where its address %s', async (_case, email, code) => {
      const id = await add({ endsIn: inDays(5), email });
      expect(await nextOf(id)).toEqual({ code, since: midnight(-2) });
      expect(await wordsOf(id)).toMatch(/cannot be sent: address (missing|malformed)\. .*The next run/);
    });

    test.each([
      ['ends later', 5],
      ['has ended', -5],
    ])('is left alone where the view yields it twice and it %s', async (_case, days) => {
      await replaceView(environment, revocation, {}, {});
      const id = await add({ endsIn: inDays(days) });
      expect(await nextOf(id)).toEqual({ code: 'duplicated', viewRows: 2 });
      expect(await wordsOf(id)).toContain(`${grantView} yields it twice.`);
    });

    test.each([
      ['to come', 24],
      ['past', -24],
    ])('is left alone where its end, which is %s, does not compare equal to itself', async (_case, hours) => {
      await replaceView(environment, revocation, {
        columns: { ExpiresAt: `DATEADD(HOUR, ${hours}, SYSUTCDATETIME())` },
      });
      const id = await add({ endsIn: 0 });
      // The end has changed when it is read again.
      const pausing = beforeEachStatement(({ name }) =>
        name === 'judgeRequest' ? setTimeout(20) : undefined,
      );
      const story = await storyOf(id);
      pausing.mockRestore();
      expect(story.next).toEqual({ code: 'endUnstable' });
      expect(describeNext(story)).toMatch(/^Left alone: its end is not comparable\. Map ExpiresAt/);
    });

    test('has its revocation due since its end; its address does not matter', async () => {
      const id = await add({ endsIn: -hour, email: null });
      const { next, grant } = await storyOf(id);
      expect(next).toEqual({
        code: 'revocationDue',
        since: grant?.expiresAt,
        nextRunAt: expect.any(Date) as Date,
      });
      expect(await wordsOf(id)).toMatch(
        /^Its revocation has been due since .* the next run, at .*, records it\.$/,
      );
    });

    test('has its revocation blocked by the safety stop', async () => {
      const id = await add({ endsIn: -hour });
      await add({ endsIn: -hour });
      expect(await nextOf(id, { revocationCeiling: 1 })).toMatchObject({
        code: 'safetyStop',
        dueCount: 2,
        ceiling: 1,
      });
      expect(await wordsOf(id, { revocationCeiling: 1 })).toContain(
        'blocked by the safety stop: 2 grants are due, more than REVOCATION_CEILING (1).',
      );
      expect(await nextOf(id, { revocationCeiling: 2 })).toMatchObject({ code: 'revocationDue' });
    });

    test('has nothing to come once it was revoked at or after its end; an earlier revocation settles nothing', async () => {
      const [revoked, renewed] = [await add({ endsIn: -hour }), await add({ endsIn: -hour })];
      await revoke(renewed, 'DATEADD(HOUR, -2, GETUTCDATE())');
      expect(await nextOf(renewed)).toMatchObject({ code: 'revocationDue' });
      await environment.run(revocation);
      const { next, revocations } = await storyOf(revoked);
      expect(next).toEqual({ code: 'revoked', at: revocations[0]?.at });
      expect(await wordsOf(revoked)).toMatch(/^Nothing: its revocation was recorded at /);
    });

    test('that was revoked has a message to come where people are told of that, for seven days and once', async () => {
      const told = { notifyRevoked: true };
      const [id, long] = [await add({ endsIn: -hour }), await add({ endsIn: -30 * day })];
      await revoke(long, 'DATEADD(DAY, -8, GETUTCDATE())');
      await environment.run(revocation);
      expect(await nextOf(id, told)).toMatchObject({
        code: 'revokedMessageDue',
        since: expect.any(Date) as Date,
      });
      expect(await nextOf(id)).toMatchObject({ code: 'revoked' });
      expect(await nextOf(long, told)).toMatchObject({ code: 'revoked' });
      await environment.run(notification, environment.services(told));
      expect(await nextOf(id, told)).toMatchObject({ code: 'revoked' });
    });

    test.each([
      [{ endsIn: 5 * day, status: 'Withdrawn' }, 'Nothing: it is not granted (status Withdrawn).'],
      [{ endsIn: null }, 'Nothing: it is not granted (status Approved, without an end).'],
    ])('that is not granted has nothing to come: %j', async (grant, text) => {
      const id = await add(grant);
      expect(await nextOf(id)).toEqual({ code: 'notGranted' });
      expect(await wordsOf(id)).toBe(text);
    });

    test('that a view yields without an end has nothing to come', async () => {
      const { columns } = { columns: viewColumns(revocation) };
      const list = Object.entries({ ...columns, ExpiresAt: 'CAST(NULL AS DATETIME2)' }).map(
        ([name, sql]) => `${sql} AS ${name}`,
      );
      await environment.query(
        `CREATE OR ALTER VIEW ${grantView} AS SELECT ${list.join(', ')} FROM dbo.${platform.name === 'Databricks' ? 'DataAccessDeltaRequests' : 'DataAccessPalantirRequests'} AS r;`,
      );
      const id = await add({ endsIn: inDays(5) });
      expect(await nextOf(id)).toEqual({ code: 'endMissing' });
      expect(await wordsOf(id)).toBe('Nothing: it has no end.');
    });

    test('has what was sent and revoked, newest first, each with its run', async () => {
      const id = await add({ endsIn: inDays(5), email: 'Ada@Example.com' });
      const run = finished(await environment.run(notification));
      await environment.query(
        `INSERT INTO ${notificationTable} (${requestColumn}, Notification_Sent_Dt, Notification_Sent_To, Notification_Sent_By) VALUES ('${id}', DATEADD(DAY, -9, GETUTCDATE()), 'old@example.com', '${notification.type}'), ('${id}', DATEADD(DAY, -8, GETUTCDATE()), 'old@example.com', 'by hand');`,
      );
      await environment.changeGrant(revocation, id, { endsAt: new Date(now() - hour), granted: true });
      const later = finished(await environment.run(revocation));
      await environment.changeGrant(revocation, id, { endsAt: new Date(now() - hour), granted: false });
      const story = await storyOf(id);
      expect(story.notifications.map(({ sentTo, by, jobId }) => [sentTo, by, jobId])).toEqual([
        ['ada@example.com', notification.type, run.jobId],
        ['old@example.com', 'by hand', null],
        // No run began before it.
        ['old@example.com', notification.type, null],
      ]);
      expect(story.revocations.map(({ by, jobId }) => [by, jobId])).toEqual([[revocation.type, later.jobId]]);
      expect(story.request).toMatchObject({ requestId: id, status: 'Withdrawn' });
      expect(story).toMatchObject({ grant: null, next: { code: 'notGranted' } });
    });

    test('without the view of requests keeps its records and what comes next', async () => {
      const id = await add({ endsIn: inDays(5) });
      const { grant } = await storyOf(id);
      await environment.run(notification);
      await replaceGrantView();
      await environment.query(`DROP VIEW ${platform.requestView};`);
      const story = await storyOf(id);
      expect(story).toMatchObject({
        request: null,
        viewMissing: true,
        grant,
        next: { code: 'reminderSent' },
      });
      expect(story.notifications).toHaveLength(1);
    });

    /** Maps the view of grants without the one of requests, as sites did. */
    async function replaceGrantView(): Promise<void> {
      const [row] = await environment.query(
        `SELECT OBJECT_DEFINITION(OBJECT_ID('${platform.requestView}')) AS Text;`,
      );
      const text = (row?.Text as string).replace(platform.requestView, grantView);
      await environment.query(text.slice(text.search(/CREATE OR ALTER|CREATE/)));
    }

    test('that nobody knows has no story', async () => {
      const services = environment.services();
      const unknown = platform === databricks ? 999_999 : '00000000-0000-4000-9000-000000000000';
      expect(await readStory(services, deadlineIn(services.clock, hour), platform, unknown)).toBeUndefined();
    });
  },
);

const testOnStandIn = realServer ? test.skip : test;

testOnStandIn('a search that takes the database too long says so, and has what the id finds', async () => {
  const [id = 0] = await environment.addGrants(jobOf('revocation', 'Databricks'), [{ endsIn: hour }]);
  const services = environment.services({}, { statementTimeout: 500 });
  environment.standIn?.order({ kind: 'delay', match: /MatchRank/, delayMs: 2_000 });
  const search = await searchRequests(services, deadlineIn(services.clock, hour), String(id));
  expect(search).toMatchObject({
    requests: [{ request: { requestId: id } }],
    incomplete: [databricks],
    missing: [],
  });
});

/** Hours to the end: some tie, some lie on both sides of now; none is so near that it passes during the test. */
const generated = fc.record({
  endsIn: fc.constantFrom(-30 * 24, -24, -24, -1, 20, 20, 30, 6 * 24, 13 * 24, 90 * 24),
  accessKey: fc.constantFrom(undefined, undefined, 'a', 'b'),
  yielded: fc.constantFrom('once', 'once', 'once', 'once', 'twice', 'renewed'),
  email: fc.constantFrom('ada@example.com', 'bob@example.com', 'nobody', null),
  status: fc.constantFrom('Approved', 'Approved', 'Approved', 'Withdrawn'),
  /** Days ago; undefined: never. */
  revoked: fc.constantFrom(undefined, undefined, 0, 0, 3, 20),
  notified: fc.constantFrom(undefined, undefined, undefined, 0, 3, 20),
});

test.each([databricks, palantir].map((platform) => [platform.name, platform] as const))(
  '%s: the reasons agree with what the jobs collect, over generated data',
  async (name, platform) => {
    const [revocation, notification] = [jobOf('revocation', name), jobOf('notification', name)];
    const { Resource, ExpiresAt } = viewColumns(revocation);
    await replaceView(
      environment,
      revocation,
      {},
      { where: `${Resource} = 'twice'` },
      { columns: { ExpiresAt: `DATEADD(DAY, 60, ${ExpiresAt})` }, where: `${Resource} = 'renewed'` },
    );
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        fc.array(generated, { minLength: 4, maxLength: 10 }),
        fc.boolean(),
        fc.boolean(),
        async (specs, notifyRevoked, stopped) => {
          await environment.reset();
          const ids = await environment.addGrants(
            revocation,
            specs.map(({ endsIn, yielded, accessKey, email, status }) => ({
              endsIn: endsIn * hour,
              resource: yielded,
              email,
              status,
              ...(accessKey !== undefined && { accessKey }),
            })),
          );
          for (const [index, { revoked, notified }] of specs.entries()) {
            const id = String(ids[index]);
            if (revoked !== undefined)
              await environment.query(
                `INSERT INTO ${platform.revocationTable} (${platform.requestColumn}, Revoked_Dt, Revoked_By) VALUES ('${id}', DATEADD(DAY, -${revoked}, GETUTCDATE()), 'earlier');`,
              );
            if (notified !== undefined)
              await environment.query(
                `INSERT INTO ${platform.notificationTable} (${platform.requestColumn}, Notification_Sent_Dt, Notification_Sent_By, Notification_Sent_To) VALUES ('${id}', DATEADD(DAY, -${notified}, GETUTCDATE()), 'earlier', 'x@example.com');`,
              );
          }
          const services = environment.services({ notifyRevoked, ...(stopped && { revocationCeiling: 0 }) });
          const expired = await previewJob(services, revocation);
          const reminders = await previewJob(services, notification);
          const failures = new Map(reminders.grants.map(({ requestId, failure }) => [requestId, failure]));
          const left = new Set(
            [...expired.failing, ...reminders.failing]
              .filter(({ cause }) => cause === 'duplicated')
              .flatMap(({ requestIds }) => requestIds),
          );
          const covered = new Set(
            [...expired.covered, ...reminders.covered].map(({ requestId }) => requestId),
          );
          const codes = new Map<RequestId, string>();
          for (const requestId of ids) {
            const story = await readStory(services, deadlineIn(services.clock, hour), platform, requestId);
            codes.set(requestId, story?.next.code ?? 'none');
            seen.add(story?.next.code ?? 'none');
          }
          const having = (...some: string[]): RequestId[] =>
            ids.filter((id) => some.includes(codes.get(id) ?? '')).sort();
          const sorted = (some: Iterable<RequestId>): RequestId[] => [...some].sort();
          expect(having(stopped ? 'safetyStop' : 'revocationDue')).toEqual(
            sorted(expired.grants.map(({ requestId }) => requestId)),
          );
          expect(having('reminderDue', 'revokedMessageDue')).toEqual(
            sorted(ids.filter((id) => failures.get(id) === null)),
          );
          for (const cause of ['addressMissing', 'addressMalformed'] as const)
            expect(having(cause)).toEqual(sorted(ids.filter((id) => failures.get(id) === cause)));
          // What is left alone is named so before its time has come, too.
          expect(having('duplicated')).toEqual(expect.arrayContaining(sorted(left)));
          expect(having('covered')).toEqual(expect.arrayContaining(sorted(covered)));
        },
      ),
      // Every code comes up.
      { numRuns: 25, seed: 3 },
    );
    expect([...seen].sort()).toEqual(
      [
        'addressMalformed',
        'addressMissing',
        'covered',
        'duplicated',
        'notGranted',
        'reminderDue',
        'reminderLater',
        'reminderSent',
        'revocationDue',
        'revoked',
        'revokedMessageDue',
        'safetyStop',
      ].sort(),
    );
  },
);
