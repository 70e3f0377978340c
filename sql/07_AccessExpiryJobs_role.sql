-- The database role of the function app: what the jobs do and nothing more.
-- It reads requests and grants through the views alone (ownership chaining: views and tables belong to dbo) and can
-- neither read nor write the two request tables. It can delete nothing, and of a run it can change only what its end
-- changes: which job ran, when and where it began stays as it was recorded.
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
-- Earlier versions granted UPDATE on whole rows. In one transaction, so that no run in progress is refused in between.
SET XACT_ABORT ON;
BEGIN TRANSACTION;
REVOKE UPDATE ON dbo.JobRun FROM AccessExpiryJobs;
GRANT UPDATE (Status, Completed_At, Processed_Count, Failed_Count, Error_Message) ON dbo.JobRun TO AccessExpiryJobs;
COMMIT TRANSACTION;
PRINT 'role AccessExpiryJobs: permissions granted';
GO

-- Last, make the function app's managed identity a member: npm run db:deploy -- --grant <name> --client-id <client id>.
-- Or by hand, signed in as a user of Microsoft Entra ID. [name] is the function app's name (system-assigned identity) or
-- the identity's name (user-assigned):
--
--   CREATE USER [func-access-expiry-jobs] FROM EXTERNAL PROVIDER;
--   ALTER ROLE AccessExpiryJobs ADD MEMBER [func-access-expiry-jobs];
