import type { Deadline } from '../clock';
import type { DatabaseConnection } from '../database/database';
import type { Session } from '../database/session';
import { int, nVarChar, type Parameter } from '../database/statement';
import { isEmailAddress, maxAddressLength } from '../email/address';
import { grantColumns, toGrant, type Grant } from './grants';
import type { Platform, RequestId } from './platforms';

/** A grant whose reminder is due, and which reminder that is. */
export interface DueGrant extends Grant {
  readonly leadDays: number;
}

/** All grants of one person that are due, soonest first. */
export interface Digest {
  /** A usable address, in lower case. */
  readonly recipient: string;
  readonly grants: readonly DueGrant[];
}

/**
 * The address of a grant in SQL, of the view under its alias `g`: trimmed, and at most one character longer than an
 * address may be, so that one that is too long stays recognisable.
 */
export const addressColumn = `LEFT(LTRIM(RTRIM(COALESCE(g.RequesterEmail, N''))), ${maxAddressLength + 1})`;

/**
 * Rows that are read at a time: memory does not grow with the number of grants, and each is read again shortly before
 * its message is sent.
 */
const pageSize = 100;

/**
 * The grants for which a reminder is due: the one for the smallest lead that has begun, unless a notification has been
 * recorded since that lead began. A lead begins at 00:00 UTC of the day that lies that many days before the grant's
 * last day, so the smallest lead that has begun is the smallest that is at least the number of midnights left
 * (DATEDIFF counts boundaries).
 *
 * Recipients are compared byte by byte (BIN2) and in lower case, so that one person's grants stand together under any
 * collation of the database.
 * @param leadDays ascending
 */
function dueReminders(
  platform: Platform,
  leadDays: readonly number[],
): { sql: string; parameters: Record<string, Parameter> } {
  const { grantView, notificationTable, revocationTable, requestColumn } = platform;
  const cases = leadDays.map(
    (_, index) => `WHEN DATEDIFF(DAY, GETUTCDATE(), g.ExpiresAt) <= @lead${index} THEN @lead${index}`,
  );
  // A revocation dated at or after a grant's end settles it; an earlier one belongs to an earlier end, since the views
  // yield only what is granted at present.
  const sql = `FROM (
  SELECT ${grantColumns},
    CASE ${cases.join(' ')} END AS LeadDays,
    LOWER(${addressColumn} COLLATE Latin1_General_BIN2) AS Recipient
  FROM ${grantView} AS g
  WHERE g.ExpiresAt > GETUTCDATE() AND g.ExpiresAt < DATEADD(DAY, @firstDayAfter, CAST(GETUTCDATE() AS DATE))
) AS g
WHERE NOT EXISTS (
    SELECT 1 FROM ${notificationTable} AS n
    WHERE n.${requestColumn} = g.RequestId
      AND n.Notification_Sent_Dt >= DATEADD(DAY, -g.LeadDays, CAST(g.ExpiresAt AS DATE)))
  AND NOT EXISTS (
    SELECT 1 FROM ${revocationTable} AS r WHERE r.${requestColumn} = g.RequestId AND r.Revoked_Dt >= g.ExpiresAt)`;
  const parameters = Object.fromEntries(leadDays.map((days, index) => [`lead${index}`, int(days)]));
  return { sql, parameters: { ...parameters, firstDayAfter: int((leadDays.at(-1) ?? 0) + 1) } };
}

/** Grants with one address that no message can go to. */
export interface Undeliverable {
  readonly count: number;
  /** The first of them. */
  readonly requestIds: readonly RequestId[];
}

/** Request ids that are told of grants with one unusable address: a missing one may be that of very many. */
const maxLoggedRequestIds = 20;

/**
 * Yields the digests that are due, recipient by recipient; grants without a usable address are told to
 * `onUndeliverable` instead, once. After a transient fault it goes on behind the last recipient.
 */
