import { describeCounts, formatCount, formatNumber, formatUtc } from '../../format';
import { html, SafeHtml } from '../../html';
import type { Job } from '../../jobs/catalogue';
import type { JobRun } from '../../jobRun/jobRun';
import { describeDuration, describeOutcome, outcomeOf, type Outcome, type View } from './parts';

/** The drawing, in CSS pixels from its top (style.css has the rest); across, places are percentages of its width. */
const plot = { top: 14, bottom: 84, labels: 116, height: 120 };
const barWidth = 6;
/** A run that handled something has at least this height. */
const minBarHeight = 4;

/** A run's outcome by shape as well as colour, around its own origin. */
const shapes: Readonly<Record<Outcome, SafeHtml>> = {
  done: html`<circle r="3" />`,
  attention: html`<path d="M0-5L5 4H-5z" />`,
  failed: html`<path d="M-5-3L-3-5L0-2L3-5L5-3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0z" />`,
  running: html`<path d="M-4-5L5 0L-4 5z" />`,
};

/** The newest runs on an axis of real time, so that gaps show; counts on a scale by powers of ten. */
export function renderChart(job: Job, runs: readonly JobRun[], view: View): SafeHtml | null {
  const newest = runs[0];
  const oldest = runs.at(-1);
  if (!newest || !oldest) return null;
  const { readAt } = view;
  const start = oldest.startedAt.getTime();
  const span = Math.max(readAt.getTime() - start, 60_000);
  /** From 8, where the labels of the counts end, to 98. */
  const place = (date: Date): string => `${(8 + (90 * (date.getTime() - start)) / span).toFixed(2)}%`;
  const largest = Math.max(
    ...runs.flatMap(({ processedCount, failedCount }) => [processedCount ?? 0, failedCount ?? 0]),
  );
  const decades = Math.max(1, Math.ceil(Math.log10(largest + 1)));
  const heightOf = (count: number): number =>
    count <= 0
      ? 0
      : Math.max(
          minBarHeight,
          Math.round(((plot.bottom - plot.top) * Math.log10(count + 1)) / Math.log10(10 ** decades + 1)),
        );

  const grid = Array.from({ length: decades }, (_, index) => {
    const count = 10 ** (index + 1);
    const y = plot.bottom - heightOf(count);
    return html`<line class="grid" x1="0" x2="100%" y1="${y}" y2="${y}" /><text
        class="scale"
        x="0"
        y="${y - 2}"
        >${formatNumber(count)}</text
      >`;
  });
  const ticks = timeTicks(start, span).map(
    ({ at, label }) =>
      html`<line class="grid" x1="${place(at)}" x2="${place(at)}" y1="${plot.top}" y2="${plot.bottom}" /><text
          class="tick"
          x="${place(at)}"
          y="${plot.labels}"
          >${label}</text
        >`,
  );
  const bar = (kind: string, x: number, count: number | null): SafeHtml | null => {
    const height = heightOf(count ?? 0);
    return height === 0
      ? null
      : html`<rect class="${kind}" x="${x}" y="${plot.bottom - height}" height="${height}" />`;
  };
  // The oldest first, so that the keyboard goes from left to right.
  const marks = runs.toReversed().map((run) => {
    const outcome = outcomeOf(run);
    const words = `${formatUtc(run.startedAt)}: ${describeOutcome(run)}, ${describeCounts(job.words.done, run)}, ${describeDuration(run, readAt)}`;
    const failed = (run.failedCount ?? 0) > 0;
    return html`<svg x="${place(run.startedAt)}">
      <a id="bar-${run.jobId.slice(0, 8)}" href="${view.link({ run: run.jobId })}" class="${outcome}">
        <title>${words}</title>
        <rect class="hit" />
        ${bar('processed', failed ? -barWidth : -barWidth / 2, run.processedCount)}${bar('failed', 0, run.failedCount)}
        ${shapes[outcome]}
      </a>
    </svg>`;
  });

  const total = (count: (run: JobRun) => number | null): number =>
    runs.reduce((sum, run) => sum + (count(run) ?? 0), 0);
  const failedRuns = runs.filter(({ status }) => status === 'Failed').length;
  const most = Math.max(...runs.map(({ processedCount }) => processedCount ?? 0));
  const counts = [
    `${formatNumber(failedRuns)} failed`,
    `${formatNumber(total(({ processedCount }) => processedCount))} ${job.words.done}, at most ${formatNumber(most)} in a run`,
    ...(job.kind === 'notification'
      ? [`${formatNumber(total(({ failedCount }) => failedCount))} failed to be sent`]
      : []),
  ];
  const summary = `Chart of the last ${formatCount(runs.length, 'run')}, from ${formatUtc(oldest.startedAt)} to ${formatUtc(newest.startedAt)}: ${counts.join('; ')}.`;
  const present = new Set(runs.map(outcomeOf));
  return html`<figure>
    <svg class="chart" role="group" aria-label="${summary}" width="100%" height="${plot.height}" data-roving>
      ${grid}${ticks}
      <line class="axis" x1="0" x2="100%" y1="${plot.bottom}" y2="${plot.bottom}" />
      ${marks}
    </svg>
    <figcaption>
      ${swatch('processed', `grants ${job.words.done}`)}
      ${job.kind === 'notification' ? swatch('failed', 'grants failed') : null}
      ${present.has('failed') ? mark('failed', 'failed run') : null}
      ${present.has('attention') ? mark('attention', 'needs attention') : null}
    </figcaption>
  </figure>`;
}

function swatch(kind: string, words: string): SafeHtml {
  return html`<span class="key"
    ><svg width="10" height="10" aria-hidden="true"><rect class="${kind}" width="10" height="10" /></svg
    >${words}</span
  >`;
}

function mark(outcome: Outcome, words: string): SafeHtml {
  return html`<span class="key ${outcome}"
    ><svg width="12" height="12" aria-hidden="true">${shapes[outcome]}</svg>${words}</span
  >`;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const tickSteps = [
  hourMs / 12,
  hourMs / 4,
  hourMs,
  3 * hourMs,
  6 * hourMs,
  12 * hourMs,
  dayMs,
  2 * dayMs,
  7 * dayMs,
  28 * dayMs,
  364 * dayMs,
];
const maxTicks = 6;

/** Round times (UTC) within the span, with their labels: the day at midnight, the time else. */
function timeTicks(start: number, span: number): { at: Date; label: string }[] {
  const step = tickSteps.find((candidate) => span / candidate <= maxTicks);
  if (step === undefined) return [];
  const ticks: { at: Date; label: string }[] = [];
  for (let time = Math.ceil(start / step) * step; time <= start + span; time += step) {
    const at = new Date(time);
    const label =
      time % dayMs === 0
        ? at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })
        : at.toISOString().slice(11, 16);
    ticks.push({ at, label });
  }
  return ticks;
}
