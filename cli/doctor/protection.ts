import type { ExpectedSchema } from './expectedSchema';
import { objectName, type ExaminedDatabase } from './database';
import { ok, skipped, warning, type Finding } from './finding';

/**
 * The tables whose rows a security policy filters. It does so through views too, without a word, for db_owner as well
 * (Microsoft, "Row-level security"): a run that sees no grant completes with 0.
 */
export async function checkRowLevelSecurity(
  { query, seesDefinitions }: ExaminedDatabase,
  { role, requestTables, tables }: ExpectedSchema,
): Promise<Finding[]> {
  const subject = 'row-level security';
  const filters = await query({
    name: 'readSecurityPolicies',
    sql: `SELECT DISTINCT p.name AS Policy, s.name + N'.' + t.name AS TableName
FROM sys.security_policies AS p
JOIN sys.security_predicates AS f ON f.object_id = p.object_id
JOIN sys.objects AS t ON t.object_id = f.target_object_id
JOIN sys.schemas AS s ON s.schema_id = t.schema_id
WHERE p.is_enabled = 1 AND f.predicate_type_desc = N'FILTER';`,
    parameters: {},
  });
  if (filters.length === 0)
    return [
      seesDefinitions ? ok(subject, 'filters no table') : skipped(subject, 'cannot be seen by this identity'),
    ];
  const known = new Set([...requestTables, ...tables.map(({ name }) => name)]);
  return filters.map(({ Policy, TableName }) => {
    const table = TableName as string;
    return warning(
      `${subject} of ${table}`,
      `the policy ${Policy as string} filters it${known.has(table) ? '' : ', which matters if a view reads it'}: rows that it keeps from the app are missing without an error`,
      `let its predicate pass the app: OR IS_ROLEMEMBER(N'${role}') = 1`,
    );
  });
}

/** The encrypted columns of a request table: the app holds no key (Microsoft, "Always Encrypted"). */
export async function checkAlwaysEncrypted({ query }: ExaminedDatabase, table: string): Promise<Finding[]> {
  const columns = await query({
    name: 'readEncryptedColumns',
    sql: `SELECT c.name AS Name, c.encryption_type_desc AS Encryption
FROM sys.columns AS c
WHERE c.object_id = OBJECT_ID(@table) AND c.encryption_type IS NOT NULL;`,
    parameters: { table: objectName(table) },
  });
  return columns.map(({ Name, Encryption }) =>
    warning(
      `column ${table}.${Name as string}`,
      `Always Encrypted (${Encryption as string}), and the app holds no key: mapped as RequestId, RequesterEmail, ExpiresAt or AccessKey every run fails (SQL error 206, 8116 or 33299); mapped as another column, mails lack its text`,
      'if the view maps it, map a column that is not encrypted',
    ),
  );
}
