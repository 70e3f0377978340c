/** A request's story: what was sent and revoked, and what comes next, with the reason. */
import type { Clock, Deadline } from '../clock';
import { NcrontabError, nextRuns } from '../config/ncrontab';
import type { Settings } from '../config/settings';
import type { Row, Session } from '../database/session';
import { int } from '../database/statement';
import { runOfSql } from '../jobRun/history';
import { jobs, type Job } from './catalogue';
import { addressFailure } from './dueReminders';
import { expiredSql, judgedSql, readBacklog } from './dueSql';
import { grantColumns, requestIdParameter, text, toGrant, type Grant } from './grants';
import type { Platform, RequestId } from './platforms';
import { readRequests, type AccessRequest } from './requests';
import type { Services } from './runJob';

/** Notifications, and revocations, that are read of one request: the newest. */
const maxRecords = 100;

/** What happens to a grant next, or why nothing does. Times are UTC. */
export type NextStep =
  /** Due: the next run does it. `nextRunAt` is null where the timer is off or its schedule malformed. */
  | ({ readonly code: 'reminderDue'; readonly leadDays: number } & Due)
  | ({ readonly code: 'revocationDue' | 'revokedMessageDue' } & Due)
  /** Not due yet, or not any more: what begins at `at` is the reminder of a lead, or (null) the revocation. */
  | { readonly code: 'reminderLater'; readonly leadDays: number; readonly at: Date }
  | {
      readonly code: 'reminderSent';
      readonly leadDays: number;
      readonly sentAt: Date;
      readonly nextLeadDays: number | null;
      readonly at: Date;
    }
  /** Left alone, though its time may have come. */
  | {
      readonly code: 'covered';
      readonly coveredBy: Pick<Grant, 'requestId' | 'requestNumber'>;
      readonly until: Date;
    }
  | { readonly code: 'duplicated'; readonly viewRows: number }
  | { readonly code: 'addressMissing' | 'addressMalformed'; readonly since: Date }
  | { readonly code: 'endUnstable' }
  | {
      readonly code: 'safetyStop';
      readonly since: Date;
      readonly dueCount: number;
      readonly ceiling: number;
    }
  /** Nothing is left to do. */
  | { readonly code: 'revoked'; readonly at: Date }
  | { readonly code: 'endMissing' | 'notGranted' };

interface Due {
  readonly since: Date;
  readonly nextRunAt: Date | null;
}

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
  /** As the view of grants yields it; null: not at all. */
  readonly grant: Grant | null;
  readonly next: NextStep;
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
  return database.connect('search', (connection) =>
    connection.withRetries(deadline, async (session) => {
      const requests = await readRequests(session, platform, [requestId]);
      const request = requests?.get(requestId) ?? null;
      await collectEnd(session, platform, requestId);
      const notifications = await readNotifications(session, platform, requestId);
      const revocations = await readRevocations(session, platform, requestId);
      const judged = await readJudged(session, platform, settings, requestId);
      if (!request && !judged && notifications.length === 0 && revocations.length === 0) return undefined;
      const next: NextStep = judged
        ? await nextOf(session, platform, settings, clock, judged)
        : { code: 'notGranted' };
      return {
        platform,
        requestId,
        request,
        viewMissing: requests === undefined,
        grant: judged?.grant ?? null,
        next,
        notifications,
        revocations,
      };
    }),
  );
}

/** What judgedSql says of a grant. */
interface Judged {
  readonly grant: Grant;
  readonly recipient: string;
  readonly viewRows: number;
  readonly hasEnded: boolean;
  readonly endsLater: boolean;
  readonly revokedAt: Date | null;
  readonly leadDays: number | null;
  readonly dueSince: Date | null;
  readonly notifiedAt: Date | null;
  readonly coveredUntil: Date | null;
  /** The end compares equal to what collectEnd read, as a run compares it. */
  readonly comparable: boolean;
}

/** Puts the end of a grant into the session's temporary table #End, to be compared with what is read later, as in a run. */
async function collectEnd(session: Session, { grantView }: Platform, requestId: RequestId): Promise<void> {
  await session.query({
    name: 'createEndTable',
    sql: `DROP TABLE IF EXISTS #End;
CREATE TABLE #End (ExpiresAt DATETIME2(7) NULL);`,
  });
  await session.query({
    name: 'collectEnd',
    sql: `INSERT INTO #End (ExpiresAt) SELECT g.ExpiresAt FROM ${grantView} AS g WHERE g.RequestId = @requestId;`,
    parameters: { requestId: requestIdParameter(requestId) },
  });
}

