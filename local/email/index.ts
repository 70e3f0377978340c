/**
 * The REST endpoint of Azure Communication Services Email on loopback, so that `@azure/communication-email` is used
 * as in Azure, over TLS (https://learn.microsoft.com/rest/api/communication/email). Nothing leaves the machine: what
 * was accepted can be read on a page.
 */
import { createHash, randomUUID } from 'node:crypto';
import http, { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { requestUrl } from '../requestUrl';
import { Faults, type CallFault, type EmailFault, type ErrorFault } from './faults';
import { createMailbox } from './mailbox';
import { badRequest, readSendRequest, recipientsOf, Refusal, type SendRequest } from './request';

export type { EmailFault } from './faults';

/** A message that the service accepted. */
export interface AcceptedMessage extends SendRequest {
  readonly operationId: string;
  readonly acceptedAt: Date;
  readonly status: 'Running' | 'Succeeded' | 'Failed';
  /** Why it is Failed. */
  readonly error?: { readonly code: string; readonly message: string };
}

export interface EmailRequest {
  readonly method: string;
  readonly path: string;
  /** As the client gave it. */
  readonly operationId?: string;
  /** The addresses of a message to be sent. */
  readonly to?: readonly string[];
  /** The HTTP status answered; absent while there is no answer, or if there never is one. */
  readonly status?: number;
}

export interface EmailOptions {
  /** The server's key and certificate, in PEM. */
  readonly tls: { readonly key: string; readonly cert: string };
  /** Whether a bearer token may send. By default any may. */
  readonly acceptToken?: (token: string) => boolean;
  /** 0, the default, takes a free port. */
  readonly port?: number;
  /** The port of the page; 0, the default, takes a free one. */
  readonly mailboxPort?: number;
  /** The Retry-After of a message that is Running, in seconds; 1 by default. */
  readonly retryAfter?: number;
  /** false: only the envelope of a message is kept, for runs with very many. true by default. */
  readonly keepBodies?: boolean;
}

export interface EmailService {
  /** https://localhost:port */
  readonly endpoint: string;
  /** The address of the page that shows what was accepted; `/messages` there gives it as JSON. */
  readonly mailbox: string;
  /** Accepted messages in the order of their acceptance. */
  readonly messages: readonly AcceptedMessage[];
  /** All calls in the order of their arrival. */
  readonly requests: readonly EmailRequest[];
  /** How long every call takes at least, in ms; 0 at first. */
  latencyMs: number;
  order(fault: EmailFault): void;
  clearFaults(): void;
  /** Forgets all messages, calls and faults. */
  reset(): void;
  close(): Promise<void>;
}

type Entry = { -readonly [Property in keyof EmailRequest]: EmailRequest[Property] };

interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: object;
}

/** An answer, or none: the call hangs, or its connection is dropped. */
type Reaction = Answer | 'hang' | 'drop';

interface Operation {
  readonly digest: string;
  readonly message: { -readonly [Property in keyof AcceptedMessage]: AcceptedMessage[Property] };
  runningReads: number;
  readonly failure: { readonly code: string; readonly message: string } | undefined;
}

const largestRequest = 10 * 1024 * 1024;
const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;
const usualCodes: Readonly<Record<number, string>> = {
  400: 'InvalidEmailAddress',
  401: 'Unauthorized',
  404: 'OperationNotFound',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
};

