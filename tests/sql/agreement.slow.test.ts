/** Preview, count, story and run agree on what is due, over generated data. */
import fc from 'fast-check';
import { deadlineIn } from '../../src/clock';
import { readBacklog } from '../../src/jobs/backlog';
import { leftCount } from '../../src/jobs/failures';
import { platforms, type RequestId } from '../../src/jobs/platforms';
import { previewJob } from '../../src/jobs/previewJob';
import { readStory } from '../../src/jobs/requestStory';
import { ago, arrange, day, hour, useEnvironment } from '../support/arrange';
import { finished, jobOf } from '../support/environment';

jest.setTimeout(300_000);

const environment = useEnvironment();

/** Hours to the end, with ties; none is so near that it passes during the test. */
const generated = fc.record({
  endsIn: fc.constantFrom(-30 * 24, -24, -24, -1, 20, 20, 30, 6 * 24, 13 * 24, 90 * 24),
  accessKey: fc.constantFrom(undefined, undefined, 'a', 'b'),
  /** How the view yields it: once, twice, again with a later end, without its id. */
  yielded: fc.constantFrom('once', 'once', 'once', 'once', 'once', 'twice', 'renewed', 'none'),
  email: fc.constantFrom('ada@example.com', 'bob@example.com', 'nobody', null),
  status: fc.constantFrom('Approved', 'Approved', 'Approved', 'Withdrawn'),
  /** Days ago; undefined: never. */
  revoked: fc.constantFrom(undefined, undefined, 0, 0, 3, 20),
  notified: fc.constantFrom(undefined, undefined, undefined, 0, 3, 20),
});
const codes = [
  ...['addressMalformed', 'addressMissing', 'covered', 'duplicated', 'notGranted', 'reminderDue'],
  ...['reminderLater', 'reminderSent', 'revocationDue', 'revoked', 'revokedMessageDue', 'safetyStop'],
];

test.each(platforms.map((platform) => [platform.name, platform] as const))(
  '%s: what is previewed is counted, explained and done',
  async (name, platform) => {
    const [revocation, notification] = [jobOf('revocation', name), jobOf('notification', name)];
    const site = arrange(environment, revocation);
    const { RequestId: id, Resource, ExpiresAt } = site.columns;
    await site.mapView(
      { columns: { RequestId: `CASE WHEN ${Resource} = 'none' THEN NULL ELSE ${id} END` } },
      { where: `${Resource} = 'twice'` },
      { columns: { ExpiresAt: `DATEADD(DAY, 60, ${ExpiresAt})` }, where: `${Resource} = 'renewed'` },
    );
    const seen = new Set<string>();

    /** Compares what comes next for each request with the previews. */
    async function compareStories(
      ids: readonly RequestId[],
      settings: Parameters<typeof environment.services>[0],
    ): Promise<void> {
      const services = environment.services(settings);
      const expired = await previewJob(services, revocation);
      const reminders = await previewJob(services, notification);
      const failures = new Map(
        reminders.grants.map((grant) => [grant.requestId, 'failure' in grant ? grant.failure : undefined]),
      );
      const next = new Map<RequestId, string | undefined>();
      for (const requestId of ids) {
        const story = await readStory(services, deadlineIn(services.clock, hour), platform, requestId);
        next.set(requestId, story?.next.code);
        if (story) seen.add(story.next.code);
      }
      const having = (...some: string[]) => ids.filter((one) => some.includes(next.get(one) ?? '')).sort();
      expect({
        revocations: having('revocationDue', 'safetyStop'),
        messages: having('reminderDue', 'revokedMessageDue'),
        addressMissing: having('addressMissing'),
        addressMalformed: having('addressMalformed'),
      }).toEqual({
        revocations: expired.grants.map(({ requestId }) => requestId).sort(),
        messages: ids.filter((one) => failures.get(one) === null).sort(),
        addressMissing: ids.filter((one) => failures.get(one) === 'addressMissing').sort(),
        addressMalformed: ids.filter((one) => failures.get(one) === 'addressMalformed').sort(),
      });
      expect(having(settings?.revocationCeiling === 0 ? 'revocationDue' : 'safetyStop')).toEqual([]);
      // Duplicated and covered requests are named before they are due, too.
      const previews = [expired, reminders];
      expect(having('duplicated')).toEqual(
        expect.arrayContaining(
          previews.flatMap(({ failing }) =>
            failing.flatMap(({ cause, requestIds }) => (cause === 'duplicated' ? requestIds : [])),
          ),
        ),
      );
      expect(having('covered')).toEqual(
        expect.arrayContaining(previews.flatMap(({ covered }) => covered.map(({ requestId }) => requestId))),
      );
    }

    await fc.assert(
      fc.asyncProperty(
        fc.array(generated, { minLength: 4, maxLength: 10 }),
        fc.boolean(),
        fc.boolean(),
        async (specs, notifyRevoked, stopped) => {
          await environment.reset();
          // No lead begins during the comparison.
          environment.standIn?.clock.set(new Date(Math.floor(Date.now() / day) * day + day / 2));
          const ids = await site.add(
            ...specs.map(({ endsIn, yielded, accessKey, email, status }) => ({
              endsIn: endsIn * hour,
              resource: yielded,
              email,
              status,
              ...(accessKey !== undefined && { accessKey }),
            })),
          );
          for (const [index, { revoked, notified }] of specs.entries()) {
            if (revoked !== undefined) await site.revoked(ids[index], ago(revoked, 'DAY'));
            if (notified !== undefined) await site.notified(ids[index], ago(notified, 'DAY'));
          }
          await compareStories(ids, { notifyRevoked, ...(stopped && { revocationCeiling: 0 }) });
          const services = environment.services({ notifyRevoked });
          // Notifications run first: a revocation makes a message due.
          for (const job of [notification, revocation]) {
            const preview = await previewJob(services, job);
            const backlog = await readBacklog(environment.session, job.due(services.settings));
            expect(preview.count).toBe(backlog.dueCount);
            // A minute may begin in between.
            expect(Math.abs(preview.oldestDueMinutes - backlog.oldestDueMinutes)).toBeLessThanOrEqual(1);
            expect(preview.grants).toHaveLength(backlog.dueCount);
            const unusable = preview.failing.filter(({ cause }) => /^(idMissing|duplicated)$/.test(cause));

            const run = finished(await environment.run(job, services));
            expect((run.processedCount ?? 0) + (run.failedCount ?? 0)).toBe(backlog.dueCount);
            expect(run.status).toBe(leftCount(unusable) > 0 ? 'Failed' : 'Completed');
            for (const { cause, count } of unusable)
              expect(run.facts.failures).toContainEqual(expect.objectContaining({ cause, count }));
            // Only what failed is still due.
            expect((await previewJob(services, job)).count).toBe(run.failedCount ?? 0);
          }
        },
      ),
      // With this seed every code comes up.
      { numRuns: 30, seed: 5 },
    );
    expect([...seen].sort()).toEqual(codes);
  },
);
