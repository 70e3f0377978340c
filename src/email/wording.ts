/** The subject and every sentence of a digest, for HTML and plain text. */
import { formatNumber } from '../format';
import { singleLine } from '../singleLine';
import { requestLink } from '../config/addresses';
import type { DigestOptions, DueGrant } from './digest';
import { formatEnd, shortDay, type End } from './ends';
import { isolate, withNeededIsolates } from './isolates';
import { withoutLinks } from './linkLookalikes';

/** A grant as a message shows it. Its texts are single lines, and not isolated yet. */
export interface Entry {
  readonly resource: string;
  /** '' if there is none. */
  readonly requestNumber: string;
  readonly end: End;
  /** When its message became due: not when it is sent, since a repeated message has to be the same. */
  readonly dueSince: Date;
  readonly lastReminder: boolean;
  /** Where it can be renewed or, once it has ended, requested again. */
  readonly url: string | undefined;
}

/** Values in its sentences are isolated; `subject` and `preheader` are final, the others are rendered. */
export interface DigestContent {
  readonly subject: string;
  /** What a list of mails shows after the subject. */
  readonly preheader: string;
  /** Who sends it, and about what. */
  readonly label: string;
  readonly greeting: string;
  /** One sentence in parts, alternately plain and emphasised. */
  readonly heading: readonly string[];
  /** The grant in the heading, if it is the only one of its list, which then is empty. */
  readonly lead: Entry | undefined;
  /** What the link of the lead does. */
  readonly action: string;
  readonly advice: string;
  readonly ending: readonly Entry[];
  readonly ended: readonly Entry[];
  readonly footer: readonly string[];
}

/** Lengths, in UTF-16 units, beyond which a value is shortened. */
const maxSubjectResource = 60;
/** In a subject that names two. */
const maxSharedSubjectResource = 30;
const maxName = 100;
const maxResource = 1_000;
const maxRequestNumber = 200;

/** The soonest ends are shown in full, the others as a line each. */
export const maxFullEntries = 20;

/** Resources that the preheader names. */
const maxPreheaderResources = 3;

const ignoreMessage = 'If you no longer need it, you can ignore this email.';
const ignoreRest = 'You can ignore the rest.';

export function describeDigest(grants: readonly DueGrant[], options: DigestOptions): DigestContent {
  const { platformName, email } = options;
  const entries = (which: readonly DueGrant[]): Entry[] => which.map((grant) => toEntry(grant, options));
  const ending = entries(grants.filter(({ leadDays }) => leadDays !== null));
  const ended = entries(grants.filter(({ leadDays }) => leadDays === null));
  const wording = isNonEmpty(ending) ? announce(platformName, ending, ended) : report(platformName, ended);
  const { organisationName } = email;
  return {
    ending,
    ended,
    ...wording,
    subject: withNeededIsolates(wording.subject),
    preheader: withNeededIsolates(wording.preheader),
    label: `${organisationName === undefined ? '' : `${isolate(organisationName)} · `}${platformName} access`,
    greeting: greet(grants),
    action: ending.length > 0 ? 'Renew access' : 'Request again',
    footer: footer(platformName, email, ending.length > 0),
  };
}

/** Marks one part of a digest that is too large for one message. */
export function describePart(content: DigestContent, part: number, parts: number): DigestContent {
  const place = `part ${formatNumber(part)} of ${formatNumber(parts)}`;
  return {
    ...content,
    subject: `${content.subject} (${place})`,
    advice: `${content.advice} This is ${place}: your list is too long for one email.`,
  };
}

function toEntry(grant: DueGrant, { lastLeadDays, email }: DigestOptions): Entry {
  const requestNumber = singleLine(grant.requestNumber);
  const template = grant.leadDays === null ? email.requestUrlTemplate : email.renewalUrlTemplate;
  return {
    resource: shorten(singleLine(grant.resource), maxResource) || 'an unnamed resource',
    requestNumber: shorten(requestNumber, maxRequestNumber),
    end: formatEnd(grant.expiresAt, email.timeZone),
    dueSince: grant.dueSince,
    lastReminder: grant.leadDays === lastLeadDays && grant.remindedBefore,
    url: template === undefined ? undefined : requestLink(template, requestNumber),
  };
}

/** Several people may share an address: up to two are named. */
function greet(grants: readonly DueGrant[]): string {
  const names = new Map<string, string>();
  for (const { requesterName } of grants) {
    const name = shorten(singleLine(requesterName), maxName);
    const key = name.normalize().replace(/\s+/g, ' ').toLowerCase();
    if (name !== '' && !names.has(key)) names.set(key, isolate(withoutLinks(name)));
  }
  return names.size === 0 || names.size > 2 ? 'Hello,' : `Hello ${[...names.values()].join(' and ')},`;
}

/** What depends on the grants. A single one moves from its list to the lead. */
type Wording = Pick<DigestContent, 'subject' | 'preheader' | 'heading' | 'lead' | 'advice'> &
  Partial<Pick<DigestContent, 'ending' | 'ended'>>;

type NonEmpty = readonly [Entry, ...Entry[]];
const isNonEmpty = (entries: readonly Entry[]): entries is NonEmpty => entries.length > 0;

