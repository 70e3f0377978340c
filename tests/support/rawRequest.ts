/** Requests that fetch would not send. */
import { request, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { text } from 'node:stream/consumers';

export interface RawRequest {
  readonly method?: string;
  /** Sent as it is instead of the URL's path. */
  readonly path?: string;
  /** Sent as it is. */
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Uint8Array;
  /** With Transfer-Encoding instead of Content-Length. */
  readonly chunked?: boolean;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export function sendRaw(
  url: string,
  {
    method = 'GET',
    path = new URL(url).pathname + new URL(url).search,
    headers = {},
    body = '',
    chunked = false,
  }: RawRequest,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const framing = chunked
      ? { 'Transfer-Encoding': 'chunked' }
      : body.length > 0
        ? { 'Content-Length': Buffer.byteLength(body) }
        : {};
    const sent = request(url, { method, path, headers: { ...framing, ...headers } }, (answer) => {
      text(answer).then(
        (answered) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answered }),
        reject,
      );
    });
    sent.on('error', reject);
    sent.end(body.length > 0 ? body : undefined);
  });
}
