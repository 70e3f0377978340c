import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type Server } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { HttpOptions, ServedFunction } from './app';
import type { HttpData } from './core';
import { timerInput, type Invoker } from './invocation';
import { describeError, type HostLog } from './log';
import { matchRoute } from './routes';

interface Answer {
  readonly status: number;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Uint8Array;
}

/** What a request is answered by. */
interface Functions {
  readonly served: readonly ServedFunction[];
  readonly invoker: Invoker;
  readonly throttle: Throttle;
}

/** The HTTP functions by their routes, and the host's own addresses under /admin/functions. */
export function createFunctionsServer(
  served: readonly ServedFunction[],
  invoker: Invoker,
  options: HttpOptions,
  log: HostLog,
): Server {
  const functions = { served, invoker, throttle: createThrottle(options) };
  const server = createServer((request, response) => {
    const reportError = (error: unknown): Answer => {
      // The client sent an invalid Host header.
      if (isInvalidUrl(error)) return text(400, error.message);
      log({
        level: 'error',
        message: `${request.method ?? ''} ${request.url ?? ''}: ${describeError(error)}`,
      });
      return text(500, '');
    };
    answer(functions, request)
      .catch(reportError)
      .then(({ status, headers, body }) => {
        // A connection that its client keeps would hold up the end of a server that is closing.
        if (!server.listening) response.setHeader('Connection', 'close');
        response.writeHead(status, headers).end(body);
      })
      .catch((error: unknown) => {
        reportError(error);
        response.destroy();
      });
  });
  return server;
}

async function answer(functions: Functions, request: IncomingMessage): Promise<Answer> {
  const { method = '', headers, url = '/' } = request;
  const address = new URL(`http://${headers.host ?? '127.0.0.1'}${url}`);
  const bytes = await buffer(request);
  if (/^\/admin\/functions(\/|$)/.test(address.pathname)) return answerAdmin(functions, method, address);
  for (const target of functions.served) {
    if (!target.route || !target.description.methods?.includes(method)) continue;
    const params = matchRoute(target.route, address.pathname);
    if (params) return callFunction(functions, target, toHttpData(request, address, params, bytes));
  }
  return text(404, `No function takes ${method} ${address.pathname}`);
}

async function callFunction(
  { invoker, throttle }: Functions,
  target: ServedFunction,
  http: HttpData,
): Promise<Answer> {
  const { method = '', url = '', headers: { traceparent } = {} } = http;
  const reason = `${method} ${new URL(url).pathname}`;
  const { statusCode, headers, body } = await throttle(() =>
    invoker.run(target, { http }, reason, traceparent).then(
      (response) => response ?? { statusCode: '204' },
      () => ({ statusCode: '500' }),
    ),
  );
  const answered = body?.bytes ?? body?.string;
  return {
    status: Number(statusCode),
    ...(headers && { headers }),
    ...(answered !== undefined && { body: answered }),
  };
}

function answerAdmin({ served, invoker }: Functions, method: string, { pathname }: URL): Answer {
  if (method === 'GET') {
    const list = JSON.stringify(served.map(({ description }) => description));
    return { status: 200, headers: { 'Content-Type': 'application/json' }, body: list };
  }
  const target = served.find(({ description }) => pathname === `/admin/functions/${description.name}`);
  if (!target?.cron) return text(404, 'There is no such timer, or it is in error');
  // The answer does not wait for the run, and the invoker has logged a failure by the time it settles.
  void invoker.run(target, timerInput, 'by hand').catch(() => undefined);
  return { status: 202 };
}

type Throttle = (work: () => Promise<HttpData>) => Promise<HttpData>;

/** Lets requests through as host.json says; those beyond are answered with 429 and no more. */
function createThrottle({ maxConcurrentRequests, maxOutstandingRequests }: HttpOptions): Throttle {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running + waiting.length >= maxOutstandingRequests) return { statusCode: '429' };
    if (running >= maxConcurrentRequests) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}

/**
 * A request as the Functions host hands it on: names of headers in lower case, repeated headers and query values joined
 * by a comma, a body only with a Content-Length (nodejs-worker, issue 524).
 */
function toHttpData(
  { method = '', headersDistinct, headers }: IncomingMessage,
  url: URL,
  params: Record<string, string>,
  bytes: Buffer,
): HttpData {
  const joined = Object.entries(headersDistinct).map(
    ([name, values]) => [name, (values ?? []).join(',')] as const,
  );
  const query: Record<string, string> = {};
  // Its map has no room for __proto__.
  for (const name of url.searchParams.keys()) query[name] = url.searchParams.getAll(name).join(',');
  const hasLength = Number(headers['content-length'] ?? 0) > 0;
  const body = { bytes: hasLength ? bytes : new Uint8Array() };
  return { method, url: url.href, headers: Object.fromEntries(joined), query, params, body };
}

function isInvalidUrl(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && error.code === 'ERR_INVALID_URL';
}

function text(status: number, body: string): Answer {
  return { status, headers: { 'Content-Type': 'text/plain; charset=utf-8' }, body };
}
