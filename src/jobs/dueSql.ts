/** What is due, in SQL: one definition for runs, previews and backlogs. */
import { int, type Parameter } from '../database/statement';
import { maxAddressLength } from '../email/digest';
import { grantList } from './grants';
import type { Platform } from './platforms';

/**
 * Common table expressions to begin a statement with: `${due.withDue} SELECT … FROM Due AS g`, or `INSERT … SELECT`. A
 * statement in front of it ends with a semicolon. `Candidates` and `Due` have the columns of a Grant, AccessKey, DueSince,
 * CoveredUntil and ViewRows, of reminders also Recipient and LeadDays (NULL: access has ended).
 */
export interface DueSql {
  /** Up to `Candidates`: rows of the view whose time has come and that are not settled, usable or not. */
  readonly with: string;
  /** The same and `Due`: the candidates that a run handles, not covered by another grant and once in the view. */
  readonly withDue: string;
  readonly parameters: Readonly<Record<string, Parameter>>;
}

/** Which candidates `g` are in `Due`. */
export const isDueSql = 'g.CoveredUntil IS NULL AND g.ViewRows = 1';

/**
 * Now, to be compared with an end in SQL. As DATETIME2: an end of type DATE would be converted to the type of
 * GETUTCDATE(), DATETIME, which has no days before 1753 (error 242).
 */
export const nowSql = 'CAST(GETUTCDATE() AS DATETIME2(7))';

/**
 * Today. To be compared with a DATETIME2, an end of type DATETIME or SMALLDATETIME is converted, and its index is not
 * used. DATE has the lowest precedence, so no end is converted to be compared with it: each comparison with a moment has
 * one with a day before it.
 */
const todaySql = 'CAST(GETUTCDATE() AS DATE)';

/** The grant `g` of the view has ended. */
const hasEndedSql = `g.ExpiresAt < DATEADD(DAY, 1, ${todaySql}) AND g.ExpiresAt <= ${nowSql}`;

/** The grant `g` of the view ends later. */
const endsLaterSql = `g.ExpiresAt >= ${todaySql} AND g.ExpiresAt > ${nowSql}`;

/** The grant `g` has a revocation at or after its end. */
function isRevokedSql({ revocationTable, requestColumn }: Platform): string {
  return `EXISTS (
    SELECT 1 FROM ${revocationTable} AS r
    WHERE r.${requestColumn} = g.RequestId AND r.Revoked_Dt >= CAST(g.ExpiresAt AS DATETIME2(7)))`;
}

/** How many rows the view yields for the request of the row `g`: one by contract; 0 if its RequestId is NULL. */
export function viewRowsSql({ grantView }: Platform): string {
  return `(SELECT COUNT(*) FROM ${grantView} AS same WHERE same.RequestId = g.RequestId)`;
}

/** Notifications `n` of the grant `g` since it has been due; more conditions may follow. */
const notifiedSql = ({ notificationTable, requestColumn }: Platform): string =>
  `FROM ${notificationTable} AS n WHERE n.${requestColumn} = g.RequestId AND n.Notification_Sent_Dt >= g.DueSince`;

/** The expired grants that have no revocation at or after their end. */
export function expiredSql(platform: Platform): DueSql {
  return dueSql(
    platform,
    `Unsettled AS (
  SELECT ${grantList}, g.AccessKey, g.ExpiresAt AS DueSince
  FROM ${platform.grantView} AS g
  WHERE ${hasEndedSql} AND NOT ${isRevokedSql(platform)}
)`,
    {},
  );
}

/** A site's choice of notifications. */
export interface NotificationOptions {
  /** When reminders begin: days before a grant's last day, ascending, each once. */
  readonly leadDays: readonly number[];
  /** Whether people also get a mail after their access has ended. */
  readonly notifyRevoked: boolean;
}

/** The lead that begins first: the largest, in days. */
export const firstLead = (leadDays: readonly number[]): number => leadDays.at(-1) ?? 0;

