import { v5 as uuidV5 } from 'uuid';
import type { Digest, DigestOptions, DueGrant } from './digest';
import { renderHtml } from './renderHtml';
import { renderText } from './renderText';
import { describeDigest, describePart } from './wording';

/** A message to one recipient. */
export interface EmailMessage {
  /**
   * The identity of the reminder as a UUID v5: the platform, the recipient and, of each grant, its request, end and (in a
   * run) lead. Whatever the wording, a repeated send has the same id, by which the service recognises it (sameOperationId
   * in model/).
   */
  readonly operationId: string;
  /** Of a message by hand: ids under which it may have gone out before. */
  readonly earlierIds?: readonly string[];
  /** The UTC day (yyyy-mm-dd) before which the message cannot have gone out. */
  readonly firstDay: string;
  readonly recipient: string;
  readonly subject: string;
  readonly plainText: string;
  readonly html: string;
}

/** A message about grants. */
export interface DigestMessage extends EmailMessage {
  readonly grants: readonly DueGrant[];
}

/**
 * The largest message, in bytes, by an estimate that is never too low. The service takes 10 MB in all ("Service limits
 * for Azure Communication Services", size limits for email), and what it sends on is encoded once more.
 */
const maxMessageSize = 5_000_000;

/** The namespace (RFC 9562, 5.5) under which the ids of messages are derived. */
const namespace = '5f0c9a5e-6d0b-4f0e-9f39-0a1f0c1f6f7a';

/**
 * One person's digest as HTML and plain text: one message, or several if one would be too large for the service.
 * Nothing in them depends on when they are sent.
 * @param salt gives them operation ids of their own, as for a message that is sent again on purpose
 */
export function createDigests(
  { recipient, grants }: Digest,
  options: DigestOptions,
  salt?: string,
): DigestMessage[] {
  const parts = split(grants, options);
  return parts.map((part, index) => {
    const digest = describeDigest(part, options);
    const content = parts.length === 1 ? digest : describePart(digest, index + 1, parts.length);
    const { subject } = content;
    return {
      operationId: operationIdFor(options.platformName, { recipient, grants: part }, salt),
      firstDay: firstDayOf(part),
      recipient,
      subject,
      plainText: renderText(content),
      html: renderHtml(content),
      grants: part,
    };
  });
}

/** Parts of a digest that each fit into a message. */
function split(
  grants: readonly DueGrant[],
  { email: { renewalUrlTemplate = '', requestUrlTemplate = '' } }: DigestOptions,
): DueGrant[][] {
  const parts: DueGrant[][] = [];
  let size = Infinity;
  for (const grant of grants) {
    // In HTML a character takes up to 6 bytes, in a link 9. A name is in both bodies and in its link's label; a number is
    // in both links, perhaps twice.
    const added =
      900 +
      6 * Math.max(renewalUrlTemplate.length, requestUrlTemplate.length) +
      15 * grant.resource.length +
      60 * grant.requestNumber.length;
    if (size + added > maxMessageSize) {
      parts.push([]);
      size = 0;
    }
    parts.at(-1)?.push(grant);
    size += added;
  }
  return parts;
}

function operationIdFor(
  platformName: string,
  { recipient, grants }: Digest,
  salt: string | undefined,
): string {
  const reminders = grants.map(({ requestId, expiresAt, leadDays }) =>
    // By hand the lead is the days that are left, which change at midnight.
    salt === undefined ? [requestId, expiresAt, leadDays] : [requestId, expiresAt],
  );
  return uuidV5(JSON.stringify([platformName, recipient, reminders, salt]), namespace);
}

/** The day on which the last of the grants became due. */
function firstDayOf(grants: readonly DueGrant[]): string {
  const last = grants.reduce((latest, { dueSince }) => Math.max(latest, dueSince.getTime()), 0);
  return new Date(last).toISOString().slice(0, 10);
}

/** The id under which a message goes out again on that UTC day, after the service has failed it. */
export function operationIdOn(day: string, failedId: string): string {
  return uuidV5(`${failedId} ${day}`, namespace);
}
