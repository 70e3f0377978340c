/** Random histories of each job, and those that have found something. `npm run test:histories` plays more of them. */
import { jobs } from '../../src/jobs/catalogue';
import { jobOf, realServer, startTestEnvironment, type TestEnvironment } from '../support/environment';
import { replaceView, restoreViews } from '../support/views';
import { play, search } from './steps';

/** Of `npm run test:histories`, or the few that `npm test` plays. */
const { seed, runs } = (globalThis as { histories?: { seed: number; runs: number } }).histories ?? {
  seed: 2,
  runs: 16,
};

let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment({ ignoreLockHints: true });
  for (const job of jobs) await replaceView(environment, job, {});
});
afterAll(async () => {
  await restoreViews(environment);
  await environment.close();
});

test.each(jobs.map((job) => [job.type, job] as const))(
  '%s keeps every invariant in random histories',
  async (type, job) => {
    process.stdout.write(`${type}: ${runs} histories, seed ${seed}\n`);
    await search(environment, job, { seed, runs });
  },
  // Shrinking takes as long again and more.
  60_000 + runs * 10_000,
);

/** Held back and lost is what the stand-in can be told to do. */
const onStandIn = realServer ? test.skip : test;

onStandIn('a batch whose retry overtakes it revokes once, also beside another run', () =>
  play(environment, jobOf('revocation', 'Databricks'), [
    { do: 'run', at: 'revokeBatch', nth: 1, fault: 'commitHeldAndLost', twice: true },
    { do: 'resume' },
  ]),
);

onStandIn('a record whose retry overtakes it is written once', () =>
  play(environment, jobOf('notification', 'Palantir'), [
    { do: 'run', at: 'recordNotification', nth: 2, fault: 'committedLate' },
  ]),
);

test('a run that is cancelled while it sleeps revokes nothing more', () =>
  play(environment, jobOf('revocation', 'Palantir'), [
    { do: 'run', at: 'revokeBatch', nth: 1, fault: 'paused' },
    { do: 'cancel' },
    { do: 'resume' },
  ]));

test('of requests that are deleted while their messages are sent, nothing is recorded, and nothing is due', () =>
  play(environment, jobOf('notification', 'Databricks'), [
    { do: 'run', at: 'recordNotification', nth: 2, fault: 'paused' },
    ...[0, 1, 2].map((grant) => ({ do: 'deleteRequest', grant }) as const),
    { do: 'resume' },
  ]));

test('a mail whose sender has died goes out under the same id when a setting has changed', () =>
  play(environment, jobOf('notification', 'Palantir'), [
    { do: 'run', at: 'recordNotification', nth: 2, fault: 'died' },
    { do: 'changeSetting' },
    { do: 'cancel' },
    { do: 'run' },
  ]));

onStandIn('a run whose clock is set back while it sleeps, and whose quota is used up, goes on', () =>
  play(environment, jobOf('notification', 'Databricks'), [
    { do: 'quota', sends: 1 },
    { do: 'run', at: 'readDueReminders', nth: 1, fault: 'paused' },
    { do: 'clockBack', minutes: 1440 },
    { do: 'resume' },
    { do: 'run' },
  ]),
);