/** The lead that begins last: the smallest, in days. */
export const lastLead = (leadDays: readonly number[]): number => leadDays[0] ?? 0;

/** How many days back mails about ended access reach: enabling them sends no backlog. */
export const revokedWithinDays = 7;

/** No-break and zero-width spaces, tab, line feed and carriage return, often copied with an address. */
const blankCodes = [160, 8203, 8239, 8288, 65279, 9, 10, 13];

/** Byte by byte (BIN2): linguistic collations ignore zero-width characters, and would find them everywhere. */
const withPlainBlanks =
  "TRANSLATE(COALESCE(g.RequesterEmail, N'') COLLATE Latin1_General_BIN2, " +
  `${blankCodes.map((code) => `NCHAR(${code})`).join(' + ')}, N'${' '.repeat(blankCodes.length)}')`;

/**
 * The address of a grant in SQL, of the view under its alias `g`: trimmed, and at most one character longer than an
 * address may be, so that one that is too long stays recognisable.
 */
export const addressColumn = `LEFT(LTRIM(RTRIM(${withPlainBlanks})), ${maxAddressLength + 1})`;

/** Byte by byte (BIN2) and in lower case: one person's grants are together under any collation of the database. */
export const recipientSql = `LOWER(${addressColumn})`;

/**
 * The grants with a message that is due and not yet sent.
 *
 * A reminder is due for the smallest lead that has begun. A lead begins at 00:00 UTC of the day that lies that many days
 * before the grant's last day. A revocation at or after a grant's end settles it; an earlier one belongs to an earlier
 * end, since the views yield only what is granted at present.
 */
export function notifiableSql(platform: Platform, options: NotificationOptions): DueSql {
  const { notifyRevoked } = options;
  const lead = leadSql(options);
  return dueSql(
    platform,
    `Ending AS (
  SELECT ${grantList}, g.AccessKey, ${recipientSql} AS Recipient, ${lead.days} AS LeadDays
  FROM ${platform.grantView} AS g
  WHERE ${endsLaterSql} AND g.ExpiresAt < DATEADD(DAY, @firstDayAfter, ${todaySql}) AND NOT ${isRevokedSql(platform)}
),
Reminders AS (
  SELECT g.*, ${leadBeganSql} AS DueSince
  FROM Ending AS g
),${notifyRevoked ? endedSql(platform) : ''}
Messages AS (
  SELECT * FROM Reminders${notifyRevoked ? ' UNION ALL SELECT * FROM Ended' : ''}
),
Unsettled AS (
  SELECT * FROM Messages AS g
  WHERE NOT EXISTS (SELECT 1 ${notifiedSql(platform)})
)`,
    { ...lead.parameters, firstDayAfter: int(firstLead(options.leadDays) + 1) },
  );
}

/** The smallest lead that has begun for the grant `g` of the view; NULL: none has. */
function leadSql({ leadDays }: NotificationOptions): { days: string; parameters: DueSql['parameters'] } {
  const cases = leadDays.map(
    (_, index) => `WHEN g.ExpiresAt < DATEADD(DAY, @lead${index} + 1, ${todaySql}) THEN @lead${index}`,
  );
  return {
    days: `CASE ${cases.join(' ')} END`,
    parameters: Object.fromEntries(leadDays.map((days, index) => [`lead${index}`, int(days)])),
  };
}

/** When the lead of `g` began. */
const leadBeganSql = 'CAST(DATEADD(DAY, -g.LeadDays, CAST(g.ExpiresAt AS DATE)) AS DATETIME2(7))';

/**
 * The conditions of both definitions, for each row that the view yields for the request `@requestId`:
 * `${judged.with} SELECT … FROM Judged AS g`. With the columns of Candidates and
 *
 * - HasEnded, EndsLater, IsRevoked: 1 or 0; an end that is NULL is neither past nor to come
 * - DueSince: since when a message is due or was sent; NULL: none is due yet, or none ever
 * - NotifiedAt: the last message since then
 */
