/** The two calls of Azure Communication Services Email: sending a message, and reading the status of one. */
import type { EmailClient, EmailSendResult } from '@azure/communication-email';
import type {
  HttpClient,
  PipelinePolicy,
  PipelineRequestOptions,
  PipelineResponse,
  RestError,
} from '@azure/core-rest-pipeline';
import type { TokenCredential } from '@azure/identity';
import { setTimeout as delay } from 'node:timers/promises';
import type { Settings } from '../config/settings';
import type { EmailMessage } from './message';

/** The service has the message (202); `succeeded` as of the last status that was read. */
export interface Accepted {
  readonly kind: 'accepted';
  readonly succeeded: boolean;
}

export interface Reasoned<Kind extends string> {
  readonly kind: Kind;
  /** Without addresses or names: a code of the service, or the kind of the network's error. */
  readonly reason: string;
}

/** Failed: the service took the message and failed it later. Absent: it has none. Unknown: the status cannot be read. */
export type Status = Accepted | Reasoned<'failed'> | Reasoned<'absent'> | Reasoned<'unknown'>;

/**
 * Answer to a send. Taken: 202, and the first status. Denied: the identity is refused, or the service is not there.
 * Refused: this message, perhaps because the service has it already (azure-sdk-for-net #50889). Lost: the service
 * failed, or its answer was lost.
 */
export type Answer =
  | { readonly kind: 'taken'; readonly status: Status }
  | { readonly kind: 'throttled'; readonly retryAfterMs: number }
  | Reasoned<'denied' | 'refused' | 'lost'>;

/** The API version that @azure/communication-email 1.1 speaks. */
export const apiVersion = '2025-09-01';
const scope = 'https://communication.azure.com//.default';

/** How long to wait after a 429 without Retry-After. In ms. */
const defaultRetryAfterMs = 30_000;
const minRetryAfterMs = 1_000;
/** However long the service asks to wait, it is asked again after this. In ms. */
const maxRetryAfterMs = 60 * 60_000;

/**
 * Headers of every message: no absence notice answers it (RFC 3834, 5; [MS-OXCMAIL], X-Auto-Response-Suppress). The
 * latter's value "All" would keep non-delivery reports away as well, by which the service learns of dead addresses.
 */
const headers = { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'OOF, AutoReply' };

/** Its calls do not throw for what the service or the network does. */
export class EmailService {
  private constructor(
    private readonly settings: Settings['email'],
    private readonly client: EmailClient,
    /** GET with the same identity: the client has no public call for a status. */
    private readonly get: (options: PipelineRequestOptions) => ReturnType<HttpClient['sendRequest']>,
  ) {}

  /**
   * Loads the client libraries.
   * @param callMs time limit of one HTTP call, and of one token
   */
  static async connect(
    settings: Settings['email'],
    credential: TokenCredential,
    callMs: number,
  ): Promise<EmailService> {
    const [library, rest] = await Promise.all([
      import('@azure/communication-email'),
      import('@azure/core-rest-pipeline'),
    ]);
    const httpClient = withDeadline(rest.createDefaultHttpClient(), callMs);
    const bounded = withTimeLimit(credential, callMs);
    // The libraries' own retries sleep through the run's time budget.
    const retryOptions = { maxRetries: 0 };
    const client = new library.EmailClient(settings.endpoint, bounded, {
      httpClient,
      retryOptions,
      additionalPolicies: [{ policy: unauthorizedOnce, position: 'perRetry' }],
    });
    const pipeline = rest.createPipelineFromOptions({ retryOptions });
    pipeline.addPolicy(rest.bearerTokenAuthenticationPolicy({ credential: bounded, scopes: scope }));
    pipeline.addPolicy(unauthorizedOnce, { afterPhase: 'Sign' });
    return new EmailService(settings, client, (options) =>
      pipeline.sendRequest(httpClient, rest.createPipelineRequest(options)),
    );
  }

  /**
   * Sends a message, and reads its status once.
   * @param onAccepted called on 202, before the status is read
   */
  async send(message: EmailMessage, onAccepted: () => void, abort?: AbortSignal): Promise<Answer> {
    let first: Status | undefined;
    try {
      await this.client.beginSend(this.#toRequest(message), {
        operationId: message.operationId,
        ...(abort && { abortSignal: abort }),
        // Called for the send, then for the status that the library reads.
        onResponse({ request, status, parsedBody }) {
          if (request.method === 'POST' && status === 202) {
            first = { kind: 'accepted', succeeded: false };
            onAccepted();
          } else if (status === 200) first = toStatus(parsedBody);
        },
      });
    } catch (error) {
      if (!first) return toFault(error);
      // The library throws for an operation that has failed, too.
      if (first.kind !== 'failed') first = { kind: 'unknown', reason: toReason(error) };
    }
    return first ? { kind: 'taken', status: first } : { kind: 'lost', reason: 'no HTTP 202' };
  }

  async readStatus(operationId: string, abort?: AbortSignal): Promise<Status> {
    const url = `${this.settings.endpoint}/emails/operations/${operationId}?api-version=${apiVersion}`;
    try {
      const response = await this.get({ url, ...(abort && { abortSignal: abort }) });
      const { status, bodyAsText } = response;
      if (status === 200) return toStatus(JSON.parse(bodyAsText ?? ''));
      const reason = toReason({ statusCode: status, response });
      return { kind: status === 404 ? 'absent' : 'unknown', reason };
    } catch (error) {
      return { kind: 'unknown', reason: toReason(error) };
    }
  }

  #toRequest({ recipient, subject, plainText, html }: EmailMessage): Parameters<EmailClient['beginSend']>[0] {
    const { senderAddress, replyTo } = this.settings;
    return {
      senderAddress,
      recipients: { to: [{ address: recipient }] },
      content: { subject, plainText, html },
      ...(replyTo && { replyTo: [{ address: replyTo }] }),
      headers,
      disableUserEngagementTracking: true,
    };
  }
}

