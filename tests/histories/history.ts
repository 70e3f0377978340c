/** A history of a job: steps that happen to the whole product with its real clients. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { EmailFault } from '../../local/email';
import type { Fault } from '../../local/sqlServer';
import { deadlineIn } from '../../src/clock';
import { DatabaseError } from '../../src/database/errors';
import type { Session } from '../../src/database/session';
import { EmailClient } from '../../src/email/emailClient';
import { cancelRun } from '../../src/jobRun/cancel';
import type { Job } from '../../src/jobs/catalogue';
import { remind } from '../../src/jobs/reminder';
import {
  findBreaches,
  findBreachesAtEnd,
  findChanged,
  findUnrecorded,
  observe,
  type Observation,
  type Subject,
} from '../faults/invariants';
import { cleanBreaches, run, servicesFor, standInOf } from '../faults/run';
import { startsAt } from '../faults/start';
import { minute } from '../support/arrange';
import { beforeEachStatement, type TestEnvironment } from '../support/environment';
import { replaceView, viewColumns } from '../support/views';
import { HistoryGrant } from './grant';

/** Longer than a lease. In minutes. */
export const longerThanTheLock = 11;

/** While a commit is held back, a run that sends nothing for this real time waits for it. In ms. */
const quietMs = 80;

/** Faults of a run at a statement; before a send, `paused` and `died`. */
export const runFaults = {
  /** Its process sleeps until it is resumed. */
  paused: undefined,
  /** Its process dies before the statement, after it, or while its commit is held back. */
  died: undefined,
  diedAfter: { kind: 'dropAfter' },
  diedCommitting: { kind: 'holdCommit', drop: true },
  /** It loses its connection before the statement, or with the answer. */
  lost: { kind: 'dropBefore' },
  answerLost: { kind: 'dropAfter' },
  deadlock: { kind: 'error', number: 1205 },
  /** It loses its connection, and what was executed is committed while its retry waits for that. */
  committedLate: { kind: 'answerLate', drop: true },
  /** What was executed is committed when it is resumed; until then it waits, or has lost its connection. */
  commitHeld: { kind: 'holdCommit' },
  commitHeldAndLost: { kind: 'holdCommit', drop: true },
} as const satisfies Record<string, Fault | undefined>;

export const mailFaults = {
  rejected: { kind: 'error', status: 400 },
  unavailable: { kind: 'error', status: 500 },
  throttled: { kind: 'error', status: 429, retryAfter: 1 },
  lost: { kind: 'dropBefore' },
  answerLost: { kind: 'dropAfter' },
} as const satisfies Record<string, EmailFault>;

const quotaFault = { kind: 'error', status: 429, retryAfter: 3_600, times: 10 } as const;

interface RunStep {
  readonly do: 'run';
  /** The nth statement of that name, or the nth `send`, meets the fault, if there is one. */
  readonly at?: string;
  readonly nth?: number;
  readonly fault?: keyof typeof runFaults;
  /** Another run begins at the same time. */
  readonly twice?: true;
}

/** An operator sends a grant's reminder by hand. */
interface RemindStep extends Pick<RunStep, 'at' | 'nth'> {
  readonly do: 'remind';
  readonly grant: number;
  readonly fault?: 'paused';
}

/** A change of a grant or of the view by the site. */
type Change =
  /** It ends so many minutes from now. A withdrawn one is granted again. */
  | { readonly do: 'setEnd'; readonly grant: number; readonly minutes: number }
  /** `deleteRequest` does nothing if a row refers to the request; `duplicate`: the view yields the grant twice. */
  | { readonly do: 'withdraw' | 'deleteRequest' | 'duplicate'; readonly grant: number }
  | { readonly do: 'breakView' }
  | { readonly do: 'mendView' };

export type Step =
  | RunStep
  | RemindStep
  | Change
  /** The first that was paused or held back continues. */
  | { readonly do: 'resume' }
  | { readonly do: 'cancel' }
  /** Mails have another text from then on. */
  | { readonly do: 'changeSetting' }
  /** Time passes, or the app's clock is set back. */
  | { readonly do: 'advance' | 'clockBack'; readonly minutes: number }
  | { readonly do: 'mails'; readonly fault: keyof typeof mailFaults; readonly times: number }
  /** The service accepts so many messages, then throttles some for an hour. */
  | { readonly do: 'quota'; readonly sends: number };

