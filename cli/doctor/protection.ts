/** Rows and columns that the database hides from the app, or changes. */
import { flag, nullable, text } from '../../src/database/columns';
import { objectName, type ExaminedDatabase } from './database';
import { ok, skipped, warning, type Finding } from './finding';
import { requestTables, role, tables } from './schema';

/** The masked and the encrypted columns of a request table. An identity that may not see the table sees none. */
export async function checkColumns(database: ExaminedDatabase, table: string): Promise<Finding[]> {
  return [...(await checkMasks(database, table)), ...(await checkAlwaysEncrypted(database, table))];
}

/** A mask replaces an end or an address, in the views too (Microsoft, "Dynamic data masking"). */
async function checkMasks({ session }: ExaminedDatabase, table: string): Promise<Finding[]> {
  const columns = await session.query({
    name: 'readMaskedColumns',
    columns: { Name: text, UnmasksAll: nullable(flag), Unmasks: nullable(flag), RoleUnmasks: flag },
    sql: `SELECT m.name AS Name, HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'UNMASK') AS UnmasksAll,
  HAS_PERMS_BY_NAME(@table, N'OBJECT', N'UNMASK', m.name, N'COLUMN') AS Unmasks,
  CASE WHEN EXISTS (
    SELECT 1 FROM sys.database_permissions AS p
    WHERE p.grantee_principal_id = DATABASE_PRINCIPAL_ID(@role) AND p.permission_name = N'UNMASK' AND p.state IN ('G', 'W')
      AND (p.class <> 1 OR p.major_id = m.object_id AND p.minor_id IN (0, m.column_id))
  ) THEN 1 ELSE 0 END AS RoleUnmasks
FROM sys.masked_columns AS m
WHERE m.object_id = OBJECT_ID(@table) AND m.is_masked = 1;`,
    parameters: { table: objectName(table), role: objectName(role) },
  });
  return columns.flatMap(({ Name: column, UnmasksAll, Unmasks, RoleUnmasks }) => {
    const sees = UnmasksAll === true || Unmasks === true;
    if (sees && RoleUnmasks) return [];
    return warning(
      `column ${table}.${column}`,
      sees
        ? `masked: this identity sees through it (UNMASK), the role ${role} does not`
        : 'masked, and this identity cannot see through it: it lacks UNMASK',
      `if the view maps it, GRANT UNMASK ON ${table} (${column}) TO ${role} (before SQL Server 2022: GRANT UNMASK TO ${role})`,
    );
  });
}

/** The app holds no key (Microsoft, "Always Encrypted"). */
async function checkAlwaysEncrypted({ session }: ExaminedDatabase, table: string): Promise<Finding[]> {
  const columns = await session.query({
    name: 'readEncryptedColumns',
    columns: { Name: text, Encryption: text },
    sql: `SELECT c.name AS Name, c.encryption_type_desc AS Encryption
FROM sys.columns AS c
WHERE c.object_id = OBJECT_ID(@table) AND c.encryption_type IS NOT NULL;`,
    parameters: { table: objectName(table) },
  });
  return columns.map(({ Name, Encryption }) =>
    warning(
      `column ${table}.${Name}`,
      `Always Encrypted (${Encryption}), and the app holds no key: mapped as RequestId, RequesterEmail, ExpiresAt or AccessKey every run fails (SQL error 206, 8116 or 33299); mapped as another column, mails lack its text`,
      'if the view maps it, map a column that is not encrypted',
    ),
  );
}

/**
 * The tables whose rows a security policy filters, silently, through views too and for db_owner as well (Microsoft,
 * "Row-level security"): a run that sees no grant completes with 0.
 */
export async function checkRowLevelSecurity({
  session,
  seesDefinitions,
}: ExaminedDatabase): Promise<Finding[]> {
  const subject = 'row-level security';
  const filters = await session.query({
    name: 'readSecurityPolicies',
    columns: { Policy: text, TableName: text },
    sql: `SELECT DISTINCT p.name AS Policy, s.name + N'.' + t.name AS TableName
FROM sys.security_policies AS p
JOIN sys.security_predicates AS f ON f.object_id = p.object_id
JOIN sys.objects AS t ON t.object_id = f.target_object_id
JOIN sys.schemas AS s ON s.schema_id = t.schema_id
WHERE p.is_enabled = 1 AND f.predicate_type_desc = N'FILTER';`,
  });
  if (filters.length === 0)
    return [
      seesDefinitions ? ok(subject, 'filters no table') : skipped(subject, 'cannot be seen by this identity'),
    ];
  const known = [...requestTables, ...tables.map(({ name }) => name)];
  return filters.map(({ Policy, TableName: table }) =>
    warning(
      `${subject} of ${table}`,
      `the policy ${Policy} filters it${known.includes(table) ? '' : ', which matters if a view reads it'}: rows that it keeps from the app are missing without an error`,
      `let its predicate pass the app: OR IS_ROLEMEMBER(N'${role}') = 1`,
    ),
  );
}
