/** Certificates for the local stand-ins, made at each start, so that production code uses TLS that it trusts. */
import { randomUUID } from 'node:crypto';
import tls from 'node:tls';

/** All three in PEM. `authority` signed `cert`, which is for localhost and 127.0.0.1. */
export interface Certificates {
  readonly authority: string;
  readonly key: string;
  readonly cert: string;
}

const day = 24 * 60 * 60 * 1000;

/** Makes a certificate authority and a server certificate that it signed, valid from yesterday for a year. */
export async function createCertificates(): Promise<Certificates> {
  // Loaded here, since processes that only trust an authority need none of it.
  const { generate } = await import('selfsigned');
  const common = {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - day),
    notAfterDate: new Date(Date.now() + 365 * day),
  } as const;
  // Of several trusted authorities with one name, a process may check with the wrong one's key.
  const authority = await generate([{ name: 'commonName', value: `Local stand-ins ${randomUUID()}` }], {
    ...common,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  const server = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...common,
    ca: { key: authority.private, cert: authority.cert },
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  });
  return { authority: authority.cert, key: server.private, cert: server.cert };
}

/**
 * Makes this process trust one more certificate authority. Another process takes it from NODE_EXTRA_CA_CERTS, a file name
 * that Node.js reads before any script runs.
 */
export function trustAuthority(pem: string): void {
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), pem]);
}