/** When the grants of a history end, in minutes from its start. */
const ends = { revocation: [-60, -120, 30], notification: [1.5 * 1440, 6 * 1440, 15 * 1440] } as const;

/** A run, a reminder or a cancel that has begun. */
class Activity {
  /** The names of its statements and sends, in order. */
  readonly steps: string[] = [];
  dead = false;
  /** Its statements and sends wait for this. */
  awake: Promise<unknown> = Promise.resolve();
  #rest = Promise.withResolvers<undefined>();
  constructor(readonly step: Pick<RunStep, 'at' | 'nth' | 'fault'> = {}) {}
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
}

/** Ends the activities of a dead process. */
class ProcessDiedError extends Error {
  override readonly name = 'ProcessDiedError';
}

export class History implements Subject {
  readonly grants = new Map<unknown, HistoryGrant>();
  died = false;
  #view: { readonly broken?: true; readonly duplicated?: HistoryGrant } = {};
  #contactText = 'Ask the data team.';
  #setBackMs = 0;
  readonly #breaches: string[] = [];
  readonly #ended = new Map<unknown, string>();
  readonly #activities: Activity[] = [];
  readonly #underWay = new Set<Activity>();
  readonly #stopped: { readonly commit: boolean; readonly resume: () => void }[] = [];
  readonly #current = new AsyncLocalStorage<Activity>();
  readonly #spies: jest.SpyInstance[];
  #operator: Promise<Session> | undefined;

  private constructor(
    private readonly environment: TestEnvironment,
    readonly job: Job,
  ) {
    const before = (name: string, sql = '') => this.#before(this.#current.getStore(), name, sql);
    // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own `this` below
    const { send } = EmailClient.prototype;
    const sends = jest.spyOn(EmailClient.prototype, 'send').mockImplementation(async function (
      this: EmailClient,
      ...message
    ) {
      await before('send');
      return send.apply(this, message);
    });
    this.#spies = [sends, beforeEachStatement(({ name, sql }) => before(name, sql))];
  }

  /** Begins with a few grants, some of them due. To be closed before the next one begins. */
  static async begin(environment: TestEnvironment, job: Job): Promise<History> {
    const history = new History(environment, job);
    await environment.reset();
    environment.standIn?.clock.set(startsAt);
    const now = await history.#now();
    const specs = ends[job.kind].map((endsIn) => ({ endsIn: endsIn * minute }));
    const ids = await environment.addGrants(job, specs);
    const rows = await environment.query(
      `SELECT RequestId, RequestNumber, ExpiresAt FROM ${job.platform.grantView};`,
    );
    for (const id of ids) {
      const row = rows.find(({ RequestId }) => RequestId === id);
      const grant = new HistoryGrant(id, row?.RequestNumber as string, row?.ExpiresAt as Date);
      grant.setState(true, now, now);
      history.grants.set(id, grant);
    }
    return history;
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

  /**
   * Takes a step, and waits until all activities have ended or are stopped.
   * @throws Error that says what does not hold
   */
  async take(step: Step): Promise<void> {
    await this.#take(step);
    await this.#settle();
    const atRest = this.#underWay.size === 0;
    await this.#look((seen) => [
      ...findBreaches(seen),
      ...findChanged(seen, this.#ended),
      ...(atRest ? findUnrecorded(seen) : []),
    ]);
  }

  /**
   * Resumes what was stopped, clears all faults, lets time pass, and makes a clean run.
   * @throws Error that says what does not hold
   */
  async end(): Promise<void> {
    const { environment, job } = this;
    await this.#calm();
    if (environment.standIn) environment.standIn.clock.advance(longerThanTheLock * minute);
    else await this.take({ do: 'cancel' });
    const looked = await this.#now();
    this.#breaches.push(...cleanBreaches(await run(this.#services(), job), this));
    await this.#look((seen) => findBreachesAtEnd(seen, looked));
  }

  async close(): Promise<void> {
    await this.#calm();
    for (const spy of this.#spies) spy.mockRestore();
    (await this.#operator)?.close();
  }

  async #take(step: Step): Promise<void> {
    const { environment } = this;
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
      case 'mails':
        environment.email.order({ ...mailFaults[step.fault], times: step.times });
        return;
      case 'quota':
        environment.email.order({ ...quotaFault, at: step.sends + 1 });
        return;
      default: {
        const before = await this.#now();
        await this.#change(step);
        const after = await this.#now();
        const { broken, duplicated } = this.#view;
        for (const grant of this.grants.values())
          grant.setState(!broken && duplicated !== grant, before, after);
      }
    }
  }

