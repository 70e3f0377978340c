/**
 * One history of a job: what happens, step by step, to the whole product with its real clients, and what the rules of the
 * jobs say is due at each moment.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { EmailFault } from '../../local/email';
import type { Fault } from '../../local/sqlServer';
import { deadlineIn } from '../../src/clock';
import { DatabaseError } from '../../src/database/errors';
import { Session } from '../../src/database/session';
import type { Statement } from '../../src/database/statement';
import { cancelRun } from '../../src/jobRun/cancel';
import type { Job } from '../../src/jobs/catalogue';
import { remind } from '../../src/jobs/reminder';
import { createCredential } from '../../src/services';
import {
  findBreaches,
  findBreachesAtEnd,
  findChanged,
  findUnrecorded,
  observe,
  type Due,
  type KnownGrant,
  type Observation,
  type Subject,
} from '../faults/invariants';
import { cleanBreaches, run, servicesFor, standInOf, WatchedCredential } from '../faults/run';
import { startsAt } from '../faults/start';
import { beforeEachStatement, type TestEnvironment } from '../support/environment';
import { replaceView, viewColumns } from '../support/views';

const minute = 60_000;
const day = 24 * 60 * minute;

/** A run in progress for longer is presumed dead. */
export const longerThanTheLock = 11;

/** While a commit is held back, who sends nothing for so long waits for it, in real time. In ms. */
const quietMs = 80;

/** What can happen to a run at a statement. */
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
  /** It loses its connection, and what was executed is committed as its retry waits for that. */
  committedLate: { kind: 'answerLate', drop: true },
  /** What was executed is committed when it is resumed: till then it waits, or it has lost its connection. */
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

interface RunStep {
  readonly do: 'run';
  /** Its nth statement of that name, if it gets so far, meets the fault. */
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

export type Step =
  | RunStep
  | RemindStep
  /** What was paused or held back first continues. */
  | { readonly do: 'resume' }
  | { readonly do: 'cancel' }
  | { readonly do: 'advance'; readonly minutes: number }
  /** Renews a grant, or shortens it: its end is so many minutes from now. One that was withdrawn is granted again. */
  | { readonly do: 'setEnd'; readonly grant: number; readonly minutes: number }
  | { readonly do: 'withdraw'; readonly grant: number }
  /** Where a row refers to the request, nothing happens. */
  | { readonly do: 'deleteRequest'; readonly grant: number }
  /** Mails look different from then on. */
  | { readonly do: 'changeSetting' }
  /** The app's clock is set back. */
  | { readonly do: 'clockBack'; readonly minutes: number }
  /** The view yields the grant twice. */
  | { readonly do: 'duplicate'; readonly grant: number }
  | { readonly do: 'breakView' }
  | { readonly do: 'mendView' }
  | { readonly do: 'mails'; readonly fault: keyof typeof mailFaults; readonly times: number }
  /** The service takes so many messages, and then refuses some for an hour. */
  | { readonly do: 'quota'; readonly sends: number };

/** When the grants of a history end, in minutes from its start. */
const ends = { revocation: [-60, -120, 30], notification: [1.5 * 1440, 6 * 1440, 15 * 1440] } as const;

/** A run or a cancel that has begun. */
class Activity {
  #rest = Promise.withResolvers<undefined>();
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

class Run extends Activity {
  /** Statements of the name that the fault is for. */
  seen = 0;
  dead = false;
  /** All that it does waits for this. */
  awake: Promise<unknown> = Promise.resolve();
  constructor(readonly step: RunStep | RemindStep) {
    super();
  }
}

/** Ends what a process does that has died. */
class ProcessDiedError extends Error {
  override readonly name = 'ProcessDiedError';
}

export class History implements Subject {
  readonly grants = new Map<KnownGrant['id'], HistoryGrant>();
  died = false;
  #viewBroken = false;
  #duplicated: KnownGrant['id'] | undefined;
  #contactText = 'Ask the data team.';
  #setBackMs = 0;
  readonly #breaches: string[] = [];
  readonly #ended = new Map<unknown, string>();
  readonly #underWay = new Set<Activity>();
  readonly #stopped: { readonly commit: boolean; readonly resume: () => void }[] = [];
  readonly #runs = new AsyncLocalStorage<Run>();
  readonly #spy: jest.SpyInstance;
  #operator: Promise<Session> | undefined;

  private constructor(
    private readonly environment: TestEnvironment,
    readonly job: Job,
  ) {
    this.#spy = beforeEachStatement((statement) => this.#beforeStatement(this.#runs.getStore(), statement));
  }

  /** Begins with a few grants, of which some are due. Close it before the next one begins. */
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

  /** Runs that are paused, and commits that are held back. */
  get stopped(): number {
    return this.#stopped.length;
  }

