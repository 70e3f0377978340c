import { pMapIterable } from 'p-map';
import { extendedForRecord, stopReason, type StopReason } from '../clock';
import type { Settings } from '../config/settings';
import { AbandonedError, SqlError, sqlErrors } from '../database/errors';
import type { Session } from '../database/session';
import { int, nVarChar, varChar } from '../database/statement';
import type { EmailClient } from '../email/emailClient';
import type { Digest, DueGrant } from '../email/digest';
import { createDigests, type DigestMessage } from '../email/message';
import { isLeaseFresh, LockLostError, unfencedSql } from '../jobRun/lease';
import { recordingGraceMs } from './budgets';
import { findDue, type Found } from './dueReminders';
import type { Backlog } from './backlog';
import type { NotificationOptions } from './dueSql';
import { failureCauses, FailureLog, type Failure, type FailureCause } from './failures';
import { countViewRows } from './grants';
import type { Outcome, RunContext } from './outcome';
import type { RequestId } from './platforms';

/** Messages under way at the same time. */
export const maxConcurrentSends = 10;

/** After this many consecutive failures the service is considered down, or to refuse the identity. */
const maxConsecutiveFailures = 5;

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

/** What a run handles one by one: what it finds, with a digest as its messages. */
type Item = Exclude<Found, { readonly digest: Digest }> | MessageItem | End;

interface MessageItem {
  readonly message: DigestMessage;
  /** The service has taken the message, or will not. */
  readonly onAnswered: () => void;
}

/** The run ends before all is sent. */
type End = { readonly stopped: StopReason } | { readonly error: unknown };

/** Result of an item. */
type Result =
  | Exclude<Item, MessageItem>
  | { readonly accepted: true; readonly failure?: Failure }
  /** The app is stopped: whether the service has the message, or whether it is recorded, the next run finds out. */
  | { readonly failure: Failure; readonly stopped: 'shutdown' }
  /** The message is not to blame: the service is down, does not answer, or refuses the identity. */
  | { readonly failure: Failure; readonly serviceFault: string };

/** Sends every digest that is due and records each grant after the service has accepted the message. Does not throw. */
export async function notifyExpiring(
  context: RunContext,
  emailClient: EmailClient,
  settings: NotificationSettings,
): Promise<Outcome> {
  const { connection, deadline, platform, run } = context;
  const found = findDue(connection, deadline, { platform, options: settings, jobId: run.jobId });
  const options = {
    platformName: platform.name,
    lastLeadDays: settings.leadDays[0] ?? 0,
    email: settings.email,
  };
  return sendAll(context, emailClient, found, (digest) => createDigests(digest, options));
}

/** Sends some messages at a time, until none is left or the run has to end, and sums up the results. */
async function sendAll(
  context: RunContext,
  emailClient: EmailClient,
  found: AsyncIterable<Found>,
  toMessages: (digest: Digest) => readonly DigestMessage[],
): Promise<Outcome> {
  const failures = new FailureLog();
  let backlog: Backlog | undefined;
  let accepted = 0;
  let faultsInARow = 0;
  let fault = '';
  let stopped: StopReason | undefined;
  let error: unknown;

  const hasEnded = (): boolean => stopped !== undefined || error !== undefined;
  const results = pMapIterable(
    untilEnd(context, toItems(found, toMessages), hasEnded),
    (item) => handle(context, emailClient, item),
    { concurrency: maxConcurrentSends, preserveOrder: false },
  );
  for await (const result of results) {
    if ('backlog' in result) backlog = result.backlog;
    if ('stopped' in result) stopped ??= result.stopped;
    if ('error' in result) error ??= result.error;
    if ('failure' in result) {
      const { cause, requestIds, ...rest } = result.failure;
      failures.add(cause, requestIds, rest);
    }
    if ('accepted' in result) accepted++;
    // A refusal is an answer, too.
    if ('accepted' in result || ('failure' in result && result.failure.cause === 'rejected'))
      faultsInARow = 0;
    if ('serviceFault' in result) {
      fault = result.serviceFault;
      if (++faultsInARow >= maxConsecutiveFailures) error ??= new EmailServiceError(faultsInARow, fault);
    }
  }
  // Too few were due for as many consecutive failures; still the service took none.
  if (faultsInARow > 0 && accepted === 0) error ??= new EmailServiceError(faultsInARow, fault);
  return {
    ...(backlog && { backlog }),
    failures: failures.list,
    ...(stopped !== undefined && { stopped }),
    ...(error !== undefined && { error }),
  };
}

/**
 * With each digest as its messages. Those of a day begin when those of the days before are answered: of messages that are
 * under way at the same time, any may be the last that a quota lets through.
 */
async function* toItems(
  found: AsyncIterable<Found>,
  toMessages: (digest: Digest) => readonly DigestMessage[],
): AsyncGenerator<Item> {
  let day: number | undefined;
  let answered: Promise<unknown> = Promise.resolve();
  for await (const item of found) {
    if (!('digest' in item)) {
      yield item;
      continue;
    }
    const { digest, sendBy } = item;
    if (day !== sendBy.getTime()) await answered;
    day = sendBy.getTime();
    for (const message of toMessages(digest)) {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      answered = Promise.all([answered, promise]);
      yield { message, onAnswered: () => resolve(undefined) };
    }
  }
}

