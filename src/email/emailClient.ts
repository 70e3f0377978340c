import type { TokenCredential } from '@azure/identity';
import { hasTimeFor, stopReason, type Deadline, type StopReason } from '../clock';
import type { Settings } from '../config/settings';
import { EmailService, type Accepted, type Answer, type Reasoned, type Status } from './emailService';
import { operationIdOn, type EmailMessage } from './message';

/** The service refused this message, or accepted it and then failed it. Other messages may still be accepted. */
type Rejected = Reasoned<'rejected'>;
type Failed = Reasoned<'failed'>;

/** Result of a send. */
export type SendOutcome =
  | Accepted
  | Rejected
  /** Whether the service has the message is not known: the answers to the send and to the look-up were lost. */
  | Reasoned<'unknown'>
  /** Not accepted: the service is down. `permanent`: it refuses the identity, or does not exist. */
  | (Reasoned<'unavailable'> & { readonly permanent: boolean })
  /** Not sent: the run has to stop, or the service asks to wait longer than the run may. */
  | { readonly kind: 'stopped'; readonly reason: StopReason; readonly retryAfterMs?: number };

type Throttled = Extract<Answer, { kind: 'throttled' }>;

/** Times, in ms. */
export interface EmailTimings {
  /** The longest that one HTTP call may take. */
  readonly callMs: number;
  /** How long a message that is accepted is watched for a failure. */
  readonly watchMs: number;
  /** Between two reads of a message's status. Quotas allow about two a message. */
  readonly statusIntervalMs: number;
  /** Pauses before a message is sent again after a fault of the service. */
  readonly retryDelaysMs: readonly number[];
}

export const defaultTimings: EmailTimings = {
  callMs: 10_000,
  watchMs: 15_000,
  statusIntervalMs: 5_000,
  retryDelaysMs: [1_000, 4_000],
};

/** The arguments of `send`. */
interface Attempt {
  readonly message: EmailMessage;
  readonly deadline: Deadline;
  readonly requireLease: () => Promise<void>;
  readonly onAccepted: () => void;
}

/** Sends messages through Azure Communication Services. */
export class EmailClient {
  #service: Promise<EmailService> | undefined;
  /** No send starts before this time (by the clock's elapsed()): the service has asked us to wait. */
  #pausedUntil = 0;
  /** The messages that were rejected on a UTC day (yyyy-mm-dd), by operation id. */
  #rejected = { day: '', messages: new Map<string, Rejected>() };

  readonly #timings: EmailTimings;

  /** @param timings instead of the defaults */
  constructor(
    private readonly settings: Settings['email'],
    private readonly credential: TokenCredential,
    timings: Partial<EmailTimings> = {},
  ) {
    this.#timings = { ...defaultTimings, ...timings };
  }

  /**
   * Sends a message and returns the result. Does not throw for a fault of the service or the network. A repeated send has
   * the same operation id. If the service asks to wait, waits within the deadline.
   *
   * A message that the service accepted and then failed is sent at most once a day. Under its operation id the service
   * would only repeat the failure ("Azure REST API Guidelines", long-running operations), so on each later day it has an
   * id of that day. It is not sent more often, since each message to a suppressed address lengthens its suppression
   * ("Manage domain suppression lists in Azure Communication Services Email").
   *
   * This client does not send again on the same day what a run sent and was refused or failed. Another process does not
   * know: it sends a refused message once more, and a failed one that was due on an earlier day, since the service does
   * not say on which day it failed.
   * @param requireLease called right before each send, and so after each pause; what it throws ends the attempt
   * @param onAccepted called when the service has accepted the message, before its status is watched
   */
  async send(
    message: EmailMessage,
    deadline: Deadline,
    requireLease: () => Promise<void>,
    onAccepted: () => void = () => undefined,
  ): Promise<SendOutcome> {
    const today = new Date(deadline.clock.now()).toISOString().slice(0, 10);
    if (this.#rejected.day !== today) this.#rejected = { day: today, messages: new Map() };
    const { messages } = this.#rejected;
    // Whoever sends by hand may have corrected the cause.
    const byHand = message.earlierIds !== undefined;
    const known = byHand ? undefined : messages.get(message.operationId);
    if (known) return known;
    const result = await this.#findOrSend(today, { message, deadline, requireLease, onAccepted });
    const outcome = result.kind === 'failed' ? { ...result, kind: 'rejected' as const } : result;
    if (outcome.kind === 'rejected') messages.set(message.operationId, outcome);
    return outcome;
  }

  /** Sends a message unless the service has it from an earlier try: each of its ids is looked up first. */
  async #findOrSend(today: string, attempt: Attempt): Promise<SendOutcome | Failed> {
    const { message, deadline } = attempt;
    const { operationId, firstDay, earlierIds = [] } = message;
    for (const id of earlierIds) {
      const earlier = await this.#readStatus(id, deadline);
      if (earlier.kind === 'accepted') return earlier;
    }
    if (firstDay >= today || stopReason(deadline) !== undefined) return this.#sendWithRetries(attempt);
    // It may have been sent on an earlier day. If its status cannot be read, it is sent under its own id.
    const first = await this.#readStatus(operationId, deadline);
    if (first.kind === 'accepted') return first;
    if (first.kind !== 'failed') return this.#sendWithRetries(attempt);
    for (const day of daysBefore(today, daysLookedBack).filter((one) => one > firstDay)) {
      const earlier = await this.#readStatus(operationIdOn(day, operationId), deadline);
      if (earlier.kind === 'accepted' || earlier.kind === 'unknown') return earlier;
    }
    const todaysId = operationIdOn(today, operationId);
    const todays = await this.#readStatus(todaysId, deadline);
    if (todays.kind === 'accepted' || todays.kind === 'failed') return todays;
    return this.#sendWithRetries({ ...attempt, message: { ...message, operationId: todaysId } });
  }

