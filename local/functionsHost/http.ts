import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { HttpOptions, ServedFunction } from './app';
import type { HttpData, TypedData } from './core';
import { timerInput, type Invoker } from './invocation';
import { describeError, type HostLog } from './log';

interface Answer {
  readonly status: number;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Uint8Array;
}

/** The HTTP functions by their routes, and the host's own addresses under /admin/functions. */
export function createFunctionsServer(
  served: readonly ServedFunction[],
  invoker: Invoker,
  limits: Omit<HttpOptions, 'routePrefix'>,
  log: HostLog,
): Server {
  const throttle = createThrottle(limits);
  const byRank = served
    .flatMap((target) => (target.path ? [{ target, path: target.path }] : []))
    .sort((a, b) => a.path.rank.localeCompare(b.path.rank));

  async function answer(request: IncomingMessage): Promise<Answer> {
    const method = request.method ?? '';
    const url = new URL(`http://${request.headers.host ?? '127.0.0.1'}${request.url ?? '/'}`);
    const bytes = await readBody(request);
    if (/^\/admin\/functions(\/|$)/.test(url.pathname)) return answerAdmin(method, url, bytes);

    const matching = byRank.flatMap(({ target, path }) => {
      const params = target.description.methods?.includes(method) ? path.match(url.pathname) : undefined;
      return params ? [{ target, params }] : [];
    });
    const [found] = matching;
    if (!found) return text(404, `No function takes ${method} ${url.pathname}`);

    const headers = joinedHeaders(request);
    const query = joinedQuery(url);
    const body = { bytes: hasLength(request) ? bytes : new Uint8Array() };
    const http = { method, url: url.href, headers, query, params: found.params, body };
    const given: HttpData = await throttle(() =>
      invoker.run(found.target, { http }, `${method} ${url.pathname}`, headers.traceparent).then(
        (response) => response ?? { statusCode: '204' },
        () => ({ statusCode: '500' }),
      ),
    );
    const answered = given.body?.bytes ?? given.body?.string;
    return {
      status: Number(given.statusCode),
      headers: given.headers ?? {},
      ...(answered === undefined ? {} : { body: answered }),
    };
  }

  function answerAdmin(method: string, url: URL, body: Buffer): Answer {
    const name = decodeURIComponent(url.pathname.slice('/admin/functions/'.length)).toLowerCase();
    if (!name) {
      if (method !== 'GET') return wrongMethod(url, ['GET']);
      const list = served.map(({ description, cron }) => ({
        ...description,
        nextRun: cron?.nextRun() ?? undefined,
      }));
      return { status: 200, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(list) };
    }
    if (method !== 'POST') return wrongMethod(url, ['POST']);
    const target = served.find(({ description }) => description.name.toLowerCase() === name);
    if (!target) return text(404, `There is no function ${name}`);
    if (target.description.error) return text(404, target.description.error);
    // The answer does not wait for the run, and the invoker has logged a failure by the time it settles.
    void invoker.run(target, inputByHand(target, url, body), 'by hand').catch(() => undefined);
    return { status: 202 };
  }

  const server = createServer((request, response) => {
    answer(request)
      .catch((error: unknown) => {
        // What a client wrote as address or route parameter cannot be decoded.
        if (error instanceof URIError || isInvalidUrl(error)) return text(400, error.message);
        log({
          level: 'error',
          message: `${request.method ?? ''} ${request.url ?? ''}: ${describeError(error)}`,
        });
        return text(500, '');
      })
      .then((given) => {
        // A connection that its client keeps would hold up the end of a server that is closing.
        if (!server.listening) response.setHeader('Connection', 'close');
        send(response, given);
      })
      .catch((error: unknown) => {
        log({ level: 'error', message: `The answer could not be sent: ${describeError(error)}` });
        response.destroy();
      });
  });
  return server;
}

/** Lets requests through as host.json says; those beyond are answered with 429 and no more. */
function createThrottle({
  maxConcurrentRequests,
  maxOutstandingRequests,
}: Omit<HttpOptions, 'routePrefix'>): (work: () => Promise<HttpData>) => Promise<HttpData> {
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

/** Run by hand, a timer gets no schedule status, and an HTTP function the body and no parameters. */
function inputByHand({ description, path, cron }: ServedFunction, { origin }: URL, bytes: Buffer): TypedData {
  if (cron) return timerInput;
  const url = `${origin}${encodeURI(path?.template ?? '/')}`;
  return {
    http: { method: description.methods?.[0] ?? 'POST', url, headers: {}, params: {}, body: { bytes } },
  };
}

function isInvalidUrl(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && error.code === 'ERR_INVALID_URL';
}

function wrongMethod(url: URL, methods: readonly string[]): Answer {
  const allowed = methods.join(', ');
  return { ...text(405, `${url.pathname} takes ${allowed}`), headers: { Allow: allowed } };
}

function text(status: number, body: string): Answer {
  return { status, headers: { 'Content-Type': 'text/plain; charset=utf-8' }, body };
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, headers).end(body);
}

/** The headers as the Functions host hands them on: names in lower case, repeated values joined by a comma. */
function joinedHeaders(request: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(request.headersDistinct).map(([name, values]) => [name, (values ?? []).join(',')]),
  );
}

/** The query as the Functions host hands it on: repeated values joined by a comma; its map has no room for __proto__. */
function joinedQuery({ searchParams }: URL): Record<string, string> {
  const query: Record<string, string> = {};
  for (const name of searchParams.keys()) query[name] = searchParams.getAll(name).join(',');
  return query;
}

/** The Functions host hands on no other body: a chunked one arrives empty (nodejs-worker, issue 524). */
function hasLength({ headers }: IncomingMessage): boolean {
  return Number(headers['content-length'] ?? 0) > 0;
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
