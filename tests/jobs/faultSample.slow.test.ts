import { jobs } from '../../src/jobs/catalogue';
import { runMatrix, sampleOf } from '../faults/matrix';
import { startTestEnvironment, type TestEnvironment } from '../support/environment';

jest.setTimeout(300_000);

let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterAll(() => environment.close());

test.each(jobs)('$type keeps every invariant under a fault at every position', async (job) => {
  const seed = jobs.indexOf(job) * 3;
  const { cases, broken } = await runMatrix(environment, job, (positions) => sampleOf(positions, seed));
  expect(cases).toBeGreaterThanOrEqual(5);
  expect(broken).toEqual([]);
});
