import { hasTimeFor, stopReason, stopWords, type StopReason } from '../clock';
import { AbandonedError, SqlError, sqlErrors, StatementTimeoutError } from '../database/errors';
import { nullable, number } from '../database/columns';
import type { Session } from '../database/session';
import { formatCount } from '../format';
import { int, nVarChar, varChar } from '../database/statement';
import { fencedSql, LockLostError } from '../jobRun/lease';
import { maxIds } from '../jobRun/runMessage';
import { backlogColumns, backlogSql, readBacklog, toBacklog, type Backlog } from './backlog';
import { expiredSql, nowSql } from './dueSql';
import { addFailure, failureCause, type Failure, type FailureCause } from './failures';
import { SafetyStopError, type Outcome, type RunContext } from './outcome';
import { requestId } from './grants';
import type { Platform } from './platforms';

/**
 * Grants in one transaction. Each takes a lock on the table and one on its index, and SQL Server escalates to a lock on
 * the whole table at 5,000 locks on one table or index ("Transaction locking and row versioning guide").
 */
const batchSize = 4_000;

/**
 * How long a batch waits for a lock, in ms; the foreign key's check waits for a request that another transaction has
 * changed. After a lock time-out the others wait shorter, so that a run reaches every batch, however many are locked.
 */
const lockTimeoutsMs = { first: 5_000, later: 500 };

/** Time kept for finding what is left, in ms: ranges that could not be written are halved until then. */
const lookingMs = 60_000;

/** Grants were due, and the run stopped before it revoked any. */
export class NothingRevokedError extends Error {
  override readonly name = 'NothingRevokedError';
  constructor(due: number, reason: StopReason) {
    // The answer to the last batch may have been lost by the shutdown.
    const known = reason === 'shutdown' ? 'is known to be' : 'was';
    super(`Nothing ${known} revoked of ${formatCount(due, 'grant')} due: ${stopWords[reason]}.`);
  }
}

/** What a run has found and done so far, on all its sessions. */
interface Progress {
  /** As the run found it first. */
  backlog?: Backlog;
  revoked: number;
}

/**
 * Revokes every grant that is due, in batches within the database. Does not throw.
 * @param ceiling the most grants that may be due; undefined: any number, an operator has confirmed the run
 */
export async function revokeExpired(context: RunContext, ceiling: number | undefined): Promise<Outcome> {
  const { connection, deadline } = context;
  const progress: Progress = { revoked: 0 };
  try {
    // After a transient fault all is done again from its start: what was written is no longer due.
    const { failures, stopped } = await connection.withRetries(deadline, (session) =>
      revokeDue(session, context, ceiling, progress),
    );
    return stopped === undefined
      ? { ...backlogOf(progress), failures }
      : stoppedOutcome(progress, stopped, failures);
  } catch (error) {
    // Work that a shutdown cut short does not fail the run.
    return error instanceof AbandonedError
      ? stoppedOutcome(progress, 'shutdown', [])
      : { ...backlogOf(progress), failures: [], error };
  }
}

function backlogOf({ backlog }: Progress): Pick<Outcome, 'backlog'> {
  return backlog ? { backlog } : {};
}

function stoppedOutcome(progress: Progress, stopped: StopReason, failures: readonly Failure[]): Outcome {
  const due = progress.backlog?.dueCount ?? 0;
  const outcome = { ...backlogOf(progress), failures, stopped };
  return due > 0 && progress.revoked === 0
    ? { ...outcome, error: new NothingRevokedError(due, stopped) }
    : outcome;
}

/** One try on one session: collects what is due, checks the ceiling, writes in ranges, looks what is left. */
async function revokeDue(
  session: Session,
  context: RunContext,
  ceiling: number | undefined,
  progress: Progress,
): Promise<Pick<Outcome, 'failures' | 'stopped'>> {
  const { platform } = context;
  const collected = await collectDue(session, platform);
  const { backlog, withoutId } = collected;
  const again = progress.backlog !== undefined;
  progress.backlog ??= backlog;
  // A batch whose answer was lost may have been written: what it wrote is no longer due.
  progress.revoked = Math.max(progress.revoked, progress.backlog.dueCount - backlog.dueCount);
  await assertWithinCeiling(session, platform, backlog.dueCount, ceiling, again);
  const { written, obstacles, stopped } = await revokeInRanges(session, context, collected, (count) => {
    progress.revoked += count;
  });
  if (stopped !== undefined) return { failures: failuresOfObstacles(obstacles), stopped };
  const allWritten = written === backlog.dueCount && withoutId === 0;
  return { failures: allWritten ? [] : await findLeft(session, platform, obstacles) };
}

interface Collected {
  /** Of the rows with a request id. */
  readonly backlog: Backlog;
  /** Rows without one, which come first. */
  readonly withoutId: number;
}

