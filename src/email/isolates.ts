/**
 * Isolation of values from the text around them (UAX #9, 2.4). Without it a Hebrew or Arabic name pulls the digits and
 * signs next to it into its own direction: "09:21 · name CET".
 */
const start = '\u2068';
const end = '\u2069';
const isolated = new RegExp(`${start}([^${start}${end}]*)${end}`, 'g');

/** Blocks of right-to-left scripts (DerivedBidiClass.txt), and the marks U+061C and U+200F. */
const rightToLeft = /[\u0590-\u08FF\u200F\uFB1D-\uFDFF\uFE70-\uFEFE\u{10800}-\u{10FFF}\u{1E800}-\u{1EFFF}]/u;

/** A value in its own direction. It contains no isolate itself (singleLine). */
export function isolate(value: string): string {
  return `${start}${value}${end}`;
}

/**
 * Text that is shown as it is, such as a subject: isolates stay only around values with right-to-left characters. Others
 * need none between English words, and a search for the whole sentence still finds it.
 */
export function withNeededIsolates(text: string): string {
  return text.replace(isolated, (whole, value: string) => (rightToLeft.test(value) ? whole : value));
}

/** Escaped HTML with isolates as elements. */
export function isolatesToElements(escaped: string): string {
  return escaped.replaceAll(start, '<bdi dir="auto">').replaceAll(end, '</bdi>');
}
