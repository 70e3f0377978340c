import { createCertificates, trustAuthority } from '../../local/certificates';
import { startEmailService, type EmailService } from '../../local/email';
import { startIdentity, type Identity } from '../../local/identity';
import { insertRows } from '../../local/insertRows';
import { claimDatabase, realServerSettings, usesDeveloperSignIn } from '../../local/realServer';
import { createDatabase, dropDatabase, tables } from '../../local/sampleDatabase';
import { startSqlServer, type SqlServer } from '../../local/sqlServer';
import type { Clock } from '../../src/clock';
import { readSettings, type Settings } from '../../src/config/settings';
import { Database } from '../../src/database/database';
import { SqlError, sqlErrors } from '../../src/database/errors';
import { Session, type Row } from '../../src/database/session';
import type { Statement } from '../../src/database/statement';
import { EmailClient, type EmailTimings } from '../../src/email/emailClient';
import { jobs, type Job } from '../../src/jobs/catalogue';
import { runJob, type RunOptions, type RunResult } from '../../src/jobs/runJob';
import type { JobRun } from '../../src/jobRun/jobRun';
import { createCredential, type Services } from '../../src/services';
import type { JobRunEvent, Telemetry } from '../../src/telemetry/telemetry';
import { realServer } from './realServer';

export { realServer };

const day = 24 * 60 * 60 * 1000;

