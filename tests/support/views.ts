/** The views of a platform as a site may have mapped them, for good or ill. */
import { createDatabase } from '../../local/sampleDatabase';
import type { Job } from '../../src/jobs/catalogue';
import type { TestEnvironment } from './environment';

type Column =
  'RequestId' | 'RequestNumber' | 'RequesterName' | 'RequesterEmail' | 'Resource' | 'ExpiresAt' | 'AccessKey';

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
      },
      from: "dbo.DataAccessDeltaRequests AS r WHERE r.request_status = 'Approved' AND r.access_end_dt IS NOT NULL",
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
      },
      from: "dbo.DataAccessPalantirRequests AS r WHERE r.Status = 'Approved' AND r.AccessEndDate IS NOT NULL",
    },
  };

/** The columns of a platform's view over its table under the alias `r`, as they are mapped unless a test says otherwise. */
export function viewColumns({ platform }: Job): Readonly<Record<Column, string>> {
  return sources[platform.name].columns;
}

/**
 * Replaces the view of a job's platform. Each part becomes a SELECT over its table, and the view is all of them:
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
    return `SELECT ${list.join(', ')} FROM ${from}${where === undefined ? '' : ` AND ${where}`}`;
  });
  await environment.query(
    `CREATE OR ALTER VIEW ${job.platform.grantView} AS ${selects.join(' UNION ALL ')};`,
  );
}

/** Restores the view, and whatever else of the scripts was dropped. */
export async function restoreViews(environment: TestEnvironment): Promise<void> {
  await createDatabase(environment.session);
}
