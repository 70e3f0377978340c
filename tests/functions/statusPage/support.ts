/** The status page in a browser, served by the built app on the stand-ins: what the tests in this folder share. */
import { randomUUID } from 'node:crypto';
import type { Browser, BrowserContext, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { insertRows } from '../../../local/insertRows';
import type { JobRun, JobType } from '../../../src/jobRun/jobRun';
import { useSample } from '../../support/app';
import { launchChromium } from '../../support/browser';

export interface RunSpec {
  readonly Job_Id?: string;
  readonly Status?: JobRun['status'];
  /** In ms. */
  readonly ago: number;
  /** In ms; 500 unless it is in progress. */
  readonly took?: number;
  readonly Started_By?: string;
  readonly Processed_Count?: number;
  readonly Failed_Count?: number;
  readonly Error_Message?: string;
}

export const revokeDatabricks = 'RevokeExpiredDatabricksRequests';
export const revokePalantir = 'RevokeExpiredPalantirRequests';
export const notifyDatabricks = 'ExpiryNotificationDatabricksRequests';
export const notifyPalantir = 'ExpiryNotificationPalantirRequests';

export const second = 1000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;
/** Within the time that a run of any schedule may be late, so that the job is not overdue. */
export const lately = 5 * minute;

interface PageOptions extends BrowserContextOptions {
  /** Its time stands still but for pass() and clock.runFor(). */
  readonly fakeClock?: boolean;
}

interface OpenOptions extends PageOptions {
  /** Of another app. */
  readonly url?: string;
}

interface AskedFor {
  readonly method: string;
  readonly url: URL;
  readonly headers: Record<string, string>;
}

/** Starts all of it before the tests of a file, and forgets runs and reminders before each of them. */
export function serveStatusPage() {
  const { sample, app } = useSample();
  const { newPage, requests, complaints } = usePages();
  return {
    requests,
    complaints,
    get standIns() {
      return sample.standIns;
    },
    /** Of the app with the stand-ins' settings. */
    get url() {
      return app.url;
    },
    startApp: (settings: Readonly<Record<string, string>>) => sample.startApp(settings),
    query: (sql: string) => sample.query(sql),
    /** The newest first. */
    storedRuns: (job: JobType) =>
      sample.query(`SELECT * FROM dbo.JobRun WHERE Job_Type = '${job}' ORDER BY Started_At DESC, Id DESC;`),
    addRuns: (job: JobType, specs: readonly RunSpec[]) =>
      insertRows(sample.session, 'dbo.JobRun', toRows(job, specs)),
    /** @param address what follows the function key, for example "&job=…" */
    open: async (address = '', { url = app.url, ...options }: OpenOptions = {}) => {
      const page = await newPage(options);
      await page.goto(`${url}/api/status?code=the-key${address}`);
      return page;
    },
  };
}

function toRows(Job_Type: JobType, specs: readonly RunSpec[]) {
  const now = Date.now();
  return specs.map(({ ago, took = 500, Status = 'Completed', ...rest }) => ({
    Job_Id: randomUUID(),
    Job_Type,
    Status,
    Started_At: new Date(now - ago),
    Started_By: 'machine-1',
    Completed_At: Status === 'InProgress' ? null : new Date(now - ago + took),
    Processed_Count: null,
    Failed_Count: null,
    Error_Message: null,
    ...rest,
  }));
}

/** A browser for the tests of a file, and what the pages of a test asked for and complained of. */
function usePages() {
  let browser: Browser;
  /** Of the pages without options: a context costs more than a page, and the status page keeps nothing in it. */
  let shared: BrowserContext;
  const pages: Page[] = [];
  const requests: AskedFor[] = [];
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await launchChromium();
    shared = await browser.newContext();
  });
  afterAll(async () => {
    const kept = await shared.storageState();
    await browser.close();
    expect(kept).toEqual({ cookies: [], origins: [] });
  });
  beforeEach(() => {
    // What a describe has opened for all of its tests stays.
    for (const list of [pages, requests, complaints]) list.length = 0;
  });
  afterEach(async () => {
    await Promise.all(
      pages.splice(0).map(async (page) => {
        const context = page.context();
        await (context === shared ? page.close() : context.close());
      }),
    );
  });

  return {
    requests: requests as readonly AskedFor[],
    complaints: complaints as readonly string[],
    /** A page that is closed after the test. */
    newPage: async ({ fakeClock = false, ...options }: PageOptions = {}): Promise<Page> => {
      const plain = !fakeClock && Object.keys(options).length === 0;
      const page = await (plain ? shared.newPage() : browser.newPage(options));
      pages.push(page);
      watch(page, requests, complaints);
      if (fakeClock) {
        await page.clock.install();
        await page.clock.pauseAt(Date.now() + second);
      }
      return page;
    },
  };
}

function watch(page: Page, requests: AskedFor[], complaints: string[]): void {
  page.on('request', (request) =>
    requests.push({ method: request.method(), url: new URL(request.url()), headers: request.headers() }),
  );
  page.on('console', (message) => {
    // A refused request is one that a test asked for.
    if (!message.text().includes('Failed to load resource')) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
}

export const card = (page: Page, job: JobType): Locator =>
  page.getByRole('article').filter({ has: page.getByText(job, { exact: true }) });
export const result = (page: Page, job: JobType): Locator => card(page, job).getByRole('status');
export const state = (page: Page, job: JobType): Locator => page.locator(`#state-${job}`);
export const panel = (page: Page): Locator => page.locator('#panel');

export async function press(page: Page, action: 'Run' | 'Cancel', job: JobType): Promise<void> {
  await page.getByRole('button', { name: `${action} ${job}` }).click();
  await page.getByRole('dialog').locator('#dialog-confirm').click();
}

export async function preview(page: Page, job: JobType): Promise<void> {
  await page.getByRole('link', { name: `Preview ${job}` }).click();
  await panel(page).getByText('A run now would').waitFor();
}

/** What a run of the job would do now, as the API says it. */
export async function dryRun(url: string, job: JobType): Promise<unknown> {
  const answer = await fetch(`${url}/api/jobs/${job}/runs?dryRun=true`, { method: 'POST' });
  return answer.json();
}

/** The cells' text, a list for each row. */
export const cells = (rows: Locator): Promise<string[][]> =>
  // One call for all of them: a preview has 600 cells.
  rows.evaluateAll((found: Cells[]) =>
    found.map((row) => [...row.querySelectorAll('th, td')].map((cell) => cell.textContent.trim())),
  );
interface Cells {
  querySelectorAll(selector: string): Iterable<{ readonly textContent: string }>;
}

export const utc = (date: unknown): string => (date as Date).toISOString().slice(0, 19).replace('T', ' ');

/** Lets time pass in a page whose clock is a fake one, and waits until it has read what it then asks for. */
export async function pass(page: Page, ms: number): Promise<void> {
  const answered = page.waitForResponse((response) => response.request().method() === 'GET');
  await page.clock.runFor(ms);
  await (await answered).finished();
  // The page brings it in after the answer has been read.
  await page.clock.runFor(1);
}

/** Lets the page refresh until it shows this: what it shows may be counted in the background. */
export async function passUntil(page: Page, shown: Locator, ms = 2000): Promise<void> {
  while ((await shown.count()) === 0) await pass(page, ms);
}

/** The page believes that nobody sees it, and rests. */
export const hide = (page: Page): Promise<void> => setHidden(page, true);
export const show = (page: Page): Promise<void> => setHidden(page, false);

async function setHidden(page: Page, hidden: boolean): Promise<void> {
  await page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));`);
}
