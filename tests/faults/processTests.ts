import { jobs } from '../../src/jobs/catalogue';
import type { HostProcess } from '../../local/functionsHost/process';
import { startTestEnvironment, type TestEnvironment } from '../support/environment';
import { record } from './matrix';
import {
  createInstances,
  createRoundStart,
  fireAtOnce,
  kill,
  randomNumbers,
  type Instances,
} from './processes';

/** Instances that fire at once. */
const crowd = 8;

/** Defines the tests of the built app in several processes, so many rounds for each job type. */
export function defineProcessTests({ fired, killed }: { fired: number; killed: number }): void {
  let environment: TestEnvironment;
  let instances: Instances;
  let hosts: HostProcess[];

  beforeAll(async () => {
    environment = await startTestEnvironment();
    instances = createInstances(environment);
    hosts = await Promise.all(Array.from({ length: crowd }, () => instances.start()));
  });
  afterAll(async () => {
    await instances.close();
    await environment.close();
  });

  test.each(jobs.map((job) => [job.type, job] as const))(
    `${crowd} instances fire %s at once: exactly one run does the work, in every round`,
    async (_, job) => {
      const start = await createRoundStart(environment, job);
      const broken: string[] = [];
      for (let round = 1; round <= fired; round++) {
        const breaches = await fireAtOnce(environment, start, instances, hosts);
        if (breaches.length > 0) broken.push(`round ${round}: ${breaches.slice(0, 4).join('; ')}`);
      }
      process.stdout.write(`${job.type}: ${crowd} at once, ${fired} rounds, ${fired - broken.length} held\n`);
      expect(broken).toEqual([]);
    },
  );

  test.each(jobs.map((job) => [job.type, job] as const))(
    'an instance that is killed amid %s leaves nothing undone and nothing done twice once another has run',
    async (_, job) => {
      const [survivor] = hosts;
      if (!survivor) throw new Error('No instance is left');
      const start = await createRoundStart(environment, job);
      const { statements } = await record(environment, start);
      const seed = Number(process.env.FAULT_SEED ?? Math.floor(Math.random() * 2 ** 31));
      const random = randomNumbers(seed);
      const broken: string[] = [];
      let caught = 0;
      for (let round = 1; round <= killed; round++) {
        const moment = {
          nth: 1 + Math.floor(random() * statements.length),
          later: Math.floor(random() * 20),
        };
        const result = await kill(environment, start, { instances, survivor }, moment);
        if (result.caught) caught++;
        if (result.breaches.length > 0)
          broken.push(
            `round ${round}, ${moment.later} ms after statement ${moment.nth}: ${result.breaches.slice(0, 4).join('; ')}`,
          );
      }
      process.stdout.write(
        `${job.type}: killed in ${killed} rounds (FAULT_SEED=${seed}), ${caught} times in progress, ${killed - broken.length} held\n`,
      );
      expect(broken).toEqual([]);
    },
  );
}
