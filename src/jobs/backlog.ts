import { deadlineIn } from '../clock';
import { number, type RowOf } from '../database/columns';
import type { Session } from '../database/session';
import type { Services } from '../services';
import { timeBudgetsMs } from './budgets';
import { isDueKnown, type Job } from './catalogue';
import type { DueSql } from './dueSql';

/** What is due. */
export interface Backlog {
  /** Grants that are due, those included whose message would fail. */
  readonly dueCount: number;
  /** For how many minutes the oldest of them has been due; 0 if none is. */
  readonly oldestDueMinutes: number;
}

export const backlogColumns = { DueCount: number, OldestDueMinutes: number };

/** The same in SQL. `dueSince`: NULL in the rows that are not due. */
export const backlogSql = (dueSince: string): string =>
  `COUNT(${dueSince}) AS DueCount, COALESCE(DATEDIFF(MINUTE, MIN(${dueSince}), GETUTCDATE()), 0) AS OldestDueMinutes`;

export const toBacklog = (row: RowOf<typeof backlogColumns> | undefined): Backlog => ({
  dueCount: row?.DueCount ?? 0,
  oldestDueMinutes: row?.OldestDueMinutes ?? 0,
});

/** What a run would find now. */
export async function readBacklog(session: Session, due: DueSql): Promise<Backlog> {
  const [row] = await session.query({
    name: 'readBacklog',
    columns: backlogColumns,
    slow: true,
    sql: `${due.withDue}
SELECT ${backlogSql('g.DueSince')} FROM Due AS g;`,
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
  return database.withSession('search', deadlineIn(clock, timeBudgetsMs.http), async (session) => {
    const backlogs: (Backlog | null)[] = [];
    for (const job of jobs)
      backlogs.push(isDueKnown(job, settings) ? await readBacklog(session, job.due(settings)) : null);
    return backlogs;
  });
}
