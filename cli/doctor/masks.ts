import type { ExpectedSchema } from './expectedSchema';
import { objectName, type ExaminedDatabase } from './database';
import { warning, type Finding } from './finding';

/**
 * The masked columns of a request table. Through a mask, an end or an address is a made-up one, in the views too
 * (Microsoft, "Dynamic data masking"). Who may not see the table sees no mask either.
 */
export async function checkMasks(
  { query }: ExaminedDatabase,
  table: string,
  { role }: ExpectedSchema,
): Promise<Finding[]> {
  const columns = await query({
    name: 'readMaskedColumns',
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
  return columns.flatMap(({ Name, UnmasksAll, Unmasks, RoleUnmasks }) => {
    const sees = UnmasksAll === 1 || Unmasks === 1;
    if (sees && RoleUnmasks === 1) return [];
    const column = Name as string;
    return warning(
      `column ${table}.${column}`,
      sees
        ? `masked: this identity sees through it (UNMASK), the role ${role} does not`
        : 'masked, and this identity cannot see through it: it lacks UNMASK',
      `if the view maps it, GRANT UNMASK ON ${table} (${column}) TO ${role} (before SQL Server 2022: GRANT UNMASK TO ${role})`,
    );
  });
}
