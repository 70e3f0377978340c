import type { Session } from '../src/database/session';
import { nVarChar } from '../src/database/statement';

/** The columns of a table that are written, with their types in T-SQL. */
export interface TableColumns {
  readonly name: string;
  readonly columns: Readonly<Record<string, string>>;
}

export const deltaRequests: TableColumns = {
  name: 'dbo.DataAccessDeltaRequests',
  columns: {
    id: 'INT',
    request_number: 'VARCHAR(30)',
    request_type: 'VARCHAR(30)',
    request_status: 'VARCHAR(30)',
    requested_by_ad_id: 'VARCHAR(100)',
    requested_by_email: 'NVARCHAR(320)',
    requested_by: 'NVARCHAR(200)',
    catalog_name: 'NVARCHAR(128)',
    schema_name: 'NVARCHAR(128)',
    table_name: 'NVARCHAR(128)',
    justification: 'NVARCHAR(1000)',
    access_start_dt: 'DATETIME2',
    access_end_dt: 'DATETIME2',
    created_dt: 'DATETIME2',
    renews_request_number: 'VARCHAR(30)',
  },
};

export const palantirRequests: TableColumns = {
  name: 'dbo.DataAccessPalantirRequests',
  columns: {
    RequestId: 'UNIQUEIDENTIFIER',
    RequestNumber: 'VARCHAR(30)',
    ProjectId: 'VARCHAR(50)',
    ProjectRid: 'VARCHAR(200)',
    ProjectName: 'NVARCHAR(200)',
    RequestType: 'VARCHAR(30)',
    Status: 'VARCHAR(30)',
    Justification: 'NVARCHAR(1000)',
    RequestedBy: 'NVARCHAR(200)',
    RequestedByEmail: 'NVARCHAR(320)',
    AccessStartDate: 'DATETIME2',
    AccessEndDate: 'DATETIME2',
    CreatedAt: 'DATETIME2',
  },
};

export const deltaRevocations: TableColumns = {
  name: 'dbo.RevokedAccess_Databricks',
  columns: { DeltaRequestId: 'INT', Revoked_Dt: 'DATETIME2', Revoked_By: 'VARCHAR(100)' },
};

export const palantirRevocations: TableColumns = {
  name: 'dbo.RevokedAccess_Palantir',
  columns: { PalantirRequestId: 'UNIQUEIDENTIFIER', Revoked_Dt: 'DATETIME2', Revoked_By: 'VARCHAR(100)' },
};

/** Inserts rows in one statement. A column without a value is NULL; dates are UTC. */
export async function insertRows(
  session: Session,
  { name, columns }: TableColumns,
  rows: readonly object[],
): Promise<void> {
  const names = Object.keys(columns).join(', ');
  const declarations = Object.entries(columns).map(([column, type]) => `${column} ${type} '$.${column}'`);
  // DATETIME2 takes an ISO date without its zone on every version.
  const json = JSON.stringify(rows, (_, value: unknown) =>
    typeof value === 'string' && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) ? value.slice(0, -1) : value,
  );
  await session.query({
    name: `insert into ${name}`,
    sql: `INSERT INTO ${name} (${names}) SELECT ${names} FROM OPENJSON(@rows) WITH (${declarations.join(', ')}) AS j;`,
    parameters: { rows: nVarChar('max', json) },
  });
}
