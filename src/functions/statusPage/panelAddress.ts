/** The panel that the page's address names: which parameters open one, and which go with them. */
import { findJob, type Job } from '../../jobs/catalogue';
import type { Platform, RequestId } from '../../jobs/platforms';
import {
  alternatives,
  ParameterError,
  quote,
  readChoice,
  readJobId,
  readOrder,
  readRequestId,
  readRowId,
  type Parameters,
} from '../parameters';
import { RequestError } from '../problem';
import { readSearch, requireRequest } from '../requests';
import { outcomes, triggers, type Address } from './parts';

export type RunFilter = Pick<Address, 'outcome' | 'trigger'>;

export type PanelAddress =
  | {
      readonly kind: 'runs';
      /** Undefined: the runs of all jobs. */
      readonly job: Job | undefined;
      readonly filter: RunFilter;
      readonly before: string | undefined;
    }
  | {
      readonly kind: 'preview';
      readonly job: Job;
      readonly order: 'soonest' | 'latest';
      readonly after: RequestId | undefined;
    }
  | { readonly kind: 'run'; readonly jobId: string; readonly after: number | undefined }
  | { readonly kind: 'request'; readonly platform: Platform; readonly requestId: RequestId }
  | { readonly kind: 'search'; readonly query: string };

/** The parameters that open a panel, each with those that go with it. Of several, the first is meant. */
const panelParameters: Readonly<Record<string, readonly string[]>> = {
  request: [],
  search: [],
  run: ['after'],
  preview: ['job', 'after'],
  job: ['outcome', 'trigger', 'before'],
  runs: ['outcome', 'trigger', 'before'],
};

/** Every parameter of the page. */
export const pageParameters = [
  ...new Set(Object.entries(panelParameters).flatMap(([name, others]) => [name, ...others])),
];

/**
 * The panel that the address names; undefined: none.
 * @throws ParameterError where a parameter is malformed, or does not go with the others
 * @throws RequestError 404 where the address names what does not exist
 */
export function readPanelAddress(query: Parameters): PanelAddress | undefined {
  // The form of the search sends an empty text too.
  const given = new Map([...query].filter(([name, value]) => name !== 'search' || value.trim() !== ''));
  const opener = Object.keys(panelParameters).find((name) => given.has(name));
  for (const name of given.keys()) requireFitting(name, opener);
  switch (opener) {
    case 'request':
      return readRequestAddress(given.get('request') ?? '');
    case 'search':
      return { kind: 'search', query: readSearch('search', given.get('search')) };
    case 'run':
      return { kind: 'run', jobId: readJobId(given, 'run') ?? '', after: readRowId(given) };
    case 'preview': {
      const job = requirePageJob(given);
      const order = readOrder(given, 'preview');
      return { kind: 'preview', job, order, after: readRequestId(given, 'after', job.platform) };
    }
    case 'job':
      return readRunsAddress(requirePageJob(given), given);
    case 'runs':
      readChoice(given, 'runs', ['all']);
      return readRunsAddress(undefined, given);
    default:
      return undefined;
  }
}

/** @throws ParameterError where a parameter does not go with the one that opens the panel */
function requireFitting(name: string, opener: string | undefined): void {
  if (name === opener) return;
  if (opener === undefined) throw givenWithout(name, findOpeners(name));
  if (!panelParameters[opener]?.includes(name))
    throw new ParameterError(
      `The parameters ${opener} and ${name} cannot be combined: leave one of them out.`,
    );
}

function findOpeners(name: string): string[] {
  return Object.keys(panelParameters).filter((opener) => panelParameters[opener]?.includes(name));
}

function givenWithout(name: string, missing: readonly string[]): ParameterError {
  return new ParameterError(
    `The parameter ${name} is given without ${alternatives.format(missing)}: add it, or leave ${name} out.`,
  );
}

function requirePageJob(given: Parameters): Job {
  const jobType = given.get('job');
  if (jobType === undefined) throw givenWithout('preview', ['job']);
  const job = findJob(jobType);
  if (!job) throw noSuchPage(`There is no job type ${quote(jobType)}.`);
  return job;
}

function readRunsAddress(job: Job | undefined, given: Parameters): PanelAddress {
  const outcome = readChoice(given, 'outcome', outcomes);
  const trigger = readChoice(given, 'trigger', triggers);
  const filter = { ...(outcome && { outcome }), ...(trigger && { trigger }) };
  return { kind: 'runs', job, filter, before: readJobId(given, 'before') };
}

function readRequestAddress(text: string): PanelAddress {
  const [platform, requestId, ...others] = text.split('/');
  if (platform === undefined || requestId === undefined || others.length > 0)
    throw new ParameterError(
      `The parameter request is ${quote(text)}: expected a platform and the id of a request, such as databricks/17.`,
    );
  return { kind: 'request', ...requireRequest({ platform, requestId }) };
}

/** The address names what does not exist. */
export function noSuchPage(detail: string): RequestError {
  return new RequestError('unknownPage', `${detail} Open the status page without it.`);
}
