/** What the status page does: it refreshes itself, runs jobs and cancels runs, and gives nothing away. */
import { setTimeout as delay } from 'node:timers/promises';
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
  notifyDatabricks,
  notifyPalantir,
  revokeDatabricks,
  revokePalantir,
  dryRun,
} from './support';

describeInChromium('The status page in Chromium', () => {
  const served = serveStatusPage();
  const { open, query, addRuns, storedRuns, startApp, requests, complaints } = served;

  describe('is live', () => {
    test('it refreshes every 10 s in place: rows, focus and an open panel stay, and what changed is announced', async () => {
      await addRuns(revokeDatabricks, [{ ago: lately, Processed_Count: 3 }]);
      await query(`UPDATE dbo.DataAccessDeltaRequests SET access_end_dt = access_end_dt WHERE id = 1;`);
      const page = await open(`&job=${revokeDatabricks}`, { fakeClock: true });
      await panel(page).locator('tbody tr').first().waitFor();
      await page.evaluate(`
          window.row = document.querySelector('#panel tbody tr');
          window.card = document.querySelector('#job-${revokeDatabricks}');
          document.querySelector('#history-${revokeDatabricks}').focus();`);
      await addRuns(revokeDatabricks, [
        {
          ago: minute,
          Status: 'Failed',
          Error_Message: 'Broken <b>now</b>.',
          Processed_Count: 0,
        },
      ]);
      await pass(page, 10_000);
      await state(page, revokeDatabricks).getByText('Failed').waitFor();
      expect(await cells(panel(page).locator('tbody tr:not(.message)'))).toHaveLength(2);
      expect(await page.evaluate('window.row.isConnected && window.card.isConnected')).toBe(true);
      expect(await page.evaluate('document.activeElement.id')).toBe(`history-${revokeDatabricks}`);
      expect(await page.locator('#announcer').innerText()).toBe('Revoke expired Databricks access: Failed.');
      expect(await page.title()).toBe('1 failed: Access Expiry Jobs');
    });

    test('a preview with an open detail stays as it was read, and is not read again by itself', async () => {
      const page = await open('', { fakeClock: true });
      await preview(page, revokeDatabricks);
      const before = await panel(page).innerHTML();
      served.standIns.sql.clearStatements();
      await addRuns(revokeDatabricks, [{ ago: minute, Status: 'Failed', Error_Message: 'Broken.' }]);
      await pass(page, 10_000);
      await state(page, revokeDatabricks).getByText('Failed').waitFor();
      expect(await panel(page).innerHTML()).toBe(before);
      // Only a preview reads the time; what is due may be counted meanwhile.
      expect(served.standIns.sql.statements.filter(({ text }) => text.includes('AS ReadAt'))).toEqual([]);
    });

    test('it says when it was updated, and can be stopped', async () => {
      const page = await open('', { fakeClock: true });
      await page.clock.runFor(5000);
      expect(await page.locator('#age').innerText()).toBe('Updated 5 s ago');
      await page.getByRole('button', { name: 'Stop updates' }).click();
      const asked = requests.length;
      await page.clock.runFor(60_000);
      expect(await page.locator('#age').innerText()).toBe('Not updating: read 1 min ago');
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
      await addRuns(revokeDatabricks, [{ ago: minute, Status: 'Failed', Error_Message: 'Broken.' }]);
      await pass(page, 1000);
      while ((await page.title()) !== '1 failed: Access Expiry Jobs') await delay(50);
      expect(await icon()).not.toBe(green);
      const seen = page.waitForResponse(/status/);
      await show(page);
      await seen;
    });

    test('while the database cannot be reached, the page stays as it was and says so, then refreshes again', async () => {
      await addRuns(revokeDatabricks, [{ ago: lately, Processed_Count: 77 }]);
      const page = await open('', { fakeClock: true });
      served.standIns.sql.order({ kind: 'refuseLogin', times: Infinity });
      await pass(page, 10_000);
      await page.locator('#age.stale').waitFor();
      served.standIns.sql.clearFaults();
      expect(await page.locator('#age').innerText()).toMatch(
        /^Not refreshed: The database is not available\. .* What is shown was read 10 s ago\.$/s,
      );
      expect(await page.locator('#announcer').innerText()).toMatch(/^This page could not be refreshed/);
      expect(await card(page, revokeDatabricks).innerText()).toContain('77 revoked');
      await pass(page, 10_000);
      await page.locator('#age:not(.stale)').waitFor();
      expect(await page.locator('#announcer').innerText()).toBe('Refreshed again.');
    });

    test('while the app is busy, the page says so without reporting a failure, and tries again', async () => {
      const page = await open('', { fakeClock: true });
      await page.route(/\/api\//, (route) => route.fulfill({ status: 429 }));
      await page.clock.runFor(10_000);
      await page
        .locator('#age')
        .getByText(/^Updated \d+ s ago; the app is busy$/)
        .waitFor();
      expect(await page.locator('#age.stale').count()).toBe(0);
      await press(page, 'Run', revokeDatabricks);
      await result(page, revokeDatabricks).getByText('The app is busy, and nothing was done.').waitFor();
      expect(await result(page, revokeDatabricks).getAttribute('class')).not.toContain('failed');
      await page.unroute(/\/api\//);
      await pass(page, 10_000);
      await page
        .locator('#age')
        .getByText(/^Updated \d+ s ago$/)
        .waitFor();
    });

    test('a run in progress shows its progress, by a count that many readers share', async () => {
      await addRuns(notifyDatabricks, [{ ago: minute, Status: 'InProgress', Processed_Count: 37 }]);
      const { count } = (await dryRun(served.url, notifyDatabricks)) as { count: number };
      served.standIns.sql.clearStatements();
      const startedAt = Date.now();
      const page = await open('', { fakeClock: true });
      const progress = card(page, notifyDatabricks).locator('.progress');
      await passUntil(page, progress.getByText(`37 of ${37 + count} sent`));
      expect(await progress.innerText()).toMatch(/ sent, \d+ min \d+ s so far$/);
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

    test('what is due is on the card and in the dialog of Run, counted once for all readers and again when a run has begun and ended', async () => {
      const counted = (): number =>
        served.standIns.sql.statements.filter(
          ({ text }) => text.includes('AS DueCount') && text.includes('ExpiryNotification_Databricks'),
        ).length;
      // A process of its own has counted nothing yet.
      const { url } = await startApp({});
      const answer = await fetch(`${url}/api/jobs?due=true`);
      const { jobs } = (await answer.json()) as { jobs: { jobType: string; dueCount: number }[] };
      const { dueCount = 0 } = jobs.find(({ jobType }) => jobType === notifyDatabricks) ?? {};
      served.standIns.sql.clearStatements();
      const page = await open('', { url });
      const due = card(page, notifyDatabricks).locator('dl div', { hasText: 'Due now' });
      await due.getByText(new RegExp(`${dueCount} reminders, the oldest \\d+ (min|h|days) late$`)).waitFor();
      await page.getByRole('button', { name: `Run ${notifyDatabricks}` }).click();
      expect(await page.getByRole('dialog').innerText()).toMatch(
        new RegExp(
          `Due at .* UTC: ${dueCount} reminders, the oldest \\d+ (min|h|days) late\\. Everyone whose`,
        ),
      );
      await page.keyboard.press('Escape');
      await Promise.all([open('', { url }), open('', { url })]);
      expect(counted()).toBe(1);
      // Each count waits a hundred times as long as the one before took.
      await addRuns(notifyDatabricks, [{ ago: minute, Status: 'InProgress' }]);
      const progress = card(page, notifyDatabricks).getByText(`0 of ${dueCount} sent`);
      await progress.waitFor({ timeout: 100_000 });
      await query(`INSERT INTO dbo.ExpiryNotification_Databricks (DeltaRequestId, Notification_Sent_Dt, Notification_Sent_To, Notification_Sent_By)
        SELECT g.RequestId, GETUTCDATE(), 'x@example.com', 'a run' FROM dbo.AccessGrant_Databricks AS g;
        UPDATE dbo.JobRun SET Status = 'Completed', Completed_At = GETUTCDATE();`);
      await due.getByText('nothing').waitFor({ timeout: 100_000 });
    }, 300_000);
  });

  describe('acts', () => {
    test('a run started from the page, by keyboard, shows at once, and ends in the list', async () => {
      const collecting = served.standIns.sql.order({ kind: 'hold', match: /INSERT INTO #Due/ });
      const page = await open('', { fakeClock: true });
      await page.getByRole('button', { name: `Run ${revokeDatabricks}` }).focus();
      await page.keyboard.press('Enter');
      const dialog = page.getByRole('dialog', { name: `Run ${revokeDatabricks}?` });
      expect(await dialog.innerText()).toContain('Every Databricks grant');
      await page.keyboard.press('Enter');
      // At once, before the server has answered; then by what the server says, with Cancel instead of Run.
      await state(page, revokeDatabricks).getByText('Starting …').waitFor();
      await collecting.held;
      await pass(page, 2000);
      await page.getByRole('button', { name: `Cancel ${revokeDatabricks}` }).waitFor();
      expect(await state(page, revokeDatabricks).innerText()).toBe('Running');
      expect(await page.getByRole('button', { name: `Run ${revokeDatabricks}` }).count()).toBe(0);
      collecting.release();
      await result(page, revokeDatabricks).getByText('Completed: ').waitFor();
      await page.getByRole('button', { name: `Run ${revokeDatabricks}` }).waitFor();

      const stored = await storedRuns(revokeDatabricks);
      expect(stored).toHaveLength(1);
      expect(stored[0]).toMatchObject({ Status: 'Completed' });
      const processed = stored[0]?.Processed_Count as number;
      expect(processed).toBeGreaterThan(0);
      expect(await result(page, revokeDatabricks).innerText()).toContain(`${processed} revoked in`);
      expect(await card(page, revokeDatabricks).locator('dd').first().innerText()).toContain(
        `Completed: ${processed} revoked`,
      );
      // Who works by keyboard stays where they were.
      expect(await page.evaluate('document.activeElement.ariaLabel')).toBe(`Run ${revokeDatabricks}`);
    });

    test('a key that is held down confirms nothing', async () => {
      const page = await open();
      await page.getByRole('button', { name: 'Run RevokeExpiredPalantirRequests' }).focus();
      await page.keyboard.down('Enter');
      await page.keyboard.down('Enter');
      expect(await page.getByRole('dialog').isVisible()).toBe(true);
      await page.keyboard.up('Enter');
      await page.keyboard.press('Escape');
      expect(await storedRuns(revokePalantir)).toEqual([]);
    });

    test('Escape closes a panel, and leads back to where it was opened', async () => {
      const page = await open();
      await page.getByRole('link', { name: 'All runs of RevokeExpiredPalantirRequests' }).focus();
      await page.keyboard.press('Enter');
      await panel(page).waitFor();
      await page.keyboard.press('Escape');
      await panel(page).waitFor({ state: 'detached' });
      expect(await page.evaluate('document.activeElement.id')).toBe('history-RevokeExpiredPalantirRequests');
    });

    test('a panel that takes long to open shows that it is loading', async () => {
      const page = await open();
      const held = served.standIns.sql.order({ kind: 'hold', match: /MIN\(CASE WHEN/ });
      await page.getByRole('link', { name: `Preview ${revokePalantir}` }).click();
      await page.locator('#loading').getByText('Loading …').waitFor();
      const box = await page.locator('#loading').boundingBox();
      expect(box && box.y >= 0 && box.y + box.height <= 200).toBe(true);
      await held.held;
      held.release();
      await panel(page).waitFor();
      await page.locator('#loading').waitFor({ state: 'hidden' });
    });

    test('while the app cannot be reached, the page says that the answer was lost, and offers Run again', async () => {
      const page = await open();
      const before = await state(page, revokePalantir).innerText();
      await page.route(/\/api\//, (route) => route.abort());
      await press(page, 'Run', revokePalantir);
      await result(page, revokePalantir)
        .getByText(/^The answer was lost: Failed to fetch\. The run may be going on: this page shows it\.$/)
        .waitFor();
      await page
        .locator('#age')
        .getByText(/^Not refreshed: Failed to fetch\. What is shown was read \d+ s ago\.$/)
        .waitFor();
      expect(await state(page, revokePalantir).innerText()).toBe(before);
      const run = page.getByRole('button', { name: `Run ${revokePalantir}` });
      expect(await run.getAttribute('aria-disabled')).toBeNull();
      await page.unroute(/\/api\//);
      await press(page, 'Run', revokePalantir);
      await result(page, revokePalantir).getByText('Completed').waitFor();
    });

    test('a page that could not be loaded opens by itself as soon as it can', async () => {
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
      await addRuns(revokePalantir, [{ ago: lately, Processed_Count: 3 }]);
      const [run] = await storedRuns(revokePalantir);
      const page = await open(`&run=${run?.Job_Id as string}`, {
        permissions: ['clipboard-write', 'clipboard-read'],
      });
      await page.getByRole('button', { name: 'Copy the run id' }).click();
      await page.locator('#announcer').getByText('Copied.').waitFor({ state: 'attached' });
      expect(await page.evaluate('navigator.clipboard.readText()')).toBe(run?.Job_Id);
    });

    test('a reminder run that is cancelled says what it sent, not what it revoked', async () => {
      await addRuns(notifyPalantir, [{ ago: minute, Status: 'InProgress', Processed_Count: 19 }]);
      const page = await open();
      await press(page, 'Cancel', notifyPalantir);
      await result(page, notifyPalantir)
        .getByText(/^Failed: 19 sent/)
        .waitFor();
    });

    test('a run can be cancelled from the page that started it', async () => {
      const collecting = served.standIns.sql.order({ kind: 'hold', match: /INSERT INTO #Due/ });
      const page = await open('', { fakeClock: true });
      await press(page, 'Run', revokePalantir);
      await collecting.held;
      await pass(page, 2000);
      const cancel = page.getByRole('button', { name: `Cancel ${revokePalantir}` });
      await cancel.waitFor();
      await press(page, 'Cancel', revokePalantir);
      await card(page, revokePalantir)
        .getByText(/^The last run, just now, failed: Cancelled/)
        .waitFor();
      await page.getByRole('button', { name: `Run ${revokePalantir}` }).waitFor();
      expect(await storedRuns(revokePalantir)).toMatchObject([{ Status: 'Failed', Processed_Count: 0 }]);
      // The run itself notices, and the page says so.
      collecting.release();
      await result(page, revokePalantir).getByText('The job failed. Cancelled by').waitFor();
    });

    test('a held lock shows who holds it when a run is tried', async () => {
      const page = await open();
      await addRuns(notifyDatabricks, [{ ago: 2 * minute, Status: 'InProgress', Started_By: 'machine-9' }]);
      const [held] = await storedRuns(notifyDatabricks);
      await press(page, 'Run', notifyDatabricks);
      await result(page, notifyDatabricks)
        .getByText(/^The job is already running\. machine-9 has been running .* since /)
        .waitFor();
      await card(page, notifyDatabricks)
        .getByText(`Since ${utc(held?.Started_At)} UTC on machine-9`)
        .waitFor();
      expect(await storedRuns(notifyDatabricks)).toHaveLength(1);
    });

    test.each([
      ['a refused key', { status: 401, body: '' }, 'The function key is missing or wrong'],
      ['an answer from a gateway', { status: 502, body: '<html>' }, 'HTTP 502'],
    ])('%s is shown in the page', async (_, answer, text) => {
      const page = await open();
      await page.route('**/runs', (route) => route.fulfill(answer));
      await press(page, 'Run', revokeDatabricks);
      await result(page, revokeDatabricks).getByText(text).waitFor();
    });

    test('the safety stop has its way out: all are revoked once their number is typed, and the run says so', async () => {
      const stopping = await startApp({ REVOCATION_CEILING: '5' });
      const { count } = (await dryRun(stopping.url, revokeDatabricks)) as { count: number };
      const page = await open('', { url: stopping.url });
      await press(page, 'Run', revokeDatabricks);
      await result(page, revokeDatabricks).getByText('Safety stop').waitFor();
      // The way out stands on the card, before Run, and what happened is said once.
      const actions = card(page, revokeDatabricks).locator('.actions');
      await actions.getByText(`Review ${count} grants`).waitFor();
      expect(await actions.locator('.primary').allInnerTexts()).toEqual([`Review ${count} grants`]);
      const text = await card(page, revokeDatabricks).innerText();
      expect(text.match(/Safety stop: /g)).toHaveLength(1);
      expect(text).not.toContain('dryRun');
      await actions.getByText(`Review ${count} grants`).click();
      expect(await panel(page).locator('.outcome').innerText()).toContain(
        `A run now would be blocked by the safety stop: ${count} grants are due.`,
      );
      expect(await panel(page).locator('.alert').innerText()).toMatch(
        /^Safety stop: these are more than the ceiling of 5 \(REVOCATION_CEILING\)\. .* revoke them here\./,
      );
      await panel(page)
        .getByRole('button', { name: `Revoke all ${count}…` })
        .focus();
      await page.keyboard.press('Enter');
      const dialog = page.getByRole('dialog', { name: `Revoke all ${count} Databricks grants?` });
      for (const typed of ['', '4']) {
        await dialog.getByLabel(`Type ${count} to confirm`).fill(typed);
        expect(await dialog.getByRole('button', { name: 'Revoke all' }).isDisabled()).toBe(true);
        await page.keyboard.press('Enter');
        expect(await dialog.isVisible()).toBe(true);
      }
      await dialog.getByLabel(`Type ${count} to confirm`).fill(String(count));
      await page.keyboard.press('Enter');
      await panel(page).getByText(`Completed: ${count} revoked`).waitFor();
      expect(await panel(page).locator('.message').first().innerText()).toMatch(
        /Started by hand\. Run without the safety limit\./,
      );
      const [run] = await storedRuns(revokeDatabricks);
      expect(run).toMatchObject({ Status: 'Completed', Processed_Count: count });
      expect(new URL(page.url()).searchParams.get('run')).toBe(run?.Job_Id);
      expect(await cells(panel(page).locator('tbody tr'))).toHaveLength(count);
    });
  });

  describe('is safe', () => {
    test('nothing is requested from another origin, and the key is sent only as a header', async () => {
      const page = await open();
      await preview(page, revokePalantir);
      await press(page, 'Run', revokePalantir);
      await result(page, revokePalantir).getByText('Completed').waitFor();
      await card(page, revokePalantir).getByText('The last run, just now').waitFor();
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
          [`GET /api/status?job=${revokePalantir}&preview=soonest`, 'the-key'],
          [`POST /api/jobs/${revokePalantir}/runs`, 'the-key'],
          [`GET /api/status?job=${revokePalantir}&preview=soonest`, 'the-key'],
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
      await addRuns(revokeDatabricks, [
        { ago: lately, Status: 'Failed', Error_Message: markup, Started_By: '<b>machine</b>' },
      ]);
      const page = await open(`&job=${revokeDatabricks}`);
      expect(await card(page, revokeDatabricks).locator('.reason').innerText()).toContain(markup);
      expect(await card(page, revokeDatabricks).locator('dd').first().innerText()).toContain(
        'on <b>machine</b>',
      );
      expect(await panel(page).innerText()).toContain(markup);
      expect(await page.locator('main img, main b').count()).toBe(0);
      expect(complaints).toEqual([]);
    });

    test('only its own style and script run; its first view is below 110 kB with a full history', async () => {
      for (const job of [revokeDatabricks, revokePalantir, notifyDatabricks, notifyPalantir] as const)
        await addRuns(
          job,
          Array.from({ length: 30 }, (_, index) => ({
            ago: (30 - index) * hour,
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
