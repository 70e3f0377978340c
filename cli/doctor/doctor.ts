import { join } from 'node:path';
import type { TokenCredential } from '@azure/identity';
import { deadlineIn, systemClock } from '../../src/clock';
import type { Environment, Settings } from '../../src/config/settings';
import { DatabaseConnection, type RetryOptions } from '../../src/database/database';
import { DatabaseError } from '../../src/database/errors';
import { Session } from '../../src/database/session';
import { jobs } from '../../src/jobs/catalogue';
import { platforms } from '../../src/jobs/platforms';
import { createCommandCredential } from '../credential';
import { checkApplicationInsights } from './applicationInsights';
import { describeDatabase, examined, readFacts, type ExaminedDatabase } from './database';
import { checkEmailEndpoint, describeSender } from './email';
import { readExpectedSchema, type ExpectedSchema } from './expectedSchema';
import { failed, skipped, type Finding } from './finding';
import { checkGrants } from './grants';
import { checkToken, databaseScope, describeIdentity, emailScope, usesManagedIdentity } from './identity';
import { checkMasks } from './masks';
import { checkPermissions, checkRole } from './permissions';
import { checkAlwaysEncrypted, checkRowLevelSecurity } from './protection';
import { checkJobSchedule, checkScheduleZone } from './schedules';
import { checkSettings, type UsableSettings } from './settings';
import { checkJobStates } from './jobStates';
import { checkRuns } from './runs';
import { checkTable } from './tables';
import { checkGrantView, checkRequestView } from './views';

/** How long the database may take to wake up, and a statement to be answered. */
const timeBudgetMs = 3 * 60_000;
const statementTimeoutMs = 60_000;

/** Receives what is waited for, before the findings on it are there, and each retry on the database. */
export interface Progress extends Pick<RetryOptions, 'onRetry'> {
  readonly waitingFor: (what: string) => void;
}

const databaseSettings = [
  'SQL_SERVER',
  'SQL_DATABASE',
  'SQL_PORT',
  'SQL_USER',
  'SQL_PASSWORD',
  'SQL_TRUST_SERVER_CERTIFICATE',
];

/**
 * Examines the environment that the settings describe, from the outside in, and yields each finding as it is made.
 * Writes nothing. What cannot be examined because something before it failed is yielded as skipped.
 */
export async function* diagnose(
  environment: Environment,
  progress: Progress = { waitingFor: () => undefined },
): AsyncGenerator<Finding> {
  const { waitingFor } = progress;
  const { findings, usable } = checkSettings(environment);
  yield* findings;
  const { settings } = usable;

  const credential = await createCommandCredential(environment, settings.identityClientId);
  const tokens = yield* examineIdentity(environment, usable, credential, waitingFor);
  yield* examineDatabase(usable, credential, tokens.database, progress);

  const emailFault = usable.malformed('EMAIL_ENDPOINT');
  if (emailFault) yield skipped('email endpoint', `${emailFault} has to be corrected first`);
  else if (!tokens.email) yield skipped('email endpoint', 'there is no token for it');
  else {
    waitingFor('email service');
    yield await checkEmailEndpoint(settings.email, credential);
  }
  const senderFault = usable.malformed('EMAIL_SENDER_ADDRESS');
  yield senderFault
    ? skipped('email sender', `${senderFault} has to be corrected first`)
    : describeSender(settings.email);

  yield* checkScheduleZone(settings.scheduleZone);
  for (const job of jobs) {
    const { type, scheduleSetting } = job;
    yield usable.malformed(scheduleSetting)
      ? skipped(`schedule of ${type}`, `${scheduleSetting} has to be corrected first`)
      : checkJobSchedule(job, settings.schedules[scheduleSetting], settings.scheduleZone);
  }
  waitingFor('endpoint of Application Insights');
  const telemetryFault = usable.malformed('APPLICATIONINSIGHTS_CONNECTION_STRING');
  yield telemetryFault
    ? skipped('Application Insights', `${telemetryFault} has to be corrected first`)
    : await checkApplicationInsights(settings.telemetryConnectionString);
}

/** Returns for which services there is a token; a SQL login needs none for the database. */
async function* examineIdentity(
  environment: Environment,
  { settings, malformed }: UsableSettings,
  credential: TokenCredential,
  waitingFor: Progress['waitingFor'],
): AsyncGenerator<Finding, { database: boolean; email: boolean }> {
  const fault = malformed('AZURE_CLIENT_ID');
  if (fault) {
    yield skipped('identity', `${fault} has to be corrected first`);
    return { database: false, email: false };
  }
  yield describeIdentity(environment, settings);
  waitingFor("identity's token");
  const managed = usesManagedIdentity(environment);
  const databaseToken =
    settings.database.login.kind === 'identity'
      ? await checkToken(credential, databaseScope, managed)
      : undefined;
  if (databaseToken) yield databaseToken;
  const finding = await checkToken(credential, emailScope, managed);
  const sameReason =
    finding.status === 'failed' && databaseToken && reasonOf(databaseToken) === reasonOf(finding);
  yield sameReason ? { ...finding, message: 'could not get one, for the same reason' } : finding;
  return { database: databaseToken?.status !== 'failed', email: finding.status === 'ok' };
}

