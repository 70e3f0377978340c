/** The environment of a test file, and a job with its tables. */
import { setTimeout as delay } from 'node:timers/promises';
import { createDatabase } from '../../local/sampleDatabase';
import type { Job } from '../../src/jobs/catalogue';
import type { RequestId } from '../../src/jobs/platforms';
import { previewJob } from '../../src/jobs/previewJob';
import type { Row } from '../../src/database/session';
import {
  beforeEachStatement,
  finished,
  startTestEnvironment,
  type GrantSpec,
  type TestEnvironment,
} from './environment';
import { replaceView, siteTable, viewColumns, type ViewPart } from './views';

export const minute = 60_000;
export const hour = 60 * minute;
export const day = 24 * hour;

/** The environment of a test file, started before its first test. After each, tables, views and mocks are reset. */
export function useEnvironment(): TestEnvironment {
  const environment = {} as TestEnvironment;
  beforeAll(async () => {
    Object.assign(environment, await startTestEnvironment());
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    environment.standIn?.clock.set(new Date());
    // Restores the views, and whatever else of the scripts was dropped.
    await createDatabase(environment.session);
    await environment.reset();
  });
  afterAll(() => environment.close());
  return environment;
}

export const repeat = (count: number, grant: GrantSpec | ((index: number) => GrantSpec)): GrantSpec[] =>
  Array.from({ length: count }, (_, index) => (typeof grant === 'function' ? grant(index) : grant));

/** A grant that is due for a job. */
export const dueFor = ({ kind }: Job): GrantSpec => ({ endsIn: kind === 'revocation' ? -hour : day });

/** Lets time pass before each statement of that name: two reads of a server's clock, one on each side, differ. */
export const pauseBefore = (statement: string): jest.SpyInstance =>
  beforeEachStatement(({ name }) => (name === statement ? delay(20) : undefined));

/** Ids as in messages. */
export const texts = (ids: readonly unknown[]): string[] => ids.map(String);

/** A job and its platform's tables. `at` and `to` are SQL of type DATETIME. */
export function arrange(environment: TestEnvironment, job: Job) {
  const { notificationTable, revocationTable, requestColumn } = job.platform;
  const { table: requestTable, columns: tableColumns } = siteTable(job);
  const add = (...grants: GrantSpec[]): Promise<RequestId[]> => environment.addGrants(job, grants);
  const rowsOf = (table: string): Promise<Row[]> =>
    environment.query(`SELECT *, ${requestColumn} AS RequestId FROM ${table} ORDER BY Id;`);
  return {
    requestTable,
    tableColumns,
    columns: viewColumns(job),
    add,
    addOne: async (grant: GrantSpec): Promise<RequestId> => {
      const [id] = await add(grant);
      if (id === undefined) throw new Error('No grant was added');
      return id;
    },
    moveEnd: (to: string, id?: RequestId) =>
      environment.query(
        `UPDATE ${requestTable} SET ${tableColumns.ExpiresAt} = ${to}${id === undefined ? '' : ` WHERE ${tableColumns.RequestId} = '${id}'`};`,
      ),
    run: async (
      ...[services, options]: Parameters<TestEnvironment['run']> extends [Job, ...infer R] ? R : never
    ) => finished(await environment.run(job, services, options)),
    preview: (
      overrides: Parameters<TestEnvironment['services']>[0] = {},
      page?: Parameters<typeof previewJob>[2],
    ) => previewJob(environment.services(overrides), job, page),
    notified: (id: RequestId | undefined, at: string, by = 'earlier') =>
      environment.query(
        `INSERT INTO ${notificationTable} (${requestColumn}, Notification_Sent_Dt, Notification_Sent_To, Notification_Sent_By) VALUES ('${String(id)}', ${at}, 'x@example.com', '${by}');`,
      ),
    revoked: (id: RequestId | undefined, at: string) =>
      environment.query(
        `INSERT INTO ${revocationTable} (${requestColumn}, Revoked_Dt, Revoked_By) VALUES ('${String(id)}', ${at}, 'earlier');`,
      ),
    notifications: () => rowsOf(notificationTable),
    revocations: () => rowsOf(revocationTable),
    mapView: (...parts: readonly ViewPart[]) => replaceView(environment, job, ...parts),
  };
}

/** SQL of a time before now. */
export const ago = (count: number, unit: 'DAY' | 'HOUR' | 'MINUTE'): string =>
  `DATEADD(${unit}, -${count}, GETUTCDATE())`;
