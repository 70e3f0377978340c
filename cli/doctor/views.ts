import type { Platform } from '../../src/jobs/platforms';
import type { ExaminedDatabase } from './database';
import { failed, ok, skipped, type Finding } from './finding';
import { readColumns } from './tables';

const text = ['varchar', 'nvarchar', 'char', 'nchar'];
/** What emails show: text, or a number or id that reads as text. */
const readable = [...text, 'tinyint', 'smallint', 'int', 'bigint', 'uniqueidentifier'];
/** Without an offset: the jobs compare with UTC and keep no other zone. */
const time = ['datetime', 'datetime2', 'smalldatetime', 'date'];

/** A view that exists is replaced only on demand. */
const replaceViews = 'npm run db:deploy -- --replace-views';

/** What leaves each grant as it was before the column was there. */
const defaultAccessKey = 'CAST(NULL AS NVARCHAR(400)) AS AccessKey';

/** The columns of both views and the types each may have (sql/06_AccessGrant_views.sql, its first comment). */
const viewColumns = (platform: Platform): Readonly<Record<string, readonly string[]>> => ({
  RequestId: [platform.requestIdType.toLowerCase()],
  RequestNumber: readable,
  RequesterName: readable,
  RequesterEmail: text,
  Resource: readable,
  ExpiresAt: time,
  AccessKey: readable,
});

/** Whether a platform's view has its columns, with types that the jobs can use. */
export async function checkView(
  database: ExaminedDatabase,
  platform: Platform,
  { viewScript, roleScript }: { viewScript: string; roleScript: string },
): Promise<Finding[]> {
  const { grantView } = platform;
  const { foldName, seesDefinitions } = database;
  const columns = new Map(
    (await readColumns(database, grantView)).map(({ name, type }) => [foldName(name), type]),
  );
  if (columns.size === 0)
    return [
      seesDefinitions
        ? failed(`view ${grantView}`, 'missing', 'npm run db:deploy')
        : skipped(
            `view ${grantView}`,
            `cannot be seen by this identity: it is missing, or the identity lacks the role in ${roleScript}`,
          ),
    ];
  const expected = Object.entries(viewColumns(platform));
  const findings = expected.flatMap(([name, types]) => {
    const type = columns.get(foldName(name));
    const subject = `column ${grantView}.${name}`;
    const orTypes = types.join(', ').replace(/, (\w+)$/, ' or $1');
    // The column came last: a site's view may be from before it.
    if (type === undefined && name === 'AccessKey')
      return failed(
        `view ${grantView}`,
        `lacks the column AccessKey: add \`${defaultAccessKey}\` to it`,
        `in ${viewScript}, then ${replaceViews}`,
      );
    if (type === undefined)
      return failed(
        subject,
        'missing',
        `add it (${orTypes}) to the view in ${viewScript}, then ${replaceViews}`,
      );
    if (types.includes(type)) return [];
    return failed(
      subject,
      `is ${type}, expected ${orTypes}`,
      `map it to another column in ${viewScript}, then ${replaceViews}`,
    );
  });
  if (findings.length > 0) return findings;
  return [
    ok(
      `view ${grantView}`,
      expected.map(([name]) => `${name} ${columns.get(foldName(name)) ?? ''}`).join(', '),
    ),
  ];
}