/** Without the ids of the one call. */
function reasonOf({ message }: Finding): string {
  return message.replace(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/gi, '');
}

async function* examineDatabase(
  { settings, malformed }: UsableSettings,
  credential: TokenCredential,
  signedIn: boolean,
  { waitingFor, ...retryOptions }: Progress,
): AsyncGenerator<Finding> {
  const { database } = settings;
  const subject = 'database';
  const fault = malformed(...databaseSettings);
  if (fault ?? !signedIn) {
    yield skipped(subject, fault ? `${fault} has to be corrected first` : 'there is no token for it');
    return;
  }
  const connection = new DatabaseConnection(() => Session.open(database, credential, statementTimeoutMs), {
    interactive: true,
    ...retryOptions,
  });
  const deadline = deadlineIn(systemClock, timeBudgetMs);
  /** What `read` gives, or a failure where the database did not answer it. */
  const attempt = async <T>(
    concern: string,
    advice: string,
    read: (session: Session) => Promise<T>,
  ): Promise<T | { failure: Finding }> => {
    waitingFor(concern);
    try {
      return await connection.withRetries(deadline, read);
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      return { failure: failed(concern.replace(/ \(.*/, ''), error.message, advice) };
    }
  };
  try {
    const facts = await attempt(
      'database (it may be waking up)',
      "check SQL_SERVER, SQL_PORT and SQL_DATABASE, the server's firewall, and that the identity is a user in the database",
      readFacts,
    );
    if ('failure' in facts) {
      yield facts.failure;
      yield skipped('tables, views, permissions and grants', 'the database cannot be reached');
      return;
    }
    yield* describeDatabase(facts, `${database.server}:${database.port}`);
    yield* examineObjects(
      readExpectedSchema(join(__dirname, '../../sql')),
      settings,
      async (concern, check, advice) => {
        const findings = await attempt(concern, advice ?? 'correct the cause and run this again', (session) =>
          check(examined(session, facts)),
        );
        return 'failure' in findings ? [findings.failure] : findings;
      },
    );
  } finally {
    connection.close();
  }
}

type Examine = (
  concern: string,
  check: (database: ExaminedDatabase) => Promise<Finding[]>,
  advice?: string,
) => Promise<Finding[]>;

async function* examineObjects(
  schema: ExpectedSchema,
  settings: Settings,
  examine: Examine,
): AsyncGenerator<Finding> {
  const missing = new Set<string>();
  const damaged = new Set<string>();
  for (const table of schema.tables) {
    const subject = `table ${table.name}`;
    const findings = await examine(subject, (database) => checkTable(database, table, schema.roleScript));
    yield* findings;
    if (findings.some((finding) => finding.subject === subject && finding.status !== 'ok'))
      missing.add(subject);
    if (findings.some(({ status }) => status === 'failed')) damaged.add(subject);
  }
  const views = [];
  const missingRequestViews = new Set<string>();
  for (const platform of platforms) {
    const requests = await examine(`view ${platform.requestView}`, (database) =>
      checkRequestView(database, platform, schema),
    );
    yield* requests;
    if (requests.some(({ status }) => status === 'warning')) missingRequestViews.add(platform.requestView);
    const findings = await examine(`view ${platform.grantView}`, (database) =>
      checkGrantView(database, platform, schema),
    );
    yield* findings;
    views.push({ platform, valid: findings.every(({ status }) => status === 'ok') });
  }
  const present = {
    ...schema,
    grants: schema.grants.filter(({ object }) => !missingRequestViews.has(object)),
  };
  yield* await examine('permissions', (database) => checkPermissions(database, present));
  yield* await examine(`role ${schema.role}`, async (database) => [await checkRole(database, present)]);
  for (const table of schema.requestTables)
    yield* await examine(`columns of ${table}`, async (database) => [
      ...(await checkMasks(database, table, schema)),
      ...(await checkAlwaysEncrypted(database, table)),
    ]);
  yield* await examine('row-level security', (database) => checkRowLevelSecurity(database, schema));
  if (missing.has('table dbo.JobRun')) yield skipped('runs in dbo.JobRun', 'the table was not found');
  else {
    yield* await examine('runs in dbo.JobRun', checkRuns);
    if (damaged.has('table dbo.JobRun'))
      yield skipped('states of the jobs', 'the table is not as the jobs need it');
    else yield* await examine('states of the jobs', (database) => checkJobStates(database, settings));
  }
  for (const { platform, valid } of views) {
    const subject = `grants of ${platform.grantView}`;
    if (!valid) {
      yield skipped(subject, 'the view is not as the jobs need it');
      continue;
    }
    yield* await examine(
      subject,
      (database) => checkGrants(database, platform, schema.viewScript),
      `run the view's SELECT in ${schema.viewScript} by hand; ExpiresAt must be a bare, indexed column`,
    );
  }
}
