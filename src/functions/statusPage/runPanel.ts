import { describeCounts, formatAgo, formatDuration, formatNumber, formatUtc } from '../../format';
import { html, type SafeHtml } from '../../html';
import type { Job } from '../../jobs/catalogue';
import { stoppedEarly } from '../../jobs/judgeJob';
import { requestViewAdvice } from '../../jobs/requests';
import type { RunDetails } from '../../jobs/runDetails';
import {
  breakable,
  capitalised,
  compareRuns,
  copyable,
  describeDuration,
  describeOutcome,
  durationMs,
  nounsOf,
  outcomeOf,
  requestLink,
  timeOrDash,
  timeTag,
  titleOf,
  type View,
} from './parts';
import { renderCauses, renderFacts, renderPages, renderTable } from './tables';

/** One run down to the grant. */
export interface RunPanel {
  readonly kind: 'run';
  readonly job: Job;
  readonly details: RunDetails;
  /** It shows the first of its rows. */
  readonly first: boolean;
}

export function renderRunPanel(panel: RunPanel, view: View): SafeHtml {
  const { job, details } = panel;
  const { run, failures, requests } = details;
  const left = run.status === 'Failed' || (run.failedCount ?? 0) > 0 || stoppedEarly(run);
  return html`<h2 id="panel-title" tabindex="-1">${titleOf(job)}: run of ${formatUtc(run.startedAt)}</h2>
    <p class="outcome ${outcomeOf(run)}">${describeOutcome(run)}: ${describeCounts(job.words.done, run)}</p>
    ${run.message === null ? null : html`<p class="message">${run.message}</p>`}
    ${requests ? null : html`<p class="notice">${requestViewAdvice(job.platform)}</p>`}
    ${renderCauses({ heading: 'Why grants failed', noun: 'grant', platform: job.platform }, failures, (id) => requests?.get(id), view)}
    ${
      left
        ? html`<p>
            What this run left is still due:
            <a href="${view.link({ job: job.type, preview: 'soonest' })}">see what the next run would do</a>.
          </p>`
        : null
    }
    ${renderFacts([
      [
        'Started',
        html`${timeTag(run.startedAt)}, ${formatAgo(view.readAt.getTime() - run.startedAt.getTime())}`,
      ],
      [run.completedAt ? 'Took' : 'Running for', formatDuration(durationMs(run, view.readAt))],
      ['Host', run.startedBy],
      ['Run id', copyable(run.jobId, 'run id')],
      ['Previous run', renderPrevious(job, details, view)],
    ])}
    ${renderRows(panel, view)} ${renderPages({ 'All runs of this job': { job: job.type } }, view)}`;
}

function renderPrevious(
  job: Job,
  { run, previousRun }: RunDetails,
  { readAt, link }: View,
): SafeHtml | string {
  if (!previousRun) return 'none';
  return html`<a href="${link({ run: previousRun.jobId })}">${timeTag(previousRun.startedAt)}</a>,
    ${describeOutcome(previousRun)}, ${describeCounts(job.words.done, previousRun)} in
    ${describeDuration(previousRun, readAt)}.
    ${run.completedAt ? `Compared with it: ${compareRuns(job, run, previousRun, readAt).join(', ') || 'the same counts'}.` : null}`;
}

function renderRows({ job, details, first }: RunPanel, view: View): SafeHtml {
  const { run, rows, next, requests } = details;
  const { done } = job.words;
  if (rows.length === 0)
    return html`<p>
      ${first ? `This run ${run.completedAt ? `${done} nothing` : `has ${done} nothing yet`}.` : 'There are no more rows.'}
    </p>`;
  const requestOf = ({ requestId }: (typeof rows)[number]) => requests?.get(requestId);
  const total = run.processedCount === null ? '' : ` of ${formatNumber(run.processedCount)}`;
  return html`<h3>${nounsOf(job)} ${done}</h3>
    ${renderTable(
      `${nounsOf(job)} that this run ${done}`,
      [
        {
          name: 'Request',
          cell: (row) => requestLink(job.platform, row.requestId, requestOf(row), view),
        },
        { name: 'Holder', look: 'name', cell: (row) => requestOf(row)?.requesterName ?? '–' },
        { name: 'Access', look: 'path', cell: (row) => breakable(requestOf(row)?.resource ?? '–') },
        job.writes.sentTo !== undefined && {
          name: 'Sent to',
          look: 'path',
          cell: ({ sentTo }) => breakable(sentTo ?? '–'),
        },
        { name: 'Ends', cell: (row) => timeOrDash(requestOf(row)?.expiresAt) },
        { name: capitalised(done), cell: ({ at }) => timeTag(at) },
      ],
      rows,
    )}
    ${renderPages(
      {
        'First rows': first ? undefined : { run: run.jobId },
        'Next rows': next === null ? undefined : { run: run.jobId, after: String(next) },
      },
      view,
      `${formatNumber(rows.length)} shown${total}`,
    )}`;
}
