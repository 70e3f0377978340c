/** The built app in several processes against one database. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startHostProcess, type HostProcess } from '../../local/functionsHost/process';
import { jobs, type Job } from '../../src/jobs/catalogue';
import { maxConcurrentSends } from '../../src/jobs/notification';
import { useEnvironment } from '../support/arrange';
import { findBreaches, findBreachesAtEnd, observe } from './invariants';
import { record } from './matrix';
import { standInOf } from './run';
import { createStart, manyDue, type Start } from './start';

/** The number of instances. */
const crowd = 8;
/** In real time, in ms. */
const longestRound = 60_000;

let directory: string;
const hosts: HostProcess[] = [];
// Before the environment is closed.
afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop('SIGKILL')));
  rmSync(directory, { recursive: true });
});
const environment = useEnvironment();
/** The instances' log. */
const lines: string[] = [];

const authorityFile = (): string => join(directory, 'authority.pem');

async function startInstance(): Promise<HostProcess> {
  const host = await startHostProcess({
    appDirectory: join(__dirname, '../..'),
    port: 0,
    timers: false,
    settings: {
      ...environment.environment,
      NODE_EXTRA_CA_CERTS: authorityFile(),
      REVOCATION_CEILING: '10000',
    },
    onLine: (line) => lines.push(line),
  });
  hosts.push(host);
  return host;
}

/** Defines the tests, with so many rounds for each job. */
export function defineProcessTests({ fired, killed }: { fired: number; killed: number }): void {
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'instances-'));
    writeFileSync(authorityFile(), environment.authority);
    await Promise.all(Array.from({ length: crowd }, startInstance));
  });

  test.each(jobs)(`exactly one of ${crowd} instances that fire $type at once does the work`, async (job) => {
    const start = await createRoundStart(job);
    for (let round = 1; round <= fired; round++)
      expect({ round, breaches: await fireAtOnce(start) }).toEqual({ round, breaches: [] });
  });

  test.each(jobs)(
    'after an instance is killed during $type, another does the rest and repeats nothing',
    async (job) => {
      const start = await createRoundStart(job);
      const { statements } = await record(environment, start);
      for (let round = 1; round <= killed; round++) {
        const nth = 1 + Math.floor(Math.random() * statements.length);
        const later = Math.floor(Math.random() * 20);
        const breaches = await kill(start, nth, later);
        expect({ nth, later, breaches }).toEqual({ nth, later, breaches: [] });
      }
    },
  );
}

/** Enough data for runs to overlap. */
const createRoundStart = (job: Job): Promise<Start> =>
  createStart(environment, job, manyDue(job, job.kind === 'revocation' ? 4_100 : 40));

/** Fires a timer function of an instance; does not wait for its run. */
async function fire({ url }: HostProcess, { type }: Job): Promise<void> {
  const answer = await fetch(`${url}/admin/functions/${type}`, { method: 'POST', body: '{}' });
  if (answer.status !== 202) throw new Error(`${type} cannot be fired: ${answer.status}`);
}

async function until(what: string, isMet: () => boolean): Promise<void> {
  const giveUpAt = Date.now() + longestRound;
  while (!isMet()) {
    if (Date.now() > giveUpAt) throw new Error(`Waited in vain until ${what}`);
    await delay(2);
  }
}

/**
 * Fires a timer in all instances at once: one run does all the work, the others find the lock held or nothing to do.
 * @returns the breaches
 */
async function fireAtOnce(start: Start): Promise<string[]> {
  const { job, grants } = start;
  const crowded = hosts.slice(0, crowd);
  await start.reset();
  lines.length = 0;
  await Promise.all(crowded.map((host) => fire(host, job)));
  const ended = () => lines.filter((line) => line.includes(`${job.type}: Executed (`));
  await until('all runs have ended', () => ended().length === crowd);

  const breaches = findBreachesAtEnd(await observe(environment, start));
  const runs = await environment.runs(job);
  const working = runs.filter(({ Processed_Count }) => Processed_Count !== 0);
  if (working.length !== 1 || working[0]?.Processed_Count !== grants.size)
    breaches.push(`work was done by ${working.length} runs`);
  const failed = ended().filter((line) => !line.includes('Executed (succeeded'));
  if (failed.length > 0) breaches.push(`failed: ${failed.join(' ')}`);
  const held = lines.filter((line) => line.includes(`${job.type} is held by run`)).length;
  if (held + runs.length !== crowd) breaches.push(`${runs.length} runs and ${held} conflicts`);
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
  await start.reset();
  // The instance may be killed within a statement.
  standIn.order({ kind: 'delay', delayMs: 10, times: Infinity });
  await fire(victim, job);
  await until(`statement ${nth} is sent`, () => standIn.statements.length >= nth);
  await delay(later);
  await victim.stop('SIGKILL');
  await until('the dead process’s session has ended', () => standIn.openSessions === 1);
  standIn.clearFaults();
  const breaches = findBreaches(await observe(environment, start));

  standIn.clock.advance(11 * 60_000);
  const answer = await fetch(`${hosts[0]?.url}/api/jobs/${job.type}/runs`, { method: 'POST' });
  if (answer.status !== 200) breaches.push(`the clean run answered ${answer.status}: ${await answer.text()}`);
  breaches.push(...findBreachesAtEnd(await observe(environment, start)), ...findRepeated(maxConcurrentSends));
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
