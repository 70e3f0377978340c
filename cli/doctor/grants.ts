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
  const [row = {}] = await database.session.query({
    name: 'summariseGrants',
    sql: `SELECT COUNT(*) AS Grants, COUNT(g.RequestId) AS Identified, COUNT(DISTINCT g.RequestId) AS Requests, MIN(g.ExpiresAt) AS Earliest, MAX(g.ExpiresAt) AS Latest
FROM ${platform.grantView} AS g;`,
  });
  const [grants, identified, requests] = [row.Grants, row.Identified, row.Requests] as [
    number,
    number,
    number,
  ];
  const [earliest, latest] = [row.Earliest, row.Latest] as (Date | null)[];
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

async function checkAddresses(
  { session }: ExaminedDatabase,
  { grantView }: Platform,
): Promise<Finding | undefined> {
  const rows = await session.query({
    name: 'readAddresses',
    sql: `SELECT ${addressColumn} AS Recipient FROM ${grantView} AS g;`,
  });
  const unusable = rows.map((row) => row.Recipient as string).filter((address) => !isEmailAddress(address));
  if (unusable.length === 0) return undefined;
  const malformed = unusable.filter((address) => address !== '');
  const kinds = [...Map.groupBy(malformed, describeMalformed)]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([fault, { length }]) => `${length} with ${fault}`);
  return warning(
    `addresses of ${grantView}`,
    `${unusable.length - malformed.length} missing, ${malformed.length} malformed${kinds.length > 0 ? ` (${kinds.join(', ')})` : ''}: no reminder can go there`,
    `correct them in the request's table, or the mapping of RequesterEmail in ${viewScript}`,
  );
}
