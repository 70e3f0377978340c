import type { Platform } from '../../src/jobs/platforms';
import type { ExaminedDatabase } from './database';
import type { ExpectedSchema } from './expectedSchema';
import { failed, ok, skipped, warning, type Finding } from './finding';
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

/** The columns of a platform's views and the types each may have (sql/06_AccessGrant_views.sql, its first comment). */
const grantColumns = (platform: Platform): Readonly<Record<string, readonly string[]>> => ({
  RequestId: [platform.requestIdType.toLowerCase()],
  RequestNumber: readable,
  RequesterName: readable,
  RequesterEmail: text,
  Resource: readable,
  ExpiresAt: time,
  AccessKey: readable,
});
const requestColumns = (platform: Platform): Readonly<Record<string, readonly string[]>> => ({
  ...grantColumns(platform),
  RequestStatus: readable,
});

type Scripts = Pick<ExpectedSchema, 'viewScript' | 'roleScript'>;

/** Whether a platform's view of grants has its columns, with types that the jobs can use. */
export async function checkGrantView(
  database: ExaminedDatabase,
  platform: Platform,
  scripts: Scripts,
): Promise<Finding[]> {
  const { grantView } = platform;
  const missing = failed(`view ${grantView}`, 'missing', 'npm run db:deploy');
  return checkView(database, grantView, grantColumns(platform), missing, scripts);
}

/** The same of its view of requests. The jobs do without one that is missing. */
export async function checkRequestView(
  database: ExaminedDatabase,
  platform: Platform,
  scripts: Scripts,
): Promise<Finding[]> {
  const { requestView } = platform;
  const missing = warning(
    `view ${requestView}`,
    'missing: the status page and the API know requests by their ids alone',
    `map it in ${scripts.viewScript}, then npm run db:deploy`,
  );
  return checkView(database, requestView, requestColumns(platform), missing, scripts);
}

async function checkView(
  database: ExaminedDatabase,
  view: string,
  expectedColumns: Readonly<Record<string, readonly string[]>>,
  missing: Finding,
  { viewScript, roleScript }: Scripts,
): Promise<Finding[]> {
  const { foldName, seesDefinitions } = database;
  const columns = new Map(
    (await readColumns(database, view)).map(({ name, type }) => [foldName(name), type]),
  );
  if (columns.size === 0)
    return [
      seesDefinitions
        ? missing
        : skipped(
            `view ${view}`,
            `cannot be seen by this identity: it is missing, or the identity lacks the role in ${roleScript}`,
          ),
    ];
  const expected = Object.entries(expectedColumns);
  const findings = expected.flatMap(([name, types]) => {
    const type = columns.get(foldName(name));
    const subject = `column ${view}.${name}`;
    const orTypes = types.join(', ').replace(/, (\w+)$/, ' or $1');
    // The column came last: a site's view may be from before it.
    if (type === undefined && name === 'AccessKey')
      return failed(
        `view ${view}`,
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
    ok(`view ${view}`, expected.map(([name]) => `${name} ${columns.get(foldName(name)) ?? ''}`).join(', ')),
  ];
}
