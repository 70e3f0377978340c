import type { EmailClient as AzureEmailClient } from '@azure/communication-email';
import type { TokenCredential } from '@azure/identity';
import { setTimeout as delay } from 'node:timers/promises';
import { hasTimeFor, stopReason, type Deadline, type StopReason } from '../clock';
import type { Settings } from '../config/settings';
import { operationIdOn, type EmailMessage } from './message';

/** The service has taken the message (202), and had `succeeded` with it or not failed it when it was last asked. */
interface Accepted {
  readonly kind: 'accepted';
  readonly succeeded: boolean;
}

/** The service refused this message, or took it and failed it; others may go through. */
interface Rejected {
  readonly kind: 'rejected';
  readonly reason: string;
}

/** Whether the service has the message is not known: its answer was lost, and that to the look-up of its status too. */
interface Unknown {
  readonly kind: 'unknown';
  readonly reason: string;
}

/** Result of a send. */
export type SendOutcome =
  | Accepted
  | Rejected
  | Unknown
  /** The message was not taken: the service is down or, then it is `permanent`, refuses the identity or is not there. */
  | { readonly kind: 'unavailable'; readonly reason: string; readonly permanent: boolean }
  /** Not sent: the run may start nothing new, or the service asks to wait longer than the run may. */
  | { readonly kind: 'stopped'; readonly reason: StopReason; readonly retryAfterMs?: number };

/** The service took the message (202) and failed it later. */
interface Failed {
  readonly kind: 'failed';
  readonly reason: string;
}

/** The service has no such operation. */
interface Absent {
  readonly kind: 'absent';
}

/** The service asks all of us to wait. Not taken. */
interface Throttled {
  readonly kind: 'throttled';
  /** In ms. */
  readonly retryAfterMs: number;
}

