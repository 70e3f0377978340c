import { createHash } from 'node:crypto';
import type { HttpRequest, HttpResponseInit } from '@azure/functions';
import { deadlineIn, type Deadline } from '../../clock';
import type { SafeHtml } from '../../html';
import { findJob, type Job } from '../../jobs/catalogue';
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
import {
  ParameterError,
  queryOf,
  quote,
  readChoice,
  readJobId,
  readOrder,
  readQuery,
  readRequestId,
  readRowId,
  type Parameters,
} from '../parameters';
import { RequestError, toProblem } from '../problem';
import { readSearch, requireRequest, unknownRequest } from '../requests';
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
import { findOpener, pageParameters } from './panelParameters';
import { linkWith, outcomeOf, outcomes, triggerOf, triggers } from './parts';
import style from './style.css?inline';

const assets = { style, script };

/**
 * GET /api/status: the four jobs at a glance, as a page for operators; its address may name a panel next to them
 * (panelParameters.ts). With the header X-Fragment the page's script asks for the content only: "page" with the panel,
 * "cards" without.
 */
export const getStatus: Handler = async (request, context) => {
  const part = request.headers.get('x-fragment');
  try {
    const query = readPageQuery(request);
    const key = queryOf(request).get('code');
    const services = await getServices();
    const { clock, settings } = services;
    const deadline = deadlineIn(clock, readBudgetMs);
    const panel = part === 'cards' ? undefined : await readPanel(query, services, deadline);
    const states = await readJobStates(services, deadline, runsShown);
    const page = {
      states,
      dueCounts: await readDueCounts(services, states, (error) => context.error(error)),
      settings,
      operator: signedInName(request, settings.appService),
      panel,
      selected: panel && 'job' in panel ? panel.job : findJob(query.get('job') ?? ''),
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

/** The form of the search sends an empty text too. */
function readPageQuery(request: HttpRequest): Parameters {
  const query = readQuery(request, pageParameters);
  return new Map([...query].filter(([name, value]) => name !== 'search' || value.trim() !== ''));
}

/**
 * The panel that the address names; undefined: none.
 * @throws RequestError 400 where a parameter is malformed, 404 where the address names what does not exist
 */
async function readPanel(
  query: Parameters,
  services: Services,
  deadline: Deadline,
): Promise<Panel | undefined> {
  const first = !query.has('before') && !query.has('after');
  const opener = findOpener(query);
  switch (opener) {
    case 'request': {
      const { platform, requestId } = readRequestAddress(query.get('request') ?? '');
      const story = await readStory(services, deadline, platform, requestId);
      if (!story) throw unknownRequest(platform, requestId);
      return { kind: 'request', story };
    }
    case 'search': {
      const text = readSearch('search', query.get('search'));
      const search = await searchRequests(services, deadline, text);
      return { kind: 'search', query: text, search, advice: describeCompleteness(search).advice };
    }
    case 'run': {
      const jobId = readJobId(query, 'run') ?? '';
      const details = await readRunDetails(services, deadline, jobId, readRowId(query));
      if (!details) throw noSuchPage(`There is no run ${jobId}.`);
      return { kind: 'run', job: details.job, details, first };
    }
    case 'preview': {
      const job = requirePageJob(query);
      const order = readOrder(query, 'preview');
      const after = readRequestId(query, 'after', job.platform);
      const preview = await previewJob(services, job, { order, ...(after !== undefined && { after }) });
      return { kind: 'preview', job, preview, order, first };
    }
    case 'job':
    case 'runs':
      readChoice(query, 'runs', ['all']);
      return readRunsPanel(opener === 'job' ? requirePageJob(query) : undefined, query, services, deadline);
    default:
      return undefined;
  }
}

async function readRunsPanel(
  job: Job | undefined,
  query: Parameters,
  { database }: Services,
  deadline: Deadline,
): Promise<Panel> {
  const before = readJobId(query, 'before');
  const outcome = readChoice(query, 'outcome', outcomes);
  const trigger = readChoice(query, 'trigger', triggers);
  const filter = { ...(outcome && { outcome }), ...(trigger && { trigger }) };
  const filtered = outcome !== undefined || trigger !== undefined;
  const matches = (run: JobRun): boolean =>
    (outcome === undefined || outcomeOf(run) === outcome) &&
    (trigger === undefined || triggerOf(run) === trigger);
  const found = await database.withSession('read', deadline, (session) =>
    findRuns(session, job?.type, runsShown, { before, ...(filtered && { matches }) }),
  );
  if (!found) throw noSuchPage(`There is no run ${before ?? ''}.`);
  return { kind: 'runs', job, filter, found, first: before === undefined };
}

function requirePageJob(query: Parameters): Job {
  const jobType = query.get('job') ?? '';
  const job = findJob(jobType);
  if (!job) throw noSuchPage(`There is no job type ${quote(jobType)}.`);
  return job;
}

/** For example databricks/17. */
function readRequestAddress(text: string): ReturnType<typeof requireRequest> {
  const [platform, requestId, ...others] = text.split('/');
  if (platform === undefined || requestId === undefined || others.length > 0)
    throw new ParameterError(
      `The parameter request is ${quote(text)}: expected a platform and the id of a request, such as databricks/17.`,
    );
  return requireRequest({ platform, requestId });
}

function noSuchPage(detail: string): RequestError {
  return new RequestError('unknownPage', detail);
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
