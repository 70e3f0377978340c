/** What must hold whatever fails. */
import type { Row } from '../../src/database/session';
import type { Job } from '../../src/jobs/catalogue';
import type { TestEnvironment } from '../support/environment';

/** Something to do for a grant, a revocation or a reminder, that the rules of the jobs say is due for a while. */
export interface Due {
  /** The end that it is for. */
  readonly endsAt: Date;
  /** A row dated then or later settles it. */
  readonly since: Date;
  /** It is due from then, whatever rows there are, */
  readonly from: Date;
  /** until then; absent while it is. */
  readonly until?: Date;
}

/** A grant, and what the rules of the jobs say of it: not what the product's own SQL finds. */
export interface KnownGrant {
  readonly id: number | string;
  readonly requestNumber: string;
  /** Rows that the job's table has for it from earlier runs. */
  readonly earlier: number;
  /** What has been due for it so far. */
  readonly dues: readonly Due[];
  /** Notification: due, but no message can go to its address. */
  readonly undeliverable?: boolean;
  /** Its request is deleted: nothing can be recorded for it any more. */
  readonly deleted?: boolean;
  /** Notification: how often its reminder was sent by hand. */
  readonly byHand?: number;
  /** What became of one of these is not known: the service may have it, and no run records it. */
  readonly unsettled?: boolean;
}

/** What the invariants are about: one job, and all grants of its platform. */
export interface Subject {
  readonly job: Job;
  readonly grants: ReadonlyMap<KnownGrant['id'], KnownGrant>;
  /** A process died: what it had sent and not recorded is recorded only if it is still due in the next run. */
  readonly died?: boolean;
}

/** How exactly the time of a change is known, in ms: a DATETIME has steps of 1/300 s. */
const toleranceMs = 10;

/** What was found in one look at the world. */
export interface Observation {
  readonly subject: Subject;
  /** In the order in which they took the lock. */
  readonly runs: readonly Row[];
  /** The rows beyond those of earlier runs, by request. */
  readonly written: ReadonlyMap<KnownGrant['id'], readonly Row[]>;
  /** The operation ids of the accepted messages (that the service has not failed) by the requests that they remind of. */
  readonly accepted: ReadonlyMap<KnownGrant['id'], readonly string[]>;
}

/**
 * Reads all that the invariants are about.
 * @throws Error if a row of an earlier run is gone
 */
export async function observe(environment: TestEnvironment, subject: Subject): Promise<Observation> {
  const { job, grants } = subject;
  const { revocationTable, notificationTable, requestColumn } = job.platform;
  const runs = await environment.query(
    `SELECT * FROM dbo.JobRun WHERE Job_Type = '${job.type}' ORDER BY Id;`,
  );
  const rows = await environment.query(
    job.kind === 'revocation'
      ? `SELECT ${requestColumn} AS Request, Revoked_Dt AS At, Revoked_By AS WrittenBy FROM ${revocationTable} WHERE Revoked_By <> 'earlier' ORDER BY Id;`
      : `SELECT ${requestColumn} AS Request, Notification_Sent_Dt AS At, Notification_Sent_By AS WrittenBy FROM ${notificationTable} WHERE Notification_Sent_By <> 'earlier' ORDER BY Id;`,
  );
  const written = groupBy(rows, ({ Request }) => Request as KnownGrant['id']);
  const untouched = await environment.query(
    `SELECT COUNT(*) AS Rows FROM ${job.kind === 'revocation' ? revocationTable : notificationTable};`,
  );
  const earlier = [...grants.values()].reduce((sum, grant) => sum + grant.earlier, 0);
  if (untouched[0]?.Rows !== rows.length + earlier) throw new Error('Rows of earlier runs were changed');
  return { subject, runs, written, accepted: acceptedReminders(environment, subject) };
}

/**
 * What is broken of that which holds at every moment, in words:
 * - at most one run of a type is in progress, and no two runs overlap (oneRunInProgress in model/);
 * - the counts of the runs are the number of rows that they wrote (countIsRows);
 * - a revocation was due when it was written: its grant had expired and had none for that end (oneRevocation);
 * - a reminder is in one accepted message at most, and each row is for an accepted message (recordedIsAccepted,
 *   recordedOnce).
 */
