/** The tables of a site, and the views over them as a site may have mapped them. */
import type { Job } from '../../src/jobs/catalogue';
import type { TestEnvironment } from './environment';

type Column =
  | 'RequestId'
  | 'RequestNumber'
  | 'RequesterName'
  | 'RequesterEmail'
  | 'Resource'
  | 'ExpiresAt'
  | 'AccessKey'
  | 'RequestStatus';

interface SiteTable {
  readonly table: string;
  /** The table's columns, by the views' names for them. */
  readonly columns: Readonly<Record<Column, string>>;
}

const siteTables: Readonly<Record<Job['platform']['name'], SiteTable>> = {
  Databricks: {
    table: 'dbo.DataAccessDeltaRequests',
    columns: {
      RequestId: 'id',
      RequestNumber: 'request_number',
      RequesterName: 'requested_by',
      RequesterEmail: 'requested_by_email',
      Resource: 'table_name',
      ExpiresAt: 'access_end_dt',
      AccessKey: 'justification',
      RequestStatus: 'request_status',
    },
  },
  Palantir: {
    table: 'dbo.DataAccessPalantirRequests',
    columns: {
      RequestId: 'RequestId',
      RequestNumber: 'RequestNumber',
      RequesterName: 'RequestedBy',
      RequesterEmail: 'RequestedByEmail',
      Resource: 'ProjectName',
      ExpiresAt: 'AccessEndDate',
      AccessKey: 'Justification',
      RequestStatus: 'Status',
    },
  },
};

export const siteTable = ({ platform }: Job): SiteTable => siteTables[platform.name];

/** The SQL of the view's columns over the table's alias `r`. Access keys are the grants' `accessKey`. */
export function viewColumns(job: Job): Readonly<Record<Column, string>> {
  const { columns } = siteTable(job);
  const mapped = Object.entries(columns).map(([name, column]) => [name, `r.${column}`]);
  return {
    ...(Object.fromEntries(mapped) as Record<Column, string>),
    AccessKey: `NULLIF(r.${columns.AccessKey}, 'test')`,
  };
}

/** One SELECT of a view. */
export interface ViewPart {
  /** Columns that are mapped otherwise. */
  readonly columns?: Partial<Record<Column, string>>;
  /** The rows to yield; all by default. */
  readonly where?: string;
}

/** Replaces the view of requests of a job's platform, and with it the view of grants, which is over it. */
export async function replaceView(
  environment: TestEnvironment,
  job: Job,
  ...parts: readonly ViewPart[]
): Promise<void> {
  const selects = parts.map(({ columns, where = '1 = 1' }) => {
    const list = Object.entries({ ...viewColumns(job), ...columns }).map(
      ([name, sql]) => `${sql} AS ${name}`,
    );
    return `SELECT ${list.join(', ')} FROM ${siteTable(job).table} AS r WHERE ${where}`;
  });
  await environment.query(
    `CREATE OR ALTER VIEW ${job.platform.requestView} AS ${selects.join(' UNION ALL ')};`,
  );
}
