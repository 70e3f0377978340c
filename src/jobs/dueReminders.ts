import type { Deadline } from '../clock';
import type { DatabaseConnection } from '../database/database';
import { date, flag, nullable, number, text } from '../database/columns';
import type { Session } from '../database/session';
import { int, nVarChar, varChar } from '../database/statement';
import { isEmailAddress } from '../email/address';
import { maxAddressLength, type Digest, type DueGrant } from '../email/digest';
import { backlogColumns, backlogSql, toBacklog, type Backlog } from './backlog';
import {
  firstLead,
  notifiableSql,
  nowSql,
  revokedWithinDays,
  viewRowsSql,
  type DueSql,
  type NotificationOptions,
} from './dueSql';
import { maxNamedIds, type Failure } from './failures';
import { grantColumns, grantList, requestId, toGrant } from './grants';
import type { Platform } from './platforms';

/** Why no message can go to an address, or null if one can. */
export function addressFailure(recipient: string): 'addressMissing' | 'addressMalformed' | null {
  if (recipient === '') return 'addressMissing';
  return isEmailAddress(recipient) ? null : 'addressMalformed';
}

/** Rows read at a time, so that memory stays flat and each row is read shortly before its message. */
const pageSize = 100;

/** A finding of findDue: first the backlog, then failures and digests. */
export type Found =
  | { readonly kind: 'backlog'; readonly backlog: Backlog }
  /** Grants that are due and cannot be notified. */
  | { readonly kind: 'unsendable'; readonly failure: Failure }
  /** Due; sendBy is the UTC day on which it would come too late. */
  | { readonly kind: 'digest'; readonly digest: Digest; readonly sendBy: Date };

/** Whose reminders, and which. */
export interface DueSource {
  readonly platform: Platform;
  readonly options: NotificationOptions;
  /** The run's Job_Id, which decides the order within a day. */
  readonly jobId: string;
}

/** The grants that a session has collected in its temporary table #Due. */
interface Collection {
  readonly session: Session;
  readonly backlog: Backlog;
  /** Rows of the view without a request id, and requests that it yields more than once. */
  readonly unusable: readonly Failure[];
  readonly lastPosition: number;
}

/** The place of a recipient in the order of a run. */
interface Turn {
  readonly recipient: string;
  /** The UTC day on which the first of the messages would come too late. */
  readonly sendBy: Date;
}

interface DueRow extends Turn {
  readonly grant: DueGrant;
}

/** One recipient's rows. */
interface RecipientRows extends Turn {
  readonly failure: ReturnType<typeof addressFailure>;
  readonly count: number;
  /** All of them; the first ones where no message can go to the address. */
  readonly grants: readonly DueGrant[];
}

/** The session is gone, and its #Due with it. */
class CollectionLostError extends Error {
  override readonly name = 'CollectionLostError';
}

/**
 * Yields what is due, recipient by recipient: nearest day first, and within a day in an order that differs from run to
 * run, so that nobody is always last. After a transient fault it resumes after the last recipient.
 * @throws DatabaseError
 */
export async function* findDue(
  connection: DatabaseConnection,
  deadline: Deadline,
  source: DueSource,
): AsyncGenerator<Found> {
  const collectAfter = (turn?: Turn): Promise<Collection> =>
    connection.withRetries(deadline, (session) => collectDue(session, source, turn));
  let last: Turn | undefined;
  let read = 0;
  const first = await collectAfter();
  let collection = first;
  yield { kind: 'backlog', backlog: collection.backlog };
  for (const failure of collection.unusable) yield { kind: 'unsendable', failure };
  for (;;) {
    try {
      for await (const rows of groupByRecipient(readRows(connection, deadline, source, collection))) {
        last = rows;
        read += rows.count;
        yield toFound(rows);
      }
      if (read >= first.backlog.dueCount) return;
      // A resumed collection lacks the recipients before.
      if (collection !== first) collection = await collectAfter();
      yield* await onSession(connection, deadline, collection, (session) => findUnreadable(session, source));
      return;
    } catch (error) {
      if (!(error instanceof CollectionLostError)) throw error;
      collection = await collectAfter(last);
    }
  }
}

/** @throws CollectionLostError */
async function onSession<T extends object>(
  connection: DatabaseConnection,
  deadline: Deadline,
  collection: Collection,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const result = await connection.withRetries(deadline, async (session) =>
    session === collection.session ? work(session) : undefined,
  );
  // Thrown outside the work: an error within it would close the session, which others use.
  if (result === undefined) throw new CollectionLostError();
  return result;
}

