/** The HTTP API and the timers of the built app, over real HTTP, on the stand-ins. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createDatabase } from '../../local/sampleDatabase';
import type { Held } from '../../local/sqlServer';
import { defaultSchedules } from '../../src/config/schedules';
import { formatUtc } from '../../src/format';
import { jobs, type Job } from '../../src/jobs/catalogue';
import type { JobType } from '../../src/jobRun/jobRun';
import { closedPort } from '../support/closedPort';
import { registeredFunctions, useSample, type App } from '../support/app';
import { jobOf } from '../support/environment';
import { sendRaw, type RawRequest } from '../support/rawRequest';

const types = jobs.map(({ type }) => type);
const revokeDatabricks = jobOf('revocation', 'Databricks');
const revokePalantir = jobOf('revocation', 'Palantir');
const notifyDatabricks = jobOf('notification', 'Databricks');
const guid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;
const isoDate = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

type Body = Record<string, unknown>;
/** Held against docs/openapi.yaml: each error is a problem document. */
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

const { sample, app } = useSample();
/** Its pauses pass at once. */
let hurried: App;
const preload = `--require ${join(__dirname, '../support/fastPauses.js')}`;

beforeAll(async () => {
  // More than a preview lists.
  await sample.query(
    `UPDATE dbo.DataAccessDeltaRequests SET access_end_dt = DATEADD(DAY, -2, GETUTCDATE()) WHERE id <= 150 AND request_status = 'Approved';`,
  );
  hurried = await sample.startApp({ NODE_OPTIONS: preload });
});
beforeEach(() => hurried.forgetLines());

async function call(path: string, method = 'GET', theApp = app, init: RequestInit = {}): Promise<Answer> {
  const response = await theApp.call(path, { ...init, method });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Body };
}

const runPath = (type: string): string => `/api/jobs/${type}/runs`;
const post = (job: Job, query = '', theApp = app): Promise<Answer> =>
  call(`${runPath(job.type)}${query}`, 'POST', theApp);
const preview = async (job: Job): Promise<{ count: number; grants: Body[] }> =>
  (await post(job, '?dryRun=true')).body as { count: number; grants: Body[] };

async function storedRuns(type?: JobType): Promise<readonly Record<string, unknown>[]> {
  const where = type === undefined ? '' : ` WHERE Job_Type = '${type}'`;
  return sample.query(`SELECT * FROM dbo.JobRun${where} ORDER BY Id DESC;`);
}