  /** Whether a commit is held back: whoever else writes waits for it. */
  get commitHeld(): boolean {
    return this.#stopped.some(({ commit }) => commit);
  }

  get viewChanged(): boolean {
    return this.#viewBroken || this.#duplicated !== undefined;
  }

  /**
   * Takes a step, and waits until all that is under way has ended or been stopped.
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
   * All that was stopped continues, every fault ends, time passes, and a clean run follows.
   * @throws Error that says what does not hold
   */
  async end(): Promise<void> {
    const { environment, job } = this;
    await this.#calm();
    if (this.viewChanged) await this.#mendView();
    if (environment.standIn) environment.standIn.clock.advance(longerThanTheLock * minute);
    else await this.take({ do: 'cancel' });
    const looked = await this.#now();
    const result = await run(this.#services(), job);
    this.#breaches.push(...cleanBreaches(result, this));
    await this.#look((seen) => findBreachesAtEnd(seen, looked));
  }

  /** Lets all that is under way end. */
  async close(): Promise<void> {
    await this.#calm();
    this.#spy.mockRestore();
    if (this.viewChanged) await this.#mendView();
    (await this.#operator)?.close();
  }

  async #take(step: Step): Promise<void> {
    const { environment, job } = this;
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
      case 'setEnd': {
        const grant = this.#grant(step.grant);
        // Whole seconds, which every column keeps.
        const seconds = Math.floor((await this.#now()).getTime() / 1000);
        grant.endsAt = new Date(seconds * 1000 + step.minutes * minute);
        grant.granted = !grant.deleted;
        return this.#change(() => environment.changeGrant(job, grant.id, grant));
      }
      case 'withdraw': {
        const grant = this.#grant(step.grant);
        grant.granted = false;
        return this.#change(() => environment.changeGrant(job, grant.id, grant));
      }
      case 'deleteRequest': {
        const grant = this.#grant(step.grant);
        return this.#change(async () => {
          grant.deleted ||= await environment.deleteRequest(job, grant.id);
          grant.granted &&= !grant.deleted;
        });
      }
      case 'changeSetting':
        this.#contactText += ' Or your manager.';
        return;
      case 'clockBack':
        this.#setBackMs += step.minutes * minute;
        return;
      case 'duplicate': {
        const { id } = this.#grant(step.grant);
        const where = `${viewColumns(job).RequestId} = '${String(id)}'`;
        this.#duplicated = id;
        this.#viewBroken = false;
        return this.#change(() => replaceView(environment, job, {}, { where }));
      }
      case 'breakView':
        this.#viewBroken = true;
        return this.#change(() => environment.query(`DROP VIEW ${job.platform.requestView};`));
      case 'mendView':
        return this.#mendView();
      case 'mails':
        environment.email.order({ ...mailFaults[step.fault], times: step.times });
        return;
      case 'quota':
        environment.email.order({
          kind: 'error',
          status: 429,
          retryAfter: 3_600,
          at: step.sends + 1,
          times: 10,
        });
    }
  }

  #mendView(): Promise<void> {
    this.#viewBroken = false;
    this.#duplicated = undefined;
    return this.#change(() => replaceView(this.environment, this.job, {}));
  }

  /** Carries out a change of grants or of the view, which is at some moment in between. */
  async #change(work: () => Promise<unknown>): Promise<void> {
    const before = await this.#now();
    await work();
    const after = await this.#now();
    for (const grant of this.grants.values())
      grant.setState(!this.#viewBroken && this.#duplicated !== grant.id, before, after);
  }

  #grant(index: number): HistoryGrant {
    const grant = [...this.grants.values()][index];
    if (!grant) throw new Error(`A history has ${this.grants.size} grants`);
    return grant;
  }

