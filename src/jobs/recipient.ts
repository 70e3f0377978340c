/** The address of a grant, as SQL reads it from a site's view and as this app judges it. */
import { isEmailAddress, maxAddressLength } from '../email/address';

/** No-break and zero-width spaces, tab, line feed and carriage return: what is copied along with an address. */
const blankCodes = [160, 8203, 8239, 8288, 65279, 9, 10, 13];

/** Byte by byte (BIN2): linguistic collations ignore zero-width characters, and would find them everywhere. */
const withPlainBlanks = blankCodes.reduce(
  (sql, code) => `REPLACE(${sql}, NCHAR(${code}), N' ')`,
  `COALESCE(g.RequesterEmail, N'') COLLATE Latin1_General_BIN2`,
);

/**
 * The address of a grant in SQL, of the view under its alias `g`: trimmed, and at most one character longer than an
 * address may be, so that one that is too long stays recognisable.
 */
export const addressColumn = `LEFT(LTRIM(RTRIM(${withPlainBlanks})), ${maxAddressLength + 1})`;

/** In lower case: one person's grants are together under any collation of the database. */
export const recipientSql = `LOWER(${addressColumn})`;

/** Why no message can go to an address, or null if one can. */
export function addressFailure(recipient: string): 'addressMissing' | 'addressMalformed' | null {
  if (recipient === '') return 'addressMissing';
  return isEmailAddress(recipient) ? null : 'addressMalformed';
}
