/** What the status page says: of all jobs, in a job's chart, of a run and in a preview. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { formatSpan } from '../../../src/format';
import { stateNames, stateWords } from '../../../src/jobs/judgeJob';
import type { JobType } from '../../../src/jobRun/jobRun';
import type { Page } from 'playwright-core';
import type { App } from '../../support/app';
import { describeInChromium } from '../../support/browser';
import {
  card,
  cells,
  day,
  hour,
  lately,
  minute,
  panel,
  press,
  preview,
  result,
  second,
  serveStatusPage,
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
  const { open, query, addRuns, storedRuns, startApp } = served;

  describe('shows what the database says', () => {
    test('state, last run and history of each job are what the database says', async () => {
      await addRuns(revokeDatabricks, [
        { ago: 2 * hour, took: 1500, Processed_Count: 12 },
        { ago: lately, took: 65_000, Processed_Count: 1234, Started_By: 'machine-2' },
      ]);
      await addRuns(notifyDatabricks, [
        { ago: hour, took: 4000, Processed_Count: 30, Failed_Count: 2 },
        { ago: minute, Status: 'InProgress', Started_By: 'machine-3', Processed_Count: 7 },
      ]);
      const page = await open();
      const revocation = card(page, revokeDatabricks);
      const [newest, earlier] = await storedRuns(revokeDatabricks);
      expect(await revocation.locator('.state').innerText()).toBe('Healthy');
      expect(await revocation.locator('dd').first().innerText()).toBe(
        `${utc(newest?.Started_At)} UTC, 5 min ago, on machine-2\nCompleted: 1,234 revoked in 1 min 5 s`,
      );
      await page.getByRole('link', { name: 'All runs of RevokeExpiredDatabricksRequests' }).click();
      await panel(page).waitFor();
      expect(await cells(panel(page).locator('tr'))).toEqual([
        ['Started', 'Outcome', 'Revoked', 'Took', 'Compared with the previous run', 'Trigger'],
        [
          `${utc(newest?.Started_At)} UTC`,
          'Completed',
          '1,234',
          '1 min 5 s',
          '1,222 more revoked, 43 times as long',
          'timer, on machine-2',
        ],
        [`${utc(earlier?.Started_At)} UTC`, 'Completed', '12', '1.5 s', '', 'timer, on machine-1'],
      ]);

      const [active, ended] = await storedRuns(notifyDatabricks);
      const notification = card(page, notifyDatabricks);
      expect(await notification.locator('.state').innerText()).toBe('Running');
      expect(await notification.locator('.reason').textContent()).toContain(
        `Since ${utc(active?.Started_At)} UTC on machine-3`,
      );
      await page.getByRole('link', { name: 'All runs of ExpiryNotificationDatabricksRequests' }).click();
      await panel(page).getByText('Send Databricks expiry reminders: runs').waitFor();
      expect(await notification.locator('dd').first().innerText()).toContain('30 sent, 2 failed in 4.0 s');
      const rows = await cells(panel(page).locator('tr'));
      expect(rows[1]?.slice(0, 4)).toEqual([`${utc(active?.Started_At)} UTC`, 'Running', '7', '–']);
      expect(rows[2]?.slice(0, 5)).toEqual([
        `${utc(ended?.Started_At)} UTC`,
        'Completed, with failures',
        '30',
        '2',
        '4.0 s',
      ]);
    });

    test('every state is shown with its reason, and counted in the summary and the title', async () => {
      await addRuns(revokeDatabricks, [{ ago: 3 * day, Processed_Count: 3 }]);
      await addRuns(revokePalantir, [{ ago: lately, Status: 'Failed', Error_Message: 'Broken.' }]);
      await addRuns(notifyDatabricks, [
        {
          ago: lately,
          took: 4000,
          Processed_Count: 3,
          Failed_Count: 412,
          Error_Message:
            'Failed: 412 rejected by the email service, code EmailDropped.\nrejected.EmailDropped=412:1,2,3,4,5',
        },
      ]);
      const page = await open();
      const shown = async (job: JobType): Promise<[string, string]> => [
        await state(page, job).innerText(),
        await card(page, job).locator('.reason').innerText(),
      ];
      const overdue = await shown(revokeDatabricks);
      expect(overdue[0]).toBe('Overdue');
      expect(overdue[1]).toMatch(/^A run was due at .* UTC; the last one was 3 days ago\./);
      expect(await shown(revokePalantir)).toEqual(['Failed', 'The last run, 5 min ago, failed: Broken.']);
      const attention = await shown(notifyDatabricks);
      expect(attention[0]).toBe('Needs attention');
      expect(attention[1]).toMatch(/^412 of 415 grants failed in the last run, 5 min ago\./);
      const missed = await shown(notifyPalantir);
      expect(missed[0]).toBe('Overdue');
      expect(missed[1]).toMatch(/^A run was due at .* UTC; none is recorded\./);
      expect(await page.locator('#summary span').allInnerTexts()).toEqual([
        '2 overdue',
        '1 failed',
        '1 needs attention',
      ]);
      expect(await page.title()).toBe('2 overdue, 1 failed, 1 needs attention: Access Expiry Jobs');
    });

    test('before the first run of any job, all have never run', async () => {
      const page = await open();
      expect(await page.locator('#summary span').allInnerTexts()).toEqual(['4 never run']);
      expect(await card(page, notifyPalantir).locator('.reason').innerText()).toMatch(
        /^No run is recorded yet\. The first is due at .* UTC\./,
      );
      expect(await card(page, notifyPalantir).locator('dd').first().textContent()).toBe('none yet');
    });

    test('a run in progress whose lock is stale has most likely died: Run and Cancel are offered', async () => {
      await addRuns(revokeDatabricks, [{ ago: 12 * minute, Status: 'InProgress' }]);
      const page = await open();
      expect(await state(page, revokeDatabricks).innerText()).toBe('Overdue');
      expect(await card(page, revokeDatabricks).locator('.reason').innerText()).toContain(
        'has most likely died',
      );
      const buttons = card(page, revokeDatabricks).getByRole('button');
      expect(await buttons.allInnerTexts()).toEqual(['Run', 'Cancel']);
    });

    test('on a phone the worst job comes first', async () => {
      await addRuns(revokeDatabricks, [{ ago: lately, Processed_Count: 3 }]);
      await addRuns(notifyPalantir, [{ ago: lately, Status: 'Failed', Error_Message: 'Broken.' }]);
      const page = await open('', { viewport: { width: 390, height: 844 } });
      const top = async (job: JobType): Promise<number> => (await card(page, job).boundingBox())?.y ?? NaN;
      expect(await top(notifyPalantir)).toBeLessThan(await top(revokeDatabricks));
    });

    test('schedule and next run are those of GET /api/jobs, the schedule also in words', async () => {
      const page = await open();
      const { jobs: described } = (await (await fetch(`${served.url}/api/jobs`)).json()) as {
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

    test('times are shown in the reader’s zone too, with the date where it differs', async () => {
      await addRuns(revokeDatabricks, [{ ago: lately, Processed_Count: 3 }]);
      const [run] = await storedRuns(revokeDatabricks);
      const page = await open('', { timezoneId: 'Asia/Tokyo' });
      const shown = await card(page, revokeDatabricks).locator('dd time').first().innerText();
      const local = new Date((run?.Started_At as Date).getTime() + 9 * hour);
      const otherDay = local.getUTCDate() !== (run?.Started_At as Date).getUTCDate();
      expect(shown).toContain(`${utc(run?.Started_At)} UTC (`);
      expect(shown).toContain(`${local.toISOString().slice(11, 19)} GMT+9)`);
      expect(/\(\d+ \w+, /.test(shown)).toBe(otherDay);
    });

    describe('of an app with other settings', () => {
      let other: App;
      beforeAll(async () => {
        other = await startApp({
          'AzureWebJobs.RevokeExpiredPalantirRequests.Disabled': 'true',
          WEBSITE_SITE_NAME: 'func-access-prod',
          REVOCATION_CEILING: 'many',
          DOCUMENTATION_URL: 'https://example.com/operating.md',
          TZ: 'Europe/Berlin',
          SCHEDULE_NOTIFY_DATABRICKS: '0 30 18-6 * * Monday-Fri',
        });
      });

      test('a timer that is switched off is paused; app, version and commit are in the header', async () => {
        const page = await open('', { url: other.url });
        expect(await state(page, revokePalantir).innerText()).toBe('Paused');
        expect(await card(page, revokePalantir).innerText()).toContain(
          'AzureWebJobs.RevokeExpiredPalantirRequests.Disabled',
        );
        const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
        const header = await page.getByRole('banner').innerText();
        expect(header).toContain('func-access-prod');
        expect(header).toMatch(new RegExp(`v${version.replaceAll('.', '\\.')} \\([0-9a-f]{7}\\)`));
      });

      test('a schedule is shown as the host reads it, in the zone in which it does', async () => {
        const page = await open('', { url: other.url });
        const text = await card(page, notifyDatabricks).locator('dl').innerText();
        expect(text).toContain(
          'hourly from 06:30 to 18:30 Europe/Berlin, Monday to Friday 0 30 18-6 * * Monday-Fri',
        );
        expect(text).toContain(
          '"18-6" in the field hour means 6-18: the host swaps the ends of a reversed range.',
        );
        expect(text).toContain('The host reads it in Europe/Berlin (app setting TZ).');
        const answer = (await (await fetch(`${other.url}/api/jobs`)).json()) as { jobs: unknown[] };
        expect(answer.jobs[2]).toMatchObject({
          schedule: '0 30 18-6 * * Monday-Fri',
          scheduleTimeZone: 'Europe/Berlin',
        });
      });

      test('settings that are wrong are named, while the jobs that do not need them are shown', async () => {
        const page = await open('', { url: other.url });
        expect(await page.locator('#setting-problems').innerText()).toMatch(/REVOCATION_CEILING: /);
        expect(await state(page, revokeDatabricks).innerText()).toBe('Misconfigured');
        expect(await card(page, revokeDatabricks).locator('.reason').innerText()).toMatch(
          /^It cannot run: REVOCATION_CEILING is malformed: expected a whole number/,
        );
        expect(await page.title()).toBe('1 misconfigured: Access Expiry Jobs');
        expect(await page.locator('link[rel=icon]').getAttribute('href')).toContain('%23c9252d');
        expect(await page.getByRole('button', { name: `Run ${revokeDatabricks}` }).count()).toBe(0);
        expect(
          await page.getByRole('button', { name: 'Run ExpiryNotificationDatabricksRequests' }).count(),
        ).toBe(1);
        expect(await page.getByRole('article').count()).toBe(4);
      });

      test('each state leads to its section of the operating guide', async () => {
        const page = await open('', { url: other.url });
        const guide = readFileSync('docs/operating.md', 'utf8');
        const links = page.locator('.state a');
        expect(await links.count()).toBe(4);
        for (const link of await links.all()) {
          const url = new URL((await link.getAttribute('href')) ?? '');
          expect(url.href.split('#')[0]).toBe('https://example.com/operating.md');
        }
        const headings = [...guide.matchAll(/^### (State .*)$/gm)].map(([, text = '']) => text);
        expect(headings).toEqual(stateNames.map((name) => `State ${stateWords[name]}`));
        expect(await links.first().getAttribute('href')).toMatch(/#state-misconfigured$/);
      });
    });
  });

  describe('its history', () => {
    beforeEach(async () => {
      await addRuns(revokeDatabricks, [{ ago: 4 * hour, Processed_Count: 3 }]);
      await addRuns(notifyPalantir, [
        {
          ago: 3 * hour,
          Processed_Count: 4,
          Failed_Count: 1,
          Error_Message: 'Started by hand by Ada cli.\nhttp=Ada%20cli. addressMissing=1:17',
        },
      ]);
      await addRuns(revokeDatabricks, [
        // Its words say that it was started by hand, its codes do not.
        { ago: 2 * hour, Status: 'Failed', Error_Message: 'Broken. Started by hand.\n' },
        { ago: hour, Processed_Count: 5, Error_Message: 'Started from the command line.\ncli' },
      ]);
    });
    const shown = async (page: Page, ...columns: number[]): Promise<(string | undefined)[][]> => {
      const rows = await cells(panel(page).locator('tbody tr:not(.message)'));
      return rows.map((row) => columns.map((column) => row[column]));
    };

    test('of all jobs is one list, each run compared with the previous one of its job', async () => {
      const page = await open();
      await page.getByRole('link', { name: 'Runs of all jobs' }).click();
      await panel(page).getByRole('heading', { name: 'All jobs: runs' }).waitFor();
      expect(await shown(page, 1, 3, 6, 7)).toEqual([
        ['Revoke expired Databricks access', '5', '5 more revoked', 'command line, on machine-1'],
        ['Revoke expired Databricks access', '0', '3 fewer revoked', 'timer, on machine-1'],
        ['Send Palantir expiry reminders', '4', '', 'by hand, Ada cli., on machine-1'],
        ['Revoke expired Databricks access', '3', '', 'timer, on machine-1'],
      ]);
    });

    test('is shown by outcome and by what started the runs, by their codes, without JavaScript too', async () => {
      for (const javaScriptEnabled of [true, false]) {
        const page = await open('&runs=all', { javaScriptEnabled });
        const choose = async (words: string): Promise<void> => {
          const link = panel(page).getByRole('link', { name: words, exact: true });
          await link.click();
          await panel(page).locator('a[aria-current]', { hasText: words }).waitFor();
        };
        await choose('by hand');
        expect(await shown(page, 1, 6)).toEqual([
          ['Send Palantir expiry reminders', 'by hand, Ada cli., on machine-1'],
        ]);
        await choose('command line');
        expect(await shown(page, 3, 6)).toEqual([['5', 'command line, on machine-1']]);
        await choose('timer');
        await choose('failed');
        expect(await shown(page, 2, 6)).toEqual([['Failed', 'timer, on machine-1']]);
        await choose('Revoke expired Palantir access');
        expect(await panel(page).innerText()).toContain('No such run yet.');
      }
    });

    test('finds what is far back, page by page', async () => {
      await addRuns(
        revokeDatabricks,
        Array.from({ length: 2100 }, (_, index) => ({ ago: 50 * minute - index * second })),
      );
      const page = await open(`&job=${revokeDatabricks}&outcome=failed`);
      expect(await panel(page).innerText()).toMatch(/No such run since \d{4}-.* UTC\./);
      await panel(page).getByRole('link', { name: 'Older runs' }).click();
      await panel(page).getByRole('table').waitFor();
      expect(await shown(page, 1)).toEqual([['Failed']]);
    });
  });

  describe('its chart', () => {
    test('draws the newest 30 runs where they lie in time, so that a gap shows, and says so in words', async () => {
      // 35 hourly runs, with a day's gap before the newest ten.
      await addRuns(
        notifyPalantir,
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
      // Outcomes differ in shape as well as in colour.
      expect(new Set(bars.map(({ shape }) => shape)).size).toBe(3);

      const stored = await storedRuns(notifyPalantir);
      expect(
        await card(page, notifyPalantir)
          .getByRole('group', { name: /^Chart/ })
          .getAttribute('aria-label'),
      ).toBe(
        `Chart of the last 30 runs, from ${utc(stored[29]?.Started_At)} UTC to ${utc(stored[0]?.Started_At)} UTC: ` +
          '1 failed; 615 sent, at most 35 in a run; 5 failed to be sent.',
      );
    });

    test('has a scale on which 1, 5 and 640 differ', async () => {
      await addRuns(
        notifyPalantir,
        [0, 1, 5, 640].map((count, index) => ({
          ago: (4 - index) * minute,
          Processed_Count: count,
          Failed_Count: 0,
        })),
      );
      const page = await open();
      const heights = (await page.evaluate<Bar[]>(readBars)).map(({ processed }) => processed);
      expect(heights[0]).toBe(0);
      for (const index of [1, 2, 3])
        expect((heights[index] ?? 0) - (heights[index - 1] ?? 0)).toBeGreaterThan(3);
      expect(await card(page, notifyPalantir).locator('text.scale').allTextContents()).toEqual([
        '10',
        '100',
        '1,000',
      ]);
    });

    test('is one stop of the Tab key; arrows lead to each bar, and a bar to its run', async () => {
      await addRuns(
        notifyPalantir,
        [1, 2, 3].map((count) => ({
          ago: count * minute,
          Processed_Count: count,
          Failed_Count: 0,
        })),
      );
      const [newest, second] = await storedRuns(notifyPalantir);
      const page = await open();
      const reachable = card(page, notifyPalantir).locator('[data-roving] a[tabindex="0"]');
      expect(await reachable.count()).toBe(1);
      await reachable.focus();
      expect(await page.evaluate('document.activeElement.id')).toBe(
        `bar-${String(newest?.Job_Id).slice(0, 8)}`,
      );
      await page.keyboard.press('ArrowLeft');
      expect(await page.evaluate('document.activeElement.id')).toBe(
        `bar-${String(second?.Job_Id).slice(0, 8)}`,
      );
      await page.keyboard.press('Enter');
      await panel(page)
        .getByText(`run of ${utc(second?.Started_At)} UTC`)
        .waitFor();
      expect(new URL(page.url()).searchParams.get('run')).toBe(second?.Job_Id);
    });
  });

  describe('goes down to the grant', () => {
    test('grant holders are named in a preview and nowhere else, and a preview writes nothing', async () => {
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
      await preview(page, notifyPalantir);
      const expected = (await dryRun(served.url, notifyPalantir)) as {
        count: number;
        oldestDueMinutes: number;
        failing: { count: number }[];
        grants: {
          requestNumber: string;
          requesterName: string;
          resource: string;
          leadDays: number;
          recipient: string | null;
        }[];
      };
      const unusable = expected.failing.reduce((sum, { count }) => sum + count, 0);
      expect(unusable).toBeGreaterThan(0);
      expect(await panel(page).locator('.outcome').innerText()).toBe(
        `A run now would send ${expected.count - unusable} of ${expected.count} reminders. The oldest has been due for ${formatSpan(expected.oldestDueMinutes * minute)}.`,
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
          recipient ?? (expect.stringMatching(/^(no address|malformed: .+)$/) as string),
          leadDays === 1 ? '1 day' : `${leadDays} days`,
        ]);
      // What would fail is listed by cause, with what to do.
      const causes = await panel(page).locator('.causes > li').allInnerTexts();
      expect(causes).toHaveLength(expected.failing.length);
      expect(causes.join()).toMatch(/without an email address\n+Add an email address/);
      expect(await storedRuns(notifyPalantir)).toEqual([]);
      expect(served.standIns.email.messages).toHaveLength(0);
    });

    test('a preview shows how the ends are spread, and pages in either order', async () => {
      await query(
        `UPDATE dbo.DataAccessDeltaRequests SET access_end_dt = DATEADD(DAY, -400, GETUTCDATE()) WHERE id > 160 AND request_status = 'Approved';`,
      );
      const page = await open();
      await preview(page, revokeDatabricks);
      const spread = await cells(panel(page).locator('.spread tr'));
      expect(spread.map(([label]) => label)).toEqual([
        'more than 365 days ago',
        '30 to 365 days ago',
        '7 to 30 days ago',
        '1 to 7 days ago',
        '1 h to 1 day ago',
        'less than 1 h ago',
      ]);
      expect(Number(spread[0]?.[1])).toBeGreaterThan(100);
      expect(await panel(page).locator('.spread .long-ago').count()).toBe(2);

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
      const Job_Id = randomUUID();
      await addRuns(notifyDatabricks, [
        { ago: hour, took: 1000, Processed_Count: 80, Failed_Count: 0 },
        {
          Job_Id,
          ago: lately,
          took: 12_000,
          Processed_Count: 70,
          Failed_Count: 5,
          Error_Message:
            'Failed: 4 without an email address; 1 rejected by the email service, code EmailDropped. Started by hand by ada@example.com.\nhttp=ada@example.com addressMissing=4:17,21,40,41 rejected.EmailDropped=1:999999',
        },
      ]);
      // As somebody does who sees the page for the first time.
      const page = await open();
      await card(page, notifyDatabricks).locator('dd a').first().click();
      await panel(page).getByText('Completed, with failures: 70 sent, 5 failed').waitFor();
      expect(await panel(page).locator('.causes > li').allInnerTexts()).toEqual([
        expect.stringMatching(
          /^4 grants without an email address\n+Add an email address .*\n+Requests:\n+DBX-10017, .+, \w+\.\w+\..+\nDBX-10021, .*\nDBX-10040, .*\nDBX-10041, .*$/,
        ) as string,
        expect.stringMatching(
          /^1 grant rejected by the email service \(EmailDropped\)\n+.*: correct it, or wait.*\n+Requests:\n+999999$/,
        ) as string,
      ]);
      const facts = await panel(page).locator('dl').innerText();
      expect(facts).toContain(Job_Id);
      expect(facts).toContain('Compared with it: 10 fewer sent, 5 more failed, 12 times as long.');
      expect(await panel(page).locator('p.message').innerText()).toContain(
        'Started by hand by ada@example.com.',
      );
      await panel(page).getByRole('link', { name: 'see what the next run would do' }).click();
      await panel(page).getByText('A run now would').waitFor();
    });

    test('a run has the grants that it handled, 100 a page, and closes to the page of all jobs', async () => {
      await query(
        `UPDATE dbo.DataAccessDeltaRequests SET request_status = 'Approved', access_end_dt = GETUTCDATE() WHERE id <= 130;`,
      );
      const page = await open();
      await press(page, 'Run', revokeDatabricks);
      await result(page, revokeDatabricks).getByText('Completed').waitFor();
      await card(page, revokeDatabricks).locator('[data-roving] a').click();
      await panel(page).getByRole('link', { name: 'Next rows' }).waitFor();
      expect(await page.evaluate('document.activeElement.id')).toBe('panel-title');
      const requests = async (): Promise<(string | undefined)[]> =>
        (await cells(panel(page).locator('.scroll tbody tr'))).map(([number]) => number);
      const first = await requests();
      expect(first).toHaveLength(100);
      await panel(page).getByRole('link', { name: 'Next rows' }).click();
      await panel(page).getByRole('link', { name: 'First rows' }).waitFor();
      expect((await requests()).filter((number) => first.includes(number))).toEqual([]);
      await panel(page).getByRole('link', { name: 'Close' }).click();
      await panel(page).waitFor({ state: 'detached' });
      expect(new URL(page.url()).searchParams.get('run')).toBeNull();
    });

    test('the history pages on beyond 30 runs, each compared with the previous one', async () => {
      await addRuns(
        revokePalantir,
        Array.from({ length: 65 }, (_, index) => ({
          ago: (65 - index) * hour - 55 * minute,
          Processed_Count: index,
        })),
      );
      const page = await open(`&job=${revokePalantir}`);
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
      expect(await panel(page).getByRole('link', { name: 'Older runs' }).count()).toBe(0);
      const rows = await cells(panel(page).locator('tbody tr'));
      expect(rows.slice(-2).map((row) => row[4])).toEqual(['1 more revoked', '']);
    });
  });
});

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
