import { nullable, text } from '../../src/database/columns';
import { objectName, type ExaminedDatabase } from './database';
import { failed, ok, skipped, warning, type Finding } from './finding';
import { requestTables, role, roleScript, type Grants } from './schema';

/** Whether the signed-in identity may do what the jobs do, and nothing to the request tables. */
export async function checkPermissions(database: ExaminedDatabase, grants: Grants): Promise<Finding[]> {
  const [row] = await database.session.query({
    name: 'readUserName',
    columns: { Name: text },
    sql: 'SELECT USER_NAME() AS Name;',
  });
  const user = row?.Name ?? '';
  const objects = Object.entries(grants);
  const findings: Finding[] = [];
  for (const [object, permissions] of objects) {
    const held = await readPermissions(database, object, permissions);
    const missing = permissions.filter((permission) => !held.includes(permission));
    if (missing.length > 0)
      findings.push(
        failed(
          `permissions on ${object}`,
          `${user} lacks ${missing.join(', ')}`,
          `npm run db:deploy -- --grant <the identity's name> --client-id <its client id>, or ALTER ROLE ${role} ADD MEMBER [its name] (${roleScript})`,
        ),
      );
  }
  if (findings.length === 0)
    findings.push(
      ok('permissions', `${user} has all that ${roleScript} grants, on ${objects.length} objects`),
    );
  for (const table of requestTables) {
    const excess = await readPermissions(database, table, ['SELECT', 'INSERT', 'UPDATE', 'DELETE']);
    if (excess.length > 0)
      findings.push(
        warning(
          `permissions on ${table}`,
          `${user} has ${excess.join(', ')}: more than the jobs need`,
          `right for an identity that deploys; that of the function app needs only the role ${role}`,
        ),
      );
  }
  return findings;
}

/**
 * Which of these permissions the signed-in identity has on a table or view; none if it is not there or may not be seen.
 * @param permissions on a column as "UPDATE (Status)"
 */
async function readPermissions(
  { session }: ExaminedDatabase,
  object: string,
  permissions: readonly string[],
): Promise<string[]> {
  const columns = permissions.map((permission) => {
    const [, name = permission, column] = /^(\w+) \((\w+)\)$/.exec(permission) ?? [];
    const ofColumn = column === undefined ? '' : `, N'${column}', N'COLUMN'`;
    return `HAS_PERMS_BY_NAME(@object, N'OBJECT', N'${name}'${ofColumn}) AS [${permission}]`;
  });
  const [row = {}] = await session.query({
    name: 'readPermissions',
    sql: `SELECT ${columns.join(',\n  ')};`,
    parameters: { object: objectName(object) },
  });
  return permissions.filter((permission) => row[permission] === 1);
}

/** Whether the role is granted what its script says. UNMASK is for a site to grant (protection.ts). */
export async function checkRole(
  { session, seesDefinitions }: ExaminedDatabase,
  grants: Grants,
): Promise<Finding> {
  const subject = `role ${role}`;
  const rows = await session.query({
    name: 'readRolePermissions',
    columns: { Name: text, Permission: text, ColumnName: nullable(text) },
    sql: `SELECT s.name + N'.' + o.name AS Name, p.permission_name AS Permission, c.name AS ColumnName
FROM sys.database_permissions AS p
LEFT JOIN sys.columns AS c ON c.object_id = p.major_id AND c.column_id = p.minor_id
JOIN sys.objects AS o ON o.object_id = p.major_id
JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE p.grantee_principal_id = DATABASE_PRINCIPAL_ID(@role) AND p.class = 1 AND p.state IN ('G', 'W')
  AND p.permission_name <> N'UNMASK';`,
    parameters: { role: objectName(role) },
  });
  if (rows.length === 0)
    return seesDefinitions
      ? failed(subject, 'missing, or granted nothing', 'npm run db:deploy')
      : skipped(subject, 'cannot be seen by this identity');
  const granted = rows.map(({ Name, Permission, ColumnName }) => {
    const column = ColumnName === null ? '' : ` (${ColumnName})`;
    return `${Permission}${column} ON ${Name}`;
  });
  const expected = Object.entries(grants).flatMap(([object, permissions]) =>
    permissions.map((permission) => `${permission} ON ${object}`),
  );
  const missing = expected.filter((grant) => !granted.includes(grant));
  if (missing.length > 0) return failed(subject, `not granted ${missing.join('; ')}`, 'npm run db:deploy');
  const excess = granted.filter((grant) => !expected.includes(grant));
  if (excess.length > 0)
    return warning(
      subject,
      `granted more than in ${roleScript}: ${excess.join('; ')}`,
      'REVOKE it from the role',
    );
  return ok(subject, `${expected.length} permissions, as in ${roleScript}`);
}
