import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { createCertificates, trustAuthority } from '../../local/certificates';

function get(url: string, ca?: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    https
      .get(url, { agent: false, ...(ca !== undefined && { ca }) }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
      .on('error', reject);
  });
}

test('a server is trusted by its authority, as localhost and 127.0.0.1, and by a process that trusts it', async () => {
  const [{ authority, ...tls }, other] = await Promise.all([createCertificates(), createCertificates()]);
  const server = https.createServer(tls, (_, response) => response.end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  for (const host of ['localhost', '127.0.0.1'])
    expect(await get(`https://${host}:${port}`, authority)).toBe(200);
  await expect(get(`https://localhost:${port}`, other.authority)).rejects.toThrow(/certificate|signature/);
  await expect(get(`https://localhost:${port}`)).rejects.toThrow(/certificate/);
  trustAuthority(authority);
  expect(await get(`https://localhost:${port}`)).toBe(200);
  await new Promise((resolve) => server.close(resolve));
});
