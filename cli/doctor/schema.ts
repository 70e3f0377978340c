/** What the scripts in sql/ create, to compare a database with. A test compares it with a database that they created. */
import { platforms, type Platform } from '../../src/jobs/platforms';

export interface ExpectedTable {
  readonly name: string;
  readonly script: string;
  /**
   * The definitions of columns, keys, indexes and constraints, as tables.ts describes those of a database: for example of
   * "column Job_Type" VARCHAR(50) NOT NULL, of "index UX_…" UNIQUE INDEX (Job_Type) WHERE Status='InProgress', of
   * "constraint FK_…" REFERENCES DataAccessDeltaRequests, and of a check by its literals CHECK 'a', 'b'.
   */
  readonly parts: Readonly<Record<string, string>>;
}

export const role = 'AccessExpiryJobs';
export const viewScript = 'sql/06_AccessGrant_views.sql';
export const roleScript = 'sql/07_AccessExpiryJobs_role.sql';

const requestTableOf = { Databricks: 'DataAccessDeltaRequests', Palantir: 'DataAccessPalantirRequests' };
/** The tables that exist already. */
export const requestTables = Object.values(requestTableOf).map((name) => `dbo.${name}`);

/** A table that refers to the requests of a platform, and has an index by request and time. */
function childTable(
  kind: string,
  { name, requestColumn, requestIdType }: Platform,
  script: number,
  time: string,
  others: Readonly<Record<string, string>>,
): ExpectedTable {
  const table = `${kind}_${name}`;
  const requests = requestTableOf[name];
  return {
    name: `dbo.${table}`,
    script: `sql/0${script}_${table}.sql`,
    parts: {
      'column Id': 'INT IDENTITY NOT NULL',
      [`column ${requestColumn}`]: `${requestIdType} NOT NULL`,
      [`column ${time}`]: 'DATETIME NOT NULL',
      [`index PK_${table}`]: 'PRIMARY KEY (Id)',
      [`index IX_${table}_${requestColumn}_${time}`]: `INDEX (${requestColumn}, ${time})`,
      [`constraint FK_${table}_${requests}`]: `REFERENCES ${requests}`,
      ...others,
    },
  };
}

const jobRun: ExpectedTable = {
  name: 'dbo.JobRun',
  script: 'sql/05_JobRun.sql',
  parts: {
    'column Id': 'INT IDENTITY NOT NULL',
    'column Job_Id': 'UNIQUEIDENTIFIER NOT NULL',
    'column Job_Type': 'VARCHAR(50) NOT NULL',
    'column Status': 'VARCHAR(20) NOT NULL',
    'column Started_At': 'DATETIME NOT NULL',
    'column Started_By': 'VARCHAR(100) NOT NULL',
    'column Completed_At': 'DATETIME NULL',
    'column Processed_Count': 'INT NULL',
    'column Failed_Count': 'INT NULL',
    'column Error_Message': 'VARCHAR(500) NULL',
    'index PK_JobRun': 'PRIMARY KEY (Id)',
    'index UQ_JobRun_Job_Id': 'UNIQUE (Job_Id)',
    'index UX_JobRun_Job_Type_InProgress':
      "UNIQUE INDEX (Job_Type) INCLUDE (Job_Id, Started_At, Started_By) WHERE Status='InProgress'",
    'index IX_JobRun_Job_Type_Started_At': 'INDEX (Job_Type, Started_At DESC, Id DESC)',
    'constraint CK_JobRun_Job_Type':
      "CHECK 'ExpiryNotificationDatabricksRequests', 'ExpiryNotificationPalantirRequests', 'RevokeExpiredDatabricksRequests', 'RevokeExpiredPalantirRequests'",
    'constraint CK_JobRun_Status': "CHECK 'Completed', 'Failed', 'InProgress'",
  },
};

export const tables: readonly ExpectedTable[] = [
  ...platforms.map((platform, index) =>
    childTable('ExpiryNotification', platform, 1 + index, 'Notification_Sent_Dt', {
      'column Notification_Sent_To': 'VARCHAR(320) NOT NULL',
      'column Notification_Sent_By': 'VARCHAR(100) NOT NULL',
    }),
  ),
  ...platforms.map((platform, index) =>
    childTable('RevokedAccess', platform, 3 + index, 'Revoked_Dt', {
      'column Revoked_By': 'VARCHAR(100) NOT NULL',
      [`index IX_RevokedAccess_${platform.name}_Revoked_Dt`]: `INDEX (Revoked_Dt) INCLUDE (${platform.requestColumn})`,
    }),
  ),
  jobRun,
];

/** The permissions that the role is granted, by object; on a column as "UPDATE (Status)". */
export type Grants = Readonly<Record<string, readonly string[]>>;

const views = [
  ...platforms.map(({ requestView }) => requestView),
  ...platforms.map(({ grantView }) => grantView),
];
const changedColumns = ['Status', 'Completed_At', 'Processed_Count', 'Failed_Count', 'Error_Message'];

export const grants: Grants = {
  ...Object.fromEntries(views.map((view) => [view, ['SELECT']])),
  ...Object.fromEntries(tables.map(({ name }) => [name, ['SELECT', 'INSERT']])),
  'dbo.JobRun': ['SELECT', 'INSERT', ...changedColumns.map((column) => `UPDATE (${column})`)],
};
