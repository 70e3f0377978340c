import { join } from 'node:path';
import type { TokenCredential } from '@azure/identity';
import { deadlineIn, systemClock } from '../../src/clock';
import type { Environment } from '../../src/config/settings';
import { DatabaseConnection } from '../../src/database/database';
import { DatabaseError } from '../../src/database/errors';
import { Session } from '../../src/database/session';
import { jobs } from '../../src/jobs/catalogue';
import { databricks, palantir } from '../../src/jobs/platforms';
import { createCredential } from '../../src/services';
import { checkApplicationInsights } from './applicationInsights';
import { checkEmailEndpoint, describeSender } from './email';
import { readExpectedSchema, type ExpectedSchema } from './expectedSchema';
import { failed, ok, skipped, type Finding } from './finding';
import { checkGrants } from './grants';
import { checkToken, databaseScope, describeIdentity, emailScope } from './identity';
import { checkPermissions, checkRole } from './permissions';
import { describeJobSchedule } from './schedules';
import { checkSettings, type UsableSettings } from './settings';
import { checkTable, type Queryable } from './tables';
import { checkView } from './views';

/** How long the database may take to wake up, and a statement to be answered. In ms. */
const timeBudget = 3 * 60_000;
const statementTimeout = 60_000;

const databaseSettings = [
  'SQL_SERVER',
  'SQL_DATABASE',
  'SQL_PORT',
  'SQL_USER',
  'SQL_PASSWORD',
  'SQL_TRUST_SERVER_CERTIFICATE',
];

/**
 * Examines the environment that the settings describe, from the outside in, and yields what it finds as it goes on.
 * Writes nothing. What cannot be examined because something before it failed is yielded as skipped.
 */
export async function* diagnose(environment: Environment): AsyncGenerator<Finding> {
  const { findings, usable } = checkSettings(environment);
  yield* findings;
  const { settings } = usable;

  const credential = await createCredential(environment, settings.identityClientId);
  const tokens = yield* examineIdentity(environment, usable, credential);
  yield* examineDatabase(usable, credential, tokens.database);

  const emailFault = usable.malformed('EMAIL_ENDPOINT');
  if (emailFault) yield skipped('email endpoint', `${emailFault} has to be corrected first`);
  else if (!tokens.email) yield skipped('email endpoint', 'there is no token for it');
  else yield await checkEmailEndpoint(settings.email, credential);
  const senderFault = usable.malformed('EMAIL_SENDER_ADDRESS');
  yield senderFault
    ? skipped('email sender', `${senderFault} has to be corrected first`)
    : describeSender(settings.email);

  for (const { type, scheduleSetting } of jobs) {
    yield usable.malformed(scheduleSetting)
      ? skipped(`schedule of ${type}`, `${scheduleSetting} has to be corrected first`)
      : describeJobSchedule(type, settings.schedules[scheduleSetting]);
  }
  const telemetryFault = usable.malformed('APPLICATIONINSIGHTS_CONNECTION_STRING');
  yield telemetryFault
    ? skipped('Application Insights', `${telemetryFault} has to be corrected first`)
    : await checkApplicationInsights(settings.telemetryConnectionString);
}

/** Returns for which services a token can be had; a SQL login needs none for the database. */
async function* examineIdentity(
  environment: Environment,
  { settings, malformed }: UsableSettings,
  credential: TokenCredential,
): AsyncGenerator<Finding, { database: boolean; email: boolean }> {
  const fault = malformed('AZURE_CLIENT_ID');
  if (fault) {
    yield skipped('identity', `${fault} has to be corrected first`);
    return { database: false, email: false };
  }
  yield describeIdentity(environment, settings);
  const managed = environment.IDENTITY_ENDPOINT !== undefined;
  let database = true;
  if (settings.database.login.kind === 'identity') {
    const finding = await checkToken(credential, databaseScope, managed);
    database = finding.status === 'ok';
    yield finding;
  }
  const finding = await checkToken(credential, emailScope, managed);
  yield finding;
  return { database, email: finding.status === 'ok' };
}

async function* examineDatabase(
  { settings: { database }, malformed }: UsableSettings,
  credential: TokenCredential,
  signedIn: boolean,
): AsyncGenerator<Finding> {
  const subject = 'database';
  const fault = malformed(...databaseSettings);
  if (fault ?? !signedIn) {
    yield skipped(subject, fault ? `${fault} has to be corrected first` : 'there is no token for it');
    return;
  }
  const connection = new DatabaseConnection(() => Session.open(database, credential, statementTimeout));
  const deadline = deadlineIn(systemClock, timeBudget);
  const attempt = async (
    subject: string,
    advice: string,
    check: (session: Queryable) => Promise<Finding[]>,
  ): Promise<Finding[]> => {
    try {
      return await connection.withRetries(deadline, check);
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      return [failed(subject, error.message, advice)];
    }
  };
  try {
    const reached = await attempt(
      subject,
      "check SQL_SERVER, SQL_PORT and SQL_DATABASE, the server's firewall, and that the identity is a user in the database",
      async (session) => [
        ok(subject, await describeDatabase(session, `${database.server}:${database.port}`)),
      ],
    );
    yield* reached;
    if (reached.some(({ status }) => status === 'failed')) {
      yield skipped('tables, views, permissions and grants', 'the database cannot be reached');
      return;
    }
    yield* examineObjects(readExpectedSchema(join(__dirname, '../../sql')), attempt);
  } finally {
    connection.close();
  }
}

type Attempt = (
  concern: string,
  advice: string,
  check: (session: Queryable) => Promise<Finding[]>,
) => Promise<Finding[]>;

async function* examineObjects(schema: ExpectedSchema, attempt: Attempt): AsyncGenerator<Finding> {
  const again = 'mend the cause and run this again';
  for (const table of schema.tables)
    yield* await attempt(`table ${table.name}`, again, (session) =>
      checkTable(session, table, schema.roleScript),
    );
  const views = [];
  for (const platform of [databricks, palantir]) {
    const findings = await attempt(`view ${platform.grantView}`, again, (session) =>
      checkView(session, platform, schema),
    );
    yield* findings;
    views.push({ platform, valid: findings.every(({ status }) => status === 'ok') });
  }
  yield* await attempt('permissions', again, (session) => checkPermissions(session, schema));
  yield* await attempt(`role ${schema.role}`, again, async (session) => [await checkRole(session, schema)]);
  for (const { platform, valid } of views) {
    const subject = `grants of ${platform.grantView}`;
    if (valid)
      yield* await attempt(
        subject,
        `run the view's SELECT in ${schema.viewScript} by hand; ExpiresAt must be a bare, indexed column`,
        (session) => checkGrants(session, platform, schema.viewScript),
      );
    else yield skipped(subject, 'the view is not as the jobs need it');
  }
}

/** The database's name and the server's version, as they call themselves. */
async function describeDatabase(session: Queryable, address: string): Promise<string> {
  const [row] = await session.query({
    name: 'readVersion',
    sql: 'SELECT DB_NAME() AS Name, @@VERSION AS Version;',
    parameters: {},
  });
  const [version = ''] = (row?.Version as string).split('\n');
  return `${row?.Name as string} on ${address}, ${version}`;
}