export function judgedSql(platform: Platform, options: NotificationOptions): Omit<DueSql, 'withDue'> {
  const lead = leadSql(options);
  const flag = (condition: string): string => `CASE WHEN ${condition} THEN 1 ELSE 0 END`;
  return {
    with: `WITH ${options.notifyRevoked ? endedSql(platform) : ''}
Requested AS (
  SELECT ${grantList}, g.AccessKey, ${recipientSql} AS Recipient, ${lead.days} AS LeadDays,
    ${flag(hasEndedSql)} AS HasEnded, ${flag(endsLaterSql)} AS EndsLater, ${flag(isRevokedSql(platform))} AS IsRevoked
  FROM ${platform.grantView} AS g
  WHERE g.RequestId = @requestId
),
Unsettled AS (
  SELECT g.*, CASE WHEN g.HasEnded = 0 THEN ${leadBeganSql}${options.notifyRevoked ? ' ELSE (SELECT MAX(e.DueSince) FROM Ended AS e WHERE e.RequestId = g.RequestId)' : ''} END AS DueSince
  FROM Requested AS g
),
${candidatesSql(platform)},
Judged AS (
  SELECT g.*, (SELECT MAX(n.Notification_Sent_Dt) ${notifiedSql(platform)}) AS NotifiedAt
  FROM Candidates AS g
)`,
    parameters: lead.parameters,
  };
}

/**
 * Grants that have ended, with the last revocation of each, where it is recent. There is no condition on the end itself:
 * its index would make the server read everything that ever ended.
 */
function endedSql({ grantView, revocationTable, requestColumn }: Platform): string {
  return `
Ended AS (
  SELECT ${grantList}, g.AccessKey, ${recipientSql} AS Recipient, CAST(NULL AS INT) AS LeadDays,
    CAST(r.Revoked_Dt AS DATETIME2(7)) AS DueSince
  FROM ${revocationTable} AS r
  JOIN ${grantView} AS g ON g.RequestId = r.${requestColumn} AND CAST(g.ExpiresAt AS DATETIME2(7)) <= r.Revoked_Dt
  WHERE r.Revoked_Dt BETWEEN DATEADD(DAY, -${revokedWithinDays}, GETUTCDATE()) AND GETUTCDATE()
    AND NOT EXISTS (
      SELECT 1 FROM ${revocationTable} AS later WHERE later.${requestColumn} = r.${requestColumn} AND later.Id > r.Id)
),`;
}

/**
 * From `Unsettled` to `Candidates`.
 *
 * CoveredUntil is the last end among the grants with the same AccessKey, where that is later and still to come; a key
 * that is empty or blank counts as NULL. The ends are grouped once, for the keys in question: a view without an index on
 * its key is read once, and not at all where the key is a constant NULL.
 */
function candidatesSql(platform: Platform): string {
  return `LastEnds AS (
  SELECT g.AccessKey, MAX(g.ExpiresAt) AS LastEnd
  FROM ${platform.grantView} AS g
  WHERE g.AccessKey IS NOT NULL
    AND g.AccessKey IN (SELECT u.AccessKey FROM Unsettled AS u WHERE LTRIM(u.AccessKey) <> N'')
  GROUP BY g.AccessKey
  HAVING MAX(g.ExpiresAt) > ${nowSql}
),
Candidates AS (
  SELECT g.*, l.LastEnd AS CoveredUntil, ${viewRowsSql(platform)} AS ViewRows
  FROM Unsettled AS g
  LEFT JOIN LastEnds AS l ON l.AccessKey = g.AccessKey AND l.LastEnd > g.ExpiresAt
)`;
}

/** @param unsettled the steps up to `Unsettled` */
function dueSql(platform: Platform, unsettled: string, parameters: DueSql['parameters']): DueSql {
  const candidates = `WITH ${unsettled},
${candidatesSql(platform)}`;
  return {
    with: candidates,
    withDue: `${candidates},
Due AS (
  SELECT * FROM Candidates AS g WHERE ${isDueSql}
)`,
    parameters,
  };
}
