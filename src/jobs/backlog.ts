import { deadlineIn } from '../clock';
import type { Row, Session } from '../database/session';
import type { Services } from '../services';
import { timeBudgetsMs } from './budgets';
import { isDueKnown, type Job } from './catalogue';
import type { DueSql } from './dueSql';

/** What waits for a run. */
export interface Backlog {
  /** Grants that are due, those included whose message would fail. */
  readonly dueCount: number;
  /** For how many minutes the oldest of them has been due; 0 if none is. */
  readonly oldestDueMinutes: number;
}

/** The columns of a Backlog in SQL. `dueSince`: NULL in the rows that are not due. */
export const backlogColumns = (dueSince: string): string =>
  `COUNT(${dueSince}) AS DueCount, COALESCE(DATEDIFF(MINUTE, MIN(${dueSince}), GETUTCDATE()), 0) AS OldestDueMinutes`;

/** Reads what backlogColumns selected. */
export const toBacklog = (row: Row): Backlog => ({
  dueCount: row.DueCount as number,
  oldestDueMinutes: row.OldestDueMinutes as number,
});

/** What a run would find now. */
export async function readBacklog(session: Session, due: DueSql): Promise<Backlog> {
  const [row = {}] = await session.query({
    name: 'readBacklog',
    slow: true,
    sql: `${due.withDue}
SELECT ${backlogColumns('g.DueSince')} FROM Due AS g;`,
    parameters: due.parameters,
  });
  return toBacklog(row);
}

/**
 * What runs of the jobs would find now, in the order of the jobs; null where a wrong setting leaves it unknown. Writes
 * nothing and takes no lock.
 */
export async function readBacklogs(
  { database, settings, clock }: Services,
  jobs: readonly Job[],
): Promise<(Backlog | null)[]> {
  return database.connect('search', (connection) =>
    connection.withRetries(deadlineIn(clock, timeBudgetsMs.http), async (session) => {
      const backlogs: (Backlog | null)[] = [];
      for (const job of jobs)
        backlogs.push(isDueKnown(job, settings) ? await readBacklog(session, job.due(settings)) : null);
      return backlogs;
    }),
  );
}
