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

/** Where a time and a count lie in the drawing. */
interface Scale {
  /** Across: from 8 %, where the labels of the counts end, to 98 %. */
  readonly place: (date: Date) => string;
  readonly heightOf: (count: number) => number;
  /** The highest line, as a power of ten. */
  readonly decades: number;
}

/** The newest runs on an axis of real time, so that gaps show; counts on a scale by powers of ten. */
export function renderChart(job: Job, runs: readonly JobRun[], view: View): SafeHtml | null {
  const oldest = runs.at(-1);
  if (!oldest) return null;
  const start = oldest.startedAt.getTime();
  const span = Math.max(view.readAt.getTime() - start, 60_000);
  const scale = scaleOf(runs, start, span);
  const { bottom } = plot;
  const { noun, done } = job.words;
  const present = new Set(runs.map(outcomeOf));
  return html`<figure>
    <svg
      class="chart"
      role="group"
      aria-label="${summarise(job, runs)}"
      width="100%"
      height="${plot.height}"
      data-roving
    >
      ${renderCounts(scale)}${renderTimes(timeTicks(start, span), scale)}
      <line class="axis" x1="0" x2="100%" y1="${bottom}" y2="${bottom}" />
      ${runs.toReversed().map((run) => renderRun(job, run, scale, view))}
    </svg>
    <figcaption>
      ${swatch('processed', `${noun}s ${done}`)}
      ${job.kind === 'notification' ? swatch('failed', `${noun}s failed`) : null}
      ${present.has('failed') ? mark('failed', 'failed run') : null}
      ${present.has('attention') ? mark('attention', 'needs attention') : null}
    </figcaption>
  </figure>`;
}

function scaleOf(runs: readonly JobRun[], start: number, span: number): Scale {
  const counts = runs.flatMap(({ processedCount, failedCount }) => [processedCount ?? 0, failedCount ?? 0]);
  const decades = Math.max(1, Math.ceil(Math.log10(Math.max(...counts) + 1)));
  const unit = (plot.bottom - plot.top) / Math.log10(10 ** decades + 1);
  return {
    decades,
    place: (date) => `${(8 + (90 * (date.getTime() - start)) / span).toFixed(2)}%`,
    heightOf: (count) => (count <= 0 ? 0 : Math.max(minBarHeight, Math.round(unit * Math.log10(count + 1)))),
  };
}

function renderCounts({ decades, heightOf }: Scale): SafeHtml[] {
  return Array.from({ length: decades }, (_, index) => {
    const count = 10 ** (index + 1);
    const y = plot.bottom - heightOf(count);
    return html`<line class="grid" x1="0" x2="100%" y1="${y}" y2="${y}" />
      <text class="scale" x="0" y="${y - 2}">${formatNumber(count)}</text>`;
  });
}

function renderTimes(ticks: readonly Tick[], { place }: Scale): SafeHtml[] {
  return ticks.map(
    ({ at, label }) =>
      html`<line class="grid" x1="${place(at)}" x2="${place(at)}" y1="${plot.top}" y2="${plot.bottom}" />
        <text class="tick" x="${place(at)}" y="${plot.labels}">${label}</text>`,
  );
}

/** A run's bars and its mark: the chart has the oldest first, so that the keyboard goes from left to right. */
function renderRun(job: Job, run: JobRun, { place, heightOf }: Scale, { readAt, link }: View): SafeHtml {
  const outcome = outcomeOf(run);
  const words = `${formatUtc(run.startedAt)}: ${describeOutcome(run)}, ${describeCounts(job.words.done, run)}, ${describeDuration(run, readAt)}`;
  const bar = (kind: string, x: number, count: number | null): SafeHtml | null => {
    const height = heightOf(count ?? 0);
    return height === 0
      ? null
      : html`<rect class="${kind}" x="${x}" y="${plot.bottom - height}" height="${height}" />`;
  };
  const failed = (run.failedCount ?? 0) > 0;
  return html`<svg x="${place(run.startedAt)}">
    <a id="bar-${run.jobId.slice(0, 8)}" href="${link({ run: run.jobId })}" class="${outcome}">
      <title>${words}</title>
      <rect class="hit" />
      ${bar('processed', failed ? -barWidth : -barWidth / 2, run.processedCount)}${bar('failed', 0, run.failedCount)}
      ${shapes[outcome]}
    </a>
  </svg>`;
}

/** The chart in words. */
function summarise({ kind, words }: Job, runs: readonly JobRun[]): string {
  const processed = runs.map(({ processedCount }) => processedCount ?? 0);
  const sum = (counts: number[]): string => formatNumber(counts.reduce((total, count) => total + count, 0));
  const counts = [
    `${formatNumber(runs.filter(({ status }) => status === 'Failed').length)} failed`,
    `${sum(processed)} ${words.done}, at most ${formatNumber(Math.max(...processed))} in a run`,
    ...(kind === 'notification'
      ? [`${sum(runs.map(({ failedCount }) => failedCount ?? 0))} failed to be sent`]
      : []),
  ];
  const [from, to] = [runs.at(-1), runs[0]].map((run) => (run ? formatUtc(run.startedAt) : ''));
  return `Chart of the last ${formatCount(runs.length, 'run')}, from ${from} to ${to}: ${counts.join('; ')}.`;
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

interface Tick {
  readonly at: Date;
  readonly label: string;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const tickHours = [1 / 12, 1 / 4, 1, 3, 6, 12, 24, 2 * 24, 7 * 24, 28 * 24, 364 * 24];
const maxTicks = 6;

/** Round times (UTC) within the span, with their labels: the day at midnight, otherwise the time. */
function timeTicks(start: number, span: number): Tick[] {
  const step = tickHours.map((hours) => hours * hourMs).find((candidate) => span / candidate <= maxTicks);
  if (step === undefined) return [];
  const ticks: Tick[] = [];
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
