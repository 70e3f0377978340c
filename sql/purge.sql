-- Deletes notifications, revocations and runs that were recorded before a date and are no longer needed.
-- It is run by hand (npm run db:deploy applies only the numbered scripts): set the date, and run it as db_owner at a quiet
-- hour, as often as you like. If it is interrupted, the next run completes it.
--
-- Do not delete by age only: a grant whose newest notification or revocation is gone is mailed or revoked again. For each
-- grant that a view yields (granted at present, even if it has ended) the script keeps, whatever their age,
--   * the newest revocation: without it the grant, whose end has passed, would be revoked again;
--   * the newest notification, for 366 days: a reminder begins at most 365 days before an end.
-- It also keeps the 30 newest runs of each job, from which the status page judges it.
-- If a view yields nothing, nothing of its platform is deleted: the view is broken, or row-level security hides the rows
-- from you.
--
-- Your provisioning must have read a row of RevokedAccess_… before it is deleted.

-- sqlcmd connects with QUOTED_IDENTIFIER off; a table with a filtered index needs it on (error 1934).
SET QUOTED_IDENTIFIER ON;
-- An error ends the script. After waiting this many ms for a lock of a run it fails (error 1222): run the script again.
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 5000;
GO

-- Rows from before this time (UTC) are deleted, for example '20251201'.
DECLARE @before DATETIME = NULL;

-- Ids in one transaction: fewer than 5,000 locks, at which SQL Server locks the whole table.
DECLARE @batch INT = 4000;
DECLARE @id INT, @last INT, @deleted INT;

IF @before IS NULL OR @before > GETUTCDATE()
    PRINT 'Nothing is deleted: set @before to a time in the past.';
