/**
 * The status page in a real Chromium, served by the built app on the stand-ins. CHROMIUM names the browser's
 * executable where it is not /usr/bin/chromium.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core';
import { startHostProcess, type HostProcess } from '../../local/functionsHost/process';
import { insertRows, type TableColumns } from '../../local/insertRows';
import { createSampleDatabase, openSession } from '../../local/sampleDatabase';
import { startStandIns, type StandIns } from '../../local/standIns';
import type { Row, Session } from '../../src/database/session';
import type { JobRun, JobType } from '../../src/jobRun/jobRun';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const hasChromium = existsSync(executablePath);
const describeInChromium = hasChromium ? describe : describe.skip;
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

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
  readonly Job_Id?: string;
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

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
/** Within the time that a run of any schedule may be late, so that the job is not overdue. */
const lately = 5 * minute;

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
      app = await startApp();
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
      standIns.sql.clearFaults();
      await query('DELETE FROM dbo.JobRun; DELETE FROM dbo.RevokedAccess_Databricks;');
      requests = [];
      complaints = [];
    });
    afterEach(async () => {
      await Promise.all(pages.splice(0).map((page) => page.context().close()));
    });

    const startApp = (settings: Readonly<Record<string, string>> = {}): Promise<HostProcess> =>
      startHostProcess({
        appDirectory: join(__dirname, '../..'),
        port: 0,
        timers: false,
        settings: { ...standIns.environment, ...settings },
      });
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

    /** @param address what follows the function key, for example "&job=…" */
    async function open(
      options: BrowserContextOptions = {},
      address = '',
      { url = app.url, fakeClock = false } = {},
    ): Promise<Page> {
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
      if (fakeClock) await page.clock.install();
      await page.goto(`${url}/api/status?code=the-key${address}`);
      return page;
    }

    const card = (page: Page, job: JobType): Locator =>
      page.getByRole('article').filter({ has: page.getByText(job, { exact: true }) });
    const result = (page: Page, job: JobType): Locator => card(page, job).getByRole('status');
    const state = (page: Page, job: JobType): Locator => page.locator(`#state-${job}`);
    const panel = (page: Page): Locator => page.locator('#panel');
    async function press(page: Page, action: 'Run' | 'Cancel', job: JobType): Promise<void> {
      await page.getByRole('button', { name: `${action} ${job}` }).click();
      await page.getByRole('dialog').locator('#dialog-confirm').click();
    }
    async function preview(page: Page, job: JobType): Promise<void> {
      await page.getByRole('link', { name: `Preview ${job}` }).click();
      await panel(page).getByText('A run now would').waitFor();
    }
    /** The cells' text, a list for each row. */
    const cells = async (rows: Locator): Promise<string[][]> =>
      Promise.all(
        (await rows.all()).map(async (row) =>
          (await row.locator('th, td').allTextContents()).map((text) => text.trim()),
        ),
      );
    const utc = (date: unknown): string => (date as Date).toISOString().slice(0, 19).replace('T', ' ');
    /** Lets time pass in a page whose clock is a fake one, and waits until it has read what it then asks for. */
    async function pass(page: Page, ms: number): Promise<void> {
      const answered = page.waitForResponse((response) => response.request().method() === 'GET');
      await page.clock.runFor(ms);
      await (await answered).finished();
      // The page brings it in after the answer has been read.
      await page.clock.runFor(1);
    }

    describe('tells the truth', () => {
      test('state, last run and history of each job are what the database says', async () => {
        await addRuns('RevokeExpiredDatabricksRequests', [
          { ago: 2 * hour, took: 1500, Processed_Count: 12 },
          { ago: lately, took: 65_000, Processed_Count: 1234, Started_By: 'machine-2' },
        ]);
        await addRuns('RevokeExpiredPalantirRequests', [
          { ago: lately, took: 500, Status: 'Failed', Error_Message: 'Safety stop: 4,000 grants are due.' },
        ]);
        await addRuns('ExpiryNotificationDatabricksRequests', [
          { ago: hour, took: 4000, Processed_Count: 30, Failed_Count: 2 },
          { ago: minute, Status: 'InProgress', Started_By: 'machine-3', Processed_Count: 7 },
        ]);
        const page = await open();

        const revocation = card(page, 'RevokeExpiredDatabricksRequests');
        const [newest, earlier] = await storedRuns('RevokeExpiredDatabricksRequests');
        await expect(revocation.locator('.state').innerText()).resolves.toBe('Healthy');
        await expect(revocation.locator('dd').first().innerText()).resolves.toBe(
          `${utc(newest?.Started_At)} UTC, 5 min ago, on machine-2\nCompleted: 1,234 revoked in 1 min 5 s`,
        );
        await page.getByRole('link', { name: 'All runs of RevokeExpiredDatabricksRequests' }).click();
        await panel(page).waitFor();
        await expect(cells(panel(page).locator('tr'))).resolves.toEqual([
          ['Started', 'Outcome', 'Revoked', 'Took', 'Than before', 'Host'],
          [
            `${utc(newest?.Started_At)} UTC`,
            'Completed',
            '1,234',
            '1 min 5 s',
            '1,222 more revoked, 43 times as long',
            'machine-2',
          ],
          [`${utc(earlier?.Started_At)} UTC`, 'Completed', '12', '1.5 s', '', 'machine-1'],
        ]);

        const failed = card(page, 'RevokeExpiredPalantirRequests');
        await expect(failed.locator('.state').innerText()).resolves.toBe('Failed');
        await expect(failed.locator('.reason').innerText()).resolves.toContain(
          'failed: Safety stop: 4,000 grants are due.',
        );
        await expect(page.title()).resolves.toBe('1 failed: Access Expiry Jobs');

        const [active, ended] = await storedRuns('ExpiryNotificationDatabricksRequests');
        const notification = card(page, 'ExpiryNotificationDatabricksRequests');
        await expect(notification.locator('.state').innerText()).resolves.toBe('Running');
        await expect(notification.locator('.reason').textContent()).resolves.toContain(
          `Since ${utc(active?.Started_At)} UTC on machine-3`,
        );
        await page.getByRole('link', { name: 'All runs of ExpiryNotificationDatabricksRequests' }).click();
        await panel(page).getByText('Send Databricks expiry reminders: runs').waitFor();
        await expect(notification.locator('dd').first().innerText()).resolves.toContain(
          '30 sent, 2 failed in 4.0 s',
        );
        const rows = await cells(panel(page).locator('tr'));
        expect(rows[1]?.slice(0, 4)).toEqual([`${utc(active?.Started_At)} UTC`, 'Running', '7', '–']);
        expect(rows[2]?.slice(0, 5)).toEqual([
          `${utc(ended?.Started_At)} UTC`,
          'Completed, with failures',
          '30',
          '2',
          '4.0 s',
        ]);

        const never = card(page, 'ExpiryNotificationPalantirRequests');
        await expect(never.locator('dd').first().textContent()).resolves.toBe('none yet');
      });

      test('every state is shown with its reason, and counted in the summary and the title', async () => {
        await addRuns('RevokeExpiredDatabricksRequests', [{ ago: 3 * day, took: 500, Processed_Count: 3 }]);
        await addRuns('RevokeExpiredPalantirRequests', [
          { ago: lately, took: 500, Status: 'Failed', Error_Message: 'Broken.' },
        ]);
        await addRuns('ExpiryNotificationDatabricksRequests', [
          {
            ago: lately,
            took: 4000,
            Processed_Count: 3,
            Failed_Count: 412,
            Error_Message: 'Failed: 412 rejected by the email service, code EmailDropped (1, 2, 3, 4, 5, …).',
          },
        ]);
        const page = await open();
        const shown = async (job: JobType): Promise<[string, string]> => [
          await state(page, job).innerText(),
          await card(page, job).locator('.reason').innerText(),
        ];
        const overdue = await shown('RevokeExpiredDatabricksRequests');
        expect(overdue[0]).toBe('Overdue');
        expect(overdue[1]).toMatch(/^A run was due at .* UTC; the last one was 3 days ago\./);
        await expect(shown('RevokeExpiredPalantirRequests')).resolves.toEqual([
          'Failed',
          'The last run, 5 min ago, failed: Broken.',
        ]);
        const attention = await shown('ExpiryNotificationDatabricksRequests');
        expect(attention[0]).toBe('Needs attention');
        expect(attention[1]).toMatch(/^412 of 415 grants failed in the last run, 5 min ago\./);
        const never = await shown('ExpiryNotificationPalantirRequests');
        expect(never[0]).toBe('Never run');
        expect(never[1]).toMatch(/^No run is recorded yet\. The first is due at .* UTC\./);
        await expect(page.locator('#summary span').allInnerTexts()).resolves.toEqual([
          '1 overdue',
          '1 failed',
          '1 needs attention',
          '1 never run',
        ]);
        await expect(page.title()).resolves.toBe(
          '1 overdue, 1 failed, 1 needs attention: Access Expiry Jobs',
        );
      });

      test('a timer that is switched off is paused; app, version and commit are in the header', async () => {
        const paused = await startApp({
          'AzureWebJobs.RevokeExpiredPalantirRequests.Disabled': 'true',
          WEBSITE_SITE_NAME: 'func-access-prod',
        });
        try {
          const page = await open({}, '', { url: paused.url });
          await expect(state(page, 'RevokeExpiredPalantirRequests').innerText()).resolves.toBe('Paused');
          await expect(card(page, 'RevokeExpiredPalantirRequests').innerText()).resolves.toContain(
            'AzureWebJobs.RevokeExpiredPalantirRequests.Disabled',
          );
          const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
          const header = await page.getByRole('banner').innerText();
          expect(header).toContain('func-access-prod');
          expect(header).toMatch(new RegExp(`v${version.replaceAll('.', '\\.')} \\([0-9a-f]{7}\\)`));
        } finally {
          await paused.stop();
        }
      });

      test('a run in progress whose lock is stale has most likely died: Run and Cancel are offered', async () => {
        const job = 'RevokeExpiredDatabricksRequests';
        await addRuns(job, [{ ago: 12 * minute, Status: 'InProgress' }]);
        const page = await open();
        await expect(state(page, job).innerText()).resolves.toBe('Overdue');
        await expect(card(page, job).locator('.reason').innerText()).resolves.toContain(
          'has most likely died',
        );
        const buttons = card(page, job).getByRole('button');
        await expect(buttons.allInnerTexts()).resolves.toEqual(['Run', 'Cancel']);
      });

      test('on a phone the worst job comes first', async () => {
        await addRuns('RevokeExpiredDatabricksRequests', [{ ago: lately, took: 500, Processed_Count: 3 }]);
        await addRuns('ExpiryNotificationPalantirRequests', [
          { ago: lately, took: 500, Status: 'Failed', Error_Message: 'Broken.' },
        ]);
        const page = await open({ viewport: { width: 390, height: 844 } });
        const top = async (job: JobType): Promise<number> => (await card(page, job).boundingBox())?.y ?? NaN;
        expect(await top('ExpiryNotificationPalantirRequests')).toBeLessThan(
          await top('RevokeExpiredDatabricksRequests'),
        );
      });

      test('schedule and next run are those of GET /api/jobs, the schedule also in words', async () => {
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
        const texts = await page.locator('dl').allInnerTexts();
        expect(texts[1]).toContain('hourly at :15 0 15 * * * *');
        expect(texts[2]).toContain('hourly from 06:30 to 18:30 UTC');
      });

      test('times are said in the reader’s zone too, with the day where it is another one', async () => {
        await addRuns('RevokeExpiredDatabricksRequests', [{ ago: lately, took: 500, Processed_Count: 3 }]);
        const [run] = await storedRuns('RevokeExpiredDatabricksRequests');
        const page = await open({ timezoneId: 'Asia/Tokyo' });
        const shown = await card(page, 'RevokeExpiredDatabricksRequests')
          .locator('dd time')
          .first()
          .innerText();
        const local = new Date((run?.Started_At as Date).getTime() + 9 * hour);
        const otherDay = local.getUTCDate() !== (run?.Started_At as Date).getUTCDate();
        expect(shown).toContain(`${utc(run?.Started_At)} UTC (`);
        expect(shown).toContain(`${local.toISOString().slice(11, 19)} GMT+9)`);
        expect(/\(\d+ \w+, /.test(shown)).toBe(otherDay);
      });

      test('settings that are wrong are named, while the jobs that do not need them are shown', async () => {
        const wrong = await startApp({ REVOCATION_CEILING: 'many' });
        try {
          const page = await open({}, '', { url: wrong.url });
          await expect(page.locator('#setting-problems').innerText()).resolves.toMatch(
            /REVOCATION_CEILING: /,
          );
          await expect(page.getByRole('article').count()).resolves.toBe(4);
        } finally {
          await wrong.stop();
        }
      });

      test('an app without settings answers with a page that names them', async () => {
        const unset = await startApp({ SQL_SERVER: '' });
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
    });

    describe('its chart', () => {
      const job = 'ExpiryNotificationPalantirRequests';

      test('draws the newest 30 runs where they lie in time, so that a gap shows, and says so in words', async () => {
        // 35 hourly runs, with a day's gap before the newest ten.
        await addRuns(
          job,
          Array.from({ length: 35 }, (_, index) => ({
            ago: (35 - index) * hour - 55 * minute + (index < 25 ? day : 0),
            took: 1000,
            Processed_Count: index + 1,
            Failed_Count: index === 34 ? 5 : 0,
            ...(index === 20 && { Status: 'Failed' as const, Error_Message: 'Stopped.' }),
          })),
        );
        const page = await open();
        const bars = await page.evaluate<Bar[]>(readBars);
        expect(bars).toHaveLength(30);
        // The oldest first: from left to right.
        const steps = bars.slice(1).map(({ x }, index) => x - (bars[index]?.x ?? 0));
        const [step = 0] = steps;
        expect(step).toBeGreaterThan(0);
        for (const [index, width] of steps.entries())
          expect(width / step).toBeCloseTo(index === 19 ? 25 : 1, 0);
        expect(bars.findIndex(({ outcome }) => outcome === 'failed')).toBe(15);
        expect(bars.map(({ outcome }) => outcome).lastIndexOf('attention')).toBe(29);
        expect(bars[29]?.failed).toBeGreaterThan(0);
        // Colour is not all that tells outcomes apart.
        expect(new Set(bars.map(({ shape }) => shape)).size).toBe(3);

        const stored = await storedRuns(job);
        await expect(
          card(page, job)
            .getByRole('group', { name: /^Chart/ })
            .getAttribute('aria-label'),
        ).resolves.toBe(
          `Chart of the last 30 runs, from ${utc(stored[29]?.Started_At)} UTC to ${utc(stored[0]?.Started_At)} UTC: ` +
            '1 failed; 615 sent, at most 35 in a run; 5 failed to be sent.',
        );
      });

      test('has a scale on which 1, 5 and 640 differ', async () => {
        await addRuns(
          job,
          [0, 1, 5, 640].map((count, index) => ({
            ago: (4 - index) * minute,
            took: 500,
            Processed_Count: count,
            Failed_Count: 0,
          })),
        );
        const page = await open();
        const heights = (await page.evaluate<Bar[]>(readBars)).map(({ processed }) => processed);
        expect(heights[0]).toBe(0);
        for (const index of [1, 2, 3])
          expect((heights[index] ?? 0) - (heights[index - 1] ?? 0)).toBeGreaterThan(3);
        await expect(card(page, job).locator('text.scale').allTextContents()).resolves.toEqual([
          '10',
          '100',
          '1,000',
        ]);
      });

      test('is one stop of the Tab key; arrows lead to each bar, and a bar to its run', async () => {
        await addRuns(
          job,
          [1, 2, 3].map((count) => ({
            ago: count * minute,
            took: 500,
            Processed_Count: count,
            Failed_Count: 0,
          })),
        );
        const [newest, second] = await storedRuns(job);
        const page = await open();
        const reachable = card(page, job).locator('[data-roving] a[tabindex="0"]');
        await expect(reachable.count()).resolves.toBe(1);
        await reachable.focus();
        await expect(page.evaluate('document.activeElement.id')).resolves.toBe(
          `bar-${String(newest?.Job_Id).slice(0, 8)}`,
        );
        await page.keyboard.press('ArrowLeft');
        await expect(page.evaluate('document.activeElement.id')).resolves.toBe(
          `bar-${String(second?.Job_Id).slice(0, 8)}`,
        );
        await page.keyboard.press('Enter');
        await panel(page)
          .getByText(`run of ${utc(second?.Started_At)} UTC`)
          .waitFor();
        expect(new URL(page.url()).searchParams.get('run')).toBe(second?.Job_Id);
      });
    });

    describe('is live', () => {
      const job = 'RevokeExpiredDatabricksRequests';

      test('it refreshes every 10 s in place: rows, focus and an open panel stay, and what changed is announced', async () => {
        await addRuns(job, [{ ago: lately, took: 500, Processed_Count: 3 }]);
        await query(`UPDATE dbo.DataAccessDeltaRequests SET access_end_dt = access_end_dt WHERE id = 1;`);
        const page = await open({}, `&job=${job}`, { fakeClock: true });
        await panel(page).locator('tbody tr').first().waitFor();
        await page.evaluate(`
          window.row = document.querySelector('#panel tbody tr');
          window.card = document.querySelector('#job-${job}');
          document.querySelector('#history-${job}').focus();`);
        await addRuns(job, [
          {
            ago: minute,
            took: 500,
            Status: 'Failed',
            Error_Message: 'Broken <b>now</b>.',
            Processed_Count: 0,
          },
        ]);
        await pass(page, 10_000);
        await state(page, job).getByText('Failed').waitFor();
        await expect(cells(panel(page).locator('tbody tr:not(.message)'))).resolves.toHaveLength(2);
        await expect(page.evaluate('window.row.isConnected && window.card.isConnected')).resolves.toBe(true);
        await expect(page.evaluate('document.activeElement.id')).resolves.toBe(`history-${job}`);
        await expect(page.locator('#announcer').innerText()).resolves.toBe(
          'Revoke expired Databricks access: Failed.',
        );
        await expect(page.title()).resolves.toBe('1 failed: Access Expiry Jobs');
      });

      test('a preview with an open detail stays as it was read, and is not read again by itself', async () => {
        const page = await open({}, '', { fakeClock: true });
        await preview(page, job);
        const before = await panel(page).innerHTML();
        standIns.sql.clearStatements();
        await addRuns(job, [{ ago: minute, took: 500, Status: 'Failed', Error_Message: 'Broken.' }]);
        await pass(page, 10_000);
        await state(page, job).getByText('Failed').waitFor();
        await expect(panel(page).innerHTML()).resolves.toBe(before);
        expect(standIns.sql.statements.filter(({ text }) => text.includes('AccessGrant_'))).toEqual([]);
      });

      test('it says how old what it shows is, can be paused, and rests while nobody sees it', async () => {
        const page = await open({}, '', { fakeClock: true });
        await page.clock.runFor(5000);
        await expect(page.locator('#age').innerText()).resolves.toBe('Updated 5 s ago');
        await page.getByRole('button', { name: 'Pause' }).click();
        const asked = requests.length;
        await page.clock.runFor(60_000);
        await expect(page.locator('#age').innerText()).resolves.toBe('Paused; read 1 min ago');
        expect(requests).toHaveLength(asked);
        const resumed = page.waitForResponse(/status/);
        await page.getByRole('button', { name: 'Resume' }).click();
        await (await resumed).finished();

        await page.evaluate(`Object.defineProperty(document, 'hidden', { value: true, configurable: true });
          document.dispatchEvent(new Event('visibilitychange'));`);
        const hidden = requests.length;
        await page.clock.runFor(60_000);
        expect(requests).toHaveLength(hidden);
        const seen = page.waitForResponse(/status/);
        await page.evaluate(`Object.defineProperty(document, 'hidden', { value: false });
          document.dispatchEvent(new Event('visibilitychange'));`);
        await seen;
      });

      test('while the database is away it keeps what it showed and says so, and goes on when it is back', async () => {
        await addRuns(job, [{ ago: lately, took: 500, Processed_Count: 77 }]);
        const page = await open({}, '', { fakeClock: true });
        standIns.sql.order({ kind: 'refuseLogin', times: 1 });
        await pass(page, 10_000);
        await page.locator('#age.stale').waitFor();
        await expect(page.locator('#age').innerText()).resolves.toMatch(
          /^Not refreshed: The database is not available\. .* What is shown was read 10 s ago\.$/s,
        );
        await expect(page.locator('#announcer').innerText()).resolves.toMatch(
          /^This page could not be refreshed/,
        );
        await expect(card(page, job).innerText()).resolves.toContain('77 revoked');
        await pass(page, 10_000);
        await page.locator('#age:not(.stale)').waitFor();
        await expect(page.locator('#announcer').innerText()).resolves.toBe('Refreshed again.');
      });

      test('a run in progress says how far it is, by a count that many readers share', async () => {
        const running = 'ExpiryNotificationDatabricksRequests';
        await addRuns(running, [{ ago: minute, Status: 'InProgress', Processed_Count: 37 }]);
        const answer = await fetch(`${app.url}/api/jobs/${running}/runs?dryRun=true`, { method: 'POST' });
        const { count } = (await answer.json()) as { count: number };
        standIns.sql.clearStatements();
        const page = await open({}, '', { fakeClock: true });
        await expect(card(page, running).locator('.progress').innerText()).resolves.toMatch(
          new RegExp(`^\\s*37 of ${37 + count} sent, 1 min \\d+ s so far$`),
        );
        // Every 2 s while something runs.
        await query(`UPDATE dbo.JobRun SET Processed_Count = 40 WHERE Status = 'InProgress';`);
        await pass(page, 2000);
        await card(page, running)
          .getByText(`40 of ${37 + count} sent`)
          .waitFor();
        await Promise.all([open(), open()]);
        const counts = standIns.sql.statements.filter(({ text }) =>
          text.startsWith('SELECT COUNT(*) AS Due'),
        );
        expect(counts).toHaveLength(1);
      });
    });

    describe('acts', () => {
      test('a run started from the page, by keyboard, shows at once, and ends in the list', async () => {
        const job = 'RevokeExpiredDatabricksRequests';
        standIns.sql.order({ kind: 'delay', match: /INSERT INTO #Due/, delayMs: 3000 });
        const page = await open();
        await page.getByRole('button', { name: `Run ${job}` }).focus();
        await page.keyboard.press('Enter');
        const dialog = page.getByRole('dialog', { name: `Run ${job}?` });
        await expect(dialog.innerText()).resolves.toContain('Every Databricks grant');
        await page.keyboard.press('Tab');
        await page.keyboard.press('Enter');
        // At once, before the server has answered; then by what the server says, with Cancel instead of Run.
        await state(page, job).getByText('Starting …').waitFor();
        await page.getByRole('button', { name: `Cancel ${job}` }).waitFor();
        await expect(state(page, job).innerText()).resolves.toBe('Running');
        await expect(page.getByRole('button', { name: `Run ${job}` }).count()).resolves.toBe(0);
        await result(page, job).getByText('Completed: ').waitFor();
        await page.getByRole('button', { name: `Run ${job}` }).waitFor();

        const stored = await storedRuns(job);
        expect(stored).toHaveLength(1);
        expect(stored[0]).toMatchObject({ Status: 'Completed' });
        const processed = stored[0]?.Processed_Count as number;
        expect(processed).toBeGreaterThan(0);
        await expect(result(page, job).innerText()).resolves.toContain(`${processed} revoked in`);
        await expect(card(page, job).locator('dd').first().innerText()).resolves.toContain(
          `Completed: ${processed} revoked`,
        );
        // Who works by keyboard stays where they were.
        await expect(page.evaluate('document.activeElement.ariaLabel')).resolves.toBe(`Run ${job}`);
      });

      test('a run can be cancelled from the page that started it', async () => {
        const job = 'RevokeExpiredPalantirRequests';
        standIns.sql.order({ kind: 'delay', match: /INSERT INTO #Due/, delayMs: 4000 });
        const page = await open();
        await press(page, 'Run', job);
        const cancel = page.getByRole('button', { name: `Cancel ${job}` });
        await cancel.waitFor();
        await press(page, 'Cancel', job);
        await card(page, job)
          .getByText(/^The last run, less than a minute ago, failed: Cancelled/)
          .waitFor();
        await page.getByRole('button', { name: `Run ${job}` }).waitFor();
        await expect(storedRuns(job)).resolves.toMatchObject([{ Status: 'Failed', Processed_Count: 0 }]);
        // The run itself notices, and the page says so.
        await result(page, job).getByText('The job failed. Cancelled by').waitFor();
      });

      test('a run that is not confirmed does not happen', async () => {
        const job = 'RevokeExpiredPalantirRequests';
        const page = await open();
        const run = page.getByRole('button', { name: `Run ${job}` });
        await run.click();
        await page.keyboard.press('Escape');
        await run.click();
        await page.getByRole('button', { name: 'Go back' }).click();
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
        await result(page, job)
          .getByText(/is being run by machine-9 since/)
          .waitFor();
        await card(page, job)
          .getByText(`Since ${utc(held?.Started_At)} UTC on machine-9`)
          .waitFor();
        await expect(storedRuns(job)).resolves.toHaveLength(1);

        await page.reload();
        await expect(card(page, job).locator('.reason').innerText()).resolves.toContain('machine-9');
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
      ])('%s is shown in the page', async (_, answer, text) => {
        const job = 'RevokeExpiredDatabricksRequests';
        const page = await open();
        await page.route('**/runs', (route) => (answer ? route.fulfill(answer) : route.abort()));
        await press(page, 'Run', job);
        await result(page, job).getByText(text).waitFor();
      });

      test('the safety stop has its way out: all are revoked once their number is typed, and the run says so', async () => {
        const job = 'RevokeExpiredDatabricksRequests';
        const stopping = await startApp({ REVOCATION_CEILING: '5' });
        try {
          const answer = await fetch(`${stopping.url}/api/jobs/${job}/runs?dryRun=true`, { method: 'POST' });
          const { count } = (await answer.json()) as { count: number };
          const page = await open({}, '', { url: stopping.url });
          await press(page, 'Run', job);
          await result(page, job).getByText('Safety stop').waitFor();
          await preview(page, job);
          await expect(panel(page).locator('.alert').innerText()).resolves.toContain(
            `The safety stop would revoke nothing: ${count} are due, more than the ceiling of 5`,
          );
          await panel(page)
            .getByRole('button', { name: `Revoke all ${count}…` })
            .click();
          const dialog = page.getByRole('dialog', { name: `Revoke all ${count} Databricks grants?` });
          const confirm = dialog.getByRole('button', { name: 'Revoke all' });
          await expect(confirm.isDisabled()).resolves.toBe(true);
          await dialog.getByLabel(`Type ${count} to confirm`).fill('4');
          await expect(confirm.isDisabled()).resolves.toBe(true);
          await dialog.getByLabel(`Type ${count} to confirm`).fill(String(count));
          await confirm.click();
          await panel(page).getByText(`Completed: ${count} revoked`).waitFor();
          await expect(panel(page).locator('.message').first().innerText()).resolves.toMatch(
            /Started by hand\. The ceiling was set aside\./,
          );
          const [run] = await storedRuns(job);
          expect(run).toMatchObject({ Status: 'Completed', Processed_Count: count });
          expect(new URL(page.url()).searchParams.get('run')).toBe(run?.Job_Id);
          await expect(cells(panel(page).locator('tbody tr'))).resolves.toHaveLength(count);
        } finally {
          await stopping.stop();
        }
      });
    });

    describe('goes down to the grant', () => {
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

        // A look needs no confirmation.
        await preview(page, job);
        const answer = await fetch(`${app.url}/api/jobs/${job}/runs?dryRun=true`, { method: 'POST' });
        const expected = (await answer.json()) as {
          count: number;
          failing: { count: number }[];
          grants: {
            requestNumber: string;
            requesterName: string;
            resource: string;
            leadDays: number;
            recipient: string | null;
          }[];
        };
        await expect(panel(page).locator('.outcome').innerText()).resolves.toBe(
          `A run now would handle ${expected.count} reminders.`,
        );
        const shown = await cells(panel(page).locator('.scroll tbody tr'));
        expect(shown.map((row) => row.slice(0, 3))).toEqual(
          expected.grants.map(({ requestNumber, requesterName, resource }) => [
            requestNumber,
            requesterName.trim(),
            resource,
          ]),
        );
        expect(shown.length).toBeGreaterThan(0);
        for (const [index, { leadDays, recipient }] of expected.grants.entries())
          expect(shown[index]?.slice(4)).toEqual([
            recipient ?? (expect.stringMatching(/^address (missing|malformed)$/) as string),
            leadDays === 1 ? '1 day' : `${leadDays} days`,
          ]);
        // What would fail is told apart, with what to do.
        const failing = expected.failing.reduce((sum, { count }) => sum + count, 0);
        expect(failing).toBeGreaterThan(0);
        const causes = await panel(page).locator('.causes li').allInnerTexts();
        expect(causes).toHaveLength(expected.failing.length);
        expect(causes.join()).toMatch(/address missing\n+Add an email address/);
        await expect(storedRuns(job)).resolves.toEqual([]);
        expect(standIns.email.messages).toHaveLength(0);
      });

      test('a preview shows how the ends are spread, and pages in either order', async () => {
        const job = 'RevokeExpiredDatabricksRequests';
        await query(
          `UPDATE dbo.DataAccessDeltaRequests SET access_end_dt = DATEADD(DAY, -400, GETUTCDATE()) WHERE id > 160 AND request_status = 'Approved';`,
        );
        const page = await open();
        await preview(page, job);
        const spread = await cells(panel(page).locator('.spread tr'));
        expect(spread.map(([label]) => label)).toEqual([
          'over 365 days ago',
          '30 days to 365 days ago',
          '7 days to 30 days ago',
          '1 day to 7 days ago',
          '1 h to 1 day ago',
          'in the last 1 h',
        ]);
        expect(Number(spread[0]?.[1])).toBeGreaterThan(100);
        await expect(panel(page).locator('.spread .long-ago').count()).resolves.toBe(2);

        const numbers = async (): Promise<string[]> =>
          (await cells(panel(page).locator('.scroll tbody tr'))).map(([number = '']) => number);
        const first = await numbers();
        expect(first).toHaveLength(100);
        await panel(page).getByRole('link', { name: 'Next grants' }).click();
        await panel(page).getByRole('link', { name: 'First grants' }).waitFor();
        const second = await numbers();
        expect(second.filter((number) => first.includes(number))).toEqual([]);
        await panel(page).getByRole('link', { name: 'Show the latest ends first' }).click();
        await panel(page).getByText('latest end first').waitFor();
        expect((await numbers())[0]).not.toBe(first[0]);
      });

      test('a run shows why grants failed, each cause with what to do, and what it left', async () => {
        const job = 'ExpiryNotificationDatabricksRequests';
        const Job_Id = randomUUID();
        await addRuns(job, [
          { ago: hour, took: 1000, Processed_Count: 80, Failed_Count: 0 },
          {
            Job_Id,
            ago: lately,
            took: 12_000,
            Processed_Count: 70,
            Failed_Count: 5,
            Error_Message:
              'Failed: 4 address missing (17, 21, 40, 41); 1 rejected by the email service, code EmailDropped (5). Started by hand by ada@example.com.',
          },
        ]);
        // As somebody does who sees the page for the first time.
        const page = await open();
        await card(page, job).locator('dd a').first().click();
        await panel(page).getByText('Completed, with failures: 70 sent, 5 failed').waitFor();
        await expect(panel(page).locator('.causes li').allInnerTexts()).resolves.toEqual([
          expect.stringMatching(
            /^4 grants: address missing\n+Add an email address .*\n+Requests: 17, 21, 40, 41$/,
          ) as string,
          expect.stringMatching(
            /^1 grant: rejected by the email service \(EmailDropped\)\n+.*\n+Requests: 5$/,
          ) as string,
        ]);
        const facts = await panel(page).locator('dl').innerText();
        expect(facts).toContain(Job_Id);
        expect(facts).toContain('This one: 10 fewer sent, 5 more failed, 12 times as long.');
        await expect(panel(page).locator('p.message').innerText()).resolves.toContain(
          'Started by hand by ada@example.com.',
        );
        await panel(page).getByRole('link', { name: 'see what the next run would do' }).click();
        await panel(page).getByText('A run now would').waitFor();
      });

      test('a run has the grants that it handled, 100 a page; closing it leads back to where it was opened', async () => {
        const job = 'RevokeExpiredDatabricksRequests';
        await query(
          `UPDATE dbo.DataAccessDeltaRequests SET request_status = 'Approved', access_end_dt = GETUTCDATE() WHERE id <= 130;`,
        );
        const page = await open();
        await press(page, 'Run', job);
        await result(page, job).getByText('Completed').waitFor();
        const bar = card(page, job).locator('[data-roving] a');
        const id = await bar.getAttribute('id');
        await bar.focus();
        await page.keyboard.press('Enter');
        await panel(page).getByRole('link', { name: 'Next rows' }).waitFor();
        await expect(page.evaluate('document.activeElement.id')).resolves.toBe('panel-title');
        const first = await cells(panel(page).locator('.scroll tbody tr'));
        expect(first).toHaveLength(100);
        await panel(page).getByRole('link', { name: 'Next rows' }).click();
        await panel(page).getByRole('link', { name: 'First rows' }).waitFor();
        const second = await cells(panel(page).locator('.scroll tbody tr'));
        const [stored] = await storedRuns(job);
        expect(first.length + Math.min(second.length, 100)).toBeLessThanOrEqual(
          stored?.Processed_Count as number,
        );
        expect(second[0]?.[0]).not.toBe(first[0]?.[0]);
        await page.goBack();
        await panel(page).getByRole('link', { name: 'First rows' }).waitFor({ state: 'detached' });
        await panel(page).getByRole('link', { name: 'Close' }).click();
        await panel(page).waitFor({ state: 'detached' });
        expect(id).toBe(`bar-${String(stored?.Job_Id).slice(0, 8)}`);
        expect(new URL(page.url()).searchParams.get('job')).toBeNull();
      });

      test('the history pages on beyond 30 runs, each compared with the one before it', async () => {
        const job = 'RevokeExpiredPalantirRequests';
        await addRuns(
          job,
          Array.from({ length: 65 }, (_, index) => ({
            ago: (65 - index) * hour - 55 * minute,
            took: 500,
            Processed_Count: index,
          })),
        );
        const page = await open({}, `&job=${job}`);
        const counts = async (): Promise<number[]> =>
          (await cells(panel(page).locator('tbody tr'))).map(([, , count]) => Number(count));
        const found = await counts();
        for (const first of [34, 4]) {
          await panel(page).getByRole('link', { name: 'Older runs' }).click();
          await panel(page)
            .getByRole('cell', { name: String(first), exact: true })
            .waitFor();
          found.push(...(await counts()));
        }
        expect(found).toEqual(Array.from({ length: 65 }, (_, index) => 64 - index));
        await expect(panel(page).getByRole('link', { name: 'Older runs' }).count()).resolves.toBe(0);
        const rows = await cells(panel(page).locator('tbody tr'));
        expect(rows.slice(-2).map((row) => row[4])).toEqual(['1 more revoked', '']);
      });

      test.each([
        ['&job=Nothing', 'There is no such page'],
        [`&run=${randomUUID()}`, 'There is no such page'],
        ['&run=x', 'expected the jobId of a run'],
        ['&job=RevokeExpiredDatabricksRequests&preview=soonest&after=99999999999', 'expected a whole number'],
        ['&jobs=RevokeExpiredDatabricksRequests', 'The parameter "jobs" is unknown'],
      ])('an address that names nothing (%s) is answered with a page that says so', async (address, text) => {
        const page = await open({}, address);
        await expect(page.getByRole('main').innerText()).resolves.toContain(text);
      });
    });

    describe('is safe and open to everybody', () => {
      test('without JavaScript everything is read, and no button is offered', async () => {
        const job = 'RevokeExpiredPalantirRequests';
        await addRuns(job, [{ ago: lately, took: 500, Processed_Count: 3 }]);
        const page = await open({ javaScriptEnabled: false });
        await expect(card(page, job).innerText()).resolves.toContain('Completed: 3 revoked in 0.5 s');
        await expect(page.getByRole('button').count()).resolves.toBe(0);
        await expect(page.getByText('can be read without JavaScript').isVisible()).resolves.toBe(true);
        await page.getByRole('link', { name: `All runs of ${job}` }).click();
        await expect(panel(page).getByRole('table').innerText()).resolves.toContain('machine-1');
        await panel(page).locator('tbody a').first().click();
        await expect(panel(page).innerText()).resolves.toContain('It has revoked nothing.');
        await page.getByRole('link', { name: `Preview ${job}` }).click();
        await expect(panel(page).innerText()).resolves.toContain('A run now would revoke');
        await expect(page.getByRole('button').count()).resolves.toBe(0);
      });

      test('nothing is asked of another origin, and the key goes on as a header only', async () => {
        const job = 'RevokeExpiredPalantirRequests';
        const page = await open();
        await preview(page, job);
        await press(page, 'Run', job);
        await result(page, job).getByText('Completed').waitFor();
        await card(page, job).getByText('The last run, less than a minute ago').waitFor();
        expect(new Set(requests.map(({ url }) => url.origin))).toEqual(new Set([app.url]));
        const [opening, ...later] = requests;
        expect(opening?.url.search).toBe('?code=the-key');
        expect(
          later
            .filter(({ url }) => url.protocol === 'http:')
            .map(({ method, url, headers }) => [
              `${method} ${url.pathname}${url.search}`,
              headers['x-functions-key'],
            ]),
        ).toEqual(
          expect.arrayContaining([
            [`GET /api/status?job=${job}&preview=soonest`, 'the-key'],
            [`POST /api/jobs/${job}/runs`, 'the-key'],
            [`GET /api/status?job=${job}&preview=soonest`, 'the-key'],
          ]) as unknown,
        );
        for (const { url, headers } of later) {
          expect(url.href).not.toContain('the-key');
          expect(headers['x-functions-key']).toBe('the-key');
        }
        expect(complaints).toEqual([]);
      });

      test('markup in the database is shown as text', async () => {
        const markup = `<img src="x" onerror="document.title='broken'"> & "it's"`;
        const job = 'RevokeExpiredDatabricksRequests';
        await addRuns(job, [
          { ago: lately, took: 500, Status: 'Failed', Error_Message: markup, Started_By: '<b>machine</b>' },
        ]);
        const page = await open({}, `&job=${job}`);
        expect(await card(page, job).locator('.reason').innerText()).toContain(markup);
        expect(await card(page, job).locator('dd').first().innerText()).toContain('on <b>machine</b>');
        expect(await panel(page).innerText()).toContain(markup);
        await expect(page.locator('main img, main b').count()).resolves.toBe(0);
        expect(complaints).toEqual([]);
      });

      test('only its own style and script run; its first view is below 100 kB with a full history', async () => {
        for (const job of [
          'RevokeExpiredDatabricksRequests',
          'RevokeExpiredPalantirRequests',
          'ExpiryNotificationDatabricksRequests',
          'ExpiryNotificationPalantirRequests',
        ] as const)
          await addRuns(
            job,
            Array.from({ length: 30 }, (_, index) => ({
              ago: (30 - index) * hour,
              took: 500,
              Processed_Count: 1234,
              Failed_Count: 12,
              Error_Message: 'x'.repeat(500),
            })),
          );
        // A function key is that long.
        const response = await fetch(`${app.url}/api/status?code=${'k'.repeat(56)}`);
        const policy = response.headers.get('content-security-policy') ?? '';
        expect(policy).toMatch(
          /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; connect-src 'self';/,
        );
        expect(policy).not.toContain('unsafe');
        expect((await response.arrayBuffer()).byteLength).toBeLessThan(100_000);
      });

      test.each(['light', 'dark'] as const)(
        'text has a contrast of at least 4.5 to 1, and nothing is wider than a phone (%s)',
        async (colorScheme) => {
          await addRuns('RevokeExpiredDatabricksRequests', [
            { ago: lately, took: 500, Status: 'Failed', Error_Message: 'x'.repeat(500) },
          ]);
          await addRuns('ExpiryNotificationDatabricksRequests', [
            { ago: 2 * hour, took: 500, Processed_Count: 3, Failed_Count: 1 },
            { ago: minute, Status: 'InProgress', Started_By: 'y'.repeat(100) },
          ]);
          const page = await open({ colorScheme, viewport: { width: 320, height: 640 } });
          const check = async (): Promise<number> => {
            await expect(page.evaluate('document.documentElement.scrollWidth')).resolves.toBe(320);
            const contrasts = await page.evaluate<[string, number][]>(measureContrasts);
            expect(contrasts.filter(([, contrast]) => contrast < 4.5)).toEqual([]);
            return contrasts.length;
          };
          expect(await check()).toBeGreaterThan(50);
          await page.getByRole('link', { name: 'All runs of RevokeExpiredDatabricksRequests' }).click();
          await panel(page).waitFor();
          await check();
          await panel(page).getByRole('link', { name: 'Close' }).click();
          await panel(page).waitFor({ state: 'detached' });
          await preview(page, 'RevokeExpiredDatabricksRequests');
          await check();
        },
      );

      test.each([
        ['light, desktop', { colorScheme: 'light', viewport: { width: 1280, height: 900 } }],
        ['dark, desktop', { colorScheme: 'dark', viewport: { width: 1280, height: 900 } }],
        ['forced colours, desktop', { forcedColors: 'active', viewport: { width: 1280, height: 900 } }],
        ['light, phone', { colorScheme: 'light', viewport: { width: 390, height: 844 } }],
        ['dark, phone', { colorScheme: 'dark', viewport: { width: 390, height: 844 } }],
        ['forced colours, phone', { forcedColors: 'active', viewport: { width: 390, height: 844 } }],
      ] as const)('axe-core finds nothing, and no column is cut (%s)', async (_, options) => {
        const notification = 'ExpiryNotificationDatabricksRequests';
        const Job_Id = randomUUID();
        await addRuns('RevokeExpiredDatabricksRequests', [
          { ago: 3 * day, took: 500, Status: 'Failed', Error_Message: 'Broken.', Processed_Count: 640 },
        ]);
        await addRuns('RevokeExpiredPalantirRequests', [
          { ago: minute, Status: 'InProgress', Processed_Count: 5 },
        ]);
        await addRuns(notification, [
          { ago: hour, took: 500, Processed_Count: 3, Failed_Count: 0 },
          {
            Job_Id,
            ago: lately,
            took: 500,
            Processed_Count: 3,
            Failed_Count: 2,
            Started_By: 'SandboxHost-639012345678901234',
            Error_Message: 'Failed: 2 address missing (17, 21). Started by hand.',
          },
        ]);
        for (const address of [
          '',
          `&job=${notification}`,
          `&run=${Job_Id}`,
          `&job=${notification}&preview=soonest`,
        ]) {
          const page = await open(options, address);
          await page.evaluate(axe);
          const { violations } = await page.evaluate<{
            violations: { id: string; nodes: { html: string }[] }[];
          }>(`axe.run({ resultTypes: ['violations'] })`);
          expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
          const cut = await page.evaluate<string[]>(
            `[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel)`,
          );
          expect(cut).toEqual([]);
        }
      });

      test('forced colours show the legend: its shapes differ from their background and from each other', async () => {
        await addRuns('ExpiryNotificationDatabricksRequests', [
          { ago: lately, took: 500, Processed_Count: 3, Failed_Count: 2 },
        ]);
        const page = await open({ forcedColors: 'active' });
        const [sent, failed, canvas] = await page.evaluate<string[]>(`(() => {
          const fill = (kind) => {
            const { fill, stroke } = getComputedStyle(document.querySelector('figcaption rect.' + kind));
            return fill + ' ' + stroke;
          };
          return [fill('processed'), fill('failed'), getComputedStyle(document.body).backgroundColor];
        })()`);
        expect(sent).not.toBe(failed);
        expect(sent?.startsWith(canvas ?? '')).toBe(false);
        expect(failed).not.toMatch(/none$/);
      });
    });
  },
);

interface Bar {
  /** From the left, in CSS pixels. */
  readonly x: number;
  /** Heights, in CSS pixels. */
  readonly processed: number;
  readonly failed: number;
  readonly outcome: string;
  /** Of the mark below it. */
  readonly shape: string;
}

/** In a page with one chart: what it draws of each run, from the left. */
const readBars = String.raw`[...document.querySelectorAll('svg.chart a')].map((run) => {
  const height = (kind) => run.querySelector('rect.' + kind)?.getBoundingClientRect().height ?? 0;
  const hit = run.querySelector('rect.hit').getBoundingClientRect();
  return {
    x: hit.x + hit.width / 2,
    processed: height('processed'),
    failed: height('failed'),
    outcome: run.className.baseVal,
    shape: run.lastElementChild.outerHTML,
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
  const textColor = (element) =>
    element instanceof SVGElement ? getComputedStyle(element).fill : getComputedStyle(element).color;
  return [...document.querySelectorAll('body *')]
    .filter((element) => element.tagName !== 'title' && element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((element) => {
      const [one, other] = [parse(textColor(element)), background(element)].map(luminance).sort((a, b) => b - a);
      return [element.textContent.slice(0, 40), (one + 0.05) / (other + 0.05)];
    });
})()`;
