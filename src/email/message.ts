import { v5 as uuidV5 } from 'uuid';
import type { Settings } from '../config/settings';
import { html } from '../html';

/** The namespace (RFC 9562, 5.5) under which the ids of messages are derived. */
const namespace = '5f0c9a5e-6d0b-4f0e-9f39-0a1f0c1f6f7a';

/** A message to one recipient. */
export interface EmailMessage {
  /**
   * Derived from the content (UUID v5): the same message has the same id whenever it is sent, so that the service
   * recognises a repeated send.
   */
  readonly operationId: string;
  readonly recipient: string;
  readonly subject: string;
  readonly plainText: string;
  readonly html: string;
}

/** A grant as the recipient reads of it. */
export interface ExpiringGrant {
  readonly requestId: number | string;
  readonly requestNumber: string;
  readonly requesterName: string;
  readonly resource: string;
  /** UTC. */
  readonly expiresAt: Date;
  /** The reminder that is due: the one that begins this many days before the grant's last day. */
  readonly leadDays: number | null;
}

/**
 * One person's reminder for all grants that are due, soonest first, as HTML and plain text.
 * Every end stands with its date, time and zone; nothing depends on the moment of sending.
 * @param platformName what the access is on, for example Databricks
 * @param email the sender, where replies go and the template of a renewal link
 * @param salt makes the message another one for the service, with an operation id of its own
 */
export function createDigest(
  platformName: string,
  recipient: string,
  grants: readonly ExpiringGrant[],
  { senderAddress, replyTo, renewalUrlTemplate }: Omit<Settings['email'], 'endpoint'>,
  salt?: string,
): EmailMessage {
  const entries = grants.map((grant) => ({
    resource: singleLine(grant.resource) || 'unnamed resource',
    requestNumber: singleLine(grant.requestNumber),
    end: formatUtc(grant.expiresAt),
    renewalUrl: renewalUrlTemplate?.replaceAll('{requestNumber}', () =>
      encodeURIComponent(grant.requestNumber.toWellFormed()),
    ),
  }));
  const name = singleLine(grants[0]?.requesterName ?? '');
  const count = entries.length === 1 ? 'One access' : `${entries.length} accesses`;
  const greeting = name ? `Hello ${name},` : 'Hello,';
  const intro = `${count} that you have on ${platformName} will end soon. After the time given, the access is revoked.`;
  const advice = renewalUrlTemplate
    ? 'If you still need it, renew it in time by its link.'
    : 'If you still need it, request a renewal in time. If not, there is nothing to do.';

  const plainText = [
    greeting,
    '',
    intro,
    '',
    ...entries.flatMap(({ resource, requestNumber, end, renewalUrl }) => [
      `- ${resource}`,
      `  ends ${end}`,
      `  request ${requestNumber}`,
      ...(renewalUrl ? [`  renew: ${renewalUrl}`] : []),
      '',
    ]),
    advice,
    '',
  ].join('\n');

  const rows = entries.map(({ resource, requestNumber, end, renewalUrl }) => {
    const renewal = renewalUrl === undefined ? null : html`<td><a href="${renewalUrl}">Renew</a></td>`;
    return html`<tr>
      <td>${resource}</td>
      <td>${end}</td>
      <td>${requestNumber}</td>
      ${renewal}
    </tr>`;
  });
  const headings = ['Access', 'Ends', 'Request', ...(renewalUrlTemplate ? ['Renewal'] : [])];
  const { html: htmlBody } = html`<!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>${platformName} access ends soon</title>
      </head>
      <body style="font-family: 'Segoe UI', Arial, sans-serif; font-size: 14px">
        <p>${greeting}</p>
        <p>${intro}</p>
        <table border="1" cellpadding="6" style="border-collapse: collapse">
          <thead>
            <tr>
              ${headings.map((heading) => html`<th align="left" scope="col">${heading}</th>`)}
            </tr>
          </thead>
          <tbody>
            ${rows}
          </tbody>
        </table>
        <p>${advice}</p>
      </body>
    </html> `;
  const subject =
    entries.length === 1
      ? `Your ${platformName} access ends on ${formatUtc(grants[0]?.expiresAt ?? new Date(0))}`
      : `${entries.length} of your ${platformName} accesses end soon`;
  // The lead tells a grant's later reminder, whose text is the same, from its earlier one.
  const reminders = grants.map(({ requestId, expiresAt, leadDays }) => [requestId, expiresAt, leadDays]);
  const content = [
    senderAddress,
    replyTo,
    recipient,
    subject,
    plainText,
    htmlBody,
    platformName,
    reminders,
    salt,
  ];
  // As bytes: of a string the library makes an array with an element for each byte of the message.
  const operationId = uuidV5(Buffer.from(JSON.stringify(content)), namespace);
  return { operationId, recipient, subject, plainText, html: htmlBody };
}

/** The id under which a message goes out again after the service has failed the operation of that id. */
export function nextOperationId(failed: string): string {
  return uuidV5(failed, namespace);
}

const utcFormat = new Intl.DateTimeFormat('en-GB', {
  weekday: 'long',
  day: 'numeric',
  month: 'long',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
  timeZone: 'UTC',
});

/** For example "Tuesday 1 December 2026 at 08:00 UTC". */
export function formatUtc(date: Date): string {
  return `${utcFormat.format(date).replace(/,/g, '')} UTC`;
}

/** Control and format characters (Unicode Cc, Cf), line breaks and halves of characters have no place in a line. */
function singleLine(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim();
}
