import type { Deadline } from '../clock';
import type { DatabaseConnection } from '../database/database';
import type { Row, Session } from '../database/session';
import { int, nVarChar } from '../database/statement';
import { maxAddressLength } from '../email/address';
import type { Digest, DueGrant } from '../email/digest';
import type { Failure } from './failures';
import {
  backlogColumns,
  coveredUntilSql,
  grantColumns,
  isDueSql,
  isRevokedSql,
  nowSql,
  requestIdParameter,
  toBacklog,
  toGrant,
  viewRowsSql,
  type Backlog,
  type DueSql,
} from './grants';
import type { Platform, RequestId } from './platforms';
import { addressFailure, recipientSql } from './recipient';

/** Which notifications a site wants. */
export interface NotificationOptions {
  /** When reminders begin: days before a grant's last day, ascending, each once. */
  readonly leadDays: readonly number[];
  /** Whether people are told of access that has ended. */
  readonly notifyRevoked: boolean;
}

/** How far back people are told of access that has ended: switching it on tells nobody of last year. */
const revokedWithinDays = 7;

/** The day after the last one for whose ends a lead has begun. */
const endOfLeadsSql = 'DATEADD(DAY, @firstDayAfter, CAST(GETUTCDATE() AS DATE))';

/** Rows that are read at a time: memory does not grow with their number, and each is read shortly before its message. */
const pageSize = 100;

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

/** Grants with one address that no message can go to. */
export interface Undeliverable {
  readonly count: number;
  readonly cause: 'addressMissing' | 'addressMalformed';
  /** The first of them. */
  readonly requestIds: readonly RequestId[];
}

/** Request ids that are logged of grants with one unusable address: a missing one may be that of very many. */
const maxLoggedRequestIds = 20;

/** What a run found when it first looked. */
export interface Collected {
  readonly backlog: Backlog;
  /** Rows of the view that have no request id, or whose request it yields more than once. */
  readonly unusable: readonly Failure[];
}

export interface DigestReader {
  readonly platform: Platform;
  readonly options: NotificationOptions;
  readonly onCollected: (collected: Collected) => void;
  readonly onUndeliverable: (grants: Undeliverable) => void;
  /** Told at the end of grants that were due, could not be read again by their end, and are due still. */
  readonly onUnreadable: (grants: Failure) => void;
}

/**
 * Yields the digests that are due, recipient by recipient. After a transient fault it continues behind the last
 * recipient.
 */
export async function* readDigests(
  connection: DatabaseConnection,
  deadline: Deadline,
  { platform, options, onCollected, onUndeliverable, onUnreadable }: DigestReader,
): AsyncGenerator<Digest> {
  /** The recipient up to whom all grants have been yielded or reported. */
  let done: string | undefined;
  let collectedSession: Session | undefined;
  let reported = false;
  let collected = 0;
  let read = 0;
  let position = 0;
  let current:
    | { recipient: string; failure: ReturnType<typeof addressFailure>; count: number; grants: DueGrant[] }
    | undefined;

  /** Ends the current recipient: a digest to yield, or undefined if there is none. */
  function finishRecipient(): Digest | undefined {
    if (!current) return undefined;
    const { recipient, failure, count, grants } = current;
    done = recipient;
    current = undefined;
    if (!failure) return { recipient, grants };
    onUndeliverable({ count, cause: failure, requestIds: grants.map(({ requestId }) => requestId) });
    return undefined;
  }

  for (;;) {
    const page = await connection.withRetries(deadline, async (session) => {
      if (session !== collectedSession) {
        const found = await collectDue(session, platform, options, done);
        if (!reported) onCollected(found);
        reported = true;
        collectedSession = session;
        collected = found.backlog.dueCount;
        read = 0;
        position = 0;
        current = undefined;
      }
      return readPage(session, platform, options, position);
    });
    for (const { recipient, grant } of page) {
      if (current?.recipient !== recipient) {
        const digest = finishRecipient();
        if (digest) yield digest;
        current = { recipient, failure: addressFailure(recipient), count: 0, grants: [] };
      }
      current.count++;
      if (!current.failure || current.grants.length < maxLoggedRequestIds) current.grants.push(grant);
    }
    read += page.length;
    const last = page.at(-1);
    if (!last) break;
    position = last.position;
  }
  const digest = finishRecipient();
  if (digest) yield digest;
  if (read < collected) {
    const unreadable = await connection.withRetries(deadline, async (session) =>
      // On a new session, nothing is known any more of what was collected: the next run looks again.
      session === collectedSession ? findUnreadable(session, platform, options) : undefined,
    );
    if (unreadable) onUnreadable(unreadable);
  }
}

