/** The invariants under any fault. */
import type { Row } from '../../src/database/session';
import type { Job } from '../../src/jobs/catalogue';
import type { TestEnvironment } from '../support/environment';

/** A revocation or a reminder that the rules of the jobs say is due for a while. */
export interface Due {
  readonly endsAt: Date;
  /** A row dated then or later settles it. */
  readonly since: Date;
  readonly from: Date;
  /** Absent while it is due. */
  readonly until?: Date;
}

/** A grant, and what is due for it by the rules of the jobs, independent of the product's SQL. */
export interface KnownGrant {
  readonly id: number | string;
  readonly requestNumber: string;
  readonly dues: readonly Due[];
  /** Due, but no message can go to its address. */
  readonly undeliverable?: boolean;
  /** Nothing can be recorded for it any more. */
  readonly deleted?: boolean;
  /** How often its reminder was sent by hand. */
  readonly byHand?: number;
  /** The result of one of those is unknown, and no run records it. */
  readonly unsettled?: boolean;
}

/** One job, and all grants of its platform. */
export interface Subject {
  readonly job: Job;
  readonly grants: ReadonlyMap<unknown, KnownGrant>;
  /** Rows in the job's table from before. */
  readonly earlier?: number;
  /** A process died: a message that it had not recorded is recorded only if it is still due in the next run. */
  readonly died?: boolean;
}

/** Who wrote the rows from before. */
export const earlierWriter = 'earlier';

/** A DATETIME has steps of 1/300 s. In ms. */
const toleranceMs = 10;

export interface Observation {
  readonly subject: Subject;
  /** In the order in which they took the lock. */
  readonly runs: readonly Row[];
  /** The rows that are not from before, by request. */
  readonly written: ReadonlyMap<unknown, readonly Row[]>;
  /** The operation ids of the accepted messages (that the service has not failed), by the requests in them. */
  readonly accepted: ReadonlyMap<unknown, readonly string[]>;
}

/** @throws Error if a row from before is gone */
export async function observe(environment: TestEnvironment, subject: Subject): Promise<Observation> {
  const { job, grants, earlier = 0 } = subject;
  const { table, at, by } = job.writes;
  const runs = await environment.query(
    `SELECT * FROM dbo.JobRun WHERE Job_Type = '${job.type}' ORDER BY Id;`,
  );
  const rows = await environment.query(
    `SELECT ${job.platform.requestColumn} AS Request, ${at} AS At, ${by} AS WrittenBy FROM ${table} ORDER BY Id;`,
  );
  const written = rows.filter(({ WrittenBy }) => WrittenBy !== earlierWriter);
  if (rows.length - written.length !== earlier) throw new Error('Rows from before were changed');

  const ids = new Map([...grants.values()].map(({ id, requestNumber }) => [requestNumber, id]));
  const accepted = new Map<unknown, string[]>();
  for (const { status, plainText = '', operationId } of environment.email.messages)
    for (const [, number = ''] of plainText.matchAll(/\brequest: ([^,\n]+)/gi)) {
      const id = ids.get(number) ?? number;
      if (status !== 'Failed') accepted.set(id, [...(accepted.get(id) ?? []), operationId]);
    }
  return { subject, runs, written: Map.groupBy(written, ({ Request }) => Request), accepted };
}

/**
 * Breaches of the invariants of every moment, in words:
 * - at most one run of a type is in progress, and no two runs overlap (oneRunInProgress in model/);
 * - the counts of the runs are the number of rows that they wrote (countIsRows);
 * - a revocation was due when it was written: its grant had expired and had none for that end (oneRevocation);
 * - a reminder is in one accepted message at most, and each row is for an accepted message (recordedIsAccepted,
 *   recordedOnce).
 */