/** Time that passes when somebody sleeps, and not otherwise than in real time. */
export class FastClock implements Clock {
  #ahead = 0;
  #setBack = 0;
  readonly slept: number[] = [];
  now(): number {
    return Date.now() + this.#ahead - this.#setBack;
  }
  elapsed(): number {
    return performance.now() + this.#ahead;
  }
  /** The wall clock is set back. */
  setBack(ms: number): void {
    this.#setBack += ms;
  }
  /** Time passes without anybody's sleep. */
  advance(ms: number): void {
    this.#ahead += ms;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    this.slept.push(ms);
    this.#ahead += ms;
    // The event loop turns, as it would in a real pause.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Keeps what was emitted. */
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
  /** Kept in the request's justification, where the views of tests/support/views.ts look for it. */
  readonly accessKey?: string;
}

/** The database (a stand-in, or the real server that TEST_SQL_* name), the email service and the identity. */
export interface TestEnvironment {
  /** Absent on a real server. */
  readonly standIn: SqlServer | undefined;
  readonly email: EmailService;
  readonly identity: Identity;
  /** The certificate authority that another process has to trust, in PEM. */
  readonly authority: string;
  /** For arranging and looking. */
  readonly session: Session;
  /** The app's settings as environment variables. */
  readonly environment: Readonly<Record<string, string>>;
  readonly settings: Settings;
  query(sql: string): Promise<Row[]>;
  /** New services on a new clock. */
  services(
    overrides?: Partial<Settings>,
    options?: { statementTimeout?: number; timings?: Partial<EmailTimings> },
  ): TestServices;
  /** Adds grants to a platform's table; returns their request ids. */
  addGrants(job: Job, grants: readonly GrantSpec[]): Promise<(number | string)[]>;
  /** Changes a grant as the site's own system would. */
  changeGrant(
    job: Job,
    id: number | string,
    change: { readonly endsAt: Date; readonly granted: boolean },
  ): Promise<void>;
  /** Deletes a request as the site's own system would; false where a row refers to it. */
  deleteRequest(job: Job, id: number | string): Promise<boolean>;
  /** Runs a job in this process, by hand over HTTP unless told otherwise. */
  run(job: Job, services?: TestServices, options?: Partial<RunOptions>): Promise<RunResult>;
  /** The rows of JobRun of a type, newest first. */
  runs(job: Job): Promise<Row[]>;
  /** Empties all tables, mailbox and faults. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

/** Does something right before each statement is sent; until the spy, or all mocks, are restored. */
export function beforeEachStatement(action: (statement: Statement) => unknown): jest.SpyInstance {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own `this` below
  const { query } = Session.prototype;
  return jest.spyOn(Session.prototype, 'query').mockImplementation(async function (this: Session, statement) {
    await action(statement);
    return query.call(this, statement);
  });
}

/** Does something right before the nth statement of that name is sent; until jest.restoreAllMocks(). */
export function beforeStatement(name: string, nth: number, action: () => unknown): void {
  let count = 0;
  beforeEachStatement((statement) => (statement.name === name && ++count === nth ? action() : undefined));
}

/** What a run that got the lock left, or an error where it was held. */
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

/**
 * If a part fails to start, those that did are closed.
 * @param ignoreLockHints the stand-in takes no notice of UPDLOCK and its like: the product must not rest on them
 */
export async function startTestEnvironment({ ignoreLockHints = false } = {}): Promise<TestEnvironment> {
  await using started = new AsyncDisposableStack();
  const { authority, ...tls } = await createCertificates();
  trustAuthority(authority);
  const identity = started.adopt(await startIdentity(), (server) => server.close());
  // The developer's tokens are not this identity's to judge.
  const developerSignIn = realServer && usesDeveloperSignIn(process.env);
  const email = started.adopt(
    await startEmailService({
      tls,
      acceptToken: (token) => developerSignIn || identity.isValid(token, 'https://communication.azure.com'),
    }),
    (server) => server.close(),
  );
  const standIn = realServer
    ? undefined
    : started.adopt(
        await startSqlServer({
          tls,
          database: 'access',
          ignoreLockHints,
          acceptToken: (token) => identity.isValid(token, 'https://database.windows.net'),
        }),
        (server) => server.close(),
      );
  const environment: Record<string, string> = {
    ...(developerSignIn ? {} : identity.environment),
    ...(standIn
      ? { SQL_SERVER: 'localhost', SQL_PORT: String(standIn.port), SQL_DATABASE: 'access' }
      : realServerSettings(process.env)),
    EMAIL_ENDPOINT: email.endpoint,
    EMAIL_SENDER_ADDRESS: 'access@example.com',
    RENEWAL_URL_TEMPLATE: 'https://portal.example.com/requests/{requestNumber}/renew',
  };
  const settings = readSettings(environment);
  // @azure/identity reads its environment from the process.
  if (!developerSignIn) Object.assign(process.env, identity.environment);
  const credential = await createCredential(environment, undefined);
  const session = started.adopt(await Session.open(settings.database, credential, 60_000), (open) =>
    open.close(),
  );
  if (realServer) {
    await claimDatabase(session);
    // What a run that was cut short left.
    await dropDatabase(session);
  }
  await createDatabase(session);
  if (realServer) started.defer(() => dropDatabase(session));
  const running = started.move();

  let ids = 0;
  const query = (sql: string): Promise<Row[]> => session.query({ name: 'test', sql });

  const services: TestEnvironment['services'] = (
    overrides = {},
    { statementTimeout = 10_000, timings = {} } = {},
  ) => ({
    settings: { ...settings, ...overrides },
    database: new Database(settings.database, credential, statementTimeout),
    emailClient: new EmailClient(settings.email, credential, {
      callMs: 1_000,
      watchMs: 15_000,
      statusIntervalMs: 5_000,
      retryDelaysMs: [1_000, 4_000],
      ...timings,
    }),
    telemetry: new RecordingTelemetry(),
    clock: new FastClock(),
  });

  return {
    standIn,
    email,
    identity,
    authority,
    session,
    environment,
    settings,
    query,
    services,
    async addGrants({ platform }, grants) {
      const now = standIn?.clock.now().getTime() ?? Date.now();
      const [table, rows] =
        platform.name === 'Databricks'
          ? ['dbo.DataAccessDeltaRequests', grants.map((grant) => deltaRow(++ids, now, grant))]
          : ['dbo.DataAccessPalantirRequests', grants.map((grant) => palantirRow(++ids, now, grant))];
      await insertRows(session, table, rows);
      return rows.map((row) => ('id' in row ? row.id : row.RequestId));
    },
    async changeGrant({ platform }, id, { endsAt, granted }) {
      const end = `'${endsAt.toISOString().slice(0, -1)}'`;
      const status = granted ? 'Approved' : 'Withdrawn';
      await query(
        platform.name === 'Databricks'
          ? `UPDATE dbo.DataAccessDeltaRequests SET access_end_dt = ${end}, request_status = '${status}' WHERE id = ${id};`
          : `UPDATE dbo.DataAccessPalantirRequests SET AccessEndDate = ${end}, Status = '${status}' WHERE RequestId = '${id}';`,
      );
    },
    async deleteRequest({ platform }, id) {
      try {
        await query(
          platform.name === 'Databricks'
            ? `DELETE FROM dbo.DataAccessDeltaRequests WHERE id = ${id};`
            : `DELETE FROM dbo.DataAccessPalantirRequests WHERE RequestId = '${id}';`,
        );
        return true;
      } catch (error) {
        if (!(error instanceof SqlError) || error.number !== sqlErrors.constraintConflict) throw error;
        return false;
      }
    },
    run: (job, theServices = services(), options = {}) =>
      runJob(theServices, job, { trigger: 'http', log: () => undefined, ...options }),
    runs: ({ type }) => query(`SELECT * FROM dbo.JobRun WHERE Job_Type = '${type}' ORDER BY Id DESC;`),
    async reset() {
      standIn?.clearFaults();
      email.reset();
      identity.clearFaults();
      await query(tables.map((name) => `DELETE FROM ${name};`).join('\n'));
    },
    close: () => running.disposeAsync(),
  };
}

function deltaRow(id: number, now: number, { endsIn, email, name, resource, status, accessKey }: GrantSpec) {
  return {
    id,
    request_number: `DBX-${id}`,
    request_type: 'Read',
    request_status: status ?? 'Approved',
    requested_by_ad_id: `user${id}`,
    requested_by_email: email === undefined ? `person${id}@example.com` : email,
    requested_by: name ?? `Person ${id}`,
    catalog_name: 'sales',
    schema_name: 'gold',
    table_name: resource ?? `table_${id}`,
    justification: accessKey ?? 'test',
    access_start_dt: new Date(now - 90 * day),
    access_end_dt: endsIn === null ? null : new Date(now + endsIn),
    created_dt: new Date(now - 91 * day),
  };
}

function palantirRow(
  id: number,
  now: number,
  { endsIn, email, name, resource, status, accessKey }: GrantSpec,
) {
  return {
    RequestId: newGuid(),
    RequestNumber: `PAL-${id}`,
    ProjectId: `P-${id}`,
    ProjectRid: `ri.compass.main.folder.${id}`,
    ProjectName: resource ?? `Project ${id}`,
    RequestType: 'Read',
    Status: status ?? 'Approved',
    Justification: accessKey ?? 'test',
    RequestedBy: name ?? `Person ${id}`,
    RequestedByEmail: email === undefined ? `person${id}@example.com` : email,
    AccessStartDate: new Date(now - 90 * day),
    AccessEndDate: endsIn === null ? null : new Date(now + endsIn),
    CreatedAt: new Date(now - 91 * day),
  };
}
