import { jobs } from '../../src/jobs/catalogue';
import { startTestEnvironment, type TestEnvironment } from '../support/environment';
import { runMatrix } from './matrix';

let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterAll(() => environment.close());

test.each(jobs.map((job) => [job.type, job] as const))(
  '%s keeps every invariant under every fault at every position',
  async (_, job) => {
    const { cases, broken } = await runMatrix(environment, job, (positions) => positions.flat());
    expect(cases).toBeGreaterThan(50);
    expect(broken).toEqual([]);
  },
);
