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

/** Whether a text is an https address, perhaps with a place for a request's number, which does not decide whose it is. */
export function isLinkTemplate(text: string): boolean {
  const [zero, one] = ['0', '1'].map((number) => parseHttpsAddress(fill(text, number)));
  return zero !== undefined && zero.origin === one?.origin;
}

/** Whether a text is such an address with a place for a request's number. */
export function isRenewalTemplate(text: string): boolean {
  return text.includes(placeholder) && isLinkTemplate(text);
}

/**
 * The link of a request. Undefined for one that needs a number that is not there, and for a number that leaves its place
 * in the path: "." and ".." are steps, however they are encoded ("single-dot and double-dot URL path segment").
 */
export function requestLink(template: string, requestNumber: string): string | undefined {
  if (requestNumber === '' && template.includes(placeholder)) return undefined;
  const depth = (link: string): number => new URL(link).pathname.split('/').filter(Boolean).length;
  const link = fill(template, requestNumber);
  return depth(link) === depth(fill(template, '0')) ? link : undefined;
}
