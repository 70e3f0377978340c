/** Line and paragraph breaks and the other control characters (Unicode Cc, Zl, Zp). */
const breaks = /[\p{Cc}\p{Zl}\p{Zp}]+/gu;

/**
 * Invisible characters that change how the text around them reads: bidirectional embeddings, overrides and isolates
 * (UAX #9, 2.1 to 2.5), deprecated format characters, interlinear annotations, and tags. The first group is kept: the
 * tags in the flag of a subdivision, such as Scotland's (UTS #51, annex C). Letters that are invisible stay as well:
 * U+200C and U+200D spell Persian and Indic words, and U+200D joins emoji.
 */
const harmful =
  /(\u{1F3F4}[\u{E0030}-\u{E0039}\u{E0061}-\u{E007A}]{3,6}\u{E007F})|[\u202A-\u202E\u2066-\u206F\uFFF9-\uFFFB\u{E0000}-\u{E007F}]/gu;

const blankEnds = /^[\s\u00AD\u200B\u2060]+|(?<![\s\u00AD\u200B\u2060])[\s\u00AD\u200B\u2060]+$/gu;
const invisible = /^[\s\p{Default_Ignorable_Code_Point}]*$/u;

/**
 * A value as one safe line: well-formed, trimmed, without line breaks, control characters and characters that reorder or
 * hide text. '' if nothing visible is left.
 */
export function singleLine(text: string): string {
  const line = text.toWellFormed().replace(breaks, ' ').replace(harmful, '$1').replace(blankEnds, '');
  return invisible.test(line) ? '' : line;
}
