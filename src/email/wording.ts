/** The wording of a digest, which its HTML and its plain text share: its subject and every sentence in it. */
import { renewalLink } from '../config/addresses';
import type { DigestOptions, DueGrant } from './digest';
import { formatEnd, shortDay, type End } from './ends';

/** A grant as a message shows it. */
export interface Entry {
  readonly resource: string;
  /** '' if there is none. */
  readonly requestNumber: string;
  readonly end: End;
  readonly lastReminder: boolean;
  readonly renewalUrl: string | undefined;
}

export interface DigestContent {
  readonly subject: string;
  /** What a list of mails shows after the subject. */
  readonly preheader: string;
  /** Who sends it, and about what. */
  readonly label: string;
  readonly greeting: string;
  /** One sentence, its parts by turns plain and emphasised. */
  readonly heading: readonly string[];
  /** The grant that the heading speaks of, where it is one alone. It is in neither list. */
  readonly lead: Entry | undefined;
  readonly advice: string;
  readonly ending: readonly Entry[];
  readonly ended: readonly Entry[];
  readonly footer: readonly string[];
}

/** Lengths, in UTF-16 units, beyond which a value is shortened. */
const maxSubjectResource = 60;
const maxName = 100;
const maxResource = 1_000;
const maxRequestNumber = 200;

/** The soonest ends are shown in full, the others as a line each. */
export const maxFullEntries = 20;

/** Resources that the preheader names. */
const maxPreheaderResources = 3;

const numberFormat = new Intl.NumberFormat('en-GB');

export function describeDigest(
  grants: readonly DueGrant[],
  { platformName, lastLeadDays, email }: DigestOptions,
): DigestContent {
  const toEntry = (grant: DueGrant): Entry => ({
    resource: shorten(singleLine(grant.resource), maxResource) || 'an unnamed resource',
    requestNumber: shorten(singleLine(grant.requestNumber), maxRequestNumber),
    end: formatEnd(grant.expiresAt, email.timeZone),
    lastReminder: grant.leadDays === lastLeadDays,
    renewalUrl: grant.leadDays === null ? undefined : renewalUrl(grant, email.renewalUrlTemplate),
  });
  const ending = grants.filter(({ leadDays }) => leadDays !== null).map(toEntry);
  const ended = grants.filter(({ leadDays }) => leadDays === null).map(toEntry);
  const name = shorten(singleLine(grants[0]?.requesterName ?? ''), maxName);
  return {
    ending,
    ended,
    ...(ending.length > 0 ? announce(platformName, ending) : report(platformName, ended)),
    label: `${email.organisationName === undefined ? '' : `${email.organisationName} · `}${platformName} access`,
    greeting: name ? `Hello ${name},` : 'Hello,',
    footer: footer(platformName, email),
  };
}

/** What depends on the grants. Where there is one alone, it leaves its list for the lead. */
type Wording = Pick<DigestContent, 'subject' | 'preheader' | 'heading' | 'lead' | 'advice'> &
  Partial<Pick<DigestContent, 'ending' | 'ended'>>;

function announce(platformName: string, ending: readonly Entry[]): Wording {
  const [first] = ending as [Entry, ...Entry[]];
  const { resource, end } = first;
  const isLast = ending.some(({ lastReminder }) => lastReminder);
  const linked = ending.every(({ renewalUrl }) => renewalUrl !== undefined);
  if (ending.length === 1)
    return {
      subject: `${isLast ? 'Last reminder: your' : 'Your'} ${platformName} access to ${shorten(resource, maxSubjectResource)} ends ${shortDay(end)}, ${end.time}`,
      preheader: `It ends ${formatFully(end)}. ${linked ? 'Renew it' : 'Ask for a renewal'} if you still need it.`,
      heading: ['Your access to ', resource, ` on ${platformName} ends `, ...emphasised(end)],
      lead: first,
      advice: linked
        ? 'If you no longer need it, you do not have to do anything.'
        : 'If you still need it, ask for a renewal before then. If not, you do not have to do anything.',
      ending: [],
    };
  const count = numberFormat.format(ending.length);
  return {
    subject: `${isLast ? 'Last reminder: ' : ''}${count} ${platformName} accesses end, the first on ${shortDay(end)}`,
    preheader: listResources(ending),
    heading: [
      `Your access to ${count} ${platformName} resources ends soon, the first on `,
      ...emphasised(end),
    ],
    lead: undefined,
    advice: `${linked ? 'Renew' : 'Ask for a renewal of'} what you still need before it ends. For the rest, you do not have to do anything.`,
  };
}

