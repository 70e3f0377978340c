/** What the scripts in sql/ create, to compare a database with. A test holds it to a database that they created. */
import { platforms } from '../../src/jobs/platforms';

/** Definitions by name, as tables.ts describes those of a database. */
export type Definitions = Readonly<Record<string, string>>;

export interface ExpectedTable {
  readonly name: string;
  readonly script: string;
  /** For example "VARCHAR(100) NOT NULL". */
  readonly columns: Definitions;
  /** Keys and indexes, for example "UNIQUE INDEX (Job_Type) WHERE Status='InProgress'". */
  readonly indexes: Definitions;
  /** Foreign keys, and checks by their literals: "REFERENCES DataAccessDeltaRequests", "CHECK 'a', 'b'". */
  readonly constraints: Definitions;
}

export const role = 'AccessExpiryJobs';
export const viewScript = 'sql/06_AccessGrant_views.sql';
export const roleScript = 'sql/07_AccessExpiryJobs_role.sql';

const requestTableOf = { Databricks: 'DataAccessDeltaRequests', Palantir: 'DataAccessPalantirRequests' };
/** The tables that exist already. */
export const requestTables = Object.values(requestTableOf).map((name) => `dbo.${name}`);

const notificationTables = platforms.map(({ name, requestColumn, requestIdType }, index): ExpectedTable => {
  const table = `ExpiryNotification_${name}`;
  return {
    name: `dbo.${table}`,
    script: `sql/0${1 + index}_${table}.sql`,
    columns: {
      Id: 'INT IDENTITY NOT NULL',
      [requestColumn]: `${requestIdType} NOT NULL`,
      Notification_Sent_Dt: 'DATETIME NOT NULL',
      Notification_Sent_To: 'VARCHAR(320) NOT NULL',
      Notification_Sent_By: 'VARCHAR(100) NOT NULL',
    },
    indexes: {
      [`PK_${table}`]: 'PRIMARY KEY (Id)',
      [`IX_${table}_${requestColumn}_Notification_Sent_Dt`]: `INDEX (${requestColumn}, Notification_Sent_Dt)`,
    },
    constraints: { [`FK_${table}_${requestTableOf[name]}`]: `REFERENCES ${requestTableOf[name]}` },
  };
});

const revocationTables = platforms.map(({ name, requestColumn, requestIdType }, index): ExpectedTable => {
  const table = `RevokedAccess_${name}`;
  return {
    name: `dbo.${table}`,
    script: `sql/0${3 + index}_${table}.sql`,
    columns: {
      Id: 'INT IDENTITY NOT NULL',
      [requestColumn]: `${requestIdType} NOT NULL`,
      Revoked_Dt: 'DATETIME NOT NULL',
      Revoked_By: 'VARCHAR(100) NOT NULL',
    },
    indexes: {
      [`PK_${table}`]: 'PRIMARY KEY (Id)',
      [`IX_${table}_${requestColumn}_Revoked_Dt`]: `INDEX (${requestColumn}, Revoked_Dt)`,
      [`IX_${table}_Revoked_Dt`]: `INDEX (Revoked_Dt) INCLUDE (${requestColumn})`,
    },
    constraints: { [`FK_${table}_${requestTableOf[name]}`]: `REFERENCES ${requestTableOf[name]}` },
  };
});

const jobRun: ExpectedTable = {
  name: 'dbo.JobRun',
  script: 'sql/05_JobRun.sql',
  columns: {
    Id: 'INT IDENTITY NOT NULL',
    Job_Id: 'UNIQUEIDENTIFIER NOT NULL',
    Job_Type: 'VARCHAR(50) NOT NULL',
    Status: 'VARCHAR(20) NOT NULL',
    Started_At: 'DATETIME NOT NULL',
    Started_By: 'VARCHAR(100) NOT NULL',
    Completed_At: 'DATETIME NULL',
    Processed_Count: 'INT NULL',
    Failed_Count: 'INT NULL',
    Error_Message: 'VARCHAR(500) NULL',
  },
  indexes: {
    PK_JobRun: 'PRIMARY KEY (Id)',
    UQ_JobRun_Job_Id: 'UNIQUE (Job_Id)',
    UX_JobRun_Job_Type_InProgress:
      "UNIQUE INDEX (Job_Type) INCLUDE (Job_Id, Started_At, Started_By) WHERE Status='InProgress'",
    IX_JobRun_Job_Type_Started_At: 'INDEX (Job_Type, Started_At DESC, Id DESC)',
  },
  constraints: {
    CK_JobRun_Job_Type:
      "CHECK 'ExpiryNotificationDatabricksRequests', 'ExpiryNotificationPalantirRequests', 'RevokeExpiredDatabricksRequests', 'RevokeExpiredPalantirRequests'",
    CK_JobRun_Status: "CHECK 'Completed', 'Failed', 'InProgress'",
  },
};

export const tables: readonly ExpectedTable[] = [...notificationTables, ...revocationTables, jobRun];

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
