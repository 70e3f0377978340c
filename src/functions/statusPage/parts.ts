/** What every part of the page is made of: links, times, hosts, outcomes. */
import type { Trigger } from '../../jobs/budgets';
import { formatDuration, formatNumber, formatUtc } from '../../format';
import { escapeHtml, html, SafeHtml } from '../../html';
import type { Job } from '../../jobs/catalogue';
import { stateWords, stoppedEarly, type StateName } from '../../jobs/judgeJob';
import type { Platform, RequestId } from '../../jobs/platforms';
import type { AccessRequest } from '../../jobs/requests';
import type { JobRun } from '../../jobRun/jobRun';

/** What the page's own address may hold: the job whose panel is open, and what the panel shows. */
export interface Address {
  readonly job?: Job['type'];
  /** A Job_Id. */
  readonly run?: string;
  readonly preview?: 'soonest' | 'latest';
  /** The runs of all jobs. */
  readonly runs?: 'all';
  /** The filters of a history. */
  readonly outcome?: Outcome;
  readonly trigger?: Trigger;
  /** A platform in lower case and a request's id, for example "databricks/17". */
  readonly request?: string;
  /** Where a list goes on. */
  readonly before?: string;
  readonly after?: string;
}

/** What all parts of one page share. */
export interface View {
  /** When the states were read. */
  readonly readAt: Date;
  /** Whether the reader may run jobs and cancel runs. */
  readonly mayOperate: boolean;
  /** Where docs/operating.md is published, if that is known. */
  readonly documentationUrl: string | undefined;
  /** The function key that the page was opened with. */
  readonly key: string | null;
  /** A link that keeps ?code=. */
  readonly link: (address: Address) => string;
}

/** A link function for a page that was opened with this key. */
export function linkWith(code: string | null): View['link'] {
  return (address) => {
    const query = new URLSearchParams({ ...address, ...(code !== null && { code }) });
    // A slash needs no escape in a query (RFC 3986, 3.4), and an address is passed on.
    return `?${query.toString().replaceAll('%2F', '/')}`;
  };
}

/** A link to what a state means and what to do about it. */
export function stateLink(state: StateName, { documentationUrl }: View): SafeHtml | null {
  if (documentationUrl === undefined) return null;
  const section = `state-${stateWords[state].toLowerCase().replaceAll(' ', '-')}`;
  return html` <a class="guide" href="${documentationUrl}#${section}" aria-label="Guide: ${stateWords[state]}"
    >Guide</a
  >`;
}

/** A link to a request's story: its number, or its id where no more is known of it. */
export function requestLink(
  { name }: Platform,
  requestId: RequestId,
  request: Pick<AccessRequest, 'requestNumber'> | undefined,
  { link }: View,
): SafeHtml {
  return html`<a
    href="${link({ request: `${name.toLowerCase()}/${requestId}` })}"
    title="${name} request ${requestId}"
    >${request?.requestNumber ?? requestId}</a
  >`;
}

/** A time in UTC; the script adds the reader's own zone. */
export function timeTag(date: Date): SafeHtml {
  return html`<time datetime="${date.toISOString()}">${formatUtc(date)}</time>`;
}

/** A time that may be unknown. */
export function timeOrDash(date: Date | null | undefined): SafeHtml | string {
  return date ? timeTag(date) : '–';
}

/** An address or a path: it wraps after its separators. */
export function breakable(text: string): SafeHtml {
  return new SafeHtml(
    text
      .split(/(?<=[@./_-])/)
      .map(escapeHtml)
      .join('<wbr>'),
  );
}

/** An id with a button that copies it. */
export function copyable(id: string, what: string): SafeHtml {
  return html`<code>${id}</code>
    <button hidden class="small" data-copy="${id}" aria-label="Copy the ${what}">Copy</button>`;
}

