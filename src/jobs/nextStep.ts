/** What happens to a grant next, and why: the jobs' own conditions, asked of one request. */
import type { Clock } from '../clock';
import type { Settings } from '../config/settings';
import { date, flag, nullable, number, siteText, text } from '../database/columns';
import type { Session } from '../database/session';
import { jobs, type Job } from './catalogue';
import { addressFailure } from './dueReminders';
import { readBacklog } from './backlog';
import { expiredSql, firstLead, judgedSql } from './dueSql';
import { grantColumns, grantList, requestId, requestIdParameter, toGrant, type Grant } from './grants';
import { nextRunOf } from './jobStates';
import type { Platform, RequestId } from './platforms';

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
  /** Skipped, though its time may have come. */
  | {
      readonly code: 'covered';
      readonly coveredBy: CoveringGrant;
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
  /** Nothing is left to do. Of the view of grants: endMissing: it yields it without an end; notGranted: not at all. */
  | { readonly code: 'revoked'; readonly at: Date }
  | { readonly code: 'endMissing' | 'notGranted' };

/** The grant with the same AccessKey that ends last; its id is null where the view yields none. */
interface CoveringGrant {
  readonly requestId: RequestId | null;
  readonly requestNumber: string;
}

interface Due {
  readonly since: Date;
  readonly nextRunAt: Date | null;
}

/** Where a grant is looked at. */
export interface Outlook {
  readonly session: Session;
  readonly platform: Platform;
  readonly settings: Settings;
  readonly clock: Clock;
}

/** What comes next for a request, and the grant that this is about. */
export interface Next {
  readonly next: NextStep;
  /** Null: the view of grants does not yield it, or without an end. */
  readonly grant: Grant | null;
  /** Where its messages go, in lower case, usable or not. */
  readonly recipient: string;
  /** The smallest lead that has begun, in days; null: none has. */
  readonly leadDays: number | null;
}

/** @throws DatabaseError */
export async function readNext(outlook: Outlook, id: RequestId): Promise<Next> {
  await collectEnd(outlook, id);
  const judged = await readJudged(outlook, id);
  if (!judged) {
    const code = judged === null ? 'endMissing' : 'notGranted';
    return { next: { code }, grant: null, recipient: '', leadDays: null };
  }
  const { grant, recipient, leadDays } = judged;
  return { next: await nextOf(outlook, judged), grant, recipient, leadDays };
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

/** Puts a grant's end into the session's temporary table #End, to be compared with a later read, as a run does. */
async function collectEnd({ session, platform: { grantView } }: Outlook, id: RequestId): Promise<void> {
  await session.query({
    name: 'createEndTable',
    sql: `DROP TABLE IF EXISTS #End;
CREATE TABLE #End (ExpiresAt DATETIME2(7) NULL);`,
  });
  await session.query({
    name: 'collectEnd',
    sql: `INSERT INTO #End (ExpiresAt) SELECT g.ExpiresAt FROM ${grantView} AS g WHERE g.RequestId = @requestId;`,
    parameters: { requestId: requestIdParameter(id) },
  });
}

const judgedColumns = {
  ...grantColumns,
  ExpiresAt: nullable(date),
  Recipient: text,
  ViewRows: number,
  HasEnded: flag,
  EndsLater: flag,
  LeadDays: nullable(number),
  DueSince: nullable(date),
  NotifiedAt: nullable(date),
  CoveredUntil: nullable(date),
  RevokedAt: nullable(date),
  Comparable: flag,
};

/** @returns undefined: the view does not yield it; null: it yields it without an end */
async function readJudged(
  { session, platform, settings }: Outlook,
  id: RequestId,
): Promise<Judged | null | undefined> {
  const { grantView, revocationTable, requestColumn } = platform;
  const judged = judgedSql(platform, settings);
  const [row] = await session.query({
    name: 'judgeRequest',
    slow: true,
    columns: judgedColumns,
    sql: `${judged.with}
SELECT TOP (1) ${grantList}, g.Recipient, g.ViewRows, g.HasEnded, g.EndsLater, g.LeadDays, g.DueSince, g.NotifiedAt, g.CoveredUntil,
  CASE WHEN g.IsRevoked = 1 THEN (SELECT MAX(r.Revoked_Dt) FROM ${revocationTable} AS r WHERE r.${requestColumn} = g.RequestId) END AS RevokedAt,
  CASE WHEN EXISTS (
    SELECT 1 FROM ${grantView} AS same
    WHERE same.RequestId = g.RequestId AND same.ExpiresAt = (SELECT MAX(d.ExpiresAt) FROM #End AS d)
  ) THEN 1 ELSE 0 END AS Comparable
FROM Judged AS g
ORDER BY g.ExpiresAt DESC;`,
    parameters: { ...judged.parameters, requestId: requestIdParameter(id) },
  });
  if (!row) return undefined;
  const { ExpiresAt } = row;
  return (
    ExpiresAt && {
      grant: toGrant({ ...row, ExpiresAt }),
      recipient: row.Recipient,
      viewRows: row.ViewRows,
      hasEnded: row.HasEnded,
      endsLater: row.EndsLater,
      revokedAt: row.RevokedAt,
      leadDays: row.LeadDays,
      dueSince: row.DueSince,
      notifiedAt: row.NotifiedAt,
      coveredUntil: row.CoveredUntil,
      comparable: row.Comparable,
    }
  );
}

/** What comes next for a grant: the conditions of the jobs, in the order in which they hold it back. */
async function nextOf(outlook: Outlook, judged: Judged): Promise<NextStep> {
  const { revokedAt, endsLater } = judged;
  if (revokedAt) return nextOfRevoked(outlook, judged, revokedAt);
  const left = await leftAlone(outlook, judged);
  if (left) return left;
  if (endsLater) return nextReminder(outlook, judged);
  const since = judged.grant.expiresAt;
  const ceiling = ceilingOf(outlook);
  const { dueCount } = await readBacklog(outlook.session, expiredSql(outlook.platform));
  if (ceiling !== undefined && dueCount > ceiling) return { code: 'safetyStop', since, dueCount, ceiling };
  return { code: 'revocationDue', since, nextRunAt: nextRunAt('revocation', outlook) };
}

/** Why no job touches a grant, whatever its time. */
async function leftAlone(
  { session, platform }: Outlook,
  { grant, viewRows, coveredUntil, comparable }: Judged,
): Promise<NextStep | undefined> {
  if (viewRows !== 1) return { code: 'duplicated', viewRows };
  if (coveredUntil) {
    const coveredBy = await readCovering(session, platform, grant.requestId);
    return { code: 'covered', coveredBy, until: coveredUntil };
  }
  return comparable ? undefined : { code: 'endUnstable' };
}

async function readCovering(
  session: Session,
  { grantView }: Platform,
  id: RequestId,
): Promise<CoveringGrant> {
  const [row] = await session.query({
    name: 'readCovering',
    slow: true,
    columns: { RequestId: nullable(requestId), RequestNumber: siteText },
    sql: `SELECT TOP (1) c.RequestId, c.RequestNumber
FROM ${grantView} AS g
JOIN ${grantView} AS c ON c.AccessKey = g.AccessKey
WHERE g.RequestId = @requestId
ORDER BY c.ExpiresAt DESC, c.RequestId;`,
    parameters: { requestId: requestIdParameter(id) },
  });
  return { requestId: row?.RequestId ?? null, requestNumber: row?.RequestNumber ?? '' };
}

function nextReminder(outlook: Outlook, judged: Judged): NextStep {
  const { grant, leadDays, dueSince, notifiedAt, recipient } = judged;
  const { leadDays: leads } = outlook.settings;
  if (leadDays === null || !dueSince) {
    const first = firstLead(leads);
    return { code: 'reminderLater', at: leadBegins(grant.expiresAt, first), leadDays: first };
  }
  if (notifiedAt) {
    const next = leads.filter((days) => days < leadDays).at(-1);
    const at = next === undefined ? grant.expiresAt : leadBegins(grant.expiresAt, next);
    return { code: 'reminderSent', leadDays, sentAt: notifiedAt, nextLeadDays: next ?? null, at };
  }
  const failure = addressFailure(recipient);
  if (failure) return { code: failure, since: dueSince };
  const nextRun = nextRunAt('notification', outlook);
  return { code: 'reminderDue', since: dueSince, leadDays, nextRunAt: nextRun };
}

/** A revocation settles it; with NOTIFY_REVOKED a message follows. */
async function nextOfRevoked(outlook: Outlook, judged: Judged, revokedAt: Date): Promise<NextStep> {
  const { hasEnded, dueSince, notifiedAt, recipient } = judged;
  if (!hasEnded || !dueSince || notifiedAt) return { code: 'revoked', at: revokedAt };
  const left = await leftAlone(outlook, judged);
  if (left) return left;
  const failure = addressFailure(recipient);
  if (failure) return { code: failure, since: dueSince };
  const nextRun = nextRunAt('notification', outlook);
  return { code: 'revokedMessageDue', since: dueSince, nextRunAt: nextRun };
}

/** A lead begins at 00:00 UTC of the day that lies that many days before the last one. */
function leadBegins(expiresAt: Date, days: number): Date {
  const lastDay = Date.UTC(expiresAt.getUTCFullYear(), expiresAt.getUTCMonth(), expiresAt.getUTCDate());
  return new Date(lastDay - days * 24 * 60 * 60 * 1000);
}

/** The safety stop; undefined: its setting is malformed, and revocations fail for that. */
function ceilingOf({ settings }: Outlook): number | undefined {
  return settings.problems.some(({ group }) => group === 'revocation')
    ? undefined
    : settings.revocationCeiling;
}

function nextRunAt(kind: Job['kind'], { platform, settings, clock }: Outlook): Date | null {
  const job = jobs.find((one) => one.kind === kind && one.platform === platform);
  return job ? nextRunOf(job, settings, new Date(clock.now())) : null;
}
