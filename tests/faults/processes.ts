/** The built app in several processes against one database. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startHostProcess, type HostProcess } from '../../local/functionsHost/process';
import type { Job } from '../../src/jobs/catalogue';
import { maxConcurrentSends } from '../../src/jobs/notification';
import type { TestEnvironment } from '../support/environment';
import { findBreaches, findBreachesAtEnd, observe } from './invariants';
import { standInOf } from './run';
import { createStart, manyDue, type Start } from './start';

/** How long a round may take, in real time. In ms. */
const longestRound = 30_000;

/** App processes that run against an environment. */
export interface Instances {
  /** What they have logged, in order of arrival. */
  readonly lines: string[];
  start(): Promise<HostProcess>;
  /** Ends all that were started. */
  close(): Promise<void>;
}

export function createInstances({ authority, environment }: TestEnvironment): Instances {
  const directory = mkdtempSync(join(tmpdir(), 'instances-'));
  const authorityFile = join(directory, 'authority.pem');
  writeFileSync(authorityFile, authority);
  const started: HostProcess[] = [];
  const lines: string[] = [];
  return {
    lines,
    async start() {
      const host = await startHostProcess({
        appDirectory: join(__dirname, '../..'),
        port: 0,
        timers: false,
        settings: { ...environment, NODE_EXTRA_CA_CERTS: authorityFile, REVOCATION_CEILING: '10000' },
        onLine: (line) => lines.push(line),
      });
      started.push(host);
      return host;
    },
    async close() {
      await Promise.all(started.map((host) => host.stop('SIGKILL')));
      rmSync(directory, { recursive: true });
    },
  };
}

/** Fires a timer function of an instance, as the platform does. Returns before its run has ended. */
async function fire({ url }: HostProcess, { type }: Job): Promise<void> {
  const answer = await fetch(`${url}/admin/functions/${type}`, { method: 'POST', body: '{}' });
  if (answer.status !== 202) throw new Error(`${type} cannot be fired: ${answer.status}`);
}

/** @throws Error after the longest time of a round */
async function until(what: string, isMet: () => boolean): Promise<void> {
  const giveUpAt = Date.now() + longestRound;
  while (!isMet()) {
    if (Date.now() > giveUpAt) throw new Error(`Waited in vain until ${what}`);
    await delay(2);
  }
}

/** The data of a round: enough that runs at the same time meet. */
export function createRoundStart(environment: TestEnvironment, job: Job): Promise<Start> {
  return createStart(environment, job, manyDue(job, job.kind === 'revocation' ? 4_100 : 40));
}

/**
 * Fires the same timer in all instances at once and waits for all of them. Returns what did not hold, in words:
 * one run does all the work, every other one finds the lock held or nothing to do, and none fails.
 */
export async function fireAtOnce(
  environment: TestEnvironment,
  start: Start,
  { lines }: Instances,
  hosts: readonly HostProcess[],
): Promise<string[]> {
  const { job } = start;
  await start.reset();
  lines.length = 0;
  await Promise.all(hosts.map((host) => fire(host, job)));
  const ended = () => lines.filter((line) => line.includes(`${job.type}: Executed (`));
  await until('all runs have ended', () => ended().length === hosts.length);

  const breaches = findBreachesAtEnd(await observe(environment, start));
  const runs = await environment.runs(job);
  const working = runs.filter(({ Processed_Count }) => Processed_Count !== 0);
  if (working.length !== 1 || working[0]?.Processed_Count !== start.grants.size)
    breaches.push(`work was done by ${working.length} runs`);
  const failed = ended().filter((line) => !line.includes('Executed (succeeded'));
  if (failed.length > 0) breaches.push(`failed: ${failed.join(' ')}`);
  const held = lines.filter((line) => line.includes(`${job.type} is held by run`)).length;
  if (held + runs.length !== hosts.length)
    breaches.push(`${runs.length} runs and ${held} conflicts of ${hosts.length} instances`);
  breaches.push(...findRepeated(environment, 0));
  return breaches;
}

/**
 * Kills an instance as its run sends its nth statement or a moment later; when the dead run is stale, another instance
 * runs. Returns what did not hold, in words. `caught` tells whether the run was in progress.
 */
export async function kill(
  environment: TestEnvironment,
  start: Start,
  { instances, survivor }: { readonly instances: Instances; readonly survivor: HostProcess },
  { nth, later }: { readonly nth: number; readonly later: number },
): Promise<{ breaches: string[]; caught: boolean }> {
  const { job } = start;
  const standIn = standInOf(environment);
  const victim = await instances.start();
  await start.reset();
  // So that the moment may be within a statement.
  standIn.order({ kind: 'delay', delayMs: 10, times: Infinity });
  await fire(victim, job);
  await until(`statement ${nth} is sent`, () => standIn.statements.length >= nth);
  await delay(later);
  await victim.stop('SIGKILL');
  await until('the dead process’s session has ended', () => standIn.openSessions === 1);
  standIn.clearFaults();
  const breaches = findBreaches(await observe(environment, start));
  const caught = (await environment.runs(job)).some(({ Status }) => Status === 'InProgress');

  standIn.clock.advance(11 * 60_000);
  const answer = await fetch(`${survivor.url}/api/jobs/${job.type}/runs`, { method: 'POST' });
  if (answer.status !== 200) breaches.push(`the clean run answered ${answer.status}: ${await answer.text()}`);
  breaches.push(
    ...findBreachesAtEnd(await observe(environment, start)),
    ...findRepeated(environment, maxConcurrentSends),
  );
  return { breaches, caught };
}

/** Messages that went out more than once; at most those in flight when a process died may. */
function findRepeated({ email }: TestEnvironment, most: number): string[] {
  const sent = email.requests.flatMap(({ method, operationId }) => (method === 'POST' ? [operationId] : []));
  const repeated = sent.length - new Set(sent).size;
  return repeated > most ? [`${repeated} messages went out again, at most ${most} were in flight`] : [];
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
