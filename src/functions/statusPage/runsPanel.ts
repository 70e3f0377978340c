import { formatNumber, formatUtc } from '../../format';
import { html, type SafeHtml } from '../../html';
import { findJob, jobs, type Job } from '../../jobs/catalogue';
import type { FoundRuns } from '../../jobRun/history';
import type { JobRun } from '../../jobRun/jobRun';
import {
  type Address,
  breakable,
  capitalised,
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
import { renderPages, renderTable } from './tables';

/** A history: a page of the runs of one job or of all, newest first. */
export interface RunsPanel {
  readonly kind: 'runs';
  /** Undefined: of all jobs. */
  readonly job: Job | undefined;
  readonly filter: Pick<Address, 'outcome' | 'trigger'>;
  readonly found: FoundRuns;
  /** It begins with the newest run. */
  readonly first: boolean;
}

/** Whether it shows only some of the runs: finding them reads many, so it is not refreshed automatically. */
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
    ${renderPages(
      {
        'Newest runs': first ? undefined : address,
        'Older runs': next && { ...address, before: next.jobId },
      },
      view,
    )}`;
}

function addressOf(job: Job | undefined): Address {
  return job ? { job: job.type } : { runs: 'all' };
}

const outcomeWords: Readonly<Record<Outcome, string>> = {
  done: 'completed',
  attention: 'with failures or stopped early',
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
      <span>Trigger</span>
      ${choice('any', { ...here, ...(outcome && { outcome }) }, trigger === undefined)}
      ${triggers.map((one) => choice(triggerWords[one], { ...here, ...filter, trigger: one }, one === trigger))}
    </p>
  </nav>`;
}

function describeJob(jobType: JobRun['jobType']): string {
  const job = findJob(jobType);
  return job ? titleOf(job) : jobType;
}

/** For example "by hand, ada@example.com, on machine-1". */
function renderTrigger(run: JobRun): SafeHtml {
  const { startedBy, facts } = run;
  const trigger = triggerOf(run);
  const operator = facts.manual?.operator;
  const known = [trigger && triggerWords[trigger], operator].filter(Boolean).map((words) => `${words}, `);
  return html`${breakable(known.join(''))}on ${hostTag(startedBy)}`;
}

function renderRuns(panel: RunsPanel, view: View): SafeHtml {
  const { job, found } = panel;
  const { runs, older } = found;
  const { readAt, link } = view;
  const all = older ? [...runs, older] : runs;
  const compare = (run: JobRun): string => {
    const previous = all.slice(all.indexOf(run) + 1).find(({ jobType }) => jobType === run.jobType);
    const itsJob = findJob(run.jobType);
    return itsJob && previous ? compareRuns(itsJob, run, previous, readAt).join(', ') : '';
  };
  return renderTable<JobRun>(
    `Runs of ${job?.type ?? 'all jobs'}`,
    [
      {
        name: 'Started',
        cell: ({ jobId, startedAt }) => html`<a href="${link({ run: jobId })}">${timeTag(startedAt)}</a>`,
      },
      !job && { name: 'Job', look: 'plain', cell: ({ jobType }) => describeJob(jobType) },
      {
        name: 'Outcome',
        look: 'plain',
        cell: (run) => html`<span class="${outcomeOf(run)}">${describeOutcome(run)}</span>`,
      },
      {
        name: capitalised(job?.words.done ?? 'done'),
        look: 'number',
        cell: ({ processedCount }) => formatNumber(processedCount ?? 0),
      },
      job?.kind !== 'revocation' && {
        name: 'Failed',
        look: 'number',
        cell: ({ failedCount }) => (failedCount === null ? '–' : formatNumber(failedCount)),
      },
      { name: 'Took', look: 'number', cell: (run) => describeDuration(run, readAt) },
      !isFiltered(panel) && { name: 'Compared with the previous run', look: 'hint', cell: compare },
      { name: 'Trigger', cell: renderTrigger },
    ],
    runs,
    { id: ({ jobId }) => `run-${jobId}`, message: ({ message }) => message },
  );
}
