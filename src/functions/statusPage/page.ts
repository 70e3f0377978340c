import type { Settings } from '../../config/settings';
import { SafeHtml, html } from '../../html';
import type { Job } from '../../jobs/catalogue';
import { staleAfterMinutes } from '../../jobRun/lease';
import type { JobRun } from '../../jobRun/jobRun';
import type { JobState } from '../../jobs/jobStates';
import { script, style } from './assets';

/** Runs of each job in the chart and in the table. */
export const runsShown = 30;

export interface StatusPage {
  readonly states: readonly JobState[];
  readonly settings: Pick<Settings, 'database' | 'revocationCeiling'>;
  /** When the states were read. */
  readonly readAt: Date;
}

/** The status page: how the jobs stand, readable without its script, which runs and previews jobs. */
export function renderStatusPage({ states, settings, readAt }: StatusPage): SafeHtml {
  const failed = states.filter(({ lastRun }) => lastRun?.status === 'Failed').length;
  const title = `${failed > 0 ? `${failed} failed: ` : ''}Access Expiry Jobs`;
  const { name, server } = settings.database;
  return document(
    title,
    html`<header>
        <div>
          <h1>Access Expiry Jobs</h1>
          <p>Database <strong>${name}</strong> on <strong>${server}</strong></p>
        </div>
        <p><span id="read-at" data-part>As of ${timeTag(readAt)}</span> <a href="">Reload</a></p>
      </header>
      <main>
        <p class="notice">
          Everything here can be read without JavaScript. Running and previewing jobs from this page needs it.
        </p>
        ${states.map((state) => renderJob(state, settings, readAt))}
      </main>
      <dialog aria-labelledby="dialog-title" aria-describedby="dialog-text">
        <form method="dialog">
          <h2 id="dialog-title"></h2>
          <p id="dialog-text"></p>
          <div class="actions">
            <button value="" autofocus>Cancel</button>
            <button value="confirmed" class="primary" id="dialog-confirm"></button>
          </div>
        </form>
      </dialog>
      <script>
        ${new SafeHtml(script)};
      </script>`,
  );
}

/** What the page shows when it cannot be made: what is wrong, and what to do. */
export function renderProblemPage(title: string, detail: string): SafeHtml {
  return document(
    title,
    html`<header><h1>Access Expiry Jobs</h1></header>
      <main>
        <article class="problem">
          <h2>${title}</h2>
          <p class="detail">${detail}</p>
          <p><a href="">Try again</a></p>
        </article>
      </main>`,
  );
}

