import { stopReason } from '../clock';
import { SqlError, sqlErrors } from '../database/errors';
import type { Session } from '../database/session';
import { int, varChar } from '../database/statement';
import { fencedSql, LockLostError } from '../jobRun/lease';
import { backlogColumns, expiredSql, readBacklog, toBacklog, viewRowsSql, type Backlog } from './dueSql';
import { FailureLog, type FailureCause } from './failures';
import type { Outcome, RunContext } from './outcome';
import type { Platform, RequestId } from './platforms';

/**
 * Grants in one transaction. Each takes a lock on the table and one on its index, and SQL Server escalates to a lock on
 * the whole table at 5,000 locks on one table or index ("Transaction locking and row versioning guide").
 */
const batchSize = 4_000;

/**
 * How long a batch waits for a lock, in ms, and a part of one that has waited in vain: the foreign key's check waits for
 * a request that another transaction has changed.
 */
const lockTimeoutsMs = { batch: 5_000, part: 500 };

/** Request ids that are read of grants that were left. */
const maxLeftIds = 20;

/** More grants are due than the ceiling allows: the run writes nothing. */
export class SafetyStopError extends Error {
  override readonly name = 'SafetyStopError';
  constructor(due: number, ceiling: number) {
    super(
      `Safety stop: ${due} grants are due for revocation, more than REVOCATION_CEILING (${ceiling}). Nothing was revoked. ` +
        'Look at the dry run (?dryRun=true). If the list is right, run the job by hand with ?allowMassRevocation=true; ' +
        'if not, correct the view in sql/06_AccessGrant_views.sql.',
    );
  }
}

/**
 * Revokes every grant that is due, in batches within the database. Does not throw.
 * @param ceiling the most grants that may be due; undefined: any number, an operator has confirmed the run
 */
export async function revokeExpired(context: RunContext, ceiling: number | undefined): Promise<Outcome> {
  const outcome: { -readonly [K in keyof Outcome]: Outcome[K] } = { failures: [] };
  try {
    // After a transient fault all is done again from its start: what was written is no longer due.
    await context.connection.withRetries(context.deadline, async (session) => {
      const revocation = new Revocation(session, context);
      const backlog = await revocation.collectDue();
      outcome.backlog ??= backlog;
      await assertWithinCeiling(session, context.platform, backlog.dueCount, ceiling);
      const stopped = await revocation.revokeCollected(backlog.dueCount);
      if (stopped !== undefined) outcome.stopped = stopped;
      else outcome.failures = await revocation.findLeft(backlog.dueCount);
    });
  } catch (error) {
    outcome.error = error;
  }
  return outcome;
}

/** What is collected may hold requests that stand in the view more than once; the ceiling is for what is due. */
async function assertWithinCeiling(
  session: Session,
  platform: Platform,
  collected: number,
  ceiling: number | undefined,
): Promise<void> {
  if (ceiling === undefined || collected <= ceiling) return;
  const { dueCount } = await readBacklog(session, expiredSql(platform));
  if (dueCount > ceiling) throw new SafetyStopError(dueCount, ceiling);
}

/** One pass over what is due, on one session: its temporary table #Due holds what was collected. */
class Revocation {
  #written = 0;
  #rowsWithoutId = 0;

  constructor(
    private readonly session: Session,
    private readonly context: RunContext,
  ) {}

  /**
   * Puts the grants that are due into the session's temporary table #Due, numbered. From there each batch continues where
   * the last ended; a batch that searched the view again would make the run quadratic. In the order of their ids, so
   * that a batch touches neighbouring pages of the tables and indexes.
   *
   * A request that the view yields more than once is collected once for each end, and left alone by the batch: looking for
   * its other rows here would cost a look-up for each grant, which the batch makes anyway.
   * @returns of the rows with a request id
   */
  async collectDue(): Promise<Backlog> {
    const { platform } = this.context;
    const [row = {}] = await this.session.query({
      name: 'collectDueRevocations',
      slow: true,
      sql: `DROP TABLE IF EXISTS #Due;
CREATE TABLE #Due (
  Position INT IDENTITY(1, 1) PRIMARY KEY,
  RequestId ${platform.requestIdType} NULL,
  ExpiresAt DATETIME2(7) NOT NULL,
  Locked INT NOT NULL DEFAULT 0);
${expiredSql(platform).with}
INSERT INTO #Due (RequestId, ExpiresAt)
SELECT DISTINCT g.RequestId, g.ExpiresAt
FROM Candidates AS g
WHERE g.CoveredUntil IS NULL
ORDER BY g.RequestId;
SELECT ${backlogColumns('CASE WHEN RequestId IS NOT NULL THEN ExpiresAt END')}, COUNT(*) - COUNT(RequestId) AS WithoutId
FROM #Due;`,
    });
    this.#rowsWithoutId = row.WithoutId as number;
    return toBacklog(row);
  }

