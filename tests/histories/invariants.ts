/** What holds in every history. The names are those of docs/protocol.md, where the rule is there. */
import type { Row } from '../../src/database/session';
import { countOf, failuresOf } from '../../src/jobs/failures';
import type { RecordingTelemetry } from '../support/environment';
import type { Due } from './grant';
import type { Result } from './run';
import { databaseTime, type World } from './world';

/** A DATETIME has steps of 1/300 s. In ms. */
const toleranceMs = 10;

/** An HTTP answer has to come within 230 seconds ("Azure Functions HTTP trigger", limits). In ms. */
const longestRunMs = 230_000;

/** What a database and its mailbox say about a world. */
interface Observation {
  readonly world: World;
  /** In the order in which they took the lock. */
  readonly runs: readonly Row[];
  /** The rows that are not from before, by request. */
  readonly written: ReadonlyMap<unknown, readonly Row[]>;
  /** How many messages were accepted (and not failed since), by the requests in them. */
  readonly accepted: ReadonlyMap<unknown, number>;
}

/** @returns breaches in words */
type Invariant = (seen: Observation) => string[];

/** No run starts before the one before it has ended. */
const oneRunInProgress: Invariant = ({ runs }) =>
  runs
    .filter(({ Completed_At }, index) => {
      const next = runs[index + 1];
      return next && (Completed_At === null || Number(Completed_At) > Number(next.Started_At));
    })
    .map(({ Job_Id }) => `run ${String(Job_Id)} had not ended when the next one started`);

/**
 * A run that has ended does not change. Since a revocation counts in its run's row, this is lostLockWritesNothing, too. What
 * a notification has sent is recorded and counted even then.
 */
const endedRunStays: Invariant = ({ world: { job, ended }, runs }) =>
  runs.flatMap((run) => {
    if (run.Status === 'InProgress') return [];
    const end = JSON.stringify(job.kind === 'revocation' ? run : { ...run, Processed_Count: undefined });
    const before = ended.get(run.Id) ?? end;
    ended.set(run.Id, before);
    return before === end ? [] : `run ${String(run.Job_Id)} has ended as ${before} and is ${end}`;
  });

/** The counts of the runs are the number of rows that they wrote. */
const countIsRows: Invariant = ({ world, runs, written }) => {
  const processed = runs.reduce((sum, run) => sum + ((run.Processed_Count as number | null) ?? 0), 0);
  const rows = [...written.values()].flat().filter(({ WrittenBy }) => WrittenBy === world.job.type);
  return processed === rows.length ? [] : [`Processed_Count is ${processed}, rows written ${rows.length}`];
};

/** A revocation was due when it was written: its grant had expired and had none for that end. */
const oneRevocation: Invariant = ({ world: { job, grants }, written }) =>
  job.kind === 'notification'
    ? []
    : [...written].flatMap(([id, rows]) =>
        findUndue(grants.get(id)?.dues ?? [], rows).map((breach) => `${String(id)} ${breach}`),
      );

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

/** A reminder is in one accepted message at most. */
const sameOperationId: Invariant = ({ world, accepted }) =>
  [...accepted].flatMap(([id, messages]) => {
    const { dues = [], byHand = 0 } = world.grants.get(id) ?? {};
    const due = new Set(dues.map(({ endsAt, since }) => `${+endsAt} ${+since}`)).size + byHand;
    return messages > due ? `${String(id)}: ${due} reminders due, ${messages} messages accepted` : [];
  });

/** Each row is for an accepted message (recordedIsAccepted), and for another one (recordedOnce). */
const recordedIsAccepted: Invariant = ({ world, written, accepted }) =>
  world.job.kind === 'revocation'
    ? []
    : [...written].flatMap(([id, { length }]) => {
        const messages = accepted.get(id) ?? 0;
        return length > messages ? `${String(id)}: ${messages} messages accepted, ${length} recorded` : [];
      });

/** Each run that is over has finished its row. */
const rowIsFinished: Invariant = ({ world, runs }) => {
  if (world.unfinished) return [];
  return runs
    .filter(({ Status, Completed_At }) => Status === 'InProgress' || Completed_At === null)
    .map(({ Job_Id, Status }) => `run ${String(Job_Id)} is ${String(Status)}`);
};

/** Every accepted message is recorded. */
const acceptedIsRecorded: Invariant = ({ world, written, accepted }) => {
  if (world.losesRecords) return [];
  return [...accepted.keys()].flatMap((id) => {
    const { deleted, unsettled } = world.grants.get(id) ?? {};
    return written.has(id) || deleted || unsettled ? [] : `${String(id)} was accepted and is not recorded`;
  });
};

/** What was due for the last run has its row. */
const dueIsWritten: Invariant = ({ world, written }) =>
  [...world.grants.values()]
    .filter(({ id, dues }) =>
      dues.some(
        ({ since, from, until }) =>
          until === undefined &&
          !(world.ranAt && from > world.ranAt) &&
          !written.get(id)?.some(({ At }) => Number(At) >= +since),
      ),
    )
    .map(({ id }) => `${id} is due and has no row`);

