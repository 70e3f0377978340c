import type { Platform } from '../../src/jobs/platforms';
import { failed, ok, type Finding } from './finding';
import { readColumns, type Queryable } from './tables';

const text = ['varchar', 'nvarchar', 'char', 'nchar'];
/** What emails show: text, or a number or id that reads as text. */
const readable = [...text, 'tinyint', 'smallint', 'int', 'bigint', 'uniqueidentifier'];
/** Without an offset: the jobs compare with UTC and keep no other zone. */
const time = ['datetime', 'datetime2', 'smalldatetime', 'date'];

/** The columns of both views and the types each may have (sql/06_AccessGrant_views.sql, its first comment). */
const viewColumns = (platform: Platform): Readonly<Record<string, readonly string[]>> => ({
  RequestId: [platform.requestIdType.toLowerCase()],
  RequestNumber: readable,
  RequesterName: readable,
  RequesterEmail: text,
  Resource: readable,
  ExpiresAt: time,
});

/** Whether a platform's view has its columns, with types that the jobs can use. */
export async function checkView(
  session: Queryable,
  platform: Platform,
  { viewScript, roleScript }: { viewScript: string; roleScript: string },
): Promise<Finding[]> {
  const { grantView } = platform;
  const columns = new Map(
    (await readColumns(session, grantView)).map((column) => [column.name, column.type]),
  );
  if (columns.size === 0)
    return [
      failed(
        `view ${grantView}`,
        'missing, or this identity may not see it',
        `npm run db:deploy; if it is there, make the identity a member of the role in ${roleScript}`,
      ),
    ];
  const expected = Object.entries(viewColumns(platform));
  const findings = expected.flatMap(([name, types]) => {
    const type = columns.get(name);
    const subject = `column ${grantView}.${name}`;
    const orTypes = types.join(', ').replace(/, (\w+)$/, ' or $1');
    if (type === undefined)
      return failed(
        subject,
        'missing',
        `add it (${orTypes}) to the view in ${viewScript}, then npm run db:deploy`,
      );
    if (types.includes(type)) return [];
    return failed(
      subject,
      `is ${type}, expected ${orTypes}`,
      `map it to another column in ${viewScript}, then npm run db:deploy`,
    );
  });
  if (findings.length > 0) return findings;
  return [ok(`view ${grantView}`, expected.map(([name]) => `${name} ${columns.get(name) ?? ''}`).join(', '))];
}
