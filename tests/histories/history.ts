/** A history: given a world, events happen to the whole product with its real clients, and the invariants hold. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { EmailRequest } from '../../local/email';
import type { SqlServer } from '../../local/sqlServer';
import { deadlineIn } from '../../src/clock';
import { DatabaseError } from '../../src/database/errors';
import type { Session } from '../../src/database/session';
import { EmailClient } from '../../src/email/emailClient';
import { cancelRun } from '../../src/jobRun/cancel';
import { remind } from '../../src/jobs/reminder';
import { minute } from '../support/arrange';
import { aroundEachStatement, standInOf, type TestEnvironment } from '../support/environment';
import { replaceView, viewColumns } from '../support/views';
import type { Grant } from './grant';
import { findBreaches, findBreachesOfCleanRun, findBreachesOfLoneRun, findBreachesOfRun } from './invariants';
import { run, servicesFor } from './run';
import {
  describeHistory,
  loginFaults,
  mailFaults,
  runFaults,
  type Change,
  type MailStep,
  type RemindStep,
  type RunStep,
  type Step,
} from './steps';
import { createWorld, databaseTime, type Start, type World } from './world';

/** Longer than a lease. In minutes. */
export const longerThanTheLock = 11;

/** While a commit is held back, a run that sends nothing for this real time waits for it. In ms. */
const quietMs = 80;

