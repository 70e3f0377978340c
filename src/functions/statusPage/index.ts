import { createHash } from 'node:crypto';
import type { HttpHandler, HttpResponseInit } from '@azure/functions';
import { deadlineIn } from '../../clock';
import type { SafeHtml } from '../../html';
import { readJobStates } from '../../jobs/jobStates';
import { readQuery } from '../parameters';
import { toProblem } from '../problem';
import { getServices } from '../runner';
import { script, style } from './assets';
import { renderProblemPage, renderStatusPage, runsShown } from './page';

/**
 * How long a reader waits for a database that cannot be reached, in ms: shorter than for a run. One that was paused
 * starts to wake up at the first try.
 */
const timeBudget = 30_000;

/** GET /api/status: the four jobs at a glance, as a page for operators. */
export const getStatus: HttpHandler = async (request, context) => {
  try {
    readQuery(request, []);
    const services = await getServices();
    const { clock, settings } = services;
    const states = await readJobStates(services, deadlineIn(clock, timeBudget), runsShown);
    return answer(200, renderStatusPage({ states, settings, readAt: new Date(clock.now()) }));
  } catch (error) {
    context.error(error);
    const { status, title, detail, headers } = toProblem(error);
    return answer(status, renderProblemPage(title, detail), headers);
  }
};

/** The page's own style and script by their hashes, and the jobs of this app; nothing else is loaded or reached. */
const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src '${hash(style)}'`,
  `script-src '${hash(script)}'`,
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

function hash(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}

function answer(
  status: number,
  page: SafeHtml,
  headers: Readonly<Record<string, string>> = {},
): HttpResponseInit {
  return {
    status,
    headers: {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': contentSecurityPolicy,
      'Cache-Control': 'no-store',
      // The address holds the function key.
      'Referrer-Policy': 'no-referrer',
      'X-Content-Type-Options': 'nosniff',
      ...headers,
    },
    body: page.html,
  };
}
