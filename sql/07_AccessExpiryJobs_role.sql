-- The database role of the function app: it allows what the jobs do and nothing more.
-- It reads requests and grants only through the views (ownership chaining: views and tables belong to dbo) and can neither
-- read nor write the two request tables. It can delete nothing, and can change only the five columns of a run that change
-- until its end: which job ran, when and where it began stay as recorded.
IF DATABASE_PRINCIPAL_ID(N'AccessExpiryJobs') IS NULL
BEGIN
    CREATE ROLE AccessExpiryJobs AUTHORIZATION dbo;
    PRINT 'role AccessExpiryJobs: created';
END
ELSE
    PRINT 'role AccessExpiryJobs: exists, unchanged';
GO

GRANT SELECT ON dbo.AccessRequest_Databricks TO AccessExpiryJobs;
GRANT SELECT ON dbo.AccessRequest_Palantir TO AccessExpiryJobs;
GRANT SELECT ON dbo.AccessGrant_Databricks TO AccessExpiryJobs;
GRANT SELECT ON dbo.AccessGrant_Palantir TO AccessExpiryJobs;
GRANT SELECT, INSERT ON dbo.ExpiryNotification_Databricks TO AccessExpiryJobs;
GRANT SELECT, INSERT ON dbo.ExpiryNotification_Palantir TO AccessExpiryJobs;
GRANT SELECT, INSERT ON dbo.RevokedAccess_Databricks TO AccessExpiryJobs;
GRANT SELECT, INSERT ON dbo.RevokedAccess_Palantir TO AccessExpiryJobs;
GRANT SELECT, INSERT ON dbo.JobRun TO AccessExpiryJobs;
-- Earlier versions granted UPDATE on all columns. One transaction, so that no run in progress is refused in between.
SET XACT_ABORT ON;
BEGIN TRANSACTION;
REVOKE UPDATE ON dbo.JobRun FROM AccessExpiryJobs;
GRANT UPDATE (Status, Completed_At, Processed_Count, Failed_Count, Error_Message) ON dbo.JobRun TO AccessExpiryJobs;
COMMIT TRANSACTION;
PRINT 'role AccessExpiryJobs: permissions granted';
GO

-- Then make the function app's managed identity a member: npm run db:deploy -- --grant <name> --client-id <client id>.
-- Or by hand, signed in as a user of Microsoft Entra ID. The user's name is that of the function app (system-assigned
-- identity) or of the identity (user-assigned):
--
--   CREATE USER [func-access-expiry-jobs] FROM EXTERNAL PROVIDER;
--   ALTER ROLE AccessExpiryJobs ADD MEMBER [func-access-expiry-jobs];