  #services(): ReturnType<typeof servicesFor> {
    const { environment } = this;
    const credential = new WatchedCredential(environment.environment);
    const services = servicesFor(environment, credential, { setBackMs: () => this.#setBackMs });
    const email = { ...services.settings.email, contactText: this.#contactText };
    return { ...services, settings: { ...services.settings, email } };
  }

  #run(step: RunStep): void {
    const activity = new Run(step);
    this.#begin(activity, () =>
      this.#runs.run(activity, async () => {
        const result = await run(this.#services(), this.job);
        if (result.kind === 'hanging') this.#breaches.push('a run did not end');
      }),
    );
  }

  #remind(step: RemindStep): void {
    const activity = new Run(step);
    const grant = this.#grant(step.grant);
    this.#begin(activity, () =>
      this.#runs.run(activity, async () => {
        const services = this.#services();
        const { platform } = this.job;
        grant.byHand++;
        try {
          const { kind } = await remind(services, deadlineIn(services.clock, minute), platform, grant.id);
          if (kind === 'unknown' || kind === 'unrecorded') grant.unsettled = true;
        } catch (error) {
          if (!(error instanceof DatabaseError)) throw error;
        }
      }),
    );
  }

  async #cancel(): Promise<void> {
    const { environment, job } = this;
    const [active] = await environment.query(
      `SELECT Job_Id FROM dbo.JobRun WHERE Job_Type = '${job.type}' AND Status = 'InProgress';`,
    );
    if (!active) return;
    // It may wait for a commit, and the environment's session is for looking.
    const operator = await (this.#operator ??= openSession(environment));
    this.#begin(new Activity(), () => cancelRun(operator, job.type, active.Job_Id as string, false));
  }

  #begin(activity: Activity, work: () => Promise<unknown>): void {
    this.#underWay.add(activity);
    void work()
      .catch((error: unknown) => this.#breaches.push(`failed with ${String(error)}`))
      .finally(() => {
        this.#underWay.delete(activity);
        activity.rest();
      });
  }

  async #beforeStatement(activity: Run | undefined, { name, sql }: Statement): Promise<void> {
    if (!activity) return;
    await activity.awake;
    if (activity.dead) throw new ProcessDiedError();
    const { at, nth, fault } = activity.step;
    if (name === at && ++activity.seen === nth && fault) await this.#strike(activity, fault, sql);
  }

  /** Right before a statement of a run is sent. */
  async #strike(activity: Run, name: keyof typeof runFaults, sql: string): Promise<void> {
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
    // Others send statements meanwhile, of which those for looking must not fail.
    const match = new RegExp(sql.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
    if (fault.kind !== 'holdCommit') {
      standIn.order({ ...fault, match });
      return;
    }
    const commit = standIn.order({ ...fault, match });
    void commit.held.then(() => {
      this.#stop(activity, true, () => commit.release());
      // One that has lost its connection goes on, until it waits for the commit.
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

  /** Waits until all that is under way has ended, is stopped, or waits for a commit that is held back. */
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

  /** Lets all that is under way end. */
  async #calm(): Promise<void> {
    this.environment.standIn?.clearFaults();
    this.environment.email.clearFaults();
    while (this.#underWay.size > 0 || this.stopped > 0) {
      for (const { resume } of this.#stopped.splice(0)) resume();
      await this.#settle();
    }
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

/** How long a grant is, or was, as it is. */
interface GrantState {
  readonly endsAt: Date;
  readonly from: Date;
  until?: Date;
}

class HistoryGrant implements KnownGrant {
  readonly earlier = 0;
  byHand = 0;
  unsettled = false;
  granted = true;
  deleted = false;
  dues: readonly Due[] = [];
  /** While it is granted and the view yields it once. */
  readonly #states: GrantState[] = [];

  constructor(
    readonly id: KnownGrant['id'],
    readonly requestNumber: string,
    public endsAt: Date,
  ) {}

  /** Its end, or how the view yields it, has changed between two times. */
  setState(yieldedOnce: boolean, before: Date, after: Date): void {
    const granted = yieldedOnce && this.granted;
    const last = this.#states.at(-1);
    if (last && !last.until) {
      if (granted && last.endsAt === this.endsAt) return;
      last.until = after;
    }
    if (granted) this.#states.push({ endsAt: this.endsAt, from: before });
  }

  /** Finds what has been due until now, by the rules of the jobs. */
  findDues({ kind }: Job, now: Date): void {
    this.dues = this.#states.flatMap((state) => {
      const { endsAt } = state;
      const spans =
        kind === 'revocation'
          ? [{ since: +endsAt, until: Infinity }]
          : leadDays.map((days, index) => ({
              since: leadBegins(endsAt, days),
              until: index === 0 ? +endsAt : leadBegins(endsAt, leadDays[index - 1] ?? 0),
            }));
      return spans.flatMap(({ since, until: spanEnd }) => {
        const from = Math.max(+state.from, since);
        const until = Math.min(+(state.until ?? Infinity), spanEnd);
        if (from > Math.min(until, +now)) return [];
        return {
          endsAt,
          since: new Date(since),
          from: new Date(from),
          ...(until <= +now && { until: new Date(until) }),
        };
      });
    });
  }
}

/** The default of NOTIFICATION_LEAD_DAYS. */
const leadDays = [1, 7, 14];

/** A lead begins at 00:00 UTC of the day that lies so many days before the grant's last day. */
function leadBegins(endsAt: Date, days: number): number {
  return (Math.floor(+endsAt / day) - days) * day;
}

async function openSession({ settings, environment }: TestEnvironment): Promise<Session> {
  return Session.open(settings.database, await createCredential(environment, undefined), 30_000);
}
