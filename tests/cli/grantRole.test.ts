/** Only on the stand-in: a plain SQL Server has no users of Microsoft Entra ID. */
import { grantRole } from '../../cli/grantRole';
import { useEnvironment } from '../support/arrange';

const role = 'AccessExpiryJobs';
const clientId = '00112233-4455-6677-8899-aabbccddeeff';
const otherId = '7c9e6679-7425-40de-944b-e07fc1f90ae7';
const environment = useEnvironment();

async function grant(name: string, id = clientId): Promise<string[]> {
  const lines: string[] = [];
  await grantRole(environment.session, role, { name, clientId: id }, (line) => lines.push(line));
  return lines;
}

const members = () =>
  environment.query(`SELECT u.name AS name, u.type AS type, CAST(u.sid AS UNIQUEIDENTIFIER) AS id
FROM sys.database_role_members AS m JOIN sys.database_principals AS u ON u.principal_id = m.member_principal_id
ORDER BY u.name;`);

afterEach(async () => {
  for (const { name } of await environment.query(
    "SELECT p.name FROM sys.database_principals AS p WHERE p.type = 'E' OR p.name = 'taken';",
  ))
    await environment.query(`DROP USER [${(name as string).replaceAll(']', ']]')}];`);
});

test.each(['func-access-expiry-jobs', "o'dd [name]; --"])(
  'an identity named %s becomes a user with its client id, and a member of the role',
  async (name) => {
    expect(await grant(name, clientId.toUpperCase())).toEqual([
      expect.stringMatching(/^user \[.*\]: created for the client id 00112233-/),
      expect.stringMatching(/^role AccessExpiryJobs: \[.*\] added$/),
    ]);
    expect(await members()).toEqual([{ name, type: 'E', id: clientId }]);
  },
);

test('the second time nothing is done, and the log says so', async () => {
  await grant('func');
  const before = await members();
  environment.standIn?.clearStatements();
  expect(await grant('func')).toEqual([
    `user [func]: exists with the client id ${clientId}`,
    'role AccessExpiryJobs: [func] is a member already',
  ]);
  expect(
    environment.standIn?.statements.map(({ text }) => text).filter((text) => !text.startsWith('SELECT')),
  ).toEqual([]);
  expect(await members()).toEqual(before);
});

test('a user that is not a member yet is added', async () => {
  await grant('func');
  await environment.query(`ALTER ROLE ${role} DROP MEMBER func;`);
  expect(await grant('func')).toEqual([
    `user [func]: exists with the client id ${clientId}`,
    'role AccessExpiryJobs: [func] added',
  ]);
});

test('a user of that name with another client id is not touched', async () => {
  await grant('func', otherId);
  await expect(grant('func')).rejects.toThrow(
    `The database has another [func] already (client id ${otherId}), expected the client id ${clientId}. ` +
      'If that identity is gone, DROP USER [func], then run this again; if not, check --client-id.',
  );
  expect(await members()).toEqual([{ name: 'func', type: 'E', id: otherId }]);
});

test('a user of that name of another kind is not touched', async () => {
  await environment.query('CREATE USER taken WITHOUT LOGIN;');
  await expect(grant('taken')).rejects.toThrow('The database has another [taken] already (SQL_USER)');
  expect(await members()).toEqual([]);
});

test('an identity that is a user under another name is not created again', async () => {
  await grant('func');
  await expect(grant('another')).rejects.toThrow(
    `The identity with the client id ${clientId} is in the database already, as [func]: give that name to --grant.`,
  );
});
