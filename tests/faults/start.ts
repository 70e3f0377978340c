/** The data with which every run under faults starts. */
import type { Job } from '../../src/jobs/catalogue';
import { day, hour } from '../support/arrange';
import type { GrantSpec, TestEnvironment } from '../support/environment';
import { earlierWriter, type KnownGrant, type Subject } from './invariants';
import { standInOf } from './run';

/** The database's time at the start of each case: noon, so that no lead begins during it. */
export const startsAt = new Date('2030-01-15T12:00:00Z');

export interface Start extends Subject {
  /** Resets the database, the clock, the mailbox and the faults. */
  reset(): Promise<void>;
}

/** A grant to create; times are in ms from the start. */
export interface Plan extends GrantSpec {
  readonly endsIn: number;
  readonly due?: true;
  readonly undeliverable?: true;
  /** It was recorded so many ms before the start. */
  readonly recordedBefore?: number;
}

/** Creates the grants of a job's platform in an environment that has none. */
export async function createStart(
  environment: TestEnvironment,
  job: Job,
  plans: readonly Plan[] = job.kind === 'revocation' ? revocationPlan : notificationPlan,
): Promise<Start> {
  const { email, identity } = environment;
  const standIn = standInOf(environment);
  const { grantView, notificationTable, revocationTable, requestColumn } = job.platform;
  await environment.reset();
  standIn.clock.set(startsAt);
  const ids = await environment.addGrants(job, plans);
  const rows = await environment.query(`SELECT RequestId, RequestNumber FROM ${grantView};`);
  const numbers = new Map(rows.map(({ RequestId, RequestNumber }) => [RequestId, RequestNumber as string]));
  const grants = new Map(
    plans.map(({ endsIn, due, undeliverable = false }, index): [unknown, KnownGrant] => {
      const id = ids[index] ?? '';
      const endsAt = new Date(+startsAt + endsIn);
      const dues = due ? [{ endsAt, since: endsIn < 0 ? endsAt : startsAt, from: startsAt }] : [];
      return [id, { id, requestNumber: numbers.get(id) ?? '', dues, undeliverable }];
    }),
  );

  const { table, at, by, sentTo } = job.writes;
  const columns = [requestColumn, at, by, ...(sentTo ? [sentTo] : [])];
  const earlier = plans.flatMap(({ recordedBefore }, index) => {
    if (recordedBefore === undefined) return [];
    // The form of DATETIME that no language setting changes.
    const date = new Date(+startsAt - recordedBefore).toISOString().slice(0, -1);
    const values = [String(ids[index]), date, earlierWriter, ...(sentTo ? ['x'] : [])];
    return `INSERT INTO ${table} (${columns.join()}) VALUES (${values.map((value) => `'${value}'`).join()});`;
  });
  const tables = ['dbo.JobRun', notificationTable, revocationTable];
  return {
    job,
    grants,
    earlier: earlier.length,
    async reset() {
      standIn.clearFaults();
      identity.clearFaults();
      email.reset();
      standIn.clock.set(startsAt);
      await environment.query([...tables.map((name) => `DELETE FROM ${name};`), ...earlier].join('\n'));
      standIn.clearStatements();
    },
  };
}

/** More than one batch that is due, and grants that are not: renewed, settled, not granted, not expired. */
const revocationPlan: readonly Plan[] = [
  ...Array.from({ length: 4_003 }, (_, index): Plan => ({ endsIn: -hour - index * 60_000, due: true })),
  // Revoked for an earlier end, renewed, and expired again.
  { endsIn: -2 * hour, recordedBefore: 48 * hour, due: true },
  // Just expired.
  { endsIn: -60_000, due: true },
  { endsIn: -3 * hour, recordedBefore: 2 * hour },
  { endsIn: day, recordedBefore: 48 * hour },
  { endsIn: -hour, status: 'Rejected' },
  { endsIn: 2 * hour },
];

/** Recipients in the order in which they are read; the grants of the second span two pages. */
const notificationPlan: readonly Plan[] = [
  { endsIn: day, email: null, undeliverable: true },
  { endsIn: day, email: 'aaron@example.com', due: true },
  ...Array.from({ length: 150 }, (_, index): Plan => ({
    endsIn: day + index * 60_000,
    email: 'ada@example.com',
    due: true,
  })),
  { endsIn: day, email: 'bob@example.com', due: true },
  { endsIn: 6 * day, email: ' BOB@example.com', due: true },
  { endsIn: 13 * day, email: 'bob@example.com', due: true },
  // Reminded for the lead of 14 days; that of 7 days has begun since.
  { endsIn: 6 * day, email: 'carla@example.com', recordedBefore: 5 * day, due: true },
  // Reminded, renewed, and about to end again.
  { endsIn: 3 * day, email: 'dora@example.com', recordedBefore: 90 * day, due: true },
  { endsIn: 2 * day, email: 'nobody', undeliverable: true },
  { endsIn: 5 * day, email: 'reminded@example.com', recordedBefore: day },
  { endsIn: 30 * day, email: 'later@example.com' },
  { endsIn: -hour, email: 'expired@example.com' },
  { endsIn: 2 * day, email: 'rejected@example.com', status: 'Rejected' },
];

/** So many grants that are due, each of another person. */
export function manyDue({ kind }: Job, count: number): Plan[] {
  return Array.from({ length: count }, (_, index) =>
    kind === 'revocation'
      ? { endsIn: -hour - index, due: true }
      : { endsIn: day, email: `person${String(index).padStart(4, '0')}@example.com`, due: true },
  );
}
