/** Addresses in settings, parsed as a browser does (WHATWG URL Standard). */

/** A text as an https address; undefined if it is not one, or has user info or line breaks, which a parser drops. */
export function parseHttpsAddress(text: string): URL | undefined {
  if (/[\s\p{C}]/u.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.protocol === 'https:' && url.username === '' && url.password === '' ? url : undefined;
}

/** Whether a text is only the name or IPv4 address of a host. */
export function isHost(text: string): boolean {
  return parseHttpsAddress(`https://${text}`)?.hostname === text.toLowerCase();
}

const placeholder = '{requestNumber}';

const fill = (template: string, requestNumber: string): string =>
  template.replaceAll(placeholder, () => encodeURIComponent(requestNumber.toWellFormed()));

/** Whether a text is an https address, perhaps with a placeholder for a request's number, but not in its origin. */
export function isLinkTemplate(text: string): boolean {
  const [zero, one] = ['0', '1'].map((number) => parseHttpsAddress(fill(text, number)));
  return zero !== undefined && zero.origin === one?.origin;
}

/** Whether a text is such an address with the placeholder. */
export function isRenewalTemplate(text: string): boolean {
  return text.includes(placeholder) && isLinkTemplate(text);
}

/**
 * The link of a request. Undefined if the template needs a number and there is none, or if the number changes the path: "."
 * and ".." are steps, however they are encoded ("single-dot and double-dot URL path segment").
 */
export function requestLink(template: string, requestNumber: string): string | undefined {
  if (requestNumber === '' && template.includes(placeholder)) return undefined;
  const depth = (link: string): number => new URL(link).pathname.split('/').filter(Boolean).length;
  const link = fill(template, requestNumber);
  return depth(link) === depth(fill(template, '0')) ? link : undefined;
}
