/** Who is signed in by App Service authentication: believed where the platform vouches for it, and nowhere else. */
import { readJson, registeredFunctions, useSample, type App } from '../support/app';
import { jobOf } from '../support/environment';
import { sendRaw } from '../support/rawRequest';

const job = jobOf('revocation', 'Databricks');
const runs = `/api/jobs/${job.type}/runs`;
/** The header of App Service authentication for somebody with these app roles. */
const principal = (roles: readonly string[], claim = 'roles', role_typ = 'roles'): string =>
  Buffer.from(
    JSON.stringify({
      auth_typ: 'aad',
      name_typ: 'name',
      role_typ,
      claims: [{ typ: 'name', val: 'Ada Lovelace' }, ...roles.map((val) => ({ typ: claim, val }))],
    }),
  ).toString('base64');
const ada = {
  'x-ms-client-principal-name': 'ada@example.com',
  'x-ms-client-principal-id': 'an-id',
  'x-ms-client-principal': principal(['Operator']),
};
const bob = { 'x-ms-client-principal-name': 'bob@example.com' };
/** Who may only read. */
const reader = { ...bob, 'x-ms-client-principal': principal(['Reader']) };
const signIn = { HTTP_AUTHORIZATION: 'signIn', WEBSITE_AUTH_ENABLED: 'True' };

/** The app answers only people who are signed in. */
const { sample, app } = useSample(signIn);

async function messageOfRun(theApp: App, headers: Record<string, string> = ada): Promise<string> {
  return ((await readJson(theApp, runs, { method: 'POST', headers })) as { message: string }).message;
}