async function readJudged(
  session: Session,
  platform: Platform,
  settings: Settings,
  requestId: RequestId,
): Promise<Judged | undefined> {
  const { grantView, revocationTable, requestColumn } = platform;
  const judged = judgedSql(platform, settings);
  const [row] = await session.query({
    name: 'judgeRequest',
    slow: true,
    sql: `${judged.with}
SELECT TOP (1) ${grantColumns}, g.Recipient, g.ViewRows, g.HasEnded, g.EndsLater, g.LeadDays, g.DueSince, g.NotifiedAt, g.CoveredUntil,
  CASE WHEN g.IsRevoked = 1 THEN (SELECT MAX(r.Revoked_Dt) FROM ${revocationTable} AS r WHERE r.${requestColumn} = g.RequestId) END AS RevokedAt,
  CASE WHEN EXISTS (
    SELECT 1 FROM ${grantView} AS same
    WHERE same.RequestId = g.RequestId AND same.ExpiresAt = (SELECT MAX(d.ExpiresAt) FROM #End AS d)
  ) THEN 1 ELSE 0 END AS Comparable
FROM Judged AS g
ORDER BY g.ExpiresAt DESC;`,
    parameters: { ...judged.parameters, requestId: requestIdParameter(requestId) },
  });
  return row && toJudged(row);
}

function toJudged(row: Row): Judged {
  const dates = row as Record<'RevokedAt' | 'DueSince' | 'NotifiedAt' | 'CoveredUntil', Date | null>;
  return {
    grant: toGrant(row),
    recipient: row.Recipient as string,
    viewRows: row.ViewRows as number,
    hasEnded: row.HasEnded === 1,
    endsLater: row.EndsLater === 1,
    revokedAt: dates.RevokedAt,
    leadDays: row.LeadDays as number | null,
    dueSince: dates.DueSince,
    notifiedAt: dates.NotifiedAt,
    coveredUntil: dates.CoveredUntil,
    comparable: row.Comparable === 1,
  };
}

/** What comes next for a grant: the conditions of the jobs, in the order in which they hold it back. */
async function nextOf(
  session: Session,
  platform: Platform,
  settings: Settings,
  clock: Clock,
  judged: Judged,
): Promise<NextStep> {
  const { revokedAt, hasEnded, endsLater } = judged;
  if (!hasEnded && !endsLater) return { code: 'endMissing' };
  if (revokedAt) return nextOfRevoked(session, platform, settings, clock, judged, revokedAt);
  const left = await leftAlone(session, platform, judged);
  if (left) return left;
  if (endsLater) return nextReminder(platform, settings, clock, judged);
  const since = judged.grant.expiresAt;
  const ceiling = ceilingOf(settings);
  const { dueCount } = await readBacklog(session, expiredSql(platform));
  if (ceiling !== undefined && dueCount > ceiling) return { code: 'safetyStop', since, dueCount, ceiling };
  return { code: 'revocationDue', since, nextRunAt: nextRunAt('revocation', platform, settings, clock) };
}

/** Why no job touches a grant, whatever its time. */
async function leftAlone(
  session: Session,
  platform: Platform,
  { grant, viewRows, coveredUntil, comparable }: Judged,
): Promise<NextStep | undefined> {
  if (viewRows !== 1) return { code: 'duplicated', viewRows };
  if (coveredUntil) {
    const coveredBy = await readCovering(session, platform, grant.requestId);
    return { code: 'covered', coveredBy, until: coveredUntil };
  }
  return comparable ? undefined : { code: 'endUnstable' };
}

/** The grant with the same AccessKey that ends last. */
async function readCovering(
  session: Session,
  { grantView }: Platform,
  requestId: RequestId,
): Promise<Pick<Grant, 'requestId' | 'requestNumber'>> {
  const [row = {}] = await session.query({
    name: 'readCovering',
    slow: true,
    sql: `SELECT TOP (1) c.RequestId, c.RequestNumber
FROM ${grantView} AS g
JOIN ${grantView} AS c ON c.AccessKey = g.AccessKey
WHERE g.RequestId = @requestId
ORDER BY c.ExpiresAt DESC, c.RequestId;`,
    parameters: { requestId: requestIdParameter(requestId) },
  });
  return { requestId: row.RequestId as RequestId, requestNumber: text(row.RequestNumber) };
}

