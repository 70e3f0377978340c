import { formatNumber } from '../format';
import type { Deadline, StopReason } from '../clock';
import type { DatabaseConnection } from '../database/database';
import type { ActiveRun } from '../jobRun/jobRun';
import type { Backlog } from './backlog';
import type { Failure } from './failures';
import type { Platform } from './platforms';

/** What a job gets while it holds its lock. */
export interface RunContext {
  readonly run: ActiveRun;
  readonly platform: Platform;
  readonly connection: DatabaseConnection;
  readonly deadline: Deadline;
  /** Logs a warning. */
  readonly log: (message: string) => void;
}

/** Result of a job, beyond the rows that it wrote. */
export interface Outcome {
  /**
   * What was due when the run began; for a revocation this includes requests that the view yields more than once, which it
   * skips. Absent if nothing was counted.
   */
  readonly backlog?: Backlog;
  /** Grants that were due and not done, by cause. */
  readonly failures: readonly Failure[];
  /** Why the run stopped before all was done. */
  readonly stopped?: StopReason;
  /** Why the run failed. */
  readonly error?: unknown;
  /** Notification jobs: grants whose message failed. */
  readonly failedCount?: number;
}

/** More grants are due than the ceiling allows: the run writes nothing more. */
export class SafetyStopError extends Error {
  override readonly name = 'SafetyStopError';
  /** @param again a fault came before, and the run may have revoked some by then: Processed_Count says how many */
  constructor(due: number, ceiling: number, again: boolean) {
    super(
      `Safety stop: ${formatNumber(due)} grants are due for revocation, more than REVOCATION_CEILING (${formatNumber(ceiling)}). ` +
        `Nothing${again ? ' more' : ''} was revoked. ` +
        'Review them in a preview (dry run). If they are right, allow the run by hand; ' +
        'if not, correct the view in sql/06_AccessGrant_views.sql.',
    );
  }
}