/** Times, in ms. */
export interface EmailTimings {
  /** The longest that one HTTP call may take. */
  readonly callMs: number;
  /** How long a message that is accepted is watched for a failure. */
  readonly watchMs: number;
  /** Between two looks at a message's status. Quotas allow about two looks a message. */
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

/** How long to wait after a 429 or 503 without Retry-After. In ms. */
const defaultRetryAfterMs = 30_000;
const minRetryAfterMs = 1_000;

/** The API version that @azure/communication-email 1.1 speaks; needed to ask for a status alone. */
export const apiVersion = '2025-09-01';

/**
 * Headers of every message: no absence notice answers it (RFC 3834, 5; [MS-OXCMAIL], X-Auto-Response-Suppress). The
 * latter's value "All" would keep non-delivery reports away as well, by which the service learns of dead addresses.
 */
const headers = { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'OOF, AutoReply' };

/** Sends messages through Azure Communication Services. */
export class EmailClient {
  #client: Promise<AzureEmailClient> | undefined;
  /** No send starts before this time (by the clock's elapsed()): the service has asked us to wait. */
  #pausedUntil = 0;
  /** Results of the messages that were rejected on a UTC day (yyyy-mm-dd), by operation id. */
  #rejected: { readonly day: string; readonly messages: Map<string, Rejected> } = {
    day: '',
    messages: new Map(),
  };

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
   * Sends a message and returns the result; it does not throw for what the service or the network does. Repeats go out
   * under the same operation id. Waits, as the service asks, before the deadline.
   *
   * A message that the service took and then failed is sent at most once a day: under its operation id the service would
   * only repeat the failure ("Azure REST API Guidelines", long-running operations), so on each later day it goes out under
   * an id of that day. A failure may pass; but whatever is sent to a suppressed address lengthens its suppression ("Manage
   * domain suppression lists in Azure Communication Services Email").
   *
   * What the service refused or failed is not sent again on the same day by this client. A new one, in another process,
   * knows only what the service knows: it asks once more to send what was refused; and of a message that was due before
   * today and has failed, it cannot tell whether it was today: that goes out once more.
   * @param requireLease asked right before each send, and so after each pause; what it throws ends the attempt
   * @param onAccepted called when the service has taken the message, and before its status is watched
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
    const outcome =
      messages.get(message.operationId) ??
      (await this.#sendOn(today, message, deadline, requireLease, onAccepted));
    if (outcome.kind === 'rejected') messages.set(message.operationId, outcome);
    return outcome;
  }

  async #sendOn(
    today: string,
    message: EmailMessage,
    deadline: Deadline,
    requireLease: () => Promise<void>,
    onAccepted: () => void,
  ): Promise<SendOutcome> {
    let { operationId } = message;
    const lookUp = (id: string) => this.#lookUp(id, deadline.abandon);
    for (const id of message.earlierIds ?? []) {
      const known = await lookUp(id);
      if (known.kind === 'accepted') return known;
    }
    // It may have been sent on an earlier day. An answer that is lost says nothing: it is then sent under its own id.
    if (message.firstDay < today && stopReason(deadline) === undefined) {
      let known = await lookUp(operationId);
      if (known.kind === 'failed') {
        const yesterdays = await lookUp(operationIdOn(dayBefore(today), operationId));
        if (yesterdays.kind === 'accepted') return yesterdays;
        operationId = operationIdOn(today, operationId);
        known = await lookUp(operationId);
      }
      if (known.kind === 'accepted') return known;
      if (known.kind === 'failed') return rejected(known);
    }
    const outcome = await this.#sendWithRetries(
      { ...message, operationId },
      deadline,
      requireLease,
      onAccepted,
    );
    return outcome.kind === 'failed' ? rejected(outcome) : outcome;
  }

  async #sendWithRetries(
    message: EmailMessage,
    deadline: Deadline,
    requireLease: () => Promise<void>,
    onAccepted: () => void,
  ): Promise<SendOutcome | Failed> {
    let faults = 0;
    for (;;) {
      const wait = this.#pausedUntil - deadline.clock.elapsed();
      const reason = stopReason(deadline);
      if (reason !== undefined) return { kind: 'stopped', reason };
      if (!hasTimeFor(deadline, wait)) return { kind: 'stopped', reason: 'throttled', retryAfterMs: wait };
      if (wait > 0) {
        await deadline.clock.sleep(wait, deadline.signal);
        continue;
      }
      await requireLease();
      const outcome = await this.#sendOnce(message, deadline, onAccepted);
      if (outcome.kind === 'throttled') {
        this.#pausedUntil = Math.max(this.#pausedUntil, deadline.clock.elapsed() + outcome.retryAfterMs);
        continue;
      }
      if (outcome.kind !== 'unavailable' || outcome.permanent) return outcome;
      const pause = this.#timings.retryDelaysMs[faults++];
      if (pause === undefined || !hasTimeFor(deadline, pause)) return outcome;
      await deadline.clock.sleep(pause, deadline.signal);
    }
  }

  async #sendOnce(
    message: EmailMessage,
    deadline: Deadline,
    onAccepted: () => void,
  ): Promise<SendOutcome | Failed | Throttled> {
    /** The service has answered the send with 202: whatever becomes of the looks at the status, it has the message. */
    let serviceAccepted = false;
    const { recipient, subject, plainText, html, operationId } = message;
    const { senderAddress, replyTo } = this.settings;
    try {
      const client = await this.#connect();
      const poller = await client.beginSend(
        {
          senderAddress,
          recipients: { to: [{ address: recipient }] },
          content: { subject, plainText, html },
          ...(replyTo && { replyTo: [{ address: replyTo }] }),
          headers,
          disableUserEngagementTracking: true,
        },
        {
          operationId,
          ...(deadline.abandon && { abortSignal: deadline.abandon }),
          onResponse: ({ request, status }) => {
            if (request.method !== 'POST' || status !== 202) return;
            serviceAccepted = true;
            onAccepted();
          },
        },
      );
      return await this.#poll(poller, deadline);
    } catch (error) {
      return this.#classify(error, serviceAccepted, operationId, deadline);
    }
  }

  /** Asks for the status until it is final or the time is up: a message that is still on its way then is accepted. */
  async #poll(poller: Poller, deadline: Deadline): Promise<SendOutcome> {
    const until = Math.min(deadline.clock.elapsed() + this.#timings.watchMs, deadline.at);
    while (!poller.isDone() && deadline.clock.elapsed() < until && !deadline.signal?.aborted) {
      await deadline.clock.sleep(this.#timings.statusIntervalMs, deadline.signal);
      await poller.poll(deadline.abandon && { abortSignal: deadline.abandon });
    }
    return { kind: 'accepted', succeeded: poller.isDone() };
  }

  async #classify(
    error: unknown,
    serviceAccepted: boolean,
    operationId: string,
    { abandon }: Deadline,
  ): Promise<SendOutcome | Failed | Throttled> {
    const fault = describe(error);
    if (fault.failed) return fault.failed;
    if (serviceAccepted) return { kind: 'accepted', succeeded: false };
    // The next run asks for it.
    if (abandon?.aborted) return { kind: 'unknown', reason: 'the app was stopped before the answer' };
    const { statusCode } = fault;
    if (statusCode === 429 || (statusCode === 503 && fault.retryAfter !== undefined))
      return {
        kind: 'throttled',
        retryAfterMs: Math.max(fault.retryAfter ?? defaultRetryAfterMs, minRetryAfterMs),
      };
    // 404: the sender's domain is not linked to the resource, or the endpoint is not one.
    if (statusCode === 401 || statusCode === 403 || statusCode === 404 || fault.tokenFailed)
      return { kind: 'unavailable', reason: fault.reason, permanent: true };
    const known = await this.#lookUp(operationId, abandon);
    switch (known.kind) {
      case 'absent': {
        const refused =
          statusCode !== undefined && statusCode >= 400 && statusCode < 500 && statusCode !== 408;
        return refused
          ? { kind: 'rejected', reason: fault.reason }
          : { kind: 'unavailable', reason: fault.reason, permanent: false };
      }
      case 'unknown':
        return { kind: 'unknown', reason: `${fault.reason}; its status: ${known.reason}` };
      default:
        return known;
    }
  }

  /**
   * Asks the service for the status of an operation (recordedIsAccepted in model/). Also where it refused the message: it
   * may do so because it has it already (azure-sdk-for-net #50889).
   */
  async #lookUp(operationId: string, abandon?: AbortSignal): Promise<Accepted | Failed | Absent | Unknown> {
    const { endpoint, senderAddress } = this.settings;
    const operationLocation = `${endpoint}/emails/operations/${operationId}?api-version=${apiVersion}`;
    const state = {
      status: 'running',
      config: { operationLocation, metadata: { mode: 'OperationLocation' } },
    };
    try {
      const client = await this.#connect();
      // The library has no call for the status alone; resuming a saved state asks for the status and sends nothing.
      const poller = await client.beginSend(
        { senderAddress, recipients: {}, content: { subject: '', plainText: '' } },
        { resumeFrom: JSON.stringify({ state }), ...(abandon && { abortSignal: abandon }) },
      );
      return { kind: 'accepted', succeeded: poller.isDone() };
    } catch (error) {
      const { failed, statusCode, reason } = describe(error);
      if (failed) return failed;
      return statusCode === 404 ? { kind: 'absent' } : { kind: 'unknown', reason };
    }
  }

  #connect(): Promise<AzureEmailClient> {
    this.#client ??= import('@azure/communication-email').then(
      ({ EmailClient: Client }) =>
        new Client(this.settings.endpoint, withDeadline(this.credential, this.#timings.callMs), {
          // The library's own retries sleep through the run's time budget.
          retryOptions: { maxRetries: 0 },
          additionalPolicies: [
            {
              position: 'perCall',
              policy: {
                name: 'callTimeout',
                sendRequest: (request, next) => {
                  request.timeout = this.#timings.callMs;
                  return next(request);
                },
              },
            },
            {
              position: 'perRetry',
              policy: {
                // Now and then the service refuses a token that it accepts a moment later.
                name: 'unauthorizedOnce',
                sendRequest: async (request, next) => {
                  const response = await next(request);
                  return response.status === 401 ? next(request) : response;
                },
              },
            },
          ],
        }),
    );
    return this.#client;
  }
}

