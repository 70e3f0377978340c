/** A request over HTTP: finding it, its story. */
import { randomUUID } from 'node:crypto';
import { createDatabase } from '../../local/sampleDatabase';
import type { Job } from '../../src/jobs/catalogue';
import type { JobRun } from '../../src/jobRun/jobRun';
import { readJson, useSample } from '../support/app';
import { jobOf } from '../support/environment';

const notification = jobOf('notification', 'Databricks');
const revocation = jobOf('revocation', 'Databricks');

interface Found {
  readonly platform: string;
  readonly requestId: number | string;
  readonly requestNumber: string;
  readonly requesterName: string;
  readonly requesterEmail: string;
}

interface Search {
  readonly requests: readonly Found[];
  readonly more: boolean;
  readonly complete: boolean;
  readonly advice: readonly string[];
}

const { sample, app } = useSample();

const get = (path: string, status = 200): Promise<unknown> =>
  readJson(app, `/api/requests${path}`, { status });
const run = async ({ type }: Job, query = ''): Promise<unknown> =>
  readJson(app, `/api/jobs/${type}/runs${query}`, { method: 'POST' });
const search = async (q: string): Promise<Search> => (await get(`?q=${encodeURIComponent(q)}`)) as Search;

describe('a search', () => {
  test.each([
    ['its number', 'DBX-10017'],
    ['its number in other letters, with blanks around it', ' dbx-10017 '],
    ['its id', '17'],
  ])('finds a request by %s, first of all', async (_, q) => {
    const { requests, complete, advice } = await search(q);
    expect(requests[0]).toMatchObject({ platform: 'databricks', requestId: 17, requestNumber: 'DBX-10017' });
    expect({ complete, advice }).toEqual({ complete: true, advice: [] });
  });

  test('finds a Palantir request by its GUID, in capitals too', async () => {
    const [row] = await sample.query('SELECT TOP (1) q.RequestId FROM dbo.AccessRequest_Palantir AS q;');
    const { requests } = await search(String(row?.RequestId).toUpperCase());
    expect(requests).toMatchObject([{ platform: 'palantir', requestId: row?.RequestId }]);
  });

  test('finds the requests of a person on both platforms by name and by address, withdrawn ones too', async () => {
    const stored =
      await sample.query(`SELECT q.RequestNumber FROM dbo.AccessRequest_Databricks AS q WHERE q.RequesterName = 'Emma Johansson'
UNION ALL SELECT q.RequestNumber FROM dbo.AccessRequest_Palantir AS q WHERE q.RequesterName = 'Emma Johansson';`);
    const numbers = stored.map(({ RequestNumber }) => RequestNumber as string).sort();
    expect(new Set(numbers.map((number) => number.slice(0, 3)))).toEqual(new Set(['DBX', 'PAL']));
    await sample.query(
      "UPDATE dbo.DataAccessDeltaRequests SET request_status = 'Withdrawn' WHERE requested_by = 'Emma Johansson';",
    );
    for (const q of ['emma johansson', 'Emma J', 'emma.johansson@example.com']) {
      const { requests, more } = await search(q);
      expect(requests.map(({ requestNumber }) => requestNumber).sort()).toEqual(numbers);
      expect(more).toBe(false);
    }
  });

  test('puts what is exactly that before what begins with it, and takes no character for a wildcard', async () => {
    const { requests } = await search('1');
    expect(requests[0]).toMatchObject({ requestId: 1 });
    expect(requests.length).toBeGreaterThan(10);
    for (const { requestId } of requests) expect(String(requestId)).toMatch(/^1/);
    for (const q of ['DBX-1001_', '%', '[D]BX']) expect((await search(q)).requests).toEqual([]);
  });

  test('yields fifty at most, and says if there are more', async () => {
    const { requests, more } = await search('DBX-');
    expect(requests).toHaveLength(50);
    expect(more).toBe(true);
  });

  test('finds names as they are written', async () => {
    for (const q of ["Conor O'Brien", '山田 太郎', '<b>Max</b> Power'])
      expect((await search(q)).requests[0]).toMatchObject({ requesterName: q });
  });

  test('takes 320 characters of any script', async () => {
    expect((await search('😀'.repeat(320))).requests).toEqual([]);
  });

  test('is bounded, says so, and finds an id beyond its bound', async () => {
    const columns =
      'request_number, request_type, request_status, requested_by_ad_id, requested_by_email, requested_by, catalog_name, schema_name, table_name, justification, access_start_dt, access_end_dt, created_dt, renews_request_number';
    const [before] = await sample.query(
      'SELECT COUNT(*) AS Requests, MAX(r.id) AS Highest FROM dbo.DataAccessDeltaRequests AS r;',
    );
    const highest = before?.Highest as number;
    const values = columns
      .replace('request_status', "'Rejected'")
      .replace('request_number', "'X'")
      .replace('requested_by,', "'Many',");
    try {
      for (let more = highest; more < 200_001; more *= 2)
        await sample.query(
          `INSERT INTO dbo.DataAccessDeltaRequests (id, ${columns}) SELECT r.id + ${more}, ${values} FROM dbo.DataAccessDeltaRequests AS r;`,
        );
      const name = await search('Grace Hopper');
      expect(name.complete).toBe(false);
      expect(name.advice).toEqual([
        expect.stringMatching(/^Not all Databricks requests were searched: .*200,000/),
      ]);
      expect(name.requests).toEqual([]);
      expect((await search('17')).requests[0]).toMatchObject({ requestId: 17, requestNumber: 'DBX-10017' });
    } finally {
      await sample.query(`DELETE FROM dbo.DataAccessDeltaRequests WHERE id > ${highest};`);
    }
  });

  test.each([
    ['', /q is missing or empty/],
    ['?q=', /q is missing or empty/],
    ['?q=%20%20', /q is missing or empty/],
    [`?q=${'x'.repeat(321)}`, /q has 321 characters/],
    [`?q=${encodeURIComponent('😀'.repeat(321))}`, /q has 321 characters/],
    ['?q=1&limit=3', /"limit" is unknown: only q is known/],
  ])('%s is refused', async (query, detail) => {
    expect(await get(query, 400)).toMatchObject({ detail: expect.stringMatching(detail) as string });
  });
});