ELSE
BEGIN
    IF NOT EXISTS (SELECT 1 FROM dbo.AccessGrant_Databricks)
        PRINT 'Databricks: nothing is deleted, since dbo.AccessGrant_Databricks yields no grant.';
    ELSE
    BEGIN
        SET @deleted = 0;
        SET @last = (SELECT MAX(Id) FROM dbo.ExpiryNotification_Databricks WHERE Notification_Sent_Dt < @before);
        SET @id = (SELECT MIN(Id) FROM dbo.ExpiryNotification_Databricks) - 1;
        WHILE @id < @last
        BEGIN
            DELETE n FROM dbo.ExpiryNotification_Databricks AS n
            WHERE n.Id > @id AND n.Id <= @id + @batch AND n.Notification_Sent_Dt < @before
              AND (n.Notification_Sent_Dt < DATEADD(DAY, -366, GETUTCDATE())
                OR NOT EXISTS (SELECT 1 FROM dbo.AccessGrant_Databricks AS g WHERE g.RequestId = n.DeltaRequestId)
                OR EXISTS (
                    SELECT 1 FROM dbo.ExpiryNotification_Databricks AS newer
                    WHERE newer.DeltaRequestId = n.DeltaRequestId AND newer.Notification_Sent_Dt >= n.Notification_Sent_Dt AND newer.Id > n.Id));
            SET @deleted = @deleted + @@ROWCOUNT;
            SET @id = @id + @batch;
        END;
        PRINT CONCAT('dbo.ExpiryNotification_Databricks: ', @deleted, ' deleted');

        SET @deleted = 0;
        SET @last = (SELECT MAX(Id) FROM dbo.RevokedAccess_Databricks WHERE Revoked_Dt < @before);
        SET @id = (SELECT MIN(Id) FROM dbo.RevokedAccess_Databricks) - 1;
        WHILE @id < @last
        BEGIN
            DELETE r FROM dbo.RevokedAccess_Databricks AS r
            WHERE r.Id > @id AND r.Id <= @id + @batch AND r.Revoked_Dt < @before
              AND (NOT EXISTS (SELECT 1 FROM dbo.AccessGrant_Databricks AS g WHERE g.RequestId = r.DeltaRequestId)
                OR EXISTS (
                    SELECT 1 FROM dbo.RevokedAccess_Databricks AS newer
                    WHERE newer.DeltaRequestId = r.DeltaRequestId AND newer.Revoked_Dt >= r.Revoked_Dt AND newer.Id > r.Id));
            SET @deleted = @deleted + @@ROWCOUNT;
            SET @id = @id + @batch;
        END;
        PRINT CONCAT('dbo.RevokedAccess_Databricks: ', @deleted, ' deleted');
    END;

    IF NOT EXISTS (SELECT 1 FROM dbo.AccessGrant_Palantir)
        PRINT 'Palantir: nothing is deleted, since dbo.AccessGrant_Palantir yields no grant.';
    ELSE
    BEGIN
        SET @deleted = 0;
        SET @last = (SELECT MAX(Id) FROM dbo.ExpiryNotification_Palantir WHERE Notification_Sent_Dt < @before);
        SET @id = (SELECT MIN(Id) FROM dbo.ExpiryNotification_Palantir) - 1;
        WHILE @id < @last
        BEGIN
            DELETE n FROM dbo.ExpiryNotification_Palantir AS n
            WHERE n.Id > @id AND n.Id <= @id + @batch AND n.Notification_Sent_Dt < @before
              AND (n.Notification_Sent_Dt < DATEADD(DAY, -366, GETUTCDATE())
                OR NOT EXISTS (SELECT 1 FROM dbo.AccessGrant_Palantir AS g WHERE g.RequestId = n.PalantirRequestId)
                OR EXISTS (
                    SELECT 1 FROM dbo.ExpiryNotification_Palantir AS newer
                    WHERE newer.PalantirRequestId = n.PalantirRequestId AND newer.Notification_Sent_Dt >= n.Notification_Sent_Dt AND newer.Id > n.Id));
            SET @deleted = @deleted + @@ROWCOUNT;
            SET @id = @id + @batch;
        END;
        PRINT CONCAT('dbo.ExpiryNotification_Palantir: ', @deleted, ' deleted');

        SET @deleted = 0;
        SET @last = (SELECT MAX(Id) FROM dbo.RevokedAccess_Palantir WHERE Revoked_Dt < @before);
        SET @id = (SELECT MIN(Id) FROM dbo.RevokedAccess_Palantir) - 1;
        WHILE @id < @last
        BEGIN
            DELETE r FROM dbo.RevokedAccess_Palantir AS r
            WHERE r.Id > @id AND r.Id <= @id + @batch AND r.Revoked_Dt < @before
              AND (NOT EXISTS (SELECT 1 FROM dbo.AccessGrant_Palantir AS g WHERE g.RequestId = r.PalantirRequestId)
                OR EXISTS (
                    SELECT 1 FROM dbo.RevokedAccess_Palantir AS newer
                    WHERE newer.PalantirRequestId = r.PalantirRequestId AND newer.Revoked_Dt >= r.Revoked_Dt AND newer.Id > r.Id));
            SET @deleted = @deleted + @@ROWCOUNT;
            SET @id = @id + @batch;
        END;
        PRINT CONCAT('dbo.RevokedAccess_Palantir: ', @deleted, ' deleted');
    END;

    SET @deleted = 0;
    SET @last = (SELECT MAX(Id) FROM dbo.JobRun WHERE Started_At < @before);
    SET @id = (SELECT MIN(Id) FROM dbo.JobRun) - 1;
    WHILE @id < @last
    BEGIN
        DELETE j FROM dbo.JobRun AS j
        WHERE j.Id > @id AND j.Id <= @id + @batch AND j.Started_At < @before AND j.Status <> 'InProgress'
          AND j.Id < (
            SELECT MIN(newest.Id)
            FROM (
                SELECT TOP (30) k.Id FROM dbo.JobRun AS k
                WHERE k.Job_Type = j.Job_Type ORDER BY k.Started_At DESC, k.Id DESC
            ) AS newest);
        SET @deleted = @deleted + @@ROWCOUNT;
        SET @id = @id + @batch;
    END;
    PRINT CONCAT('dbo.JobRun: ', @deleted, ' deleted');
END;
GO