/** @param day yyyy-mm-dd */
function dayBefore(day: string): string {
  return new Date(Date.parse(day) - 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
}

function rejected({ reason }: Failed): Rejected {
  return { kind: 'rejected', reason };
}

/**
 * The credential with a deadline: a token endpoint that hangs must not hold a message for ever, nor a stop of the app.
 * @param deadline in ms
 */
function withDeadline(credential: TokenCredential, deadline: number): TokenCredential {
  return {
    async getToken(scopes, options) {
      const timeout = new AbortController();
      const stopped = options?.abortSignal as AbortSignal | undefined;
      const signal = stopped ? AbortSignal.any([timeout.signal, stopped]) : timeout.signal;
      const late = delay(deadline, undefined, { signal }).then(() => {
        throw new TokenTimeoutError(`No token was had within ${deadline} ms`);
      });
      try {
        return await Promise.race([credential.getToken(scopes, options), late]);
      } finally {
        timeout.abort();
        late.catch(() => undefined); // Aborted: the token came first.
      }
    },
  };
}

class TokenTimeoutError extends Error {
  override readonly name = 'TokenTimeoutError';
}

type Poller = Pick<Awaited<ReturnType<AzureEmailClient['beginSend']>>, 'isDone' | 'poll'>;

interface Headers {
  get(name: string): string | undefined;
}

interface Fault {
  /** Without addresses or names: the service's code, or the kind of the network's error. */
  readonly reason: string;
  readonly statusCode: number | undefined;
  /** In ms. */
  readonly retryAfter: number | undefined;
  /** The operation itself has ended as Failed or Canceled. */
  readonly failed: Failed | undefined;
  readonly tokenFailed: boolean;
}

/** What the client libraries throw: a RestError for an HTTP answer or a lost one, else plain errors told by their text. */
function describe(error: unknown): Fault {
  const { name, code, message, statusCode, response } = error as {
    name: string;
    code?: string;
    message: string;
    statusCode?: number;
    response?: { headers: Headers };
  };
  const serviceCode = response?.headers.get('x-ms-error-code');
  return {
    reason:
      statusCode === undefined ? (code ?? name) : `HTTP ${statusCode} ${serviceCode ?? code ?? ''}`.trim(),
    statusCode,
    retryAfter: response && readRetryAfter(response.headers),
    failed: readFailure(message),
    tokenFailed: name !== 'RestError' && /Credential|Authentication|TokenTimeout/.test(name),
  };
}

/** core-lro tells by its text alone: "The long-running operation has failed. <code>. <message>", "Operation was canceled". */
function readFailure(message: string): Failed | undefined {
  const [found, code] = /^The long-running operation has failed(?:\. (\w+))?/.exec(message) ?? [];
  if (found === undefined && message !== 'Operation was canceled') return undefined;
  return {
    kind: 'failed',
    reason: `operation failed: ${code ?? 'canceled'}`,
  };
}

/** Retry-After in ms: given as seconds, or as a date (RFC 9110, 10.2.3), which counts from the date of the answer. */
function readRetryAfter(headers: Headers): number | undefined {
  const text = headers.get('retry-after');
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const span = Date.parse(text) - Date.parse(headers.get('date') ?? '');
  return Number.isNaN(span) ? undefined : Math.max(0, span);
}
