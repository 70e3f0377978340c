-- RevokedAccess_Databricks: one row for each revoked expiry of a grant. Times are UTC.

-- CREATE TABLE with a foreign key waits for transactions on the request table, and later ones wait for it. After this many
-- ms it gives up (error 1222): run the script again at a quiet hour.
SET LOCK_TIMEOUT 5000;
GO

IF OBJECT_ID(N'dbo.RevokedAccess_Databricks', N'U') IS NULL
BEGIN
    CREATE TABLE dbo.RevokedAccess_Databricks (
        Id INT IDENTITY(1, 1) NOT NULL CONSTRAINT PK_RevokedAccess_Databricks PRIMARY KEY,
        DeltaRequestId INT NOT NULL CONSTRAINT FK_RevokedAccess_Databricks_DataAccessDeltaRequests REFERENCES dbo.DataAccessDeltaRequests (id),
        Revoked_Dt DATETIME NOT NULL,
        Revoked_By VARCHAR(100) NOT NULL
    );
    PRINT 'table dbo.RevokedAccess_Databricks: created';
END
ELSE
    PRINT 'table dbo.RevokedAccess_Databricks: exists, unchanged';
GO

IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE object_id = OBJECT_ID(N'dbo.RevokedAccess_Databricks') AND name = N'IX_RevokedAccess_Databricks_DeltaRequestId_Revoked_Dt')
BEGIN
    CREATE INDEX IX_RevokedAccess_Databricks_DeltaRequestId_Revoked_Dt ON dbo.RevokedAccess_Databricks (DeltaRequestId, Revoked_Dt);
    PRINT 'index IX_RevokedAccess_Databricks_DeltaRequestId_Revoked_Dt: created';
END
ELSE
    PRINT 'index IX_RevokedAccess_Databricks_DeltaRequestId_Revoked_Dt: exists, unchanged';
GO

-- With NOTIFY_REVOKED=true a notification job reads the revocations of the last days; the history may be long.
IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE object_id = OBJECT_ID(N'dbo.RevokedAccess_Databricks') AND name = N'IX_RevokedAccess_Databricks_Revoked_Dt')
BEGIN
    CREATE INDEX IX_RevokedAccess_Databricks_Revoked_Dt ON dbo.RevokedAccess_Databricks (Revoked_Dt) INCLUDE (DeltaRequestId);
    PRINT 'index IX_RevokedAccess_Databricks_Revoked_Dt: created';
END
ELSE
    PRINT 'index IX_RevokedAccess_Databricks_Revoked_Dt: exists, unchanged';
GO