/** Long host names are cut; the title has the whole. */
export function hostTag(name: string): SafeHtml {
  const longest = 16;
  return name.length <= longest
    ? html`<span class="host">${name}</span>`
    : html`<span class="host" title="${name}">${name.slice(0, longest - 1)}…</span>`;
}

/** How a run went, for colour and shape. */
export const outcomes = ['done', 'attention', 'failed', 'running'] as const;
export type Outcome = (typeof outcomes)[number];

/** How a run was started. */
export const triggers = ['timer', 'http', 'cli'] as const satisfies readonly Trigger[];
export const triggerWords: Readonly<Record<Trigger, string>> = {
  timer: 'timer',
  http: 'by hand',
  cli: 'command line',
};

/** Undefined: unknown, since a run records it at its end. */
export function triggerOf({ status, facts }: JobRun): Trigger | undefined {
  if (facts.manual) return facts.manual.trigger;
  const saidNothing = status === 'InProgress' || facts.ended === 'abandoned' || facts.ended === 'cancelled';
  return saidNothing ? undefined : 'timer';
}

export function outcomeOf(run: JobRun): Outcome {
  if (run.status === 'InProgress') return 'running';
  if (run.status === 'Failed') return 'failed';
  return (run.failedCount ?? 0) > 0 || stoppedEarly(run) ? 'attention' : 'done';
}

/** In words, for example "Completed, with failures". */
export function describeOutcome(run: JobRun): string {
  if (run.status === 'InProgress') return 'Running';
  if (run.status === 'Failed') return 'Failed';
  const notes = [
    ...((run.failedCount ?? 0) > 0 ? ['with failures'] : []),
    ...(stoppedEarly(run) ? ['stopped early'] : []),
  ];
  return ['Completed', ...notes].join(', ');
}

export function durationMs({ startedAt, completedAt }: JobRun, readAt: Date): number {
  return Math.max(0, (completedAt ?? readAt).getTime() - startedAt.getTime());
}

/** For example "4.0 s", or "4.0 s so far". */
export function describeDuration(run: JobRun, readAt: Date): string {
  const text = formatDuration(durationMs(run, readAt));
  return run.completedAt === null ? `${text} so far` : text;
}

/** What people call a job. */
export function titleOf({ kind, platform }: Job): string {
  return kind === 'revocation'
    ? `Revoke expired ${platform.name} access`
    : `Send ${platform.name} expiry reminders`;
}

/** For example "Sent". */
export function capitalised(word: string): string {
  return `${word.charAt(0).toUpperCase()}${word.slice(1)}`;
}

/** What a job handles, as a heading begins: "Grants", "Reminders". */
export function nounsOf({ words }: Job): string {
  return `${capitalised(words.noun)}s`;
}

/** For example "2.1 times as long"; undefined unless a run took much longer than the previous one. */
function compareDurations(run: JobRun, previous: JobRun, readAt: Date): string | undefined {
  const took = durationMs(run, readAt);
  const ratio = took / Math.max(durationMs(previous, readAt), 1);
  // Short runs differ by chance.
  if (run.completedAt === null || took < 1000 || ratio < 1.5) return undefined;
  return `${ratio >= 10 ? formatNumber(Math.round(ratio)) : ratio.toFixed(1)} times as long`;
}

/** How a run compares with the previous one, in words; empty if there is no difference. */
export function compareRuns(job: Job, run: JobRun, previous: JobRun, readAt: Date): string[] {
  const words = (now: number | null, then: number | null, what: string): string[] => {
    const count = (now ?? 0) - (then ?? 0);
    return count === 0 ? [] : [`${formatNumber(Math.abs(count))} ${count > 0 ? 'more' : 'fewer'} ${what}`];
  };
  return [
    ...words(run.processedCount, previous.processedCount, job.words.done),
    ...words(run.failedCount, previous.failedCount, 'failed'),
    ...[compareDurations(run, previous, readAt)].filter((text) => text !== undefined),
  ];
}
