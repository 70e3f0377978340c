/** One run over HTTP: what it wrote, why grants failed, the run before it; and the pages of the history. */
import { randomUUID } from 'node:crypto';
import type { Row } from '../../src/database/session';
import type { JobRun } from '../../src/jobRun/jobRun';
import { readJson, useSample } from '../support/app';
import { jobOf } from '../support/environment';

const revocation = jobOf('revocation', 'Databricks');
const notification = jobOf('notification', 'Palantir');

interface Request {
  readonly requestId: number | string;
  readonly requestNumber: string;
  readonly status: string;
}

interface Details {
  readonly run: JobRun;
  readonly previousRun: JobRun | null;
  readonly failures: {
    cause: string;
    count: number;
    requestIds: unknown[];
    requests: Request[];
    advice: string;
  }[];
  readonly rows: {
    requestId: number | string;
    at: string;
    sentTo?: string;
    request: Request | null;
  }[];
  readonly next: number | null;
  readonly requestsAdvice: string | null;
}

const { sample, app } = useSample();

const get = (path: string, status = 200): Promise<unknown> => readJson(app, `/api/jobs/${path}`, { status });
const details = async (type: string, jobId: string, query = ''): Promise<Details> =>
  (await get(`${type}/runs/${jobId}${query}`)) as Details;
const run = async (type: string): Promise<JobRun> =>
  (await readJson(app, `/api/jobs/${type}/runs`, { method: 'POST' })) as JobRun;
/** Makes approved Databricks requests with these ids end now. */
const expire = (from: number, to: number): Promise<Row[]> =>
  sample.query(
    `UPDATE dbo.DataAccessDeltaRequests SET request_status = 'Approved', renews_request_number = NULL, access_end_dt = GETUTCDATE() WHERE id BETWEEN ${from} AND ${to};`,
  );

test('a run has the rows that it wrote, not those of the runs before and after, and comes with the previous run of its job', async () => {
  const first = await run(revocation.type);
  await run(notification.type);
  await expire(1, 250);
  const second = await run(revocation.type);
  await expire(1, 7);
  const third = await run(revocation.type);
  expect([second.processedCount, third.processedCount]).toEqual([250, 7]);

  const pages: Details[] = [];
  for (let next: number | null | undefined; next !== null; next = pages.at(-1)?.next)
    pages.push(await details(revocation.type, second.jobId, next === undefined ? '' : `?after=${next}`));
  expect(pages.map(({ rows }) => rows.length)).toEqual([100, 100, 50]);
  const rows = pages.flatMap((page) => page.rows);
  expect(rows.map(({ requestId }) => requestId)).toEqual(
    Array.from({ length: 250 }, (_, index) => index + 1),
  );
  for (const { at } of rows) {
    expect(Date.parse(at)).toBeGreaterThanOrEqual(Date.parse(String(second.startedAt)));
    expect(Date.parse(at)).toBeLessThanOrEqual(Date.parse(String(second.completedAt)));
  }
  const [stored] = await sample.query(
    'SELECT RequestNumber, RequesterName, Resource FROM dbo.AccessGrant_Databricks WHERE RequestId = 1;',
  );
  expect(rows[0]?.request).toMatchObject({
    requestNumber: stored?.RequestNumber,
    requesterName: stored?.RequesterName,
    resource: stored?.Resource,
  });
  expect((await details(revocation.type, third.jobId)).rows).toHaveLength(7);
  const { jobId, processedCount } = first;
  expect(pages[0]?.previousRun).toMatchObject({ jobId, processedCount });
  expect(await details(revocation.type, jobId)).toMatchObject({ previousRun: null });
});

test('a notification run has the addresses, and its failures by cause with what to do; a request that was withdrawn since keeps its name and number', async () => {
  sample.standIns.email.order({ kind: 'error', status: 400 });
  const { jobId, processedCount, failedCount } = await run(notification.type);
  const { rows, failures } = await details(notification.type, jobId);
  expect(failures.map(({ cause }) => cause)).toEqual(expect.arrayContaining(['addressMissing', 'rejected']));
  expect(failures.reduce((sum, { count }) => sum + count, 0)).toBe(failedCount);
  for (const { requestIds, requests, advice } of failures) {
    expect(requests.map(({ requestId }) => requestId)).toEqual(requestIds);
    expect(advice).toMatch(/address/);
  }
  expect(rows).toHaveLength(processedCount ?? -1);
  for (const { sentTo } of rows) expect(sentTo).toContain('@');
  const id = String(rows[0]?.requestId);
  await sample.query(
    `UPDATE dbo.DataAccessPalantirRequests SET Status = 'Withdrawn' WHERE RequestId = '${id}';`,
  );
  const [withdrawn] = (await details(notification.type, jobId)).rows;
  expect(withdrawn).toMatchObject({ requestId: id, request: { ...rows[0]?.request, status: 'Withdrawn' } });
  await sample.query(
    `UPDATE dbo.DataAccessPalantirRequests SET Status = 'Approved' WHERE RequestId = '${id}';`,
  );
});

test('an unknown run, what is not a GUID, and a run of another job are answered with 404', async () => {
  const { jobId: ofAnother } = await run(notification.type);
  for (const jobId of [randomUUID(), 'x%27--', ofAnother])
    expect(await get(`${revocation.type}/runs/${jobId}`, 404)).toMatchObject({
      title: 'Unknown run',
      detail: expect.stringContaining('lists its runs') as string,
    });
});

test('the history pages on: every run once, newest first, also where runs began at the same time; 20 a page by default', async () => {
  for (let index = 0; index < 25; index++)
    await sample.query(
      `INSERT INTO dbo.JobRun (Job_Id, Job_Type, Status, Started_At, Started_By) VALUES
('${randomUUID()}', '${revocation.type}', 'Completed', DATEADD(MINUTE, -${index % 7}, '2026-12-01'), 'machine-1');`,
    );
  const stored = await sample.query('SELECT Job_Id FROM dbo.JobRun ORDER BY Started_At DESC, Id DESC;');
  const pageOf = async (query: string) =>
    (await get(`${revocation.type}/runs${query}`)) as { runs: JobRun[]; next: string | null };
  const found: string[] = [];
  for (let next: string | null | undefined; next !== null;) {
    const page = await pageOf(next === undefined ? '?limit=2' : `?limit=2&before=${next}`);
    expect(page.runs.length).toBeLessThanOrEqual(2);
    found.push(...page.runs.map(({ jobId }) => jobId));
    next = page.next;
  }
  expect(found).toEqual(stored.map((row) => row.Job_Id));
  const { jobId: ofAnother } = await run(notification.type);
  expect((await pageOf('')).runs).toHaveLength(20);
  expect((await pageOf('?limit=500')).runs).toHaveLength(25);
  const unknown = randomUUID();
  for (const [before, status, code, detail] of [
    ['x', 400, 'malformedParameter', 'The parameter before is "x": expected the jobId of a run.'],
    [unknown, 404, 'unknownRun', `has no run "${unknown}"`],
    [ofAnother, 404, 'unknownRun', `has no run "${ofAnother}"`],
  ] as const)
    expect(await get(`${revocation.type}/runs?before=${before}`, status)).toMatchObject({
      code,
      detail: expect.stringContaining(detail) as string,
    });
});
