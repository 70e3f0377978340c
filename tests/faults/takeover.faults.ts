import { jobs } from '../../src/jobs/catalogue';
import { startTestEnvironment, type TestEnvironment } from '../support/environment';
import { runTakeovers } from './takeover';

let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterAll(() => environment.close());

test.each(jobs.map((job) => [job.type, job] as const))(
  '%s changes nothing more after a sleep in which another run has taken over',
  async (_, job) => {
    const { cases, broken } = await runTakeovers(environment, job, (pauses) => pauses);
    expect(cases).toBeGreaterThanOrEqual(8);
    expect(broken).toEqual([]);
  },
);
