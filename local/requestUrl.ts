import type { IncomingMessage } from 'node:http';

/** The path and query of a request, whatever its client wrote: "//" begins no host, and "*:0" names no port. */
export function requestUrl({ url = '/' }: Pick<IncomingMessage, 'url'>): URL {
  return new URL(`http://localhost${url.startsWith('/') ? '' : '/'}${url}`);
}