/**
 * Puts the grants that are due into the session's temporary table #Due, numbered. From there each batch continues where
 * the last ended; a batch that searched the view again would make the run quadratic. In the order of their ids, so
 * that a batch touches neighbouring pages of the tables and indexes.
 *
 * A request that the view yields more than once is collected once for each end, and skipped by the batch: looking for its
 * other rows here would cost a look-up for each grant, which the batch makes anyway.
 */
async function collectDue(session: Session, platform: Platform): Promise<Collected> {
  const [row] = await session.query({
    name: 'collectDueRevocations',
    slow: true,
    columns: { ...backlogColumns, WithoutId: number },
    sql: `DROP TABLE IF EXISTS #Due;
CREATE TABLE #Due (
  Position INT IDENTITY(1, 1) PRIMARY KEY,
  RequestId ${platform.requestIdType} NULL,
  ExpiresAt DATETIME2(7) NOT NULL);
${expiredSql(platform).with}
INSERT INTO #Due (RequestId, ExpiresAt)
SELECT DISTINCT g.RequestId, g.ExpiresAt FROM Candidates AS g WHERE g.CoveredUntil IS NULL
ORDER BY g.RequestId, g.ExpiresAt;
SELECT ${backlogSql('CASE WHEN RequestId IS NOT NULL THEN ExpiresAt END')}, COUNT(*) - COUNT(RequestId) AS WithoutId
FROM #Due;`,
  });
  return { backlog: toBacklog(row), withoutId: row?.WithoutId ?? 0 };
}

/** The ceiling is for what is due: without requests that the view yields more than once, which are collected too. */
async function assertWithinCeiling(
  session: Session,
  platform: Platform,
  collected: number,
  ceiling: number | undefined,
  again: boolean,
): Promise<void> {
  if (ceiling === undefined || collected <= ceiling) return;
  const { dueCount } = await readBacklog(session, expiredSql(platform));
  if (dueCount > ceiling) throw new SafetyStopError(dueCount, ceiling, again);
}

/** Positions of #Due, both included. */
interface Range {
  readonly first: number;
  readonly last: number;
}

/** A range that could not be written, and why. */
interface Obstacle extends Range {
  readonly cause: FailureCause;
}

interface Revoked {
  readonly written: number;
  /** Ranges that were tried and could not be written. */
  readonly obstacles: readonly Obstacle[];
  /** Why it stopped before all ranges were tried. */
  readonly stopped?: StopReason;
}

/**
 * Revokes all ranges of a batch's size, then the halves of those that could not be written, their halves, and so on: a
 * locked row delays only itself, and every range has its turn.
 */
async function revokeInRanges(
  session: Session,
  context: RunContext,
  { backlog, withoutId }: Collected,
  onWritten: (count: number) => void,
): Promise<Revoked> {
  const { deadline } = context;
  const queue: (Range | Obstacle)[] = rangesOf(withoutId + 1, withoutId + backlog.dueCount);
  const left: Obstacle[] = [];
  let written = 0;
  let lockTimeoutMs = lockTimeoutsMs.first;
  for (const [index, range] of queue.entries()) {
    const stopped = stopReason(deadline);
    if (stopped !== undefined)
      return { written, obstacles: [...left, ...queue.slice(index).filter(isObstacle)], stopped };
    if (isObstacle(range) && !hasTimeFor(deadline, lookingMs)) {
      left.push(range);
      continue;
    }
    const result = await revokeRange(session, context, range, lockTimeoutMs);
    if (typeof result === 'number') {
      written += result;
      onWritten(result);
      continue;
    }
    lockTimeoutMs = lockTimeoutsMs.later;
    if (range.first === range.last) left.push({ ...range, cause: result });
    else queue.push(...halvesOf(range).map((half) => ({ ...half, cause: result })));
  }
  return { written, obstacles: left };
}

function rangesOf(first: number, last: number): Range[] {
  return Array.from({ length: Math.ceil((last - first + 1) / batchSize) }, (_, index) => ({
    first: first + index * batchSize,
    last: Math.min(first + (index + 1) * batchSize - 1, last),
  }));
}

function halvesOf({ first, last }: Range): Range[] {
  const middle = Math.floor((first + last) / 2);
  return [
    { first, last: middle },
    { first: middle + 1, last },
  ];
}

function isObstacle(range: Range | Obstacle): range is Obstacle {
  return 'cause' in range;
}

/** @returns the number of rows written, or why none was */
async function revokeRange(
  session: Session,
  context: RunContext,
  range: Range,
  lockTimeoutMs: number,
): Promise<number | FailureCause> {
  try {
    return await revokeBatch(session, context, range, lockTimeoutMs);
  } catch (error) {
    const cause = obstacleOf(error);
    if (cause === undefined) throw error;
    return cause;
  }
}

