import type { TokenCredential } from '@azure/identity';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCertificates, trustAuthority } from '../../local/certificates';
import { startEmailService } from '../../local/email';
import { startIdentity } from '../../local/identity';
import { insertRows } from '../../local/insertRows';
import { claimDatabase, realServerSettings, usesDeveloperSignIn } from '../../local/realServer';
import { createDatabase, dropDatabase, tables } from '../../local/sampleDatabase';
import { startSqlServer, type SqlServer } from '../../local/sqlServer';
import { createTemporaryDirectory } from '../../local/temporaryDirectory';
import type { Clock } from '../../src/clock';
import { readSettings, type Settings } from '../../src/config/settings';
import { Database } from '../../src/database/database';
import { SqlError, sqlErrors } from '../../src/database/errors';
import { Session, type Row } from '../../src/database/session';
import type { Statement } from '../../src/database/statement';
import { EmailClient } from '../../src/email/emailClient';
import { jobs, type Job } from '../../src/jobs/catalogue';
import { runJob, type RunOptions, type RunResult } from '../../src/jobs/runJob';
import type { JobRun } from '../../src/jobRun/jobRun';
import { createCredential, type Services } from '../../src/services';
import type { JobRunEvent } from '../../src/telemetry/names';
import type { Telemetry } from '../../src/telemetry/telemetry';
import { realServer } from './realServer';
import { siteTable } from './views';

const day = 24 * 60 * 60 * 1000;

