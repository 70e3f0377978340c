/** What the built app sends to Application Insights, read at a loopback ingestion endpoint. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { jobs } from '../../src/jobs/catalogue';
import type { JobType } from '../../src/jobRun/jobRun';
import { jobRunMetrics, jobRunProperties, jobStateProperties } from '../../src/telemetry/names';
import { flushTimeoutMs } from '../../src/telemetry/telemetry';
import { useSample, type App } from '../support/app';
import { useIngestion, type Envelope } from '../support/ingestion';

jest.setTimeout(300_000);

const ingestion = useIngestion();
const { sample, app } = useSample(settings);
/** What the app has logged in earlier tests. */
const earlierLines: string[] = [];
let startedAt: number;

function settings(): Record<string, string> {
  return {
    ...ingestion.settings(sample.standIns.authority),
    NODE_OPTIONS: `--require ${join(__dirname, '../support/logConnections.js')}`,
  };
}

beforeAll(async () => {
  await run('RevokeExpiredDatabricksRequests');
  await run('ExpiryNotificationDatabricksRequests');
  earlierLines.push(...app.lines);
  startedAt = performance.now();
});
afterEach(() => void earlierLines.push(...app.lines));

/** The trace context of a host's invocation, as the header that hands it on. */
const invocation = { operation: 'ab'.repeat(16), span: 'cd'.repeat(8) };
const traceparent = `00-${invocation.operation}-${invocation.span}-01`;

async function run(type: JobType, theApp = app): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await theApp.call(`/api/jobs/${type}/runs`, { method: 'POST', headers: { traceparent } });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const properties = ({ data }: Envelope): Readonly<Record<string, string>> => data.baseData.properties ?? {};
const eventsNamed = (name: string): Envelope[] =>
  ingestion.ofType('EventData').filter(({ data }) => data.baseData.name === name);
const events = (): Envelope[] => eventsNamed('JobRun');
/** The id and the name of the operation that an item belongs to. */
const operationOf = ({ tags }: Envelope): unknown => ({
  id: tags['ai.operation.id'],
  name: tags['ai.operation.name'],
});
const ofInvocation = (functionName: string): unknown => ({ id: invocation.operation, name: functionName });
const expectOperations = (list: readonly Envelope[], operation: unknown): void =>
  expect(list.map(operationOf)).toEqual(list.map(() => operation));
const dependencies = (): Envelope[] => ingestion.ofType('RemoteDependencyData');
/** The spans of the runs themselves, whose children their calls are. */
const runSpans = (): Envelope[] =>
  dependencies().filter(({ data }) => jobs.some(({ type }) => type === data.baseData.name));
/** All items of runs: what the process measures by itself belongs to no operation. */
const items = (): Envelope[] => ingestion.envelopes.filter(({ data }) => data.baseType !== 'MetricData');

/** The metrics of the runs: name, value and job type. */
const metrics = (): unknown[] =>
  ingestion
    .ofType('MetricData')
    .flatMap((envelope) =>
      (envelope.data.baseData.metrics ?? []).map(({ name, value }) => [
        name,
        value,
        properties(envelope).jobType,
      ]),
    )
    .filter(([name]) => (jobRunMetrics as readonly unknown[]).includes(name));

