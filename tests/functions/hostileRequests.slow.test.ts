/** Hostile requests to the built app. */
import fc from 'fast-check';
import { useSample } from '../support/app';
import { text } from '../support/hostileInput';
import { expectDocumented } from '../support/openApi';
import { sendRaw, type RawAnswer, type RawRequest } from '../support/rawRequest';

const { sample, app } = useSample();
beforeAll(() => app.call('/api/jobs'));

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
  // Half pairs have no form in a URL.
  const encode = (value: string): string => encodeURIComponent(value.replace(/\p{Cs}/gu, ''));
  const jobType = mix(
    [
      10,
      some(
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
      ),
    ],
    [2, text.map((value) => encode(value.slice(0, 500)))],
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
    [1, text],
    [1, fc.dictionary(text, text, { minKeys: 1 }).map((value) => JSON.stringify(value))],
  );
  const ascii = fc.string({ unit: 'grapheme-ascii', maxLength: 200 }).map((value) => value.trim());
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
      mix<RawRequest['headers']>(
        [2, some({})],
        [
          6,
          some<RawRequest['headers']>(
            { 'x-fragment': 'page' },
            { 'x-fragment': 'x'.repeat(2_000) },
            { 'x-ms-client-principal-name': 'mallory', 'x-ms-client-principal': 'e30=' },
            { 'x-http-method-override': 'DELETE', Origin: 'https://portal.azure.com' },
            { 'content-encoding': 'gzip', 'Sec-Fetch-Site': 'cross-site' },
            { 'x-forwarded-host': 'example.com', 'x-original-url': '/api/status', traceparent: '00-0-0-0' },
          ),
        ],
        [
          2,
          ascii.map((given) => ({
            'X-Functions-Key': given,
            'X-Forwarded-Host': given,
            traceparent: given,
            Accept: given,
            Cookie: given,
          })),
        ],
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

test(`${mutatedRequests} mutated requests get no answer but the documented ones, none is 500, and none reaches SQL as text; no dry run and no body of something else runs a job`, async () => {
  const requests = fc.sample(mutated, { seed: 25, numRuns: mutatedRequests });
  sample.standIns.sql.clearStatements();
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
    const content = typeof body === 'string' ? body : new TextDecoder().decode(body);
    const asked = `${decodeURIComponent(target)} ${content} ${JSON.stringify(headers)}`;
    expect(asked.replace(/"?dryRun"?[=:]"?false/g, '')).not.toMatch(/dryrun/i);
    expect(content).toMatch(/^\s*(\{\s*\}|\??&*)\s*$|dryRun|allowMassRevocation/);
  };
  const lane = async (): Promise<void> => {
    for (let next = requests.pop(); next; next = requests.pop()) await check(next);
  };
  await Promise.all(Array.from({ length: 4 }, lane));
  expect([...statuses]).toEqual(expect.arrayContaining([200, 400, 404, 411, 413, 415]));
  expect(runs).toBeGreaterThan(20);
  // The product has not more statements than that.
  const texts = new Set(sample.standIns.sql.statements.map((statement) => statement.text));
  expect(texts.size).toBeLessThan(40);
  expect(await sample.query('SELECT Id FROM dbo.JobRun;')).toHaveLength(runs);
}, 300_000);
