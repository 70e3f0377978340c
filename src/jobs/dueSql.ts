/** What is due, in SQL: one definition for runs, previews and backlogs. */
import type { Row, Session } from '../database/session';
import { int, type Parameter } from '../database/statement';
import { maxAddressLength } from '../email/address';
import { grantColumns } from './grants';
import type { Platform } from './platforms';

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

/**
 * The grants that have expired and have no revocation at or after their end, in SQL: `FROM … AS g`, with the columns of
 * a grant, ViewRows and CoveredUntil. Of these, what `isDueSql` says is due.
 */
export function expiredSql(platform: Platform): DueSql {
  const sql = `FROM (
  SELECT ${grantColumns}, g.AccessKey, ${coveredUntilSql(platform, `c.ExpiresAt <= ${nowSql}`)} AS CoveredUntil,
    ${viewRowsSql(platform)} AS ViewRows
  FROM ${platform.grantView} AS g
  WHERE g.ExpiresAt <= ${nowSql} AND NOT ${isRevokedSql(platform)}
) AS g`;
  return { sql, parameters: {}, dueSince: 'g.ExpiresAt' };
}

/** Which notifications a site wants. */
export interface NotificationOptions {
  /** When reminders begin: days before a grant's last day, ascending, each once. */
  readonly leadDays: readonly number[];
  /** Whether people are told of access that has ended. */
  readonly notifyRevoked: boolean;
}

/** How far back people are told of access that has ended: switching it on tells nobody of last year. */
const revokedWithinDays = 7;

/**
 * The address of a grant in SQL, of the view under its alias `g`: trimmed, and at most one character longer than an
 * address may be, so that one that is too long stays recognisable.
 */
export const addressColumn = `LEFT(LTRIM(RTRIM(COALESCE(g.RequesterEmail, N''))), ${maxAddressLength + 1})`;

/** Byte by byte (BIN2) and in lower case: one person's grants are together under any collation of the database. */
export const recipientSql = `LOWER(${addressColumn} COLLATE Latin1_General_BIN2)`;

/** The day after the last one for whose ends a lead has begun. */
const endOfLeadsSql = 'DATEADD(DAY, @firstDayAfter, CAST(GETUTCDATE() AS DATE))';

/**
 * The grants whose holders are to be told and have not been since, in SQL: `FROM … AS g`, with the columns of a
 * DueGrant, Recipient, ViewRows and CoveredUntil. Of these, what `isDueSql` says is due.
 *
 * A reminder is due for the smallest lead that has begun. A lead begins at 00:00 UTC of the day that lies that many days
 * before the grant's last day, so it is the smallest that is at least the number of midnights left (DATEDIFF counts
 * boundaries).
 */
export function notifiableSql(platform: Platform, { leadDays, notifyRevoked }: NotificationOptions): DueSql {
  const { grantView, notificationTable, revocationTable, requestColumn } = platform;
  const cases = leadDays.map(
    (_, index) => `WHEN DATEDIFF(DAY, GETUTCDATE(), g.ExpiresAt) <= @lead${index} THEN @lead${index}`,
  );
  // A revocation dated at or after a grant's end settles it; an earlier one belongs to an earlier end, since the views
  // yield only what is granted at present.
  const ending = `SELECT ${grantColumns}, g.AccessKey, g.Recipient, g.LeadDays,
      CAST(DATEADD(DAY, -g.LeadDays, CAST(g.ExpiresAt AS DATE)) AS DATETIME2(7)) AS DueSince
    FROM (
      SELECT ${grantColumns}, g.AccessKey, ${recipientSql} AS Recipient, CASE ${cases.join(' ')} END AS LeadDays
      FROM ${grantView} AS g
      WHERE g.ExpiresAt > ${nowSql} AND g.ExpiresAt < ${endOfLeadsSql}
    ) AS g
    WHERE NOT ${isRevokedSql(platform)}`;
  const ended = `
    UNION ALL
    SELECT ${grantColumns}, g.AccessKey, ${recipientSql} AS Recipient, CAST(NULL AS INT) AS LeadDays,
      CAST(e.Revoked_Dt AS DATETIME2(7)) AS DueSince
    FROM ${grantView} AS g
    JOIN ${revocationTable} AS e ON e.${requestColumn} = g.RequestId AND e.Revoked_Dt >= CAST(g.ExpiresAt AS DATETIME2(7))
    WHERE g.ExpiresAt <= ${nowSql} AND e.Revoked_Dt >= DATEADD(DAY, -${revokedWithinDays}, GETUTCDATE())
      AND NOT EXISTS (
        SELECT 1 FROM ${revocationTable} AS later WHERE later.${requestColumn} = e.${requestColumn} AND later.Id > e.Id)`;
  const sql = `FROM (
  SELECT ${grantColumns}, g.LeadDays, g.DueSince, g.Recipient, g.AccessKey, ${coveredUntilSql(platform, `c.ExpiresAt < ${endOfLeadsSql}`)} AS CoveredUntil,
    ${viewRowsSql(platform)} AS ViewRows
  FROM (
    ${ending}${notifyRevoked ? ended : ''}
  ) AS g
  WHERE NOT EXISTS (
    SELECT 1 FROM ${notificationTable} AS n
    WHERE n.${requestColumn} = g.RequestId AND n.Notification_Sent_Dt >= g.DueSince)
) AS g`;
  const parameters = Object.fromEntries(leadDays.map((days, index) => [`lead${index}`, int(days)]));
  return {
    sql,
    parameters: { ...parameters, firstDayAfter: int((leadDays.at(-1) ?? 0) + 1) },
    dueSince: 'g.DueSince',
  };
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
