import { jobs } from '../../src/jobs/catalogue';
import { startTestEnvironment, type TestEnvironment } from '../support/environment';
import { runMatrix } from './matrix';

let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterAll(() => environment.close());

test.each(jobs)('$type keeps every invariant under every fault at every position', async (job) => {
  const { cases, broken } = await runMatrix(environment, job, (positions) => positions.flat());
  expect(cases).toBeGreaterThan(50);
  expect(broken).toEqual([]);
});