function obstacleOf(error: unknown): FailureCause | undefined {
  if (error instanceof StatementTimeoutError) return 'timedOut';
  if (!(error instanceof SqlError)) return undefined;
  if (error.number === sqlErrors.lockTimeout) return 'locked';
  // The request was deleted between the view's row and the key's check.
  const isKeyConflict =
    error.number === sqlErrors.constraintConflict && error.message.includes('FOREIGN KEY');
  return isKeyConflict ? 'refused' : undefined;
}

/**
 * Revokes the grants at the given positions of #Due and counts them in the run's row, in one transaction. Each is looked
 * up again and skipped if it was renewed or withdrawn meanwhile, if the view yields it more than once, if an earlier try
 * has revoked it, or if it is no longer due because the database's clock was set back (oneRevocation in model/).
 * @returns the number of rows written
 * @throws LockLostError
 */
async function revokeBatch(
  session: Session,
  { platform, run }: RunContext,
  { first, last }: Range,
  lockTimeoutMs: number,
): Promise<number> {
  const { grantView, revocationTable, requestColumn } = platform;
  const [row] = await session.query({
    name: 'revokeBatch',
    columns: { Written: number },
    sql: fencedSql(`SET LOCK_TIMEOUT ${lockTimeoutMs};
  INSERT INTO ${revocationTable} (${requestColumn}, Revoked_Dt, Revoked_By)
  SELECT d.RequestId, GETUTCDATE(), @revokedBy
  FROM #Due AS d
  WHERE d.Position BETWEEN @first AND @last AND d.ExpiresAt <= ${nowSql}
    AND d.ExpiresAt = (
      SELECT CASE WHEN COUNT(*) = 1 THEN MIN(g.ExpiresAt) END FROM ${grantView} AS g WHERE g.RequestId = d.RequestId)
    AND NOT EXISTS (
      SELECT 1 FROM ${revocationTable} AS r WHERE r.${requestColumn} = d.RequestId AND r.Revoked_Dt >= d.ExpiresAt)`),
    parameters: {
      runId: int(run.id),
      revokedBy: varChar(100, run.jobType),
      first: int(first),
      last: int(last),
    },
  });
  if (!row) throw new LockLostError(run.jobId);
  return row.Written;
}

/** What was collected and is still due, by cause. */
async function findLeft(
  session: Session,
  platform: Platform,
  obstacles: readonly Obstacle[],
): Promise<readonly Failure[]> {
  const rows = await session.query({
    name: 'findLeft',
    slow: true,
    columns: { Cause: failureCause, Total: number, RequestId: nullable(requestId) },
    sql: `${expiredSql(platform).with},
Undone AS (
  SELECT g.RequestId, MAX(g.ViewRows) AS ViewRows, CASE WHEN g.RequestId IS NULL THEN COUNT(*) ELSE 1 END AS Grants
  FROM Candidates AS g
  WHERE g.CoveredUntil IS NULL AND (g.RequestId IS NULL OR g.RequestId IN (SELECT d.RequestId FROM #Due AS d))
  GROUP BY g.RequestId
),
Obstructed AS (
  SELECT d.RequestId, MIN(o.Cause) AS Cause
  FROM OPENJSON(@obstacles) WITH (FirstPosition INT '$.first', LastPosition INT '$.last', Cause VARCHAR(20) '$.cause') AS o
  JOIN #Due AS d ON d.Position BETWEEN o.FirstPosition AND o.LastPosition
  GROUP BY d.RequestId
),
Judged AS (
  SELECT u.RequestId, u.Grants, CASE WHEN u.RequestId IS NULL THEN 'idMissing' WHEN u.ViewRows > 1 THEN 'duplicated'
    ELSE COALESCE(o.Cause, 'endUnstable') END AS Cause
  FROM Undone AS u
  LEFT JOIN Obstructed AS o ON o.RequestId = u.RequestId
),
Ranked AS (
  SELECT j.RequestId, j.Cause, SUM(j.Grants) OVER (PARTITION BY j.Cause) AS Total,
    ROW_NUMBER() OVER (PARTITION BY j.Cause ORDER BY j.RequestId) AS Nth
  FROM Judged AS j
)
SELECT r.Cause, r.Total, r.RequestId FROM Ranked AS r WHERE r.Nth <= @maxIds ORDER BY r.Cause, r.Nth;`,
    parameters: { obstacles: nVarChar('max', JSON.stringify(obstacles)), maxIds: int(maxIds) },
  });
  return [...Map.groupBy(rows, ({ Cause }) => Cause)].map(([cause, left]) => ({
    cause,
    count: left[0]?.Total ?? 0,
    requestIds: left.flatMap(({ RequestId }) => RequestId ?? []),
  }));
}

/** Without asking the database, for which the run has no time. */
function failuresOfObstacles(obstacles: readonly Obstacle[]): readonly Failure[] {
  return obstacles
    .map(({ cause, first, last }) => ({ cause, count: last - first + 1, requestIds: [] }))
    .reduce(addFailure, []);
}
