/** The Chromium of the tests. The headless shell is preferred, which is faster. CHROMIUM names another executable. */
import { existsSync, readFileSync } from 'node:fs';
import { chromium, type Browser, type Page } from 'playwright-core';

const places = process.env.CHROMIUM
  ? [process.env.CHROMIUM]
  : ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium'];
const executablePath = places.find((place) => existsSync(place));

/** Skips the tests, with the reason, if there is no Chromium. */
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
 * The findings of axe-core in a page: each rule with its elements.
 * @param options of axe.run
 */
export async function accessibilityFaults(
  page: Page,
  options: { readonly iframes?: boolean } = {},
): Promise<[rule: string, elements: string[]][]> {
  // Sent once to a document: it is 650 kB.
  if (!(await page.evaluate<boolean>(`'axe' in window`))) await page.evaluate(axe);
  // The whole result is large: only the violations leave the page.
  return page.evaluate<[string, string[]][]>(
    `axe.run(${JSON.stringify({ resultTypes: ['violations'], ...options })}).then(({ violations }) =>
      violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))`,
  );
}