/** Now and then the service refuses a token that it accepts a moment later. */
const unauthorizedOnce: PipelinePolicy = {
  name: 'unauthorizedOnce',
  async sendRequest(request, next) {
    const response = await next(request);
    return response.status === 401 ? next(request) : response;
  },
};

/**
 * Limits a whole call to `ms`. The library's own timeout ends with the headers of an answer, whose body could then stall
 * for ever, and its timer outlives a lost connection (@typespec/ts-http-runtime, NodeHttpClient.sendRequest).
 */
function withDeadline(client: HttpClient, ms: number): HttpClient {
  return {
    async sendRequest(request) {
      const late = AbortSignal.timeout(ms);
      // The app passes only an AbortSignal; the library's type is wider.
      const abort = request.abortSignal as AbortSignal | undefined;
      const either = abort ? AbortSignal.any([abort, late]) : late;
      const response = await client.sendRequest({ ...request, abortSignal: either });
      // The library knows a request by its identity.
      return { ...response, request };
    },
  };
}

/** A token endpoint that hangs must not hold up a message, nor a stop of the app. */
function withTimeLimit(credential: TokenCredential, ms: number): TokenCredential {
  return {
    getToken(scopes, options) {
      // Only an AbortSignal is passed; the library's type is wider.
      const signal = options?.abortSignal as AbortSignal | undefined;
      const late = delay(ms, undefined, { ref: false, ...(signal && { signal }) }).then(() => {
        throw Object.assign(new Error(`No token within ${ms} ms`), { name: 'TokenTimeoutError' });
      });
      return Promise.race([credential.getToken(scopes, options), late]);
    },
  };
}

/** @param body the service's answer to a look-up, with 200 */
function toStatus(body: unknown): Status {
  const { status, error } = body as EmailSendResult;
  if (status === 'Failed' || status === 'Canceled')
    return { kind: 'failed', reason: `operation failed: ${error?.code ?? status}` };
  return { kind: 'accepted', succeeded: status === 'Succeeded' };
}

/** What the libraries throw: a RestError for an HTTP answer or a lost one, else an error of the credential. */
const asThrown = (error: unknown) => error as Pick<RestError, 'name' | 'code' | 'statusCode' | 'response'>;

function toFault(error: unknown): Answer {
  const { name, statusCode, response } = asThrown(error);
  const retryAfterMs = response && readRetryAfter(response.headers);
  if (statusCode === 429 || (statusCode === 503 && retryAfterMs !== undefined))
    return {
      kind: 'throttled',
      retryAfterMs: Math.min(Math.max(retryAfterMs ?? defaultRetryAfterMs, minRetryAfterMs), maxRetryAfterMs),
    };
  const reason = toReason(error);
  const tokenFailed = name !== 'RestError' && /Credential|Authentication|TokenTimeout/.test(name);
  // 404: the sender's domain is not linked to the resource, or the endpoint is not one.
  if ([401, 403, 404].includes(statusCode ?? 0) || tokenFailed) return { kind: 'denied', reason };
  const refused = statusCode !== undefined && statusCode >= 400 && statusCode < 500 && statusCode !== 408;
  return { kind: refused ? 'refused' : 'lost', reason };
}

function toReason(error: unknown): string {
  const { name, code, statusCode, response } = asThrown(error);
  // An abort by the app's own stop is told before this is read.
  if (statusCode === undefined) return name === 'AbortError' ? 'no answer in time' : (code ?? name);
  return `HTTP ${statusCode} ${response?.headers.get('x-ms-error-code') ?? code ?? ''}`.trim();
}

/** Retry-After in ms: given as seconds, or as a date (RFC 9110, 10.2.3), which counts from the date of the answer. */
function readRetryAfter(headers: PipelineResponse['headers']): number | undefined {
  const text = headers.get('retry-after');
  if (text === undefined) return undefined;
  const seconds = Number(text);
  const span = Number.isFinite(seconds)
    ? seconds * 1000
    : Date.parse(text) - Date.parse(headers.get('date') ?? '');
  return Number.isNaN(span) ? undefined : Math.max(0, span);
}