const always = {
  oneRunInProgress,
  endedRunStays,
  countIsRows,
  oneRevocation,
  sameOperationId,
  recordedIsAccepted,
};
/** When no run is under way. */
const atRest = { ...always, rowIsFinished, acceptedIsRecorded };
/** After a clean run. */
const atEnd = { ...atRest, dueIsWritten };
const invariants = { always, atRest, atEnd };

/** Breaches of the invariants that hold at that time. */
export async function findBreaches(world: World, when: keyof typeof invariants): Promise<string[]> {
  const seen = await observe(world);
  return Object.entries(invariants[when]).flatMap(([name, invariant]) =>
    invariant(seen).map((breach) => `${name}: ${breach}`),
  );
}

/** @throws Error if a row from before is gone */
export async function observe(world: World): Promise<Observation> {
  const { environment, job } = world;
  const grants = [...world.grants.values()];
  const now = await databaseTime(environment);
  for (const grant of grants) grant.findDues(job, now);
  const { table, at, by } = job.writes;
  const runs = await environment.runs(job);
  const rows = await environment.query(
    `SELECT ${job.platform.requestColumn} AS Request, ${at} AS At, ${by} AS WrittenBy FROM ${table} ORDER BY Id;`,
  );
  const written = rows.filter(({ WrittenBy }) => WrittenBy !== 'earlier');
  const earlier = grants.filter(({ recordedAt }) => recordedAt).length;
  if (rows.length - written.length !== earlier) throw new Error('Rows from before were changed');

  const ids = new Map(grants.map(({ id, requestNumber }) => [requestNumber, id]));
  const accepted = new Map<unknown, number>();
  for (const { status, plainText = '' } of environment.email.messages)
    for (const [, number = ''] of plainText.matchAll(/\brequest: ([^,\n]+)/gi)) {
      const id = ids.get(number) ?? number;
      if (status !== 'Failed') accepted.set(id, (accepted.get(id) ?? 0) + 1);
    }
  return { world, runs: runs.reverse(), written: Map.groupBy(written, ({ Request }) => Request), accepted };
}

/** Breaches by a run that was not killed. */
export function findBreachesOfRun(result: Result, { events, flushes }: RecordingTelemetry): string[] {
  return [
    ...(result.kind === 'hanging' ? ['the run did not end'] : []),
    ...(result.kind === 'finished' && result.run.status === 'InProgress'
      ? ['the run ended and its row is in progress']
      : []),
    ...(events.length === 1 ? [] : [`${events.length} JobRun events`]),
    ...(flushes === 1 ? [] : [`telemetry was flushed ${flushes} times`]),
  ];
}

/**
 * Breaches by a run that met no other activity.
 * @param tookMs by its clock
 * @param countsAll whether only runs and their faults have happened to the world
 */
export function findBreachesOfLoneRun(
  { grants, unfinished }: World,
  result: Result,
  tookMs: number,
  countsAll: boolean,
): string[] {
  const breaches: string[] = [];
  if (tookMs > longestRunMs) breaches.push(`the run took ${Math.round(tookMs / 1000)} s by its clock`);
  if (result.kind === 'held' && !unfinished) breaches.push('nobody else runs, and the lock was held');
  if (!countsAll || result.kind !== 'finished' || result.stoppedEarly) return breaches;
  const { status, failedCount } = result.run;
  const unrecorded = countOf(failuresOf(result.run.facts), 'recordLocked');
  const failed = countUndeliverable(grants) + unrecorded;
  if (status === 'Completed' && (failedCount ?? failed) !== failed)
    breaches.push(`Failed_Count is ${failedCount ?? 'null'}, undeliverable or not recorded are ${failed}`);
  return breaches;
}

/** Breaches by a lone run that meets no fault: it leaves nothing due, and says exactly what it has to (lockCanBeTaken). */
export function findBreachesOfCleanRun({ job, grants }: World, result: Result): string[] {
  if (result.kind === 'error') return [`the clean run was rejected with ${String(result.error)}`];
  if (result.kind !== 'finished') return [`the clean run is ${result.kind}`];
  const undeliverable = countUndeliverable(grants);
  const revocation = job.kind === 'revocation';
  const failures =
    undeliverable > 0 ? String.raw`Failed: (\d with(out an| a malformed) email address(; |\. ))+` : '';
  const safetyLimit = revocation ? ' Run without the safety limit\\.' : '';
  const expected = new RegExp(`^${failures}Started by hand\\.${safetyLimit}$`);
  const { status, failedCount, message } = result.run;
  const asExpected =
    status === 'Completed' &&
    expected.test(message ?? '') &&
    failedCount === (revocation ? null : undeliverable);
  return asExpected
    ? []
    : [`the clean run is ${status}, Failed_Count ${failedCount ?? 'null'}: ${message ?? ''}`];
}

const countUndeliverable = (grants: World['grants']): number =>
  [...grants.values()].filter(({ undeliverable }) => undeliverable).length;
