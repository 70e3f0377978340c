import { z } from 'zod';

/** The longest address that SMTP carries: 64 + @ + 255 (RFC 5321, 4.5.3.1). */
export const maxAddressLength = 320;

const schema = z.email().max(maxAddressLength);

/** Whether the service can be asked to send to this address: one plain address, no display name, no control character. */
export function isEmailAddress(text: string): boolean {
  return schema.safeParse(text).success;
}
