/** Requests to the built app as an enemy writes them. */
import fc from 'fast-check';
import { startSample, type App, type Sample } from '../support/app';
import { text } from '../support/hostileInput';

let sample: Sample;
let app: App;
beforeAll(async () => {
  sample = await startSample();
  app = await sample.startApp();
  await app.call('/api/jobs');
});
afterAll(() => sample.close());

/** Asks, and gives the SQL texts that were sent for it. */
async function ask(
  path: string,
  init?: RequestInit,
): Promise<{ status: number; body: string; sql: string[] }> {
  sample.standIns.sql.clearStatements();
  const response = await app.call(path, init);
  const body = await response.text();
  return {
    status: response.status,
    body,
    sql: sample.standIns.sql.statements.map((statement) => statement.text),
  };
}

test('no job type, query or header makes the app fail or reaches SQL as text', async () => {
  const runs = '/api/jobs/RevokeExpiredDatabricksRequests/runs';
  const usual = (await ask(`${runs}?limit=3`)).sql;
  expect(usual).toHaveLength(1);
  // Half pairs have no form in a URL; a segment of dots is taken out of a path by every client.
  const encoded = text.map((value) => encodeURIComponent(value.replace(/\p{Cs}/gu, '').slice(0, 2_000)));
  const segment = encoded.filter((value) => !/^\.*$/.test(value));
  const header = fc.string({ unit: 'grapheme-ascii', maxLength: 200 }).map((value) => value.trim());
  await fc.assert(
    fc.asyncProperty(segment, encoded, encoded, header, async (type, name, value, given) => {
      const unknown = await ask(`/api/jobs/${type}/runs`, { method: 'POST' });
      expect([unknown.status, unknown.sql]).toEqual([404, []]);
      expect(JSON.parse(unknown.body)).toMatchObject({ status: 404 });
      const strange = await ask(`${runs}?x${name}=${value}`);
      expect([strange.status, strange.sql]).toEqual([400, []]);
      const limited = await ask(`${runs}?limit=${value}x`);
      expect([limited.status, limited.sql]).toEqual([400, []]);
      const headed = await ask(`${runs}?limit=3`, {
        headers: {
          'X-Functions-Key': given,
          'X-Forwarded-Host': given,
          traceparent: given,
          Accept: given,
          Cookie: given,
        },
      });
      expect([headed.status, headed.sql]).toEqual([200, usual]);
    }),
    { numRuns: 40 },
  );
});

test('no body makes the app fail, runs a job or reaches SQL, unless it is empty', async () => {
  const runs = '/api/jobs/RevokeExpiredDatabricksRequests/runs';
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    text.map((value) => new TextEncoder().encode(value)),
    fc.json().map((value) => new TextEncoder().encode(value)),
    fc.dictionary(text, text, { minKeys: 1 }).map((value) => new TextEncoder().encode(JSON.stringify(value))),
  );
  const contentType = fc.constantFrom('application/json', 'application/x-www-form-urlencoded', 'text/plain');
  await fc.assert(
    fc.asyncProperty(bytes, contentType, async (body, type) => {
      const content = new TextDecoder().decode(body);
      // An empty object and an empty form name no parameter.
      fc.pre(content.trim() !== '' && !/^(\s*\{\s*\}\s*|\??&*)$/.test(content));
      const answer = await ask(runs, { method: 'POST', body, headers: { 'Content-Type': type } });
      expect([answer.status, answer.sql]).toEqual([type === 'text/plain' ? 415 : 400, []]);
      expect(JSON.parse(answer.body)).toMatchObject({ status: answer.status });
    }),
    { numRuns: 200 },
  );
});
