/** What the HTTP servers of this folder share. All of them listen on 127.0.0.1 only. */
import { once } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * @param port 0 takes a free one
 * @returns the port
 * @throws Error if it is taken
 */
export async function listen(server: Server, port = 0): Promise<number> {
  await once(server.listen(port, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

/** Closes a server and all its connections. */
export async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

/** The path and query of a request. Its client may write anything: "//" begins no host, and "*:0" names no port. */
export function requestUrl({ url = '/' }: Pick<IncomingMessage, 'url'>): URL {
  return new URL(`http://localhost${url.startsWith('/') ? '' : '/'}${url}`);
}
