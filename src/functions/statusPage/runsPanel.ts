import { formatNumber } from '../../format';
import { html, type SafeHtml } from '../../html';
import type { Job } from '../../jobs/catalogue';
import type { JobRun } from '../../jobRun/jobRun';
import {
  compareRuns,
  describeDuration,
  describeOutcome,
  doneWord,
  hostTag,
  outcomeOf,
  timeTag,
  titleOf,
  type View,
} from './parts';

/** A job's history: a page of its runs, newest first. */
export interface RunsPanel {
  readonly kind: 'runs';
  readonly job: Job;
  readonly runs: readonly JobRun[];
  /** The run before the last of these; undefined: it was the first one. */
  readonly older: JobRun | undefined;
  /** It begins with the newest run. */
  readonly first: boolean;
}

export function renderRunsPanel({ job, runs, older, first }: RunsPanel, view: View): SafeHtml {
  const { type } = job;
  const last = runs.at(-1);
  return html`<h2 id="panel-title" tabindex="-1">${titleOf(job)}: runs</h2>
    ${runs.length === 0 ? html`<p>No run${first ? ' yet' : ' before that'}.</p>` : renderRuns(job, runs, older, view)}
    <p class="pages">
      ${first ? null : html`<a href="${view.link({ job: type })}">Newest runs</a>`}
      ${older && last ? html`<a href="${view.link({ job: type, before: last.jobId })}">Older runs</a>` : null}
    </p>`;
}

function renderRuns(
  job: Job,
  runs: readonly JobRun[],
  older: JobRun | undefined,
  { readAt, link }: View,
): SafeHtml {
  const counted = job.kind === 'notification';
  const word = doneWord(job.kind);
  const done = `${word.charAt(0).toUpperCase()}${word.slice(1)}`;
  const rows = runs.map((run, index) => {
    const previous = runs[index + 1] ?? older;
    return html`<tr id="run-${run.jobId}" ${run.message === null ? null : html` class="explained"`}>
        <th scope="row">
          <a href="${link({ run: run.jobId })}">${timeTag(run.startedAt)}</a>
        </th>
        <td data-label="Outcome"><span class="${outcomeOf(run)}">${describeOutcome(run)}</span></td>
        <td data-label="${done}" class="number">${formatNumber(run.processedCount ?? 0)}</td>
        ${counted ? html`<td data-label="Failed" class="number">${run.failedCount === null ? '–' : formatNumber(run.failedCount)}</td>` : null}
        <td data-label="Took" class="number">${describeDuration(run, readAt)}</td>
        <td class="hint">${previous ? compareRuns(job, run, previous, readAt).join(', ') : null}</td>
        <td data-label="Host">${hostTag(run.startedBy)}</td>
      </tr>
      ${
        run.message === null
          ? null
          : html`<tr class="message">
              <td colspan="${counted ? 7 : 6}"><p>${run.message}</p></td>
            </tr>`
      }`;
  });
  return html`<div class="scroll" role="region" aria-label="Runs of ${job.type}" tabindex="0">
    <table>
      <thead>
        <tr>
          <th scope="col">Started</th>
          <th scope="col">Outcome</th>
          <th scope="col" class="number">${done}</th>
          ${counted ? html`<th scope="col" class="number">Failed</th>` : null}
          <th scope="col" class="number">Took</th>
          <th scope="col">Than before</th>
          <th scope="col">Host</th>
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;
}
