import * as z from 'zod';
import { maxAddressLength } from './digest';

/**
 * SQL Server writes it into a VARCHAR column for each character that the column's code page lacks: "??@example.com" may
 * be somebody else's address. RFC 5322 allows "?" in a local part, but no common mail system gives out such addresses.
 */
const lossyCharacter = '?';

/** An address as browsers check it (HTML Standard), with a top-level domain: the service accepts no bare host. */
const schema = z
  .email({ pattern: z.regexes.html5Email })
  .regex(/\.([a-zA-Z]{2,}|xn--[a-zA-Z0-9-]*[a-zA-Z0-9])$/i)
  .max(maxAddressLength);

/** Whether the service can send to this text: one plain address, no display name, no control character. */
export function isEmailAddress(text: string): boolean {
  return !text.includes(lossyCharacter) && schema.safeParse(text).success;
}

/** What makes an address unusable, in the order of the checks. */
const faults: readonly (readonly [fault: string, found: (text: string) => boolean])[] = [
  ['"?" where a character was lost', (text) => text.includes(lossyCharacter)],
  ['more than one address', (text) => /[,;]/.test(text)],
  ['a display name', (text) => /[<>"]/.test(text)],
  ['a blank or an invisible character in it', (text) => /[\s\p{C}]/u.test(text)],
  ['no @', (text) => !text.includes('@')],
  ['more than one @', (text) => text.indexOf('@') !== text.lastIndexOf('@')],
  [
    'a character outside ASCII (domains are written in their xn-- form)',
    (text) => /[^\p{ASCII}]/u.test(text),
  ],
  ['no top-level domain', (text) => !/\../.test(text.slice(text.lastIndexOf('@')))],
  [`more than ${maxAddressLength} characters`, (text) => text.length > maxAddressLength],
];

/** What is wrong with an address that isEmailAddress refuses, to be read after "with", for example "no @". */
export function describeMalformed(text: string): string {
  return faults.find(([, found]) => found(text))?.[0] ?? 'another form than name@example.com';
}
