import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createCertificates, trustAuthority, type Certificates } from '../../local/certificates';

let certificates: Certificates;
let server: https.Server;
let port: number;

function get(url: string, ca?: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    https
      .get(url, { agent: false, ...(ca === undefined ? {} : { ca }) }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
      .on('error', reject);
  });
}

beforeAll(async () => {
  certificates = await createCertificates();
  server = https.createServer(certificates, (_, response) => response.end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
});

afterAll(() => new Promise((resolve) => server.close(resolve)));

test('the server certificate is trusted by its authority, as localhost and as 127.0.0.1', async () => {
  expect(await get(`https://localhost:${port}`, certificates.authority)).toBe(200);
  expect(await get(`https://127.0.0.1:${port}`, certificates.authority)).toBe(200);
});

test('the authority of another start does not vouch for it', async () => {
  const other = await createCertificates();
  await expect(get(`https://localhost:${port}`, other.authority)).rejects.toThrow(/certificate|signature/);
});

test('a process trusts the authority once it is told to, and not before', async () => {
  await expect(get(`https://localhost:${port}`)).rejects.toThrow(/certificate/);
  trustAuthority(certificates.authority);
  expect(await get(`https://localhost:${port}`)).toBe(200);
});

test('another process trusts the authority through NODE_EXTRA_CA_CERTS', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'certificates-'));
  try {
    const file = join(folder, 'authority.pem');
    writeFileSync(file, certificates.authority);
    const script = `fetch('https://localhost:${port}').then((response) => console.log(response.status))`;
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: file },
    });
    expect(stdout.trim()).toBe('200');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
