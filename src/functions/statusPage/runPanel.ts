import { describeCounts, formatAgo, formatCount, formatNumber, formatUtc } from '../../format';
import { html, type SafeHtml } from '../../html';
import type { Job } from '../../jobs/catalogue';
import { failureCauses } from '../../jobs/failures';
import { stoppedEarly } from '../../jobs/jobStates';
import { requestViewAdvice } from '../../jobs/requests';
import type { RunDetails } from '../../jobs/runDetails';
import {
  breakable,
  compareRuns,
  copyable,
  describeDuration,
  describeOutcome,
  outcomeOf,
  requestLink,
  timeTag,
  titleOf,
  type View,
} from './parts';

/** One run down to the grant. */
export interface RunPanel {
  readonly kind: 'run';
  readonly job: Job;
  readonly details: RunDetails;
  /** It shows the first of its rows. */
  readonly first: boolean;
}

export function renderRunPanel({ job, details, first }: RunPanel, view: View): SafeHtml {
  const { run, previousRun } = details;
  const { readAt, link } = view;
  const left = run.status === 'Failed' || (run.failedCount ?? 0) > 0 || stoppedEarly(run);
  return html`<h2 id="panel-title" tabindex="-1">${titleOf(job)}: run of ${formatUtc(run.startedAt)}</h2>
    <p class="outcome ${outcomeOf(run)}">${describeOutcome(run)}: ${describeCounts(job.words.done, run)}</p>
    ${run.message === null ? null : html`<p class="message">${run.message}</p>`}
    ${details.requests ? null : html`<p class="notice">${requestViewAdvice(job.platform)}</p>`}
    ${renderFailures(job, details, view)}
    ${
      left
        ? html`<p>
            What this run left is still due:
            <a href="${link({ job: job.type, preview: 'soonest' })}">see what the next run would do</a>.
          </p>`
        : null
    }
    <dl>
      <div>
        <dt>Started</dt>
        <dd>${timeTag(run.startedAt)}, ${formatAgo(readAt.getTime() - run.startedAt.getTime())}</dd>
      </div>
      <div>
        <dt>Took</dt>
        <dd>${describeDuration(run, readAt)}</dd>
      </div>
      <div>
        <dt>Host</dt>
        <dd>${run.startedBy}</dd>
      </div>
      <div>
        <dt>Run id</dt>
        <dd>${copyable(run.jobId, 'run id')}</dd>
      </div>
      <div>
        <dt>Run before</dt>
        <dd>
          ${
            previousRun
              ? html`<a href="${link({ run: previousRun.jobId })}">${timeTag(previousRun.startedAt)}</a>,
                  ${describeOutcome(previousRun)}, ${describeCounts(job.words.done, previousRun)} in
                  ${describeDuration(previousRun, readAt)}. This one:
                  ${compareRuns(job, run, previousRun, readAt).join(', ') || 'much the same'}.`
              : 'none'
          }
        </dd>
      </div>
    </dl>
    ${renderRows(job, details, first, view)}
    <p class="pages"><a href="${link({ job: job.type })}">All runs of this job</a></p>`;
}

function renderFailures(job: Job, { failures, requests }: RunDetails, view: View): SafeHtml | null {
  if (failures.length === 0) return null;
  return html`<h3>Why grants failed</h3>
    <ul class="causes">
      ${failures.map(({ cause, code, count, requestIds }) => {
        const { words, advice } = failureCauses[cause];
        return html`<li>
          <strong
            >${formatCount(count, 'grant')}:
            ${words}${code === undefined ? null : html` (<code>${code}</code>)`}</strong
          >
          <p>${advice}</p>
          ${requestIds.length === 0 ? null : html`<p>${requestIds.length < count ? 'First requests' : 'Requests'}:</p>`}
          <ul>
            ${requestIds.map((requestId) => {
              const request = requests?.get(requestId);
              return html`<li>
                ${requestLink(job.platform, requestId, request, view)}${request ? `, ${request.requesterName}, ${request.resource}` : null}
              </li>`;
            })}
          </ul>
        </li>`;
      })}
    </ul>`;
}

function renderRows(
  job: Job,
  { run, rows, next, requests }: RunDetails,
  first: boolean,
  view: View,
): SafeHtml {
  const { link } = view;
  const sent = job.kind === 'notification';
  const word = job.words.done;
  if (rows.length === 0) return html`<p>${first ? `It has ${word} nothing.` : 'There are no more rows.'}</p>`;
  return html`<h3>Grants ${word}</h3>
    <div class="scroll" role="region" aria-label="Grants that this run has ${word}" tabindex="0">
      <table>
        <thead>
          <tr>
            <th scope="col">Request</th>
            <th scope="col">Holder</th>
            <th scope="col">Access</th>
            ${sent ? html`<th scope="col">Sent to</th>` : null}
            <th scope="col">Ends</th>
            <th scope="col">${sent ? 'Sent' : 'Revoked'}</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map(({ requestId, at, sentTo }) => {
            const request = requests?.get(requestId);
            return html`<tr>
              <th scope="row">${requestLink(job.platform, requestId, request, view)}</th>
              <td data-label="Holder">${request?.requesterName ?? '–'}</td>
              <td data-label="Access" class="path">${breakable(request?.resource ?? '–')}</td>
              ${sent ? html`<td data-label="Sent to" class="path">${breakable(sentTo ?? '–')}</td>` : null}
              <td data-label="Ends">${request?.expiresAt ? timeTag(request.expiresAt) : '–'}</td>
              <td data-label="${sent ? 'Sent' : 'Revoked'}">${timeTag(at)}</td>
            </tr>`;
          })}
        </tbody>
      </table>
    </div>
    <p class="pages">
      ${first ? null : html`<a href="${link({ run: run.jobId })}">First rows</a>`}
      ${next === null ? null : html`<a href="${link({ run: run.jobId, after: String(next) })}">Next rows</a>`}
      <span
        >${formatNumber(rows.length)}
        shown${run.processedCount === null ? '' : ` of ${formatNumber(run.processedCount)}`}</span
      >
    </p>`;
}
