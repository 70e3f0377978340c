import { formatCount, formatNumber, formatSpan } from '../../format';
import { html, type SafeHtml } from '../../html';
import type { Job } from '../../jobs/catalogue';
import { undeliverableCount } from '../../jobs/failures';
import type { RequestId } from '../../jobs/platforms';
import type { Grant } from '../../jobs/grants';
import type { Preview, PreviewedReminder, RevocationPreview } from '../../jobs/previewJob';
import { type Address, breakable, nounsOf, requestLink, timeTag, titleOf, type View } from './parts';
import { renderCauses, renderPages, renderTable, type Column } from './tables';

/** What a run would do now. */
export interface PreviewPanel {
  readonly kind: 'preview';
  readonly job: Job;
  readonly preview: Preview;
  readonly order: NonNullable<Address['preview']>;
  /** It shows the first of the grants. */
  readonly first: boolean;
}

export function renderPreviewPanel(panel: PreviewPanel, view: View): SafeHtml {
  const { job, preview } = panel;
  const { count } = preview;
  return html`<h2 id="panel-title" tabindex="-1">${titleOf(job)}: preview</h2>
    <p class="outcome">
      A run now would ${describeRun(job, preview)}.
      ${count > 0 ? `The oldest has been due for ${formatSpan(preview.oldestDueMinutes * 60_000)}.` : null}
    </p>
    <p class="hint">
      Read at ${timeTag(preview.readAt)}; nothing was written or sent.
      <a href="${view.link({ job: job.type, preview: panel.order })}">Look again</a>
    </p>
    ${preview.exceedsCeiling ? renderSafetyStop(job, preview, view) : null}
    ${renderFailing(job, preview, view)} ${renderEnds(preview)} ${renderCovered(job, preview, view)}
    ${renderGrants(panel, view)} ${renderPages({ 'All runs of this job': { job: job.type } }, view)}`;
}

function describeRun({ kind }: Job, { count, exceedsCeiling, failing }: Preview): string {
  if (exceedsCeiling)
    return `be blocked by the safety stop: ${formatCount(count, 'grant is', 'grants are')} due`;
  if (kind === 'revocation') return `revoke ${formatCount(count, 'grant')}`;
  const undeliverable = undeliverableCount(failing);
  return `send ${undeliverable > 0 ? `${formatNumber(count - undeliverable)} of ` : ''}${formatCount(count, 'reminder')}`;
}

/** The safety stop, and its way out: the number has to be typed. */
function renderSafetyStop(
  { type, platform }: Job,
  { count, ceiling }: RevocationPreview,
  { mayOperate }: View,
): SafeHtml {
  const number = formatNumber(count);
  return html`<div class="alert">
    <p>
      <strong>Safety stop:</strong> these are more than the ceiling of ${formatNumber(ceiling)}
      (REVOCATION_CEILING). If that is not what you expect, correct sql/06_AccessGrant_views.sql. If the list
      below is right, ${mayOperate ? 'revoke them here' : 'an operator can revoke them here'}.
    </p>
    ${
      mayOperate
        ? html`<p class="actions">
            <button
              id="revoke-all"
              hidden
              class="danger"
              data-job="${type}"
              data-post="jobs/${type}/runs?allowMassRevocation=true"
              data-starts
              data-busy="Starting …"
              data-title="Revoke all ${number} ${platform.name} grants?"
              data-text="The run ignores the safety limit, and its record says so. Every grant that is due when the run begins is revoked."
              data-confirm="Revoke all"
              data-type-number="${count}"
            >
              Revoke all ${number}…
            </button>
          </p>`
        : null
    }
  </div>`;
}

function renderFailing({ words, platform }: Job, { failing, grants }: Preview, view: View): SafeHtml | null {
  const find = (id: RequestId) => grants.find(({ requestId }) => requestId === id);
  return renderCauses({ heading: 'What would fail', noun: words.noun, platform }, failing, find, view);
}

/** What is not due although it ends: the access continues by another request. */
function renderCovered({ platform }: Job, { coveredCount, covered }: Preview, view: View): SafeHtml | null {
  if (coveredCount === 0) return null;
  const others = coveredCount - covered.length;
  return html`<details>
    <summary>
      ${formatCount(coveredCount, 'grant is', 'grants are')} covered: the access continues by another request
    </summary>
    <ul>
      ${covered.map((one) => html`<li>${requestLink(platform, one.requestId, one, view)}: by ${one.coveredBy}, until ${timeTag(one.until)}</li>`)}
      ${others > 0 ? html`<li>${formatNumber(others)} more</li>` : null}
    </ul>
  </details>`;
}

