-- RevokedAccess_Palantir: one row for each revoked expiry of a grant. Times are UTC.

-- CREATE TABLE with a foreign key waits for transactions on the request table, and later ones wait for it. After this many
-- ms it gives up (error 1222): run the script again at a quiet hour.
SET LOCK_TIMEOUT 5000;
GO

IF OBJECT_ID(N'dbo.RevokedAccess_Palantir', N'U') IS NULL
BEGIN
    CREATE TABLE dbo.RevokedAccess_Palantir (
        Id INT IDENTITY(1, 1) NOT NULL CONSTRAINT PK_RevokedAccess_Palantir PRIMARY KEY,
        PalantirRequestId UNIQUEIDENTIFIER NOT NULL CONSTRAINT FK_RevokedAccess_Palantir_DataAccessPalantirRequests REFERENCES dbo.DataAccessPalantirRequests (RequestId),
        Revoked_Dt DATETIME NOT NULL,
        Revoked_By VARCHAR(100) NOT NULL
    );
    PRINT 'table dbo.RevokedAccess_Palantir: created';
END
ELSE
    PRINT 'table dbo.RevokedAccess_Palantir: exists, unchanged';
GO

IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE object_id = OBJECT_ID(N'dbo.RevokedAccess_Palantir') AND name = N'IX_RevokedAccess_Palantir_PalantirRequestId_Revoked_Dt')
BEGIN
    CREATE INDEX IX_RevokedAccess_Palantir_PalantirRequestId_Revoked_Dt ON dbo.RevokedAccess_Palantir (PalantirRequestId, Revoked_Dt);
    PRINT 'index IX_RevokedAccess_Palantir_PalantirRequestId_Revoked_Dt: created';
END
ELSE
    PRINT 'index IX_RevokedAccess_Palantir_PalantirRequestId_Revoked_Dt: exists, unchanged';
GO

-- With NOTIFY_REVOKED=true a notification job reads the revocations of the last days; the history may be long.
IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE object_id = OBJECT_ID(N'dbo.RevokedAccess_Palantir') AND name = N'IX_RevokedAccess_Palantir_Revoked_Dt')
BEGIN
    CREATE INDEX IX_RevokedAccess_Palantir_Revoked_Dt ON dbo.RevokedAccess_Palantir (Revoked_Dt) INCLUDE (PalantirRequestId);
    PRINT 'index IX_RevokedAccess_Palantir_Revoked_Dt: created';
END
ELSE
    PRINT 'index IX_RevokedAccess_Palantir_Revoked_Dt: exists, unchanged';
GO
