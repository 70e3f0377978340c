/** What the service checks in the body of a send before it accepts it. */

/** The body of a send, as far as this service reads it. */
export interface SendRequest {
  readonly sender: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly html?: string;
  readonly plainText?: string;
  readonly replyTo: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
}

/** A request that is answered with an error. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

const mostRecipients = 50;
const address = /^[^\s@<>",;:()[\]\\]+@[^\s@<>",;:()[\]\\.]+(\.[^\s@<>",;:()[\]\\.]+)+$/;

/**
 * Reads the recipients alone, to find out which faults were ordered for them.
 * A body without recipients has one, the empty address.
 */
export function recipientsOf(body: unknown): string[] {
  const recipients = object(object(body).recipients);
  const all = ['to', 'cc', 'bcc'].flatMap((kind) =>
    list(recipients[kind]).map((entry) => text(object(entry).address)),
  );
  return all.length > 0 ? all : [''];
}

/** @throws Refusal with status 400 */
export function readSendRequest(body: unknown): SendRequest {
  const { senderAddress, content, replyTo, headers } = object(body);
  const sender = text(senderAddress);
  if (!address.test(sender)) throw invalidAddress('senderAddress', sender);
  const recipients = recipientsOf(body);
  for (const recipient of recipients) {
    if (!address.test(recipient)) throw invalidAddress('recipients', recipient);
  }
  if (recipients.length > mostRecipients) {
    throw badRequest(`recipients: ${recipients.length}, at most ${mostRecipients} a message`);
  }
  const replies = list(replyTo).map((entry) => text(object(entry).address));
  for (const reply of replies) {
    if (!address.test(reply)) throw invalidAddress('replyTo', reply);
  }
  const { subject, html, plainText } = object(content);
  if (!text(subject)) throw badRequest('content.subject is required');
  if (/[\r\n]/.test(text(subject))) throw badRequest('content.subject has to be one line');
  if (!text(html) && !text(plainText)) throw badRequest('content.html or content.plainText is required');
  return {
    sender,
    to: recipients,
    subject: text(subject),
    ...(text(html) && { html: text(html) }),
    ...(text(plainText) && { plainText: text(plainText) }),
    replyTo: replies,
    headers: Object.fromEntries(Object.entries(object(headers)).map(([name, value]) => [name, text(value)])),
  };
}

export function badRequest(message: string): Refusal {
  return new Refusal(400, 'BadRequest', message);
}

function invalidAddress(where: string, found: string): Refusal {
  return new Refusal(400, 'InvalidEmailAddress', `${where}: "${found}" is no email address`);
}

function object(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
