-- JobRun: one row for every run of a job. The row in progress is the job's lock. Times are UTC.

-- sqlcmd connects with QUOTED_IDENTIFIER off; a filtered index needs it on (error 1934).
SET QUOTED_IDENTIFIER ON;
GO

IF OBJECT_ID(N'dbo.JobRun', N'U') IS NULL
BEGIN
    CREATE TABLE dbo.JobRun (
        Id INT IDENTITY(1, 1) NOT NULL CONSTRAINT PK_JobRun PRIMARY KEY,
        Job_Id UNIQUEIDENTIFIER NOT NULL CONSTRAINT UQ_JobRun_Job_Id UNIQUE,
        Job_Type VARCHAR(50) NOT NULL CONSTRAINT CK_JobRun_Job_Type CHECK (Job_Type IN (
            'RevokeExpiredDatabricksRequests', 'RevokeExpiredPalantirRequests',
            'ExpiryNotificationDatabricksRequests', 'ExpiryNotificationPalantirRequests')),
        Status VARCHAR(20) NOT NULL CONSTRAINT CK_JobRun_Status CHECK (Status IN ('InProgress', 'Completed', 'Failed')),
        Started_At DATETIME NOT NULL,
        Started_By VARCHAR(100) NOT NULL, -- the machine's name
        Completed_At DATETIME NULL,
        Processed_Count INT NULL,
        Failed_Count INT NULL, -- notification jobs only
        Error_Message VARCHAR(500) NULL
    );
    PRINT 'table dbo.JobRun: created';
END
ELSE
    PRINT 'table dbo.JobRun: exists, unchanged';
GO

-- The lock itself: whatever two sessions see, only one row of a job type can be in progress. The included columns are what
-- is read of a run in progress.
IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE object_id = OBJECT_ID(N'dbo.JobRun') AND name = N'UX_JobRun_Job_Type_InProgress')
BEGIN
    CREATE UNIQUE INDEX UX_JobRun_Job_Type_InProgress ON dbo.JobRun (Job_Type) INCLUDE (Job_Id, Started_At, Started_By) WHERE Status = 'InProgress';
    PRINT 'index UX_JobRun_Job_Type_InProgress: created';
END
ELSE
    PRINT 'index UX_JobRun_Job_Type_InProgress: exists, unchanged';
GO

-- A job's history, newest first.
IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE object_id = OBJECT_ID(N'dbo.JobRun') AND name = N'IX_JobRun_Job_Type_Started_At')
BEGIN
    CREATE INDEX IX_JobRun_Job_Type_Started_At ON dbo.JobRun (Job_Type, Started_At DESC, Id DESC);
    PRINT 'index IX_JobRun_Job_Type_Started_At: created';
END
ELSE
    PRINT 'index IX_JobRun_Job_Type_Started_At: exists, unchanged';
GO