function announce(platformName: string, ending: NonEmpty, ended: readonly Entry[]): Wording {
  const [first] = ending;
  const { resource, end } = first;
  const day = shortDay(end, first.dueSince);
  const linked = ending.every(({ url }) => url !== undefined);
  const also = ended.length === 0 ? '' : ' What has ended already, you can request again.';
  if (ending.length === 1)
    return {
      subject: `${lastReminderOf(ending)} ${platformName} access to ${nameInSubject(resource, ended)} ends ${day}, ${end.time}${alsoEnded(ended)}`,
      preheader: `It ends ${formatFully(end)}. ${linked ? 'Renew it' : 'Ask for a renewal'} if you still need it.`,
      heading: [
        'Your access to ',
        isolate(withoutLinks(resource)),
        ` on ${platformName} ends `,
        ...emphasised(end),
      ],
      lead: first,
      advice: `If you still need it, ${linked ? 'renew it' : 'ask for a renewal'} before then. Without a renewal you lose the access, and have to request it again. ${ended.length === 0 ? ignoreMessage : ignoreRest}${also}`,
      ending: [],
    };
  const count = formatNumber(ending.length);
  return {
    subject: `${lastReminderOf(ending)} access to ${count} ${platformName} resources ends soon, the first on ${day}${alsoEnded(ended)}`,
    preheader: listResources(ending),
    heading: [
      `Your access to ${count} ${platformName} resources ends soon, the first on `,
      ...emphasised(end),
    ],
    lead: undefined,
    advice: `${linked ? 'Renew' : 'Ask for a renewal of'} what you still need before it ends. Without a renewal you lose the access, and have to request it again. ${ignoreRest}${also}`,
  };
}

/** Start of a subject about access that ends: for how many grants it is the last reminder. */
function lastReminderOf(ending: readonly Entry[]): string {
  const last = ending.filter(({ lastReminder }) => lastReminder).length;
  if (last === 0) return 'Your';
  return `Last reminder${last === ending.length ? '' : ` for ${formatNumber(last)}`}: your`;
}

/** End of a subject that also covers access that has ended. */
function alsoEnded(ended: readonly Entry[]): string {
  const [first] = ended;
  if (!first) return '';
  return ended.length === 1
    ? `; access to ${nameInSubject(first.resource, ended)} has ended`
    : `; ${formatNumber(ended.length)} others have ended`;
}

/** @param ended the grants that the subject names too */
function nameInSubject(resource: string, ended: readonly Entry[]): string {
  return isolate(shorten(resource, ended.length === 1 ? maxSharedSubjectResource : maxSubjectResource));
}

function report(platformName: string, ended: readonly Entry[]): Wording {
  if (!isNonEmpty(ended)) throw new Error('A digest has no grant.');
  const [first] = ended;
  const { resource, end } = first;
  if (ended.length === 1)
    return {
      subject: `Your ${platformName} access to ${nameInSubject(resource, [])} has ended`,
      preheader: `It ended ${formatFully(end)}. If you still need it, request it again.`,
      heading: [
        'Your access to ',
        isolate(withoutLinks(resource)),
        ` on ${platformName} ended `,
        ...emphasised(end),
      ],
      lead: first,
      advice: `If you still need it, request it again. ${ignoreMessage}`,
      ended: [],
    };
  const count = formatNumber(ended.length);
  return {
    subject: `Your access to ${count} ${platformName} resources has ended`,
    preheader: listResources(ended),
    heading: [`Your access to ${count} ${platformName} resources has ended`],
    lead: undefined,
    advice: `Request again what you still need. ${ignoreRest}`,
  };
}

/** An end as parts of a heading: the UTC time is not emphasised. */
function emphasised({ day, time, utc }: End): string[] {
  return [`${day}, ${time}`, ...(utc ? [` (${utc})`] : [])];
}

function footer(platformName: string, email: DigestOptions['email'], hasEnding: boolean): string[] {
  const { organisationName } = email;
  return [
    hasEnding
      ? `You are receiving this email because you hold time-limited access on ${platformName}. You cannot unsubscribe from these reminders: without them, your access would end without warning.`
      : `You are receiving this email because you held time-limited access on ${platformName}.`,
    `Questions? ${describeContact(email)}`,
    `Sent automatically by Access Expiry Jobs${organisationName === undefined ? '' : ` on behalf of ${isolate(organisationName)}`}.`,
  ];
}

/** A sender whose replies nobody reads, such as Azure's DoNotReply@. */
const unreadSender = /^(do[-_.]?not|no)[-_.]?reply@/i;

/** Whom to ask: the site's own text; else whoever gets the replies; else where access is requested. */
function describeContact({
  contactText,
  replyTo,
  senderAddress,
  requestUrlTemplate,
  renewalUrlTemplate = requestUrlTemplate,
}: DigestOptions['email']): string {
  if (contactText !== undefined) return isolate(contactText);
  if (replyTo !== undefined) return `Reply to this email, or write to ${replyTo}.`;
  if (!unreadSender.test(senderAddress)) return `Reply to this email, or write to ${senderAddress}.`;
  if (renewalUrlTemplate !== undefined)
    return `Ask where you requested the access: ${new URL(renewalUrlTemplate).origin}. Nobody reads replies to this email.`;
  return 'Ask your manager or the team that granted you the access, and name the request. Nobody reads replies to this email.';
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
    .map(({ resource }) => isolate(shorten(resource, maxSubjectResource)));
  const more = entries.length - named.length;
  return more > 0 ? `${named.join(', ')} and ${formatNumber(more)} more` : named.join(', ');
}

/** At most `max` UTF-16 units, ending in "…" if shortened. Cuts no surrogate pair. */
function shorten(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
