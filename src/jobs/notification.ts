import { extended, stopReason } from '../clock';
import type { Settings } from '../config/settings';
import type { Session } from '../database/session';
import { int, nVarChar, varChar } from '../database/statement';
import type { EmailClient } from '../email/emailClient';
import type { Digest, DueGrant } from '../email/digest';
import { createDigests, type DigestMessage } from '../email/message';
import { isLeaseFresh, LockLostError, unfencedSql } from '../jobRun/lease';
import { readDigests, readGrantToResend, type Undeliverable } from './dueReminders';
import type { Backlog, NotificationOptions } from './dueSql';
import { failureCauses, FailureLog, type FailureCause } from './failures';
import type { Outcome, RunContext } from './outcome';
import type { RequestId } from './platforms';

/** Messages under way at the same time. */
export const maxConcurrentSends = 10;

/** After this many consecutive failures the service is considered down, or to refuse the identity. */
const maxConsecutiveFailures = 5;

/** How long recording a message that was sent may be retried at least. In ms. */
const recordingGraceMs = 20_000;

/** The email service accepts no message: the run stops instead of trying each recipient. */
export class EmailServiceError extends Error {
  override readonly name = 'EmailServiceError';
  constructor(messages: number, reason: string) {
    super(
      `The email service took none of the last ${messages} messages (${reason}). The run was stopped; the next one tries again. ` +
        'Check EMAIL_ENDPOINT, EMAIL_SENDER_ADDRESS and that the identity has the role "Communication and Email Service Owner".',
    );
  }
}

export interface NotificationSettings extends NotificationOptions {
  readonly email: Settings['email'];
}

/**
 * Sends every digest that is due and records each grant after the service has accepted the message. Does not throw.
 * @param resend the one grant whose reminder is to be sent again, due or not, under a new operation id
 */
export async function notifyExpiring(
  context: RunContext,
  emailClient: EmailClient,
  settings: NotificationSettings,
  resend?: RequestId,
): Promise<Outcome> {
  return new Notifier(context, emailClient, settings, resend).run();
}

class Notifier {
  readonly #failures = new FailureLog();
  readonly #digests: AsyncIterator<Digest>;
  #backlog: Backlog | undefined;
  #consecutiveFailures = 0;
  #lastFailure = '';
  #accepted = 0;
  #stopped: string | undefined;
  #error: unknown;
  /** Recording is tried before anything is sent: a message that could not be recorded would go out again and again. */
  #recordingTried: Promise<void> | undefined;

  constructor(
    private readonly context: RunContext,
    private readonly emailClient: EmailClient,
    private readonly settings: NotificationSettings,
    private readonly resend: RequestId | undefined,
  ) {
    this.#digests = resend === undefined ? this.#readDue() : this.#readResend(resend);
  }

