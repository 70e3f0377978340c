/**
 * The REST endpoint of Azure Communication Services Email on loopback, so that `@azure/communication-email` is used
 * as in Azure, over TLS (https://learn.microsoft.com/rest/api/communication/email). Nothing leaves the machine: what
 * was accepted can be read on a page.
 */
import { createHash } from 'node:crypto';
import http, { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import https from 'node:https';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { close, listen, requestUrl } from '../loopback';
import { OrderedFaults } from '../orderedFaults';
import { couldHit, type EmailFault } from './faults';
import { createMailbox } from './mailbox';
import { readSendRequest, Refusal, type SendRequest } from './request';

export type { EmailFault } from './faults';

/** A message that the service accepted. */
export interface AcceptedMessage extends SendRequest {
  readonly operationId: string;
  readonly acceptedAt: Date;
  status: 'Running' | 'Succeeded' | 'Failed';
  /** Why it is Failed. */
  error?: { readonly code: string; readonly message: string };
}

export interface EmailRequest {
  readonly method: string;
  readonly path: string;
  readonly operationId?: string;
  /** The addresses of a message to be sent. */
  to?: readonly string[];
  /** The HTTP status answered; absent while there is no answer, or if there never is one. */
  status?: number;
}

export interface EmailOptions {
  /** The server's key and certificate, in PEM. */
  readonly tls: { readonly key: string; readonly cert: string };
  /** Whether a bearer token may send. By default any may. */
  readonly acceptToken?: (token: string) => boolean;
  /** The port of the page; 0, the default, takes a free one. */
  readonly mailboxPort?: number;
  /** The Retry-After of a message that is Running, in seconds; 1 by default. */
  readonly retryAfter?: number;
  /** false: only the envelope of a message is kept, for runs with very many. true by default. */
  readonly keepBodies?: boolean;
}

interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: object;
  /** The body is never sent. */
  readonly stalls?: true;
}

/** An answer, or none: the call hangs, or its connection is dropped. */
type Reaction = Answer | 'hang' | 'drop';

interface Operation {
  readonly digest: string;
  readonly message: AcceptedMessage;
  runningReads: number;
  readonly failure: { readonly code: string; readonly message?: string } | undefined;
}

const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;
const usualCodes: Readonly<Record<number, string>> = {
  400: 'InvalidEmailAddress',
  401: 'Unauthorized',
  404: 'OperationNotFound',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
};

/** Starts the service and its page on 127.0.0.1. */
export async function startEmailService(options: EmailOptions): Promise<EmailService> {
  const service = new EmailService(options);
  await service.start();
  return service;
}

export class EmailService {
  /** https://localhost:port */
  endpoint = '';
  /** The address of the page that shows what was accepted; `/messages` there gives it as JSON. */
  mailbox = '';
  /** Accepted messages in the order of their acceptance. */
  readonly messages: AcceptedMessage[] = [];
  /** All calls in the order of their arrival. */
  readonly requests: EmailRequest[] = [];
  /** How long every call takes at least, in ms. */
  latencyMs = 0;

  readonly #options: EmailOptions;
  readonly #operations = new Map<string, Operation>();
  readonly #faults = new OrderedFaults<EmailFault>();
  readonly #server: https.Server;
  readonly #mailbox = http.createServer(createMailbox(this.messages));

  constructor(options: EmailOptions) {
    this.#options = options;
    this.#server = https.createServer(options.tls, (request, response) => {
      this.#serve(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
    // A connection that a client keeps is not to be closed just as its next call leaves.
    this.#server.keepAliveTimeout = 60_000;
  }

  async start(): Promise<void> {
    // First: its port may be taken, and then nothing is left listening.
    this.mailbox = `http://127.0.0.1:${await listen(this.#mailbox, this.#options.mailboxPort)}`;
    this.endpoint = `https://localhost:${await listen(this.#server)}`;
  }

