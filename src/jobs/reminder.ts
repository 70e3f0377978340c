/** One grant's reminder, sent by hand. It belongs to the request and is not a run. */
import { extendedForRecord, type Deadline } from '../clock';
import type { DatabaseConnection } from '../database/database';
import { DatabaseError } from '../database/errors';
import { date, nullable, number } from '../database/columns';
import type { Session } from '../database/session';
import { int, varChar } from '../database/statement';
import type { SendOutcome } from '../email/emailClient';
import { createDigests, type DigestMessage } from '../email/message';
import { recordingGraceMs } from './budgets';
import { addressFailure } from './dueReminders';
import { firstLead, lastLead } from './dueSql';
import { requestIdParameter, type Grant } from './grants';
import { readNext, type Next, type NextStep } from './nextStep';
import type { Platform, RequestId } from './platforms';
import { readRequests, type AccessRequest } from './requests';
import type { Services } from '../services';

/** Minimum interval between messages about a grant when sent by hand, in minutes. */
export const quietMinutes = 10;

/** Prefix of Notification_Sent_By of a reminder sent by hand, so that no person's name is taken for a job. */
const operatorMark = 'Operator';

/** Result of a reminder. */
export type ReminderResult =
  | { readonly kind: 'sent'; readonly sentTo: string; readonly sentBy: string }
  /** The service has the message; it is not recorded. */
  | { readonly kind: 'unrecorded'; readonly sentTo: string; readonly reason: string }
  | { readonly kind: 'unknownRequest' }
  /** Nothing was sent, for what `next` says. */
  | { readonly kind: 'notRemindable'; readonly next: NextStep; readonly request: AccessRequest | null }
  /** Nothing was sent: a message about it went out less than 10 minutes ago. */
  | { readonly kind: 'justSent'; readonly at: Date; readonly retryAfterMs: number }
  /** Nothing was sent: its address cannot be used. */
  | { readonly kind: 'unusableAddress'; readonly cause: 'addressMissing' | 'addressMalformed' }
  /** The email service did not take it, or (unknown) may have taken it. */
  | Exclude<SendOutcome, { readonly kind: 'accepted' }>;

export interface ReminderOptions {
  /** Who sends it, where that is known. */
  readonly operator?: string;
}

/** Next steps that allow a reminder by hand, due or not. */
const remindable: readonly NextStep['code'][] = [
  'reminderDue',
  'reminderLater',
  'reminderSent',
  'addressMissing',
  'addressMalformed',
];

/** Whether a grant can be reminded, apart from the minimum interval. */
export function canBeReminded({ next, recipient }: Pick<Next, 'next' | 'recipient'>): boolean {
  return remindable.includes(next.code) && addressFailure(recipient) === null;
}

/**
 * Sends a grant's reminder to its present address, due or not, and records it. Takes no lock: a run may send one as well.
 * @throws DatabaseError before anything is sent; SettingsError
 */
export async function remind(
  services: Services,
  deadline: Deadline,
  platform: Platform,
  requestId: RequestId,
  { operator }: ReminderOptions = {},
): Promise<ReminderResult> {
  const { database, settings, clock, emailClient } = services;
  return database.connect('reminder', async (connection) => {
    const found = await connection.withRetries(deadline, async (session) => {
      const next = await readNext({ session, platform, settings, clock }, requestId);
      const requests = next.grant ? undefined : await readRequests(session, platform, [requestId]);
      const request = requests?.get(requestId) ?? null;
      const history = await readHistory(session, platform, requestId);
      if (next.next.code === 'notGranted' && !request && !history.last) return undefined;
      return { ...next, request, history };
    });
    if (!found) return { kind: 'unknownRequest' };
    const { grant, next, request, recipient } = found;
    if (!grant || !remindable.includes(next.code)) return { kind: 'notRemindable', next, request };
    const justSent = refusalAfter(found.history);
    if (justSent) return justSent;
    const cause = addressFailure(recipient);
    if (cause) return { kind: 'unusableAddress', cause };
    const message = createMessage(services, platform, found, grant);
    try {
      const outcome = await emailClient.send(message, deadline, async () => {
        const history = await connection.withRetries(deadline, (session) =>
          readHistory(session, platform, requestId),
        );
        const refused = refusalAfter(history);
        if (refused) throw new JustSentError(refused);
      });
      if (outcome.kind !== 'accepted') return outcome;
    } catch (error) {
      if (!(error instanceof JustSentError)) throw error;
      return error.refusal;
    }
    const sentBy = operator === undefined ? operatorMark : inBytes(`${operatorMark} ${operator}`, 100);
    return record(connection, deadline, platform, { ...found, requestId, sentBy });
  });
}

/** As many characters as fit: in a database with a UTF-8 collation one takes up to four bytes. */
function inBytes(text: string, most: number): string {
  return Buffer.from(text)
    .subarray(0, most)
    .toString()
    .replace(/\uFFFD$/, '');
}

