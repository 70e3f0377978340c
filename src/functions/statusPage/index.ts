import { createHash } from 'node:crypto';
import type { HttpResponseInit } from '@azure/functions';
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
  readRowId,
  readJobId,
  readOrder,
  readQuery,
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
import { linkWith, outcomeOf, outcomes, triggerOf, triggers } from './parts';
import style from './style.css?inline';

const assets = { style, script };

/**
 * GET /api/status: the four jobs at a glance, as a page for operators. ?job= opens a job's runs, and
 * ?runs=all those of all jobs, filtered by &outcome= and &trigger=; ?job=&preview= what a run would do now, ?run=
 * one run, ?search= the requests that it finds, and ?request= one of them. The page's script asks with the header
 * X-Fragment for the content alone: "page" with the panel, "cards" without.
 */
export const getStatus: Handler = async (request, context) => {
  const part = request.headers.get('x-fragment');
  try {
    const query = readQuery(request, [
      'job',
      'runs',
      'outcome',
      'trigger',
      'run',
      'preview',
      'request',
      'search',
      'before',
      'after',
    ]);
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

/**
 * The panel that the address names.
 * @throws RequestError where it names what does not exist
 */
async function readPanel(
  query: Parameters,
  services: Services,
  deadline: Deadline,
): Promise<Panel | undefined> {
  const request = query.get('request');
  if (request !== undefined) return readRequestPanel(request, services, deadline);
  const search = query.get('search') ?? '';
  if (search.trim() !== '') return readSearchPanel(search, services, deadline);
  const jobId = readJobId(query, 'run');
  const before = readJobId(query, 'before');
  const first = before === undefined && !query.has('after');
  if (jobId !== undefined) {
    const details = await readRunDetails(services, deadline, jobId, readRowId(query));
    if (!details) throw noSuchPage(`There is no run ${jobId}.`);
    return { kind: 'run', job: details.job, details, first };
  }
  const jobType = query.get('job');
  if (readChoice(query, 'runs', ['all'])) return readRunsPanel(undefined, query, services, deadline);
  if (jobType === undefined) {
    if (query.has('preview'))
      throw new ParameterError('The parameter preview is given without job: expected both.');
    return undefined;
  }
  const job = findJob(jobType);
  if (!job) throw noSuchPage(`There is no job type ${quote(jobType)}.`);
  if (query.has('preview')) {
    const order = readOrder(query, 'preview');
    const after = job.platform.requestIdType === 'INT' ? readRowId(query) : readJobId(query, 'after');
    const preview = await previewJob(services, job, { order, ...(after !== undefined && { after }) });
    return { kind: 'preview', job, preview, order, first };
  }
  return readRunsPanel(job, query, services, deadline);
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
  const found = await database.connect('read', (connection) =>
    connection.withRetries(deadline, (session) =>
      findRuns(session, job?.type, runsShown, { before, ...(filtered && { matches }) }),
    ),
  );
  if (!found) throw noSuchPage(`There is no run ${before ?? ''}.`);
  return { kind: 'runs', job, filter, found, first: before === undefined };
}

async function readRequestPanel(address: string, services: Services, deadline: Deadline): Promise<Panel> {
  const [platform = '', ...ids] = address.split('/');
  const requestId = ids.join('/');
  const named = requireRequest({ platform, requestId });
  const story = await readStory(services, deadline, named.platform, named.requestId);
  if (!story) throw unknownRequest(named.platform, named.requestId);
  return { kind: 'request', story };
}

async function readSearchPanel(given: string, services: Services, deadline: Deadline): Promise<Panel> {
  const query = readSearch('search', given);
  const search = await searchRequests(services, deadline, query);
  return { kind: 'search', query, search, advice: describeCompleteness(search).advice };
}

function noSuchPage(detail: string): RequestError {
  return new RequestError('unknownPage', `${detail} Open the status page without it.`);
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
