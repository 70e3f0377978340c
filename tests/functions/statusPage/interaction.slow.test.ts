/** What the status page does: it refreshes itself, runs jobs and cancels runs, and gives nothing away. */
import { randomUUID } from 'node:crypto';
import { describeInChromium } from '../../support/browser';
import {
  card,
  cells,
  hide,
  hour,
  lately,
  minute,
  panel,
  pass,
  passUntil,
  press,
  preview,
  result,
  serveStatusPage,
  show,
  state,
  utc,
} from './support';

describeInChromium('The status page in Chromium', () => {
  const served = serveStatusPage();
  const { open, query, addRuns, storedRuns, startApp, requests, complaints } = served;

  describe('is live', () => {
    const job = 'RevokeExpiredDatabricksRequests';

    test('it refreshes every 10 s in place: rows, focus and an open panel stay, and what changed is announced', async () => {
      await addRuns(job, [{ ago: lately, took: 500, Processed_Count: 3 }]);
      await query(`UPDATE dbo.DataAccessDeltaRequests SET access_end_dt = access_end_dt WHERE id = 1;`);
      const page = await open(`&job=${job}`, { fakeClock: true });
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
      const page = await open('', { fakeClock: true });
      await preview(page, job);
      const before = await panel(page).innerHTML();
      served.standIns.sql.clearStatements();
      await addRuns(job, [{ ago: minute, took: 500, Status: 'Failed', Error_Message: 'Broken.' }]);
      await pass(page, 10_000);
      await state(page, job).getByText('Failed').waitFor();
      await expect(panel(page).innerHTML()).resolves.toBe(before);
      // Only a preview reads the time; what is due may be counted meanwhile.
      expect(served.standIns.sql.statements.filter(({ text }) => text.includes('AS ReadAt'))).toEqual([]);
    });

    test('it says how old what it shows is, and can be held', async () => {
      const page = await open('', { fakeClock: true });
      await page.clock.runFor(5000);
      await expect(page.locator('#age').innerText()).resolves.toBe('Updated 5 s ago');
      await page.getByRole('button', { name: 'Stop updates' }).click();
      const asked = requests.length;
      await page.clock.runFor(60_000);
      await expect(page.locator('#age').innerText()).resolves.toBe('Not updating: read 1 min ago');
      expect(requests).toHaveLength(asked);
      const resumed = page.waitForResponse(/status/);
      await page.getByRole('button', { name: 'Resume updates' }).click();
      await (await resumed).finished();
    });

    test('in a hidden tab its title and icon follow, once a minute', async () => {
      const page = await open('', { fakeClock: true });
      await hide(page);
      const asked = requests.length;
      await page.clock.runFor(59_000);
      expect(requests).toHaveLength(asked);
      const icon = (): Promise<string | null> => page.locator('link[rel=icon]').getAttribute('href');
      const green = await icon();
      await addRuns(job, [{ ago: minute, took: 500, Status: 'Failed', Error_Message: 'Broken.' }]);
      await pass(page, 1000);
      await expect(page.title()).resolves.toBe('1 failed: Access Expiry Jobs');
      expect(await icon()).not.toBe(green);
      const seen = page.waitForResponse(/status/);
      await show(page);
      await seen;
    });

    test('while the database is away it keeps what it showed and says so, and goes on when it is back', async () => {
      await addRuns(job, [{ ago: lately, took: 500, Processed_Count: 77 }]);
      const page = await open('', { fakeClock: true });
      served.standIns.sql.order({ kind: 'refuseLogin', times: Infinity });
      await pass(page, 10_000);
      await page.locator('#age.stale').waitFor();
      served.standIns.sql.clearFaults();
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

    test('while the app is busy it says so, as no failure, and tries again', async () => {
      const page = await open('', { fakeClock: true });
      await page.route(/\/api\//, (route) => route.fulfill({ status: 429 }));
      await page.clock.runFor(10_000);
      await page
        .locator('#age')
        .getByText(/^Updated \d+ s ago; the app is busy$/)
        .waitFor();
      await expect(page.locator('#age.stale').count()).resolves.toBe(0);
      await press(page, 'Run', job);
      await result(page, job).getByText('The app is busy, and nothing was done.').waitFor();
      await expect(result(page, job).getAttribute('class')).resolves.not.toContain('failed');
      await page.unroute(/\/api\//);
      await pass(page, 10_000);
      await expect(page.locator('#age').innerText()).resolves.toMatch(/^Updated \d+ s ago$/);
    });

    test('a run in progress says how far it is, by a count that many readers share', async () => {
      const running = 'ExpiryNotificationDatabricksRequests';
      await addRuns(running, [{ ago: minute, Status: 'InProgress', Processed_Count: 37 }]);
      const answer = await fetch(`${served.url}/api/jobs/${running}/runs?dryRun=true`, { method: 'POST' });
      const { count } = (await answer.json()) as { count: number };
      served.standIns.sql.clearStatements();
      const startedAt = Date.now();
      const page = await open('', { fakeClock: true });
      const progress = card(page, running).locator('.progress');
      await passUntil(page, progress.getByText(`37 of ${37 + count} sent`));
      await expect(progress.innerText()).resolves.toMatch(/ sent, \d+ min \d+ s so far$/);
      // Every 2 s while something runs.
      await query(`UPDATE dbo.JobRun SET Processed_Count = 40 WHERE Status = 'InProgress';`);
      await pass(page, 2000);
      await passUntil(page, progress.getByText(`40 of ${37 + count} sent`));
      await Promise.all([open(), open()]);
      const counts = served.standIns.sql.statements.filter(
        ({ text }) =>
          text.includes('SELECT COUNT(g.DueSince) AS DueCount') &&
          text.includes('ExpiryNotification_Databricks'),
      );
      // It is counted every 10 s at most.
      expect(counts.length).toBeLessThanOrEqual(1 + Math.floor((Date.now() - startedAt) / 10_000));
    });

    test('what waits is on the card and in the dialog of Run, counted once for all readers until a run has ended', async () => {
      const job = 'ExpiryNotificationDatabricksRequests';
      const counted = (): number =>
        served.standIns.sql.statements.filter(
          ({ text }) => text.includes('AS DueCount') && text.includes('ExpiryNotification_Databricks'),
        ).length;
      // A process of its own has counted nothing yet.
      const { url } = await startApp({});
      const answer = await fetch(`${url}/api/jobs?due=true`);
      const { jobs } = (await answer.json()) as { jobs: { jobType: string; dueCount: number }[] };
      const { dueCount = 0 } = jobs.find(({ jobType }) => jobType === job) ?? {};
      served.standIns.sql.clearStatements();
      const page = await open('', { url });
      const due = card(page, job).locator('dl div', { hasText: 'Due now' });
      await due.getByText(new RegExp(`${dueCount} reminders, the oldest \\d+ (min|h|days) late$`)).waitFor();
      await page.getByRole('button', { name: `Run ${job}` }).click();
      await expect(page.getByRole('dialog').innerText()).resolves.toMatch(
        new RegExp(
          `Due at .* UTC: ${dueCount} reminders, the oldest \\d+ (min|h|days) late\\. Everyone whose`,
        ),
      );
      await page.keyboard.press('Escape');
      await Promise.all([open('', { url }), open('', { url })]);
      expect(counted()).toBe(1);
      await press(page, 'Run', job);
      await result(page, job).getByText('Completed').waitFor();
      await card(page, job).getByText('5 reminders, the oldest').waitFor();
    });
  });

  describe('acts', () => {
    test('a run started from the page, by keyboard, shows at once, and ends in the list', async () => {
      const job = 'RevokeExpiredDatabricksRequests';
      const collecting = served.standIns.sql.order({ kind: 'hold', match: /INSERT INTO #Due/ });
      const page = await open('', { fakeClock: true });
      await page.getByRole('button', { name: `Run ${job}` }).focus();
      await page.keyboard.press('Enter');
      const dialog = page.getByRole('dialog', { name: `Run ${job}?` });
      await expect(dialog.innerText()).resolves.toContain('Every Databricks grant');
      await page.keyboard.press('Enter');
      // At once, before the server has answered; then by what the server says, with Cancel instead of Run.
      await state(page, job).getByText('Starting …').waitFor();
      await collecting.held;
      await pass(page, 2000);
      await page.getByRole('button', { name: `Cancel ${job}` }).waitFor();
      await expect(state(page, job).innerText()).resolves.toBe('Running');
      await expect(page.getByRole('button', { name: `Run ${job}` }).count()).resolves.toBe(0);
      collecting.release();
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

    test('Enter does what the primary button says, and a key that is held down confirms nothing', async () => {
      const job = 'RevokeExpiredDatabricksRequests';
      const stopping = await startApp({ REVOCATION_CEILING: '5' });
      const page = await open(`&job=${job}&preview=soonest`, { url: stopping.url });
      const button = panel(page).getByRole('button', { name: /^Revoke all/ });
      const number = (await button.getAttribute('data-type-number')) ?? '';
      await button.focus();
      await page.keyboard.press('Enter');
      await page.keyboard.press('Enter');
      await expect(page.getByRole('dialog').isVisible()).resolves.toBe(true);
      await page.keyboard.type(number);
      await page.keyboard.press('Enter');
      await panel(page).getByText(`Completed: ${number} revoked`).waitFor();

      await page.getByRole('button', { name: 'Run RevokeExpiredPalantirRequests' }).focus();
      await page.keyboard.down('Enter');
      await page.keyboard.down('Enter');
      await expect(page.getByRole('dialog').isVisible()).resolves.toBe(true);
      await page.keyboard.up('Enter');
      await page.keyboard.press('Escape');
      await expect(storedRuns('RevokeExpiredPalantirRequests')).resolves.toEqual([]);
    });

    test('Escape closes a panel, and leads back to where it was opened', async () => {
      const page = await open();
      await page.getByRole('link', { name: 'All runs of RevokeExpiredPalantirRequests' }).focus();
      await page.keyboard.press('Enter');
      await panel(page).waitFor();
      await page.keyboard.press('Escape');
      await panel(page).waitFor({ state: 'detached' });
      await expect(page.evaluate('document.activeElement.id')).resolves.toBe(
        'history-RevokeExpiredPalantirRequests',
      );
    });

    test('what takes long to open says so where one looks', async () => {
      const job = 'RevokeExpiredPalantirRequests';
      const page = await open();
      const held = served.standIns.sql.order({ kind: 'hold', match: /MIN\(CASE WHEN/ });
      await page.getByRole('link', { name: `Preview ${job}` }).click();
      await page.locator('#loading').getByText('Loading …').waitFor();
      const box = await page.locator('#loading').boundingBox();
      expect(box && box.y >= 0 && box.y + box.height <= 200).toBe(true);
      await held.held;
      held.release();
      await panel(page).waitFor();
      await page.locator('#loading').waitFor({ state: 'hidden' });
    });

    test('while the app is away what is said ends, and Run comes back', async () => {
      const job = 'RevokeExpiredPalantirRequests';
      const page = await open();
      const before = await state(page, job).innerText();
      await page.route(/\/api\//, (route) => route.abort());
      await press(page, 'Run', job);
      await result(page, job)
        .getByText(/^The answer was lost: Failed to fetch\. The run may be going on: this page shows it\.$/)
        .waitFor();
      await page
        .locator('#age')
        .getByText(/^Not refreshed: Failed to fetch\. What is shown was read \d+ s ago\.$/)
        .waitFor();
      await expect(state(page, job).innerText()).resolves.toBe(before);
      const run = page.getByRole('button', { name: `Run ${job}` });
      await expect(run.getAttribute('aria-disabled')).resolves.toBeNull();
      await page.unroute(/\/api\//);
      await press(page, 'Run', job);
      await result(page, job).getByText('Completed').waitFor();
    });

    test('a page that could not be made opens by itself once it can be', async () => {
      served.standIns.sql.order({ kind: 'refuseLogin', times: Infinity });
      const page = await open('', { fakeClock: true });
      await page.locator('.problem').getByText('This page tries again every').waitFor();
      served.standIns.sql.clearFaults();
      await page.clock.runFor(10_000);
      await page.locator('#jobs').waitFor();
    });

    test("an unknown run's page leads to the status page", async () => {
      const page = await open(`&run=${randomUUID()}`);
      await page.getByRole('link', { name: 'Open the status page' }).click();
      await page.locator('#jobs').waitFor();
      expect(new URL(page.url()).search).toBe('?code=the-key');
    });

    test('a run id is copied by its button', async () => {
      const job = 'RevokeExpiredPalantirRequests';
      await addRuns(job, [{ ago: lately, took: 500, Processed_Count: 3 }]);
      const [run] = await storedRuns(job);
      const page = await open(`&run=${run?.Job_Id as string}`, {
        permissions: ['clipboard-write', 'clipboard-read'],
      });
      await page.getByRole('button', { name: 'Copy the run id' }).click();
      await page.locator('#announcer').getByText('Copied.').waitFor({ state: 'attached' });
      await expect(page.evaluate('navigator.clipboard.readText()')).resolves.toBe(run?.Job_Id);
    });

    test('a reminder run that is cancelled says what it sent, not what it revoked', async () => {
      const job = 'ExpiryNotificationPalantirRequests';
      await addRuns(job, [{ ago: minute, Status: 'InProgress', Processed_Count: 19 }]);
      const page = await open();
      await press(page, 'Cancel', job);
      await result(page, job)
        .getByText(/^Failed: 19 sent/)
        .waitFor();
    });

    test('a run can be cancelled from the page that started it', async () => {
      const job = 'RevokeExpiredPalantirRequests';
      const collecting = served.standIns.sql.order({ kind: 'hold', match: /INSERT INTO #Due/ });
      const page = await open('', { fakeClock: true });
      await press(page, 'Run', job);
      await collecting.held;
      await pass(page, 2000);
      const cancel = page.getByRole('button', { name: `Cancel ${job}` });
      await cancel.waitFor();
      await press(page, 'Cancel', job);
      await card(page, job)
        .getByText(/^The last run, just now, failed: Cancelled/)
        .waitFor();
      await page.getByRole('button', { name: `Run ${job}` }).waitFor();
      await expect(storedRuns(job)).resolves.toMatchObject([{ Status: 'Failed', Processed_Count: 0 }]);
      // The run itself notices, and the page says so.
      collecting.release();
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
        .getByText(/^The job is already running\. machine-9 has been running .* since /)
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
      const answer = await fetch(`${stopping.url}/api/jobs/${job}/runs?dryRun=true`, { method: 'POST' });
      const { count } = (await answer.json()) as { count: number };
      const page = await open('', { url: stopping.url });
      await press(page, 'Run', job);
      await result(page, job).getByText('Safety stop').waitFor();
      // The way out stands on the card, before Run, and what happened is said once.
      const actions = card(page, job).locator('.actions');
      await actions.getByText(`Review ${count} grants`).waitFor();
      await expect(actions.locator('.primary').allInnerTexts()).resolves.toEqual([`Review ${count} grants`]);
      const text = await card(page, job).innerText();
      expect(text.match(/Safety stop: /g)).toHaveLength(1);
      expect(text).not.toContain('dryRun');
      await actions.getByText(`Review ${count} grants`).click();
      await expect(panel(page).locator('.outcome').innerText()).resolves.toContain(
        `A run now would be blocked by the safety stop: ${count} grants are due.`,
      );
      await expect(panel(page).locator('.alert').innerText()).resolves.toMatch(
        /^Safety stop: these are more than the ceiling of 5 \(REVOCATION_CEILING\)\. .* revoke them here\./,
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
        /Started by hand\. Run without the safety limit\./,
      );
      const [run] = await storedRuns(job);
      expect(run).toMatchObject({ Status: 'Completed', Processed_Count: count });
      expect(new URL(page.url()).searchParams.get('run')).toBe(run?.Job_Id);
      await expect(cells(panel(page).locator('tbody tr'))).resolves.toHaveLength(count);
    });
  });

  describe('is safe', () => {
    test('nothing is asked of another origin, and the key goes on as a header only', async () => {
      const job = 'RevokeExpiredPalantirRequests';
      const page = await open();
      await preview(page, job);
      await press(page, 'Run', job);
      await result(page, job).getByText('Completed').waitFor();
      await card(page, job).getByText('The last run, just now').waitFor();
      expect(new Set(requests.map(({ url }) => url.origin))).toEqual(new Set([served.url]));
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
      const page = await open(`&job=${job}`);
      expect(await card(page, job).locator('.reason').innerText()).toContain(markup);
      expect(await card(page, job).locator('dd').first().innerText()).toContain('on <b>machine</b>');
      expect(await panel(page).innerText()).toContain(markup);
      await expect(page.locator('main img, main b').count()).resolves.toBe(0);
      expect(complaints).toEqual([]);
    });

    test('only its own style and script run; its first view is below 110 kB with a full history', async () => {
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
      const response = await fetch(`${served.url}/api/status?code=${'k'.repeat(56)}`);
      const policy = response.headers.get('content-security-policy') ?? '';
      expect(policy).toMatch(
        /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; connect-src 'self';/,
      );
      expect(policy).not.toContain('unsafe');
      expect((await response.arrayBuffer()).byteLength).toBeLessThan(110_000);
    });
  });
});
