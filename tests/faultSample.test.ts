import { jobs } from '../src/jobs/catalogue';
import { runMatrix, sampleOf } from './faults/matrix';
import { startTestEnvironment, type TestEnvironment } from './support/environment';

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
