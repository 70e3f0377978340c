/** The ingestion endpoint of Application Insights on loopback: what the app's telemetry sends arrives here. */
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { createCertificates } from '../../local/certificates';

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

/** How it answers: as the service does, with an error, or never. */
export type IngestionMode = 'accept' | 'fail' | 'hang';

export interface Ingestion {
  readonly connectionString: string;
  /** The authority to trust, in PEM. */
  readonly authority: string;
  /** All items in the order of their arrival. */
  readonly envelopes: readonly Envelope[];
  /** All bodies as they came, for reading them as text. */
  readonly bodies: readonly string[];
  /** Paths called that are none of the ingestion; never forgotten. */
  readonly strayPaths: readonly string[];
  /** How many requests were refused, with 401, for lack of a valid token. */
  readonly refused: number;
  mode: IngestionMode;
  /** Where set, as at a resource without local authentication: only a bearer token that passes is let in. */
  acceptsToken: ((token: string) => boolean) | undefined;
  ofType(baseType: string): Envelope[];
  forget(): void;
  close(): Promise<void>;
}

export async function startIngestion(): Promise<Ingestion> {
  const { authority, ...tls } = await createCertificates();
  const envelopes: Envelope[] = [];
  const bodies: string[] = [];
  const strayPaths: string[] = [];
  let mode: IngestionMode = 'accept';
  let acceptsToken: Ingestion['acceptsToken'];
  let refused = 0;

  const server = https.createServer(tls, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (mode === 'hang') return;
      if (mode === 'fail') {
        response.writeHead(503).end();
        return;
      }
      const path = request.url ?? '';
      if (request.method !== 'POST' || !/^\/v2(\.1)?\/track$/.test(path)) {
        strayPaths.push(path);
        response.writeHead(404).end();
        return;
      }
      const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
      if (acceptsToken && (token === undefined || !acceptsToken(token))) {
        refused += 1;
        response.writeHead(401).end();
        return;
      }
      const raw = Buffer.concat(chunks);
      const body = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw).toString();
      bodies.push(body);
      const items = body.startsWith('[')
        ? (JSON.parse(body) as Envelope[])
        : body.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Envelope]));
      envelopes.push(...items);
      const answer = { itemsReceived: items.length, itemsAccepted: items.length, errors: [] };
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const endpoint = `https://localhost:${(server.address() as AddressInfo).port}/`;

  return {
    connectionString: `InstrumentationKey=00000000-0000-4000-8000-000000000001;IngestionEndpoint=${endpoint};LiveEndpoint=${endpoint}`,
    authority,
    envelopes,
    bodies,
    strayPaths,
    get mode() {
      return mode;
    },
    set mode(given) {
      mode = given;
    },
    get acceptsToken() {
      return acceptsToken;
    },
    set acceptsToken(given) {
      acceptsToken = given;
    },
    get refused() {
      return refused;
    },
    ofType: (baseType) => envelopes.filter(({ data }) => data.baseType === baseType),
    forget() {
      for (const list of [envelopes, bodies]) list.length = 0;
      refused = 0;
    },
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}
