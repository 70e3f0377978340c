/**
 * The Chromium that tests run in. The shell is preferred: it is Chromium without windows, and starts a page for a third
 * of the work. CHROMIUM names another executable.
 */
import { existsSync, readFileSync } from 'node:fs';
import { chromium, type Browser, type Page } from 'playwright-core';

const places = process.env.CHROMIUM
  ? [process.env.CHROMIUM]
  : ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium'];
const executablePath = places.find((place) => existsSync(place));

/** Skips the tests, and says why, where there is no Chromium. */
export function describeInChromium(name: string, body: () => void): void {
  if (executablePath !== undefined) describe(name, body);
  else
    describe.skip(
      `${name} (skipped: there is no ${places.join(' or ')}; install chromium-headless-shell)`,
      body,
    );
}

export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    ...(executablePath !== undefined && { executablePath }),
    args: ['--disable-gpu', '--disable-quic'],
  });
}

const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/**
 * What axe-core finds in a page, each rule with the elements concerned.
 * @param options of axe.run
 */
export async function accessibilityFaults(
  page: Page,
  options: { readonly iframes?: boolean } = {},
): Promise<[rule: string, elements: string[]][]> {
  // It stays in a document, and is 650 kB to send.
  if (!(await page.evaluate<boolean>(`'axe' in window`))) await page.evaluate(axe);
  // Of the result, which has all that every rule looked at, only what is asked for leaves the page.
  return page.evaluate<[string, string[]][]>(
    `axe.run(${JSON.stringify({ resultTypes: ['violations'], ...options })}).then(({ violations }) =>
      violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))`,
  );
}