export async function* readDigests(
  connection: DatabaseConnection,
  deadline: Deadline,
  platform: Platform,
  leadDays: readonly number[],
  onUndeliverable: (grants: Undeliverable) => void,
): AsyncGenerator<Digest> {
  /** The recipient up to whom all grants have been yielded or told. */
  let done: string | undefined;
  let collectedSession: Session | undefined;
  let position = 0;
  let current: { recipient: string; usable: boolean; count: number; grants: DueGrant[] } | undefined;

  /** Ends the current recipient: a digest to yield, or undefined if there is none. */
  function finishRecipient(): Digest | undefined {
    if (!current) return undefined;
    const { recipient, usable, count, grants } = current;
    done = recipient;
    current = undefined;
    if (usable) return { recipient, grants };
    onUndeliverable({ count, requestIds: grants.map(({ requestId }) => requestId) });
    return undefined;
  }

  for (;;) {
    const page = await connection.withRetries(deadline, async (session) => {
      if (session !== collectedSession) {
        await collectDue(session, platform, leadDays, done);
        collectedSession = session;
        position = 0;
        current = undefined;
      }
      return readPage(session, platform, position);
    });
    for (const { recipient, grant } of page) {
      if (current?.recipient !== recipient) {
        const digest = finishRecipient();
        if (digest) yield digest;
        current = { recipient, usable: isEmailAddress(recipient), count: 0, grants: [] };
      }
      current.count++;
      if (current.usable || current.grants.length < maxLoggedRequestIds) current.grants.push(grant);
    }
    const last = page.at(-1);
    if (!last) break;
    position = last.position;
  }
  const digest = finishRecipient();
  if (digest) yield digest;
}

/**
 * Puts the due grants into the session's temporary table #Due in the order in which they are read.
 * @param after only recipients behind this one; undefined: all
 */
async function collectDue(
  session: Session,
  platform: Platform,
  leadDays: readonly number[],
  after: string | undefined,
): Promise<void> {
  await session.query({
    name: 'createDueTable',
    sql: `DROP TABLE IF EXISTS #Due;
CREATE TABLE #Due (
  Position INT IDENTITY(1, 1) PRIMARY KEY,
  RequestId ${platform.requestIdType} NOT NULL,
  ExpiresAt DATETIME2(7) NOT NULL,
  LeadDays INT NOT NULL,
  Recipient NVARCHAR(${maxAddressLength + 1}) COLLATE Latin1_General_BIN2 NOT NULL);`,
  });
  const due = dueReminders(platform, leadDays);
  await session.query({
    name: 'collectDueReminders',
    slow: true,
    sql: `INSERT INTO #Due (RequestId, ExpiresAt, LeadDays, Recipient)
SELECT g.RequestId, g.ExpiresAt, g.LeadDays, g.Recipient
${due.sql}${after === undefined ? '' : '\n  AND g.Recipient > @after'}
ORDER BY g.Recipient, g.ExpiresAt, g.RequestId;`,
    parameters: {
      ...due.parameters,
      ...(after !== undefined && { after: nVarChar(maxAddressLength + 1, after) }),
    },
  });
}

interface PageRow {
  readonly position: number;
  readonly recipient: string;
  readonly grant: DueGrant;
}

/** The next rows of #Due, as far as they still stand: not renewed, withdrawn or expired since they were collected. */
async function readPage(session: Session, { grantView }: Platform, after: number): Promise<PageRow[]> {
  const rows = await session.query({
    name: 'readDueReminders',
    sql: `SELECT TOP (@pageSize) d.Position, d.Recipient, d.LeadDays, ${grantColumns}
FROM #Due AS d
JOIN ${grantView} AS g ON g.RequestId = d.RequestId AND g.ExpiresAt = d.ExpiresAt
WHERE d.Position > @after AND g.ExpiresAt > GETUTCDATE()
ORDER BY d.Position;`,
    parameters: { pageSize: int(pageSize), after: int(after) },
  });
  return rows.map((row) => ({
    position: row.Position as number,
    recipient: row.Recipient as string,
    grant: { ...toGrant(row), leadDays: row.LeadDays as number },
  }));
}

/** What a notification run would do now: how many grants are due, and the first of them by expiry. Writes nothing. */
export async function previewReminders(
  session: Session,
  platform: Platform,
  leadDays: readonly number[],
  limit: number,
): Promise<{ count: number; grants: DueGrant[] }> {
  const due = dueReminders(platform, leadDays);
  const [counted] = await session.query({
    name: 'countDueReminders',
    slow: true,
    sql: `SELECT COUNT(*) AS Due ${due.sql};`,
    parameters: due.parameters,
  });
  const rows = await session.query({
    name: 'previewDueReminders',
    slow: true,
    sql: `SELECT TOP (@limit) ${grantColumns}, g.LeadDays
${due.sql}
ORDER BY g.ExpiresAt, g.RequestId;`,
    parameters: { ...due.parameters, limit: int(limit) },
  });
  return {
    count: counted?.Due as number,
    grants: rows.map((row) => ({ ...toGrant(row), leadDays: row.LeadDays as number })),
  };
}
