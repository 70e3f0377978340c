/**
 * The managed-identity endpoint of App Service and Functions on loopback, so that `@azure/identity` is used as in
 * Azure (https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference).
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { close, listen, requestUrl } from '../loopback';
import { OrderedFaults, type Occurrence } from '../orderedFaults';

/** Requests that carry the right header are answered with this HTTP status. */
export interface IdentityFault extends Occurrence {
  readonly kind: 'error';
  readonly status: number;
  /** Only requests for a resource whose address contains this; for any by default. */
  readonly resource?: string;
}

export interface IdentityRequest {
  /** Empty if the request named none. */
  readonly resource: string;
  /** The user-assigned identity that was asked for; absent for the system-assigned one. */
  readonly clientId?: string;
  /** The HTTP status answered. */
  readonly status: number;
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
  const identity = new Identity();
  await identity.start();
  return identity;
}

export class Identity {
  /** What the app's process needs; `@azure/identity` reads it once per process. */
  environment = {
    IDENTITY_ENDPOINT: '',
    IDENTITY_HEADER: randomUUID() as string,
    /** For commands: they prefer the developer's sign-in to a managed identity. */
    AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential',
  };
  /** All requests so far, in order. */
  readonly requests: IdentityRequest[] = [];

  readonly #resources = new Map<string, string>();
  readonly #faults = new OrderedFaults<IdentityFault>();
  readonly #server = createServer((request, response) => {
    const url = requestUrl(request);
    const { status, body } = this.#answer(request, url);
    const clientId = url.searchParams.get('client_id');
    const resource = url.searchParams.get('resource') ?? '';
    this.requests.push({ resource, ...(clientId !== null && { clientId }), status });
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  });

  async start(): Promise<void> {
    const port = await listen(this.#server);
    this.environment = { ...this.environment, IDENTITY_ENDPOINT: `http://127.0.0.1:${port}/msi/token` };
  }

  /** Whether this endpoint issued the token, for this resource (a slash at its end does not matter). */
  isValid(token: string, resource: string): boolean {
    return this.#resources.get(token) === withoutSlash(resource);
  }

  order(fault: IdentityFault): void {
    this.#faults.order(fault);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  close(): Promise<void> {
    return close(this.#server);
  }

  #answer({ method = '', headers }: IncomingMessage, { pathname, searchParams }: URL): Answer {
    if (method !== 'GET' || pathname !== '/msi/token')
      return refuse(404, `There is no ${method} ${pathname}`);
    if (headers['x-identity-header'] !== this.environment.IDENTITY_HEADER)
      return refuse(401, 'The header X-IDENTITY-HEADER is missing or not that of this endpoint');
    const resource = searchParams.get('resource') ?? '';
    const [fault] = this.#faults.take(({ resource: wanted = '' }) => resource.includes(wanted));
    if (fault) return refuse(fault.status, 'An ordered fault');
    if (searchParams.get('api-version') !== apiVersion)
      return refuse(400, `api-version has to be ${apiVersion}`);
    if (resource === '') return refuse(400, 'The parameter resource is missing');
    const access_token = randomBytes(32).toString('base64url');
    this.#resources.set(access_token, withoutSlash(resource));
    const expires_on = String(Math.floor(Date.now() / 1000) + tokenLifetime);
    return { status: 200, body: { access_token, expires_on, resource, token_type: 'Bearer' } };
  }
}

function refuse(statusCode: number, message: string): Answer {
  return { status: statusCode, body: { statusCode, message, correlationId: randomUUID() } };
}

function withoutSlash(resource: string): string {
  return resource.replace(/(?<!\/)\/+$/, '');
}