export function findBreaches({ subject, runs, written, accepted }: Observation): string[] {
  const { job, grants } = subject;
  const breaches: string[] = [];
  const inProgress = runs.filter(({ Status }) => Status === 'InProgress').length;
  if (inProgress > 1) breaches.push(`${inProgress} runs in progress`);
  for (const [index, run] of runs.entries()) {
    const next = runs[index + 1];
    if (next && (run.Completed_At === null || Number(run.Completed_At) > Number(next.Started_At)))
      breaches.push(`run ${String(run.Job_Id)} had not ended when run ${String(next.Job_Id)} started`);
  }
  const processed = runs.reduce((sum, run) => sum + ((run.Processed_Count as number | null) ?? 0), 0);
  const rows = [...written.values()].flat().filter(({ WrittenBy }) => WrittenBy === job.type);
  if (processed !== rows.length)
    breaches.push(`Processed_Count is ${processed}, rows written ${rows.length}`);

  for (const id of new Set([...written.keys(), ...accepted.keys()])) {
    const grant = grants.get(id);
    const newRows = written.get(id) ?? [];
    if (job.kind === 'revocation') breaches.push(...findUndue(id, grant, newRows));
    else {
      const messages = accepted.get(id)?.length ?? 0;
      const reminders = new Set(grant?.dues.map(({ endsAt, since }) => `${+endsAt} ${+since}`)).size;
      const most = reminders + (grant?.byHand ?? 0);
      if (messages > most) breaches.push(`${id} is in ${messages} accepted messages, and ${most} were due`);
      if (newRows.length > messages)
        breaches.push(`${id} has ${newRows.length} rows and is in ${messages} accepted messages`);
    }
  }
  return breaches;
}

/** Revocations that were not due when they were written, in words. */
function findUndue(id: KnownGrant['id'], grant: KnownGrant | undefined, rows: readonly Row[]): string[] {
  const times = rows.map(({ At }) => Number(At));
  return times.flatMap((at, index) => {
    const dues = (grant?.dues ?? []).filter(
      ({ from, until = Infinity }) => +from - toleranceMs <= at && at <= +until + toleranceMs,
    );
    if (dues.length === 0) return `${id} was not due at ${new Date(at).toISOString()} and has a row`;
    const settled = ({ since }: Due) => times.slice(0, index).some((earlier) => earlier >= +since);
    return dues.every(settled) ? `${id} has ${index + 1} rows, the last for an end that had one` : [];
  });
}

/**
 * What is broken of that which holds once a clean run has ended, beside what holds at every moment: no run is in
 * progress, what is due has its row, and every message that was accepted is recorded (acceptedIsRecorded).
 * @param looked when the clean run looked: what became due later is left to the next one
 */
export function findBreachesAtEnd(observation: Observation, looked?: Date): string[] {
  const { subject, runs, written } = observation;
  const breaches = findBreaches(observation);
  for (const run of runs)
    if (run.Status === 'InProgress' || run.Completed_At === null)
      breaches.push(`run ${String(run.Job_Id)} is ${String(run.Status)}`);
  for (const { id, dues } of subject.grants.values())
    for (const { since, from, until } of dues) {
      if (until !== undefined || (looked && from > looked)) continue;
      if (!written.get(id)?.some(({ At }) => Number(At) >= +since))
        breaches.push(`${id} is due and has no row`);
    }
  return [...breaches, ...findUnrecorded(observation)];
}

/**
 * Runs that have changed after their end, in words (endedRunStays and, since a revocation counts in its run's row,
 * lostLockWritesNothing). What a notification has sent is recorded and counted even then.
 * @param ended how each run has ended, by its id: what was seen before is compared, what is new is added
 */
export function findChanged({ subject, runs }: Observation, ended: Map<unknown, string>): string[] {
  return runs.flatMap((run) => {
    if (run.Status === 'InProgress') return [];
    const end = JSON.stringify(
      subject.job.kind === 'revocation' ? run : { ...run, Processed_Count: undefined },
    );
    const before = ended.get(run.Id) ?? end;
    ended.set(run.Id, before);
    return before === end ? [] : `run ${String(run.Job_Id)} has ended as ${before} and is ${end}`;
  });
}

/** Reminders that the service accepted and that are not recorded, in words. */
export function findUnrecorded({ subject, written, accepted }: Observation): string[] {
  if (subject.died) return [];
  return [...accepted.keys()]
    .filter((id) => {
      const { deleted, unsettled } = subject.grants.get(id) ?? {};
      return !written.has(id) && !deleted && !unsettled;
    })
    .map((id) => `${id} was accepted and is not recorded`);
}

function acceptedReminders({ email }: TestEnvironment, { grants }: Subject): Map<KnownGrant['id'], string[]> {
  const ids = new Map([...grants.values()].map(({ id, requestNumber }) => [requestNumber, id]));
  const reminders = email.messages
    .filter(({ status }) => status !== 'Failed')
    .flatMap(({ plainText = '', operationId }) =>
      [...plainText.matchAll(/\brequest: ([^,\n]+)/gi)].map(([, number = '']) => ({
        id: ids.get(number) ?? number,
        operationId,
      })),
    );
  return new Map(
    [...groupBy(reminders, ({ id }) => id)].map(([id, found]) => [
      id,
      found.map(({ operationId }) => operationId),
    ]),
  );
}

function groupBy<K, V>(items: readonly V[], keyOf: (item: V) => K): Map<K, V[]> {
  const groups = new Map<K, V[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