test('a signed-in operator is named in the run’s message and in the log, and with a cancelled run', async () => {
  expect(await messageOfRun(app)).toBe('Started by hand by ada@example.com.');
  await app.logged(/Started by hand by ada@example\.com/);

  const hold = sample.standIns.sql.order({ kind: 'hold', match: /INSERT INTO #Due/ });
  const running = app.call(runs, { method: 'POST', headers: ada });
  let activeRun: { jobId: string } | null = null;
  while (!activeRun) {
    const { jobs } = (await readJson(app, '/api/jobs', { headers: ada })) as {
      jobs: { activeRun: { jobId: string } | null }[];
    };
    activeRun = jobs[0]?.activeRun ?? null;
  }
  const cancelled = await app.call(`${runs}/${activeRun.jobId}/cancel`, { method: 'POST', headers: ada });
  expect(await cancelled.json()).toMatchObject({
    status: 'Failed',
    message: 'Cancelled by ada@example.com. What the run had recorded is kept.',
  });
  hold.release();
  await running;
});

test('without App Service authentication the header is not believed', async () => {
  expect(await messageOfRun(await sample.startApp())).toBe('Started by hand.');
});

test('with a key and authentication the name is known, and signing in is optional', async () => {
  const keyed = await sample.startApp({ WEBSITE_AUTH_ENABLED: 'True' });
  expect(await messageOfRun(keyed)).toBe('Started by hand by ada@example.com.');
  expect(await messageOfRun(keyed, {})).toBe('Started by hand.');
});

test('with a key, the portal’s Test/Run may run a job', async () => {
  const keyed = await sample.startApp();
  const headers = {
    origin: 'https://portal.azure.com',
    'sec-fetch-site': 'cross-site',
    'x-functions-key': 'key',
  };
  expect((await sendRaw(`${keyed.url}${runs}`, { method: 'POST', headers })).status).toBe(200);
});

test('a name is kept short and in one line', async () => {
  const message = await messageOfRun(app, {
    ...ada,
    'x-ms-client-principal-name': `\tada ${'x'.repeat(200)}`,
  });
  expect(message).toMatch(/^Started by hand by ada x{96}\.$/);
});

describe('HTTP_AUTHORIZATION=signIn', () => {
  const paths = ['/api/status', '/api/jobs', runs];

  test('answers only people who are signed in, the page with their name', async () => {
    for (const path of paths) {
      expect((await app.call(path)).status).toBe(401);
      expect((await app.call(path, { headers: ada })).status).toBe(200);
    }
    expect((await app.call(runs, { method: 'POST' })).status).toBe(401);
    expect(await sample.query('SELECT Id FROM dbo.JobRun;')).toEqual([]);
    expect(await (await app.call('/api/status', { headers: ada })).text()).toContain('ada@example.com');
  });

  test('refuses with a problem document, and where the page was asked for with a page that leads to the sign-in', async () => {
    const refused = await app.call('/api/jobs');
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    const answer = await app.call(`/api/status?job=${job.type}`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([401, 'text/html; charset=utf-8']);
    const page = await answer.text();
    expect(page).toContain('<h2>Sign in first</h2>');
    const [, href = ''] = /<a href="([^"]+)">Sign in<\/a>/.exec(page) ?? [];
    expect(href).toBe(`/.auth/login/aad?post_login_redirect_uri=%2Fapi%2Fstatus%3Fjob%3D${job.type}`);
    const part = await app.call('/api/status', { headers: { 'x-fragment': 'page' } });
    expect([part.status, await part.text()]).toEqual([
      401,
      expect.not.stringContaining('<!doctype') as string,
    ]);
  });

  test('refuses everybody while App Service authentication is off, and says what to do', async () => {
    const unvouched = await sample.startApp({ HTTP_AUTHORIZATION: 'signIn' });
    for (const path of paths) {
      const answer = await unvouched.call(path, { headers: ada });
      expect([path, answer.status]).toEqual([path, 401]);
      const text = await answer.text();
      expect(text).toContain('turn it on, or set HTTP_AUTHORIZATION to key');
      expect(text).not.toContain('/.auth/login');
    }
  });

  describe('of those who are signed in only an operator runs and cancels', () => {
    const cancel = `${runs}/00000000-0000-4000-8000-000000000000/cancel`;

    test.each([
      ['of another role', principal(['Reader', 'operator', 'Operators'])],
      ['without a role', principal([])],
      ['whose role is in another claim', principal(['Operator'], 'groups')],
      ['whose header is missing', undefined],
      ['whose header is not Base64', '{"claims":[{"typ":"roles","val":"Operator"}]}'],
      ['whose header is not JSON', Buffer.from('Operator').toString('base64')],
      [
        'whose claims are not a list',
        Buffer.from('{"claims":{"typ":"roles","val":"Operator"}}').toString('base64'),
      ],
      ['whose header is null', Buffer.from('null').toString('base64')],
    ])('one %s is refused with 403, which says how to get the role', async (_, given) => {
      const headers = { ...bob, ...(given !== undefined && { 'x-ms-client-principal': given }) };
      expect((await app.call('/api/jobs', { headers })).status).toBe(200);
      for (const path of [runs, `${runs}?dryRun=true`, cancel]) {
        const answer = await app.call(path, { method: 'POST', headers });
        expect([path, answer.status]).toEqual([path, 403]);
        expect(await answer.text()).toMatch(
          /app role Operator, which bob@example\.com does not have.*Users and groups/,
        );
      }
      expect(await sample.query('SELECT Id FROM dbo.JobRun;')).toEqual([]);
    });

    test('the claim that role_typ names holds roles too', async () => {
      const claim = 'http://schemas.microsoft.com/ws/2008/06/identity/claims/role';
      const headers = { ...ada, 'x-ms-client-principal': principal(['Operator'], claim, claim) };
      expect((await app.call(runs, { method: 'POST', headers })).status).toBe(200);
    });

    test('the page offers the others no button to run or cancel, and says why', async () => {
      const page = await (await app.call('/api/status', { headers: reader })).text();
      expect(page).not.toContain('data-post=');
      expect(page).toMatch(/bob@example\.com<\/strong>, with read access; running jobs requires the role/);
      expect(await (await app.call('/api/status', { headers: ada })).text()).toContain('data-post=');
    });
  });

  test.each([
    ['another site asks', { 'sec-fetch-site': 'cross-site' }, 403],
    ['a neighbouring site asks', { 'sec-fetch-site': 'same-site' }, 403],
    ['an old browser sends another origin', { origin: 'https://example.com' }, 403],
    ['an origin is hidden', { origin: 'null' }, 403],
    [
      'the portal asks with a cookie',
      { origin: 'https://portal.azure.com', 'sec-fetch-site': 'cross-site' },
      403,
    ],
    ['the page itself asks', { 'sec-fetch-site': 'same-origin' }, 200],
    ['a program asks', {}, 200],
    [
      'a program has a token',
      { authorization: 'Bearer token', origin: 'https://example.com', 'sec-fetch-site': 'cross-site' },
      200,
    ],
  ])('when %s (%j), a POST is answered with %i', async (_, headers, status) => {
    const given = { method: 'POST', headers: { ...ada, ...headers } };
    const answer = await sendRaw(`${app.url}${runs}`, given);
    expect(answer.status).toBe(status);
    expect(await sample.query('SELECT Id FROM dbo.JobRun;')).toHaveLength(status === 200 ? 1 : 0);
  });

  test('an old browser that sends the app’s own origin is let in', async () => {
    const given = { method: 'POST', headers: { ...ada, origin: app.url } };
    expect((await sendRaw(`${app.url}${runs}`, given)).status).toBe(200);
  });

  test.each([
    ['signIn', 'anonymous'],
    ['key', 'function'],
    ['anonymous', 'function'],
    ['', 'function'],
  ])('as "%s" sets the authorization level %s', (HTTP_AUTHORIZATION, authLevel) => {
    const http = registeredFunctions({ ...process.env, HTTP_AUTHORIZATION })
      .flatMap(({ bindings }) => Object.values(bindings))
      .filter(({ type }) => type === 'httpTrigger');
    expect(http.length).toBeGreaterThan(4);
    for (const binding of http) expect(binding.authLevel).toBe(authLevel);
  });
});