/** How the ends lie in time: a wrong mapping shows as ends long past, an ordinary day as recent ones. */
function renderEnds({ ends, readAt }: Preview): SafeHtml | null {
  if (!ends) return null;
  const most = Math.max(...ends.spread.map(({ count }) => count), 1);
  return html`<h3>When they end</h3>
    <p class="hint">Soonest ${timeTag(ends.soonest)}, latest ${timeTag(ends.latest)}.</p>
    <table class="spread">
      <caption class="visually-hidden">
        Number of grants by end
      </caption>
      <tbody>
        ${ends.spread.map(
          ({ from, to, count }) =>
            html`<tr>
              <th scope="row">${describeBucket(from, to, readAt)}</th>
              <td class="number">${formatNumber(count)}</td>
              <td aria-hidden="true">
                <svg width="100%" height="12">
                  <rect
                    class="${isLongAgo(to, readAt) ? 'long-ago' : 'processed'}"
                    width="${((100 * count) / most).toFixed(1)}%"
                    height="12"
                  />
                </svg>
              </td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

const monthMs = 30 * 24 * 3_600_000;

function isLongAgo(to: Date | null, readAt: Date): boolean {
  return to !== null && readAt.getTime() - to.getTime() >= monthMs;
}

/** For example "more than 365 days ago", "1 to 7 days ago", "in 2 to 4 days". */
function describeBucket(from: Date | null, to: Date | null, readAt: Date): string {
  const away = (date: Date): string => {
    const ms = Math.abs(date.getTime() - readAt.getTime());
    return ms === 3_600_000 ? '1 h' : ms === 24 * 3_600_000 ? '1 day' : formatSpan(ms);
  };
  const range = (near: Date, far: Date): string => `${away(near).replace(/ days?$/, '')} to ${away(far)}`;
  const past = (from ?? to ?? readAt) < readAt;
  if (!from) return to && to > readAt ? `within ${away(to)}` : `more than ${to ? away(to) : ''} ago`;
  if (!to) return past ? `less than ${away(from)} ago` : `in more than ${away(from)}`;
  return past ? `${range(to, from)} ago` : `in ${range(from, to)}`;
}

const grantFacts = ({ platform }: Job, view: View): Column<Grant>[] => [
  { name: 'Request', cell: (grant) => requestLink(platform, grant.requestId, grant, view) },
  { name: 'Holder', look: 'name', cell: ({ requesterName }) => requesterName },
  { name: 'Access', look: 'path', cell: ({ resource }) => breakable(resource) },
  { name: 'Ends', cell: ({ expiresAt }) => timeTag(expiresAt) },
];

/** Where a reminder goes, and which one it is. */
const reminderFacts: readonly Column<PreviewedReminder>[] = [
  {
    name: 'To',
    look: 'path',
    cell: ({ recipient, failureDetail }) =>
      recipient === null
        ? html`<span class="failed"
            >${failureDetail === null ? 'no address' : `malformed: ${failureDetail}`}</span
          >`
        : breakable(recipient),
  },
  {
    name: 'Lead',
    look: 'number',
    cell: ({ leadDays }) => (leadDays === null ? 'ended' : formatCount(leadDays, 'day')),
  },
];

function renderGrants({ job, preview, order, first }: PreviewPanel, view: View): SafeHtml | null {
  const { grants, next, count } = preview;
  if (grants.length === 0) return null;
  const other = order === 'soonest' ? 'latest' : 'soonest';
  const here = { job: job.type, preview: order };
  const label = `${nounsOf(job)} due`;
  return html`<h3>${label}, ${order} end first</h3>
    ${renderPages({ [`Show the ${other} ends first`]: { ...here, preview: other } }, view)}
    ${
      preview.ceiling === undefined
        ? renderTable(label, [...grantFacts(job, view), ...reminderFacts], preview.grants)
        : renderTable(label, grantFacts(job, view), preview.grants)
    }
    ${renderPages(
      {
        'First grants': first ? undefined : here,
        'Next grants': next === null ? undefined : { ...here, after: String(next) },
      },
      view,
      `${formatNumber(grants.length)} shown of ${formatNumber(count)}`,
    )}`;
}
