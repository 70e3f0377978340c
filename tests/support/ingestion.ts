/** The ingestion endpoint of Application Insights on loopback. */
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { createCertificates } from '../../local/certificates';
import { createTemporaryDirectory } from '../../local/temporaryDirectory';

/** One telemetry item as the exporter sends it ("Breeze", schema 2). */
export interface Envelope {
  readonly name: string;
  readonly time: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly data: {
    /** EventData, MetricData, ExceptionData, RequestData, RemoteDependencyData, MessageData. */
    readonly baseType: string;
    readonly baseData: Readonly<Record<string, unknown>> & {
      readonly name?: string;
      readonly properties?: Readonly<Record<string, string>>;
      readonly metrics?: readonly { readonly name: string; readonly value: number }[];
      readonly exceptions?: readonly { readonly typeName: string; readonly message: string }[];
    };
  };
}

/** The endpoint of a test file, started before its tests. Before each, what it has received is forgotten. */
export function useIngestion(): Ingestion {
  const ingestion = new Ingestion();
  beforeAll(() => ingestion.start());
  beforeEach(() => ingestion.forget());
  afterAll(() => ingestion.close());
  return ingestion;
}

class Ingestion {
  /** All items in the order of their arrival. */
  readonly envelopes: Envelope[] = [];
  /** All bodies, as text. */
  readonly bodies: string[] = [];
  /** Paths of other requests; kept by `forget`. */
  readonly strayPaths: string[] = [];
  /** How many requests were refused, with 401, for lack of a valid token. */
  refused = 0;
  /** How it answers: like the service, with an error, or never. */
  mode: 'accept' | 'fail' | 'hang' = 'accept';
  /** If set, only these bearer tokens are accepted, like by a resource without local authentication. */
  acceptsToken: ((token: string) => boolean) | undefined;

  /** For the authorities to trust, and for what the library could not send. */
  readonly directory = createTemporaryDirectory();
  readonly #server = https.createServer();
  /** To trust, in PEM. */
  #authority = '';

  async start(): Promise<void> {
    const { authority, ...tls } = await createCertificates();
    this.#authority = authority;
    this.#server.setSecureContext(tls);
    this.#server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void buffer(request).then((body) => {
        if (this.mode === 'hang') return;
        const before = this.envelopes.length;
        response.writeHead(this.#receive(request, body), { 'Content-Type': 'application/json' });
        const items = this.envelopes.length - before;
        response.end(JSON.stringify({ itemsReceived: items, itemsAccepted: items, errors: [] }));
      });
    });
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  /**
   * The settings of an app that sends its telemetry there.
   * @param authority of the stand-ins, in PEM
   */
  settings(authority: string): Record<string, string> {
    const authorities = join(this.directory, 'authorities.pem');
    writeFileSync(authorities, `${authority}\n${this.#authority}`);
    const endpoint = `https://localhost:${(this.#server.address() as AddressInfo).port}/`;
    return {
      NODE_EXTRA_CA_CERTS: authorities,
      APPLICATIONINSIGHTS_CONNECTION_STRING: `InstrumentationKey=00000000-0000-4000-8000-000000000001;IngestionEndpoint=${endpoint};LiveEndpoint=${endpoint}`,
      TMPDIR: this.directory,
      // As in Azure, else the library checks whether it runs on a virtual machine.
      FUNCTIONS_EXTENSION_VERSION: '~4',
      WEBSITE_SITE_NAME: 'func-access-expiry-jobs',
    };
  }

  ofType(baseType: string): Envelope[] {
    return this.envelopes.filter(({ data }) => data.baseType === baseType);
  }

  forget(): void {
    for (const list of [this.envelopes, this.bodies]) list.length = 0;
    this.refused = 0;
    this.mode = 'accept';
    this.acceptsToken = undefined;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
    // An app that is about to be killed may still write there.
    rmSync(this.directory, { recursive: true, maxRetries: 3 });
  }

  /** Returns the status to answer with. */
  #receive({ method, url = '', headers }: IncomingMessage, raw: Buffer): number {
    if (this.mode === 'fail') return 503;
    if (method !== 'POST' || !/^\/v2(\.1)?\/track$/.test(url)) {
      this.strayPaths.push(url);
      return 404;
    }
    const token = /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1];
    if (this.acceptsToken && (token === undefined || !this.acceptsToken(token))) {
      this.refused += 1;
      return 401;
    }
    const body = (headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw).toString();
    this.bodies.push(body);
    const items = body.startsWith('[') ? body : `[${body.trim().replaceAll('\n', ',')}]`;
    this.envelopes.push(...(JSON.parse(items) as Envelope[]));
    return 200;
  }
}
