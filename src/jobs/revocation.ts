import { stopReason, type Deadline } from '../clock';
import type { DatabaseConnection } from '../database/database';
import type { Session } from '../database/session';
import { int, uniqueIdentifier, varChar } from '../database/statement';
import { addProcessedWhileHeld, leaseHeld, LockLostError } from '../jobRun/lease';
import type { JobType } from '../jobRun/jobRun';
import { grantColumns, toGrant, type Grant } from './grants';
import type { Platform } from './platforms';

/**
 * Grants in one transaction. Each takes about two locks (the row and its index entry), and SQL Server escalates to a
 * lock on the whole table at 5,000 locks of one statement ("Transaction locking and row versioning guide").
 */
const batchSize = 2000;

/** More grants are due than the ceiling allows: the run writes nothing. */
export class SafetyStopError extends Error {
  override readonly name = 'SafetyStopError';
  constructor(due: number, ceiling: number) {
    super(
      `Safety stop: ${due} grants are due for revocation, more than REVOCATION_CEILING (${ceiling}). Nothing was revoked. ` +
        'Look at the dry run (?dryRun=true). If the list is right, run the job by hand with ?allowMassRevocation=true; ' +
        'if not, mend the view in sql/06_AccessGrant_views.sql.',
    );
  }
}

/** The grants that have expired and have no revocation at or after their expiry. */
function dueForRevocation({ grantView, revocationTable, requestColumn }: Platform): string {
  return `FROM ${grantView} AS g
WHERE g.ExpiresAt <= GETUTCDATE() AND NOT EXISTS (
  SELECT 1 FROM ${revocationTable} AS r WHERE r.${requestColumn} = g.RequestId AND r.Revoked_Dt >= g.ExpiresAt)`;
}

export interface RevocationRun {
  readonly jobId: string;
  readonly jobType: JobType;
  readonly platform: Platform;
  /** The most grants that may be due; undefined: any number, by an operator's word. */
  readonly ceiling: number | undefined;
}

/**
 * Revokes every grant that is due, in batches within the database.
 * @returns why the run stopped before all was done, or undefined if all is done
 * @throws SafetyStopError, LockLostError, DatabaseError
 */
export async function revokeExpired(
  connection: DatabaseConnection,
  deadline: Deadline,
  run: RevocationRun,
): Promise<string | undefined> {
  // After a transient fault the whole piece is done again: what was written is no longer due.
  return connection.withRetries(deadline, async (session) => {
    const due = await collectDue(session, run.platform);
    if (run.ceiling !== undefined && due > run.ceiling) throw new SafetyStopError(due, run.ceiling);
    for (let first = 1; first <= due; first += batchSize) {
      const reason = stopReason(deadline);
      if (reason) return reason;
      await revokeBatch(session, run, first, first + batchSize - 1);
    }
    return undefined;
  });
}

/**
 * Puts the due grants into the session's temporary table #Due, numbered, and counts them. From there each batch goes
 * on where the last ended; a batch that searched the view again would make the run quadratic. In the order of their
 * ids, so that a batch touches neighbouring pages of the tables and indexes.
 */
async function collectDue(session: Session, platform: Platform): Promise<number> {
  const [row] = await session.query({
    name: 'collectDueRevocations',
    slow: true,
    sql: `DROP TABLE IF EXISTS #Due;
CREATE TABLE #Due (
  Position INT IDENTITY(1, 1) PRIMARY KEY,
  RequestId ${platform.requestIdType} NOT NULL,
  ExpiresAt DATETIME2(7) NOT NULL);
INSERT INTO #Due (RequestId, ExpiresAt)
SELECT DISTINCT g.RequestId, g.ExpiresAt
${dueForRevocation(platform)}
ORDER BY g.RequestId;
SELECT @@ROWCOUNT AS Due;`,
  });
  return row?.Due as number;
}

/**
 * Revokes the grants at the given positions of #Due, unless they were renewed or withdrawn meanwhile, and counts them
 * in the run's row, in one transaction.
 */
async function revokeBatch(
  session: Session,
  { jobId, jobType, platform }: RevocationRun,
  first: number,
  last: number,
): Promise<void> {
  const { grantView, revocationTable, requestColumn } = platform;
  const rows = await session.query({
    name: 'revokeBatch',
    sql: `SET XACT_ABORT ON;
BEGIN TRANSACTION;
INSERT INTO ${revocationTable} (${requestColumn}, Revoked_Dt, Revoked_By)
SELECT d.RequestId, GETUTCDATE(), @revokedBy
FROM #Due AS d
WHERE d.Position BETWEEN @first AND @last
  AND EXISTS (SELECT 1 FROM ${grantView} AS g WHERE g.RequestId = d.RequestId AND g.ExpiresAt = d.ExpiresAt)
  AND ${leaseHeld};
${addProcessedWhileHeld};
COMMIT TRANSACTION;`,
    parameters: {
      jobId: uniqueIdentifier(jobId),
      revokedBy: varChar(100, jobType),
      first: int(first),
      last: int(last),
    },
  });
  if (rows.length === 0) throw new LockLostError(jobId);
}

/** What a revocation run would do now: how many grants are due, and the first of them by expiry. Writes nothing. */
export async function previewRevocations(
  session: Session,
  platform: Platform,
  limit: number,
): Promise<{ count: number; grants: Grant[] }> {
  const [counted] = await session.query({
    name: 'countDueRevocations',
    slow: true,
    sql: `SELECT COUNT(*) AS Due ${dueForRevocation(platform)};`,
    parameters: {},
  });
  const rows = await session.query({
    name: 'previewDueRevocations',
    slow: true,
    sql: `SELECT TOP (@limit) ${grantColumns}
${dueForRevocation(platform)}
ORDER BY g.ExpiresAt, g.RequestId;`,
    parameters: { limit: int(limit) },
  });
  return { count: counted?.Due as number, grants: rows.map(toGrant) };
}