  async run(): Promise<Outcome> {
    await Promise.all(Array.from({ length: maxConcurrentSends }, () => this.#sendDigests()));
    // Too few were due for as many consecutive failures; still the service took none.
    if (this.#consecutiveFailures > 0 && this.#accepted === 0)
      this.#error ??= new EmailServiceError(this.#consecutiveFailures, this.#lastFailure);
    return {
      ...(this.#backlog && { backlog: this.#backlog }),
      failures: this.#failures.list,
      ...(this.#stopped !== undefined && { stopped: this.#stopped }),
      ...(this.#error !== undefined && { error: this.#error }),
    };
  }

  #readDue(): AsyncIterator<Digest> {
    const { connection, deadline, platform } = this.context;
    return readDigests(connection, deadline, {
      platform,
      options: this.settings,
      onCollected: ({ backlog, unusable }) => {
        this.#backlog = backlog;
        for (const { cause, requestIds, count } of unusable) this.#failures.add(cause, requestIds, { count });
      },
      onUndeliverable: (grants) => this.#logUndeliverable(grants),
      onUnreadable: ({ cause, requestIds, count }) => this.#failures.add(cause, requestIds, { count }),
    });
  }

  async *#readResend(requestId: RequestId): AsyncGenerator<Digest> {
    const { connection, deadline, platform, run } = this.context;
    const digest = await connection.withRetries(deadline, (session) =>
      readGrantToResend(session, platform, this.settings, requestId, run.startedAt),
    );
    if (!digest) throw new Error(`${platform.grantView} yields no request ${requestId}, or more than one.`);
    if ('cause' in digest) this.#logUndeliverable(digest);
    else yield digest;
  }

  #logUndeliverable({ count, cause, requestIds }: Undeliverable): void {
    this.#failures.add(cause, requestIds, { count });
    const more = count > requestIds.length ? ` and ${count - requestIds.length} more` : '';
    this.context.log(
      `No reminder was sent, ${failureCauses[cause].words}: request ${requestIds.join(', ')}${more}`,
    );
  }

  /** Sends digest after digest, beside others that do the same, until none is left or the run has to stop. */
  async #sendDigests(): Promise<void> {
    try {
      while (this.#error === undefined && this.#stopped === undefined) {
        const next = await this.#digests.next();
        if (next.done) return;
        // Asked after the look, so that a run that stops early knows that more is left.
        this.#stopped ??= stopReason(this.context.deadline);
        if (this.#stopped !== undefined) return;
        await this.#notify(next.value);
      }
    } catch (cause) {
      this.#error ??= cause;
    }
  }

  async #notify(digest: Digest): Promise<void> {
    const { platform, run } = this.context;
    await (this.#recordingTried ??= this.#record({ recipient: '', grants: [] }));
    const options = {
      platformName: platform.name,
      lastLeadDays: this.settings.leadDays[0] ?? 0,
      email: this.settings.email,
    };
    const salt = this.resend === undefined ? undefined : run.jobId;
    for (const message of createDigests(digest, options, salt)) {
      if (this.#stopped !== undefined) return;
      await this.#send(message);
    }
  }

  async #send(message: DigestMessage): Promise<void> {
    const { deadline, log } = this.context;
    const outcome = await this.emailClient.send(message, deadline, () => this.#assertLease());
    const requestIds = message.grants.map(({ requestId }) => requestId);
    const requests = `Requests ${requestIds.join(', ')}`;
    switch (outcome.kind) {
      case 'accepted':
        this.#consecutiveFailures = 0;
        this.#accepted++;
        await this.#record(message);
        return;
      case 'stopped':
        this.#stopped ??= outcome.reason;
        return;
      case 'rejected':
        this.#failures.add('rejected', requestIds, { code: serviceCode(outcome.reason) });
        log(`${requests}: the email service rejected the message ${message.operationId} (${outcome.reason})`);
        return;
      case 'unavailable':
      case 'unknown':
        this.#failures.add(outcome.kind satisfies FailureCause, requestIds);
        this.#lastFailure = outcome.reason;
        log(`${requests}: message ${message.operationId} is ${outcome.kind} (${outcome.reason})`);
        if (++this.#consecutiveFailures >= maxConsecutiveFailures)
          throw new EmailServiceError(this.#consecutiveFailures, this.#lastFailure);
    }
  }

  /** Asked right before each send, and so after each pause: by the database's clock. */
  async #assertLease(): Promise<void> {
    const { connection, deadline, run } = this.context;
    if (!(await connection.withRetries(deadline, (session) => isLeaseFresh(session, run))))
      throw new LockLostError(run.jobId);
  }

  /** Records that the message of a digest was accepted, even after the deadline. */
  async #record(digest: Digest): Promise<void> {
    const { connection, deadline, run } = this.context;
    const status = await connection.withRetries(extended(deadline, recordingGraceMs), (session) =>
      recordNotification(session, this.context, digest),
    );
    if (status !== 'InProgress') throw new LockLostError(run.jobId);
  }
}

/**
 * Records a digest: a row for each grant, and the run's count, in one transaction. It is not fenced, since a message that
 * was sent is always recorded (acceptedIsRecorded in model/); what else the run may do is decided by its lease.
 *
 * Safe to repeat (recordedOnce in model/): a grant that has a row since it has been due has it from an earlier try, or from
 * the run that took over and sent the same message under the same operation id. Two runs that record it in the same
 * moment do not see each other's row: then it is recorded twice (ONE_ROW_FOR_TWO_RUNS).
 * @returns the run's status
 */
async function recordNotification(
  session: Session,
  { run, platform }: RunContext,
  { recipient, grants }: Digest,
): Promise<string | undefined> {
  const { notificationTable, requestColumn, requestIdType } = platform;
  const [row] = await session.query({
    name: 'recordNotification',
    sql: unfencedSql(`INSERT INTO ${notificationTable} (${requestColumn}, Notification_Sent_Dt, Notification_Sent_To, Notification_Sent_By)
SELECT j.RequestId, GETUTCDATE(), @sentTo, @sentBy
FROM OPENJSON(@grants) WITH (RequestId ${requestIdType} '$.requestId', DueSince DATETIME2(7) '$.dueSince') AS j
WHERE NOT EXISTS (
  SELECT 1 FROM ${notificationTable} AS n
  WHERE n.${requestColumn} = j.RequestId AND n.Notification_Sent_Dt >= j.DueSince)`),
    parameters: {
      runId: int(run.id),
      grants: nVarChar('max', JSON.stringify(grants.map(toRecord))),
      sentTo: varChar(320, recipient),
      sentBy: varChar(100, run.jobType),
    },
  });
  return row?.Status as string | undefined;
}

/** As OPENJSON reads it; a DATETIME2 has no zone. */
function toRecord({ requestId, dueSince }: DueGrant): { requestId: RequestId; dueSince: string } {
  return { requestId, dueSince: dueSince.toISOString().replace('Z', '') };
}

/** The email service's code within "HTTP 400 Code" or "operation failed: Code"; without one, the status. */
function serviceCode(reason: string): string {
  return reason.slice(reason.lastIndexOf(' ') + 1);
}
