import type { Platform } from '../../src/jobs/platforms';
import { unseen, type ExaminedDatabase } from './database';
import { failed, ok, warning, type Finding } from './finding';
import { viewScript } from './schema';
import { readColumns } from './tables';

const text = ['varchar', 'nvarchar', 'char', 'nchar'];
/** Shown in emails: text, or a number or id that reads as text. */
const readable = [...text, 'tinyint', 'smallint', 'int', 'bigint', 'uniqueidentifier'];
/** Without an offset: the jobs compare with UTC. */
const time = ['datetime', 'datetime2', 'smalldatetime', 'date'];

/** A view that exists is replaced only on demand. */
const replaceViews = `in ${viewScript}, then npm run db:deploy -- --replace-views`;

type ColumnTypes = Readonly<Record<string, readonly string[]>>;

/** The columns of a platform's views and the types each may have (sql/06_AccessGrant_views.sql, its first comment). */
const grantColumns = ({ requestIdType }: Platform): ColumnTypes => ({
  RequestId: [requestIdType.toLowerCase()],
  RequestNumber: readable,
  RequesterName: readable,
  RequesterEmail: text,
  Resource: readable,
  ExpiresAt: time,
  AccessKey: readable,
});

/** Whether a platform's view of grants has its columns, with types that the jobs can use. */
export async function checkGrantView(database: ExaminedDatabase, platform: Platform): Promise<Finding[]> {
  const missing = failed(`view ${platform.grantView}`, 'missing', 'npm run db:deploy');
  return checkView(database, platform.grantView, grantColumns(platform), missing);
}

/** The same for its view of requests, which the jobs do not need. */
export async function checkRequestView(database: ExaminedDatabase, platform: Platform): Promise<Finding[]> {
  const missing = warning(
    `view ${platform.requestView}`,
    'missing: the status page and the API know requests only by their ids',
    `map it in ${viewScript}, then npm run db:deploy`,
  );
  const columns = { ...grantColumns(platform), RequestStatus: readable };
  return checkView(database, platform.requestView, columns, missing);
}

async function checkView(
  database: ExaminedDatabase,
  view: string,
  expected: ColumnTypes,
  missing: Finding,
): Promise<Finding[]> {
  const { foldName } = database;
  const columns = await readColumns(database, view);
  if (columns.length === 0) return [unseen(database, missing)];
  const types = new Map(columns.map(({ name, type }) => [foldName(name), type]));
  const actual = Object.keys(expected).map((name) => [name, types.get(foldName(name))] as const);
  const findings = actual.flatMap(([name, type]) => checkColumn(view, name, type, expected[name] ?? []));
  if (findings.length > 0) return findings;
  return [ok(`view ${view}`, actual.map(([name, type]) => `${name} ${type}`).join(', '))];
}

function checkColumn(
  view: string,
  name: string,
  type: string | undefined,
  types: readonly string[],
): Finding[] {
  const subject = `column ${view}.${name}`;
  const orTypes = types.join(', ').replace(/, (\w+)$/, ' or $1');
  if (type !== undefined)
    return types.includes(type)
      ? []
      : [failed(subject, `is ${type}, expected ${orTypes}`, `map it to another column ${replaceViews}`)];
  // The column came last: a site's view may be older. This default leaves each grant as it was.
  if (name === 'AccessKey')
    return [
      failed(
        `view ${view}`,
        'lacks the column AccessKey: add `CAST(NULL AS NVARCHAR(400)) AS AccessKey` to it',
        replaceViews,
      ),
    ];
  return [failed(subject, 'missing', `add it (${orTypes}) to the view ${replaceViews}`)];
}
