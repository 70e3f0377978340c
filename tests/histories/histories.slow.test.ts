/** Random histories of each job, and those that once found a fault. `npm run test:histories` plays more. */
import { jobs } from '../../src/jobs/catalogue';
import { useEnvironment } from '../support/arrange';
import { jobOf } from '../support/environment';
import { testOnStandIn } from '../support/realServer';
import { replaceView } from '../support/views';
import { play } from './history';
import { search } from './search';
import type { Step } from './steps';
import { few, type Start } from './world';

/** Of `npm run test:histories`; `npm test` plays a few. */
const { histories } = globalThis as { histories?: { seed: number; runs: number } };
const { seed, runs } = histories ?? { seed: 2, runs: 16 };

// Takeovers are many small histories.
jest.setTimeout(300_000);

const environment = useEnvironment();
beforeEach(async () => {
  for (const job of jobs) await replaceView(environment, job, {});
});

test.each(jobs)(
  '$type keeps every invariant in random histories',
  async (job) => {
    process.stdout.write(`${job.type}: ${runs} histories, seed ${seed}\n`);
    await search(environment, job, { seed, runs });
  },
  // Shrinking takes as long again and more.
  60_000 + runs * 10_000,
);

const revocation = few(jobOf('revocation', 'Databricks'));
const notification = few(jobOf('notification', 'Palantir'));

/** The control of time, commits and connections needs the stand-in. */
const found: readonly (readonly [string, Start, readonly Step[], 'stand-in'?])[] = [
  [
    'a batch that its retry overtakes revokes once, even with another run at the same time',
    revocation,
    [{ do: 'run', at: 'revokeBatch', nth: 1, fault: 'commitHeldAndLost', twice: true }, { do: 'resume' }],
    'stand-in',
  ],
  [
    'requests that are deleted while their messages are sent are not recorded and no longer due',
    notification,
    [
      { do: 'run', at: 'recordNotification', nth: 2, fault: 'paused' },
      ...[0, 1, 2].map((grant) => ({ do: 'deleteRequest', grant }) as const),
      { do: 'resume' },
    ],
  ],
  [
    'a mail of a dead process is sent under the same id, even after a setting has changed',
    notification,
    [
      { do: 'run', at: 'recordNotification', nth: 2, fault: 'died' },
      { do: 'changeSetting' },
      { do: 'cancel' },
      { do: 'run' },
    ],
  ],
  [
    'a run goes on after its clock was set back while it slept and its quota was used up',
    notification,
    [
      { do: 'mail', fault: 'quotaUsedUp', at: 2, times: 10 },
      { do: 'run', at: 'readDueReminders', nth: 1, fault: 'paused' },
      { do: 'clockBack', minutes: 1440 },
      { do: 'resume' },
      { do: 'run' },
    ],
    'stand-in',
  ],
];
for (const [name, start, steps, needs] of found)
  (needs ? testOnStandIn : test)(name, () => play(environment, start, steps));

/** Where the second run is when the first one continues: it has ended, or is about to write or to send. */
const takeovers = {
  revocation: [undefined, 'revokeBatch', 'finishRun'],
  notification: [undefined, 'checkLease', 'send', 'recordNotification', 'finishRun'],
} as const;

testOnStandIn.each(jobs)(
  '$type changes nothing after it slept before any step and another run took over',
  async (job) => {
    const { firstSteps } = await play(environment, few(job), [{ do: 'run' }]);
    const [, ...steps] = firstSteps;
    for (const [index, at] of steps.entries()) {
      const nth = steps.slice(0, index + 1).filter((name) => name === at).length;
      for (const other of takeovers[job.kind]) {
        await play(environment, few(job), [
          { do: 'run', at, nth, fault: 'paused' },
          { do: 'advance', minutes: 11 },
          other ? { do: 'run', at: other, nth: 1, fault: 'paused' } : { do: 'run' },
          { do: 'resume' },
          { do: 'resume' },
        ]);
        expect({ at, nth, other, runs: await environment.runs(job) }).toMatchObject({
          runs: [
            { Status: 'Completed' },
            { Status: 'Completed' },
            { Status: 'Failed', Error_Message: expect.stringMatching(/^Abandoned: /) as string },
          ],
        });
      }
    }
  },
);
