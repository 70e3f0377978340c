import { jobs } from '../../src/jobs/catalogue';
import { runMatrix, sampleOf } from '../faults/matrix';
import { runTakeovers } from '../faults/takeover';
import { jobOf, startTestEnvironment, type TestEnvironment } from '../support/environment';

let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterAll(() => environment.close());

test.each(jobs.map((job, index) => [job.type, job, index] as const))(
  '%s keeps every invariant under a fault at every position',
  async (_, job, index) => {
    const { cases, broken } = await runMatrix(environment, job, (positions) =>
      sampleOf(positions, index * 3),
    );
    expect(cases).toBeGreaterThanOrEqual(5);
    expect(broken).toEqual([]);
  },
);

test.each([jobOf('revocation', 'Databricks'), jobOf('notification', 'Palantir')])(
  '$type changes nothing more after a sleep, at any step, in which another run has taken over',
  async (job) => {
    const { cases, broken } = await runTakeovers(environment, job, (pauses) =>
      pauses.filter(({ nth, other }) => other === (nth % 2 === 0 ? 'ended' : 'under way')),
    );
    expect(cases).toBeGreaterThanOrEqual(4);
    expect(broken).toEqual([]);
  },
);
