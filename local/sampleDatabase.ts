/** The database of the sample: the two tables that exist already, what sql/ creates, and the sample's rows. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSettings } from '../src/config/settings';
import { deployScripts, splitBatches } from '../cli/deployScripts';
import { Session } from '../src/database/session';
import { jobs, type Job } from '../src/jobs/catalogue';
import { readBacklog } from '../src/jobs/backlog';
import { databricks, platforms, type Platform } from '../src/jobs/platforms';
import { createCredential } from '../src/services';
import { trustAuthority } from './certificates';
import { insertRows } from './insertRows';
import { sampleRequests } from './sampleData';
import type { StandIns } from './standIns';

export interface PlatformSummary {
  readonly platform: string;
  readonly requests: number;
  /** Grants that a revocation run would revoke now. */
  readonly expired: number;
  /** Grants that a notification run would send a reminder for now. */
  readonly due: number;
}

/** The longest that one statement of setting up may take. In ms. */
const statementTimeout = 60_000;

/** Creates the two tables that a site has already, where they are missing. */
export async function createRequestTables(session: Session): Promise<void> {
  for (const { sql } of splitBatches(readFileSync(join(__dirname, 'existingTables.sql'), 'utf8')))
    await session.query({ name: 'createRequestTables', sql });
}

/** Creates all objects; tables that exist are left as they are, views are those of sql/. */
export async function createDatabase(session: Session): Promise<void> {
  await createRequestTables(session);
  await deployScripts(
    session,
    join(__dirname, '../sql'),
    () => undefined,
    () => 'no file',
  );
}

/** The tables that createDatabase creates, in an order in which they can be emptied or dropped. */
export const tables = [
  'dbo.JobRun',
  'dbo.ExpiryNotification_Databricks',
  'dbo.ExpiryNotification_Palantir',
  'dbo.RevokedAccess_Databricks',
  'dbo.RevokedAccess_Palantir',
  'dbo.DataAccessDeltaRequests',
  'dbo.DataAccessPalantirRequests',
];
const views = platforms.flatMap(({ grantView, requestView }) => [grantView, requestView]);

/** Drops all that createDatabase creates, with the rows in it: for databases that tests made themselves. */
export async function dropDatabase(session: Session): Promise<void> {
  const sql = [
    ...views.map((name) => `DROP VIEW IF EXISTS ${name};`),
    ...tables.map((name) => `DROP TABLE IF EXISTS ${name};`),
    'DROP ROLE IF EXISTS AccessExpiryJobs;',
  ].join('\n');
  await session.query({ name: 'dropDatabase', sql });
}

/** Opens a session of the stand-ins' database, as the app does. */
export async function openSession({ environment, authority, identity }: StandIns): Promise<Session> {
  trustAuthority(authority);
  // @azure/identity looks for the managed identity in the environment of the process.
  Object.assign(process.env, identity.environment);
  const settings = readSettings(environment);
  return Session.open(settings.database, await createCredential(environment, undefined), statementTimeout);
}

/** Maps the AccessKey of Databricks requests. @param expression over the columns of the request table `r` */
export async function mapAccessKey(session: Session, expression: string): Promise<void> {
  const script = readFileSync(join(__dirname, '../sql/06_AccessGrant_views.sql'), 'utf8');
  const view =
    splitBatches(script).find(({ sql }) => sql.includes(`VIEW ${databricks.requestView}`))?.sql ?? '';
  const sql = view.replace('CAST(NULL AS NVARCHAR(400)) AS AccessKey', `${expression} AS AccessKey`);
  await session.query({ name: 'mapAccessKey', sql });
}

/** Creates the sample database in the stand-ins. */
export async function createSampleDatabase(standIns: StandIns): Promise<PlatformSummary[]> {
  const session = await openSession(standIns);
  try {
    await createDatabase(session);
    // As a site might: a request and those that renew it are for the same access.
    await mapAccessKey(session, 'COALESCE(r.renews_request_number, r.request_number)');
    const sample = sampleRequests(new Date());
    await insertRows(session, 'dbo.DataAccessDeltaRequests', sample.delta);
    await insertRows(session, 'dbo.DataAccessPalantirRequests', sample.palantir);
    await insertRows(session, 'dbo.RevokedAccess_Databricks', sample.deltaRevocations);
    await insertRows(session, 'dbo.RevokedAccess_Palantir', sample.palantirRevocations);
    const settings = readSettings(standIns.environment);
    const count = async (kind: Job['kind'], platform: Platform): Promise<number> => {
      const job = jobs.find((one) => one.kind === kind && one.platform === platform);
      return job ? (await readBacklog(session, job.due(settings))).dueCount : 0;
    };
    const summaries: PlatformSummary[] = [];
    for (const platform of platforms)
      summaries.push({
        platform: platform.name,
        requests: (platform === databricks ? sample.delta : sample.palantir).length,
        expired: await count('revocation', platform),
        due: await count('notification', platform),
      });
    return summaries;
  } finally {
    session.close();
  }
}
