import { html, type SafeHtml } from '../../html';
import { describeNext } from '../../jobs/nextStepWords';
import { canBeReminded, quietUntil } from '../../jobs/reminder';
import { requestViewAdvice } from '../../jobs/requests';
import type { RequestRecord, RequestStory } from '../../jobs/requestStory';
import { breakable, copyable, timeOrDash, timeTag, type View } from './parts';
import { renderFacts } from './tables';

/** One request: what it is now, what happened, what comes next. */
export interface RequestPanel {
  readonly kind: 'request';
  readonly story: RequestStory;
}

export function renderRequestPanel({ story }: RequestPanel, view: View): SafeHtml {
  const { platform, requestId, request, grant, viewMissing } = story;
  const known = request ?? grant;
  return html`<h2 id="panel-title" tabindex="-1">
      ${platform.name} request ${known?.requestNumber ?? requestId}
    </h2>
    ${viewMissing ? html`<p class="notice">${requestViewAdvice(platform)}</p>` : null}
    ${renderFacts([
      ['Holder', known?.requesterName ?? '–'],
      ['Address', breakable(story.recipient || '–')],
      ['Access', breakable(known?.resource ?? '–')],
      ['Ends', timeOrDash(known?.expiresAt)],
      ['Status', request?.status ?? (grant ? 'granted' : 'not granted')],
      ['Request id', copyable(String(requestId), 'request id')],
    ])}
    <h3>What comes next</h3>
    <p class="next">${describeNext(story)}</p>
    ${view.mayOperate && canBeReminded(story) ? renderReminder(story, view) : null}
    <h3>What happened</h3>
    ${renderTimeline(story, view)}`;
}

function renderReminder(
  { platform, requestId, request, grant, recipient, notifications }: RequestStory,
  { readAt }: View,
): SafeHtml {
  const number = (request ?? grant)?.requestNumber ?? requestId;
  const id = `reminder-${platform.name.toLowerCase()}-${requestId}`;
  const [newest] = notifications;
  const justSent = newest && quietUntil(newest.at) > readAt ? newest : undefined;
  return html`<p class="actions">
      <button
        id="${id}"
        hidden
        ${justSent ? html`aria-disabled="true" aria-describedby="${id}-quiet"` : null}
        data-post="requests/${platform.name.toLowerCase()}/${requestId}/reminders"
        data-result="${id}-result"
        data-busy="Sending …"
        data-title="Send the reminder of ${number}?"
        data-text="It goes to ${recipient} now, whether it is due or not, and is recorded."
        data-confirm="Send"
      >
        Send reminder
      </button>
    </p>
    ${justSent ? html`<p class="hint" id="${id}-quiet">A message about it went out at ${timeTag(justSent.at)}. Another can be sent by hand from ${timeTag(quietUntil(justSent.at))}: refresh this page then.</p>` : null}
    <p id="${id}-result" class="result" role="status" data-keep></p>`;
}

/** Messages and revocations, newest first. */
function renderTimeline({ notifications, revocations }: RequestStory, view: View): SafeHtml {
  const events = [
    ...notifications.map((record) => ({ record, text: `Message sent to ${record.sentTo}` })),
    ...revocations.map((record) => ({ record, text: 'Revocation recorded' })),
  ].sort((a, b) => b.record.at.getTime() - a.record.at.getTime());
  if (events.length === 0) return html`<p>Nothing was sent, and no revocation is recorded.</p>`;
  return html`<ol class="timeline">
    ${events.map(({ record, text }) => html`<li>${timeTag(record.at)}<span>${text}, ${renderAuthor(record, view)}</span></li>`)}
  </ol>`;
}

function renderAuthor({ by, jobId }: RequestRecord, { link }: View): SafeHtml {
  return jobId === null ? html`by ${by}` : html`by <a href="${link({ run: jobId })}">a run of ${by}</a>`;
}