describe('a story', () => {
  test('has the request, what was sent by which run, and what comes next', async () => {
    const { jobId } = (await run(notification)) as JobRun;
    const [sent] = await sample.query(
      'SELECT TOP (1) n.DeltaRequestId AS Id, n.Notification_Sent_To AS SentTo FROM dbo.ExpiryNotification_Databricks AS n ORDER BY n.Id;',
    );
    const story = await get(`/databricks/${sent?.Id as number}`);
    expect(story).toMatchObject({
      platform: 'databricks',
      requestId: sent?.Id,
      request: { requestNumber: `DBX-${10_000 + (sent?.Id as number)}`, status: 'Approved' },
      granted: true,
      next: { code: 'reminderSent', message: expect.stringMatching(/^No reminder is due: /) as string },
      notifications: [{ jobId, by: notification.type, sentTo: sent?.SentTo }],
      revocations: [],
      requestsAdvice: null,
    });
  });

  test('and a run and a search, without the view of requests, have the ids, and say how to add it', async () => {
    await sample.query(`CREATE OR ALTER VIEW dbo.AccessGrant_Databricks AS
SELECT r.id AS RequestId, r.request_number AS RequestNumber, r.requested_by AS RequesterName, r.requested_by_email AS RequesterEmail,
  r.table_name AS Resource, r.access_end_dt AS ExpiresAt, CAST(NULL AS NVARCHAR(400)) AS AccessKey
FROM dbo.DataAccessDeltaRequests AS r WHERE r.request_status = 'Approved' AND r.access_end_dt IS NOT NULL;`);
    await sample.query('DROP VIEW dbo.AccessRequest_Databricks;');
    try {
      const [granted] = await sample.query(
        'SELECT TOP (1) g.RequestId FROM dbo.AccessGrant_Databricks AS g;',
      );
      const advice = /AccessRequest_Databricks is missing.*sql\/06_AccessGrant_views\.sql.*db:deploy/;
      expect(await get(`/databricks/${granted?.RequestId as number}`)).toMatchObject({
        request: null,
        granted: true,
        requestsAdvice: expect.stringMatching(advice) as string,
      });
      const { status, jobId } = (await run(revocation)) as JobRun;
      expect(status).toBe('Completed');
      const details = await readJson(app, `/api/jobs/${revocation.type}/runs/${jobId}`);
      expect(details).toMatchObject({ requestsAdvice: expect.stringMatching(advice) as string });
      const { rows } = details as { rows: { requestId: unknown; request: unknown }[] };
      expect(rows.length).toBeGreaterThan(0);
      for (const { requestId, request } of rows)
        expect([typeof requestId, request]).toEqual(['number', null]);
      const { requests, complete, advice: said } = await search('Emma Johansson');
      expect(new Set(requests.map(({ platform }) => platform))).toEqual(new Set(['palantir']));
      expect({ complete, said }).toEqual({ complete: false, said: [expect.stringMatching(advice)] });
    } finally {
      await createDatabase(sample.session);
    }
  });

  test.each([
    [
      'another platform',
      '/snowflake/1',
      'Unknown platform',
      /"snowflake": known are databricks and palantir/,
    ],
    ['an unknown id', '/databricks/999999', 'Unknown request', /"999999": search for it by its number/],
    ['a GUID of nobody', `/palantir/${randomUUID()}`, 'Unknown request', /no Palantir request/],
    ['what is not an id', '/databricks/DBX-10017', 'Unknown request', /"DBX-10017"/],
    ['a number where ids are GUIDs', '/palantir/17', 'Unknown request', /"17"/],
  ])('of %s is answered with 404', async (_, path, title, detail) => {
    expect(await get(path, 404)).toMatchObject({ title, detail: expect.stringMatching(detail) as string });
  });

  test('names its platform in any case', async () => {
    expect(await get('/Databricks/17')).toMatchObject({ platform: 'databricks', requestId: 17 });
  });
});

