import { extendedForRecord } from '../clock';
import { text } from '../database/columns';
import { SqlError, sqlErrors } from '../database/errors';
import type { Session } from '../database/session';
import { int, nVarChar, varChar } from '../database/statement';
import type { Digest, DueGrant } from '../email/digest';
import { LockLostError, unfencedSql } from '../jobRun/lease';
import { recordingGraceMs } from './budgets';
import type { Failure, FailureCause } from './failures';
import { countViewRows } from './grants';
import type { RunContext } from './outcome';
import type { RequestId } from './platforms';

/**
 * How long a record waits for a lock, in ms; the foreign key's check waits for a request that another transaction has
 * changed. All senders share the session, and a record that fails is only delayed.
 */
const lockTimeoutMs = 1_000;

/** Tries the record's statement without a grant. @throws DatabaseError, LockLostError */
export async function assertCanRecord(context: RunContext): Promise<void> {
  await recordAccepted(context, { recipient: '', grants: [] });
}

/**
 * Records that the message of a digest was accepted, even after the deadline.
 * @returns grants that are not recorded: their request was deleted since it was read, so that there is no row to refer to,
 *   or another transaction has locked one
 * @throws LockLostError once it is recorded, if the run is no longer in progress; DatabaseError
 */
export async function recordAccepted(context: RunContext, digest: Digest): Promise<Failure[]> {
  const { connection, deadline, run, platform } = context;
  const { status, refused, locked } = await connection.withRetries(
    extendedForRecord(deadline, recordingGraceMs),
    (session) => recordEach(session, context, digest),
  );
  for (const { grant, error } of refused) {
    const rows = await connection.withRetries(extendedForRecord(deadline, recordingGraceMs), (session) =>
      countViewRows(session, platform, grant.requestId),
    );
    // The request exists: the constraint is another one, or the ids of the view are not those of the table.
    if (rows > 0) throw error;
  }
  if (status !== undefined && status !== 'InProgress') throw new LockLostError(run.jobId);
  return [
    ...failuresOf(
      'deleted',
      refused.map(({ grant }) => grant),
    ),
    ...failuresOf('recordLocked', locked),
  ];
}

function failuresOf(cause: FailureCause, grants: readonly DueGrant[]): Failure[] {
  const requestIds = grants.map(({ requestId }) => requestId);
  return grants.length === 0 ? [] : [{ cause, count: grants.length, requestIds }];
}

interface Recorded {
  /** The run's; undefined if nothing could be recorded. */
  readonly status: string | undefined;
  /** Grants whose row a constraint refused. */
  readonly refused: readonly { readonly grant: DueGrant; readonly error: SqlError }[];
  /** Grants that were left together, since a lock was not granted in time. */
  readonly locked: readonly DueGrant[];
}

/**
 * Records the grants of a digest, halving it where a constraint refuses one, so that only that one is left out. A locked
 * one leaves them all: the next run then has the same digest, whose operation id says that it was sent.
 */
async function recordEach(
  session: Session,
  context: RunContext,
  { recipient, grants }: Digest,
): Promise<Recorded> {
  try {
    const status = await recordNotification(session, context, { recipient, grants });
    return { status, refused: [], locked: [] };
  } catch (error) {
    const [grant, ...others] = grants;
    if (!(error instanceof SqlError) || !grant) throw error;
    if (error.number === sqlErrors.lockTimeout) return { status: undefined, refused: [], locked: grants };
    if (error.number !== sqlErrors.constraintConflict) throw error;
    if (others.length === 0) return { status: undefined, refused: [{ grant, error }], locked: [] };
  }
  const middle = Math.ceil(grants.length / 2);
  const first = await recordEach(session, context, { recipient, grants: grants.slice(0, middle) });
  const second = await recordEach(session, context, { recipient, grants: grants.slice(middle) });
  return {
    status: second.status ?? first.status,
    refused: [...first.refused, ...second.refused],
    locked: [...first.locked, ...second.locked],
  };
}

/**
 * Records a digest: a row for each grant, and the run's count, in one transaction. It is not fenced, since a message that
 * was sent is always recorded (acceptedIsRecorded in model/); what else the run may do is decided by its lease.
 *
 * Safe to repeat (recordedOnce in model/): a grant that has a row since it has been due has it from an earlier try, or from
 * the run that took over and sent the same message under the same operation id. Two runs that record it in the same
 * moment do not see each other's row: then it is recorded twice (ONE_ROW_FOR_TWO_RUNS).
 * @returns the run's status
 */
async function recordNotification(
  session: Session,
  { run, platform }: RunContext,
  { recipient, grants }: Digest,
): Promise<string | undefined> {
  const { notificationTable, requestColumn, requestIdType } = platform;
  const [row] = await session.query({
    name: 'recordNotification',
    columns: { Status: text },
    sql: unfencedSql(`SET LOCK_TIMEOUT ${lockTimeoutMs};
INSERT INTO ${notificationTable} (${requestColumn}, Notification_Sent_Dt, Notification_Sent_To, Notification_Sent_By)
SELECT j.RequestId, GETUTCDATE(), @sentTo, @sentBy
FROM OPENJSON(@grants) WITH (RequestId ${requestIdType} '$.requestId', DueSince DATETIME2(7) '$.dueSince') AS j
WHERE NOT EXISTS (
  SELECT 1 FROM ${notificationTable} AS n
  WHERE n.${requestColumn} = j.RequestId AND n.Notification_Sent_Dt >= j.DueSince)`),
    parameters: {
      runId: int(run.id),
      grants: nVarChar('max', JSON.stringify(grants.map(toRecord))),
      sentTo: varChar(320, recipient),
      sentBy: varChar(100, run.jobType),
    },
  });
  return row?.Status;
}

/** As OPENJSON reads it; a DATETIME2 has no zone. */
function toRecord({ requestId, dueSince }: DueGrant): { requestId: RequestId; dueSince: string } {
  return { requestId, dueSince: dueSince.toISOString().replace('Z', '') };
}
