import { formatNumber, formatUtc } from '../../format';
import { html, type SafeHtml } from '../../html';
import { findJob, jobs, type Job } from '../../jobs/catalogue';
import type { FoundRuns } from '../../jobRun/history';
import type { JobRun } from '../../jobRun/jobRun';
import {
  type Address,
  breakable,
  compareRuns,
  describeDuration,
  describeOutcome,
  hostTag,
  type Outcome,
  outcomeOf,
  outcomes,
  timeTag,
  titleOf,
  triggerOf,
  triggers,
  triggerWords,
  type View,
} from './parts';

type Filter = Pick<Address, 'outcome' | 'trigger'>;

/** A history: a page of the runs of one job or of all, newest first. */
export interface RunsPanel {
  readonly kind: 'runs';
  /** Undefined: of all jobs. */
  readonly job: Job | undefined;
  readonly filter: Filter;
  readonly found: FoundRuns;
  /** It begins with the newest run. */
  readonly first: boolean;
}

/** Whether it shows some of the runs: to find them many are read, so that it is not refreshed by itself. */
export function isFiltered({ filter }: RunsPanel): boolean {
  return filter.outcome !== undefined || filter.trigger !== undefined;
}

export function renderRunsPanel(panel: RunsPanel, view: View): SafeHtml {
  const { job, filter, first } = panel;
  const { runs, older, lookedUntil } = panel.found;
  const address: Address = { ...addressOf(job), ...filter };
  const next = older ? runs.at(-1) : lookedUntil;
  const none = isFiltered(panel) ? 'No such run' : 'No run';
  return html`<h2 id="panel-title" tabindex="-1">${job ? titleOf(job) : 'All jobs'}: runs</h2>
    ${renderFilters(panel, view)}
    ${runs.length === 0 ? html`<p>${none}${lookedUntil ? ` since ${formatUtc(lookedUntil.startedAt)}` : first ? ' yet' : ' before that'}.</p>` : renderRuns(panel, view)}
    <p class="pages">
      ${first ? null : html`<a href="${view.link(address)}">Newest runs</a>`}
      ${next ? html`<a href="${view.link({ ...address, before: next.jobId })}">Older runs</a>` : null}
    </p>`;
}

function addressOf(job: Job | undefined): Address {
  return job ? { job: job.type } : { runs: 'all' };
}

const outcomeWords: Readonly<Record<Outcome, string>> = {
  done: 'completed',
  attention: 'with failures, stopped early',
  failed: 'failed',
  running: 'running',
};

function renderFilters({ job, filter }: RunsPanel, { link }: View): SafeHtml {
  const choice = (words: string, address: Address, chosen: boolean): SafeHtml =>
    html`<a href="${link(address)}" ${chosen ? html` aria-current="true"` : null}>${words}</a> `;
  const here = addressOf(job);
  const { outcome, trigger } = filter;
  return html`<nav class="filters" aria-label="Which runs are shown">
    <p>
      <span>Job</span> ${choice('all', { runs: 'all', ...filter }, job === undefined)}
      ${jobs.map((one) => choice(titleOf(one), { job: one.type, ...filter }, one === job))}
    </p>
    <p>
      <span>Outcome</span> ${choice('any', { ...here, ...(trigger && { trigger }) }, outcome === undefined)}
      ${outcomes.map((one) => choice(outcomeWords[one], { ...here, ...filter, outcome: one }, one === outcome))}
    </p>
    <p>
      <span>Started by</span>
      ${choice('any', { ...here, ...(outcome && { outcome }) }, trigger === undefined)}
      ${triggers.map((one) => choice(triggerWords[one], { ...here, ...filter, trigger: one }, one === trigger))}
    </p>
  </nav>`;
}

interface Column {
  readonly name: string;
  readonly className?: 'number' | 'hint';
  readonly cell: (run: JobRun, previous: JobRun | undefined) => SafeHtml | string;
}

function columnsOf(panel: RunsPanel, { readAt }: View): Column[] {
  const { job } = panel;
  const word = job ? job.words.done : 'done';
  const done = `${word.charAt(0).toUpperCase()}${word.slice(1)}`;
  const columns: (Column | false)[] = [
    !job && { name: 'Job', cell: ({ jobType }) => describeJob(jobType) },
    {
      name: 'Outcome',
      cell: (run) => html`<span class="${outcomeOf(run)}">${describeOutcome(run)}</span>`,
    },
    { name: done, className: 'number', cell: (run) => formatNumber(run.processedCount ?? 0) },
    job?.kind !== 'revocation' && {
      name: 'Failed',
      className: 'number',
      cell: ({ failedCount }) => (failedCount === null ? '–' : formatNumber(failedCount)),
    },
    { name: 'Took', className: 'number', cell: (run) => describeDuration(run, readAt) },
    !isFiltered(panel) && {
      name: 'Than before',
      className: 'hint',
      cell: (run, previous) => {
        const itsJob = findJob(run.jobType);
        return itsJob && previous ? compareRuns(itsJob, run, previous, readAt).join(', ') : '';
      },
    },
    { name: 'Started by', cell: renderStarter },
  ];
  return columns.filter((column) => column !== false);
}

function describeJob(jobType: JobRun['jobType']): string {
  const job = findJob(jobType);
  return job ? titleOf(job) : jobType;
}

/** For example "by hand, ada@example.com, on machine-1". */
function renderStarter(run: JobRun): SafeHtml {
  const { startedBy, facts } = run;
  const trigger = triggerOf(run);
  const operator = facts.manual?.operator;
  const known = [trigger && triggerWords[trigger], operator].filter(Boolean).map((words) => `${words}, `);
  return html`${breakable(known.join(''))}on ${hostTag(startedBy)}`;
}

function renderRuns(panel: RunsPanel, view: View): SafeHtml {
  const { job, found } = panel;
  const { runs, older } = found;
  const columns = columnsOf(panel, view);
  const all = older ? [...runs, older] : runs;
  return html`<div class="scroll" role="region" aria-label="Runs of ${job?.type ?? 'all jobs'}" tabindex="0">
    <table>
      <thead>
        <tr>
          <th scope="col">Started</th>
          ${columns.map(({ name, className }) => html`<th scope="col" class="${className ?? ''}">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${runs.map((run, index) => {
          const previous = all.slice(index + 1).find(({ jobType }) => jobType === run.jobType);
          return renderRun(run, previous, columns, view);
        })}
      </tbody>
    </table>
  </div>`;
}

function renderRun(run: JobRun, previous: JobRun | undefined, columns: Column[], { link }: View): SafeHtml {
  const { jobId, startedAt, message } = run;
  return html`<tr id="run-${jobId}" ${message === null ? null : html` class="explained"`}>
      <th scope="row">
        <a href="${link({ run: jobId })}">${timeTag(startedAt)}</a>
      </th>
      ${columns.map(
        ({ name, className, cell }) =>
          html`<td ${className === 'hint' ? null : html`data-label="${name}"`} class="${className ?? ''}">
            ${cell(run, previous)}
          </td>`,
      )}
    </tr>
    ${
      message === null
        ? null
        : html`<tr class="message">
            <td colspan="${columns.length + 1}"><p>${message}</p></td>
          </tr>`
    }`;
}