  async #sendWithRetries(attempt: Attempt): Promise<SendOutcome | Failed> {
    const { deadline } = attempt;
    const { clock, signal } = deadline;
    let faults = 0;
    for (;;) {
      const reason = stopReason(deadline);
      if (reason !== undefined) return { kind: 'stopped', reason };
      const wait = this.#pausedUntil - clock.elapsed();
      if (!hasTimeFor(deadline, wait)) return { kind: 'stopped', reason: 'throttled', retryAfterMs: wait };
      if (wait > 0) {
        await clock.sleep(wait, signal);
        continue;
      }
      await attempt.requireLease();
      const outcome = await this.#sendOnce(attempt);
      if (outcome.kind === 'throttled') {
        this.#pausedUntil = Math.max(this.#pausedUntil, clock.elapsed() + outcome.retryAfterMs);
        continue;
      }
      if (outcome.kind !== 'unavailable' || outcome.permanent) return outcome;
      const pause = this.#timings.retryDelaysMs[faults++];
      if (pause === undefined || !hasTimeFor(deadline, pause)) return outcome;
      await clock.sleep(pause, signal);
    }
  }

  async #sendOnce({ message, deadline, onAccepted }: Attempt): Promise<SendOutcome | Failed | Throttled> {
    const { operationId } = message;
    const service = await this.#connect();
    const answer = await service.send(message, onAccepted, deadline.abandon);
    if (answer.kind === 'taken') return this.#watch(answer.status, operationId, deadline);
    // The next run looks it up.
    if (deadline.abandon?.aborted)
      return { kind: 'unknown', reason: 'the app was stopped before the answer' };
    if (answer.kind === 'throttled') return answer;
    const { kind, reason } = answer;
    if (kind === 'denied') return { kind: 'unavailable', reason, permanent: true };
    // Neither a refusal nor a loss is believed before the operation is looked up (recordedIsAccepted in model/).
    const status = await this.#readStatus(operationId, deadline);
    if (status.kind === 'unknown')
      return { kind: 'unknown', reason: `${reason}; its status: ${status.reason}` };
    if (status.kind !== 'absent') return status;
    return kind === 'refused'
      ? { kind: 'rejected', reason }
      : { kind: 'unavailable', reason, permanent: false };
  }

  /**
   * Reads the status of an accepted message until it is final or the time is up. A message whose status is not final
   * then, or cannot be read, stays accepted.
   */
  async #watch(status: Status, operationId: string, deadline: Deadline): Promise<Accepted | Failed> {
    const { clock, signal } = deadline;
    const until = Math.min(clock.elapsed() + this.#timings.watchMs, deadline.at);
    let last = status;
    while (last.kind === 'accepted' && !last.succeeded && clock.elapsed() < until && !signal?.aborted) {
      await clock.sleep(this.#timings.statusIntervalMs, signal);
      last = await this.#readStatus(operationId, deadline);
    }
    return last.kind === 'accepted' || last.kind === 'failed' ? last : { kind: 'accepted', succeeded: false };
  }

  async #readStatus(operationId: string, { abandon }: Deadline): Promise<Status> {
    return (await this.#connect()).readStatus(operationId, abandon);
  }

  #connect(): Promise<EmailService> {
    return (this.#service ??= EmailService.connect(this.settings, this.credential, this.#timings.callMs));
  }
}

/** Days whose id of a failed message is looked up: a schedule may leave out a weekend. */
const daysLookedBack = 3;

/** The days before, newest first, as yyyy-mm-dd. */
function daysBefore(day: string, count: number): string[] {
  const dayMs = 24 * 60 * 60 * 1000;
  return Array.from({ length: count }, (_, index) =>
    new Date(Date.parse(day) - (index + 1) * dayMs).toISOString().slice(0, 10),
  );
}
