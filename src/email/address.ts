import * as z from 'zod';

/** The longest address that SMTP carries: 64 + @ + 255 (RFC 5321, 4.5.3.1). */
export const maxAddressLength = 320;

/**
 * What SQL Server writes into a VARCHAR column in place of each character that the column's code page lacks:
 * "??@example.com" is the remains of an address, and may be somebody else's. RFC 5322 allows "?" in a local part, but no
 * common mail system gives out such addresses.
 */
const lossyCharacter = '?';

/** What browsers take for an address (HTML Standard), within a top-level domain: the service takes no bare host. */
const schema = z
  .email({ pattern: z.regexes.html5Email })
  .regex(/\.[a-zA-Z]{2,}$/)
  .max(maxAddressLength);

/** Whether the service can be asked to send to this address: one plain address, no display name, no control character. */
export function isEmailAddress(text: string): boolean {
  return !text.includes(lossyCharacter) && schema.safeParse(text).success;
}