function document(title: string, body: SafeHtml): SafeHtml {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <link rel="icon" href="data:," />
        <style>
          ${new SafeHtml(style)}
        </style>
      </head>
      <body>
        ${body}
      </body>
    </html> `;
}

function renderJob(state: JobState, { revocationCeiling }: StatusPage['settings'], readAt: Date): SafeHtml {
  const { job, runs } = state;
  const { type, kind, platform } = job;
  const heading =
    kind === 'revocation'
      ? `Revoke expired ${platform.name} access`
      : `Send ${platform.name} expiry reminders`;
  const runWarning =
    kind === 'revocation'
      ? `Every ${platform.name} grant that has expired and is not revoked yet is revoked now. If more than ${revocationCeiling} are due, nothing is revoked.`
      : `Everyone whose ${platform.name} access ends soon and who was not reminded yet gets an email now.`;
  const previewWarning =
    'Shows the first 100 grants that a run would handle now, with the names of their holders. Nothing is written or sent.';
  return html`<article aria-labelledby="${type}">
    <h2 id="${type}">${heading}</h2>
    <p class="type">${type}</p>
    <div id="state-${type}" data-part>${renderState(state, readAt)} ${renderChart(job, runs, readAt)}</div>
    <div class="actions" hidden data-job="${type}">
      <button data-title="Run ${type}?" data-text="${runWarning}" class="primary" aria-label="Run ${type}">
        Run
      </button>
      <button
        data-title="Preview ${type}?"
        data-text="${previewWarning}"
        data-dry-run
        aria-label="Preview ${type}"
      >
        Preview
      </button>
    </div>
    <p class="result" role="status"></p>
    <div class="preview"></div>
    <details>
      <summary>Latest runs</summary>
      <div class="scroll" role="region" aria-label="Latest runs of ${type}" tabindex="0">
        <div id="runs-${type}" data-part>${renderRuns(job, runs, readAt)}</div>
      </div>
    </details>
  </article>`;
}

function renderState({ schedule, nextRunAt, activeRun, lastRun }: JobState, readAt: Date): SafeHtml {
  return html`${activeRun ? renderActive(activeRun, readAt) : renderIdle(lastRun)}
    <dl>
      <div>
        <dt>Last run</dt>
        <dd>${lastRun ? renderLastRun(lastRun, readAt) : 'none yet'}</dd>
      </div>
      <div>
        <dt>Next run</dt>
        <dd>
          ${nextRunAt ? html`${timeTag(nextRunAt)}, in ${formatSpan(nextRunAt.getTime() - readAt.getTime())}` : 'none'}
        </dd>
      </div>
      <div>
        <dt>Schedule</dt>
        <dd><code>${schedule}</code> (UTC)</dd>
      </div>
    </dl>`;
}

function renderActive({ startedAt, startedBy }: JobRun, readAt: Date): SafeHtml {
  const minute = (date: Date) => Math.floor(date.getTime() / 60_000);
  const stale = minute(readAt) - minute(startedAt) > staleAfterMinutes;
  return html`<p class="state running">Running since ${timeTag(startedAt)}, by ${startedBy}</p>
    ${stale ? html`<p class="message">It has run for longer than ${staleAfterMinutes} minutes: its process has most likely died. The next run closes it and goes on.</p>` : null}`;
}

function renderIdle(lastRun: JobRun | null): SafeHtml {
  if (lastRun?.status !== 'Failed') return html`<p class="state idle">Idle</p>`;
  return html`<p class="state failed">Last run failed</p>`;
}

function renderLastRun(run: JobRun, readAt: Date): SafeHtml {
  const { status, startedAt, startedBy, errorMessage } = run;
  return html`${timeTag(startedAt)}, ${formatSpan(readAt.getTime() - startedAt.getTime())} ago, by
    ${startedBy}<br />
    <span class="${status}">${status}</span>: ${describeCounts(run)} in ${duration(run, readAt)}
    ${errorMessage === null ? null : html`<p class="message">${errorMessage}</p>`}`;
}

function describeCounts({ processedCount, failedCount }: JobRun): string {
  return `${formatNumber(processedCount ?? 0)} processed${failedCount === null ? '' : `, ${formatNumber(failedCount)} failed`}`;
}

/** A run's slot in the chart, in units of its drawing. */
const slotWidth = 10;
const barWidth = 7;
/** The bands of counts (0 to 60) and durations (66 to 100), each with its baseline. */
const countBand = { bottom: 60, height: 56 };
const durationBand = { bottom: 100, height: 32 };
/** What is there is seen, however small beside the largest. */
const leastBar = 2;

function renderChart(job: Job, runs: readonly JobRun[], readAt: Date): SafeHtml | null {
  const newest = runs[0];
  const oldest = runs.at(-1);
  if (!newest || !oldest) return null;
  const mostCount = Math.max(...runs.map((run) => (run.processedCount ?? 0) + (run.failedCount ?? 0)), 1);
  const longest = Math.max(...runs.map((run) => durationMs(run, readAt)), 1);
  const bars = runs.map((run, index) => {
    const x = (runsShown - 1 - index) * slotWidth + (slotWidth - barWidth) / 2;
    const processed = barHeight(run.processedCount ?? 0, mostCount, countBand.height);
    const failed = barHeight(run.failedCount ?? 0, mostCount, countBand.height);
    const lasted = barHeight(durationMs(run, readAt), longest, durationBand.height);
    const bar = (kind: string, bottom: number, height: number) =>
      height === 0
        ? null
        : html`<rect
            class="${kind}"
            x="${x}"
            y="${bottom - height}"
            width="${barWidth}"
            height="${height}"
          />`;
    return html`<g
      ><title>
        ${formatUtc(run.startedAt)}: ${run.status}, ${describeCounts(run)}, ${duration(run, readAt)}
      </title>
      <rect
        class="slot ${run.status}"
        x="${x - (slotWidth - barWidth) / 2}"
        y="0"
        width="${slotWidth}"
        height="100"
      />
      ${bar('processed', countBand.bottom, processed)}${bar('failed', countBand.bottom - processed, failed)}${bar('duration', durationBand.bottom, lasted)}</g
    >`;
  });
  const width = runsShown * slotWidth;
  const most = (count: (run: JobRun) => number | null) => Math.max(...runs.map((run) => count(run) ?? 0));
  const total = (count: (run: JobRun) => number | null) =>
    runs.reduce((sum, run) => sum + (count(run) ?? 0), 0);
  const failedRuns = runs.filter(({ status }) => status === 'Failed').length;
  const completed = runs.filter(({ status }) => status === 'Completed').length;
  const processed = ({ processedCount }: JobRun) => processedCount;
  const failed = ({ failedCount }: JobRun) => failedCount;
  const alternative = [
    `Chart of the last ${runs.length === 1 ? 'run' : `${runs.length} runs`}, from ${formatUtc(oldest.startedAt)} to ${formatUtc(newest.startedAt)}:`,
    `${completed} completed, ${failedRuns} failed;`,
    `${formatNumber(total(processed))} processed, at most ${formatNumber(most(processed))} in a run;`,
    ...(job.kind === 'notification'
      ? [`${formatNumber(total(failed))} failed, at most ${formatNumber(most(failed))} in a run;`]
      : []),
    `the longest run took ${seconds(longest)}. The table of the latest runs has each.`,
  ].join(' ');
  return html`<figure>
    <svg role="img" aria-label="${alternative}" viewBox="0 0 ${width} 100" preserveAspectRatio="none">
      ${bars}
      <rect class="line" x="0" y="${countBand.bottom}" width="${width}" height="1" />
    </svg>
    <figcaption>
      <span>${runs.length === 1 ? 'Last run' : `Last ${runs.length} runs, newest right`}</span>
      <span class="key processed">processed, at most ${formatNumber(most(processed))}</span>
      ${job.kind === 'notification' ? html`<span class="key failed">failed, at most ${formatNumber(most(failed))}</span>` : null}
      <span class="key duration">duration, at most ${seconds(longest)}</span>
      ${failedRuns > 0 ? html`<span class="key slot">failed run</span>` : null}
    </figcaption>
  </figure>`;
}

function barHeight(value: number, most: number, height: number): number {
  return value <= 0 ? 0 : Math.max(leastBar, Math.round((value / most) * height * 10) / 10);
}

function renderRuns({ kind }: Job, runs: readonly JobRun[], readAt: Date): SafeHtml {
  if (runs.length === 0) return html`<p>No run yet.</p>`;
  const counted = kind === 'notification';
  const rows = runs.map(
    (run) => html`<tr${run.errorMessage === null ? null : html` class="explained"`}>
<th scope="row"><time datetime="${run.startedAt.toISOString()}">${dateTime(run.startedAt)}</time></th>
<td class="${run.status}">${run.status === 'InProgress' ? 'In progress' : run.status}</td>
<td>${count(run.processedCount)}</td>
${counted ? html`<td>${count(run.failedCount)}</td>` : null}
<td>${duration(run, readAt)}</td>
<td>${run.startedBy}</td>
</tr>
${
  run.errorMessage === null
    ? null
    : html`<tr>
        <td colspan="${counted ? 6 : 5}" class="reason"><p>${run.errorMessage}</p></td>
      </tr>`
}`,
  );
  return html`<table>
    <thead>
      <tr>
        <th scope="col">Started (UTC)</th>
        <th scope="col">Status</th>
        <th scope="col">Processed</th>
        ${counted ? html`<th scope="col">Failed</th>` : null}
        <th scope="col">Duration</th>
        <th scope="col">Started by</th>
      </tr>
    </thead>
    <tbody>
      ${rows}
    </tbody>
  </table>`;
}

function durationMs({ startedAt, completedAt }: JobRun, readAt: Date): number {
  return Math.max(0, (completedAt ?? readAt).getTime() - startedAt.getTime());
}

function duration(run: JobRun, readAt: Date): string {
  const text = seconds(durationMs(run, readAt));
  return run.completedAt === null ? `${text} so far` : text;
}

/** For example "0.04 s", "4.0 s" or "3 min 20 s". */
function seconds(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 1000 ? 2 : 1)} s`;
  const whole = Math.round(ms / 1000);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** A length of time in its largest unit, for example "12 min". */
function formatSpan(ms: number): string {
  const minutes = Math.floor(Math.max(0, ms) / 60_000);
  if (minutes < 1) return 'less than a minute';
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

function formatNumber(value: number): string {
  return value.toLocaleString('en-GB');
}

function count(value: number | null): string {
  return value === null ? '–' : formatNumber(value);
}

/** For example "2026-12-01 08:00:00 UTC". */
function formatUtc(date: Date): string {
  return `${dateTime(date)} UTC`;
}

function dateTime(date: Date): string {
  return date.toISOString().slice(0, 19).replace('T', ' ');
}

function timeTag(date: Date): SafeHtml {
  return html`<time datetime="${date.toISOString()}">${formatUtc(date)}</time>`;
}