async function* groupByRecipient(rows: AsyncIterable<DueRow>): AsyncGenerator<RecipientRows> {
  let group: (RecipientRows & { count: number; grants: DueGrant[] }) | undefined;
  for await (const { recipient, sendBy, grant } of rows) {
    if (group && group.recipient !== recipient) {
      yield group;
      group = undefined;
    }
    group ??= { recipient, sendBy, failure: addressFailure(recipient), count: 0, grants: [] };
    group.count++;
    if (group.failure === null || group.grants.length < maxNamedIds) group.grants.push(grant);
  }
  if (group) yield group;
}

function toFound({ recipient, sendBy, failure, count, grants }: RecipientRows): Found {
  if (failure === null) return { kind: 'digest', digest: { recipient, grants }, sendBy };
  const requestIds = grants.map(({ requestId: id }) => id);
  return { kind: 'unsendable', failure: { cause: failure, count, requestIds } };
}

/** The rows of #Due, page by page. */
async function* readRows(
  connection: DatabaseConnection,
  deadline: Deadline,
  source: DueSource,
  collection: Collection,
): AsyncGenerator<DueRow> {
  for (let first = 1; first <= collection.lastPosition; first += pageSize)
    yield* await onSession(connection, deadline, collection, (session) => readPage(session, source, first));
}

/**
 * Collects what is due into the session's temporary table #Due, in the order of the recipients' turns; unusable rows
 * are included.
 * @param after only recipients after this one
 */
async function collectDue(session: Session, source: DueSource, after: Turn | undefined): Promise<Collection> {
  const { platform, options, jobId } = source;
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
  SendBy DATE NOT NULL,
  ViewRows INT NOT NULL);`,
  });
  const due = notifiableSql(platform, options);
  const [row] = await session.query({
    name: 'collectDueReminders',
    slow: true,
    columns: { ...backlogColumns, Collected: number, WithoutId: number, Duplicated: number },
    sql: `${insertDueSql(due, after !== undefined)}
SELECT ${backlogSql('CASE WHEN ViewRows = 1 THEN DueSince END')}, COUNT(*) AS Collected,
  COALESCE(SUM(CASE WHEN RequestId IS NULL THEN 1 END), 0) AS WithoutId,
  COUNT(DISTINCT CASE WHEN ViewRows > 1 THEN RequestId END) AS Duplicated
FROM #Due;`,
    parameters: {
      ...due.parameters,
      jobId: varChar(36, jobId),
      ...(after && {
        afterRecipient: nVarChar(maxAddressLength + 1, after.recipient),
        afterDay: varChar(10, after.sendBy.toISOString().slice(0, 10)),
      }),
    },
  });
  return {
    session,
    backlog: toBacklog(row),
    unusable: row ? await findUnusable(session, row.WithoutId, row.Duplicated) : [],
    lastPosition: row?.Collected ?? 0,
  };
}

/** A recipient's place within a day, which differs from run to run. Cast, as a sort reserves memory by declared length. */
function shuffleSql(recipient: string): string {
  return `CAST(HASHBYTES('SHA2_256', CONCAT(${recipient}, @jobId)) AS VARBINARY(32))`;
}

/**
 * Inserts what is due into #Due in the order of the turns; takes @jobId.
 * @param resumes only turns after that of @afterRecipient on @afterDay
 */
export function insertDueSql(due: DueSql, resumes: boolean): string {
  return `${due.with},
Turns AS (
  SELECT g.RequestId, g.ExpiresAt, g.LeadDays, g.DueSince, g.Recipient, g.ViewRows, ${shuffleSql('g.Recipient')} AS Shuffle,
    MIN(CAST(${sendBySql} AS DATE)) OVER (PARTITION BY g.Recipient) AS SendBy
  FROM Candidates AS g
  WHERE g.CoveredUntil IS NULL
)
INSERT INTO #Due (RequestId, ExpiresAt, LeadDays, DueSince, Recipient, SendBy, ViewRows)
SELECT t.RequestId, t.ExpiresAt, t.LeadDays, t.DueSince, t.Recipient, t.SendBy, t.ViewRows
FROM Turns AS t${resumes ? `\nWHERE ${isAfterSql}` : ''}
ORDER BY t.SendBy, t.Shuffle, t.ExpiresAt, t.RequestId;`;
}

/** When the message of a candidate `g` would come too late: at the end, or when it is no longer sent. */
const sendBySql = `CASE WHEN g.LeadDays IS NULL THEN DATEADD(DAY, ${revokedWithinDays}, g.DueSince) ELSE g.ExpiresAt END`;