/** The next run that collects what is due holds its lock for so long. */
const holdNextRun = (times = 1): Held =>
  sample.standIns.sql.order({ kind: 'hold', match: /INSERT INTO #Due/, times });

/** What the hurried app has paused in this test, in ms. */
const pauses = (): number[] =>
  [...hurried.lines.join('\n').matchAll(/^PAUSE OF (\d+) ms$/gm)].map(([, ms]) => Number(ms));

/** A lease is 10 minutes, measured in whole minutes. */
function expectLease(activeRun: Body): void {
  const [start = NaN, end = NaN] = ['startedAt', 'lockExpiresAt'].map((name) =>
    Date.parse(activeRun[name] as string),
  );
  expect(end - start).toBeGreaterThan(600_000);
  expect(end - start).toBeLessThanOrEqual(660_000);
}

/** A run in progress of another machine. */
async function insertActiveRun(job: Job): Promise<string> {
  await sample.query(
    `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By) VALUES (NEWID(), '${job.type}', 'InProgress', GETUTCDATE(), 'machine-1');`,
  );
  return storedJobId(job);
}
const storedJobId = async (job: Job): Promise<string> => (await storedRuns(job.type))[0]?.Job_Id as string;

describe('POST /api/jobs/{jobType}/runs', () => {
  test('a run that completed is answered with 200 and is the row of JobRun', async () => {
    const { count } = await preview(revokeDatabricks);
    const { status, headers, body } = await post(revokeDatabricks);
    expect([status, headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(body).toEqual({
      jobId: expect.stringMatching(guid) as string,
      jobType: revokeDatabricks.type,
      status: 'Completed',
      startedAt: expect.stringMatching(isoDate) as string,
      startedBy: hostname(),
      completedAt: expect.stringMatching(isoDate) as string,
      processedCount: count,
      failedCount: null,
      message: 'Started by hand.',
      facts: { manual: { trigger: 'http' }, failures: [] },
      stoppedEarly: false,
      dueCount: count,
      oldestDueMinutes: expect.any(Number) as number,
    });
    expect(await storedRuns()).toMatchObject([
      { Job_Id: body.jobId, Job_Type: revokeDatabricks.type, Status: 'Completed', Processed_Count: count },
    ]);
    expect(await sample.query('SELECT Id FROM dbo.RevokedAccess_Databricks;')).toHaveLength(count);
  });

  test.each(types)('%s run twice changes nothing the second time', async (type) => {
    const path = runPath(type);
    const first = await call(path, 'POST');
    expect(first.body).toMatchObject({ status: 'Completed' });
    expect(first.body.processedCount).toBeGreaterThan(0);
    const sent = sample.standIns.email.messages.length;
    expect((await call(path, 'POST')).body).toMatchObject({ status: 'Completed', processedCount: 0 });
    expect(sample.standIns.email.messages).toHaveLength(sent);
  });

  test('of two runs of one type at once one is answered with 200 and one with 409, which names the run that holds the lock', async () => {
    const hold = holdNextRun();
    const posts = [post(revokePalantir), post(revokePalantir)];
    await Promise.race(posts);
    hold.release();
    const answers = await Promise.all(posts);
    const completed = answers.find(({ status }) => status === 200);
    const conflict = answers.find(({ status }) => status === 409);
    if (!completed || !conflict)
      throw new Error(`Answered ${answers.map(({ status }) => status).join(' and ')}`);
    expect(conflict.status).toBe(409);
    const { jobId, jobType, startedAt, startedBy } = completed.body;
    expect(conflict.body.activeRun).toEqual({
      jobId,
      jobType,
      startedAt,
      startedBy,
      lockExpiresAt: expect.stringMatching(isoDate) as string,
    });
    const { lockExpiresAt } = conflict.body.activeRun as Record<string, string>;
    expectLease(conflict.body.activeRun as Body);
    expect(conflict.body.detail).toContain(
      `its lock expires at ${formatUtc(new Date(lockExpiresAt ?? ''))}.`,
    );
    expect(Number(conflict.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(conflict.body.detail).toContain(hostname());
    expect(await storedRuns()).toHaveLength(1);
  });

  test('a dry run reports how many are due and the first 100 by end, writes nothing and takes no lock', async () => {
    const hold = holdNextRun();
    const running = post(revokeDatabricks);
    await hold.held;
    const before = await storedRuns();
    const { status, body } = await post(revokeDatabricks, '?dryRun=true');
    expect(status).toBe(200);
    expect(body).toMatchObject({ jobType: revokeDatabricks.type, exceedsCeiling: false });
    expect(body.count).toBeGreaterThan(100);
    const grants = body.grants as Record<string, string>[];
    expect(grants).toHaveLength(100);
    const ends = grants.map(({ expiresAt = '' }) => Date.parse(expiresAt));
    expect(ends).toEqual([...ends].sort((a, b) => a - b));
    expect(Object.keys(grants[0] ?? {}).sort()).toEqual([
      'expiresAt',
      'requestId',
      'requestNumber',
      'requesterName',
      'resource',
    ]);
    expect(await storedRuns()).toEqual(before);
    hold.release();
    expect((await running).body.processedCount).toBe(body.count);
  });

  test('a run that failed is answered with 500 and the run; a dropped view is named with what to do', async () => {
    await sample.query('DROP VIEW dbo.AccessGrant_Palantir;');
    try {
      const answer = await post(revokePalantir);
      expect(answer.status).toBe(500);
      expect(answer.body.detail).toMatch(/AccessGrant_Palantir.*sql\/06_AccessGrant_views\.sql/);
      expect(answer.body.run).toMatchObject({
        jobType: revokePalantir.type,
        status: 'Failed',
        message: answer.body.detail,
        stoppedEarly: false,
      });
      const [row] = await storedRuns();
      expect(row).toMatchObject({ Status: 'Failed', Error_Message: `${String(answer.body.detail)}\nhttp` });
      const dryRun = await post(revokePalantir, '?dryRun=true');
      expect(dryRun.status).toBe(500);
      expect(dryRun.body.detail).toContain('AccessGrant_Palantir');
    } finally {
      await createDatabase(sample.session);
    }
    expect((await post(revokePalantir)).status).toBe(200);
  });

  test('a dry run is read page by page, in either order', async () => {
    const pageOf = async (query: string) => {
      const { body } = await post(revokeDatabricks, `?dryRun=true&order=latest${query}`);
      return body as { count: number; grants: { requestId: number }[]; next: number | null };
    };
    const first = await pageOf('');
    const second = await pageOf(`&after=${first.next}`);
    expect(second.next).toBeNull();
    const ids = [...first.grants, ...second.grants].map(({ requestId }) => requestId);
    expect(new Set(ids).size).toBe(first.count);
  });

  test('a page after a request that the view does not yield is answered with 404', async () => {
    const answer = await post(revokeDatabricks, '?dryRun=true&after=999999');
    expect([answer.status, answer.body.code]).toEqual([404, 'unknownRequest']);
    expect(answer.body.detail).toBe('The view does not yield the request 999999: begin again without after.');
  });

  describe('with a low ceiling', () => {
    let careful: App;
    beforeAll(async () => {
      careful = await sample.startApp({ REVOCATION_CEILING: '5' });
    });

    test('more due than the ceiling is answered with 500, which says how many and how to go on; nothing is revoked until allowMassRevocation=true', async () => {
      const { count } = await preview(revokePalantir);
      for (const query of ['', '?allowMassRevocation=false']) {
        const answer = await post(revokePalantir, query, careful);
        expect(answer.status).toBe(500);
        expect(answer.body.detail).toMatch(
          new RegExp(`^Safety stop: ${count} grants .* \\(5\\)\\. .*allow the run by hand`),
        );
        expect(answer.body.run).toMatchObject({ status: 'Failed', processedCount: 0 });
      }
      expect(await sample.query('SELECT Id FROM dbo.RevokedAccess_Palantir;')).toEqual([]);
      expect((await post(revokePalantir, '?dryRun=true', careful)).body.exceedsCeiling).toBe(true);
      const { status, body } = await post(revokePalantir, '?allowMassRevocation=true', careful);
      expect([status, body.processedCount]).toEqual([200, count]);
    });

    test('a timer whose run fails counts as a failed invocation and is logged with the reason', async () => {
      await careful.fireTimer(revokeDatabricks.type);
      await careful.logged(
        /RevokeExpiredDatabricksRequests: Executed \(failed, .*Run [\da-f-]{36} failed: Safety stop/,
      );
      expect(await storedRuns()).toMatchObject([{ Status: 'Failed' }]);
    });
  });
});

describe('GET /api/jobs', () => {
  test('shows the four jobs with schedule, next run, active run and last run', async () => {
    const ended = (await post(revokeDatabricks)).body;
    const hold = holdNextRun();
    const running = post(revokePalantir);
    await hold.held;
    const { status, headers, body } = await call('/api/jobs');
    hold.release();
    expect([status, headers.get('content-type')]).toEqual([200, 'application/json']);
    const listed = body.jobs as Body[];
    expect(listed.map(({ jobType, schedule }) => [jobType, schedule])).toEqual(
      jobs.map(({ type, scheduleSetting }) => [type, defaultSchedules[scheduleSetting]]),
    );
    for (const { nextRunAt } of listed) expect(Date.parse(nextRunAt as string)).toBeGreaterThan(Date.now());
    expect(listed[0]?.activeRun).toBeNull();
    expect(ended).toMatchObject(listed[0]?.lastRun as Body);
    for (const job of listed) expect(job).not.toHaveProperty('dueCount');
    const { jobId, jobType, startedAt, startedBy } = (await running).body;
    expect(listed[1]).toMatchObject({ activeRun: { jobId, jobType, startedAt, startedBy }, lastRun: null });
    expect(listed.map(({ state }) => state)).toEqual(['Healthy', 'Running', 'NeverRun', 'NeverRun']);
    for (const { stateReason } of listed) expect(stateReason).toMatch(/^[A-Z].+\.$/);
    expectLease(listed[1]?.activeRun as Body);
  });

  test('with due=true says how much waits for a run of each, and for how long, as the run then finds it', async () => {
    const backlogs = async (): Promise<Pick<Body, string>[]> =>
      ((await call('/api/jobs?due=true')).body.jobs as Body[]).map(({ dueCount, oldestDueMinutes }) => ({
        dueCount,
        oldestDueMinutes,
      }));
    const before = await backlogs();
    for (const [index, job] of jobs.entries()) {
      const { count, oldestDueMinutes } = (await post(job, '?dryRun=true')).body;
      expect(before[index]).toEqual({ dueCount: count, oldestDueMinutes: expect.any(Number) as number });
      expect(count).toBeGreaterThan(0);
      const { body: ended } = await post(job);
      expect(ended.dueCount).toBe(count);
      // A minute may begin in between.
      for (const minutes of [before[index]?.oldestDueMinutes, ended.oldestDueMinutes])
        expect([0, 1]).toContain(Math.abs((minutes as number) - (oldestDueMinutes as number)));
    }
    for (const [index, job] of jobs.entries())
      if (job.kind === 'revocation')
        expect((await backlogs())[index]).toEqual({ dueCount: 0, oldestDueMinutes: 0 });
  });
});

describe('POST /api/jobs/{jobType}/runs/{jobId}/cancel', () => {
  const cancel = (job: Job, jobId: string, init?: RequestInit, theApp = app): Promise<Answer> =>
    call(`${runPath(job.type)}/${jobId}/cancel`, 'POST', theApp, init);

  test('closes a run in progress, which writes nothing more and says that it was cancelled', async () => {
    const hold = holdNextRun();
    const running = post(revokePalantir);
    await hold.held;
    const jobId = await storedJobId(revokePalantir);
    const answer = await cancel(revokePalantir, jobId.toUpperCase());
    hold.release();
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(answer.body).toMatchObject({
      jobId,
      jobType: revokePalantir.type,
      status: 'Failed',
      completedAt: expect.stringMatching(isoDate) as string,
      processedCount: 0,
      message: expect.stringMatching(/^Cancelled by an operator\./) as string,
    });
    const ended = await running;
    expect(ended.status).toBe(500);
    expect(ended.body.run).toMatchObject({ ...answer.body, stoppedEarly: false });
    expect(ended.body.detail).toBe(answer.body.message);
    expect(await sample.query('SELECT Id FROM dbo.RevokedAccess_Palantir;')).toEqual([]);
  });

  test('frees the lock of a dead run at once', async () => {
    const jobId = await insertActiveRun(notifyDatabricks);
    expect((await post(notifyDatabricks)).status).toBe(409);
    expect((await cancel(notifyDatabricks, jobId)).status).toBe(200);
    expect((await post(notifyDatabricks)).status).toBe(200);
  });

  test('is answered with 200 too where its answer was lost and it was sent again', async () => {
    const jobId = await insertActiveRun(revokePalantir);
    sample.standIns.sql.order({ kind: 'dropAfter', match: /DECLARE @runId INT, @closed INT/ });
    const answer = await cancel(revokePalantir, jobId, {}, hurried);
    expect([answer.status, answer.body.status]).toEqual([200, 'Failed']);
    expect(pauses()).toEqual([5_000]);
  });

  test('of a run that has ended is answered with 409 and the run, which stays as it is', async () => {
    const { jobId } = (await post(revokePalantir)).body as { jobId: string };
    const before = await storedRuns();
    const answer = await cancel(revokePalantir, jobId);
    expect(answer.status).toBe(409);
    expect(answer.body.run).toMatchObject({ jobId, status: 'Completed' });
    expect(await storedRuns()).toEqual(before);
  });

  test.each(['00000000-0000-4000-8000-000000000000', '42', '%20', "x'--"])(
    'of a run that does not exist is answered with 404: "%s"',
    async (jobId) => {
      const answer = await cancel(revokePalantir, jobId);
      expect(answer.status).toBe(404);
      expect(answer.body.detail).toMatch(/^RevokeExpiredPalantirRequests has no run /);
    },
  );

  test('of another job type’s run is answered with 404, and with parameters 400; neither touches it', async () => {
    const hold = holdNextRun();
    const running = post(revokePalantir);
    await hold.held;
    const jobId = await storedJobId(revokePalantir);
    expect((await cancel(revokeDatabricks, jobId)).status).toBe(404);
    const body = { body: '{"force": true}', headers: { 'Content-Type': 'application/json' } };
    expect((await cancel(revokePalantir, jobId, body)).status).toBe(400);
    hold.release();
    expect((await running).status).toBe(200);
  });
});

describe('Parameters in the body of POST /api/jobs/{jobType}/runs', () => {
  const json = 'application/json';
  const form = 'application/x-www-form-urlencoded';
  const send = (job: Job, body: string, contentType: string | undefined, query = ''): Promise<Answer> =>
    call(`${runPath(job.type)}${query}`, 'POST', app, {
      // A string would be sent as text/plain.
      body: new TextEncoder().encode(body),
      ...(contentType !== undefined && { headers: { 'Content-Type': contentType } }),
    });

  test.each([
    ['{"dryRun": true}', json, ''],
    ['{"dryRun": "true"}', `${json}; charset=utf-8`, ''],
    [' {"dryRun":true, "allowMassRevocation":false}\n', 'Application/JSON', ''],
    ['dryRun=true', form, ''],
    ['dryRun=true&allowMassRevocation=false', `${form};charset=UTF-8`, ''],
    ['{"dryRun": true}', json, '?dryRun=true'],
    ['{}', json, '?dryRun=true'],
    ['', form, '?dryRun=true'],
  ])('%j as %s with the query "%s" is a dry run', async (body, contentType, query) => {
    const answer = await send(revokePalantir, body, contentType, query);
    expect([answer.status, answer.body.count]).toEqual([200, expect.any(Number)]);
    expect(await storedRuns()).toEqual([]);
  });

  test.each([
    ['', json],
    ['  \r\n', json],
    ['', undefined],
    ['{}', json],
    ['{"dryRun": false}', json],
  ])('%j as %s is a run', async (body, contentType) => {
    expect(await send(revokePalantir, body, contentType)).toMatchObject({
      status: 200,
      body: { status: 'Completed' },
    });
    expect(await storedRuns()).toHaveLength(1);
  });

  const nested = `{"dryRun": ${'['.repeat(6_000)}${']'.repeat(6_000)}}`;

  test.each([
    ['{"name": "Azure"}', json, '', /"name" is unknown: known are .*\. .*portal's Test\/Run.* empty it\./],
    ['{"__proto__": true}', json, '', /"__proto__" is unknown/],
    ['{"dryRun":', json, '', /not valid JSON .*empty it\./],
    ['[{"dryRun": true}]', json, '', /not a JSON object: expected one, such as \{"dryRun": true\}/],
    ['null', json, '', /not a JSON object/],
    ['{"dryRun": null}', json, '', /dryRun is null: expected a boolean, a string or a number/],
    ['{"dryRun": {"value": true}}', json, '', /dryRun is an object: expected a boolean/],
    [nested, json, '', /dryRun is an array: expected a boolean/],
    ['{"dryRun": {}, "when": 1}', json, '', /"when" is unknown/],
    ['{"dryRun": 1}', json, '', /dryRun is "1": expected true or false/],
    ['{"dryRun": true, "dryRun": false}', json, '', /given more than once/],
    ['{"dryRun": true}', form, '', /is unknown/],
    ['code=secret', form, '', /"code" is unknown/],
    ['{"dryRun": true}', json, '?dryRun=false', /dryRun is "false" in the query and "true" in the body/],
    ['dryRun=false', form, '?dryRun=true', /dryRun is "true" in the query and "false" in the body/],
    ['{"dryRun": true}', json, '?allowMassRevocation=true', /cannot be combined/],
  ])(
    '%j as %s with the query "%s" is answered with 400, and does nothing',
    async (body, type, query, detail) => {
      const answer = await send(revokePalantir, body, type, query);
      expect(answer.status).toBe(400);
      expect(answer.body.detail).toMatch(detail);
      expect(await storedRuns()).toEqual([]);
    },
  );

  test.each([
    'text/plain',
    'application/xml',
    'multipart/form-data; boundary=x',
    'application/jsonp',
    undefined,
  ])('a body of the media type %s is answered with 415, and does nothing', async (contentType) => {
    const answer = await send(revokePalantir, '{"dryRun": true}', contentType);
    expect(answer.status).toBe(415);
    expect(answer.body.detail).toContain('expected application/json or application/x-www-form-urlencoded');
    expect(await storedRuns()).toEqual([]);
  });
});

describe('A body', () => {
  const json = { 'Content-Type': 'application/json' };
  const send = (job: Job, request: RawRequest, path = runPath(job.type)) =>
    sendRaw(`${app.url}${path}`, { method: 'POST', headers: json, ...request });

  test.each([
    ['{"dryRun":true}', revokeDatabricks],
    ['{"order":"latest"}', notifyDatabricks],
    ['', notifyDatabricks],
  ])('%j sent in chunks, which Azure drops, is answered with 411 and runs nothing', async (body, job) => {
    const answer = await send(job, { body, chunked: true });
    expect(answer.status).toBe(411);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(JSON.parse(answer.body)).toMatchObject({
      status: 411,
      detail: expect.stringMatching(/in the query, such as \?dryRun=true/) as string,
    });
    expect(await storedRuns()).toEqual([]);
    expect(sample.standIns.email.messages).toEqual([]);
  });

  test('sent in chunks, or too large, is refused where a run is to be cancelled too, which takes no parameter', async () => {
    const path = `${runPath(revokeDatabricks.type)}/00000000-0000-4000-8000-000000000000/cancel`;
    for (const [status, request] of [
      [411, { body: '{}', chunked: true }],
      [413, { body: ' '.repeat(16 * 1024 + 1) }],
    ] as const) {
      const answer = await send(revokeDatabricks, request, path);
      expect(answer.status).toBe(status);
      expect(answer.body).toContain('No parameter is taken here: send no body.');
    }
  });

  test('of more than 16 KiB is answered with 413 before it is parsed; of 16 KiB it is read', async () => {
    const body = (length: number): string => '{"dryRun":true}'.padEnd(length);
    const tooLarge = await send(revokeDatabricks, { body: body(16 * 1024 + 1) });
    expect([tooLarge.status, JSON.parse(tooLarge.body)]).toEqual([
      413,
      expect.objectContaining({ detail: expect.stringContaining('at most 16384') as string }),
    ]);
    const malformed = await send(revokeDatabricks, { body: `{${' '.repeat(16 * 1024)}` });
    expect(malformed.status).toBe(413);
    const largest = await send(revokeDatabricks, { body: body(16 * 1024) });
    expect([largest.status, JSON.parse(largest.body)]).toEqual([
      200,
      expect.objectContaining({ ceiling: 1000 }),
    ]);
    expect(await storedRuns()).toEqual([]);
  });
});

test.each([
  ['GET', '/api/jobs'],
  ['GET', '/api/status'],
  ['GET', runPath(revokeDatabricks.type)],
  ['POST', `${runPath(notifyDatabricks.type)}?dryRun=true`],
  ['POST', `${runPath(revokeDatabricks.type)}?when=now`],
  ['GET', '/api/jobs/unknown/runs'],
])('the answer to %s %s is not cached, and its media type is not guessed', async (method, path) => {
  const { headers } = await app.call(path, { method });
  expect([headers.get('cache-control'), headers.get('x-content-type-options')]).toEqual([
    'no-store',
    'nosniff',
  ]);
});

test('the function key may come in the query', async () => {
  for (const path of ['/api/status?code=secret', '/api/jobs?code=secret&clientId=default'])
    expect((await app.call(path)).status).toBe(200);
});

const noPage = 'There is no such page';
const unknownJobId = '00000000-0000-4000-8000-000000000000';
const ofJob = `?job=${revokeDatabricks.type}`;

test.each([
  ['?jobs=x', 400, 'The parameter "jobs" is unknown: known are request, search, run, '],
  ['?runs=some', 400, 'The parameter runs is "some": expected all.'],
  ['?runs=all&outcome=good', 400, 'outcome is "good": expected done, attention, failed or running.'],
  [`${ofJob}&trigger=hand`, 400, 'The parameter trigger is "hand": expected timer, http or cli.'],
  ['?run=x', 400, 'expected the jobId of a run'],
  [`?search=${'x'.repeat(321)}`, 400, 'The parameter search has 321 characters'],
  [`${ofJob}&preview=last`, 400, 'preview is "last": expected soonest or latest'],
  [`${ofJob}&preview=soonest&after=99999999999`, 400, 'expected the id of a request, which is a 32-bit'],
  [
    '?request=17',
    400,
    'request is "17": expected a platform and the id of a request, such as databricks/17.',
  ],
  ['?request=databricks/17/18', 400, 'expected a platform and the id of a request'],
  ...(['outcome', 'trigger', 'before'] as const).map(
    (name) =>
      [`?${name}=x`, 400, `${name} is given without job or runs: add it, or leave ${name} out.`] as const,
  ),
  ['?after=17', 400, 'The parameter after is given without run or preview: add it, or leave after out.'],
  ['?preview=soonest', 400, 'The parameter preview is given without job: add it, or leave preview out.'],
  [`${ofJob}&runs=all`, 400, 'The parameters job and runs cannot be combined: leave one of them out.'],
  ['?search=Ada&request=databricks/17', 400, 'The parameters request and search cannot be combined'],
  [`?run=${unknownJobId}&outcome=failed`, 400, 'The parameters run and outcome cannot be combined'],
  [`${ofJob}&after=17`, 400, 'The parameters job and after cannot be combined'],
  ['?job=Nothing', 404, noPage],
  [`?run=${unknownJobId}`, 404, noPage],
  [`${ofJob}&before=${unknownJobId}`, 404, noPage],
  ['?request=databricks/999999', 404, 'Unknown request'],
  ['?request=databricks/x', 404, 'Unknown request'],
  ['?request=snowflake/1', 404, 'Unknown platform'],
] as const)(
  'GET /api/status%s is answered with %i and a page that says why',
  async (address, status, text) => {
    for (const headers of [{}, { 'x-fragment': 'page' }]) {
      const answer = await app.call(`/api/status${address}`, { headers });
      expect([answer.status, answer.headers.get('content-type')]).toEqual([
        status,
        'text/html; charset=utf-8',
      ]);
      expect((await answer.text()).replaceAll('&quot;', '"')).toContain(text);
    }
  },
);

test('the icon of a page that says what is wrong is not green, as good is', async () => {
  const page = await (await app.call('/api/status?jobs=x')).text();
  expect(/<circle [^>]*fill='([^']+)'/.exec(page)?.[1]).toBe('%23c9252d');
});

test('GET /api/status with an empty search, as its form sends one, shows no panel', async () => {
  const answer = await app.call('/api/status?search=');
  expect([answer.status, await answer.text()]).toEqual([200, expect.not.stringContaining('id="panel"')]);
});

describe('A malformed request', () => {
  const ofRevocation = 'RevokeExpiredDatabricksRequests/runs';
  const ofNotification = 'ExpiryNotificationPalantirRequests/runs';

  test.each([
    ['POST', `${ofRevocation}?when=now`, /"when" is unknown: known are dryRun, allowMassRevocation/],
    ['POST', `${ofRevocation}?dryrun=true`, /"dryrun" is unknown/],
    ['POST', `${ofRevocation}?__proto__=1`, /"__proto__" is unknown/],
    ['POST', `${ofRevocation}?dryRun=maybe`, /dryRun is "maybe": expected true or false/],
    ['POST', `${ofRevocation}?dryRun=`, /dryRun is ""/],
    ['POST', `${ofRevocation}?dryRun=true&dryRun=false`, /dryRun is given more than once/],
    ['POST', `${ofRevocation}?allowMassRevocation=1`, /allowMassRevocation is "1"/],
    ['POST', `${ofRevocation}?dryRun=true&allowMassRevocation=true`, /cannot be combined/],
    ['POST', `${ofNotification}?allowMassRevocation=true`, /for revocation jobs/],
    ['POST', `${ofNotification}?allowMassRevocation=false`, /for revocation jobs/],
    ['POST', `${ofRevocation}?order=latest`, /order is for a dry run/],
    ['POST', `${ofRevocation}?dryRun=true&order=last`, /order is "last": expected soonest or latest/],
    ['POST', `${ofRevocation}?dryRun=true&after=x`, /after is "x"/],
    ['GET', `${ofRevocation}?limit=0`, /limit is "0": expected a whole number from 1 to 500/],
    ...['-1', 'abc', '1e9', '501', '1.5', ''].map((limit) => [
      'GET',
      `${ofRevocation}?limit=${limit}`,
      new RegExp(`limit is "${limit}"`),
    ]),
    ['GET', `${ofRevocation}?dryRun=true`, /"dryRun" is unknown: known are limit/],
    ['GET', '?limit=1', /"limit" is unknown: only due is known/],
    ['GET', '?due=yes', /due is "yes": expected true or false/],
  ] as [string, string, RegExp][])(
    '%s /api/jobs/%s is answered with 400 that says what is expected, and does nothing',
    async (method, path, detail) => {
      const answer = await call(`/api/jobs${path.startsWith('?') ? '' : '/'}${path}`, method);
      expect(answer.status).toBe(400);
      expect(answer.body.detail).toMatch(detail);
      expect(await storedRuns()).toEqual([]);
    },
  );

  test.each([
    ['POST', 'RevokeEverything'],
    ['POST', 'revokeexpireddatabricksrequests'],
    ['POST', "x'; DROP TABLE dbo.JobRun; --"],
    ['GET', 'RevokeEverything'],
  ])('%s for the job type "%s" is answered with 404, which lists the four', async (method, type) => {
    const answer = await call(runPath(encodeURIComponent(type)), method);
    expect(answer.status).toBe(404);
    expect(answer.body.jobTypes).toEqual(types);
    for (const known of [type, ...types]) expect(answer.body.detail).toContain(known);
    expect(await storedRuns()).toEqual([]);
  });
});

describe('without a database', () => {
  let cutOff: App;
  beforeAll(async () => {
    cutOff = await sample.startApp({ SQL_PORT: String(await closedPort()), NODE_OPTIONS: preload });
  });

  test.each([
    ['POST', runPath(revokeDatabricks.type)],
    ['POST', `${runPath(notifyDatabricks.type)}?dryRun=true`],
    ['GET', runPath(revokeDatabricks.type)],
    ['GET', '/api/jobs'],
    ['POST', `${runPath(revokeDatabricks.type)}/00000000-0000-4000-8000-000000000000/cancel`],
  ])('%s %s is answered with 503, Retry-After and what cannot be reached', async (method, path) => {
    const answer = await call(path, method, cutOff);
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(answer.body.detail).toMatch(/^The database access on localhost:\d+ cannot be reached/);
  });

  test('a read waits at most 30 s for a database that is being moved', async () => {
    sample.standIns.sql.order({ kind: 'error', number: 40_613, times: Infinity });
    const answer = await call('/api/jobs', 'GET', hurried);
    sample.standIns.sql.clearFaults();
    expect(answer.status).toBe(503);
    // The next pause would be of 20 s.
    expect(pauses()).toEqual([5_000, 10_000]);
  });
});

describe('with one wrong setting', () => {
  let misconfigured: App;
  beforeAll(async () => {
    misconfigured = await sample.startApp({
      EMAIL_SENDER_ADDRESS: 'nobody',
      SCHEDULE_REVOKE_PALANTIR: 'hourly',
    });
  });

  test('what does not need it works: revoking, the dry runs, the jobs, the history and the status page', async () => {
    expect((await post(revokePalantir, '', misconfigured)).status).toBe(200);
    for (const job of jobs) expect((await post(job, '?dryRun=true', misconfigured)).status).toBe(200);
    expect((await call(runPath(revokePalantir.type), 'GET', misconfigured)).status).toBe(200);
    expect((await misconfigured.call('/api/status')).status).toBe(200);
  });

  test('the jobs that it stops are Misconfigured, with the reason; a wrong schedule stops only its timer', async () => {
    const { status, body } = await call('/api/jobs', 'GET', misconfigured);
    const reason = 'It cannot run: EMAIL_SENDER_ADDRESS is malformed: expected an email address';
    const needsAddress = ['Misconfigured', expect.stringContaining(reason), 'string'];
    const ofSchedule = expect.stringMatching(/^SCHEDULE_REVOKE_PALANTIR is malformed \(hourly\)/) as string;
    expect(status).toBe(200);
    expect(
      (body.jobs as Body[]).map(({ state, stateReason, nextRunAt }) => [
        state,
        stateReason,
        typeof nextRunAt,
      ]),
    ).toEqual([
      [expect.not.stringContaining('Misconfigured'), expect.any(String), 'string'],
      ['Misconfigured', ofSchedule, 'object'],
      needsAddress,
      needsAddress,
    ]);
  });

  test('what is due is counted for the jobs where it is known', async () => {
    const wrong = await sample.startApp({ NOTIFICATION_LEAD_DAYS: 'soon' });
    const { status, body } = await call('/api/jobs?due=true', 'GET', wrong);
    expect(status).toBe(200);
    expect(
      (body.jobs as Body[]).map(({ dueCount, oldestDueMinutes }) => [dueCount, oldestDueMinutes]),
    ).toEqual([
      [expect.any(Number), expect.any(Number)],
      [expect.any(Number), expect.any(Number)],
      [null, null],
      [null, null],
    ]);
  });

  test('the job that needs it is answered with 500, which names it, and takes no lock', async () => {
    const answer = await post(notifyDatabricks, '', misconfigured);
    expect(answer.status).toBe(500);
    expect(answer.body.title).toBe('The app is not configured');
    expect(answer.body.problems).toEqual([
      expect.stringMatching(/^EMAIL_SENDER_ADDRESS: malformed: expected an email address, for example /),
      expect.stringMatching(/^SCHEDULE_REVOKE_PALANTIR: malformed: "hourly" /),
    ]);
    expect(await storedRuns()).toEqual([]);
  });
});

test('an app without its settings answers with 500, which names every one, the status page too, and still finds its functions', async () => {
  const missing = ['SQL_SERVER', 'SQL_DATABASE', 'EMAIL_ENDPOINT', 'EMAIL_SENDER_ADDRESS'];
  const bare = await sample.startApp({
    ...Object.fromEntries(missing.map((name) => [name, ''])),
    NOTIFICATION_LEAD_DAYS: 'soon',
  });
  for (const [method, path] of [
    ['GET', '/api/jobs'],
    ['POST', runPath(revokeDatabricks.type)],
  ] as const) {
    const answer = await call(path, method, bare);
    expect(answer.status).toBe(500);
    const problems = answer.body.problems as string[];
    expect(problems.map((problem) => problem.split(':')[0]).sort()).toEqual(
      [...missing, 'NOTIFICATION_LEAD_DAYS'].sort(),
    );
    for (const name of missing) expect(answer.body.detail).toContain(`${name}: missing: expected`);
  }
  const page = await bare.call('/api/status');
  expect([page.status, await page.text()]).toEqual([500, expect.stringContaining('SQL_SERVER: missing')]);
  expect((await (await bare.call('/admin/functions')).json()) as unknown[]).toHaveLength(13);
});

describe('The timers', () => {
  test.each(types)('%s runs its job, leaves its row and logs what it did', async (type) => {
    await app.fireTimer(type);
    const [line] = await app.logged(
      new RegExp(`information +${type}: ${type} run [\\da-f-]{36} Completed: \\d+ processed`),
    );
    const [row] = await storedRuns(type);
    expect(row).toMatchObject({ Status: 'Completed', Started_By: hostname() });
    expect(line).toContain(
      `run ${row?.Job_Id as string} Completed: ${row?.Processed_Count as number} processed`,
    );
    await app.logged(new RegExp(`${type}: Executed \\(succeeded`));
  });

  test('a timer fires by the schedule of its setting', async () => {
    const never = '0 0 0 1 1 *';
    const scheduled = await sample.startApp(
      {
        SCHEDULE_REVOKE_DATABRICKS: never,
        SCHEDULE_REVOKE_PALANTIR: '* * * * * *',
        SCHEDULE_NOTIFY_DATABRICKS: never,
        SCHEDULE_NOTIFY_PALANTIR: never,
      },
      { timers: true },
    );
    await scheduled.logged(/RevokeExpiredPalantirRequests: Executed \(succeeded/);
    expect(await scheduled.stop()).toBe(0);
    const runs = await storedRuns();
    expect(new Set(runs.map(({ Job_Type, Status }) => `${Job_Type as string} ${Status as string}`))).toEqual(
      new Set(['RevokeExpiredPalantirRequests Completed']),
    );
  });

  test.each([
    ['an HTTP run', revokeDatabricks, [500, 'Failed', true]],
    ['a notification run', notifyDatabricks, [200, 'Completed', true]],
  ] as const)(
    'a shutdown during %s lets it finish its row as stopped early, and the process ends with 0',
    async (_, job, expected) => {
      const own = await sample.startApp();
      const hold = holdNextRun();
      const answer = post(job, '', own);
      await hold.held;
      const stopped = own.stop('SIGTERM');
      // The host waits 10 s for its invocations, then notifies the app.
      await own.logged(/host: Stopping; 1 invocations/);
      hold.release();
      expect(await stopped).toBe(0);
      const { status, body } = await answer;
      // A revocation that had something due and did nothing has failed; reminders go on in the next run.
      const run = (body.run ?? body) as Record<string, unknown>;
      expect([status, run.status, run.stoppedEarly]).toEqual(expected);
      expect(run.message).toMatch(/the app is shutting down\./);
      expect(run.facts).toMatchObject({ stopped: 'shutdown' });
      expect(await storedRuns()).toMatchObject([{ Status: run.status, Processed_Count: 0 }]);
      expect((await post(job)).body).toMatchObject({ status: 'Completed', stoppedEarly: false });
    },
  );
});

test('timers are registered as their Job_Type with the default schedules, and do not run when the app starts', () => {
  const environment = Object.entries(process.env).filter(([name]) => !name.startsWith('SCHEDULE_'));
  const timers = registeredFunctions(Object.fromEntries(environment)).flatMap(({ name, bindings }) =>
    Object.values(bindings)
      .filter(({ type }) => type === 'timerTrigger')
      .map(({ schedule, runOnStartup = false }) => [name, schedule, runOnStartup]),
  );
  expect(timers).toEqual([
    ['RevokeExpiredDatabricksRequests', '0 0 * * * *', false],
    ['RevokeExpiredPalantirRequests', '0 15 * * * *', false],
    ['ExpiryNotificationDatabricksRequests', '0 30 6-18 * * *', false],
    ['ExpiryNotificationPalantirRequests', '0 45 6-18 * * *', false],
  ]);
});
