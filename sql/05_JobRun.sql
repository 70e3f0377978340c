-- JobRun: one row for each run of a job. The row in progress is the job's lock. Times are UTC.
-- A trigger on this table runs within the statements by which a job takes and keeps its lock: an error in it fails the run,
-- and rows that it returns would be read as the job's own. (The jobs use no OUTPUT clause, which SQL Server refuses on a
-- table with a trigger, error 334.)

-- sqlcmd connects with QUOTED_IDENTIFIER off; a filtered index needs it on (error 1934).
SET QUOTED_IDENTIFIER ON;
-- CREATE INDEX waits for transactions on the table. After this many ms it gives up (error 1222): run the script again at a
-- quiet hour.
SET LOCK_TIMEOUT 5000;
GO

-- The checks compare exactly: most collations ignore case, and an 'inprogress' would hold the lock unrecognised.
IF OBJECT_ID(N'dbo.JobRun', N'U') IS NULL
BEGIN
    CREATE TABLE dbo.JobRun (
        Id INT IDENTITY(1, 1) NOT NULL CONSTRAINT PK_JobRun PRIMARY KEY,
        Job_Id UNIQUEIDENTIFIER NOT NULL CONSTRAINT UQ_JobRun_Job_Id UNIQUE,
        Job_Type VARCHAR(50) NOT NULL CONSTRAINT CK_JobRun_Job_Type CHECK (Job_Type COLLATE Latin1_General_BIN2 IN (
            'RevokeExpiredDatabricksRequests', 'RevokeExpiredPalantirRequests',
            'ExpiryNotificationDatabricksRequests', 'ExpiryNotificationPalantirRequests')),
        Status VARCHAR(20) NOT NULL CONSTRAINT CK_JobRun_Status CHECK (Status COLLATE Latin1_General_BIN2 IN ('InProgress', 'Completed', 'Failed')),
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

-- The lock itself: only one row of a job type can be in progress, whatever two sessions see. The included columns are those
-- read of a run in progress.
-- A table older than the index may hold several such rows. Before the index is created, all but the newest of each type are
-- closed, and so are those of dead runs: in progress for more than 10 minutes, or dated in the future.
IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE object_id = OBJECT_ID(N'dbo.JobRun') AND name = N'UX_JobRun_Job_Type_InProgress')
BEGIN
    UPDATE dbo.JobRun
    SET Status = 'Failed', Completed_At = GETUTCDATE(), Error_Message = 'Abandoned: still in progress when the index UX_JobRun_Job_Type_InProgress was created.'
    WHERE Status = 'InProgress' AND Id NOT IN (
        SELECT MAX(Id) FROM dbo.JobRun
        WHERE Status = 'InProgress' AND DATEDIFF(MINUTE, Started_At, GETUTCDATE()) <= 10 AND Started_At <= DATEADD(MINUTE, 1, GETUTCDATE())
        GROUP BY Job_Type);
    IF @@ROWCOUNT > 0
        PRINT 'table dbo.JobRun: runs in progress that were left by dead processes are closed as Failed';
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
