import { pMapIterable } from 'p-map';
import { stopReason, type StopReason } from '../clock';
import type { Settings } from '../config/settings';
import { AbandonedError } from '../database/errors';
import type { EmailClient, SendOutcome } from '../email/emailClient';
import type { Digest } from '../email/digest';
import { createDigests, type DigestMessage } from '../email/message';
import { isLeaseFresh, LockLostError } from '../jobRun/lease';
import type { Backlog } from './backlog';
import { findDue, type Found } from './dueReminders';
import { lastLead, type NotificationOptions } from './dueSql';
import {
  addFailure,
  failedCount,
  failureCauses,
  undeliverableCount,
  type Failure,
  type FailureCause,
} from './failures';
import type { Outcome, RunContext } from './outcome';
import { assertCanRecord, recordAccepted } from './recordNotification';

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

/** A message whose turn has come. */
interface QueuedMessage {
  readonly message: DigestMessage;
  /** Called once the service has answered. */
  readonly onAnswered: () => void;
}

/** Result of one step of a run. */
type Step =
  | Exclude<Found, { readonly kind: 'digest' }>
  /** Sent and recorded, but for these grants. */
  | { readonly kind: 'sent'; readonly failures: readonly Failure[] }
  | { readonly kind: 'rejected'; readonly failure: Failure }
  /** A fault of the service, not of the message: it is down, does not answer, or refuses the identity. */
  | { readonly kind: 'serviceFault'; readonly failure: Failure; readonly reason: string }
  /** With a failure: the next run finds out whether the service has the message, or whether it is recorded. */
  | { readonly kind: 'stopped'; readonly reason: StopReason; readonly failure?: Failure }
  | { readonly kind: 'error'; readonly error: unknown };

/** Sum of the steps so far. */
interface Progress {
  readonly backlog?: Backlog;
  readonly failures: readonly Failure[];
  readonly sent: number;
  /** Faults of the service since it last answered, and the last of them. */
  readonly faults: number;
  readonly fault: string;
  readonly stopped?: StopReason;
  readonly error?: unknown;
}

/** Sends every digest that is due and records each grant after the service has accepted the message. Does not throw. */
export async function notifyExpiring(
  context: RunContext,
  emailClient: EmailClient,
  settings: NotificationSettings,
): Promise<Outcome> {
  const { connection, deadline, platform, run } = context;
  const options = {
    platformName: platform.name,
    lastLeadDays: lastLead(settings.leadDays),
    email: settings.email,
  };
  let progress: Progress = { failures: [], sent: 0, faults: 0, fault: '' };
  const take = (step: Step): void => {
    progress = advance(progress, step);
  };
  const queue = queueMessages(context, {
    found: findDue(connection, deadline, { platform, options: settings, jobId: run.jobId }),
    toMessages: (digest) => createDigests(digest, options),
    take,
    hasEnded: () => progress.stopped !== undefined || progress.error !== undefined,
  });
  const sends = pMapIterable(queue, (queued) => send(context, emailClient, queued), {
    concurrency: maxConcurrentSends,
    preserveOrder: false,
  });
  for await (const step of sends) take(step);
  return toOutcome(progress);
}

interface QueueOptions {
  readonly found: AsyncIterable<Found>;
  readonly toMessages: (digest: Digest) => readonly DigestMessage[];
  /** Takes steps that are not messages. */
  readonly take: (step: Step) => void;
  readonly hasEnded: () => boolean;
}

/**
 * The messages that are due, until the run ends. Those of a day begin when those of earlier days are answered, since a
 * quota may let through any of the messages that are under way at the same time. Does not throw.
 */
async function* queueMessages(
  context: RunContext,
  { found, toMessages, take, hasEnded }: QueueOptions,
): AsyncGenerator<QueuedMessage> {
  const { deadline } = context;
  /** Asked once something is found: a run that stops early then knows that more is left. */
  const stops = (): boolean => {
    const reason = stopReason(deadline);
    if (reason !== undefined) take({ kind: 'stopped', reason });
    return reason !== undefined;
  };
  const unanswered = new Set<Promise<undefined>>();
  let day: number | undefined;
  let recordingWorks = false;
  try {
    for await (const item of found) {
      if (hasEnded()) return;
      if (item.kind === 'unsendable') {
        // Other failures are of the view; they fail the run, so that they are taken in any case.
        if (undeliverableCount([item.failure]) > 0 && stops()) return;
        logUnsent(context, item.failure);
      }
      if (item.kind !== 'digest') {
        take(item);
        continue;
      }
      if (day !== item.sendBy.getTime()) await Promise.all(unanswered);
      day = item.sendBy.getTime();
      for (const message of toMessages(item.digest)) {
        if (hasEnded() || stops()) return;
        // A message that cannot be recorded would go out again and again.
        if (!recordingWorks) await assertCanRecord(context);
        recordingWorks = true;
        const { promise, resolve } = Promise.withResolvers<undefined>();
        unanswered.add(promise);
        const onAnswered = (): void => {
          unanswered.delete(promise);
          resolve(undefined);
        };
        yield { message, onAnswered };
      }
    }
  } catch (error) {
    take(endedBy(error));
  }
}