/** A run, a reminder or a cancel that has begun. */
class Activity {
  /** The names of its statements and sends, in order. */
  readonly steps: string[] = [];
  dead = false;
  /** It has got as far as its fault. */
  isStruck = false;
  /** It was paused, or its commit held back. */
  wasStopped = false;
  /** Its statements and sends wait for this. */
  awake: Promise<unknown> = Promise.resolve();
  #rest = Promise.withResolvers<undefined>();
  readonly #inFlight = new Set<Promise<unknown>>();
  constructor(readonly step: Pick<RunStep, 'at' | 'nth' | 'fault' | 'login'> = {}) {}
  /** Resolves when it has ended or is stopped. */
  get rests(): Promise<undefined> {
    return this.#rest.promise;
  }
  rest(): void {
    this.#rest.resolve(undefined);
  }
  continue(): void {
    this.#rest = Promise.withResolvers();
  }
  async track<T>(statement: Promise<T>): Promise<T> {
    this.#inFlight.add(statement);
    return statement.finally(() => this.#inFlight.delete(statement));
  }
  /** Resolves when the statements that it had sent are answered. */
  async answered(): Promise<void> {
    // Statements that had just passed `awake` are sent first.
    await delay(0);
    await Promise.allSettled(this.#inFlight);
  }
}

/** Ends the activities of a dead process. */
class ProcessDiedError extends Error {
  override readonly name = 'ProcessDiedError';
}

export class History {
  /** Whether all that was to fail has failed before the clean run. */
  isEachFaultMet = false;
  #view: { readonly broken?: true; readonly duplicated?: Grant } = {};
  #contactText = 'Ask the data team.';
  #setBackMs = 0;
  readonly #taken: Step[] = [];
  readonly #faultyCalls = new Set<'send' | 'status'>();
  /** Of each fault, whether it has occurred. */
  readonly #met: (() => boolean)[] = [];
  readonly #breaches: string[] = [];
  readonly #reject = (reason: unknown) => this.#breaches.push(`unhandled rejection: ${String(reason)}`);
  readonly #activities: Activity[] = [];
  readonly #underWay = new Set<Activity>();
  readonly #stopped: { readonly commit: boolean; readonly resume: () => void }[] = [];
  readonly #current = new AsyncLocalStorage<Activity>();
  readonly #spies: jest.SpyInstance[];
  #operator: Promise<Session> | undefined;

  /** To be closed before the next one begins. */
  constructor(private readonly world: World) {
    const before = (name: string, sql = '') => this.#before(this.#current.getStore(), name, sql);
    const statements = aroundEachStatement(async ({ name, sql }, query) => {
      await before(name, sql);
      const activity = this.#current.getStore();
      return activity ? activity.track(query()) : query();
    });
    // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own `this` below
    const { send } = EmailClient.prototype;
    const sends = jest.spyOn(EmailClient.prototype, 'send').mockImplementation(async function (
      this: EmailClient,
      ...message
    ) {
      await before('send');
      return send.apply(this, message);
    });
    this.#spies = [sends, statements];
    process.on('unhandledRejection', this.#reject);
  }

  /** How many runs are paused and commits held back. */
  get stopped(): number {
    return this.#stopped.length;
  }

  /** All other writers wait for it. */
  get commitHeld(): boolean {
    return this.#stopped.some(({ commit }) => commit);
  }

  get viewChanged(): boolean {
    return this.#view.broken !== undefined || this.#view.duplicated !== undefined;
  }

  /** The statements and sends of the first run, by name. */
  get firstSteps(): readonly string[] {
    return this.#activities[0]?.steps ?? [];
  }

  /** The steps taken, as a test. */
  describe(): string {
    return describeHistory(this.world, this.#taken);
  }

  /**
   * Takes a step, and waits until all activities have ended or are stopped.
   * @throws Error that says what does not hold
   */
  async take(step: Step): Promise<void> {
    this.#taken.push(step);
    await this.#take(step);
    await this.#settle();
    await this.#look(this.#underWay.size === 0 ? 'atRest' : 'always');
  }

  /**
   * Resumes what was stopped, clears all faults, waits until a dead run is stale, and makes a clean run.
   * @throws Error that says what does not hold
   */
  async end(): Promise<void> {
    const { world } = this;
    this.isEachFaultMet = this.#met.every((isMet) => isMet());
    await this.#calm();
    const { standIn } = world.environment;
    if (world.unfinished)
      await this.#take(standIn ? { do: 'advance', minutes: longerThanTheLock } : { do: 'cancel' });
    await this.#settle();
    world.ranAt = await databaseTime(world.environment);
    this.#run({ do: 'run' }, true);
    await this.#settle();
    world.unfinished = false;
    await this.#look('atEnd');
  }

  async close(): Promise<void> {
    await this.#calm();
    process.off('unhandledRejection', this.#reject);
    for (const spy of this.#spies) spy.mockRestore();
    (await this.#operator)?.close();
  }

  async #take(step: Step): Promise<void> {
    const { environment, grants } = this.world;
    switch (step.do) {
      case 'run':
        this.#run(step);
        if (step.twice) this.#run({ do: 'run' });
        return;
      case 'remind':
        this.#remind(step);
        return;
      case 'resume':
        this.#stopped.shift()?.resume();
        return;
      case 'cancel':
        return this.#cancel();
      case 'advance':
        standInOf(environment).clock.advance(step.minutes * minute);
        return;
      case 'clockBack':
        this.#setBackMs += step.minutes * minute;
        return;
      case 'changeSetting':
        this.#contactText += ' Or your manager.';
        return;
      case 'mail':
        this.#failMails(step);
        return;
      case 'refuseMailToken':
        this.#refuseToken('communication.azure.com');
        return;
      default: {
        const before = await databaseTime(environment);
        await this.#change(step);
        const after = await databaseTime(environment);
        const { broken, duplicated } = this.#view;
        for (const grant of grants.values()) grant.setState(!broken && duplicated !== grant, before, after);
      }
    }
  }

  async #change(step: Change): Promise<void> {
    const { environment, job } = this.world;
    if (step.do === 'breakView') {
      this.#view = { broken: true };
      await environment.query(`DROP VIEW ${job.platform.requestView};`);
      return;
    }
    if (step.do === 'mendView') {
      this.#view = {};
      return replaceView(environment, job, {});
    }
    const grant = this.#grant(step.grant);
    if (step.do === 'duplicate') {
      this.#view = { duplicated: grant };
      const where = `${viewColumns(job).RequestId} = '${String(grant.id)}'`;
      return replaceView(environment, job, {}, { where });
    }
    if (step.do === 'deleteRequest') {
      grant.deleted ||= await environment.deleteRequest(job, grant.id);
      grant.granted &&= !grant.deleted;
      return;
    }
    if (step.do === 'setEnd') {
      // Whole seconds, which every column keeps.
      const seconds = Math.floor((await databaseTime(environment)).getTime() / 1000);
      grant.endsAt = new Date(seconds * 1000 + step.minutes * minute);
    }
    grant.granted = step.do === 'setEnd' && !grant.deleted;
    return environment.changeGrant(job, grant.id, grant);
  }

  #grant(index: number): Grant {
    const grant = [...this.world.grants.values()][index];
    if (!grant) throw new Error(`The world has ${this.world.grants.size} grants`);
    return grant;
  }

  #failMails(step: MailStep): void {
    const { at = 1, on = 'send', recipient } = step;
    const { email } = this.world.environment;
    email.order({ ...step, ...mailFaults[step.fault] });
    const isCall = ({ method, to }: EmailRequest): boolean =>
      on === 'status'
        ? method === 'GET'
        : method === 'POST' && (!recipient || to?.includes(recipient) === true);
    this.#met.push(() => email.requests.filter(isCall).length >= at);
    this.#faultyCalls.add(on);
    // The result of a message stays unknown if the answers to its send and to the look-up after it are both lost.
    if (this.#faultyCalls.size === 2) this.world.losesRecords = true;
  }

  #refuseToken(resource: string): void {
    this.world.environment.identity.order({ kind: 'error', status: 400, resource });
    this.#expectToken(resource);
  }

  #refuseLogin(name: keyof typeof loginFaults): void {
    const resource = 'database.windows.net';
    const fault = loginFaults[name];
    // Each login asks for a token.
    if (!fault) this.#refuseToken(resource);
    else {
      standInOf(this.world.environment).order({ kind: 'refuseLogin', ...fault });
      this.#expectToken(resource);
    }
    if (name === 'refused' || name === 'away') this.world.losesRecords = true;
  }

  #expectToken(resource: string): void {
    const { requests } = this.world.environment.identity;
    const { length: before } = requests;
    this.#met.push(() => requests.slice(before).some((one) => one.resource.includes(resource)));
  }

  #services({ fault }: Pick<RunStep, 'fault'> = {}): ReturnType<typeof servicesFor> {
    return servicesFor(this.world.environment, {
      contactText: this.#contactText,
      setBackMs: () => this.#setBackMs,
      hangs: fault === 'hangs',
    });
  }

