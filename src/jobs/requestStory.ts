/** A request's story: what was sent and revoked, and what comes next, with the reason. */
import type { Deadline } from '../clock';
import { date, nullable, text, type RowOf } from '../database/columns';
import type { Session } from '../database/session';
import { int } from '../database/statement';
import { runOfSql } from '../jobRun/history';
import { requestIdParameter, type Grant } from './grants';
import { readNext, type NextStep } from './nextStep';
import type { Platform, RequestId } from './platforms';
import { readRequests, type AccessRequest } from './requests';
import type { Services } from '../services';

/** Notifications, and revocations, that are read of one request: the newest. */
const maxRecords = 100;

/** A row of a notification or revocation table. */
export interface RequestRecord {
  /** UTC. */
  readonly at: Date;
  /** A Job_Type, or who sent it by hand. */
  readonly by: string;
  /** The run that wrote it; null: none did, or it is no longer known. */
  readonly jobId: string | null;
}

export interface RequestStory {
  readonly platform: Platform;
  readonly requestId: RequestId;
  /** As the site has it now; null: unknown, see `viewMissing`. */
  readonly request: AccessRequest | null;
  /** The database has no view of requests. */
  readonly viewMissing: boolean;
  /** As the view of grants yields it, with its end; null: not at all. */
  readonly grant: Grant | null;
  readonly next: NextStep;
  /** Where messages go, usable or not; of a request that is not granted, where they would. */
  readonly recipient: string;
  /** Newest first, at most 100. */
  readonly notifications: readonly (RequestRecord & { readonly sentTo: string })[];
  readonly revocations: readonly RequestRecord[];
}

/**
 * Reads the story of a request.
 * @returns undefined: neither the site nor the records know a request of this id
 * @throws DatabaseError
 */
export async function readStory(
  { database, settings, clock }: Services,
  deadline: Deadline,
  platform: Platform,
  requestId: RequestId,
): Promise<RequestStory | undefined> {
  return database.withSession('search', deadline, async (session) => {
    const requests = await readRequests(session, platform, [requestId]);
    const request = requests?.get(requestId) ?? null;
    const { next, grant, recipient } = await readNext({ session, platform, settings, clock }, requestId);
    const notifications = await readNotifications(session, platform, requestId);
    const revocations = await readRevocations(session, platform, requestId);
    if (!request && next.code === 'notGranted' && notifications.length === 0 && revocations.length === 0)
      return undefined;
    return {
      platform,
      requestId,
      request,
      viewMissing: requests === undefined,
      grant,
      next,
      recipient: grant ? recipient : (request?.requesterEmail.trim() ?? ''),
      notifications,
      revocations,
    };
  });
}

const recordColumns = { At: date, WrittenBy: text, JobId: nullable(text) };

async function readNotifications(
  session: Session,
  { notificationTable, requestColumn }: Platform,
  requestId: RequestId,
): Promise<RequestStory['notifications']> {
  const rows = await session.query({
    name: 'readNotifications',
    columns: { ...recordColumns, SentTo: text },
    sql: `SELECT TOP (@most) n.Notification_Sent_Dt AS At, n.Notification_Sent_By AS WrittenBy, n.Notification_Sent_To AS SentTo,
  ${runOfSql('n.Notification_Sent_By', 'n.Notification_Sent_Dt')} AS JobId
FROM ${notificationTable} AS n WHERE n.${requestColumn} = @requestId ORDER BY n.Notification_Sent_Dt DESC, n.Id DESC;`,
    parameters: { most: int(maxRecords), requestId: requestIdParameter(requestId) },
  });
  return rows.map((row) => ({ ...toRecord(row), sentTo: row.SentTo }));
}

async function readRevocations(
  session: Session,
  { revocationTable, requestColumn }: Platform,
  requestId: RequestId,
): Promise<RequestStory['revocations']> {
  const rows = await session.query({
    name: 'readRevocations',
    columns: recordColumns,
    sql: `SELECT TOP (@most) r.Revoked_Dt AS At, r.Revoked_By AS WrittenBy,
  ${runOfSql('r.Revoked_By', 'r.Revoked_Dt')} AS JobId
FROM ${revocationTable} AS r WHERE r.${requestColumn} = @requestId ORDER BY r.Revoked_Dt DESC, r.Id DESC;`,
    parameters: { most: int(maxRecords), requestId: requestIdParameter(requestId) },
  });
  return rows.map(toRecord);
}

function toRecord(row: RowOf<typeof recordColumns>): RequestRecord {
  return { at: row.At, by: row.WrittenBy, jobId: row.JobId };
}