  async #change(step: Change): Promise<void> {
    const { environment, job } = this;
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
      const seconds = Math.floor((await this.#now()).getTime() / 1000);
      grant.endsAt = new Date(seconds * 1000 + step.minutes * minute);
    }
    grant.granted = step.do === 'setEnd' && !grant.deleted;
    return environment.changeGrant(job, grant.id, grant);
  }

  #grant(index: number): HistoryGrant {
    const grant = [...this.grants.values()][index];
    if (!grant) throw new Error(`A history has ${this.grants.size} grants`);
    return grant;
  }

  #services(): ReturnType<typeof servicesFor> {
    const email = { ...this.environment.settings.email, contactText: this.#contactText };
    return servicesFor(this.environment, { settings: { email }, setBackMs: () => this.#setBackMs });
  }

  #run(step: RunStep): void {
    this.#begin(new Activity(step), async () => {
      const result = await run(this.#services(), this.job);
      if (result.kind === 'hanging') this.#breaches.push('a run did not end');
    });
  }

  #remind(step: RemindStep): void {
    const grant = this.#grant(step.grant);
    this.#begin(new Activity(step), async () => {
      const services = this.#services();
      grant.byHand++;
      try {
        const deadline = deadlineIn(services.clock, minute);
        const { kind } = await remind(services, deadline, this.job.platform, grant.id);
        if (kind === 'unknown' || kind === 'unrecorded') grant.unsettled = true;
      } catch (error) {
        if (!(error instanceof DatabaseError)) throw error;
      }
    });
  }

  async #cancel(): Promise<void> {
    const { environment, job } = this;
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
    const { at, nth, fault } = activity.step;
    const isHit = name === at && activity.steps.filter((step) => step === name).length === nth;
    if (isHit && fault) await this.#strike(activity, fault, sql);
  }

  async #strike(activity: Activity, name: keyof typeof runFaults, sql: string): Promise<void> {
    if (name === 'paused') {
      activity.awake = new Promise((resolve) => this.#stop(activity, false, () => resolve(undefined)));
      activity.rest();
      await activity.awake;
      return;
    }
    if (name === 'died' || name === 'diedAfter' || name === 'diedCommitting') {
      activity.dead = true;
      this.died = true;
    }
    const fault = runFaults[name];
    if (!fault) throw new ProcessDiedError();
    const standIn = standInOf(this.environment);
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
    const resume = (): void => {
      activity.continue();
      release();
    };
    this.#stopped.push({ commit, resume });
  }

  /** Waits until all activities have ended, are stopped, or wait for a commit that is held back. */
  async #settle(): Promise<void> {
    let received = this.environment.standIn?.statements.length;
    for (;;) {
      const rested = Promise.all([...this.#underWay].map(({ rests }) => rests)).then(() => true);
      if (await Promise.race([rested, delay(quietMs, false)])) return;
      const sent = this.environment.standIn?.statements.length;
      if (this.commitHeld && sent === received) return;
      received = sent;
    }
  }

  /** Lets all activities end, and mends the view. */
  async #calm(): Promise<void> {
    this.environment.standIn?.clearFaults();
    this.environment.email.clearFaults();
    while (this.#underWay.size > 0 || this.stopped > 0) {
      for (const { resume } of this.#stopped.splice(0)) resume();
      await this.#settle();
    }
    if (this.viewChanged) await this.#take({ do: 'mendView' });
  }

  async #look(find: (seen: Observation) => string[]): Promise<void> {
    const now = await this.#now();
    for (const grant of this.grants.values()) grant.findDues(this.job, now);
    this.#breaches.push(...find(await observe(this.environment, this)));
    if (this.#breaches.length > 0) throw new Error(this.#breaches.join('\n'));
  }

  /** By the database's clock. */
  async #now(): Promise<Date> {
    const { standIn } = this.environment;
    if (standIn) return standIn.clock.now();
    const [row] = await this.environment.query('SELECT SYSUTCDATETIME() AS Now;');
    return row?.Now as Date;
  }
}