/** The items that are still to be handled when their turn comes. Does not throw. */
async function* untilEnd(
  context: RunContext,
  items: AsyncIterable<Item>,
  hasEnded: () => boolean,
): AsyncGenerator<Item> {
  let recordingWorks = false;
  try {
    for await (const item of items) {
      if (hasEnded()) return;
      if ('message' in item) {
        // Asked after the look, so that a run that stops early knows that more is left.
        const stopped = stopReason(context.deadline);
        if (stopped !== undefined) {
          yield { stopped };
          return;
        }
        // A message that cannot be recorded would go out again and again.
        if (!recordingWorks) await record(context, { recipient: '', grants: [] });
        recordingWorks = true;
      }
      yield item;
    }
  } catch (error) {
    yield toEnd(error);
  }
}

/** What the app's shutdown cut short is no fault of the run. */
function toEnd(error: unknown): End {
  return error instanceof AbandonedError ? { stopped: 'shutdown' } : { error };
}

async function handle(context: RunContext, emailClient: EmailClient, item: Item): Promise<Result> {
  if ('failure' in item) logUnsent(context, item.failure);
  if (!('message' in item)) return item;
  try {
    return await send(context, emailClient, item);
  } catch (error) {
    return toEnd(error);
  } finally {
    item.onAnswered();
  }
}

function logUnsent({ log }: RunContext, { cause, count, requestIds }: Failure): void {
  const more = count > requestIds.length ? ` and ${count - requestIds.length} more` : '';
  log(`No reminder was sent, ${failureCauses[cause].words}: request ${requestIds.join(', ')}${more}`);
}

async function send(
  context: RunContext,
  emailClient: EmailClient,
  { message, onAnswered }: MessageItem,
): Promise<Result> {
  const { deadline, log } = context;
  const outcome = await emailClient.send(message, deadline, () => assertLease(context), onAnswered);
  if (outcome.kind === 'stopped') return { stopped: outcome.reason };
  const requestIds = message.grants.map(({ requestId }) => requestId);
  const failed = (cause: FailureCause, code?: string): Failure => ({
    cause,
    count: requestIds.length,
    requestIds,
    ...(code !== undefined && { code }),
  });
  if (outcome.kind === 'accepted') {
    try {
      const failure = await record(context, message);
      return { accepted: true, ...(failure && { failure }) };
    } catch (error) {
      if (!(error instanceof AbandonedError)) throw error;
      return { failure: failed('unknown'), stopped: 'shutdown' };
    }
  }
  if (deadline.abandon?.aborted) return { failure: failed('unknown'), stopped: 'shutdown' };
  const { kind, reason } = outcome;
  log(`Requests ${requestIds.join(', ')}: message ${message.operationId} is ${kind} (${reason})`);
  return kind === 'rejected'
    ? { failure: failed(kind, serviceCode(reason)) }
    : { failure: failed(kind), serviceFault: reason };
}

/** Asked right before each send, and so after each pause: by the database's clock. */
async function assertLease({ connection, deadline, run }: RunContext): Promise<void> {
  if (!(await connection.withRetries(deadline, (session) => isLeaseFresh(session, run))))
    throw new LockLostError(run.jobId);
}

/**
 * Records that the message of a digest was accepted, even after the deadline.
 * @returns grants whose request was deleted since it was read: there is no row for the record to refer to
 */
async function record(context: RunContext, digest: Digest): Promise<Failure | undefined> {
  const { connection, deadline, run, platform } = context;
  const { status, refused } = await connection.withRetries(
    extendedForRecord(deadline, recordingGraceMs),
    (session) => recordEach(session, context, digest),
  );
  for (const { grant, error } of refused) {
    const rows = await connection.withRetries(extendedForRecord(deadline, recordingGraceMs), (session) =>
      countViewRows(session, platform, grant.requestId),
    );
    // The request exists: the constraint is another one, or the ids of the view are not those of the table.
    if (rows > 0) throw error;
  }
  if (status !== undefined && status !== 'InProgress') throw new LockLostError(run.jobId);
  const requestIds = refused.map(({ grant }) => grant.requestId);
  return refused.length === 0 ? undefined : { cause: 'deleted', count: refused.length, requestIds };
}

interface Recorded {
  /** The run's; undefined if nothing could be recorded. */
  readonly status: string | undefined;
  /** Grants whose row a constraint refused. */
  readonly refused: readonly { readonly grant: DueGrant; readonly error: SqlError }[];
}

/** Records the grants of a digest, halving it where a constraint refuses one, so that only that one is left out. */
async function recordEach(
  session: Session,
  context: RunContext,
  { recipient, grants }: Digest,
): Promise<Recorded> {
  try {
    return { status: await recordNotification(session, context, { recipient, grants }), refused: [] };
  } catch (error) {
    if (!(error instanceof SqlError) || error.number !== sqlErrors.constraintConflict) throw error;
    const [grant, ...others] = grants;
    if (!grant) throw error;
    if (others.length === 0) return { status: undefined, refused: [{ grant, error }] };
  }
  const middle = Math.ceil(grants.length / 2);
  const first = await recordEach(session, context, { recipient, grants: grants.slice(0, middle) });
  const second = await recordEach(session, context, { recipient, grants: grants.slice(middle) });
  return { status: second.status ?? first.status, refused: [...first.refused, ...second.refused] };
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
