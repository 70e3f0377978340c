/** Settings that are addresses, read as a browser reads them (WHATWG URL Standard). */

/** The https address that a text is: without line breaks, which a parser drops, and without user info. */
export function parseHttpsAddress(text: string): URL | undefined {
  if (/[\s\p{C}]/u.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.protocol === 'https:' && url.username === '' && url.password === '' ? url : undefined;
}

/** Whether a text is the name or IPv4 address of a host, and nothing more. */
export function isHost(text: string): boolean {
  return parseHttpsAddress(`https://${text}`)?.hostname === text.toLowerCase();
}

const placeholder = '{requestNumber}';

const fill = (template: string, requestNumber: string): string =>
  template.replaceAll(placeholder, () => encodeURIComponent(requestNumber.toWellFormed()));

/** Whether a text is an https address with a place for a request's number, which does not decide whose address it is. */
export function isRenewalTemplate(text: string): boolean {
  const [zero, one] = ['0', '1'].map((number) => parseHttpsAddress(fill(text, number)));
  return text.includes(placeholder) && zero !== undefined && zero.origin === one?.origin;
}

/**
 * The link by which a request is renewed. Undefined for a number that leaves its place in the path: "." and ".." are steps,
 * however they are encoded ("single-dot and double-dot URL path segment").
 */
export function renewalLink(template: string, requestNumber: string): string | undefined {
  const depth = (link: string): number => new URL(link).pathname.split('/').filter(Boolean).length;
  const link = fill(template, requestNumber);
  return depth(link) === depth(fill(template, '0')) ? link : undefined;
}