export function findBreaches({ subject, runs, written, accepted }: Observation): string[] {
  const { job, grants } = subject;
  const breaches = findOverlaps(runs);
  const processed = runs.reduce((sum, run) => sum + ((run.Processed_Count as number | null) ?? 0), 0);
  const rows = [...written.values()].flat().filter(({ WrittenBy }) => WrittenBy === job.type);
  if (processed !== rows.length)
    breaches.push(`Processed_Count is ${processed}, rows written ${rows.length}`);

  for (const id of new Set([...written.keys(), ...accepted.keys()])) {
    const grant = grants.get(id);
    const newRows = written.get(id) ?? [];
    if (job.kind === 'revocation') {
      breaches.push(...findUndue(grant?.dues ?? [], newRows).map((breach) => `${String(id)} ${breach}`));
      continue;
    }
    const messages = accepted.get(id)?.length ?? 0;
    const reminders = new Set(grant?.dues.map(({ endsAt, since }) => `${+endsAt} ${+since}`)).size;
    const most = reminders + (grant?.byHand ?? 0);
    if (messages > most || newRows.length > messages)
      breaches.push(`${String(id)}: ${most} due, ${messages} accepted, ${newRows.length} recorded`);
  }
  return breaches;
}

function findOverlaps(runs: readonly Row[]): string[] {
  const inProgress = runs.filter(({ Status }) => Status === 'InProgress').length;
  const overlapping = runs.filter(({ Completed_At }, index) => {
    const next = runs[index + 1];
    return next && (Completed_At === null || Number(Completed_At) > Number(next.Started_At));
  });
  return [
    ...(inProgress > 1 ? [`${inProgress} runs in progress`] : []),
    ...overlapping.map(({ Job_Id }) => `run ${String(Job_Id)} had not ended when the next one started`),
  ];
}

/** Revocations of a grant that were not due when they were written. */
function findUndue(dues: readonly Due[], rows: readonly Row[]): string[] {
  const times = rows.map(({ At }) => Number(At));
  return times.flatMap((at, index) => {
    const open = dues.filter(
      ({ from, until = Infinity }) => +from - toleranceMs <= at && at <= +until + toleranceMs,
    );
    if (open.length === 0) return `has a row of ${new Date(at).toISOString()}, when it was not due`;
    const isSettled = ({ since }: Due) => times.slice(0, index).some((earlier) => earlier >= +since);
    return open.every(isSettled) ? `has ${index + 1} rows, the last for an end that had one` : [];
  });
}

/**
 * Breaches after a clean run. In addition no run is in progress, what is due has its row, and every accepted message is
 * recorded (acceptedIsRecorded).
 * @param looked the time of the clean run; what became due later is for the next one
 */
export function findBreachesAtEnd(observation: Observation, looked?: Date): string[] {
  const { subject, runs, written } = observation;
  const unended = runs.filter(({ Status, Completed_At }) => Status === 'InProgress' || Completed_At === null);
  const missing = [...subject.grants.values()].filter(({ id, dues }) =>
    dues.some(
      ({ since, from, until }) =>
        until === undefined &&
        !(looked && from > looked) &&
        !written.get(id)?.some(({ At }) => Number(At) >= +since),
    ),
  );
  return [
    ...findBreaches(observation),
    ...unended.map(({ Job_Id, Status }) => `run ${String(Job_Id)} is ${String(Status)}`),
    ...missing.map(({ id }) => `${id} is due and has no row`),
    ...findUnrecorded(observation),
  ];
}

/**
 * Runs that have changed after their end (endedRunStays and, since a revocation counts in its run's row,
 * lostLockWritesNothing). What a notification has sent is recorded and counted even then.
 * @param ended how each run has ended, by its id: what was seen before is compared, what is new is added
 */
export function findChanged({ subject, runs }: Observation, ended: Map<unknown, string>): string[] {
  return runs.flatMap((run) => {
    if (run.Status === 'InProgress') return [];
    const counted = subject.job.kind === 'revocation';
    const end = JSON.stringify(counted ? run : { ...run, Processed_Count: undefined });
    const before = ended.get(run.Id) ?? end;
    ended.set(run.Id, before);
    return before === end ? [] : `run ${String(run.Job_Id)} has ended as ${before} and is ${end}`;
  });
}

/** Requests whose reminder the service accepted and that have no row. */
export function findUnrecorded({ subject, written, accepted }: Observation): string[] {
  if (subject.died) return [];
  return [...accepted.keys()].flatMap((id) => {
    const { deleted, unsettled } = subject.grants.get(id) ?? {};
    return written.has(id) || deleted || unsettled ? [] : `${String(id)} was accepted and is not recorded`;
  });
}
