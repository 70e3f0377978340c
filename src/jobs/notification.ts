import { stopReason, extended, type Deadline } from '../clock';
import type { Settings } from '../config/settings';
import type { DatabaseConnection } from '../database/database';
import { nVarChar, uniqueIdentifier, varChar } from '../database/statement';
import type { EmailClient } from '../email/emailClient';
import { createDigest } from '../email/message';
import { addProcessed, isLeaseFresh, LockLostError, runStartedAt } from '../jobRun/lease';
import type { JobType } from '../jobRun/jobRun';
import { readDigests, type Digest } from './dueReminders';
import type { Platform } from './platforms';

/** Messages under way at the same time. */
export const maxConcurrentSends = 10;

/** So many messages in a row that the service does not take mean that it is down or refuses us. */
const maxConsecutiveFailures = 5;

/** How long recording a message that was sent may be retried at least. In ms. */
const recordingGraceMs = 20_000;

/** The email service takes no message: the run stops instead of trying each recipient. */
export class EmailServiceError extends Error {
  override readonly name = 'EmailServiceError';
  constructor(messages: number, reason: string) {
    super(
      `The email service took none of the last ${messages} messages (${reason}). The run was stopped; the next one tries again. ` +
        'Check EMAIL_ENDPOINT, EMAIL_SENDER_ADDRESS and that the identity has the role "Communication and Email Service Owner".',
    );
  }
}

export interface NotificationRun {
  readonly jobId: string;
  readonly jobType: JobType;
  readonly platform: Platform;
  /** Ascending. */
  readonly leadDays: readonly number[];
  readonly email: Settings['email'];
}

export interface NotificationOutcome {
  /** Grants whose message failed. */
  readonly failedCount: number;
  /** Why the run stopped before all was done. */
  readonly stopped?: string;
  /** Why the run failed. */
  readonly error?: unknown;
}

/**
 * Sends every digest that is due and records each grant after the service has accepted the message.
 * Does not throw: what failed, and how far the run got, is one outcome.
 */
export async function notifyExpiring(
  connection: DatabaseConnection,
  emailClient: EmailClient,
  deadline: Deadline,
  run: NotificationRun,
  log: (message: string) => void,
): Promise<NotificationOutcome> {
  let failedCount = 0;
  let faults = 0;
  let lastFailure = '';
  let accepted = 0;
  let stopped: string | undefined;
  let error: unknown;
  const digests = readDigests(connection, deadline, run.platform, run.leadDays, ({ count, requestIds }) => {
    failedCount += count;
    const more = count > requestIds.length ? ` and ${count - requestIds.length} more` : '';
    log(
      `Requests ${requestIds.join(', ')}${more}: the address is missing or malformed; no reminder was sent`,
    );
  });

  /** Asked right before each send, and so after each pause: by the database's clock. */
  async function assertLease(): Promise<void> {
    const fresh = await connection.withRetries(deadline, (session) => isLeaseFresh(session, run.jobId));
    if (!fresh) throw new LockLostError(run.jobId);
  }

  /** Recording is tried before anything is sent: a message that could not be recorded would go out again and again. */
  let recordingTried: Promise<void> | undefined;

  async function notify(digest: Digest): Promise<void> {
    await (recordingTried ??= record(connection, deadline, run, { recipient: '', grants: [] }));
    const { name } = run.platform;
    const message = createDigest(name, digest.recipient, digest.grants, run.email);
    const outcome = await emailClient.send(message, deadline, assertLease);
    const requests = `Requests ${digest.grants.map(({ requestId }) => requestId).join(', ')}`;
    switch (outcome.kind) {
      case 'accepted':
        faults = 0;
        accepted++;
        await record(connection, extended(deadline, recordingGraceMs), run, digest);
        return;
      case 'stopped':
        stopped ??= outcome.reason;
        return;
      case 'rejected':
        failedCount += digest.grants.length;
        log(`${requests}: the email service rejected the message ${message.operationId} (${outcome.reason})`);
        return;
      case 'unavailable':
      case 'unknown':
        failedCount += digest.grants.length;
        lastFailure = outcome.reason;
        log(`${requests}: message ${message.operationId} is ${outcome.kind} (${outcome.reason})`);
        if (++faults >= maxConsecutiveFailures) throw new EmailServiceError(faults, lastFailure);
    }
  }

  async function work(): Promise<void> {
    try {
      while (error === undefined && stopped === undefined) {
        const next = await digests.next();
        if (next.done) return;
        // Asked after the look, so that a run that stops early knows that more is left.
        stopped ??= stopReason(deadline);
        if (stopped !== undefined) return;
        await notify(next.value);
      }
    } catch (cause) {
      error ??= cause;
    }
  }

  await Promise.all(Array.from({ length: maxConcurrentSends }, work));
  // Too few were due to see five in a row; still the service took none.
  if (faults > 0 && accepted === 0) error ??= new EmailServiceError(faults, lastFailure);
  return { failedCount, ...(stopped !== undefined && { stopped }), ...(error !== undefined && { error }) };
}

/**
 * Records that the message of a digest was accepted: a row a grant, and the run's count, in one transaction. It is not
 * fenced, since a message that was sent is always recorded; what else the run may do is decided by its lease.
 *
 * Safe to repeat after a lost answer: a grant that has a row since this run started has it from this run, or from the
 * run that took over and sent the same message under the same operation id.
 */
async function record(
  connection: DatabaseConnection,
  deadline: Deadline,
  { jobId, jobType, platform }: NotificationRun,
  { recipient, grants }: Digest,
): Promise<void> {
  const { notificationTable, requestColumn, requestIdType } = platform;
  const rows = await connection.withRetries(deadline, (session) =>
    session.query({
      name: 'recordNotification',
      sql: `SET XACT_ABORT ON;
BEGIN TRANSACTION;
INSERT INTO ${notificationTable} (${requestColumn}, Notification_Sent_Dt, Notification_Sent_To, Notification_Sent_By)
SELECT j.RequestId, GETUTCDATE(), @sentTo, @sentBy
FROM OPENJSON(@requestIds) WITH (RequestId ${requestIdType} '$') AS j
WHERE NOT EXISTS (
  SELECT 1 FROM ${notificationTable} AS n
  WHERE n.${requestColumn} = j.RequestId
    AND n.Notification_Sent_Dt >= ${runStartedAt});
${addProcessed};
COMMIT TRANSACTION;`,
      parameters: {
        jobId: uniqueIdentifier(jobId),
        requestIds: nVarChar('max', JSON.stringify(grants.map(({ requestId }) => requestId))),
        sentTo: varChar(320, recipient),
        sentBy: varChar(100, jobType),
      },
    }),
  );
  if (rows[0]?.Status !== 'InProgress') throw new LockLostError(jobId);
}