const failCollecting = (): void =>
  sample.standIns.sql.order({ kind: 'error', match: /INSERT INTO #Due/, number: 208, message: 'No view' });
const insertRun = (jobId: string, type: JobType, minutesAgo: number): Promise<unknown> =>
  sample.query(
    `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By) VALUES ('${jobId}', '${type}', 'InProgress', DATEADD(MINUTE, -${minutesAgo}, GETUTCDATE()), 'machine-1');`,
  );

test('a run emits one event with its properties and metrics of the same names, all before its answer', async () => {
  const { body } = await run('ExpiryNotificationDatabricksRequests');
  // Nothing is waited for: what is not here was not sent before the function ended.
  expect(events().map(properties)).toEqual([
    {
      jobId: body.jobId,
      jobType: 'ExpiryNotificationDatabricksRequests',
      trigger: 'http',
      status: 'Completed',
      stoppedEarly: 'false',
      startedBy: hostname(),
      processedCount: String(body.processedCount),
      failedCount: String(body.failedCount),
      durationMs: expect.stringMatching(/^\d+$/) as string,
      dueCount: String((body.processedCount as number) + (body.failedCount as number)),
      oldestDueMinutes: expect.stringMatching(/^[1-9]\d*$/) as string,
      rejectedCount: '0',
      unansweredCount: '0',
      hasRow: 'true',
      undeliverableCount: String(body.failedCount),
    },
  ]);
  const jobType = 'ExpiryNotificationDatabricksRequests';
  expect(metrics().sort()).toEqual([
    ['durationMs', expect.any(Number), jobType],
    ['failedCount', body.failedCount, jobType],
    ['processedCount', body.processedCount, jobType],
  ]);
  expect(ingestion.ofType('ExceptionData')).toEqual([]);
});

test('each call to SQL and the email service is one dependency of the run', async () => {
  const { sql, email } = sample.standIns;
  sql.clearStatements();
  const { body } = await run('ExpiryNotificationPalantirRequests');
  // As many as the stand-ins received.
  const calls = email.requests.filter(({ method }) => method === 'POST').length;
  expect(calls).toBeGreaterThan(10);
  expect(dependencies().filter(({ data }) => data.baseData.name === 'POST /emails:send')).toHaveLength(calls);
  const ofDatabase = dependencies().filter(({ data }) => data.baseData.target === 'localhost|access');
  const texts = (list: readonly unknown[]): string[] => list.map(String).sort();
  expect(texts(ofDatabase.map(({ data }) => data.baseData.data))).toEqual(
    texts(sql.statements.map(({ text }) => text)),
  );
  const statement = dependencies().find(({ data }) => data.baseData.name === 'acquireLock');
  expect(statement?.data.baseData).toMatchObject({
    success: true,
    target: 'localhost|access',
    data: expect.stringContaining('INSERT INTO dbo.JobRun') as string,
  });
  expect(body.status).toBe('Completed');
});

test('no part of a run is sampled out, however many come at once', async () => {
  for (let round = 0; round < 8; round++)
    await Promise.all([run('RevokeExpiredDatabricksRequests'), run('RevokeExpiredPalantirRequests')]);
  expect(events()).toHaveLength(16);
  expect(runSpans()).toHaveLength(16);
});

test('a run that finds its job held emits Conflict, and sends the states of all jobs as the page shows them', async () => {
  const silent = await sample.startApp({ ...settings(), APPLICATIONINSIGHTS_CONNECTION_STRING: '' });
  await run('RevokeExpiredPalantirRequests');
  await insertRun(randomUUID(), 'RevokeExpiredDatabricksRequests', 0);
  ingestion.forget();
  expect((await run('RevokeExpiredDatabricksRequests')).status).toBe(409);
  expect(events().map(properties)).toMatchObject([{ status: 'Conflict' }]);
  expect(ingestion.ofType('ExceptionData')).toEqual([]);
  const { jobs: shown } = (await (await silent.call('/api/jobs')).json()) as {
    jobs: { jobType: string; state: string }[];
  };
  const sent = eventsNamed('JobState').map(properties);
  expect(sent.map(({ jobType, state }) => ({ jobType, state }))).toEqual(
    shown.map(({ jobType, state }) => ({ jobType, state })),
  );
  expect(sent[0]).toEqual({
    jobType: 'RevokeExpiredDatabricksRequests',
    state: 'Running',
    since: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
    hoursOverdue: '0',
    failuresInARow: '0',
    earlyStopsInARow: '0',
    safetyStop: 'false',
  });
  expect(
    sent
      .flatMap((state) => Object.keys(state))
      .filter((name) => !(jobStateProperties as readonly string[]).includes(name)),
  ).toEqual([]);
});

test('the run that closes the row of one that was cut off sends its id, type and age', async () => {
  const dead = randomUUID();
  await insertRun(dead, 'RevokeExpiredPalantirRequests', 60);
  const { body } = await run('RevokeExpiredPalantirRequests');
  await run('RevokeExpiredPalantirRequests');
  expect(eventsNamed('AbandonedRun').map(properties)).toEqual([
    {
      jobId: dead,
      jobType: 'RevokeExpiredPalantirRequests',
      startedBy: 'machine-1',
      ageMinutes: '60',
      closedBy: body.jobId,
    },
  ]);
});

test('what the email service leaves unanswered or refuses is counted by its cause', async () => {
  const { email } = sample.standIns;
  for (let at = 1; at <= 2; at++) email.order({ kind: 'error', at, status: 400 });
  email.order({ kind: 'error', at: 3, status: 500, times: 1_000 });
  await run('ExpiryNotificationPalantirRequests');
  const [event = {}] = events().map(properties);
  const [rejected, unanswered, undeliverable, failed] = [
    ...['rejectedCount', 'unansweredCount', 'undeliverableCount', 'failedCount'],
  ].map((name) => Number(event[name])) as [number, number, number, number];
  expect(event).toMatchObject({ status: 'Failed', errorName: 'EmailServiceError' });
  expect(rejected).toBeGreaterThanOrEqual(2);
  expect(unanswered).toBeGreaterThanOrEqual(5);
  expect(rejected + unanswered + undeliverable).toBe(failed);
});

test('a run whose settings are wrong has no row, and still sends the states', async () => {
  const wrong = await sample.startApp({ ...settings(), EMAIL_ENDPOINT: 'none' });
  expect((await run('ExpiryNotificationPalantirRequests', wrong)).status).toBe(500);
  expect(events().map(properties)).toMatchObject([
    { status: 'Failed', errorName: 'SettingsError', hasRow: 'false' },
  ]);
  expect(eventsNamed('JobState')).toHaveLength(4);
});

describe('the app sends as many items as docs/operating.md says, in one operation', () => {
  const counters: Readonly<Record<string, () => number>> = {
    'dependency, named as the job': () => runSpans().length,
    'event `JobRun`': () => events().length,
    'event `JobState`': () => eventsNamed('JobState').length,
    exception: () => ingestion.ofType('ExceptionData').length,
  };
  const documented = [
    ...readFileSync(join(__dirname, '../../docs/operating.md'), 'utf8').matchAll(
      /^\| (.+?) +\| the app +\| (\d+) +\| (\d+) +\|$/gm,
    ),
  ].map(([, item = '', completed, failed]) => ({
    item,
    completed: Number(completed),
    failed: Number(failed),
  }));
  const sent = (): unknown => documented.map(({ item }) => [item, counters[item]?.()]);

  test.each(['first', 'later'] as const)('of the %s run of a process', async (which) => {
    expect(documented.map(({ item }) => item)).toEqual(Object.keys(counters));
    const completed = which === 'first' ? await sample.startApp(settings()) : app;
    const failed = which === 'first' ? await sample.startApp(settings()) : app;
    await run('RevokeExpiredDatabricksRequests', completed);
    expect(sent()).toEqual(documented.map((row) => [row.item, row.completed]));
    expect(runSpans().map(({ data, tags }) => [data.baseData.type, tags['ai.operation.parentId']])).toEqual([
      ['InProc', invocation.span],
    ]);
    // The first one asks for its token, too.
    const asksForToken = dependencies().some(({ data }) => data.baseData.name === 'GET /msi/token');
    expect(asksForToken).toBe(which === 'first');
    expectOperations(items(), ofInvocation('RunJob'));
    expect(ingestion.ofType('RequestData')).toEqual([]);
    ingestion.forget();
    failCollecting();
    await run('RevokeExpiredDatabricksRequests', failed);
    expect(sent()).toEqual(documented.map((row) => [row.item, row.failed]));
  });
});

describe('one request and one operation a run: the host reports the request', () => {
  afterEach(() => expect(ingestion.ofType('RequestData')).toEqual([]));

  test('of a timer, whose operation has the name of its function', async () => {
    const own = await sample.startApp(settings());
    await own.fireTimer('RevokeExpiredPalantirRequests');
    await own.logged(/RevokeExpiredPalantirRequests: Executed \(succeeded/);
    const [{ id, name } = {}, ...others] = items().map(operationOf) as { id?: string; name?: string }[];
    expect(id).toMatch(/^[\da-f]{32}$/);
    expect(name).toBe('RevokeExpiredPalantirRequests');
    expect(others.length).toBeGreaterThan(5);
    expectOperations(items(), { id, name });
    expect(events().map(properties)).toMatchObject([{ trigger: 'timer', status: 'Completed' }]);
  });

  test('of a request that only reads, in a process that has just started', async () => {
    const own = await sample.startApp(settings());
    await own.call('/api/jobs', { headers: { traceparent } });
    const statement = (): Envelope | undefined =>
      dependencies().find(({ data }) => data.baseData.target === 'localhost|access');
    // A read does not flush: the library sends every few seconds.
    while (!statement()) await delay(100);
    expect(statement()?.tags['ai.operation.parentId']).toBe(invocation.span);
    expectOperations(items(), ofInvocation('ListJobs'));
  });
});

describe('a failed run has one exception and one event with its error, both in its operation', () => {
  let careful: App;
  beforeAll(async () => {
    careful = await sample.startApp({ ...settings(), REVOCATION_CEILING: '1' });
  });
  const refuseLogins = (): void =>
    sample.standIns.sql.order({ kind: 'refuseLogin', number: 18456, times: 10 });

  test.each([
    ['cannot collect', 500, 'SqlError', /No view/, failCollecting],
    ['meets the safety stop', 500, 'SafetyStopError', /^Safety stop: \d+ grants/, undefined],
    ['never gets its lock', 503, 'DatabaseUnavailableError', /18456/, refuseLogins],
  ])('where it %s', async (_case, expectedStatus, errorName, message, arrangeFault) => {
    arrangeFault?.();
    const type = 'RevokeExpiredPalantirRequests';
    const { status, body } = await run(type, arrangeFault ? app : careful);
    expect(status).toBe(expectedStatus);
    expect(events().map(properties)).toMatchObject([{ status: 'Failed', errorName }]);
    const exceptions = ingestion.ofType('ExceptionData');
    const { jobId } = events().map(properties)[0] ?? {};
    expect(exceptions.map(properties)).toEqual([expect.objectContaining({ jobId, jobType: type })]);
    if (body.run) expect(body.run).toMatchObject({ jobId });
    expect(exceptions[0]?.data.baseData.exceptions).toMatchObject([
      { typeName: errorName, message: expect.stringMatching(message) as string },
    ]);
    expect(runSpans().map(({ data }) => data.baseData.success)).toEqual([false]);
    expectOperations([...events(), ...exceptions], ofInvocation('RunJob'));
    expect(ingestion.ofType('RequestData')).toEqual([]);
  });

  test('of a timer: the app’s exception is one, and the host’s names lines of the TypeScript', async () => {
    failCollecting();
    await app.fireTimer('RevokeExpiredPalantirRequests');
    await app.logged(/Executed \(failed/);
    expect(app.lines.join('\n')).toMatch(
      /Run [-\da-f]{36} failed: No view[^]*\/src\/functions\/timers\.ts:\d+/,
    );
    expect(ingestion.ofType('ExceptionData')).toHaveLength(1);
    expect(events().map(properties)).toMatchObject([
      { trigger: 'timer', status: 'Failed', errorName: 'SqlError' },
    ]);
  });
});

test('no address, no name and no property that names.ts lacks goes into telemetry, logs or stderr', async () => {
  const people =
    await sample.query(`SELECT requested_by AS Name, requested_by_email AS Address FROM dbo.DataAccessDeltaRequests
UNION ALL SELECT RequestedBy, RequestedByEmail FROM dbo.DataAccessPalantirRequests;`);
  const personal = new Set(
    people
      .flatMap(({ Name, Address }) => [Name, Address])
      .map((value) => ((value ?? '') as string).trim().toLowerCase())
      .filter((value) => value.length > 3),
  );
  expect(personal.size).toBeGreaterThan(50);
  const somebody = [...personal].find((text) => text.includes('@')) ?? '';

  for (const { type } of jobs) await run(type);
  const names = events().flatMap((event) => Object.keys(properties(event)));
  expect(names.filter((name) => !(jobRunProperties as readonly string[]).includes(name))).toEqual([]);
  await sample.reset();
  // Each outcome of a message, and errors of the server that quote a value.
  const { email, sql } = sample.standIns;
  email.order({ kind: 'error', status: 400, message: `The address ${somebody} is not valid` });
  email.order({ kind: 'dropAfter', at: 2 });
  email.order({ kind: 'outcome', at: 3, failure: { code: 'Bounced', message: `Bounced: ${somebody}` } });
  sql.order({
    kind: 'error',
    match: /INSERT INTO dbo\.ExpiryNotification_Databricks/,
    number: 2628,
    message: `String or binary data would be truncated in table 'access.dbo.ExpiryNotification_Databricks', column 'Notification_Sent_To'. Truncated value: '${somebody}'.`,
  });
  await run('ExpiryNotificationDatabricksRequests');
  await run('ExpiryNotificationPalantirRequests');
  const emitted = [...ingestion.bodies, ...app.lines].join('\n').toLowerCase();
  expect(emitted.length).toBeGreaterThan(50_000);
  expect(emitted).toContain('2628');
  expect(
    [...personal].filter((text) => emitted.includes(text) || emitted.includes(encodeURIComponent(text))),
  ).toEqual([]);
});

test.each(['fail', 'hang'] as const)(
  'an ingestion endpoint in mode %s neither fails a run nor delays it',
  async (mode) => {
    const own = await sample.startApp(settings());
    ingestion.mode = mode;
    const began = performance.now();
    const { status, body } = await run('RevokeExpiredDatabricksRequests', own);
    expect([status, body.status]).toEqual([200, 'Completed']);
    expect(performance.now() - began).toBeLessThan(flushTimeoutMs + 30_000);
    expect(await own.stop()).toBe(0);
  },
);

describe('an ingestion endpoint that requires a token', () => {
  beforeEach(() => {
    ingestion.acceptsToken = (token) => sample.standIns.identity.isValid(token, 'https://monitor.azure.com');
  });

  test('gets that of the app’s identity where the authentication string is set', async () => {
    const own = await sample.startApp({
      ...settings(),
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD',
    });
    const { body } = await run('RevokeExpiredDatabricksRequests', own);
    await own.stop();
    expect(events().map(properties)).toMatchObject([{ jobId: body.jobId, status: 'Completed' }]);
    expect(runSpans()).toHaveLength(1);
  });

  test('refuses an app without it, whose run still completes', async () => {
    const own = await sample.startApp({
      ...settings(),
      // What is refused is kept there, and the other app would send it during a later test.
      TMPDIR: mkdtempSync(join(ingestion.directory, 'refused-')),
    });
    const { status, body } = await run('RevokeExpiredDatabricksRequests', own);
    await own.stop();
    expect([status, body.status]).toEqual([200, 'Completed']);
    expect(ingestion.refused).toBeGreaterThan(0);
    expect(events()).toEqual([]);
  });
});

test('an app without a connection string runs and sends nothing', async () => {
  const silent = await sample.startApp({ ...settings(), APPLICATIONINSIGHTS_CONNECTION_STRING: '' });
  expect((await run('RevokeExpiredDatabricksRequests', silent)).status).toBe(200);
  // The other app's own metrics may come at any time.
  expect(items()).toEqual([]);
  await silent.stop();
});

test('the app calls no other hosts than those of its settings, and nothing but ingestion at the endpoint', async () => {
  // The library's own calls begin within 15 s of its start.
  await delay(Math.max(0, startedAt + 17_000 - performance.now()));
  const lines = [...earlierLines, ...app.lines];
  expect(lines.some((line) => line.includes('Completed'))).toBe(true);
  expect(lines.filter((line) => line.startsWith('LEAVES THE MACHINE'))).toEqual([]);
  expect(ingestion.strayPaths).toEqual([]);
});
