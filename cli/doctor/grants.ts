import { date, nullable, number, text } from '../../src/database/columns';
import { describeMalformed, isEmailAddress } from '../../src/email/address';
import { formatUtc } from '../../src/format';
import { addressColumn } from '../../src/jobs/dueSql';
import type { Platform } from '../../src/jobs/platforms';
import type { ExaminedDatabase } from './database';
import { failed, ok, warning, type Finding } from './finding';
import { viewScript } from './schema';

/** What a platform's view yields: how many grants, their ends, and addresses that no reminder can go to. */
export async function checkGrants(database: ExaminedDatabase, platform: Platform): Promise<Finding[]> {
  const subject = `grants of ${platform.grantView}`;
  const [row] = await database.session.query({
    name: 'summariseGrants',
    slow: true,
    columns: {
      Grants: number,
      Identified: number,
      Requests: number,
      Earliest: nullable(date),
      Latest: nullable(date),
    },
    sql: `SELECT COUNT(*) AS Grants, COUNT(g.RequestId) AS Identified, COUNT(DISTINCT g.RequestId) AS Requests, MIN(g.ExpiresAt) AS Earliest, MAX(g.ExpiresAt) AS Latest
FROM ${platform.grantView} AS g;`,
  });
  if (!row) throw new Error('summariseGrants returned no row');
  const {
    Grants: grants,
    Identified: identified,
    Requests: requests,
    Earliest: earliest,
    Latest: latest,
  } = row;
  const faults = [
    { count: identified - requests, what: 'repeat a RequestId' },
    { count: grants - identified, what: 'have no RequestId' },
  ]
    .filter(({ count }) => count > 0)
    .map(({ count, what }) =>
      failed(
        subject,
        `${count} of ${grants} rows ${what}: such a grant is neither revoked nor announced`,
        `correct the join in ${viewScript}, then npm run db:deploy -- --replace-views`,
      ),
    );
  if (faults.length > 0) return faults;
  if (!earliest || !latest)
    return [
      warning(
        subject,
        'none with an end',
        `if there should be some, look at the conditions in ${viewScript}`,
      ),
    ];
  const found = `${grants}, ending from ${formatUtc(earliest)} to ${formatUtc(latest)}`;
  const unusable = await checkAddresses(database, platform);
  return unusable ? [ok(subject, found), unusable] : [ok(subject, `${found}; every address is well-formed`)];
}

const missing = 'missing';

async function checkAddresses(
  { session }: ExaminedDatabase,
  { grantView }: Platform,
): Promise<Finding | undefined> {
  const rows = await session.query({
    name: 'readAddresses',
    slow: true,
    columns: { Recipient: text, Grants: number },
    sql: `SELECT a.Recipient, COUNT(*) AS Grants
FROM (SELECT ${addressColumn} AS Recipient FROM ${grantView} AS g) AS a
GROUP BY a.Recipient;`,
  });
  const faults = new Map<string, number>();
  for (const { Recipient, Grants } of rows) {
    if (isEmailAddress(Recipient)) continue;
    const fault = Recipient === '' ? missing : describeMalformed(Recipient);
    faults.set(fault, (faults.get(fault) ?? 0) + Grants);
  }
  if (faults.size === 0) return undefined;
  const malformed = [...faults].filter(([fault]) => fault !== missing).sort(([, a], [, b]) => b - a);
  const total = malformed.reduce((sum, [, count]) => sum + count, 0);
  const kinds = malformed.map(([fault, count]) => `${count} with ${fault}`).join(', ');
  return warning(
    `addresses of ${grantView}`,
    `${faults.get(missing) ?? 0} missing, ${total} malformed${total > 0 ? ` (${kinds})` : ''}: no reminder can go there`,
    `correct them in the request's table, or the mapping of RequesterEmail in ${viewScript}`,
  );
}
