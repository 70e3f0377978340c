/** Hostile requests to the built app. */
import fc from 'fast-check';
import { useSample } from '../support/app';
import { text } from '../support/hostileInput';
import { expectDocumented } from '../support/openApi';
import { sendRaw, type RawAnswer, type RawRequest } from '../support/rawRequest';

const { sample, app } = useSample();
beforeAll(() => app.call('/api/jobs'));

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

/** Requests that are almost right, or wrong in one way of many. */
const mutated: fc.Arbitrary<RawRequest & { readonly target: string }> = (() => {
  const mix = <T>(...parts: [weight: number, arbitrary: fc.Arbitrary<T>][]): fc.Arbitrary<T> =>
    fc.oneof(...parts.map(([weight, arbitrary]) => ({ weight, arbitrary })));
  const some = <T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
  const changedCase = some(
    (value: string) => value,
    (value: string) => value.toUpperCase(),
    (value: string) => value.toLowerCase(),
  );
  const jobType = some(
    'RevokeExpiredDatabricksRequests',
    'RevokeExpiredPalantirRequests',
    'ExpiryNotificationDatabricksRequests',
    'ExpiryNotificationPalantirRequests',
    'revokeexpireddatabricksrequests',
    '__proto__',
    'constructor',
    '%00',
    '%2e%2e',
    "x'--",
  );
  const jobId = some(
    '00000000-0000-4000-8000-000000000000',
    '42',
    '%20',
    '__proto__',
    '%2F',
    'a'.repeat(2_000),
  );
  const path = fc
    .tuple(
      some('api', 'API', 'api/'),
      jobType,
      jobId,
      some(
        'jobs',
        'jobs/T/runs',
        'jobs/T/runs',
        'jobs/T/runs',
        'jobs/T/runs/I',
        'jobs/T/runs/I/cancel',
        'jobs/T',
        'status',
        '',
      ),
      some('', '', '', '/', '//'),
    )
    .map(([prefix, type, id, route, end]) => `/${prefix}/${route.replace('T', type).replace('I', id)}${end}`);
  const parameter = fc.tuple(
    mix(
      [6, some('dryRun', 'allowMassRevocation', 'order', 'after', 'limit', 'before', 'due')],
      [2, some('job', 'run', 'preview', 'code', 'dryrun', 'DryRun', '__proto__', 'toString')],
      [1, text.map((value) => value.slice(0, 50))],
    ),
    mix(
      [6, some('true', 'false', 'soonest', 'latest', '1', '42', '')],
      [2, some('TRUE', 'true,true', ' true', '-1', '1e9', '2147483648', 'NaN', 'null', '\0')],
      [2, some('RevokeExpiredPalantirRequests', '00000000-0000-4000-8000-000000000000')],
      [1, text.map((value) => value.slice(0, 200))],
    ),
  );
  const parameters = fc.array(parameter, { maxLength: 3 });
  const encode = (value: string): string => encodeURIComponent(value.replace(/\p{Cs}/gu, ''));
  const inQuery = (pairs: readonly (readonly [string, string])[]): string =>
    pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&');
  const query = mix(
    [4, fc.constant('')],
    [8, parameters.map(inQuery)],
    [1, some('dryRun', '&&', '=', 'dryRun=%', 'dryRun=%E0%A4%A', '?dryRun=true', 'dryRun=true;x')],
  );
  const body = mix<string | Uint8Array>(
    [6, fc.constant('')],
    [4, parameters.map((pairs) => JSON.stringify(Object.fromEntries(pairs)))],
    [2, parameters.map(inQuery)],
    [2, fc.json()],
    [
      2,
      some(
        '{"dryRun":true}',
        '\ufeff{"dryRun":true}',
        '{"dryRun":true,"dryRun":false}',
        '{"__proto__":{"dryRun":true}}',
        '{"dryRun":[[[]]]}',
        '[',
        '"dryRun"',
      ),
    ],
    [1, some('['.repeat(6_000), `{"dryRun":${'['.repeat(6_000)}${']'.repeat(6_000)}}`)],
    [1, some('x'.repeat(20_000), '"\\'.repeat(4_000), ' '.repeat(16_385))],
    [1, fc.uint8Array({ maxLength: 100 })],
  );
  const headers = fc
    .tuple(
      some(
        undefined,
        'application/json',
        'application/x-www-form-urlencoded',
        'application/json;charset=utf-16',
        'text/plain',
        ',',
      ),
      some<RawRequest['headers']>(
        {},
        {},
        { 'x-fragment': 'page' },
        { 'x-fragment': 'x'.repeat(2_000) },
        { 'x-ms-client-principal-name': 'mallory', 'x-ms-client-principal': 'e30=' },
        { 'x-http-method-override': 'DELETE', Origin: 'https://portal.azure.com' },
        { 'content-encoding': 'gzip', 'Sec-Fetch-Site': 'cross-site' },
        { 'x-forwarded-host': 'example.com', 'x-original-url': '/api/status', traceparent: '00-0-0-0' },
      ),
    )
    .map(([type, given]) => ({ ...given, ...(type !== undefined && { 'Content-Type': type }) }));
  return fc
    .record({
      method: mix(
        [6, some('POST')],
        [4, some('GET')],
        [1, some('HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH')],
      ),
      path: fc
        .tuple(path, changedCase, fc.nat({ max: 9 }))
        .map(([value, change, dice]) => (dice === 0 ? change(value) : value)),
      query,
      headers,
      body,
      chunked: fc.nat({ max: 3 }).map((dice) => dice === 0),
    })
    .map(({ path: asked, query: given, ...rest }) => ({
      ...rest,
      target: given === '' ? asked : `${asked}?${given}`,
    }));
})();

const mutatedRequests = 8_000;

test(`${mutatedRequests} mutated requests get no answer but the documented ones, none is 500, and no dry run runs a job`, async () => {
  const requests = fc.sample(mutated, { seed: 25, numRuns: mutatedRequests });
  const statuses = new Set<number>();
  let runs = 0;
  const check = async (request: (typeof requests)[number]): Promise<void> => {
    const { method = '', target, headers, body = '' } = request;
    const subject = JSON.stringify(request).slice(0, 1_000);
    let answer: RawAnswer;
    try {
      answer = await sendRaw(`${app.url}${target}`, request);
    } catch (cause) {
      throw new Error(`No answer to ${subject}`, { cause });
    }
    statuses.add(answer.status);
    if (answer.status >= 500) throw new Error(`${answer.status} ${answer.body} to ${subject}`);
    await expectDocumented(
      method,
      target,
      new Response(answer.status === 204 ? null : answer.body, {
        status: answer.status,
        headers: answer.headers as Record<string, string>,
      }),
    );
    if (method !== 'POST' || answer.status !== 200 || !answer.body.startsWith('{"jobId"')) return;
    runs++;
    const asked = `${decodeURIComponent(target)} ${typeof body === 'string' ? body : ''} ${JSON.stringify(headers)}`;
    expect(asked.replace(/"?dryRun"?[=:]"?false/g, '')).not.toMatch(/dryrun/i);
  };
  const lane = async (): Promise<void> => {
    for (let next = requests.pop(); next; next = requests.pop()) await check(next);
  };
  await Promise.all(Array.from({ length: 4 }, lane));
  expect([...statuses]).toEqual(expect.arrayContaining([200, 400, 404, 411, 413, 415]));
  expect(runs).toBeGreaterThan(20);
  expect(await sample.query('SELECT Id FROM dbo.JobRun;')).toHaveLength(runs);
});
