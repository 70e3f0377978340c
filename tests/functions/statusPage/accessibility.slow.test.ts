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
  preview,
  serveStatusPage,
  notifyDatabricks,
  revokeDatabricks,
  revokePalantir,
} from './support';

describeInChromium('The status page in Chromium', () => {
  const served = serveStatusPage();
  const { open, addRuns } = served;

  describe('is open to everybody', () => {
    test('without JavaScript everything is read, and no button is offered', async () => {
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

    test.each(['light', 'dark'] as const)(
      'text has a contrast of at least 4.5 to 1, and nothing is wider than a phone (%s)',
      async (colorScheme) => {
        await addRuns(revokeDatabricks, [{ ago: lately, Status: 'Failed', Error_Message: 'x'.repeat(500) }]);
        await addRuns(notifyDatabricks, [
          { ago: 2 * hour, Processed_Count: 3, Failed_Count: 1 },
          { ago: minute, Status: 'InProgress', Started_By: 'y'.repeat(100) },
        ]);
        const page = await open('', { colorScheme, viewport: { width: 320, height: 640 } });
        const check = async (): Promise<number> => {
          expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
          const { measured, tooLow } = await page.evaluate<Contrasts>(measureContrasts);
          expect(tooLow).toEqual([]);
          return measured;
        };
        expect(await check()).toBeGreaterThan(50);
        await page.getByRole('link', { name: 'All runs of RevokeExpiredDatabricksRequests' }).click();
        await panel(page).waitFor();
        await check();
        await panel(page).getByRole('link', { name: 'Close' }).click();
        await panel(page).waitFor({ state: 'detached' });
        await preview(page, revokeDatabricks);
        await check();
      },
    );

    describe('in any colours, on any screen', () => {
      // Opened once for all: what differs is how they are shown. They rest, so that they stay as they were opened.
      const pages: Page[] = [];

      beforeAll(async () => {
        const Job_Id = randomUUID();
        await addRuns(revokeDatabricks, [
          { ago: 3 * day, Status: 'Failed', Error_Message: 'Broken.', Processed_Count: 640 },
        ]);
        await addRuns(revokePalantir, [{ ago: minute, Status: 'InProgress', Processed_Count: 5 }]);
        await addRuns(notifyDatabricks, [
          { ago: hour, Processed_Count: 3, Failed_Count: 0 },
          {
            Job_Id,
            ago: lately,
            Processed_Count: 3,
            Failed_Count: 2,
            Started_By: 'SandboxHost-639012345678901234',
            Error_Message:
              'Failed: 2 without an email address. Started by hand.\nhttp addressMissing=2:17,21',
          },
        ]);
        for (const address of [
          '',
          `&job=${notifyDatabricks}`,
          '&runs=all&trigger=http',
          `&run=${Job_Id}`,
          `&job=${notifyDatabricks}&preview=soonest`,
          '&search=Emma',
          '&request=databricks/17',
        ]) {
          const page = await open(address);
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
        { width: 390, height: 844 },
      ];

      test.each(colours.flatMap((media) => screens.map((viewport) => [media, viewport] as const)))(
        'axe-core finds nothing, and no column is cut (%j, %j)',
        async (media, viewport) => {
          for (const page of pages) {
            await page.emulateMedia(media);
            await page.setViewportSize(viewport);
            expect(await accessibilityFaults(page)).toEqual([]);
            const cut = await page.evaluate<string[]>(
              `[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel)`,
            );
            expect(cut).toEqual([]);
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

      test('a history of all jobs is read whole, with names and local times', async () => {
        const Error_Message = 'Started by hand.\nhttp=augusta.ada.lovelace@department.example.com';
        await addRuns(notifyDatabricks, [
          { ago: hour, took: 70_000, Processed_Count: 1240, Failed_Count: 12, Error_Message },
        ]);
        await addRuns(revokePalantir, [{ ago: minute, Status: 'InProgress', Processed_Count: 5 }]);
        for (const width of [390, 1280]) {
          const page = await open('&runs=all', {
            timezoneId: 'Europe/Berlin',
            viewport: { width, height: 900 },
          });
          const [content, shown] = await page.evaluate<[number, number]>(
            `[document.querySelector('.scroll').scrollWidth, document.querySelector('.scroll').clientWidth]`,
          );
          expect(content).toBeLessThanOrEqual(shown);
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

interface Contrasts {
  /** How many elements. */
  readonly measured: number;
  /** The text and the contrast of those below 4.5 to 1. */
  readonly tooLow: readonly [string, number][];
}

/** In the page: the contrast of each visible element that has text (WCAG 2.2, 1.4.3). */
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
  const contrasts = [...document.querySelectorAll('body *')]
    .filter((element) => element.tagName !== 'title' && element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((element) => {
      const [one, other] = [parse(textColor(element)), background(element)].map(luminance).sort((a, b) => b - a);
      return [element.textContent.slice(0, 40), (one + 0.05) / (other + 0.05)];
    });
  return { measured: contrasts.length, tooLow: contrasts.filter(([, contrast]) => contrast < 4.5) };
})()`;