  /** @param afterAll faults have ended, and what they left has been mended */
  #run(step: RunStep, afterAll = false): void {
    const { world } = this;
    const activity = new Activity(step);
    const beganAlone = this.#underWay.size === 0 && this.stopped === 0;
    if (step.fault) this.#met.push(() => activity.isStruck);
    else if (step.login) this.#refuseLogin(step.login);
    this.#begin(activity, async () => {
      const services = this.#services(step);
      const startedAt = services.clock.elapsed();
      const result = await run(world.environment, world.job, services);
      if (activity.dead) return;
      const tookMs = services.clock.elapsed() - startedAt;
      const onlyRuns = this.#taken.every(({ do: action }) => action === 'run');
      const alone = beganAlone && this.#activities.at(-1) === activity && !activity.wasStopped;
      const isClean = afterAll || (alone && onlyRuns && this.#met.length === 0);
      this.#breaches.push(
        ...findBreachesOfRun(result, services.telemetry),
        ...(alone ? findBreachesOfLoneRun(world, result, tookMs, onlyRuns) : []),
        ...(isClean ? findBreachesOfCleanRun(world, result) : []),
      );
      world.unfinished ||= result.kind === 'error' || result.kind === 'hanging';
    });
  }

  #remind(step: RemindStep): void {
    const grant = this.#grant(step.grant);
    this.#begin(new Activity(step), async () => {
      const services = this.#services();
      grant.byHand++;
      try {
        const deadline = deadlineIn(services.clock, minute);
        const { kind } = await remind(services, deadline, this.world.job.platform, grant.id);
        if (kind === 'unknown' || kind === 'unrecorded') grant.unsettled = true;
      } catch (error) {
        if (!(error instanceof DatabaseError)) throw error;
      }
    });
  }

  async #cancel(): Promise<void> {
    const { environment, job } = this.world;
    const [active] = await environment.query(
      `SELECT Job_Id FROM dbo.JobRun WHERE Job_Type = '${job.type}' AND Status = 'InProgress';`,
    );
    if (!active) return;
    // It may wait for a commit: not on the environment's session.
    const operator = await (this.#operator ??= environment.openSession());
    this.#begin(new Activity(), () => cancelRun(operator, job.type, active.Job_Id as string, false));
  }

  #begin(activity: Activity, work: () => Promise<unknown>): void {
    this.#activities.push(activity);
    this.#underWay.add(activity);
    void this.#current
      .run(activity, work)
      .catch((error: unknown) => this.#breaches.push(`failed with ${String(error)}`))
      .finally(() => {
        this.#underWay.delete(activity);
        activity.rest();
      });
  }

  /** Before a statement of an activity, or before it sends a message. */
  async #before(activity: Activity | undefined, name: string, sql: string): Promise<void> {
    if (!activity) return;
    await activity.awake;
    if (activity.dead) throw new ProcessDiedError();
    activity.steps.push(name);
    const { at, nth } = activity.step;
    const isHit = name === at && activity.steps.filter((step) => step === name).length === nth;
    if (isHit) await this.#strike(activity, sql);
  }

  async #strike(activity: Activity, sql: string): Promise<void> {
    const { fault: name, login } = activity.step;
    if (!name) return;
    activity.isStruck = true;
    if (login) this.#refuseLogin(login);
    if (name === 'paused') {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      activity.awake = promise;
      await activity.answered();
      this.#stop(activity, false, () => resolve(undefined));
      activity.rest();
      await promise;
      return;
    }
    if (name === 'died' || name === 'diedAfter' || name === 'diedCommitting') {
      activity.dead = true;
      this.world.unfinished = true;
      this.world.losesRecords = true;
    }
    // The next run makes up for it.
    if (name === 'locked') this.world.losesRecords = true;
    const fault = runFaults[name];
    if (!fault) throw new ProcessDiedError();
    const standIn = standInOf(this.world.environment);
    // Other statements must not meet the fault.
    const match = new RegExp(sql.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
    if (fault.kind !== 'holdCommit') {
      standIn.order({ ...fault, match });
      return;
    }
    const commit = standIn.order({ ...fault, match });
    void commit.held.then(() => {
      this.#stop(activity, true, () => commit.release());
      // Without its connection it goes on until it waits for the commit.
      if (!('drop' in fault)) activity.rest();
    });
  }

  #stop(activity: Activity, commit: boolean, release: () => void): void {
    activity.wasStopped = true;
    const resume = (): void => {
      activity.continue();
      release();
    };
    this.#stopped.push({ commit, resume });
  }

  /** Waits until all activities have ended, are stopped, or wait for a commit that is held back. */
  async #settle(): Promise<void> {
    if (this.#underWay.size === 0) return;
    const { standIn } = this.world.environment;
    let received = standIn?.statements.length;
    for (;;) {
      const rested = Promise.all([...this.#underWay].map(({ rests }) => rests)).then(() => true);
      if (await Promise.race([rested, delay(quietMs, false)])) break;
      const sent = standIn?.statements.length;
      if (this.commitHeld && sent === received) return;
      received = sent;
    }
    if (standIn && this.#underWay.size === 0 && !this.commitHeld) await this.#expectQuiet(standIn);
  }

  /** What has ended leaves no session and does nothing more. */
  async #expectQuiet(standIn: SqlServer): Promise<void> {
    const { requests } = this.world.environment.email;
    const { length: calls } = requests;
    const { length: statements } = standIn.statements;
    const own = this.#operator ? 2 : 1;
    for (let waited = 0; standIn.openSessions > own && waited < 10_000; waited += 10) await delay(10);
    if (standIn.openSessions > own) this.#breaches.push(`${standIn.openSessions - own} sessions stay open`);
    await delay(5);
    if (requests.length !== calls || standIn.statements.length !== statements)
      this.#breaches.push('a run went on after its end');
  }

  /** Lets all activities end, and mends the view. */
  async #calm(): Promise<void> {
    const { standIn, email, identity } = this.world.environment;
    for (const server of [standIn, email, identity]) server?.clearFaults();
    while (this.#underWay.size > 0 || this.stopped > 0) {
      for (const { resume } of this.#stopped.splice(0)) resume();
      await this.#settle();
    }
    if (this.viewChanged) await this.#take({ do: 'mendView' });
  }

  async #look(when: Parameters<typeof findBreaches>[1]): Promise<void> {
    this.#breaches.push(...(await findBreaches(this.world, when)));
    if (this.#breaches.length > 0) throw new Error(this.#breaches.slice(0, 4).join('\n'));
  }
}

/**
 * Lets a history begin, happen and end with a clean run.
 * @throws Error that says what does not hold, and how to play it again
 */
export async function complete(
  environment: TestEnvironment,
  start: Start,
  happen: (history: History) => Promise<void>,
): Promise<History> {
  const history = new History(await createWorld(environment, start));
  try {
    await happen(history);
    await history.end();
    return history;
  } catch (error) {
    throw new Error(`${String(error)}\n${history.describe()}`, { cause: error });
  } finally {
    await history.close();
  }
}

/** Plays the steps and, at their end, a clean run. Throws like `complete`. */
export const play = (environment: TestEnvironment, start: Start, steps: readonly Step[]): Promise<History> =>
  complete(environment, start, async (history) => {
    for (const step of steps) await history.take(step);
  });
