import { z } from 'zod';

/** The longest address that SMTP carries: 64 + @ + 255 (RFC 5321, 4.5.3.1). */
export const maxAddressLength = 320;

/** What browsers take for an address (HTML Standard), within a top-level domain: the service takes no bare host. */
const schema = z
  .email({ pattern: z.regexes.html5Email })
  .regex(/\.[a-zA-Z]{2,}$/)
  .max(maxAddressLength);

/** Whether the service can be asked to send to this address: one plain address, no display name, no control character. */
export function isEmailAddress(text: string): boolean {
  return schema.safeParse(text).success;
}
