import { describeSchedule } from '../../config/scheduleWords';
import { describeCounts, formatAgo, formatCount, formatNumber, formatSpan, formatUtc } from '../../format';
import { html, type SafeHtml } from '../../html';
import type { Job } from '../../jobs/catalogue';
import { isStale, stateWords, type JobState, type JobTimer } from '../../jobs/judgeJob';
import type { JobRun } from '../../jobRun/jobRun';
import { renderChart } from './chart';
import type { DueCount } from './dueCounts';
import {
  describeDuration,
  describeOutcome,
  hostTag,
  outcomeOf,
  stateLink,
  timeTag,
  titleOf,
  type View,
} from './parts';
import { renderFacts } from './tables';

interface Card {
  readonly jobState: JobState;
  /** Undefined: it is not counted yet, or cannot be. */
  readonly due: DueCount | undefined;
  readonly revocationCeiling: number | undefined;
  /** Its panel is open. */
  readonly selected: boolean;
}

/** A job at a glance, with what can be done about it. */
export function renderCard({ jobState, due, revocationCeiling, selected }: Card, view: View): SafeHtml {
  const { job, state, stateReason, runs } = jobState;
  const { type } = job;
  return html`<article
    id="job-${type}"
    aria-labelledby="${type}"
    data-job="${type}"
    data-done="${job.words.done}"
    data-state="${state}"
    ${selected ? html` class="selected"` : null}
  >
    <h2 id="${type}">${titleOf(job)}</h2>
    <p class="type">${type}</p>
    <p class="state"><span id="state-${type}">${stateWords[state]}</span>${stateLink(state, view)}</p>
    <p class="reason" id="reason-${type}">${stateReason}</p>
    ${jobState.activeRun ? renderProgress(job, jobState.activeRun, due, view) : null}
    ${renderJobFacts(jobState, due, view)} ${renderChart(job, runs, view)}
    ${renderActions(jobState, due, revocationCeiling, view)}
    <p class="result" id="result-${type}" role="status" data-keep></p>
  </article>`;
}

function renderJobFacts(
  { job, timer, schedule, nextRunAt, lastRun, activeRun }: JobState,
  due: DueCount | undefined,
  view: View,
): SafeHtml {
  const untilNext = nextRunAt && formatSpan(nextRunAt.getTime() - view.readAt.getTime());
  return renderFacts([
    ['Last run', lastRun ? renderLastRun(job, lastRun, view) : 'none yet'],
    due && !activeRun ? ['Due now', `${describeDue(job, due)}${describeAge(due, view)}`] : null,
    ['Next run', nextRunAt ? html`${timeTag(nextRunAt)}, in ${untilNext}` : 'none'],
    ['Schedule', renderSchedule(timer, schedule)],
  ]);
}

/** For example "5 reminders, the oldest 5 days late". */
function describeDue({ words }: Job, { dueCount, oldestDueMinutes }: DueCount): string {
  if (dueCount === 0) return 'nothing';
  const count = formatCount(dueCount, words.noun);
  const late = `${formatSpan(oldestDueMinutes * 60_000)} late`;
  return oldestDueMinutes < 1 ? count : `${count}, ${dueCount === 1 ? late : `the oldest ${late}`}`;
}

function describeAge({ countedAt }: DueCount, { readAt }: View): string {
  const ms = readAt.getTime() - countedAt.getTime();
  return ms < 60_000 ? '' : `, as of ${formatSpan(ms)} ago`;
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
    ${formatAgo(readAt.getTime() - startedAt.getTime())}, on ${hostTag(startedBy)}<br />
    <span class="${outcomeOf(run)}">${describeOutcome(run)}</span>: ${describeCounts(job.words.done, run)} in
    ${describeDuration(run, readAt)}`;
}

function renderProgress(job: Job, run: JobRun, due: DueCount | undefined, view: View): SafeHtml {
  const done = run.processedCount ?? 0;
  const total = due && Math.max(done, due.processedCount + due.dueCount);
  const word = job.words.done;
  return html`<p class="progress">
    ${
      total === undefined
        ? html`${formatNumber(done)} ${word}`
        : html`<progress value="${done}" max="${total}" aria-label="Progress of the run"></progress>
            ${formatNumber(done)} of ${formatNumber(total)} ${word}`
    },
    ${describeDuration(run, view.readAt)}
  </p>`;
}

/**
 * Run, unless a run holds the lock or a setting is wrong; Cancel while a run is in progress. A reader without the role gets
 * neither. The script shows the buttons.
 */
function renderActions(
  { job, activeRun, problems, safetyStop }: JobState,
  due: DueCount | undefined,
  revocationCeiling: number | undefined,
  { link, readAt, mayOperate }: View,
): SafeHtml {
  const { type } = job;
  const mayRun = mayOperate && problems.length === 0 && (!activeRun || isStale(activeRun.startedAt, readAt));
  const stillHeld = due === undefined || revocationCeiling === undefined || due.dueCount > revocationCeiling;
  const held = safetyStop && !activeRun && stillHeld;
  const run = mayRun ? renderRun(job, due, revocationCeiling, held ? '' : 'primary') : null;
  const words = held ? `Review ${due ? formatCount(due.dueCount, 'grant') : 'the grants'}` : 'Preview';
  const preview = html`<a
    class="button ${held ? 'primary' : ''}"
    id="preview-${type}"
    aria-label="${words}${held ? ' of' : ''} ${type}"
    href="${link({ job: type, preview: 'soonest' })}"
    >${words}</a
  >`;
  return html`<div class="actions">
    ${held ? [preview] : []} ${run}
    ${mayOperate && activeRun ? renderCancel(activeRun, run ? `cancel-${type}` : `act-${type}`) : null}
    ${held ? [] : [preview]}
    <a class="button" id="history-${type}" aria-label="All runs of ${type}" href="${link({ job: type })}"
      >All runs</a
    >
  </div>`;
}

function renderRun(
  job: Job,
  due: DueCount | undefined,
  revocationCeiling: number | undefined,
  look: 'primary' | '',
): SafeHtml {
  const { type } = job;
  const known = due ? `Due at ${formatUtc(due.countedAt)}: ${describeDue(job, due)}. ` : '';
  return html`<button
    id="act-${type}"
    hidden
    class="${look}"
    aria-label="Run ${type}"
    data-post="jobs/${type}/runs"
    data-starts
    data-busy="Starting …"
    data-title="Run ${type}?"
    data-text="${known}${runWarning(job, revocationCeiling)}"
  >
    Run
  </button>`;
}

function renderCancel({ jobId, jobType }: JobRun, id: string): SafeHtml {
  return html`<button
    id="${id}"
    hidden
    aria-label="Cancel ${jobType}"
    data-post="jobs/${jobType}/runs/${jobId}/cancel"
    data-busy="Cancelling …"
    data-title="Cancel this run of ${jobType}?"
    data-text="It is recorded as failed, and its lock is free at once. The run stops at its next statement; what it has done is kept, and the next run does the rest."
    data-confirm="Cancel the run"
  >
    Cancel
  </button>`;
}

function runWarning({ kind, platform }: Job, revocationCeiling: number | undefined): string {
  return kind === 'revocation'
    ? `Every ${platform.name} grant that has expired and is not revoked yet is revoked now.${revocationCeiling === undefined ? '' : ` If more than ${formatCount(revocationCeiling, 'grant')} are due, nothing is revoked.`}`
    : `Everyone whose ${platform.name} access ends soon and who was not reminded yet gets an email now, if their address can be used.`;
}