type JustSent = Extract<ReminderResult, { readonly kind: 'justSent' }>;

/** A message about the grant was sent meanwhile. */
class JustSentError extends Error {
  override readonly name = 'JustSentError';
  constructor(readonly refusal: JustSent) {
    super(`A message went out at ${refusal.at.toISOString()}.`);
  }
}

/** The notifications of a request, by the database's clock. */
interface History {
  readonly now: Date;
  /** Of the last ten minutes, the newest. */
  readonly recent: Date | null;
  /** The last one and its Id; null and 0: there is none. */
  readonly last: Date | null;
  readonly lastId: number;
}

async function readHistory(
  session: Session,
  { notificationTable, requestColumn }: Platform,
  requestId: RequestId,
): Promise<History> {
  const [row] = await session.query({
    name: 'readNotificationHistory',
    columns: { Now: date, LastId: number, Last: nullable(date), Recent: nullable(date) },
    sql: `SELECT GETUTCDATE() AS Now, COALESCE(MAX(n.Id), 0) AS LastId, MAX(n.Notification_Sent_Dt) AS Last,
  MAX(CASE WHEN n.Notification_Sent_Dt > DATEADD(MINUTE, -${quietMinutes}, GETUTCDATE()) THEN n.Notification_Sent_Dt END) AS Recent
FROM ${notificationTable} AS n WHERE n.${requestColumn} = @requestId;`,
    parameters: { requestId: requestIdParameter(requestId) },
  });
  if (!row) throw new Error('The history of a request has no row.');
  return { now: row.Now, recent: row.Recent, last: row.Last, lastId: row.LastId };
}

/** From when a reminder can be sent by hand again after a message about the grant. */
export function quietUntil(sentAt: Date): Date {
  return new Date(sentAt.getTime() + quietMinutes * 60_000);
}

/** The minimum interval of ten minutes. */
function refusalAfter({ now, recent }: History): JustSent | undefined {
  if (!recent) return undefined;
  return { kind: 'justSent', at: recent, retryAfterMs: quietUntil(recent).getTime() - now.getTime() };
}

/**
 * The message. Its operation id follows from the last recorded message and the current ten minutes of the clock; the id of
 * the ten minutes before is looked up first. So several requests at once, and one after a lost answer, are one message to
 * the service for at least ten minutes.
 */
function createMessage(
  { settings: { leadDays, email } }: Services,
  { name: platformName }: Platform,
  { recipient, leadDays: begun, history: { now, last, lastId } }: Next & { history: History },
  grant: Grant,
): DigestMessage {
  const dayOf = (date: Date): number => Math.floor(date.getTime() / (24 * 60 * 60 * 1000));
  const daysLeft = dayOf(grant.expiresAt) - dayOf(now);
  // As for due reminders: an earlier message was about another end.
  const remindedBefore = last !== null && dayOf(grant.expiresAt) - dayOf(last) <= firstLead(leadDays);
  const grants = [{ ...grant, leadDays: begun ?? daysLeft, remindedBefore, dueSince: now }];
  const tenMinutes = Math.floor(now.getTime() / (quietMinutes * 60_000));
  const options = { platformName, lastLeadDays: lastLead(leadDays), email };
  const createFor = (period: number): DigestMessage | undefined =>
    createDigests({ recipient, grants }, options, `by hand after ${lastId}, ${period}`)[0];
  const [message, earlier] = [createFor(tenMinutes), createFor(tenMinutes - 1)];
  if (!message || !earlier) throw new Error('A digest of one grant has no message.');
  return { ...message, earlierIds: [earlier.operationId] };
}

/**
 * Records that the service has accepted the message, also where a run has recorded one of its own meanwhile.
 */
async function record(
  connection: DatabaseConnection,
  deadline: Deadline,
  platform: Platform,
  {
    requestId,
    recipient,
    sentBy,
    history,
  }: { requestId: RequestId; recipient: string; sentBy: string; history: History },
): Promise<ReminderResult> {
  const { notificationTable, requestColumn } = platform;
  try {
    await connection.withRetries(extendedForRecord(deadline, recordingGraceMs), (session) =>
      session.query({
        name: 'recordReminder',
        sql: `INSERT INTO ${notificationTable} (${requestColumn}, Notification_Sent_Dt, Notification_Sent_To, Notification_Sent_By)
SELECT @requestId, GETUTCDATE(), @sentTo, @sentBy
WHERE NOT EXISTS (
  SELECT 1 FROM ${notificationTable} AS n
  WHERE n.${requestColumn} = @requestId AND n.Id > @lastId AND n.Notification_Sent_By = @sentBy);`,
        parameters: {
          requestId: requestIdParameter(requestId),
          sentTo: varChar(320, recipient),
          sentBy: varChar(100, sentBy),
          lastId: int(history.lastId),
        },
      }),
    );
    return { kind: 'sent', sentTo: recipient, sentBy };
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    return { kind: 'unrecorded', sentTo: recipient, reason: error.message };
  }
}
