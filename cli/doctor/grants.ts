import { int } from '../../src/database/statement';
import { describeMalformed, isEmailAddress } from '../../src/email/address';
import { formatUtc } from '../../src/format';
import { addressColumn } from '../../src/jobs/dueSql';
import { requestIdParameter } from '../../src/jobs/grants';
import type { Platform, RequestId } from '../../src/jobs/platforms';
import type { ExaminedDatabase } from './database';
import { failed, ok, warning, type Finding } from './finding';
import { viewScript } from './schema';

const defaultPageSize = 5_000;

/** What a platform's view yields: how many grants, their ends, and addresses that no reminder can go to. */
export async function checkGrants(
  database: ExaminedDatabase,
  platform: Platform,
  pageSize = defaultPageSize,
): Promise<Finding[]> {
  const subject = `grants of ${platform.grantView}`;
  const [row = {}] = await database.query({
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
  const fault = (count: number, what: string): Finding[] =>
    count === 0
      ? []
      : [
          failed(
            subject,
            `${count} of ${grants} rows ${what}: such a grant is neither revoked nor announced`,
            `correct the join in ${viewScript}, then npm run db:deploy -- --replace-views`,
          ),
        ];
  const faults = [
    ...fault(identified - requests, 'repeat a RequestId'),
    ...fault(grants - identified, 'have no RequestId'),
  ];
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
  const unusable = await checkAddresses(database, platform, pageSize);
  return unusable ? [ok(subject, found), unusable] : [ok(subject, `${found}; every address is well-formed`)];
}

async function checkAddresses(
  database: ExaminedDatabase,
  platform: Platform,
  pageSize: number,
): Promise<Finding | undefined> {
  let missing = 0;
  const faults = new Map<string, number>();
  for await (const address of readAddresses(database, platform, pageSize)) {
    if (isEmailAddress(address)) continue;
    if (address === '') missing += 1;
    else faults.set(describeMalformed(address), (faults.get(describeMalformed(address)) ?? 0) + 1);
  }
  const malformed = [...faults.values()].reduce((sum, count) => sum + count, 0);
  if (missing + malformed === 0) return undefined;
  const kinds = [...faults].sort(([, a], [, b]) => b - a).map(([fault, count]) => `${count} with ${fault}`);
  return warning(
    `addresses of ${platform.grantView}`,
    `${missing} missing, ${malformed} malformed${kinds.length > 0 ? ` (${kinds.join(', ')})` : ''}: no reminder can go there`,
    `correct them in the request's table, or the mapping of RequesterEmail in ${viewScript}`,
  );
}

async function* readAddresses(
  { query }: ExaminedDatabase,
  { grantView }: Platform,
  pageSize: number,
): AsyncGenerator<string> {
  for (let after: RequestId | undefined; ;) {
    const rows = await query({
      name: 'readAddresses',
      sql: `SELECT TOP (@pageSize) g.RequestId, ${addressColumn} AS Recipient
FROM ${grantView} AS g
${after === undefined ? '' : 'WHERE g.RequestId > @after\n'}ORDER BY g.RequestId;`,
      parameters: {
        pageSize: int(pageSize),
        ...(after !== undefined && { after: requestIdParameter(after) }),
      },
    });
    for (const { Recipient: recipient } of rows) yield recipient as string;
    after = rows.at(-1)?.RequestId as RequestId | undefined;
    if (after === undefined) return;
  }
}
