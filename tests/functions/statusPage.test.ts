/**
 * The status page in a real Chromium, served by the built app on the stand-ins. CHROMIUM names the browser's
 * executable where it is not /usr/bin/chromium.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core';
import { startHostProcess, type HostProcess } from '../../local/functionsHost/process';
import { insertRows, type TableColumns } from '../../local/insertRows';
import { createSampleDatabase, openSession } from '../../local/sampleDatabase';
import { startStandIns, type StandIns } from '../../local/standIns';
import type { Row, Session } from '../../src/database/session';
import { renderStatusPage } from '../../src/functions/statusPage/page';
import { jobs } from '../../src/jobs/catalogue';
import type { JobRun, JobType } from '../../src/jobRun/jobRun';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const hasChromium = existsSync(executablePath);
const describeInChromium = hasChromium ? describe : describe.skip;

const jobRuns: TableColumns = {
  name: 'dbo.JobRun',
  columns: {
    Job_Id: 'UNIQUEIDENTIFIER',
    Job_Type: 'VARCHAR(50)',
    Status: 'VARCHAR(20)',
    Started_At: 'DATETIME2',
    Started_By: 'VARCHAR(100)',
    Completed_At: 'DATETIME2',
    Processed_Count: 'INT',
    Failed_Count: 'INT',
    Error_Message: 'VARCHAR(500)',
  },
};

interface RunSpec {
  readonly Status?: JobRun['status'];
  /** In ms. */
  readonly ago: number;
  /** In ms; absent while in progress. */
  readonly took?: number;
  readonly Started_By?: string;
  readonly Processed_Count?: number;
  readonly Failed_Count?: number;
  readonly Error_Message?: string;
}

const minute = 60_000;
const hour = 60 * minute;

