/** The grants with which a history starts, and the database that has them. */
import type { Job } from '../../src/jobs/catalogue';
import { arrange, day, hour, minute } from '../support/arrange';
import type { TestEnvironment } from '../support/environment';
import { Grant, type GrantPlan } from './grant';

export interface Start {
  readonly name: 'few' | 'varied' | 'many';
  readonly job: Job;
  readonly grants: readonly GrantPlan[];
}

/** A job, all grants of its platform, and what runs may have left undone. */
export interface World extends Omit<Start, 'grants'> {
  readonly environment: TestEnvironment;
  readonly grants: ReadonlyMap<unknown, Grant>;
  /** A run may not have finished its row: the next one closes it when it is stale. */
  unfinished: boolean;
  /** A message that was accepted may not be recorded: the next run does that, if it is still due. */
  losesRecords: boolean;
  /** How each run has ended that was seen, by its id. */
  readonly ended: Map<unknown, string>;
  /** The start of the last run; what became due later is for the next one. */
  ranAt?: Date;
}

/** The stand-in's time at the start: noon, so that no lead begins soon after. */
const startsAt = new Date('2030-01-15T12:00:00Z');

/** Puts the grants into a database that has nothing else. */
export async function createWorld(
  environment: TestEnvironment,
  { name, job, grants: plans }: Start,
): Promise<World> {
  const { standIn, email } = environment;
  await environment.reset();
  standIn?.clock.set(startsAt);
  const now = await databaseTime(environment);
  const { add, notified, revoked } = arrange(environment, job);
  const ids = await add(...plans);
  const rows = await environment.query(
    `SELECT RequestId, RequestNumber, ExpiresAt FROM ${job.platform.grantView};`,
  );
  const rowsById = new Map(rows.map((row) => [row.RequestId, row]));
  const grants = new Map<unknown, Grant>();
  for (const [index, plan] of plans.entries()) {
    const { recordedBefore, undeliverable = false, slow, email: recipient } = plan;
    const id = ids[index];
    const row = rowsById.get(id);
    // Without a row it is not granted.
    if (id === undefined || !row) continue;
    const recordedAt = recordedBefore === undefined ? undefined : new Date(+now - recordedBefore);
    const record = job.kind === 'revocation' ? revoked : notified;
    // The form of DATETIME that no language setting changes.
    if (recordedAt) await record(id, `'${recordedAt.toISOString().slice(0, -1)}'`);
    if (slow) email.order({ kind: 'outcome', recipient: recipient ?? '', runningReads: 2 });
    const { RequestNumber, ExpiresAt } = row;
    const grant = new Grant(id, RequestNumber as string, ExpiresAt as Date, recordedAt, undeliverable);
    grant.setState(true, now, now);
    grants.set(id, grant);
  }
  standIn?.clearStatements();
  return { environment, name, job, grants, unfinished: false, losesRecords: false, ended: new Map() };
}

export async function databaseTime({ standIn, query }: TestEnvironment): Promise<Date> {
  if (standIn) return standIn.clock.now();
  const [row] = await query('SELECT SYSUTCDATETIME() AS Now;');
  return row?.Now as Date;
}

/** Three grants, some of them due. */
export const few = (job: Job): Start => ({
  name: 'few',
  job,
  grants: (job.kind === 'revocation' ? [-hour, -2 * hour, hour / 2] : [1.5 * day, 6 * day, 15 * day]).map(
    (endsIn) => ({ endsIn }),
  ),
});

/** Each kind of grant, and so many that are due that a run reads or writes them in two parts. */
export const varied = (job: Job): Start => ({
  name: 'varied',
  job,
  grants: job.kind === 'revocation' ? variedRevocations : variedReminders,
});

/** So many grants that are due, each of another person. */
export const many = (job: Job, count: number): Start => ({
  name: 'many',
  job,
  grants: Array.from({ length: count }, (_, index) =>
    job.kind === 'revocation'
      ? { endsIn: -hour - index }
      : { endsIn: day, email: `person${String(index).padStart(4, '0')}@example.com` },
  ),
});

const variedRevocations: readonly GrantPlan[] = [
  ...Array.from({ length: 4_003 }, (_, index) => ({ endsIn: -hour - index * minute })),
  // Revoked for an earlier end, renewed, and expired again.
  { endsIn: -2 * hour, recordedBefore: 2 * day },
  // Just expired.
  { endsIn: -minute },
  // Not due: revoked, renewed, not granted, not expired.
  { endsIn: -3 * hour, recordedBefore: 2 * hour },
  { endsIn: day, recordedBefore: 2 * day },
  { endsIn: -hour, status: 'Rejected' },
  { endsIn: 2 * hour },
];

/** Recipients in the order in which they are read; the grants of the second span two pages. */
const variedReminders: readonly GrantPlan[] = [
  { endsIn: day, email: null, undeliverable: true },
  { endsIn: day, email: 'aaron@example.com' },
  ...Array.from({ length: 150 }, (_, index) => ({ endsIn: day + index * minute, email: 'ada@example.com' })),
  { endsIn: day, email: 'bob@example.com', slow: true },
  { endsIn: 6 * day, email: ' BOB@example.com' },
  { endsIn: 13 * day, email: 'bob@example.com' },
  // Reminded for the lead of 14 days; that of 7 days has begun since.
  { endsIn: 6 * day, email: 'carla@example.com', recordedBefore: 5 * day },
  // Reminded, renewed, and about to end again.
  { endsIn: 3 * day, email: 'dora@example.com', recordedBefore: 90 * day },
  { endsIn: 2 * day, email: 'nobody', undeliverable: true },
  // Not due: reminded, later, expired, not granted.
  { endsIn: 5 * day, email: 'reminded@example.com', recordedBefore: day },
  { endsIn: 30 * day, email: 'later@example.com' },
  { endsIn: -hour, email: 'expired@example.com' },
  { endsIn: 2 * day, email: 'rejected@example.com', status: 'Rejected' },
];