/** Real time, on which sleeps pass at once. */
export class FastClock implements Clock {
  #ahead = 0;
  readonly slept: number[] = [];
  now(): number {
    return Date.now() + this.#ahead;
  }
  elapsed(): number {
    return performance.now() + this.#ahead;
  }
  /** Time passes without a sleep. */
  advance(ms: number): void {
    this.#ahead += ms;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    this.slept.push(ms);
    this.#ahead += ms;
    // Lets others run, as a real pause would.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Records what is emitted. */
export class RecordingTelemetry implements Telemetry {
  readonly events: JobRunEvent[] = [];
  readonly exceptions: { error: Error; properties: object }[] = [];
  flushes = 0;
  inInvocation<T>(_invocation: unknown, work: () => Promise<T>): Promise<T> {
    return work();
  }
  inSpan<T>(_name: string, work: () => Promise<T>): Promise<T> {
    return work();
  }
  trackJobRun(event: JobRunEvent): void {
    this.events.push(event);
  }
  trackAbandonedRun(): void {
    return;
  }
  trackJobStates(): Promise<void> {
    return Promise.resolve();
  }
  trackException(error: Error, properties: object): void {
    this.exceptions.push({ error, properties });
  }
  flush(): Promise<void> {
    this.flushes++;
    return Promise.resolve();
  }
}

export interface TestServices extends Services {
  readonly clock: FastClock;
  readonly telemetry: RecordingTelemetry;
}

/** A grant as a test needs it; times are in ms from now. */
export interface GrantSpec {
  readonly endsIn: number | null;
  readonly email?: string | null;
  readonly name?: string;
  readonly resource?: string;
  readonly status?: string;
  /** Kept in the request's justification, where the views of tests/support/views.ts read it. */
  readonly accessKey?: string;
}

/** The database (a stand-in, or the real server that TEST_SQL_* name), the email service and the identity. */
export type TestEnvironment = Awaited<ReturnType<typeof startTestEnvironment>>;

/** @throws Error on a real server */
export function standInOf({ standIn }: TestEnvironment): SqlServer {
  if (!standIn) throw new Error('This needs the stand-in for SQL Server');
  return standIn;
}

/** Wraps each statement, until the spy or all mocks are restored. */
export function aroundEachStatement(
  around: (statement: Statement, send: () => Promise<Row[]>) => Promise<Row[]>,
): jest.SpyInstance {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own `this` below
  const { query } = Session.prototype;
  return jest.spyOn(Session.prototype, 'query').mockImplementation(function (this: Session, statement) {
    return around(statement, () => query.call(this, statement));
  });
}

/** Does something before each statement, until the spy or all mocks are restored. */
export const beforeEachStatement = (action: (statement: Statement) => unknown): jest.SpyInstance =>
  aroundEachStatement(async (statement, send) => {
    await action(statement);
    return send();
  });

/** Does something before the nth statement of that name, until jest.restoreAllMocks(). */
export function beforeStatement(name: string, nth: number, action: () => unknown): void {
  let count = 0;
  beforeEachStatement((statement) => (statement.name === name && ++count === nth ? action() : undefined));
}

/** The run's row. @throws Error if the lock was held */
export function finished(result: RunResult): JobRun & { stoppedEarly: boolean } {
  if (result.kind !== 'finished') throw new Error(`The lock was held by ${result.activeRun.jobId}`);
  return { ...result.run, stoppedEarly: result.stoppedEarly };
}

export function jobOf(kind: Job['kind'], platform: Job['platform']['name']): Job {
  const job = jobs.find((one) => one.kind === kind && one.platform.name === platform);
  if (!job) throw new Error(`There is no ${kind} of ${platform}`);
  return job;
}

export const revocations = jobs.filter((job) => job.kind === 'revocation');
export const notifications = jobs.filter((job) => job.kind === 'notification');

let guids = 0;
/** A GUID that is new in this process, in lower case. */
export function newGuid(): string {
  return `00000000-0000-4000-8000-${String(++guids).padStart(12, '0')}`;
}

/** If a part fails to start, those that did are closed. */
export async function startTestEnvironment() {
  await using started = new AsyncDisposableStack();
  const servers = await startServers(started);
  const { standIn, email, identity, environment } = servers;
  const settings = readSettings(environment);
  // @azure/identity reads its environment from the process.
  if (!developerSignIn) Object.assign(process.env, identity.environment);
  const appCredential = await createCredential(environment, undefined);
  const session = started.adopt(await Session.open(settings.database, appCredential, 60_000), (open) =>
    open.close(),
  );
  await makeDatabase(session, started);
  const running = started.move();

  const query: Query = (sql) => session.query({ name: 'test', sql });
  const services = servicesOf(settings, appCredential);

  return {
    ...servers,
    /** For arranging and checking. */
    session,
    settings,
    query,
    services,
    ...runsOf(query),
    ...requestsOf(session, query, () => standIn?.clock.now().getTime() ?? Date.now()),
    /** Another session, for the test to close. */
    openSession: () => Session.open(settings.database, appCredential, 30_000),
    /** Runs a job in this process, by hand over HTTP unless the options say otherwise. */
    run: (
      job: Job,
      theServices: Services = services(),
      options: Partial<RunOptions> = {},
    ): Promise<RunResult> => runJob(theServices, job, { trigger: 'http', log: () => undefined, ...options }),
    /** Empties all tables, mailbox and faults. */
    async reset(): Promise<void> {
      standIn?.clearFaults();
      email.reset();
      identity.clearFaults();
      await query(tables.map((name) => `DELETE FROM ${name};`).join('\n'));
    },
    close: () => running.disposeAsync(),
  };
}

/** New services on a new clock, at each call. */
const servicesOf =
  (settings: Settings, appCredential: TokenCredential) =>
  (
    overrides: Partial<Settings> = {},
    { statementTimeoutMs = 10_000, credential = appCredential } = {},
  ): TestServices => ({
    ...createServices(settings, credential, statementTimeoutMs),
    settings: { ...settings, ...overrides },
  });

async function makeDatabase(session: Session, started: AsyncDisposableStack): Promise<void> {
  if (realServer) {
    await claimDatabase(session);
    // An interrupted run may have left tables.
    await dropDatabase(session);
  }
  await createDatabase(session);
  if (realServer) started.defer(() => dropDatabase(session));
}

/** The stand-in cannot check a developer's tokens. */
const developerSignIn = realServer && usesDeveloperSignIn(process.env);

async function startServers(started: AsyncDisposableStack) {
  const close = (server: { close(): Promise<unknown> }) => server.close() as Promise<void>;
  const { authority, ...tls } = await createCertificates();
  trustAuthority(authority);
  const directory = started.adopt(createTemporaryDirectory(), (path) => rmSync(path, { recursive: true }));
  const authorityFile = join(directory, 'authority.pem');
  writeFileSync(authorityFile, authority);
  const identity = started.adopt(await startIdentity(), close);
  const accept = (resource: string) => (token: string) =>
    developerSignIn || identity.isValid(token, `https://${resource}`);
  const email = started.adopt(
    await startEmailService({ tls, acceptToken: accept('communication.azure.com') }),
    close,
  );
  const sql = { tls, database: 'access', acceptToken: accept('database.windows.net') };
  /** Absent on a real server. */
  const standIn = realServer ? undefined : started.adopt(await startSqlServer(sql), close);
  /** The app's settings, its identity and the authority to trust, as environment variables. */
  const environment: Readonly<Record<string, string>> = {
    ...(developerSignIn ? {} : identity.environment),
    NODE_EXTRA_CA_CERTS: authorityFile,
    ...(standIn
      ? { SQL_SERVER: 'localhost', SQL_PORT: String(standIn.port), SQL_DATABASE: 'access' }
      : realServerSettings(process.env)),
    EMAIL_ENDPOINT: email.endpoint,
    EMAIL_SENDER_ADDRESS: 'access@example.com',
    RENEWAL_URL_TEMPLATE: 'https://portal.example.com/requests/{requestNumber}/renew',
  };
  return { identity, email, standIn, environment };
}

function createServices(
  settings: Settings,
  credential: TokenCredential,
  statementTimeoutMs: number,
): TestServices {
  return {
    settings,
    database: new Database(settings.database, credential, statementTimeoutMs),
    emailClient: new EmailClient(settings.email, credential, {
      callMs: 1_000,
      watchMs: 15_000,
      statusIntervalMs: 5_000,
      retryDelaysMs: [1_000, 4_000],
    }),
    telemetry: new RecordingTelemetry(),
    clock: new FastClock(),
  };
}

type Query = (sql: string) => Promise<Row[]>;

const runsOf = (query: Query) => ({
  /** The rows of JobRun of a type, newest first. */
  runs: ({ type }: Job) => query(`SELECT * FROM dbo.JobRun WHERE Job_Type = '${type}' ORDER BY Id DESC;`),
  /** Makes every run in progress look older. */
  ageRuns: (minutes: number) =>
    query(
      `UPDATE dbo.JobRun SET Started_At = DATEADD(MINUTE, ${-minutes}, Started_At) WHERE Status = 'InProgress';`,
    ),
});

/** Changes the site's tables, as its own system would. */
function requestsOf(session: Session, query: Query, now: () => number) {
  let ids = 0;
  return {
    /** Adds grants to a platform's table; returns their request ids. */
    async addGrants(job: Job, grants: readonly GrantSpec[]): Promise<(number | string)[]> {
      const { table, columns } = siteTable(job);
      const rows = grants.map((grant) => toRow(job, ++ids, now(), grant));
      await insertRows(session, table, rows);
      return rows.map((row) => row[columns.RequestId] as number | string);
    },
    async changeGrant(
      job: Job,
      id: number | string,
      { endsAt, granted }: { readonly endsAt: Date; readonly granted: boolean },
    ): Promise<void> {
      const { table, columns } = siteTable(job);
      await query(`UPDATE ${table}
SET ${columns.ExpiresAt} = '${endsAt.toISOString().slice(0, -1)}', ${columns.RequestStatus} = '${granted ? 'Approved' : 'Withdrawn'}'
WHERE ${columns.RequestId} = '${id}';`);
    },
    /** Returns false where a row refers to the request. */
    async deleteRequest(job: Job, id: number | string): Promise<boolean> {
      const { table, columns } = siteTable(job);
      try {
        await query(`DELETE FROM ${table} WHERE ${columns.RequestId} = '${id}';`);
        return true;
      } catch (error) {
        if (!(error instanceof SqlError) || error.number !== sqlErrors.constraintConflict) throw error;
        return false;
      }
    },
  };
}

/** The columns that the views do not read. */
const otherColumns = {
  Databricks: (now: number) => ({
    request_type: 'Read',
    requested_by_ad_id: 'user',
    catalog_name: 'sales',
    schema_name: 'gold',
    access_start_dt: new Date(now - 90 * day),
    created_dt: new Date(now - 91 * day),
  }),
  Palantir: (now: number) => ({
    ProjectId: 'P-1',
    ProjectRid: 'ri.compass.main.folder.1',
    RequestType: 'Read',
    AccessStartDate: new Date(now - 90 * day),
    CreatedAt: new Date(now - 91 * day),
  }),
};

function toRow(job: Job, id: number, now: number, grant: GrantSpec): Record<string, unknown> {
  const { name } = job.platform;
  const { columns } = siteTable(job);
  const { endsIn, email, status = 'Approved', accessKey = 'test' } = grant;
  return {
    ...otherColumns[name](now),
    [columns.RequestId]: name === 'Databricks' ? id : newGuid(),
    [columns.RequestNumber]: `${name.slice(0, 3)}-${id}`,
    [columns.RequesterName]: grant.name ?? `Person ${id}`,
    [columns.RequesterEmail]: email === undefined ? `person${id}@example.com` : email,
    [columns.Resource]: grant.resource ?? `resource_${id}`,
    [columns.ExpiresAt]: endsIn === null ? null : new Date(now + endsIn),
    [columns.AccessKey]: accessKey,
    [columns.RequestStatus]: status,
  };
}
