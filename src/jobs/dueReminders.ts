import type { Deadline } from '../clock';
import type { DatabaseConnection } from '../database/database';
import type { Row, Session } from '../database/session';
import { int, nVarChar } from '../database/statement';
import { isEmailAddress, maxAddressLength } from '../email/address';
import type { Digest, DueGrant } from '../email/digest';
import {
  backlogColumns,
  notifiableSql,
  nowSql,
  recipientSql,
  toBacklog,
  viewRowsSql,
  type Backlog,
  type NotificationOptions,
} from './dueSql';
import type { Failure } from './failures';
import { grantColumns, requestIdParameter, toGrant } from './grants';
import type { Platform, RequestId } from './platforms';

/** Why no message can go to an address, or null if one can. */
export function addressFailure(recipient: string): 'addressMissing' | 'addressMalformed' | null {
  if (recipient === '') return 'addressMissing';
  return isEmailAddress(recipient) ? null : 'addressMalformed';
}

/** Rows that are read at a time: memory does not grow with their number, and each is read shortly before its message. */
const pageSize = 100;

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
      return readPage(session, platform, position);
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
  const due = notifiableSql(platform, options);
  const [row = {}] = await session.query({
    name: 'collectDueReminders',
    slow: true,
    sql: `${due.with}
INSERT INTO #Due (RequestId, ExpiresAt, LeadDays, DueSince, Recipient, ViewRows)
SELECT g.RequestId, g.ExpiresAt, g.LeadDays, g.DueSince, g.Recipient, g.ViewRows
FROM Candidates AS g
WHERE g.CoveredUntil IS NULL${after === undefined ? '' : ' AND g.Recipient > @after'}
ORDER BY g.Recipient, g.ExpiresAt, g.RequestId;
SELECT ${backlogColumns('CASE WHEN ViewRows = 1 THEN DueSince END')},
  COALESCE(SUM(CASE WHEN RequestId IS NULL THEN 1 END), 0) AS WithoutId,
  COUNT(DISTINCT CASE WHEN ViewRows > 1 THEN RequestId END) AS Duplicated
FROM #Due;`,
    parameters: {
      ...due.parameters,
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
async function readPage(session: Session, platform: Platform, after: number): Promise<PageRow[]> {
  const rows = await session.query({
    name: 'readDueReminders',
    sql: `SELECT TOP (@pageSize) d.Position, d.Recipient, d.LeadDays, d.DueSince, ${grantColumns}
FROM #Due AS d
JOIN ${platform.grantView} AS g ON g.RequestId = d.RequestId AND g.ExpiresAt = d.ExpiresAt
WHERE d.Position > @after AND d.ViewRows = 1 AND (d.LeadDays IS NULL OR g.ExpiresAt > ${nowSql})
  AND ${viewRowsSql(platform)} = 1
ORDER BY d.Position;`,
    parameters: { pageSize: int(pageSize), after: int(after) },
  });
  return rows.map((row) => ({
    position: row.Position as number,
    recipient: row.Recipient as string,
    grant: toDueGrant(row),
  }));
}

/** Grants of #Due that are due still, although no row of the view has the end with which they were collected. */
async function findUnreadable(
  session: Session,
  platform: Platform,
  options: NotificationOptions,
): Promise<Failure | undefined> {
  const due = notifiableSql(platform, options);
  const rows = await session.query({
    name: 'findUnreadable',
    slow: true,
    sql: `${due.with}
SELECT TOP (@maxIds) d.RequestId, COUNT(*) OVER () AS Total
FROM #Due AS d
WHERE d.ViewRows = 1
  AND d.RequestId IN (SELECT g.RequestId FROM Due AS g)
  AND NOT EXISTS (
    SELECT 1 FROM ${platform.grantView} AS g WHERE g.RequestId = d.RequestId AND g.ExpiresAt = d.ExpiresAt)
ORDER BY d.Position;`,
    parameters: { ...due.parameters, maxIds: int(maxLoggedRequestIds) },
  });
  const [first] = rows;
  return first && { cause: 'endUnstable', count: first.Total as number, requestIds: requestIds(rows) };
}

function toDueGrant(row: Row): DueGrant {
  return {
    ...toGrant(row),
    leadDays: row.LeadDays as number | null,
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
  { grantView }: Platform,
  { leadDays }: NotificationOptions,
  requestId: RequestId,
  dueSince: Date,
): Promise<Digest | Undeliverable | undefined> {
  const rows = await session.query({
    name: 'readGrantToResend',
    sql: `SELECT ${grantColumns}, ${recipientSql} AS Recipient,
  CASE WHEN g.ExpiresAt > ${nowSql} THEN DATEDIFF(DAY, GETUTCDATE(), g.ExpiresAt) END AS DaysLeft
FROM ${grantView} AS g WHERE g.RequestId = @requestId;`,
    parameters: { requestId: requestIdParameter(requestId) },
  });
  const [row] = rows;
  if (!row || rows.length > 1) return undefined;
  const recipient = row.Recipient as string;
  const failure = addressFailure(recipient);
  if (failure) return { count: 1, cause: failure, requestIds: [requestId] };
  const daysLeft = row.DaysLeft as number | null;
  const lead = daysLeft === null ? null : (leadDays.find((days) => days >= daysLeft) ?? daysLeft);
  return { recipient, grants: [{ ...toGrant(row), leadDays: lead, dueSince }] };
}