  /** @returns why it stopped before all was done, or undefined if all is done */
  async revokeCollected(due: number): Promise<string | undefined> {
    // NULL sorts first.
    const end = this.#rowsWithoutId + due;
    for (let first = this.#rowsWithoutId + 1; first <= end; first += batchSize) {
      const reason = stopReason(this.context.deadline);
      if (reason) return reason;
      const last = Math.min(first + batchSize - 1, end);
      const stopped = await this.#revokeRange(first, last, lockTimeoutsMs.batch);
      if (stopped) return stopped;
    }
    return undefined;
  }

  /** Revokes a range, halving it where a lock is in the way, so that one locked row costs nobody else. */
  async #revokeRange(first: number, last: number, lockTimeoutMs: number): Promise<string | undefined> {
    try {
      this.#written += await this.#revokeBatch(first, last, lockTimeoutMs);
      return undefined;
    } catch (error) {
      if (!(error instanceof SqlError) || error.number !== sqlErrors.lockTimeout) throw error;
    }
    if (first === last) {
      await this.session.query({
        name: 'markLocked',
        sql: 'UPDATE #Due SET Locked = 1 WHERE Position = @position;',
        parameters: { position: int(first) },
      });
      return undefined;
    }
    const middle = Math.floor((first + last) / 2);
    return (
      stopReason(this.context.deadline) ??
      (await this.#revokeRange(first, middle, lockTimeoutsMs.part)) ??
      (await this.#revokeRange(middle + 1, last, lockTimeoutsMs.part))
    );
  }

  /**
   * Revokes the grants at the given positions of #Due and counts them in the run's row, in one transaction. Each is looked
   * up again: one that was renewed or withdrawn meanwhile, that the view yields more than once, or that an earlier try
   * has revoked is left alone (oneRevocation in model/).
   * @returns the number of rows written
   * @throws LockLostError
   */
  async #revokeBatch(first: number, last: number, lockTimeoutMs: number): Promise<number> {
    const { platform, run } = this.context;
    const { grantView, revocationTable, requestColumn } = platform;
    const [row] = await this.session.query({
      name: 'revokeBatch',
      sql: fencedSql(`SET LOCK_TIMEOUT ${lockTimeoutMs};
  INSERT INTO ${revocationTable} (${requestColumn}, Revoked_Dt, Revoked_By)
  SELECT d.RequestId, GETUTCDATE(), @revokedBy
  FROM #Due AS d
  WHERE d.Position BETWEEN @first AND @last
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
    return row.Written as number;
  }

  /** What was collected and is still due after all batches, by cause. */
  async findLeft(due: number): Promise<FailureLog['list']> {
    const failures = new FailureLog();
    if (this.#written === due && this.#rowsWithoutId === 0) return failures.list;
    const { platform } = this.context;
    const rows = await this.session.query({
      name: 'findLeft',
      slow: true,
      sql: `${expiredSql(platform).with}
SELECT l.Cause, l.Total, l.RequestId
FROM (
  SELECT d.RequestId, d.Cause, SUM(d.DueRows) OVER (PARTITION BY d.Cause) AS Total,
    ROW_NUMBER() OVER (PARTITION BY d.Cause ORDER BY d.Position) AS Nth
  FROM (
    SELECT g.Position, g.RequestId,
      CASE WHEN g.RequestId IS NOT NULL THEN 1 ELSE (
        SELECT COUNT(*) FROM Candidates AS c WHERE c.RequestId IS NULL AND c.CoveredUntil IS NULL) END AS DueRows,
      CASE WHEN g.RequestId IS NULL THEN 'idMissing' WHEN ${viewRowsSql(platform)} > 1 THEN 'duplicated'
        WHEN g.Locked = 1 THEN 'locked' ELSE 'endUnstable' END AS Cause
    FROM (
      SELECT RequestId, MIN(Position) AS Position, MAX(Locked) AS Locked FROM #Due GROUP BY RequestId
    ) AS g
    WHERE g.RequestId IS NULL OR g.RequestId IN (SELECT c.RequestId FROM Candidates AS c WHERE c.CoveredUntil IS NULL)
  ) AS d
) AS l
WHERE l.Nth <= @maxIds
ORDER BY l.Cause, l.Nth;`,
      parameters: { maxIds: int(maxLeftIds) },
    });
    for (const [cause, left] of Map.groupBy(rows, ({ Cause }) => Cause as FailureCause)) {
      const requestIds = left.flatMap(({ RequestId }) => (RequestId as RequestId | null) ?? []);
      failures.add(cause, requestIds, { count: left[0]?.Total as number });
    }
    return failures.list;
  }
}
