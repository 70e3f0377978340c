/** The data from which every faulty run starts. */
import type { Job } from '../../src/jobs/catalogue';
import type { GrantSpec, TestEnvironment } from '../support/environment';
import type { Subject } from './invariants';

const hour = 60 * 60 * 1000;
const day = 24 * hour;

/** When every case starts, by the database's clock: noon, so that no lead begins while it runs. */
export const startsAt = new Date('2030-01-15T12:00:00Z');

export interface Start extends Subject {
  /** Puts the database, the clock, the mailbox and the faults back to the start. */
  reset(): Promise<void>;
}

/** A grant to create; times are in ms from the start. */
export interface Plan {
  readonly spec: GrantSpec & { readonly endsIn: number };
  readonly due?: boolean;
  readonly undeliverable?: boolean;
  /** A row from an earlier run, so many ms before the start. */
  readonly recordedBefore?: number;
}

/** Creates the grants of a job's platform in an environment that has none. */
export async function createStart(
  environment: TestEnvironment,
  job: Job,
  plans: readonly Plan[] = planFor(job),
): Promise<Start> {
  const { standIn, email, identity } = environment;
  if (!standIn) throw new Error('The faults are those of the stand-in');
  const { grantView, notificationTable, revocationTable, requestColumn } = job.platform;
  await environment.reset();
  standIn.clock.set(startsAt);
  const ids = await environment.addGrants(
    job,
    plans.map(({ spec }) => spec),
  );
  const numbers = new Map(
    (await environment.query(`SELECT RequestId, RequestNumber FROM ${grantView};`)).map((row) => [
      row.RequestId as number | string,
      row.RequestNumber as string,
    ]),
  );
  const planned = plans.flatMap((plan, index) => {
    const id = ids[index];
    return id === undefined ? [] : [{ id, ...plan }];
  });
  const [table, columns] =
    job.kind === 'revocation'
      ? [revocationTable, 'Revoked_Dt, Revoked_By']
      : [notificationTable, 'Notification_Sent_Dt, Notification_Sent_By, Notification_Sent_To'];
  const earlier = planned.flatMap(({ id, recordedBefore }) =>
    recordedBefore === undefined
      ? []
      : `INSERT INTO ${table} (${requestColumn}, ${columns})
VALUES ('${id}', '${timestamp(startsAt.getTime() - recordedBefore)}', 'earlier'${job.kind === 'revocation' ? '' : ", 'x@example.com'"});`,
  );
  const dueFrom = (endsAt: number) => ({
    endsAt: new Date(endsAt),
    since: new Date(Math.min(endsAt, startsAt.getTime())),
    from: startsAt,
  });
  return {
    job,
    grants: new Map(
      planned.map(({ id, spec, due = false, undeliverable = false, recordedBefore }) => [
        id,
        {
          id,
          requestNumber: numbers.get(id) ?? '',
          earlier: recordedBefore === undefined ? 0 : 1,
          dues: due ? [dueFrom(startsAt.getTime() + spec.endsIn)] : [],
          undeliverable,
        },
      ]),
    ),
    async reset() {
      standIn.clearFaults();
      identity.clearFaults();
      email.reset();
      standIn.clock.set(startsAt);
      await environment.query(
        [
          'DELETE FROM dbo.JobRun;',
          `DELETE FROM ${notificationTable};`,
          `DELETE FROM ${revocationTable};`,
          ...earlier,
        ].join('\n'),
      );
      standIn.clearStatements();
    },
  };
}

/** T-SQL's DATETIME as text that no language setting changes. */
function timestamp(time: number): string {
  return new Date(time).toISOString().slice(0, -1);
}

function planFor(job: Job): Plan[] {
  return job.kind === 'revocation' ? revocationPlan() : notificationPlan();
}

/** More than one batch of what is due, and of what is not: renewed, settled, not granted, not expired. */
function revocationPlan(): Plan[] {
  return [
    ...Array.from({ length: 4_003 }, (_, index) => ({ spec: { endsIn: -hour - index * 60_000 }, due: true })),
    // Revoked for an earlier end, renewed, and expired again.
    { spec: { endsIn: -2 * hour }, recordedBefore: 48 * hour, due: true },
    { spec: { endsIn: 0 }, due: true },
    { spec: { endsIn: -3 * hour }, recordedBefore: 2 * hour },
    { spec: { endsIn: day }, recordedBefore: 48 * hour },
    { spec: { endsIn: -hour, status: 'Rejected' } },
    { spec: { endsIn: 2 * hour } },
  ];
}

/**
 * Several recipients, in the order in which they are read; the second has so many grants that they begin on one page
 * and end on the next.
 */
function notificationPlan(): Plan[] {
  const due = (endsIn: number, email: string): Plan => ({ spec: { endsIn, email }, due: true });
  return [
    { spec: { endsIn: day, email: null }, undeliverable: true },
    due(day, 'aaron@example.com'),
    ...Array.from({ length: 150 }, (_, index) => due(day + index * 60_000, 'ada@example.com')),
    due(day, 'bob@example.com'),
    due(6 * day, ' BOB@example.com'),
    due(13 * day, 'bob@example.com'),
    // Reminded when the lead of 14 days began; that of 7 days has begun since.
    { spec: { endsIn: 6 * day, email: 'carla@example.com' }, recordedBefore: 5 * day, due: true },
    // Reminded, renewed, and about to end again.
    { spec: { endsIn: 3 * day, email: 'dora@example.com' }, recordedBefore: 90 * day, due: true },
    { spec: { endsIn: 2 * day, email: 'nobody' }, undeliverable: true },
    { spec: { endsIn: 5 * day, email: 'reminded@example.com' }, recordedBefore: day },
    { spec: { endsIn: 30 * day, email: 'later@example.com' } },
    { spec: { endsIn: -hour, email: 'expired@example.com' } },
    { spec: { endsIn: 2 * day, email: 'rejected@example.com', status: 'Rejected' } },
  ];
}

/** One grant each for so many people, all of them due. */
export function manyDue(job: Job, count: number): Plan[] {
  return Array.from({ length: count }, (_, index) => ({
    spec:
      job.kind === 'revocation'
        ? { endsIn: -hour - index }
        : { endsIn: day, email: `person${String(index).padStart(4, '0')}@example.com` },
    due: true,
  }));
}