const isAfterSql = `t.SendBy > CAST(@afterDay AS DATE) OR (
    t.SendBy = CAST(@afterDay AS DATE) AND t.Shuffle > ${shuffleSql('@afterRecipient')})`;

/** The unusable rows of #Due: without a request id, or of a request that the view yields more than once. */
async function findUnusable(session: Session, withoutId: number, duplicated: number): Promise<Failure[]> {
  const unusable: Failure[] = [];
  if (withoutId > 0) unusable.push({ cause: 'idMissing', count: withoutId, requestIds: [] });
  if (duplicated > 0) {
    const rows = await session.query({
      name: 'readDuplicated',
      columns: { RequestId: requestId },
      sql: 'SELECT DISTINCT TOP (@maxIds) RequestId FROM #Due WHERE ViewRows > 1 ORDER BY RequestId;',
      parameters: { maxIds: int(maxNamedIds) },
    });
    unusable.push({
      cause: 'duplicated',
      count: duplicated,
      requestIds: rows.map(({ RequestId }) => RequestId),
    });
  }
  return unusable;
}

/**
 * A page of #Due: the rows that are still as they were collected, not renewed, withdrawn, expired or duplicated since. A
 * notification that was recorded meanwhile does not remove a row: the rest of a person's grants would be another
 * message, with another operation id.
 */
async function readPage(
  session: Session,
  { platform, options: { leadDays } }: DueSource,
  first: number,
): Promise<DueRow[]> {
  const rows = await session.query({
    name: 'readDueReminders',
    columns: {
      Recipient: text,
      SendBy: date,
      LeadDays: nullable(number),
      DueSince: date,
      ...grantColumns,
      RemindedBefore: flag,
    },
    // Without the upper bound the server sorts all later rows for each page.
    sql: `SELECT d.Recipient, d.SendBy, d.LeadDays, d.DueSince, ${grantList}, ${remindedBeforeColumn(platform)}
FROM #Due AS d
JOIN ${platform.grantView} AS g ON g.RequestId = d.RequestId AND g.ExpiresAt = d.ExpiresAt
WHERE d.Position BETWEEN @first AND @last AND d.ViewRows = 1 AND (d.LeadDays IS NULL OR g.ExpiresAt > ${nowSql})
  AND ${viewRowsSql(platform)} = 1
ORDER BY d.Position;`,
    parameters: { first: int(first), last: int(first + pageSize - 1), firstLead: int(firstLead(leadDays)) },
  });
  return rows.map((row) => ({
    recipient: row.Recipient,
    sendBy: row.SendBy,
    grant: {
      ...toGrant(row),
      leadDays: row.LeadDays,
      remindedBefore: row.RemindedBefore,
      dueSince: row.DueSince,
    },
  }));
}

/** Whether the grant `g` has a notification since its first lead began; an earlier one was about another end. */
function remindedBeforeColumn({ notificationTable, requestColumn }: Platform): string {
  return `CASE WHEN EXISTS (
    SELECT 1 FROM ${notificationTable} AS n
    WHERE n.${requestColumn} = g.RequestId AND DATEDIFF(DAY, n.Notification_Sent_Dt, g.ExpiresAt) <= @firstLead
  ) THEN 1 ELSE 0 END AS RemindedBefore`;
}

/** Grants of #Due that are still due, although no row of the view has the end with which they were collected. */
async function findUnreadable(session: Session, { platform, options }: DueSource): Promise<Found[]> {
  const due = notifiableSql(platform, options);
  const rows = await session.query({
    name: 'findUnreadable',
    slow: true,
    columns: { RequestId: requestId, Total: number },
    sql: `${due.withDue}
SELECT TOP (@maxIds) d.RequestId, COUNT(*) OVER () AS Total
FROM #Due AS d
WHERE d.ViewRows = 1
  AND d.RequestId IN (SELECT g.RequestId FROM Due AS g)
  AND NOT EXISTS (
    SELECT 1 FROM ${platform.grantView} AS g WHERE g.RequestId = d.RequestId AND g.ExpiresAt = d.ExpiresAt)
ORDER BY d.Position;`,
    parameters: { ...due.parameters, maxIds: int(maxNamedIds) },
  });
  const [first] = rows;
  if (!first) return [];
  const requestIds = rows.map(({ RequestId }) => RequestId);
  return [{ kind: 'unsendable', failure: { cause: 'endUnstable', count: first.Total, requestIds } }];
}
