-- The two tables that a site has before this product comes: for a local or test database only, never for a site.
-- Their further columns are an example that fits the defaults of the views in sql/06_AccessGrant_views.sql.
IF OBJECT_ID(N'dbo.DataAccessDeltaRequests', N'U') IS NULL
BEGIN
    CREATE TABLE dbo.DataAccessDeltaRequests (
        id INT NOT NULL CONSTRAINT PK_DataAccessDeltaRequests PRIMARY KEY,
        request_number VARCHAR(30) NOT NULL,
        request_type VARCHAR(30) NOT NULL,
        request_status VARCHAR(30) NOT NULL,
        requested_by_ad_id VARCHAR(100) NOT NULL,
        requested_by_email NVARCHAR(320) NULL,
        requested_by NVARCHAR(200) NOT NULL,
        catalog_name NVARCHAR(128) NOT NULL,
        schema_name NVARCHAR(128) NOT NULL,
        table_name NVARCHAR(128) NOT NULL,
        justification NVARCHAR(1000) NULL,
        access_start_dt DATETIME NULL,
        access_end_dt DATETIME NULL, -- UTC
        created_dt DATETIME NOT NULL,
        renews_request_number VARCHAR(30) NULL -- the request that this one renews
    );
    PRINT 'table dbo.DataAccessDeltaRequests: created';
END
ELSE
    PRINT 'table dbo.DataAccessDeltaRequests: exists, unchanged';
GO

IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE object_id = OBJECT_ID(N'dbo.DataAccessDeltaRequests') AND name = N'IX_DataAccessDeltaRequests_access_end_dt')
BEGIN
    CREATE INDEX IX_DataAccessDeltaRequests_access_end_dt ON dbo.DataAccessDeltaRequests (access_end_dt);
    PRINT 'index IX_DataAccessDeltaRequests_access_end_dt: created';
END
ELSE
    PRINT 'index IX_DataAccessDeltaRequests_access_end_dt: exists, unchanged';
GO

IF OBJECT_ID(N'dbo.DataAccessPalantirRequests', N'U') IS NULL
BEGIN
    CREATE TABLE dbo.DataAccessPalantirRequests (
        RequestId UNIQUEIDENTIFIER NOT NULL CONSTRAINT PK_DataAccessPalantirRequests PRIMARY KEY,
        RequestNumber VARCHAR(30) NOT NULL,
        ProjectId VARCHAR(50) NOT NULL,
        ProjectRid VARCHAR(200) NOT NULL,
        ProjectName NVARCHAR(200) NOT NULL,
        RequestType VARCHAR(30) NOT NULL,
        Status VARCHAR(30) NOT NULL,
        Justification NVARCHAR(1000) NULL,
        RequestedBy NVARCHAR(200) NOT NULL,
        RequestedByEmail NVARCHAR(320) NULL,
        AccessStartDate DATETIME2 NULL,
        AccessEndDate DATETIME2 NULL, -- UTC
        CreatedAt DATETIME2 NOT NULL
    );
    PRINT 'table dbo.DataAccessPalantirRequests: created';
END
ELSE
    PRINT 'table dbo.DataAccessPalantirRequests: exists, unchanged';
GO

IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE object_id = OBJECT_ID(N'dbo.DataAccessPalantirRequests') AND name = N'IX_DataAccessPalantirRequests_AccessEndDate')
BEGIN
    CREATE INDEX IX_DataAccessPalantirRequests_AccessEndDate ON dbo.DataAccessPalantirRequests (AccessEndDate);
    PRINT 'index IX_DataAccessPalantirRequests_AccessEndDate: created';
END
ELSE
    PRINT 'index IX_DataAccessPalantirRequests_AccessEndDate: exists, unchanged';
GO
