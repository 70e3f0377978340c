/** Who can read the status page: without JavaScript, in any colours, on a phone, and with what assists. */
import { randomUUID } from 'node:crypto';
import type { Page } from 'playwright-core';
import { accessibilityFaults, describeInChromium } from '../../support/browser';
import {
  card,
  day,
  hour,
  lately,
  minute,
  panel,
  serveStatusPage,
  notifyDatabricks,
  revokeDatabricks,
  revokePalantir,
} from './support';

describeInChromium('The status page in Chromium', () => {
  const served = serveStatusPage();
  const { open, addRuns } = served;

  describe('is open to everybody', () => {
    test('everything can be read without JavaScript, and no button is offered', async () => {
      await addRuns(revokePalantir, [{ ago: lately, Processed_Count: 3 }]);
      const page = await open('', { javaScriptEnabled: false });
      expect(await card(page, revokePalantir).innerText()).toContain('Completed: 3 revoked in 0.5 s');
      expect(await page.getByRole('button').allInnerTexts()).toEqual(['Search']);
      expect(await page.getByText('can be read without JavaScript').isVisible()).toBe(true);
      await page.getByRole('link', { name: `All runs of ${revokePalantir}` }).click();
      expect(await panel(page).getByRole('table').innerText()).toContain('machine-1');
      await panel(page).locator('tbody a').first().click();
      expect(await panel(page).innerText()).toContain('This run revoked nothing.');
      await page.getByRole('link', { name: `Preview ${revokePalantir}` }).click();
      expect(await panel(page).innerText()).toContain('A run now would revoke');
      expect(await page.getByRole('button').allInnerTexts()).toEqual(['Search']);
    });

    describe('in any colours, on any screen', () => {
      // Opened once for all: what differs is how they are shown. They rest, so that they stay as they were opened.
      const pages: Page[] = [];

      beforeAll(async () => {
        const Job_Id = randomUUID();
        await addRuns(revokeDatabricks, [
          { ago: 3 * day, Status: 'Failed', Error_Message: 'x'.repeat(500), Processed_Count: 640 },
        ]);
        await addRuns(revokePalantir, [
          { ago: minute, Status: 'InProgress', Started_By: 'y'.repeat(100), Processed_Count: 5 },
        ]);
        await addRuns(notifyDatabricks, [
          { ago: hour, Processed_Count: 3, Failed_Count: 0 },
          {
            Job_Id,
            ago: lately,
            took: 70_000,
            Processed_Count: 1240,
            Failed_Count: 2,
            Started_By: 'SandboxHost-639012345678901234',
            Error_Message:
              'Failed: 2 without an email address. Started by hand.\nhttp=augusta.ada.lovelace@department.example.com addressMissing=2:17,21',
          },
        ]);
        for (const address of [
          '',
          `&job=${notifyDatabricks}`,
          '&runs=all',
          `&run=${Job_Id}`,
          `&job=${notifyDatabricks}&preview=soonest`,
          '&search=Emma',
          '&request=databricks/17',
        ]) {
          const page = await open(address, { timezoneId: 'Europe/Berlin' });
          await page.getByRole('button', { name: 'Stop updates' }).click();
          pages.push(page);
        }
      });

      const colours = [
        { colorScheme: 'light', forcedColors: 'none' },
        { colorScheme: 'dark', forcedColors: 'none' },
        { colorScheme: 'light', forcedColors: 'active' },
      ] as const;
      const screens = [
        { width: 1280, height: 900 },
        { width: 320, height: 640 },
      ];

      test.each(colours.flatMap((media) => screens.map((viewport) => [media, viewport] as const)))(
        'axe-core finds nothing, low contrasts among it, and nothing is cut or wider than the screen (%j, %j)',
        async (media, viewport) => {
          for (const page of pages) {
            await page.emulateMedia(media);
            await page.setViewportSize(viewport);
            expect(await accessibilityFaults(page)).toEqual([]);
            const cut = await page.evaluate<string[]>(
              `[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel)`,
            );
            expect(cut).toEqual([]);
            // axe-core looks at no text in SVG: it has the colour of the legend, which axe-core has checked.
            expect(await page.evaluate(chartTextColours)).toEqual(await page.evaluate(legendColours));
            expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(viewport.width);
          }
        },
      );
    });

    describe('in each detail', () => {
      test('the local time stands apart from UTC, and addresses wrap between their parts', async () => {
        for (const width of [390, 1280]) {
          const page = await open(`&job=${notifyDatabricks}&preview=soonest`, {
            timezoneId: 'Europe/Berlin',
            viewport: { width, height: 900 },
          });
          const gaps = await page.evaluate<number[]>(measureGaps);
          expect(gaps.length).toBeGreaterThan(width === 390 ? 1 : 50);
          expect(Math.min(...gaps)).toBeGreaterThanOrEqual(2);
          const { measured, broken } = await page.evaluate<{ measured: number; broken: string[] }>(
            findBroken,
          );
          expect(measured).toBeGreaterThan(500);
          expect(broken).toEqual([]);
        }
      });

      test('bullets stand within their box', async () => {
        const wrong = await served.startApp({ REVOCATION_CEILING: 'many' });
        const page = await open('', { url: wrong.url });
        const [box, item] = await Promise.all(
          ['#setting-problems', '#setting-problems li'].map((place) => page.locator(place).boundingBox()),
        );
        expect((item?.x ?? 0) - (box?.x ?? 0)).toBeGreaterThanOrEqual(28);
      });

      test('on paper there is nothing to press, no card is split, and colours are those of light', async () => {
        await addRuns(notifyDatabricks, [{ ago: lately, Processed_Count: 3, Failed_Count: 2 }]);
        const page = await open('', {
          colorScheme: 'dark',
          viewport: { width: 718, height: 1000 },
        });
        await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
        const pressable = page.locator('button, .button, input').filter({ visible: true });
        expect(await pressable.count()).toBe(0);
        const [breaks, background] = await page.evaluate<[string[], string]>(
          `[[...document.querySelectorAll('article')].map((one) => getComputedStyle(one).breakInside), getComputedStyle(document.querySelector('article')).backgroundColor]`,
        );
        expect(breaks).toEqual(['avoid', 'avoid', 'avoid', 'avoid']);
        expect(background).toBe('rgb(255, 255, 255)');
      });
    });

    test('forced colours show the legend: its shapes differ from their background and from each other', async () => {
      await addRuns(notifyDatabricks, [{ ago: lately, Processed_Count: 3, Failed_Count: 2 }]);
      const page = await open('', { forcedColors: 'active' });
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
});

/** In the page: between each UTC time and the local one, where both are on one line, in px. */
const measureGaps = String.raw`(() => {
  const range = document.createRange();
  return [...document.querySelectorAll('time .local')].flatMap((local) => {
    const utc = local.parentElement.firstChild;
    range.selectNodeContents(utc);
    const before = [...range.getClientRects()].at(-1);
    const after = local.getClientRects()[0];
    if (!before || !after || after.width === 0) return [];
    return Math.abs(before.bottom - after.bottom) < 4 ? [after.left - (before.left + measure(utc))] : [];
  });
  function measure(node) {
    range.setStart(node, 0);
    range.setEnd(node, node.data.trimEnd().length);
    return [...range.getClientRects()].at(-1).width;
  }
})()`;

/** In the page: the parts of addresses and paths that stand on two lines. */
const findBroken = String.raw`(() => {
  const range = document.createRange();
  const parts = [...document.querySelectorAll('td.path')].flatMap((cell) =>
    [...cell.childNodes].filter((node) => node.nodeType === 3 && node.data.trim() && !node.data.includes(' ')));
  const broken = parts.filter((node) => {
    range.selectNodeContents(node);
    return new Set([...range.getClientRects()].map(({ top }) => top)).size > 1;
  });
  return { measured: parts.length, broken: broken.map(({ data }) => data) };
})()`;

/** In the page: the colours that its charts' texts, and the legends, have. */
const chartTextColours = `[...new Set([...document.querySelectorAll('svg text')].map((one) => getComputedStyle(one).fill))]`;
const legendColours = `[...new Set([...document.querySelectorAll('figcaption')].map((one) => getComputedStyle(one).color))]`;