/**
 * Puts the due grants into the session's temporary table #Due in the order in which they are read; rows that cannot be
 * used are put there as well, and counted.
 * @param after only recipients behind this one; undefined: all
 */
async function collectDue(
  session: Session,
  platform: Platform,
  options: NotificationOptions,
  after: string | undefined,
): Promise<Collected> {
  await session.query({
    name: 'createDueTable',
    sql: `DROP TABLE IF EXISTS #Due;
CREATE TABLE #Due (
  Position INT IDENTITY(1, 1) PRIMARY KEY,
  RequestId ${platform.requestIdType} NULL,
  ExpiresAt DATETIME2(7) NOT NULL,
  LeadDays INT NULL,
  DueSince DATETIME2(7) NOT NULL,
  Recipient NVARCHAR(${maxAddressLength + 1}) COLLATE Latin1_General_BIN2 NOT NULL,
  ViewRows INT NOT NULL);`,
  });
  const { sql, parameters } = notifiableSql(platform, options);
  const [row = {}] = await session.query({
    name: 'collectDueReminders',
    slow: true,
    sql: `INSERT INTO #Due (RequestId, ExpiresAt, LeadDays, DueSince, Recipient, ViewRows)
SELECT g.RequestId, g.ExpiresAt, g.LeadDays, g.DueSince, g.Recipient, g.ViewRows
${sql}
WHERE g.CoveredUntil IS NULL${after === undefined ? '' : ' AND g.Recipient > @after'}
ORDER BY g.Recipient, g.ExpiresAt, g.RequestId;
SELECT ${backlogColumns('CASE WHEN ViewRows = 1 THEN DueSince END')},
  COALESCE(SUM(CASE WHEN RequestId IS NULL THEN 1 END), 0) AS WithoutId,
  COUNT(DISTINCT CASE WHEN ViewRows > 1 THEN RequestId END) AS Duplicated
FROM #Due;`,
    parameters: {
      ...parameters,
      ...(after !== undefined && { after: nVarChar(maxAddressLength + 1, after) }),
    },
  });
  const counts = row as { WithoutId: number; Duplicated: number };
  const unusable: Failure[] = [];
  if (counts.WithoutId > 0) unusable.push({ cause: 'idMissing', count: counts.WithoutId, requestIds: [] });
  if (counts.Duplicated > 0) {
    const rows = await session.query({
      name: 'readDuplicated',
      sql: 'SELECT DISTINCT TOP (@maxIds) RequestId FROM #Due WHERE ViewRows > 1 ORDER BY RequestId;',
      parameters: { maxIds: int(maxLoggedRequestIds) },
    });
    unusable.push({ cause: 'duplicated', count: counts.Duplicated, requestIds: requestIds(rows) });
  }
  return { backlog: toBacklog(row), unusable };
}

interface PageRow {
  readonly position: number;
  readonly recipient: string;
  readonly grant: DueGrant;
}

/** The next rows of #Due that are still as they were collected: not renewed, withdrawn, expired or duplicated since. */
async function readPage(
  session: Session,
  platform: Platform,
  { leadDays }: NotificationOptions,
  after: number,
): Promise<PageRow[]> {
  const rows = await session.query({
    name: 'readDueReminders',
    sql: `SELECT TOP (@pageSize) d.Position, d.Recipient, d.LeadDays, d.DueSince, ${grantColumns}, ${remindedBeforeColumn(platform)}
FROM #Due AS d
JOIN ${platform.grantView} AS g ON g.RequestId = d.RequestId AND g.ExpiresAt = d.ExpiresAt
WHERE d.Position > @after AND d.ViewRows = 1 AND (d.LeadDays IS NULL OR g.ExpiresAt > ${nowSql})
  AND ${viewRowsSql(platform)} = 1
ORDER BY d.Position;`,
    parameters: { pageSize: int(pageSize), after: int(after), firstLead: int(leadDays.at(-1) ?? 0) },
  });
  return rows.map((row) => ({
    position: row.Position as number,
    recipient: row.Recipient as string,
    grant: toDueGrant(row),
  }));
}

