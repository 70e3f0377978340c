/** Who is signed in by App Service authentication: believed where the platform vouches for it, and nowhere else. */
import { registeredFunctions, startSample, type App, type Sample } from '../support/app';
import { jobOf } from '../support/environment';

const job = jobOf('revocation', 'Databricks');
const runs = `/api/jobs/${job.type}/runs`;
const ada = { 'x-ms-client-principal-name': 'ada@example.com', 'x-ms-client-principal-id': 'an-id' };
const signIn = { HTTP_AUTHORIZATION: 'signIn', WEBSITE_AUTH_ENABLED: 'True' };

let sample: Sample;
/** Answers those alone who are signed in. */
let app: App;
beforeAll(async () => {
  sample = await startSample();
  app = await sample.startApp(signIn);
});
beforeEach(() => sample.reset());
afterAll(() => sample.close());

async function messageOfRun(theApp: App, headers: Record<string, string> = ada): Promise<string> {
  const answer = await theApp.call(runs, { method: 'POST', headers });
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { errorMessage: string }).errorMessage;
}

test('a signed-in operator is named in the run’s message and in the log, and with a cancelled run', async () => {
  await expect(messageOfRun(app)).resolves.toBe('Started by hand by ada@example.com.');
  await app.logged(/Started by hand by ada@example\.com/);

  const hold = sample.standIns.sql.order({ kind: 'hold', match: /INSERT INTO #Due/ });
  const running = app.call(runs, { method: 'POST', headers: ada });
  let activeRun: { jobId: string } | null = null;
  while (!activeRun) {
    const { jobs } = (await (await app.call('/api/jobs', { headers: ada })).json()) as {
      jobs: { activeRun: { jobId: string } | null }[];
    };
    activeRun = jobs[0]?.activeRun ?? null;
  }
  const cancelled = await app.call(`${runs}/${activeRun.jobId}/cancel`, { method: 'POST', headers: ada });
  expect(await cancelled.json()).toMatchObject({
    status: 'Failed',
    errorMessage: 'Cancelled by ada@example.com. What the run had recorded is kept.',
  });
  hold.release();
  await running;
});

test('without App Service authentication the header is anybody’s, and names nobody', async () => {
  await expect(messageOfRun(await sample.startApp())).resolves.toBe('Started by hand.');
});

test('with authentication beside the key the name is known and nobody has to be signed in', async () => {
  const beside = await sample.startApp({ WEBSITE_AUTH_ENABLED: 'True' });
  await expect(messageOfRun(beside)).resolves.toBe('Started by hand by ada@example.com.');
  await expect(messageOfRun(beside, {})).resolves.toBe('Started by hand.');
});

test('a name is kept short and in one line', async () => {
  const message = await messageOfRun(app, { 'x-ms-client-principal-name': `\tada ${'x'.repeat(200)}` });
  expect(message).toMatch(/^Started by hand by ada x{96}\.$/);
});

describe('HTTP_AUTHORIZATION=signIn', () => {
  const paths = ['/api/status', '/api/jobs', runs];

  test('answers those alone who are signed in, the page with their name', async () => {
    for (const path of paths) {
      const refused = await app.call(path);
      expect([path, refused.status, refused.headers.get('content-type')]).toEqual([
        path,
        401,
        'application/problem+json',
      ]);
      expect((await app.call(path, { headers: ada })).status).toBe(200);
    }
    expect((await app.call(runs, { method: 'POST' })).status).toBe(401);
    expect(await sample.query('SELECT Id FROM dbo.JobRun;')).toEqual([]);
    expect(await (await app.call('/api/status', { headers: ada })).text()).toContain('ada@example.com');
  });

  test('answers nobody while App Service authentication is off, and says what to do', async () => {
    const unvouched = await sample.startApp({ HTTP_AUTHORIZATION: 'signIn' });
    for (const path of paths) {
      const answer = await unvouched.call(path, { headers: ada });
      expect([path, answer.status]).toEqual([path, 401]);
      expect(await answer.text()).toContain('turn it on, or set HTTP_AUTHORIZATION to key');
    }
  });

  test('does nothing that another site makes a browser ask for', async () => {
    const answer = await app.call(runs, {
      method: 'POST',
      headers: { ...ada, 'sec-fetch-site': 'cross-site' },
    });
    expect(answer.status).toBe(403);
    expect(await sample.query('SELECT Id FROM dbo.JobRun;')).toEqual([]);
  });

  test.each([
    ['signIn', 'anonymous'],
    ['key', 'function'],
    ['anonymous', 'function'],
    ['', 'function'],
  ])('as "%s" the platform is told to ask for: %s', (HTTP_AUTHORIZATION, authLevel) => {
    const http = registeredFunctions({ ...process.env, HTTP_AUTHORIZATION })
      .flatMap(({ bindings }) => Object.values(bindings))
      .filter(({ type }) => type === 'httpTrigger');
    expect(http.length).toBeGreaterThan(4);
    for (const binding of http) expect(binding.authLevel).toBe(authLevel);
  });
});
