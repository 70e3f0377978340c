/** What the app logs, and how: levels, lengths, and nothing that the data says. */
import { randomUUID } from 'node:crypto';
import { insertRows } from '../../local/insertRows';
import { useSample } from '../support/app';
import { jobOf } from '../support/environment';

const day = 24 * 60 * 60 * 1000;
const revoke = jobOf('revocation', 'Databricks').type;
const notify = jobOf('notification', 'Palantir').type;

const { sample, app } = useSample();

const post = (job: string, theApp = app): Promise<Response> =>
  theApp.call(`/api/jobs/${job}/runs`, { method: 'POST' });

/** Of a record's first line: the level, and what comes after the function's name. */
const record = (line = ''): string => line.replace(/^\S+ (\w+) +\w+: /, '$1 ');

describe('Levels', () => {
  test('a run by hand that fails is an error, a safety stop too', async () => {
    const careful = await sample.startApp({ REVOCATION_CEILING: '1' });
    expect((await post(revoke, careful)).status).toBe(500);
    const [line] = await careful.logged(`${revoke} run`);
    expect(record(line)).toMatch(/^error RevokeExpired.* Failed: 0 processed\. Safety stop: /);
  });

  test.each([
    ['GET', '/api/jobs'],
    ['GET', '/api/status'],
    ['POST', `/api/jobs/${revoke}/runs?dryRun=true`],
  ])('%s %s that is answered with 500 is an error', async (method, path) => {
    sample.standIns.sql.order({
      kind: 'error',
      match: /./,
      number: 229,
      message: 'Denied.',
      times: Infinity,
    });
    expect((await app.call(path, { method })).status).toBe(500);
    const [line] = await app.logged('SQL error 229');
    expect(record(line)).toMatch(/^error SqlError: Denied\./);
  });

  test('a mail that is refused is a warning', async () => {
    sample.standIns.email.order({ kind: 'error', status: 400 });
    expect((await post(notify)).status).toBe(200);
    const [line] = await app.logged('is rejected');
    expect(record(line)).toMatch(/^warning Requests? /);
  });

  test('wrong settings are one warning', async () => {
    const wrong = await sample.startApp({ EMAIL_SENDER_ADDRESS: 'nobody', REVOCATION_CEILING: 'none' });
    for (let use = 0; use < 2; use++) expect((await wrong.call('/api/jobs')).status).toBe(200);
    await wrong.logged(/^- REVOCATION_CEILING: malformed: expected/);
    const records = wrong.lines.filter((line) => line.includes('Settings are wrong'));
    expect(records.map(record)).toEqual(['warning Settings are wrong:']);
  });
});

test('a line about 1,000 requests is cut in its middle to what Application Insights takes', async () => {
  const due = Array.from({ length: 1_000 }, (_, index) => ({
    RequestId: randomUUID(),
    RequestNumber: `MANY-${index}`,
    ProjectId: 'many',
    ProjectRid: 'many',
    ProjectName: `many ${index}`,
    RequestType: 'New',
    Status: 'Approved',
    RequestedBy: 'One Person',
    RequestedByEmail: 'many@example.com',
    AccessEndDate: new Date(Date.now() + 2 * day).toISOString(),
    CreatedAt: new Date().toISOString(),
  }));
  await insertRows(sample.session, 'dbo.DataAccessPalantirRequests', due);
  try {
    sample.standIns.email.order({ kind: 'error', status: 400, recipient: 'many@example.com' });
    expect((await post(notify)).status).toBe(200);
    const [line = ''] = await app.logged(/(\S+, ){50}.*is rejected/);
    expect(line.length).toBeGreaterThan(30_000);
    expect(record(line).length).toBeLessThanOrEqual('warning '.length + 32_000);
    expect(line).toMatch(/Requests .*, \S+ \.\.\. .*message \S+ is rejected \(HTTP 400.*\)$/);
  } finally {
    await sample.query(
      "DELETE FROM dbo.ExpiryNotification_Palantir; DELETE FROM dbo.DataAccessPalantirRequests WHERE ProjectId = 'many';",
    );
  }
});

describe('An error of the server', () => {
  const quoted = 'jane.doe@example.com';

  test.each([220, 245, 2628, 9819, 13609, 50000])(
    '%d, whose text may quote data, is reported by its number',
    async (number) => {
      sample.standIns.sql.order({
        kind: 'error',
        match: /INSERT INTO #Due/,
        number,
        message: `The value '${quoted}' does not fit.`,
      });
      const response = await post(revoke);
      const { run } = (await response.json()) as { run: { message: string } };
      expect(run.message).toMatch(new RegExp(`^SQL error ${number} in \\w+\\. Started by hand\\.$`));
      await app.logged(`SQL error ${number} in`);
      expect(app.lines.join('\n')).not.toContain(quoted);
    },
  );

  test('at sign-in is reported by its number too, and is not printed with its cause', async () => {
    const message = `Logon failed: ${quoted}`;
    sample.standIns.sql.order({ kind: 'refuseLogin', number: 17892, message });
    const response = await app.call('/api/jobs');
    expect(await response.json()).toMatchObject({
      status: 503,
      detail: expect.stringMatching(/cannot be reached: SQL error 17892$/) as string,
    });
    await app.logged('SQL error 17892');
    await app.logged(/ListJobs: Executed/);
    expect(app.lines.join('\n')).not.toContain(quoted);
  });
});
