/** Several processes run one job at once, or are killed. */
import { setTimeout as delay } from 'node:timers/promises';
import { jobs, type Job } from '../../src/jobs/catalogue';
import { maxConcurrentSends } from '../../src/jobs/notification';
import { longerThanTheLock, play } from '../histories/history';
import { findBreaches } from '../histories/invariants';
import { createWorld, many, type Start } from '../histories/world';
import type { App } from '../support/app';
import { minute } from '../support/arrange';
import { standInOf } from '../support/environment';
import { until, useInstances } from './instances';

const { environment, startInstance } = useInstances();
let crowd: readonly App[];

/** Defines the tests, with so many rounds for each job. */
export function defineProcessTests({ fired, killed }: { fired: number; killed: number }): void {
  beforeAll(async () => {
    crowd = await Promise.all(Array.from({ length: 8 }, startInstance));
  });

  test.each(jobs)('exactly one of 8 instances that fire $type at once does the work', async (job) => {
    const start = enoughToOverlap(job);
    for (let round = 1; round <= fired; round++)
      expect({ round, breaches: await fireAtOnce(start) }).toEqual({ round, breaches: [] });
  });

  test.each(jobs)(
    'after an instance is killed during $type, another does the rest and repeats nothing',
    async (job) => {
      const start = enoughToOverlap(job);
      const { firstSteps } = await play(environment, start, []);
      const statements = firstSteps.filter((name) => name !== 'send');
      for (let round = 1; round <= killed; round++) {
        const nth = 1 + Math.floor(Math.random() * statements.length);
        const later = Math.floor(Math.random() * 20);
        const breaches = await kill(start, nth, later);
        expect({ nth, later, breaches }).toEqual({ nth, later, breaches: [] });
      }
    },
  );
}

const enoughToOverlap = (job: Job): Start => many(job, job.kind === 'revocation' ? 4_100 : 40);

/**
 * Fires a timer in all instances at once: one run does all the work, the others find the lock held or nothing to do.
 * @returns the breaches
 */
async function fireAtOnce(start: Start): Promise<string[]> {
  const { job } = start;
  const world = await createWorld(environment, start);
  for (const app of crowd) app.forgetLines();
  await Promise.all(crowd.map((app) => app.fireTimer(job.type)));
  const logged = (text: string) => crowd.flatMap(({ lines }) => lines.filter((line) => line.includes(text)));
  const ended = () => logged(`${job.type}: Executed (`);
  await until('all runs have ended', () => ended().length === crowd.length);

  const breaches = await findBreaches(world, 'atEnd');
  const runs = await environment.runs(job);
  const working = runs.filter(({ Processed_Count }) => Processed_Count !== 0);
  if (working.length !== 1 || working[0]?.Processed_Count !== world.grants.size)
    breaches.push(`work was done by ${working.length} runs`);
  const failed = ended().filter((line) => !line.includes('Executed (succeeded'));
  if (failed.length > 0) breaches.push(`failed: ${failed.join(' ')}`);
  const held = logged(`${job.type} is held by run`).length;
  if (held + runs.length !== crowd.length) breaches.push(`${runs.length} runs and ${held} conflicts`);
  return [...breaches, ...findRepeated(0)].slice(0, 4);
}

/**
 * Kills an instance so many ms after its run has sent its nth statement; another runs when the dead run is stale.
 * @returns the breaches
 */
async function kill(start: Start, nth: number, later: number): Promise<string[]> {
  const { job } = start;
  const standIn = standInOf(environment);
  const victim = await startInstance();
  const world = await createWorld(environment, start);
  // The instance may be killed within a statement.
  standIn.order({ kind: 'delay', delayMs: 10, times: Infinity });
  await victim.fireTimer(job.type);
  await until(`statement ${nth} is sent`, () => standIn.statements.length >= nth);
  await delay(later);
  await victim.stop('SIGKILL');
  await until('the dead process’s session has ended', () => standIn.openSessions === 1);
  standIn.clearFaults();
  const breaches = await findBreaches(world, 'always');

  standIn.clock.advance(longerThanTheLock * minute);
  const answer = await crowd[0]?.call(`/api/jobs/${job.type}/runs`, { method: 'POST' });
  if (answer?.status !== 200) breaches.push(`the clean run answered ${await answer?.text()}`);
  breaches.push(...(await findBreaches(world, 'atEnd')), ...findRepeated(maxConcurrentSends));
  return breaches.slice(0, 4);
}

/** Repeated messages, if they are more than were in flight when a process died. */
function findRepeated(most: number): string[] {
  const sent = environment.email.requests.flatMap(({ method, operationId }) =>
    method === 'POST' ? [operationId] : [],
  );
  const repeated = sent.length - new Set(sent).size;
  return repeated > most ? [`${repeated} messages went out again, at most ${most} were in flight`] : [];
}
