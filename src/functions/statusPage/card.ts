import { describeSchedule } from '../../config/scheduleWords';
import { describeCounts, formatCount, formatNumber, formatSpan } from '../../format';
import { html, type SafeHtml } from '../../html';
import type { Job } from '../../jobs/catalogue';
import { isStale, stateWords, type JobState, type JobTimer } from '../../jobs/jobStates';
import type { JobRun } from '../../jobRun/jobRun';
import { renderChart } from './chart';
import {
  describeDuration,
  describeOutcome,
  doneWord,
  hostTag,
  outcomeOf,
  timeTag,
  titleOf,
  type View,
} from './parts';

/** How far a run in progress is. */
export interface Progress {
  readonly done: number;
  /** What it had done and what was due, when that was last counted. */
  readonly total: number;
}

/** A job at a glance, with what can be done about it. */
export function renderCard(
  jobState: JobState,
  progress: Progress | undefined,
  revocationCeiling: number | undefined,
  selected: boolean,
  view: View,
): SafeHtml {
  const { job, state, stateReason, runs } = jobState;
  const { type } = job;
  return html`<article
    id="job-${type}"
    aria-labelledby="${type}"
    data-job="${type}"
    data-kind="${job.kind}"
    data-state="${state}"
    ${selected ? html` class="selected"` : null}
  >
    <h2 id="${type}">${titleOf(job)}</h2>
    <p class="type">${type}</p>
    <p class="state" id="state-${type}">${stateWords[state]}</p>
    <p class="reason" id="reason-${type}">${stateReason}</p>
    ${jobState.activeRun ? renderProgress(job, jobState.activeRun, progress, view) : null}
    ${renderFacts(jobState, view)} ${renderChart(job, runs, view)}
    ${renderActions(jobState, revocationCeiling, view)}
    <p class="result" id="result-${type}" role="status" data-keep></p>
  </article>`;
}

function renderFacts({ job, timer, schedule, nextRunAt, lastRun }: JobState, view: View): SafeHtml {
  return html`<dl>
    <div>
      <dt>Last run</dt>
      <dd>${lastRun ? renderLastRun(job, lastRun, view) : 'none yet'}</dd>
    </div>
    <div>
      <dt>Next run</dt>
      <dd>
        ${nextRunAt ? html`${timeTag(nextRunAt)}, in ${formatSpan(nextRunAt.getTime() - view.readAt.getTime())}` : 'none'}
      </dd>
    </div>
    <div>
      <dt>Schedule</dt>
      <dd>${renderSchedule(timer, schedule)}</dd>
    </div>
  </dl>`;
}

function renderSchedule({ expression, zone }: JobTimer, schedule: JobState['schedule']): SafeHtml {
  const words = schedule && describeSchedule(schedule);
  const remarks = [
    ...(schedule?.remarks ?? []),
    ...(zone.timeZone === 'UTC'
      ? []
      : [`The host reads it in ${zone.timeZone} (app setting ${zone.setting ?? ''}).`]),
  ];
  return html`${words ? `${words} ` : null}<code>${expression}</code>${remarks.map((remark) => html`<br />${remark}`)}`;
}

function renderLastRun(job: Job, run: JobRun, { readAt, link }: View): SafeHtml {
  const { jobId, startedAt, startedBy } = run;
  return html`<a href="${link({ run: jobId })}">${timeTag(startedAt)}</a>,
    ${formatSpan(readAt.getTime() - startedAt.getTime())} ago, on ${hostTag(startedBy)}<br />
    <span class="${outcomeOf(run)}">${describeOutcome(run)}</span>: ${describeCounts(job.kind, run)} in
    ${describeDuration(run, readAt)}`;
}

function renderProgress(job: Job, run: JobRun, progress: Progress | undefined, view: View): SafeHtml {
  const done = run.processedCount ?? 0;
  const word = doneWord(job.kind);
  return html`<p class="progress">
    ${
      progress
        ? html`<progress
              value="${progress.done}"
              max="${progress.total}"
              aria-label="Progress of the run"
            ></progress>
            ${formatNumber(progress.done)} of ${formatNumber(progress.total)} ${word}`
        : html`${formatNumber(done)} ${word}`
    },
    ${describeDuration(run, view.readAt)}
  </p>`;
}

/**
 * Run is not offered while the job runs, unless the run has lost its lock; Cancel is. Nor is it where a setting is wrong.
 * Neither is to who may only read. The script shows the buttons.
 */
function renderActions(
  { job, activeRun, problems }: JobState,
  revocationCeiling: number | undefined,
  { link, readAt, mayOperate }: View,
): SafeHtml {
  const { type } = job;
  const stale = activeRun !== null && isStale(activeRun.startedAt, readAt);
  const run =
    problems.length > 0
      ? null
      : html`<button
          id="act-${type}"
          hidden
          class="primary"
          aria-label="Run ${type}"
          data-post="jobs/${type}/runs"
          data-starts
          data-busy="Starting …"
          data-title="Run ${type}?"
          data-text="${runWarning(job, revocationCeiling)}"
        >
          Run
        </button>`;
  const cancel = (id: string): SafeHtml =>
    html`<button
      id="${id}"
      hidden
      aria-label="Cancel ${type}"
      data-post="jobs/${type}/runs/${activeRun?.jobId ?? ''}/cancel"
      data-busy="Cancelling …"
      data-title="Cancel this run of ${type}?"
      data-text="Its row is closed as failed and its lock is free at once. The run stops at its next statement; what it has done so far is kept, and the next run does the rest."
      data-confirm="Cancel the run"
    >
      Cancel
    </button>`;
  return html`<div class="actions">
    ${mayOperate ? (activeRun ? (stale ? html`${run} ${cancel(`cancel-${type}`)}` : cancel(`act-${type}`)) : run) : null}
    <a
      class="button"
      id="preview-${type}"
      aria-label="Preview ${type}"
      href="${link({ job: type, preview: 'soonest' })}"
      >Preview</a
    >
    <a class="button" id="history-${type}" aria-label="All runs of ${type}" href="${link({ job: type })}"
      >All runs</a
    >
  </div>`;
}

function runWarning({ kind, platform }: Job, revocationCeiling: number | undefined): string {
  return kind === 'revocation'
    ? `Every ${platform.name} grant that has expired and is not revoked yet is revoked now.${revocationCeiling === undefined ? '' : ` If more than ${formatCount(revocationCeiling, 'grant')} are due, nothing is revoked.`}`
    : `Everyone whose ${platform.name} access ends soon and who was not reminded yet gets an email now.`;
}