function nextReminder(platform: Platform, settings: Settings, clock: Clock, judged: Judged): NextStep {
  const { grant, leadDays, dueSince, notifiedAt, recipient } = judged;
  const { leadDays: leads } = settings;
  if (leadDays === null || !dueSince) {
    const first = leads.at(-1) ?? 0;
    return { code: 'reminderLater', at: leadBegins(grant.expiresAt, first), leadDays: first };
  }
  if (notifiedAt) {
    const next = leads.filter((days) => days < leadDays).at(-1);
    const at = next === undefined ? grant.expiresAt : leadBegins(grant.expiresAt, next);
    return { code: 'reminderSent', leadDays, sentAt: notifiedAt, nextLeadDays: next ?? null, at };
  }
  const failure = addressFailure(recipient);
  if (failure) return { code: failure, since: dueSince };
  const nextRun = nextRunAt('notification', platform, settings, clock);
  return { code: 'reminderDue', since: dueSince, leadDays, nextRunAt: nextRun };
}

/** A revocation settles it; with NOTIFY_REVOKED a message follows. */
async function nextOfRevoked(
  session: Session,
  platform: Platform,
  settings: Settings,
  clock: Clock,
  judged: Judged,
  revokedAt: Date,
): Promise<NextStep> {
  const { hasEnded, dueSince, notifiedAt, recipient } = judged;
  if (!hasEnded || !dueSince || notifiedAt) return { code: 'revoked', at: revokedAt };
  const left = await leftAlone(session, platform, judged);
  if (left) return left;
  const failure = addressFailure(recipient);
  if (failure) return { code: failure, since: dueSince };
  const nextRun = nextRunAt('notification', platform, settings, clock);
  return { code: 'revokedMessageDue', since: dueSince, nextRunAt: nextRun };
}

/** A lead begins at 00:00 UTC of the day that lies that many days before the last one. */
function leadBegins(expiresAt: Date, days: number): Date {
  const lastDay = Date.UTC(expiresAt.getUTCFullYear(), expiresAt.getUTCMonth(), expiresAt.getUTCDate());
  return new Date(lastDay - days * 24 * 60 * 60 * 1000);
}

/** The safety stop; undefined: its setting is malformed, and revocations fail for that. */
function ceilingOf(settings: Settings): number | undefined {
  return settings.problems.some(({ group }) => group === 'revocation')
    ? undefined
    : settings.revocationCeiling;
}

function nextRunAt(
  kind: Job['kind'],
  platform: Platform,
  { schedules, appService }: Settings,
  clock: Clock,
): Date | null {
  const job = jobs.find((one) => one.kind === kind && one.platform === platform);
  if (!job || appService.disabledFunctions.has(job.type)) return null;
  try {
    return nextRuns(schedules[job.scheduleSetting], 1, new Date(clock.now()))[0] ?? null;
  } catch (error) {
    if (error instanceof NcrontabError) return null;
    throw error;
  }
}

async function readNotifications(
  session: Session,
  { notificationTable, requestColumn }: Platform,
  requestId: RequestId,
): Promise<RequestStory['notifications']> {
  const rows = await session.query({
    name: 'readNotifications',
    sql: `SELECT TOP (@most) n.Notification_Sent_Dt AS At, n.Notification_Sent_By AS WrittenBy, n.Notification_Sent_To AS SentTo,
  ${runOfSql('n.Notification_Sent_By', 'n.Notification_Sent_Dt')} AS JobId
FROM ${notificationTable} AS n WHERE n.${requestColumn} = @requestId ORDER BY n.Notification_Sent_Dt DESC, n.Id DESC;`,
    parameters: { most: int(maxRecords), requestId: requestIdParameter(requestId) },
  });
  return rows.map((row) => ({ ...toRecord(row), sentTo: row.SentTo as string }));
}

async function readRevocations(
  session: Session,
  { revocationTable, requestColumn }: Platform,
  requestId: RequestId,
): Promise<RequestStory['revocations']> {
  const rows = await session.query({
    name: 'readRevocations',
    sql: `SELECT TOP (@most) r.Revoked_Dt AS At, r.Revoked_By AS WrittenBy,
  ${runOfSql('r.Revoked_By', 'r.Revoked_Dt')} AS JobId
FROM ${revocationTable} AS r WHERE r.${requestColumn} = @requestId ORDER BY r.Revoked_Dt DESC, r.Id DESC;`,
    parameters: { most: int(maxRecords), requestId: requestIdParameter(requestId) },
  });
  return rows.map(toRecord);
}

function toRecord(row: Row): RequestRecord {
  return { at: row.At as Date, by: row.WrittenBy as string, jobId: row.JobId as string | null };
}