  order(fault: EmailFault): void {
    this.#faults.order(fault);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  /** Forgets all messages, calls and faults. */
  reset(): void {
    this.#faults.clear();
    this.#operations.clear();
    this.messages.length = 0;
    this.requests.length = 0;
  }

  async close(): Promise<void> {
    await Promise.all([this.#server, this.#mailbox].map(close));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', headers } = request;
    const { pathname: path, search } = requestUrl(request);
    const [, asked] = /^\/emails\/operations\/([^/]+)$/.exec(path) ?? [];
    const operationId = (asked ?? headers['operation-id']?.toString())?.toLowerCase();
    const entry: EmailRequest = { method, path, ...(operationId !== undefined && { operationId }) };
    this.requests.push(entry);
    const body = await buffer(request);
    if (this.latencyMs > 0) await delay(this.latencyMs);
    const reaction = answerRefusals(() => {
      this.#checkToken(headers.authorization);
      if (method === 'POST' && path === '/emails:send') return this.#send(entry, body, search);
      if (method === 'GET' && asked !== undefined) return this.#readStatus(asked.toLowerCase());
      throw new Refusal(404, 'NotFound', `There is no ${method} ${path}`);
    });
    if (reaction === 'hang') return;
    if (reaction === 'drop') {
      response.destroy();
      return;
    }
    entry.status = reaction.status;
    response.writeHead(reaction.status, { 'Content-Type': 'application/json', ...reaction.headers });
    if (reaction.stalls) response.flushHeaders();
    else response.end(JSON.stringify(reaction.body));
  }

  #checkToken(authorization = ''): void {
    const [, token] = /^Bearer (\S+)$/i.exec(authorization) ?? [];
    if (token === undefined || !(this.#options.acceptToken?.(token) ?? true))
      throw new Refusal(401, 'Unauthorized', 'The bearer token is missing or not accepted');
  }

  #send(entry: EmailRequest, body: Buffer, search: string): Reaction {
    const given = readSendRequest(body);
    entry.to = given.to;
    const hits = this.#faults.take(couldHit('send', given.to));
    return underFault(hits, () => {
      const id = entry.operationId ?? '';
      if (!uuid.test(id)) throw new Refusal(400, 'BadRequest', 'Operation-Id has to be a UUID');
      const digest = createHash('sha256').update(body).digest('base64');
      const known = this.#operations.get(id);
      // https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md, "Long-Running Operations"
      if (known && known.digest !== digest)
        throw new Refusal(400, 'BadRequest', `Operation-Id ${id} was used for another message`);
      if (!known) this.#accept(id, digest, given, hits);
      const location = `${this.endpoint}/emails/operations/${id}${search}`;
      const headers = { 'Operation-Location': location, 'Retry-After': this.#retryAfter };
      return { status: 202, headers, body: { id, status: 'Running' } };
    });
  }

  #accept(operationId: string, digest: string, given: SendRequest, hits: readonly EmailFault[]): void {
    const { sender, to, subject, replyTo, headers } = given;
    const kept = this.#options.keepBodies === false ? { sender, to, subject, replyTo, headers } : given;
    const message: AcceptedMessage = { operationId, ...kept, acceptedAt: new Date(), status: 'Running' };
    const { runningReads = 0, failure } = hits.find((fault) => fault.kind === 'outcome') ?? {};
    const operation = { digest, message, runningReads, failure };
    this.#operations.set(operationId, operation);
    this.messages.push(message);
    endWhenDue(operation);
  }

  #readStatus(id: string): Reaction {
    const operation = this.#operations.get(id);
    return underFault(this.#faults.take(couldHit('status', operation?.message.to ?? [''])), () => {
      if (!operation) throw new Refusal(404, 'OperationNotFound', `There is no operation ${id}`);
      const { status, error } = operation.message;
      if (status === 'Running') {
        operation.runningReads -= 1;
        endWhenDue(operation);
      }
      const headers = status === 'Running' ? { 'Retry-After': this.#retryAfter } : {};
      return { status: 200, headers, body: { id, status, ...(error && { error }) } };
    });
  }

  get #retryAfter(): number {
    return this.#options.retryAfter ?? 1;
  }
}

/** The first fault that concerns the call itself decides what happens to it. */
function underFault(hits: readonly EmailFault[], call: () => Answer): Reaction {
  const fault = hits.find((hit) => hit.kind !== 'outcome');
  switch (fault?.kind) {
    case 'error': {
      const { status, code = usualCodes[status] ?? 'InternalServerError', message, retryAfter } = fault;
      throw new Refusal(status, code, message ?? 'An ordered fault', retryAfter);
    }
    case 'hang':
      return 'hang';
    case 'dropBefore':
      return 'drop';
    case 'dropAfter':
      call();
      return 'drop';
    case 'stall':
      return { ...call(), stalls: true };
    default:
      return call();
  }
}

function endWhenDue({ message, runningReads, failure }: Operation): void {
  if (runningReads > 0) return;
  message.status = failure ? 'Failed' : 'Succeeded';
  if (failure) message.error = { message: 'The message was not sent', ...failure };
}

function answerRefusals(call: () => Reaction): Reaction {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { status, code, message, retryAfter } = error;
    const headers = {
      'x-ms-error-code': code,
      ...(retryAfter !== undefined && { 'Retry-After': retryAfter }),
    };
    return { status, headers, body: { error: { code, message } } };
  }
}
