/** The views of a platform as a site may have mapped them, for good or ill. */
import { createDatabase } from '../../local/sampleDatabase';
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

const sources: Readonly<Record<Job['platform']['name'], { columns: Record<Column, string>; from: string }>> =
  {
    Databricks: {
      columns: {
        RequestId: 'r.id',
        RequestNumber: 'r.request_number',
        RequesterName: 'r.requested_by',
        RequesterEmail: 'r.requested_by_email',
        Resource: 'r.table_name',
        ExpiresAt: 'r.access_end_dt',
        AccessKey: "NULLIF(r.justification, 'test')",
        RequestStatus: 'r.request_status',
      },
      from: 'dbo.DataAccessDeltaRequests AS r',
    },
    Palantir: {
      columns: {
        RequestId: 'r.RequestId',
        RequestNumber: 'r.RequestNumber',
        RequesterName: 'r.RequestedBy',
        RequesterEmail: 'r.RequestedByEmail',
        Resource: 'r.ProjectName',
        ExpiresAt: 'r.AccessEndDate',
        AccessKey: "NULLIF(r.Justification, 'test')",
        RequestStatus: 'r.Status',
      },
      from: 'dbo.DataAccessPalantirRequests AS r',
    },
  };

/** The columns of a platform's view of requests over its table under the alias `r`, as they are mapped unless a test says otherwise. */
export function viewColumns({ platform }: Job): Readonly<Record<Column, string>> {
  return sources[platform.name].columns;
}

/**
 * Replaces the view of requests of a job's platform, and with it what its view of grants yields. Each part becomes a SELECT over its table, and the view is all of them:
 * its `columns` replace how some are mapped, its `where` leaves out rows. Access keys are the grants' `accessKey`.
 */
export async function replaceView(
  environment: TestEnvironment,
  job: Job,
  ...parts: readonly { readonly columns?: Partial<Record<Column, string>>; readonly where?: string }[]
): Promise<void> {
  const { columns, from } = sources[job.platform.name];
  const selects = parts.map(({ columns: replaced, where }) => {
    const list = Object.entries({ ...columns, ...replaced }).map(([name, sql]) => `${sql} AS ${name}`);
    return `SELECT ${list.join(', ')} FROM ${from}${where === undefined ? '' : ` WHERE ${where}`}`;
  });
  await environment.query(
    `CREATE OR ALTER VIEW ${job.platform.requestView} AS ${selects.join(' UNION ALL ')};`,
  );
}

/** Restores the view, and whatever else of the scripts was dropped. */
export async function restoreViews(environment: TestEnvironment): Promise<void> {
  await createDatabase(environment.session);
}