/** Starts the service and its page on 127.0.0.1. */
export async function startEmailService(options: EmailOptions): Promise<EmailService> {
  const { acceptToken = (): boolean => true, retryAfter = 1, keepBodies = true } = options;
  const messages: AcceptedMessage[] = [];
  const requests: EmailRequest[] = [];
  const operations = new Map<string, Operation>();
  const faults = new Faults();

  function react(request: IncomingMessage, url: URL, body: Buffer, entry: Entry): Reaction {
    const [, token] = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (token === undefined || !acceptToken(token)) {
      throw new Refusal(401, 'Unauthorized', 'The bearer token is missing or not accepted');
    }
    if (request.method === 'POST' && url.pathname === '/emails:send') return send(request, url, body, entry);
    const id = operationIn(url);
    if (request.method === 'GET' && id !== undefined) return readStatus(id);
    throw new Refusal(404, 'NotFound', `There is no ${request.method ?? ''} ${url.pathname}`);
  }

  function send(request: IncomingMessage, url: URL, body: Buffer, entry: Entry): Reaction {
    if (body.length > largestRequest) throw new Refusal(413, 'RequestEntityTooLarge', 'At most 10 MB');
    const parsed = parseJson(body);
    entry.to = recipientsOf(parsed);
    const hits = faults.take('send', entry.to);
    return underFault(hits, () => {
      const id = (request.headers['operation-id']?.toString() ?? randomUUID()).toLowerCase();
      if (!uuid.test(id)) throw badRequest('Operation-Id has to be a UUID');
      const digest = createHash('sha256').update(body).digest('base64');
      const known = operations.get(id);
      // https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md, "Long-Running Operations"
      if (known && known.digest !== digest) {
        throw badRequest(`Operation-Id ${id} was used for another message`);
      }
      if (!known) accept(id, digest, readSendRequest(parsed), hits);
      const location = `${endpoint}/emails/operations/${id}${url.search}`;
      const headers = { 'Operation-Location': location, 'Retry-After': retryAfter };
      return { status: 202, headers, body: { id, status: 'Running' } };
    });
  }

  function accept(
    operationId: string,
    digest: string,
    given: SendRequest,
    hits: readonly EmailFault[],
  ): void {
    const { sender, to, subject, replyTo, headers } = given;
    const outcome = hits.find((fault) => fault.kind === 'outcome');
    const failure = outcome?.failure && { message: 'The message was not sent', ...outcome.failure };
    const message: AcceptedMessage = {
      operationId,
      ...(keepBodies ? given : { sender, to, subject, replyTo, headers }),
      acceptedAt: new Date(),
      status: 'Running',
    };
    const operation = { digest, message, runningReads: outcome?.runningReads ?? 0, failure };
    operations.set(operationId, operation);
    messages.push(message);
    endWhenDue(operation);
  }

  function readStatus(id: string): Reaction {
    const operation = operations.get(id);
    return underFault(faults.take('status', operation?.message.to ?? ['']), () => {
      if (!operation) throw new Refusal(404, 'OperationNotFound', `There is no operation ${id}`);
      const { status, error } = operation.message;
      if (status === 'Running') {
        operation.runningReads -= 1;
        endWhenDue(operation);
      }
      const headers = status === 'Running' ? { 'Retry-After': retryAfter } : {};
      return { status: 200, headers, body: { id, status, ...(error && { error }) } };
    });
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = requestUrl(request);
    const operationId = operationIn(url) ?? request.headers['operation-id']?.toString();
    const entry: Entry = {
      method: request.method ?? '',
      path: url.pathname,
      ...(operationId === undefined ? {} : { operationId }),
    };
    requests.push(entry);
    const body = await readBody(request);
    if (service.latencyMs > 0) await delay(service.latencyMs);
    const reaction = attempt(() => react(request, url, body, entry));
    if (reaction === 'hang') return;
    if (reaction === 'drop') {
      response.destroy();
      return;
    }
    entry.status = reaction.status;
    response
      .writeHead(reaction.status, { 'Content-Type': 'application/json', ...reaction.headers })
      .end(JSON.stringify(reaction.body));
  }

  const server = https.createServer(options.tls, (request, response) => {
    serve(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  // A connection that a client keeps is not to be closed just as its next call leaves.
  server.keepAliveTimeout = 60_000;
  const mailbox = http.createServer(createMailbox(messages));
  // First: its port may be taken, and then nothing is left listening.
  const mailboxPort = await listen(mailbox, options.mailboxPort ?? 0);
  const endpoint = `https://localhost:${await listen(server, options.port ?? 0)}`;

  const service: EmailService = {
    endpoint,
    mailbox: `http://127.0.0.1:${mailboxPort}`,
    messages,
    requests,
    latencyMs: 0,
    order: (fault) => faults.order(fault),
    clearFaults: () => faults.clear(),
    reset() {
      faults.clear();
      operations.clear();
      messages.length = 0;
      requests.length = 0;
    },
    async close() {
      await Promise.all([server, mailbox].map(close));
    },
  };
  return service;
}

/** Lets the first fault that concerns the call itself have its way with it. */
function underFault(hits: readonly EmailFault[], call: () => Answer): Reaction {
  const fault: CallFault | undefined = hits.find((hit) => hit.kind !== 'outcome');
  switch (fault?.kind) {
    case 'error':
      return errorAnswer(fault);
    case 'hang':
      return 'hang';
    case 'dropBefore':
      return 'drop';
    case 'dropAfter':
      call();
      return 'drop';
    case undefined:
      return call();
  }
}

function endWhenDue({ message, runningReads, failure }: Operation): void {
  if (runningReads > 0) return;
  message.status = failure ? 'Failed' : 'Succeeded';
  if (failure) message.error = failure;
}

function attempt(call: () => Reaction): Reaction {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { status, code, message } = error;
    return errorAnswer({ kind: 'error', status, code, message });
  }
}

function errorAnswer({ status, code, message = 'An ordered fault', retryAfter }: ErrorFault): Answer {
  const named = code ?? usualCodes[status] ?? 'InternalServerError';
  return {
    status,
    headers: {
      'x-ms-error-code': named,
      ...(retryAfter === undefined ? {} : { 'Retry-After': retryAfter }),
    },
    body: { error: { code: named, message } },
  };
}

function operationIn({ pathname }: URL): string | undefined {
  return /^\/emails\/operations\/([^/]+)$/.exec(pathname)?.[1]?.toLowerCase();
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    throw badRequest('The body is no JSON');
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function listen(server: http.Server | https.Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

function close(server: http.Server | https.Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