describeInChromium(
  `The status page in Chromium${hasChromium ? '' : ` (skipped: there is no ${executablePath}; install chromium)`}`,
  () => {
    let standIns: StandIns;
    let session: Session;
    let app: HostProcess;
    let browser: Browser;
    const pages: Page[] = [];
    /** What the pages of a test asked for, and what they complained of. */
    let requests: { method: string; url: URL; headers: Record<string, string> }[] = [];
    let complaints: string[] = [];

    beforeAll(async () => {
      standIns = await startStandIns();
      // @azure/identity reads its environment from the process.
      Object.assign(process.env, standIns.identity.environment);
      await createSampleDatabase(standIns);
      session = await openSession(standIns);
      app = await startApp(standIns.environment);
      browser = await chromium.launch({
        executablePath,
        args: [
          '--headless',
          '--no-sandbox',
          '--disable-gpu',
          '--disable-quic',
          '--no-first-run',
          '--disable-background-networking',
          '--disable-component-update',
          '--disable-sync',
        ],
      });
    });
    afterAll(async () => {
      await browser.close();
      session.close();
      await app.stop();
      await standIns.close();
    });
    beforeEach(async () => {
      await query('DELETE FROM dbo.JobRun;');
      requests = [];
      complaints = [];
    });
    afterEach(async () => {
      await Promise.all(pages.splice(0).map((page) => page.context().close()));
    });

    const startApp = (settings: Readonly<Record<string, string>>): Promise<HostProcess> =>
      startHostProcess({ appDirectory: join(__dirname, '../..'), port: 0, timers: false, settings });
    const query = (sql: string): Promise<Row[]> => session.query({ name: 'test', sql });
    const storedRuns = (job: JobType): Promise<Row[]> =>
      query(`SELECT * FROM dbo.JobRun WHERE Job_Type = '${job}' ORDER BY Started_At DESC, Id DESC;`);

    async function addRuns(Job_Type: JobType, specs: readonly RunSpec[]): Promise<void> {
      const now = Date.now();
      const rows = specs.map(({ ago, took, ...rest }) => ({
        Job_Id: randomUUID(),
        Job_Type,
        Status: 'Completed',
        Started_At: new Date(now - ago),
        Started_By: 'machine-1',
        Completed_At: took === undefined ? null : new Date(now - ago + took),
        Processed_Count: null,
        Failed_Count: null,
        Error_Message: null,
        ...rest,
      }));
      await insertRows(session, jobRuns, rows);
    }

    async function open(options: BrowserContextOptions = {}): Promise<Page> {
      const context = await browser.newContext(options);
      const page = await context.newPage();
      pages.push(page);
      page.on('request', (request) =>
        requests.push({ method: request.method(), url: new URL(request.url()), headers: request.headers() }),
      );
      page.on('console', (message) => {
        // A refused request is one that a test asked for.
        if (!message.text().includes('Failed to load resource')) complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(error.message));
      await page.goto(`${app.url}/api/status?code=the-key`);
      return page;
    }

    const card = (page: Page, job: JobType): Locator =>
      page.getByRole('article').filter({ has: page.getByText(job, { exact: true }) });
    const result = (page: Page, job: JobType): Locator => card(page, job).getByRole('status');
    async function press(page: Page, action: 'Run' | 'Preview', job: JobType): Promise<void> {
      await page.getByRole('button', { name: `${action} ${job}` }).click();
      await page.getByRole('dialog').getByRole('button', { name: action }).click();
    }
    /** The cells' text, a list a row. */
    const cells = async (rows: Locator): Promise<string[][]> =>
      Promise.all((await rows.all()).map((row) => row.locator('th, td').allTextContents()));
    const table = (page: Page, job: JobType): Promise<string[][]> =>
      cells(card(page, job).locator('details tr'));
    const utc = (date: unknown): string => (date as Date).toISOString().slice(0, 19).replace('T', ' ');

    test('state, last run and table of each job are what the database says', async () => {
      await addRuns('RevokeExpiredDatabricksRequests', [
        { ago: 2 * hour, took: 1500, Processed_Count: 12 },
        { ago: hour, took: 65_000, Processed_Count: 1234, Started_By: 'machine-2' },
      ]);
      await addRuns('RevokeExpiredPalantirRequests', [
        { ago: hour, took: 500, Status: 'Failed', Error_Message: 'Safety stop: 4000 grants are due.' },
      ]);
      await addRuns('ExpiryNotificationDatabricksRequests', [
        { ago: hour, took: 4000, Processed_Count: 30, Failed_Count: 2 },
        { ago: minute, Status: 'InProgress', Started_By: 'machine-3', Processed_Count: 7 },
      ]);
      const page = await open();

      const revocation = card(page, 'RevokeExpiredDatabricksRequests');
      const [newest, earlier] = await storedRuns('RevokeExpiredDatabricksRequests');
      await expect(revocation.locator('.state').innerText()).resolves.toBe('Idle');
      await expect(revocation.locator('dd').first().innerText()).resolves.toBe(
        `${utc(newest?.Started_At)} UTC, 60 min ago, by machine-2\nCompleted: 1,234 processed in 1 min 5 s`,
      );
      await expect(table(page, 'RevokeExpiredDatabricksRequests')).resolves.toEqual([
        ['Started (UTC)', 'Status', 'Processed', 'Duration', 'Started by'],
        [utc(newest?.Started_At), 'Completed', '1,234', '1 min 5 s', 'machine-2'],
        [utc(earlier?.Started_At), 'Completed', '12', '1.5 s', 'machine-1'],
      ]);

      const failed = card(page, 'RevokeExpiredPalantirRequests');
      await expect(failed.locator('.state').innerText()).resolves.toBe('Last run failed');
      await expect(failed.locator('dd').first().innerText()).resolves.toContain(
        'Safety stop: 4000 grants are due.',
      );
      await expect(page.title()).resolves.toBe('1 failed: Access Expiry Jobs');

      const [active, ended] = await storedRuns('ExpiryNotificationDatabricksRequests');
      const notification = card(page, 'ExpiryNotificationDatabricksRequests');
      await expect(notification.locator('.state').innerText()).resolves.toBe(
        `Running since ${utc(active?.Started_At)} UTC, by machine-3`,
      );
      await expect(notification.locator('dd').first().innerText()).resolves.toContain(
        '30 processed, 2 failed in 4.0 s',
      );
      const rows = await table(page, 'ExpiryNotificationDatabricksRequests');
      expect(rows[1]?.slice(0, 4)).toEqual([utc(active?.Started_At), 'In progress', '7', '–']);
      expect(rows[2]).toEqual([utc(ended?.Started_At), 'Completed', '30', '2', '4.0 s', 'machine-1']);

      const never = card(page, 'ExpiryNotificationPalantirRequests');
      await expect(never.locator('dd').first().innerText()).resolves.toBe('none yet');
    });

    test('schedule and next run are those of GET /api/jobs', async () => {
      const page = await open();
      const { jobs: described } = (await (await fetch(`${app.url}/api/jobs`)).json()) as {
        jobs: { jobType: JobType; schedule: string; nextRunAt: string }[];
      };
      expect(described).toHaveLength(4);
      for (const { jobType, schedule, nextRunAt } of described) {
        const text = await card(page, jobType).locator('dl').innerText();
        expect(text).toContain(`${utc(new Date(nextRunAt))} UTC`);
        expect(text).toContain(schedule);
      }
    });

    test('the chart draws the newest 30 runs to scale, the newest right, and says so in words', async () => {
      const counts = Array.from({ length: 35 }, (_, index) => index + 1);
      await addRuns(
        'ExpiryNotificationPalantirRequests',
        // The oldest first; the newest processed 35 and failed 5.
        counts.map((count) => ({
          ago: (36 - count) * hour,
          took: count * 1000,
          Processed_Count: count,
          Failed_Count: count === 35 ? 5 : 0,
          ...(count === 20 && { Status: 'Failed' as const, Error_Message: 'Stopped.' }),
        })),
      );
      const page = await open();
      const chart = card(page, 'ExpiryNotificationPalantirRequests').getByRole('img');
      const bars = await page.evaluate<Bar[]>(readBars);
      expect(bars).toHaveLength(30);
      const byPlace = bars.sort((one, other) => other.x - one.x);
      const [newest, second] = byPlace;
      if (!newest || !second) throw new Error('There are no bars');
      expect(newest.failed / newest.processed).toBeCloseTo(5 / 35, 1);
      expect(second.processed / newest.processed).toBeCloseTo(34 / 35, 1);
      expect(second.duration / newest.duration).toBeCloseTo(34 / 35, 1);
      expect(byPlace.findIndex(({ failedRun }) => failedRun)).toBe(15);

      const stored = await storedRuns('ExpiryNotificationPalantirRequests');
      await expect(chart.getAttribute('aria-label')).resolves.toBe(
        `Chart of the last 30 runs, from ${utc(stored[29]?.Started_At)} UTC to ${utc(stored[0]?.Started_At)} UTC: ` +
          '29 completed, 1 failed; 615 processed, at most 35 in a run; 5 failed, at most 5 in a run; ' +
          'the longest run took 35.0 s. The table of the latest runs has each.',
      );
      // The heading, 30 runs and the reason of one.
      await expect(table(page, 'ExpiryNotificationPalantirRequests')).resolves.toHaveLength(32);
    });

    test('a run started from the page, by keyboard, is told and ends in the list', async () => {
      const job = 'RevokeExpiredDatabricksRequests';
      const page = await open();
      await page.getByRole('button', { name: `Run ${job}` }).focus();
      await page.keyboard.press('Enter');
      const dialog = page.getByRole('dialog', { name: `Run ${job}?` });
      await expect(dialog.innerText()).resolves.toContain('Every Databricks grant');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await result(page, job).getByText('Completed: ').waitFor();
      await card(page, job).locator('details td').first().waitFor({ state: 'attached' });

      const stored = await storedRuns(job);
      expect(stored).toHaveLength(1);
      expect(stored[0]).toMatchObject({ Status: 'Completed' });
      const processed = stored[0]?.Processed_Count as number;
      expect(processed).toBeGreaterThan(0);
      await expect(result(page, job).innerText()).resolves.toContain(`${processed} processed in`);
      const [, listed] = await table(page, job);
      expect(listed?.slice(0, 3)).toEqual([utc(stored[0]?.Started_At), 'Completed', String(processed)]);
      // Who works by keyboard stays where they were.
      await expect(page.evaluate('document.activeElement.ariaLabel')).resolves.toBe(`Run ${job}`);
    });

    test('a run that is not confirmed does not happen', async () => {
      const job = 'RevokeExpiredPalantirRequests';
      const page = await open();
      const run = page.getByRole('button', { name: `Run ${job}` });
      await run.click();
      await page.keyboard.press('Escape');
      await run.click();
      await page.getByRole('button', { name: 'Cancel' }).click();
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
      expect(requests.filter(({ method }) => method === 'POST')).toEqual([]);
      await expect(storedRuns(job)).resolves.toEqual([]);
    });

    test('a held lock shows who holds it, before and after a run is tried', async () => {
      const job = 'ExpiryNotificationDatabricksRequests';
      const page = await open();
      await addRuns(job, [{ ago: 2 * minute, Status: 'InProgress', Started_By: 'machine-9' }]);
      const [held] = await storedRuns(job);
      await press(page, 'Run', job);
      const since = (held?.Started_At as Date).toISOString();
      await result(page, job).getByText(`is being run by machine-9 since ${since}`).waitFor();
      await card(page, job)
        .getByText(`Running since ${utc(held?.Started_At)} UTC, by machine-9`)
        .waitFor();
      await expect(storedRuns(job)).resolves.toHaveLength(1);

      await page.reload();
      await expect(card(page, job).locator('.state').innerText()).resolves.toContain('by machine-9');
    });

    test('grant holders are named in a preview and nowhere else, and a preview writes nothing', async () => {
      const job = 'ExpiryNotificationPalantirRequests';
      const holders = await query(
        'SELECT DISTINCT RequesterName AS Name, RequesterEmail AS Email FROM dbo.AccessGrant_Palantir;',
      );
      const page = await open();
      const html = await page.content();
      for (const { Name, Email } of holders) {
        expect(html).not.toContain(Name);
        if (typeof Email === 'string' && Email.includes('@')) expect(html).not.toContain(Email);
      }

      await press(page, 'Preview', job);
      await result(page, job)
        .getByText(/^A run now would handle \d+ grants/)
        .waitFor();
      const answer = await fetch(`${app.url}/api/jobs/${job}/runs?dryRun=true`, { method: 'POST' });
      const preview = (await answer.json()) as { count: number; grants: Record<string, string>[] };
      await expect(result(page, job).innerText()).resolves.toContain(`${preview.count} grants`);
      const shown = await cells(card(page, job).locator('.preview tbody tr'));
      expect(shown.map((row) => row.slice(0, 3))).toEqual(
        preview.grants.map(({ requestNumber, requesterName, resource }) => [
          requestNumber,
          requesterName,
          resource,
        ]),
      );
      expect(shown.length).toBeGreaterThan(0);
      await expect(storedRuns(job)).resolves.toEqual([]);
      expect(standIns.email.messages).toHaveLength(0);
    });

    test('without JavaScript everything is read, and no button is offered', async () => {
      await addRuns('RevokeExpiredPalantirRequests', [{ ago: hour, took: 500, Processed_Count: 3 }]);
      const page = await open({ javaScriptEnabled: false });
      const shown = card(page, 'RevokeExpiredPalantirRequests');
      await expect(shown.innerText()).resolves.toContain('Completed: 3 processed in 0.50 s');
      await shown.getByText('Latest runs', { exact: true }).click();
      await expect(shown.getByRole('table').innerText()).resolves.toContain('machine-1');
      await expect(page.getByRole('button').count()).resolves.toBe(0);
      await expect(page.getByText('can be read without JavaScript').isVisible()).resolves.toBe(true);
    });

    test('nothing is asked of another origin, and the key goes on as a header only', async () => {
      const job = 'RevokeExpiredPalantirRequests';
      const page = await open();
      await press(page, 'Preview', job);
      await result(page, job).getByText('A run now').waitFor();
      await press(page, 'Run', job);
      await result(page, job).getByText('Completed').waitFor();
      await card(page, job).locator('details td').first().waitFor({ state: 'attached' });
      expect(new Set(requests.map(({ url }) => url.origin))).toEqual(new Set([app.url]));
      const [opening, ...later] = requests;
      expect(opening?.url.search).toBe('?code=the-key');
      expect(
        later.map(({ method, url, headers }) => [
          `${method} ${url.pathname}${url.search}`,
          headers['x-functions-key'],
        ]),
      ).toEqual([
        [`POST /api/jobs/${job}/runs?dryRun=true`, 'the-key'],
        [`POST /api/jobs/${job}/runs`, 'the-key'],
        ['GET /api/status', 'the-key'],
      ]);
      expect(complaints).toEqual([]);
    });

    test('markup in the database is shown as text', async () => {
      const markup = `<img src="x" onerror="document.title='broken'"> & "it's"`;
      await addRuns('RevokeExpiredDatabricksRequests', [
        { ago: hour, took: 500, Status: 'Failed', Error_Message: markup, Started_By: '<b>machine</b>' },
      ]);
      const page = await open();
      const text = await card(page, 'RevokeExpiredDatabricksRequests').locator('dd').first().innerText();
      expect(text).toContain(markup);
      expect(text).toContain('by <b>machine</b>');
      await expect(page.locator('main img, main b').count()).resolves.toBe(0);
      expect(complaints).toEqual([]);
    });

    test.each([
      ['a lost answer', undefined, 'The run may be going on'],
      ['a refused key', { status: 401, body: '' }, 'The function key is missing or wrong'],
      ['an answer from a gateway', { status: 502, body: '<html>' }, 'HTTP 502'],
      [
        'a failed run',
        {
          status: 500,
          contentType: 'application/problem+json',
          body: '{"title":"The job failed","detail":"Safety stop"}',
        },
        'The job failed. Safety stop',
      ],
    ])('%s is told in the page', async (_, answer, text) => {
      const job = 'RevokeExpiredDatabricksRequests';
      const page = await open();
      await page.route('**/runs', (route) => (answer ? route.fulfill(answer) : route.abort()));
      await press(page, 'Run', job);
      await result(page, job).getByText(text).waitFor();
    });

    test.each(['light', 'dark'] as const)(
      'text has a contrast of at least 4.5 to 1, and nothing is wider than a phone (%s)',
      async (colorScheme) => {
        await addRuns('RevokeExpiredDatabricksRequests', [
          { ago: hour, took: 500, Status: 'Failed', Error_Message: 'x'.repeat(500) },
        ]);
        await addRuns('ExpiryNotificationDatabricksRequests', [
          { ago: 2 * hour, took: 500, Processed_Count: 3, Failed_Count: 1 },
          { ago: minute, Status: 'InProgress', Started_By: 'y'.repeat(100) },
        ]);
        const page = await open({ colorScheme, viewport: { width: 320, height: 640 } });
        for (const summary of await page.locator('summary').all()) await summary.click();
        await press(page, 'Preview', 'RevokeExpiredDatabricksRequests');
        await result(page, 'RevokeExpiredDatabricksRequests').getByText('A run now').waitFor();
        await expect(page.evaluate('document.documentElement.scrollWidth')).resolves.toBe(320);
        const contrasts = await page.evaluate<[string, number][]>(measureContrasts);
        expect(contrasts.length).toBeGreaterThan(50);
        expect(contrasts.filter(([, contrast]) => contrast < 4.5)).toEqual([]);
      },
    );

    test('an app without settings answers with a page that names them', async () => {
      const unset = await startApp({ ...standIns.environment, SQL_SERVER: '' });
      try {
        const page = await (await browser.newContext()).newPage();
        pages.push(page);
        const response = await page.goto(`${unset.url}/api/status`);
        expect(response?.status()).toBe(500);
        const text = await page.getByRole('main').innerText();
        expect(text).toContain('The app is not configured');
        expect(text).toContain('SQL_SERVER: missing');
      } finally {
        await unset.stop();
      }
    });
  },
);

interface Bar {
  readonly x: number;
  /** Heights. */
  readonly processed: number;
  readonly failed: number;
  readonly duration: number;
  readonly failedRun: boolean;
}

/** In a page with one chart: what it draws of each run. */
const readBars = String.raw`[...document.querySelectorAll('svg g')].map((run) => {
  const read = (kind, name) => Number(run.querySelector('rect.' + kind)?.getAttribute(name) ?? 0);
  return {
    x: read('processed', 'x'),
    processed: read('processed', 'height'),
    failed: read('failed', 'height'),
    duration: read('duration', 'height'),
    failedRun: run.querySelector('.slot.Failed') !== null,
  };
})`;

/** In the page: the text of each visible element that has some, with its contrast (WCAG 2.2, 1.4.3). */
const measureContrasts = String.raw`(() => {
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map((value) => value / 255).map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] !== 0) return color;
    }
    throw new Error('There is no background');
  };
  return [...document.querySelectorAll('body *')]
    .filter((element) => element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((element) => {
      const [one, other] = [parse(getComputedStyle(element).color), background(element)].map(luminance).sort((a, b) => b - a);
      return [element.textContent.slice(0, 40), (one + 0.05) / (other + 0.05)];
    });
})()`;

test('a run in progress for more than ten minutes is said to have died most likely', () => {
  const readAt = new Date('2026-12-01T08:11:00Z');
  const render = (startedAt: Date): string => {
    const [job] = jobs;
    if (!job) throw new Error('There is no job');
    const activeRun: JobRun = {
      jobId: randomUUID(),
      jobType: job.type,
      status: 'InProgress',
      startedAt,
      startedBy: 'machine-1',
      completedAt: null,
      processedCount: null,
      failedCount: null,
      errorMessage: null,
    };
    const state = {
      job,
      state: 'Running' as const,
      stateReason: '',
      schedule: '0 0 * * * *',
      nextRunAt: null,
      activeRun,
      lastRun: null,
      runs: [activeRun],
    };
    const database = {
      server: 'localhost',
      port: 1433,
      name: 'access',
      login: { kind: 'identity' },
      trustServerCertificate: false,
    } as const;
    return renderStatusPage({ states: [state], settings: { database, revocationCeiling: 1 }, readAt }).html;
  };
  // By the boundaries of minutes, as the lock counts.
  expect(render(new Date('2026-12-01T08:00:59Z'))).toContain('has most likely died');
  expect(render(new Date('2026-12-01T08:01:00Z'))).not.toContain('has most likely died');
});
