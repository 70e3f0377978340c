/**
 * The managed-identity endpoint of App Service and Functions on loopback, so that `@azure/identity` is used as in
 * Azure (https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference).
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { requestUrl } from '../requestUrl';

/** The next `times` (1 by default) requests that carry the right header are answered with this HTTP status. */
export interface IdentityFault {
  readonly kind: 'error';
  readonly status: number;
  readonly times?: number;
}

export interface IdentityRequest {
  /** Empty if the request named none. */
  readonly resource: string;
  /** The user-assigned identity that was asked for; absent for the system-assigned one. */
  readonly clientId?: string;
  /** The HTTP status answered. */
  readonly status: number;
}

export interface Identity {
  /** What the app's process needs; `@azure/identity` reads both once per process. */
  readonly environment: {
    readonly IDENTITY_ENDPOINT: string;
    readonly IDENTITY_HEADER: string;
    /** For commands: they prefer the developer's sign-in to a managed identity. */
    readonly AZURE_TOKEN_CREDENTIALS: string;
  };
  /** All requests so far, in order. */
  readonly requests: readonly IdentityRequest[];
  /** Whether this endpoint issued the token, for this resource (a slash at its end does not matter). */
  isValid(token: string, resource: string): boolean;
  order(fault: IdentityFault): void;
  clearFaults(): void;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly body: object;
}

const apiVersion = '2019-08-01';
/** In seconds. */
const tokenLifetime = 24 * 60 * 60;

/** Starts the endpoint on a free port of 127.0.0.1. */
export async function startIdentity(): Promise<Identity> {
  const secret = randomUUID();
  const tokens = new Map<string, string>();
  const requests: IdentityRequest[] = [];
  let faults: { readonly status: number; left: number }[] = [];

  function answer(request: IncomingMessage, { pathname, searchParams }: URL): Answer {
    if (request.method !== 'GET' || pathname !== '/msi/token') {
      return refuse(404, `There is no ${request.method ?? ''} ${pathname}`);
    }
    if (request.headers['x-identity-header'] !== secret) {
      return refuse(401, 'The header X-IDENTITY-HEADER is missing or not that of this endpoint');
    }
    const fault = faults.find(({ left }) => left > 0);
    if (fault) {
      fault.left -= 1;
      return refuse(fault.status, 'An ordered fault');
    }
    if (searchParams.get('api-version') !== apiVersion) {
      return refuse(400, `api-version has to be ${apiVersion}`);
    }
    const resource = searchParams.get('resource');
    if (!resource) return refuse(400, 'The parameter resource is missing');
    const access_token = randomBytes(32).toString('base64url');
    tokens.set(access_token, withoutSlash(resource));
    const expires_on = String(Math.floor(Date.now() / 1000) + tokenLifetime);
    return { status: 200, body: { access_token, expires_on, resource, token_type: 'Bearer' } };
  }

  const server = createServer((request, response) => {
    const url = requestUrl(request);
    const { status, body } = answer(request, url);
    const clientId = url.searchParams.get('client_id');
    const resource = url.searchParams.get('resource') ?? '';
    requests.push({ resource, ...(clientId === null ? {} : { clientId }), status });
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });

  return {
    environment: {
      IDENTITY_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}/msi/token`,
      IDENTITY_HEADER: secret,
      AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential',
    },
    requests,
    isValid: (token, resource) => tokens.get(token) === withoutSlash(resource),
    order({ status, times = 1 }) {
      faults.push({ status, left: times });
    },
    clearFaults() {
      faults = [];
    },
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

function refuse(statusCode: number, message: string): Answer {
  return { status: statusCode, body: { statusCode, message, correlationId: randomUUID() } };
}

function withoutSlash(resource: string): string {
  return resource.replace(/(?<!\/)\/+$/, '');
}
