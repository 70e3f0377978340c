import { int, uniqueIdentifier, type Parameter } from '../../src/database/statement';
import { isEmailAddress } from '../../src/email/address';
import { addressColumn } from '../../src/jobs/dueReminders';
import type { Platform, RequestId } from '../../src/jobs/platforms';
import { failed, formatUtc, ok, warning, type Finding } from './finding';
import type { Queryable } from './tables';

/** Rows that are read at a time. */
const defaultPageSize = 5_000;

/** What a platform's view yields: how many grants, their ends, and addresses that no reminder can go to. */
export async function checkGrants(
  session: Queryable,
  platform: Platform,
  viewScript: string,
  pageSize = defaultPageSize,
): Promise<Finding[]> {
  const subject = `grants of ${platform.grantView}`;
  const [totals] = await session.query({
    name: 'summariseGrants',
    sql: `SELECT COUNT(*) AS Grants, COUNT(DISTINCT g.RequestId) AS Requests, MIN(g.ExpiresAt) AS Earliest, MAX(g.ExpiresAt) AS Latest
FROM ${platform.grantView} AS g;`,
    parameters: {},
  });
  const grants = totals?.Grants as number;
  const repeated = grants - (totals?.Requests as number);
  const [earliest, latest] = [totals?.Earliest, totals?.Latest] as (Date | null)[];
  if (!earliest || !latest)
    return [
      warning(
        subject,
        'none with an end',
        `if there should be some, look at the conditions in ${viewScript}`,
      ),
    ];
  if (repeated > 0)
    return [
      failed(
        subject,
        `${repeated} of ${grants} rows repeat a RequestId or have none: reminders would be sent more than once`,
        `mend the join in ${viewScript}, then npm run db:deploy`,
      ),
    ];
  const { missing, malformed } = await countUnusableAddresses(session, platform, pageSize);
  const found = `${grants}, ending from ${formatUtc(earliest)} to ${formatUtc(latest)}`;
  if (missing + malformed === 0) return [ok(subject, `${found}; every address is well-formed`)];
  return [
    ok(subject, found),
    warning(
      `addresses of ${platform.grantView}`,
      `${missing} missing, ${malformed} malformed: no reminder can go there`,
      `mend them in the request's table, or the mapping of RequesterEmail in ${viewScript}`,
    ),
  ];
}

async function countUnusableAddresses(
  session: Queryable,
  platform: Platform,
  pageSize: number,
): Promise<{ missing: number; malformed: number }> {
  let missing = 0;
  let malformed = 0;
  for (let after: RequestId | undefined; ;) {
    const rows = await session.query({
      name: 'readAddresses',
      sql: `SELECT TOP (@pageSize) g.RequestId, ${addressColumn} AS Recipient
FROM ${platform.grantView} AS g
${after === undefined ? '' : 'WHERE g.RequestId > @after\n'}ORDER BY g.RequestId;`,
      parameters: { pageSize: int(pageSize), ...(after !== undefined && { after: requestId(after) }) },
    });
    for (const { Recipient: recipient } of rows) {
      if (recipient === '') missing += 1;
      else if (!isEmailAddress(recipient as string)) malformed += 1;
    }
    after = rows.at(-1)?.RequestId as RequestId | undefined;
    if (after === undefined) return { missing, malformed };
  }
}

function requestId(id: RequestId): Parameter {
  return typeof id === 'number' ? int(id) : uniqueIdentifier(id);
}
