import type { Row, Session } from '../database/session';
import { int, uniqueIdentifier, type Parameter } from '../database/statement';
import type { Platform, RequestId } from './platforms';

/** A grant as a site's view yields it. */
export interface Grant {
  readonly requestId: RequestId;
  readonly requestNumber: string;
  readonly requesterName: string;
  /** What the access is to. */
  readonly resource: string;
  /** UTC. */
  readonly expiresAt: Date;
}

/** The columns of a Grant in SQL, from the view under its alias `g`. */
export const grantColumns = 'g.RequestId, g.RequestNumber, g.RequesterName, g.Resource, g.ExpiresAt';

/**
 * Now, to be compared with an end in SQL. As DATETIME2: an end of type DATE would be converted to the type of
 * GETUTCDATE(), DATETIME, which has no days before 1753 (error 242).
 */
export const nowSql = 'CAST(GETUTCDATE() AS DATETIME2(7))';

/** How many rows the view yields for the request of the row `g`. One is the contract; 0: its RequestId is NULL. */
export function viewRowsSql({ grantView }: Platform): string {
  return `(SELECT COUNT(*) FROM ${grantView} AS same WHERE same.RequestId = g.RequestId)`;
}

/**
 * Until when the grant `g` is covered, in SQL: the last end among the grants with its AccessKey, where that is later;
 * NULL if it is not covered. Grouped first, so that a view without an index on its key is read once for all grants, and
 * not at all where the key is a constant NULL. Only the keys that are asked for are grouped. That the last end is still
 * to come is asked of the group, not of each row: most grants have not ended, and to find them by the index on their end
 * and fetch the key of each takes twice as long as reading the table (measured on the stand-in, 1,000,000 grants).
 * @param candidates of which grants, as a condition on the view under its alias `c`
 */
export function coveredUntilSql({ grantView }: Platform, candidates: string): string {
  return `(
    SELECT k.LastEnd
    FROM (
      SELECT o.AccessKey, MAX(o.ExpiresAt) AS LastEnd FROM ${grantView} AS o
      WHERE o.AccessKey IS NOT NULL
        AND o.AccessKey IN (SELECT c.AccessKey FROM ${grantView} AS c WHERE c.AccessKey IS NOT NULL AND ${candidates})
      GROUP BY o.AccessKey
      HAVING MAX(o.ExpiresAt) > ${nowSql}
    ) AS k
    WHERE k.AccessKey = g.AccessKey AND k.LastEnd > g.ExpiresAt)`;
}

/** That the grant `g` has a revocation at or after its end, in SQL. */
export function isRevokedSql({ revocationTable, requestColumn }: Platform): string {
  return `EXISTS (
    SELECT 1 FROM ${revocationTable} AS r
    WHERE r.${requestColumn} = g.RequestId AND r.Revoked_Dt >= CAST(g.ExpiresAt AS DATETIME2(7)))`;
}

/** Which of the grants that are expired or ending are due: not covered by another grant, and once in the view. */
export const isDueSql = 'g.CoveredUntil IS NULL AND g.ViewRows = 1';

/** Grants that a run looks at, of which `isDueSql` says what is due: `FROM … AS g`, and its parameters. */
export interface DueSql {
  readonly sql: string;
  readonly parameters: Readonly<Record<string, Parameter>>;
  /** Since when the grant `g` is due, UTC. */
  readonly dueSince: 'g.ExpiresAt' | 'g.DueSince';
}

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
export async function readBacklog(session: Session, { sql, parameters, dueSince }: DueSql): Promise<Backlog> {
  const [row = {}] = await session.query({
    name: 'readBacklog',
    slow: true,
    sql: `SELECT ${backlogColumns(dueSince)} ${sql} WHERE ${isDueSql};`,
    parameters,
  });
  return toBacklog(row);
}

/** Reads what grantColumns selected. */
export function toGrant(row: Row): Grant {
  return {
    requestId: row.RequestId as RequestId,
    requestNumber: text(row.RequestNumber),
    requesterName: text(row.RequesterName),
    resource: text(row.Resource),
    expiresAt: row.ExpiresAt as Date,
  };
}

/** A site's view may yield numbers or nulls where text is meant. */
export function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** A request's id as a parameter. */
export function requestIdParameter(id: RequestId): Parameter {
  return typeof id === 'number' ? int(id) : uniqueIdentifier(id);
}

/** How many rows the view yields for a request. */
export async function countViewRows(
  session: Session,
  { grantView }: Platform,
  requestId: RequestId,
): Promise<number> {
  const [row] = await session.query({
    name: 'countViewRows',
    sql: `SELECT COUNT(*) AS ViewRows FROM ${grantView} AS g WHERE g.RequestId = @requestId;`,
    parameters: { requestId: requestIdParameter(requestId) },
  });
  return row?.ViewRows as number;
}
