import { int, uniqueIdentifier, type Parameter } from '../../src/database/statement';
import { describeMalformed, isEmailAddress } from '../../src/email/address';
import { formatUtc } from '../../src/format';
import { addressColumn } from '../../src/jobs/dueSql';
import type { Platform, RequestId } from '../../src/jobs/platforms';
import type { ExaminedDatabase } from './database';
import { failed, ok, warning, type Finding } from './finding';

/** Rows that are read at a time. */
const defaultPageSize = 5_000;

/** What a platform's view yields: how many grants, their ends, and addresses that no reminder can go to. */
export async function checkGrants(
  database: ExaminedDatabase,
  platform: Platform,
  viewScript: string,
  pageSize = defaultPageSize,
): Promise<Finding[]> {
  const subject = `grants of ${platform.grantView}`;
  const [totals] = await database.query({
    name: 'summariseGrants',
    sql: `SELECT COUNT(*) AS Grants, COUNT(g.RequestId) AS Identified, COUNT(DISTINCT g.RequestId) AS Requests, MIN(g.ExpiresAt) AS Earliest, MAX(g.ExpiresAt) AS Latest
FROM ${platform.grantView} AS g;`,
    parameters: {},
  });
  const [grants, identified, requests] = [totals?.Grants, totals?.Identified, totals?.Requests] as [
    number,
    number,
    number,
  ];
  const faults = [
    ...(identified > requests ? [`${identified - requests} of ${grants} rows repeat a RequestId`] : []),
    ...(grants > identified ? [`${grants - identified} of ${grants} rows have no RequestId`] : []),
  ];
  if (faults.length > 0)
    return faults.map((fault) =>
      failed(
        subject,
        `${fault}: such a grant is neither revoked nor announced`,
        `correct the join in ${viewScript}, then npm run db:deploy -- --replace-views`,
      ),
    );
  const [earliest, latest] = [totals?.Earliest, totals?.Latest] as (Date | null)[];
  if (!earliest || !latest)
    return [
      warning(
        subject,
        'none with an end',
        `if there should be some, look at the conditions in ${viewScript}`,
      ),
    ];
  const { missing, addressFaults } = await countUnusableAddresses(database, platform, pageSize);
  const malformed = [...addressFaults.values()].reduce((sum, count) => sum + count, 0);
  const found = `${grants}, ending from ${formatUtc(earliest)} to ${formatUtc(latest)}`;
  if (missing + malformed === 0) return [ok(subject, `${found}; every address is well-formed`)];
  return [
    ok(subject, found),
    warning(
      `addresses of ${platform.grantView}`,
      `${missing} missing, ${malformed} malformed${describeFaults(addressFaults)}: no reminder can go there`,
      `correct them in the request's table, or the mapping of RequesterEmail in ${viewScript}`,
    ),
  ];
}

async function countUnusableAddresses(
  { query }: ExaminedDatabase,
  platform: Platform,
  pageSize: number,
): Promise<{ missing: number; addressFaults: ReadonlyMap<string, number> }> {
  let missing = 0;
  const addressFaults = new Map<string, number>();
  for (let after: RequestId | undefined; ;) {
    const rows = await query({
      name: 'readAddresses',
      sql: `SELECT TOP (@pageSize) g.RequestId, ${addressColumn} AS Recipient
FROM ${platform.grantView} AS g
${after === undefined ? '' : 'WHERE g.RequestId > @after\n'}ORDER BY g.RequestId;`,
      parameters: { pageSize: int(pageSize), ...(after !== undefined && { after: requestId(after) }) },
    });
    for (const { Recipient: recipient } of rows) {
      const address = recipient as string;
      if (address === '') missing += 1;
      else if (!isEmailAddress(address)) {
        const fault = describeMalformed(address);
        addressFaults.set(fault, (addressFaults.get(fault) ?? 0) + 1);
      }
    }
    after = rows.at(-1)?.RequestId as RequestId | undefined;
    if (after === undefined) return { missing, addressFaults };
  }
}

/** For example " (2 with no @, 1 with a display name)". */
function describeFaults(faults: ReadonlyMap<string, number>): string {
  if (faults.size === 0) return '';
  const parts = [...faults].sort(([, a], [, b]) => b - a).map(([fault, count]) => `${count} with ${fault}`);
  return ` (${parts.join(', ')})`;
}

function requestId(id: RequestId): Parameter {
  return typeof id === 'number' ? int(id) : uniqueIdentifier(id);
}