/** Whether a notification of the grant `g` is recorded since its first lead began; an earlier one was about another end. */
function remindedBeforeColumn({ notificationTable, requestColumn }: Platform): string {
  return `CASE WHEN EXISTS (
    SELECT 1 FROM ${notificationTable} AS n
    WHERE n.${requestColumn} = g.RequestId AND DATEDIFF(DAY, n.Notification_Sent_Dt, g.ExpiresAt) <= @firstLead
  ) THEN 1 ELSE 0 END AS RemindedBefore`;
}

/** Grants of #Due that are due still, although no row of the view has the end with which they were collected. */
async function findUnreadable(
  session: Session,
  platform: Platform,
  options: NotificationOptions,
): Promise<Failure | undefined> {
  const { sql, parameters } = notifiableSql(platform, options);
  const rows = await session.query({
    name: 'findUnreadable',
    slow: true,
    sql: `SELECT TOP (@maxIds) d.RequestId, COUNT(*) OVER () AS Total
FROM #Due AS d
WHERE d.ViewRows = 1
  AND d.RequestId IN (SELECT g.RequestId ${sql} WHERE ${isDueSql})
  AND NOT EXISTS (
    SELECT 1 FROM ${platform.grantView} AS g WHERE g.RequestId = d.RequestId AND g.ExpiresAt = d.ExpiresAt)
ORDER BY d.Position;`,
    parameters: { ...parameters, maxIds: int(maxLoggedRequestIds) },
  });
  const [first] = rows;
  return first && { cause: 'endUnstable', count: first.Total as number, requestIds: requestIds(rows) };
}

function toDueGrant(row: Row): DueGrant {
  return {
    ...toGrant(row),
    leadDays: row.LeadDays as number | null,
    remindedBefore: row.RemindedBefore === 1,
    dueSince: row.DueSince as Date,
  };
}

function requestIds(rows: readonly Row[]): RequestId[] {
  return rows.map(({ RequestId }) => RequestId as RequestId);
}

/**
 * The one grant of a request as a digest, whether its reminder is due or not, or why no message can go to its holder;
 * undefined if the view does not yield it once.
 * @param dueSince UTC; a notification recorded since then settles it
 */
export async function readGrantToResend(
  session: Session,
  platform: Platform,
  { leadDays }: NotificationOptions,
  requestId: RequestId,
  dueSince: Date,
): Promise<Digest | Undeliverable | undefined> {
  const rows = await session.query({
    name: 'readGrantToResend',
    sql: `SELECT ${grantColumns}, ${recipientSql} AS Recipient, ${remindedBeforeColumn(platform)},
  CASE WHEN g.ExpiresAt > ${nowSql} THEN DATEDIFF(DAY, GETUTCDATE(), g.ExpiresAt) END AS DaysLeft
FROM ${platform.grantView} AS g WHERE g.RequestId = @requestId;`,
    parameters: { requestId: requestIdParameter(requestId), firstLead: int(leadDays.at(-1) ?? 0) },
  });
  const [row] = rows;
  if (!row || rows.length > 1) return undefined;
  const recipient = row.Recipient as string;
  const failure = addressFailure(recipient);
  if (failure) return { count: 1, cause: failure, requestIds: [requestId] };
  const daysLeft = row.DaysLeft as number | null;
  const lead = daysLeft === null ? null : (leadDays.find((days) => days >= daysLeft) ?? daysLeft);
  const remindedBefore = row.RemindedBefore === 1;
  return { recipient, grants: [{ ...toGrant(row), leadDays: lead, remindedBefore, dueSince }] };
}
