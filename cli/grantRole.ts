import { flag, nullable, text } from '../src/database/columns';
import type { Session } from '../src/database/session';
import { nVarChar, uniqueIdentifier } from '../src/database/statement';

/** A managed identity that is to become a user of the database. */
export interface Grantee {
  /** The identity's name, which the user gets. */
  readonly name: string;
  /** The identity's client id (its application id), a GUID; the object id would match no token. */
  readonly clientId: string;
}

/** The identity cannot become a user under that name. The message says why and what to do. */
export class GrantError extends Error {
  override readonly name = 'GrantError';
}

/**
 * Makes a managed identity a user of the database and a member of a role, unless it is already. The user gets its SID
 * from the client id, so that the name need not be looked up in Microsoft Entra ID: "A Microsoft Entra
 * application's SID is the binary representation of its Microsoft Entra client ID" (Microsoft, sys.server_principals).
 * @param log receives what was done, line by line
 * @throws GrantError, DatabaseError
 */
export async function grantRole(
  session: Session,
  role: string,
  { name, clientId }: Grantee,
  log: (line: string) => void,
): Promise<void> {
  const user = quoteName(name);
  if (await isUser(session, { name, clientId })) log(`user ${user}: exists with the client id ${clientId}`);
  else {
    await session.query({
      name: 'createUser',
      sql: `CREATE USER ${user} WITH SID = ${toSid(clientId)}, TYPE = E;`,
    });
    if (!(await isUser(session, { name, clientId })))
      throw new GrantError(`User ${user} was created and cannot be seen: sign in as a member of db_owner`);
    log(`user ${user}: created for the client id ${clientId}`);
  }
  if (await isMember(session, role, name)) {
    log(`role ${role}: ${user} is a member already`);
    return;
  }
  await session.query({ name: 'addMember', sql: `ALTER ROLE ${quoteName(role)} ADD MEMBER ${user};` });
  log(`role ${role}: ${user} added`);
}

/**
 * Whether the identity is the user of that name.
 * @throws GrantError if either belongs to another
 */
async function isUser(session: Session, { name, clientId }: Grantee): Promise<boolean> {
  const id = "CASE WHEN p.type = 'E' THEN CAST(p.sid AS UNIQUEIDENTIFIER) END";
  const users = await session.query({
    name: 'readUsers',
    columns: { Name: text, Type: text, ClientId: nullable(text), IsNamed: flag },
    sql: `SELECT p.name AS Name, p.type_desc AS Type, ${id} AS ClientId, CASE WHEN p.name = @name THEN 1 ELSE 0 END AS IsNamed
FROM sys.database_principals AS p
WHERE p.name = @name OR ${id} = @clientId;`,
    parameters: { name: nVarChar(128, name), clientId: uniqueIdentifier(clientId) },
  });
  const named = users.find((user) => user.IsNamed);
  if (named?.ClientId === clientId.toLowerCase()) return true;
  if (named) {
    const is = named.ClientId === null ? named.Type : `client id ${named.ClientId}`;
    throw new GrantError(
      `The database has another ${quoteName(name)} already (${is}), expected the client id ${clientId}. ` +
        `If that identity is gone, DROP USER ${quoteName(name)}, then run this again; if not, check --client-id.`,
    );
  }
  const [other] = users;
  if (!other) return false;
  throw new GrantError(
    `The identity with the client id ${clientId} is in the database already, as ${quoteName(other.Name)}: ` +
      'give that name to --grant.',
  );
}

async function isMember(session: Session, role: string, member: string): Promise<boolean> {
  const rows = await session.query({
    name: 'readMembership',
    sql: `SELECT 1 AS IsMember FROM sys.database_role_members AS m
WHERE m.role_principal_id = DATABASE_PRINCIPAL_ID(@role) AND m.member_principal_id = DATABASE_PRINCIPAL_ID(@member);`,
    parameters: { role: nVarChar(128, role), member: nVarChar(128, member) },
  });
  return rows.length > 0;
}

const quoteName = (name: string): string => `[${name.replaceAll(']', ']]')}]`;

/** A GUID's bytes as SQL Server stores them: the first three groups are little-endian. */
function toSid(guid: string): string {
  const bytes = Buffer.from(guid.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).swap32();
  bytes.subarray(4, 8).swap16();
  return `0x${bytes.toString('hex')}`;
}
