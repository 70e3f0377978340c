/** The dry run, the count and the run use one definition of what is due: held against each other over generated data. */
import fc from 'fast-check';
import { jobs } from '../../src/jobs/catalogue';
import { leftCount } from '../../src/jobs/failures';
import { readBacklog } from '../../src/jobs/backlog';
import { previewJob } from '../../src/jobs/previewJob';
import { finished, startTestEnvironment, type TestEnvironment } from '../support/environment';
import { replaceView, restoreViews, viewColumns } from '../support/views';

const hour = 60 * 60 * 1000;
let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterAll(async () => {
  await restoreViews(environment);
  await environment.close();
});

/** Hours to the end: some tie, some lie on both sides of now; none is so near that it passes during the test. */
const grant = fc.record({
  endsIn: fc.constantFrom(-30 * 24, -24, -24, -1, 20, 20, 30, 6 * 24, 13 * 24, 90 * 24),
  accessKey: fc.option(fc.constantFrom('a', 'b'), { nil: undefined }),
  /** How the view yields it: as it is, twice, once more with a later end, without its id. */
  yielded: fc.constantFrom('once', 'once', 'once', 'twice', 'renewed', 'none'),
  email: fc.constantFrom('ada@example.com', 'bob@example.com', 'nobody', null),
  /** Days ago that it was revoked or notified; undefined: never. */
  settled: fc.option(fc.constantFrom(0, 3, 20), { nil: undefined }),
});

test.each(jobs.map((job) => [job.type, job] as const))(
  '%s: what the dry run shows is what is counted and what is done',
  async (_, job) => {
    const { RequestId, Resource, ExpiresAt } = viewColumns(job);
    const { platform } = job;
    await replaceView(
      environment,
      job,
      { columns: { RequestId: `CASE WHEN ${Resource} = 'none' THEN NULL ELSE ${RequestId} END` } },
      { where: `${Resource} = 'twice'` },
      { columns: { ExpiresAt: `DATEADD(DAY, 60, ${ExpiresAt})` }, where: `${Resource} = 'renewed'` },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(grant, { maxLength: 12 }), fc.boolean(), async (grants, notifyRevoked) => {
        await environment.reset();
        const ids = await environment.addGrants(
          job,
          grants.map(({ endsIn, yielded, accessKey, email }) => ({
            endsIn: endsIn * hour,
            resource: yielded,
            email,
            ...(accessKey !== undefined && { accessKey }),
          })),
        );
        const [table, columns] =
          job.kind === 'revocation'
            ? [platform.revocationTable, 'Revoked_Dt, Revoked_By']
            : [
                platform.notificationTable,
                'Notification_Sent_Dt, Notification_Sent_By, Notification_Sent_To',
              ];
        for (const [index, { settled }] of grants.entries())
          if (settled !== undefined)
            await environment.query(
              `INSERT INTO ${table} (${platform.requestColumn}, ${columns}) VALUES ('${String(ids[index])}', DATEADD(DAY, -${settled}, GETUTCDATE()), 'earlier'${job.kind === 'revocation' ? '' : ", 'x@example.com'"});`,
            );
        const services = environment.services({ notifyRevoked });

        const preview = await previewJob(services, job);
        const backlog = await readBacklog(environment.session, job.due(services.settings));
        const { dueCount: count } = backlog;
        expect(preview).toMatchObject({ count, oldestDueMinutes: backlog.oldestDueMinutes });
        expect(preview.grants).toHaveLength(count);
        const unusable = preview.failing.filter(
          ({ cause }) => cause === 'idMissing' || cause === 'duplicated',
        );

        const run = finished(await environment.run(job, services));
        expect((run.processedCount ?? 0) + (run.failedCount ?? 0)).toBe(count);
        expect(run.status).toBe(leftCount(unusable) > 0 ? 'Failed' : 'Completed');
        for (const { cause, count: some } of unusable)
          expect(run.facts.failures).toContainEqual(expect.objectContaining({ cause, count: some }));
        // What failed is due still; nothing else is.
        expect((await previewJob(services, job)).count).toBe(run.failedCount ?? 0);
      }),
      { numRuns: 20 },
    );
  },
);
