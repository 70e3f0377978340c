/** What the scripts in sql/ create, to compare a database with. A test compares it with a database that they created. */
import { platforms } from '../../src/jobs/platforms';

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

/** The tables of a platform: notifications, revocations. */
const platformTables = platforms.map(({ name, requestColumn, requestIdType }, index): ExpectedTable[] => {
  const toRequests = `REFERENCES ${requestTableOf[name]}`;
  const [notifications, revocations] = [`ExpiryNotification_${name}`, `RevokedAccess_${name}`];
  return [
    {
      name: `dbo.${notifications}`,
      script: `sql/0${1 + index}_${notifications}.sql`,
      parts: {
        'column Id': 'INT IDENTITY NOT NULL',
        [`column ${requestColumn}`]: `${requestIdType} NOT NULL`,
        'column Notification_Sent_Dt': 'DATETIME NOT NULL',
        'column Notification_Sent_To': 'VARCHAR(320) NOT NULL',
        'column Notification_Sent_By': 'VARCHAR(100) NOT NULL',
        [`index PK_${notifications}`]: 'PRIMARY KEY (Id)',
        [`index IX_${notifications}_${requestColumn}_Notification_Sent_Dt`]: `INDEX (${requestColumn}, Notification_Sent_Dt)`,
        [`constraint FK_${notifications}_${requestTableOf[name]}`]: toRequests,
      },
    },
    {
      name: `dbo.${revocations}`,
      script: `sql/0${3 + index}_${revocations}.sql`,
      parts: {
        'column Id': 'INT IDENTITY NOT NULL',
        [`column ${requestColumn}`]: `${requestIdType} NOT NULL`,
        'column Revoked_Dt': 'DATETIME NOT NULL',
        'column Revoked_By': 'VARCHAR(100) NOT NULL',
        [`index PK_${revocations}`]: 'PRIMARY KEY (Id)',
        [`index IX_${revocations}_${requestColumn}_Revoked_Dt`]: `INDEX (${requestColumn}, Revoked_Dt)`,
        [`index IX_${revocations}_Revoked_Dt`]: `INDEX (Revoked_Dt) INCLUDE (${requestColumn})`,
        [`constraint FK_${revocations}_${requestTableOf[name]}`]: toRequests,
      },
    },
  ];
});

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

/** In the order of their scripts. */
export const tables: readonly ExpectedTable[] = [...platformTables.flat(), jobRun].sort((a, b) =>
  a.script.localeCompare(b.script),
);

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
