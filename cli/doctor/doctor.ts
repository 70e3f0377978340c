import type { TokenCredential } from '@azure/identity';
import { deadlineIn, systemClock } from '../../src/clock';
import type { Environment } from '../../src/config/settings';
import { DatabaseConnection, type RetryOptions } from '../../src/database/database';
import { DatabaseError } from '../../src/database/errors';
import { Session } from '../../src/database/session';
import { jobs } from '../../src/jobs/catalogue';
import { createCommandCredential } from '../credential';
import { checkApplicationInsights } from './applicationInsights';
import { describeDatabase, readFacts, type DatabaseFacts } from './database';
import { databaseChecks } from './databaseChecks';
import { checkEmailEndpoint, describeSender } from './email';
import { failed, skipped, type Finding } from './finding';
import { checkToken, databaseScope, describeIdentity, emailScope, usesManagedIdentity } from './identity';
import { checkJobSchedule, checkScheduleZone } from './schedules';
import { checkSettings, type UsableSettings } from './settings';

/** How long the database may take to wake up, and a statement to be answered. */
const timeBudgetMs = 3 * 60_000;
const statementTimeoutMs = 60_000;

/** Reports what is waited for, and each retry of the database. */
export interface Progress extends Pick<RetryOptions, 'onRetry'> {
  readonly waitingFor: (what: string) => void;
}

/** Something to examine after the settings and the identity. */
interface Concern {
  readonly subject: string;
  /** Why it is skipped. */
  readonly blocked?: string | undefined;
  readonly waitFor?: string;
  readonly examine: () => AsyncIterable<Finding> | Iterable<Finding> | Promise<readonly Finding[]>;
}

/**
 * Examines the environment that the settings describe, from the outside in, and yields each finding as it is made.
 * Writes nothing. What cannot be examined because something before it failed is yielded as skipped.
 */
export async function* diagnose(
  environment: Environment,
  progress: Progress = { waitingFor: () => undefined },
): AsyncGenerator<Finding> {
  const { findings, usable } = checkSettings(environment);
  yield* findings;
  const credential = await createCommandCredential(environment, usable.settings.identityClientId);
  const tokens = yield* examineIdentity(environment, usable, credential, progress);
  for (const { subject, blocked, waitFor, examine } of concerns(usable, credential, tokens, progress)) {
    if (waitFor !== undefined && blocked === undefined) progress.waitingFor(waitFor);
    yield* blocked === undefined ? await examine() : [skipped(subject, blocked)];
  }
}

/** For which services there is a token; a SQL login needs none for the database. */
interface Tokens {
  readonly database: boolean;
  readonly email: boolean;
}

async function* examineIdentity(
  environment: Environment,
  { settings, fault }: UsableSettings,
  credential: TokenCredential,
  { waitingFor }: Progress,
): AsyncGenerator<Finding, Tokens> {
  const blocked = fault('AZURE_CLIENT_ID');
  if (blocked !== undefined) {
    yield skipped('identity', blocked);
    return { database: false, email: false };
  }
  yield describeIdentity(environment, settings);
  waitingFor("identity's token");
  const managed = usesManagedIdentity(environment);
  const { login } = settings.database;
  const database =
    login.kind === 'identity' ? await checkToken(credential, databaseScope, managed) : undefined;
  if (database) yield database;
  const email = await checkToken(credential, emailScope, managed);
  const sameReason = email.status === 'failed' && database && reasonOf(database) === reasonOf(email);
  yield sameReason ? { ...email, message: 'could not get one, for the same reason' } : email;
  return { database: database?.status !== 'failed', email: email.status === 'ok' };
}

/** Without the ids of a single call. */
function reasonOf({ message }: Finding): string {
  return message.replace(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/gi, '');
}

function concerns(
  usable: UsableSettings,
  credential: TokenCredential,
  tokens: Tokens,
  progress: Progress,
): Concern[] {
  const { settings, fault } = usable;
  const noToken = (hasToken: boolean): string | undefined =>
    hasToken ? undefined : 'there is no token for it';
  const sqlLogin = ['SQL_USER', 'SQL_PASSWORD', 'SQL_TRUST_SERVER_CERTIFICATE'];
  return [
    {
      subject: 'database',
      blocked: fault('SQL_SERVER', 'SQL_DATABASE', 'SQL_PORT', ...sqlLogin) ?? noToken(tokens.database),
      examine: () => examineDatabase(usable, credential, progress),
    },
    {
      subject: 'email endpoint',
      blocked: fault('EMAIL_ENDPOINT') ?? noToken(tokens.email),
      waitFor: 'email service',
      examine: async () => [await checkEmailEndpoint(settings.email, credential)],
    },
    {
      subject: 'email sender',
      blocked: fault('EMAIL_SENDER_ADDRESS'),
      examine: () => [describeSender(settings.email)],
    },
    { subject: 'time zone of the schedules', examine: () => checkScheduleZone(settings.scheduleZone) },
    ...jobs.map((job) => ({
      subject: `schedule of ${job.type}`,
      blocked: fault(job.scheduleSetting),
      examine: () => [checkJobSchedule(job, settings.schedules[job.scheduleSetting], settings.scheduleZone)],
    })),
    {
      subject: 'Application Insights',
      blocked: fault('APPLICATIONINSIGHTS_CONNECTION_STRING'),
      waitFor: 'endpoint of Application Insights',
      examine: async () => [await checkApplicationInsights(settings.telemetryConnectionString)],
    },
  ];
}

const connectionAdvice =
  "check SQL_SERVER, SQL_PORT and SQL_DATABASE, the server's firewall, and that the identity is a user in the database";

async function* examineDatabase(
  { settings: { database }, given }: UsableSettings,
  credential: TokenCredential,
  { waitingFor, ...retryOptions }: Progress,
): AsyncGenerator<Finding> {
  const connection = new DatabaseConnection(() => Session.open(database, credential, statementTimeoutMs), {
    interactive: true,
    ...retryOptions,
  });
  const deadline = deadlineIn(systemClock, timeBudgetMs);
  /** What `read` finds, or a failure where the database did not answer it. */
  const attempt = async (
    concern: string,
    advice: string,
    read: (session: Session) => Promise<readonly Finding[]>,
  ): Promise<readonly Finding[]> => {
    waitingFor(concern);
    try {
      return await connection.withRetries(deadline, read);
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      return [failed(concern.replace(/ \(.*/, ''), error.message, advice)];
    }
  };
  try {
    const known: { facts?: DatabaseFacts } = {};
    yield* await attempt('database (it may be waking up)', connectionAdvice, async (session) => {
      known.facts = await readFacts(session);
      return describeDatabase(known.facts, `${database.server}:${database.port}`);
    });
    const { facts } = known;
    if (!facts) {
      yield skipped('tables, views, permissions and grants', 'the database cannot be reached');
      return;
    }
    const found = new Map<string, readonly Finding[]>();
    for (const { subject, skip, check, advice = 'correct the cause and run this again' } of databaseChecks(
      given,
    )) {
      const reason = skip?.(found);
      const run = (session: Session): Promise<Finding[]> => check({ ...facts, session }, found);
      const findings =
        reason === undefined ? await attempt(subject, advice, run) : [skipped(subject, reason)];
      found.set(subject, findings);
      yield* findings;
    }
  } finally {
    connection.close();
  }
}