describe('a reminder by hand', () => {
  interface Answer {
    readonly status: number;
    readonly retryAfter: string | null;
    readonly body: { code?: string; detail?: string; sentTo?: string; sentBy?: string };
  }
  async function post(path: string): Promise<Answer> {
    const answer = await app.call(`/api/requests/${path}/reminders`, { method: 'POST' });
    return {
      status: answer.status,
      retryAfter: answer.headers.get('retry-after'),
      body: (await answer.json()) as Answer['body'],
    };
  }
  const email = () => sample.standIns.email;
  /** Of a Databricks request whose reminder is due, with a usable address. */
  async function dueRequest(): Promise<number> {
    const { grants } = (await run(notification, '?dryRun=true')) as {
      grants: { requestId: number; failure: string | null }[];
    };
    return grants.find(({ failure }) => failure === null)?.requestId ?? 0;
  }

  test('is answered with 200 once it is sent and recorded, and with 409 for ten minutes after any message; it is not a run', async () => {
    const id = await dueRequest();
    /** Makes all messages so many minutes older. */
    const age = (minutes: number) =>
      sample.query(
        `UPDATE dbo.ExpiryNotification_Databricks SET Notification_Sent_Dt = DATEADD(MINUTE, -${minutes}, Notification_Sent_Dt);`,
      );
    expect(await post(`databricks/${id}`)).toMatchObject({
      status: 200,
      body: { sentBy: 'Operator', sentTo: email().messages[0]?.to[0] },
    });
    const refused = await post(`databricks/${id}`);
    expect(refused).toMatchObject({
      status: 409,
      body: {
        code: 'justSent',
        detail: expect.stringMatching(/^Nothing was sent: a message .* less than 10 minutes/) as string,
      },
    });
    expect(Number(refused.retryAfter)).toBeLessThanOrEqual(600);
    await age(9);
    const retryAfter = Number((await post(`databricks/${id}`)).retryAfter);
    expect(retryAfter).toBeGreaterThan(0);
    expect(retryAfter).toBeLessThanOrEqual(60);
    expect(email().messages).toHaveLength(1);
    expect(await sample.query('SELECT r.Id FROM dbo.JobRun AS r;')).toEqual([]);
    await age(2);
    expect(await post(`databricks/${id}`)).toMatchObject({ status: 200 });
    await sample.query('DELETE FROM dbo.ExpiryNotification_Databricks;');
    await run(notification);
    expect(await post(`databricks/${id}`)).toMatchObject({ status: 409, body: { code: 'justSent' } });
  });

  test('asked for twelve times at once reaches its holder once', async () => {
    const id = await dueRequest();
    const answers = await Promise.all(Array.from({ length: 12 }, () => post(`databricks/${id}`)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(11);
    expect(email().messages).toHaveLength(1);
  });

  test('is never answered with 200 when nothing was sent', async () => {
    const id = await dueRequest();
    email().order({ kind: 'error', status: 400 });
    expect(await post(`databricks/${id}`)).toMatchObject({
      status: 502,
      body: { code: 'rejected', detail: expect.stringMatching(/^Nothing was sent/) as string },
    });
    const other = await sample.query(
      'SELECT TOP (1) g.RequestId AS Id FROM dbo.AccessGrant_Palantir AS g WHERE g.ExpiresAt > DATEADD(DAY, 30, GETUTCDATE());',
    );
    const palantirId = String(other[0]?.Id);
    email().order({ kind: 'error', status: 403, times: 4 });
    expect(await post(`palantir/${palantirId}`)).toMatchObject({
      status: 502,
      body: { code: 'unavailable' },
    });
    email().clearFaults();
    email().order({ kind: 'error', status: 429, retryAfter: 3_600 });
    const throttled = await post(`palantir/${palantirId}`);
    expect(throttled).toMatchObject({ status: 503, body: { code: 'throttled' } });
    expect(Number(throttled.retryAfter)).toBeGreaterThan(3_500);
    expect(email().messages).toEqual([]);
    expect(await sample.query('SELECT n.Id FROM dbo.ExpiryNotification_Palantir AS n;')).toEqual([]);
  });

  const granted = async (condition: string): Promise<unknown> => {
    const sql = `SELECT TOP (1) g.RequestId AS Id FROM dbo.AccessGrant_Databricks AS g WHERE ${condition};`;
    return (await sample.query(sql))[0]?.Id;
  };
  const dueAfter = async (change: string): Promise<number> => {
    const id = await dueRequest();
    await sample.query(`UPDATE dbo.DataAccessDeltaRequests SET ${change} WHERE id = ${id};`);
    return id;
  };

  test.each([
    {
      what: 'to an address that is missing',
      find: () => granted('g.RequesterEmail IS NULL AND g.ExpiresAt > GETUTCDATE()'),
      status: 422,
      code: 'addressMissing',
      detail: /^Nothing was sent: its address is missing\. Add an email address /,
    },
    {
      what: 'of a grant that has ended',
      find: () => granted('g.ExpiresAt < GETUTCDATE()'),
      status: 409,
      code: 'ended',
      detail: /^Nothing was sent, since its access has ended\. Its revocation has been due since /,
    },
    {
      what: 'of a grant whose revocation is recorded',
      find: async () => {
        await run(revocation);
        return granted('g.ExpiresAt < GETUTCDATE()');
      },
      status: 409,
      code: 'ended',
      detail: /^Nothing was sent, since its access has ended: its revocation was recorded at .* UTC\.$/,
    },
    {
      what: 'of a request that is withdrawn',
      find: () => dueAfter("request_status = 'Withdrawn'"),
      status: 409,
      code: 'notGranted',
      detail: /^Nothing was sent: it is not granted \(status Withdrawn\)\.$/,
    },
    {
      what: 'of a request without an end',
      find: () => dueAfter('access_end_dt = NULL'),
      status: 409,
      code: 'notGranted',
      detail:
        /^Nothing was sent: dbo\.AccessGrant_Databricks does not yield it: its status is Approved, and it has no end\. If its access should end, enter one in the request\.$/,
    },
    {
      what: 'of an unknown request',
      find: () => Promise.resolve(999_999),
      status: 404,
      code: 'unknownRequest',
      detail: /"999999"/,
    },
  ])('$what is refused, with the reason', async ({ find, status, code, detail }) => {
    expect(await post(`databricks/${String(await find())}`)).toMatchObject({
      status,
      body: { code, detail: expect.stringMatching(detail) as string },
    });
    expect(email().messages).toEqual([]);
  });
});