/** Work that a shutdown cut short does not fail the run. */
function endedBy(error: unknown): Step {
  return error instanceof AbandonedError ? { kind: 'stopped', reason: 'shutdown' } : { kind: 'error', error };
}

function logUnsent({ log }: RunContext, { cause, count, requestIds }: Failure): void {
  const more = count > requestIds.length ? ` and ${count - requestIds.length} more` : '';
  log(`No reminder was sent, ${failureCauses[cause].words}: request ${requestIds.join(', ')}${more}`);
}

/** Sends one message and records that it was accepted. Does not throw. */
async function send(
  context: RunContext,
  emailClient: EmailClient,
  { message, onAnswered }: QueuedMessage,
): Promise<Step> {
  try {
    const outcome = await emailClient.send(message, context.deadline, () => assertLease(context), onAnswered);
    return await settle(context, message, outcome);
  } catch (error) {
    return endedBy(error);
  } finally {
    onAnswered();
  }
}

async function settle(context: RunContext, message: DigestMessage, outcome: SendOutcome): Promise<Step> {
  const requestIds = message.grants.map(({ requestId }) => requestId);
  const failed = (cause: FailureCause, code?: string): Failure => ({
    cause,
    count: requestIds.length,
    requestIds,
    ...(code !== undefined && { code }),
  });
  const cutShort = { kind: 'stopped', reason: 'shutdown', failure: failed('unknown') } as const;
  if (outcome.kind === 'stopped') return { kind: 'stopped', reason: outcome.reason };
  if (outcome.kind === 'accepted') {
    try {
      return { kind: 'sent', failures: await recordAccepted(context, message) };
    } catch (error) {
      if (!(error instanceof AbandonedError)) throw error;
      return cutShort;
    }
  }
  if (context.deadline.abandon?.aborted) return cutShort;
  const { kind, reason } = outcome;
  context.log(`Requests ${requestIds.join(', ')}: message ${message.operationId} is ${kind} (${reason})`);
  return kind === 'rejected'
    ? { kind, failure: failed(kind, serviceCode(reason)) }
    : { kind: 'serviceFault', failure: failed(kind), reason };
}

function advance(progress: Progress, step: Step): Progress {
  const { failures } = progress;
  switch (step.kind) {
    case 'backlog':
      return { ...progress, backlog: step.backlog };
    case 'unsendable':
      return { ...progress, failures: addFailure(failures, step.failure) };
    case 'sent':
      return {
        ...progress,
        sent: progress.sent + 1,
        faults: 0,
        failures: step.failures.reduce(addFailure, failures),
      };
    case 'rejected': // A rejection is an answer.
      return { ...progress, faults: 0, failures: addFailure(failures, step.failure) };
    case 'serviceFault': {
      const faults = progress.faults + 1;
      const after = { ...progress, faults, fault: step.reason, failures: addFailure(failures, step.failure) };
      return faults < maxConsecutiveFailures
        ? after
        : withError(after, new EmailServiceError(faults, step.reason));
    }
    case 'stopped': {
      const after = { ...progress, stopped: progress.stopped ?? step.reason };
      return step.failure ? { ...after, failures: addFailure(failures, step.failure) } : after;
    }
    case 'error':
      return withError(progress, step.error);
  }
}

/** The first error counts. */
function withError(progress: Progress, error: unknown): Progress {
  return { ...progress, error: progress.error ?? error };
}

function toOutcome({ backlog, failures, sent, faults, fault, stopped, error }: Progress): Outcome {
  // Fewer were due than maxConsecutiveFailures, and the service accepted none.
  const tookNone = faults > 0 && sent === 0;
  const failedBy = error ?? (tookNone ? new EmailServiceError(faults, fault) : undefined);
  return {
    ...(backlog && { backlog }),
    failures,
    failedCount: failedCount(failures),
    ...(stopped !== undefined && { stopped }),
    ...(failedBy !== undefined && { error: failedBy }),
  };
}

/** Checked right before each send, and so after each pause, by the database's clock. */
async function assertLease({ connection, deadline, run }: RunContext): Promise<void> {
  if (!(await connection.withRetries(deadline, (session) => isLeaseFresh(session, run))))
    throw new LockLostError(run.jobId);
}

/** The email service's code within "HTTP 400 Code" or "operation failed: Code"; without one, the status. */
function serviceCode(reason: string): string {
  return reason.slice(reason.lastIndexOf(' ') + 1);
}