function report(platformName: string, ended: readonly Entry[]): Wording {
  const [first] = ended as [Entry, ...Entry[]];
  const { resource, end } = first;
  if (ended.length === 1)
    return {
      subject: `Your ${platformName} access to ${shorten(resource, maxSubjectResource)} has ended`,
      preheader: `It ended ${formatFully(end)}. If you still need it, request it again.`,
      heading: ['Your access to ', resource, ` on ${platformName} ended `, ...emphasised(end)],
      lead: first,
      advice: 'If you still need it, request it again. If not, you do not have to do anything.',
      ended: [],
    };
  const count = numberFormat.format(ended.length);
  return {
    subject: `${count} ${platformName} accesses have ended`,
    preheader: listResources(ended),
    heading: [`Your access to ${count} ${platformName} resources has ended`],
    lead: undefined,
    advice: 'Request again what you still need. For the rest, you do not have to do anything.',
  };
}

/** An end as parts of a heading: UTC beside it is not emphasised. */
function emphasised({ day, time, utc }: End): string[] {
  return [`${day}, ${time}`, ...(utc ? [` (${utc})`] : [])];
}

function footer(
  platformName: string,
  { replyTo, contactText, organisationName }: DigestOptions['email'],
): string[] {
  const contact =
    contactText ??
    (replyTo === undefined
      ? 'Ask the team that manages your access.'
      : `Reply to this email, or write to ${replyTo}.`);
  return [
    `You are receiving this email because you hold time-limited access on ${platformName}. You cannot unsubscribe from these reminders: without them, your access would end without warning.`,
    `Questions? ${contact}`,
    `Sent automatically by Access Expiry Jobs${organisationName === undefined ? '' : ` on behalf of ${organisationName}`}.`,
  ];
}

/** For example "Tuesday 1 December 2026, 09:00 CET (08:00 UTC)". */
export function formatFully({ day, time, utc }: End): string {
  return `${day}, ${time}${utc && ` (${utc})`}`;
}

/** For example "09:00 CET (08:00 UTC)". */
export function formatTime({ time, utc }: End): string {
  return `${time}${utc && ` (${utc})`}`;
}

/** Entries under the names of their days, in the order given. */
export function byDay(entries: readonly Entry[]): Map<string, Entry[]> {
  return Map.groupBy(entries, ({ end }) => end.day);
}

function listResources(entries: readonly Entry[]): string {
  const named = entries
    .slice(0, maxPreheaderResources)
    .map(({ resource }) => shorten(resource, maxSubjectResource));
  const more = entries.length - named.length;
  return more > 0 ? `${named.join(', ')} and ${numberFormat.format(more)} more` : named.join(', ');
}

/** A request without a number has no page to lead to. */
function renewalUrl({ requestNumber }: DueGrant, template: string | undefined): string | undefined {
  if (template === undefined || singleLine(requestNumber) === '') return undefined;
  return renewalLink(template, requestNumber);
}

/** Control and format characters (Unicode Cc, Cf), line breaks and halves of characters have no place in a line. */
function singleLine(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim();
}

/** At most so many UTF-16 units, the last of them "…" if something is left out. Cuts no surrogate pair. */
function shorten(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
