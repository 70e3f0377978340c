import { createHash } from 'node:crypto';
import type { HttpResponseInit } from '@azure/functions';
import { deadlineIn, type Deadline } from '../../clock';
import type { SafeHtml } from '../../html';
import { readJobStates } from '../../jobs/jobStates';
import { previewJob } from '../../jobs/previewJob';
import { readRunDetails } from '../../jobs/runDetails';
import { describeCompleteness, searchRequests } from '../../jobs/requestSearch';
import { readStory } from '../../jobs/requestStory';
import { readBudgetMs } from '../../jobs/budgets';
import type { Services } from '../../services';
import { findRuns } from '../../jobRun/history';
import type { JobRun } from '../../jobRun/jobRun';
import type { Handler, RefusalHandler } from '../http';
import { queryOf, readQuery } from '../parameters';
import { RequestError, toProblem } from '../problem';
import { unknownRequest } from '../requests';
import { getServices } from '../runner';
import { mayOperate, signedInName } from '../signIn';
import script from './browser/script.ts?inline';
import {
  renderFragment,
  renderProblem,
  renderProblemPage,
  renderStatusPage,
  runsShown,
  type Panel,
} from './page';
import { readDueCounts } from './dueCounts';
import { noSuchPage, pageParameters, readPanelAddress, type PanelAddress } from './panelAddress';
import { linkWith, outcomeOf, triggerOf } from './parts';
import style from './style.css?inline';

const assets = { style, script };

/**
 * GET /api/status: the four jobs at a glance, as a page for operators; its address may name a panel next to them
 * (panelAddress.ts). The page's script asks with the header X-Fragment for the content only: "page" with the panel, "cards"
 * without.
 */
export const getStatus: Handler = async (request, context) => {
  const part = request.headers.get('x-fragment');
  try {
    const address = readPanelAddress(readQuery(request, pageParameters));
    const key = queryOf(request).get('code');
    const services = await getServices();
    const { clock, settings } = services;
    const deadline = deadlineIn(clock, readBudgetMs);
    const panel = address && part !== 'cards' ? await readPanel(address, services, deadline) : undefined;
    const shown = panel ?? address;
    const states = await readJobStates(services, deadline, runsShown);
    const page = {
      states,
      dueCounts: await readDueCounts(services, states, (error) => context.error(error)),
      settings,
      operator: signedInName(request, settings.appService),
      panel,
      selected: shown && 'job' in shown ? shown.job : undefined,
      readAt: new Date(clock.now()),
      mayOperate: mayOperate(request),
      documentationUrl: settings.documentationUrl,
      key,
      link: linkWith(key),
    };
    return answer(200, part ? renderFragment(page) : renderStatusPage(page, assets));
  } catch (error) {
    if (!(error instanceof RequestError)) context.error(error);
    const { status, title, detail, headers } = toProblem(error);
    const problem = {
      title,
      detail,
      // The address will not work later either; the page without it does.
      ...(status < 500 && {
        way: { href: linkWith(queryOf(request).get('code'))({}), text: 'Open the status page' },
      }),
      retry: status >= 500,
    };
    return answer(status, part ? renderProblem(problem) : renderProblemPage(problem, assets), headers);
  }
};

/** A page for people who may not see the status page, with a link to sign in. */
export const refuseStatus: RefusalHandler = async (request, refusal) => {
  const { status, title, detail } = toProblem(refusal);
  const { appService } = (await getServices()).settings;
  const { pathname, search } = new URL(request.url);
  const back = new URLSearchParams({ post_login_redirect_uri: pathname + search });
  const signIn = appService.authenticationOn
    ? { href: `/.auth/login/aad?${back.toString()}`, text: 'Sign in' }
    : undefined;
  const part = request.headers.get('x-fragment');
  const problem = { title, detail, ...(signIn && { way: signIn }), retry: false };
  return answer(status, part ? renderProblem(problem) : renderProblemPage(problem, assets));
};

/**
 * Reads what the panel shows.
 * @throws RequestError where the address names what does not exist
 */
async function readPanel(address: PanelAddress, services: Services, deadline: Deadline): Promise<Panel> {
  switch (address.kind) {
    case 'runs':
      return readRunsPanel(address, services, deadline);
    case 'preview': {
      const { kind, job, order, after } = address;
      const preview = await previewJob(services, job, { order, ...(after !== undefined && { after }) });
      return { kind, job, preview, order, first: after === undefined };
    }
    case 'run': {
      const { kind, jobId, after } = address;
      const details = await readRunDetails(services, deadline, jobId, after);
      if (!details) throw noSuchPage(`There is no run ${jobId}.`);
      return { kind, job: details.job, details, first: after === undefined };
    }
    case 'request': {
      const { kind, platform, requestId } = address;
      const story = await readStory(services, deadline, platform, requestId);
      if (!story) throw unknownRequest(platform, requestId);
      return { kind, story };
    }
    case 'search': {
      const { kind, query } = address;
      const search = await searchRequests(services, deadline, query);
      return { kind, query, search, advice: describeCompleteness(search).advice };
    }
  }
}

async function readRunsPanel(
  { kind, job, filter, before }: Extract<PanelAddress, { kind: 'runs' }>,
  { database }: Services,
  deadline: Deadline,
): Promise<Panel> {
  const { outcome, trigger } = filter;
  const filtered = outcome !== undefined || trigger !== undefined;
  const matches = (run: JobRun): boolean =>
    (outcome === undefined || outcomeOf(run) === outcome) &&
    (trigger === undefined || triggerOf(run) === trigger);
  const found = await database.connect('read', (connection) =>
    connection.withRetries(deadline, (session) =>
      findRuns(session, job?.type, runsShown, { before, ...(filtered && { matches }) }),
    ),
  );
  if (!found) throw noSuchPage(`There is no run ${before ?? ''}.`);
  return { kind, job, filter, found, first: before === undefined };
}

/** The page's own style and script by their hashes, and the jobs of this app; nothing else is loaded or reached. */
const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src '${hash(style)}'`,
  `script-src '${hash(script)}'`,
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  // The search, where the script is off.
  "form-action 'self'",
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
      // The address holds the function key.
      'Referrer-Policy': 'no-referrer',
      ...headers,
    },
    body: page.html,
  };
}
