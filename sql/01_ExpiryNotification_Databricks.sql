-- ExpiryNotification_Databricks: one row for each grant and reminder sent. Times are UTC.

-- CREATE TABLE with a foreign key waits for transactions on the request table, and later ones wait for it. After this many
-- ms it gives up (error 1222): run the script again at a quiet hour.
SET LOCK_TIMEOUT 5000;
GO

IF OBJECT_ID(N'dbo.ExpiryNotification_Databricks', N'U') IS NULL
BEGIN
    CREATE TABLE dbo.ExpiryNotification_Databricks (
        Id INT IDENTITY(1, 1) NOT NULL CONSTRAINT PK_ExpiryNotification_Databricks PRIMARY KEY,
        DeltaRequestId INT NOT NULL CONSTRAINT FK_ExpiryNotification_Databricks_DataAccessDeltaRequests REFERENCES dbo.DataAccessDeltaRequests (id),
        Notification_Sent_Dt DATETIME NOT NULL,
        Notification_Sent_To VARCHAR(320) NOT NULL,
        Notification_Sent_By VARCHAR(100) NOT NULL
    );
    PRINT 'table dbo.ExpiryNotification_Databricks: created';
END
ELSE
    PRINT 'table dbo.ExpiryNotification_Databricks: exists, unchanged';
GO

IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE object_id = OBJECT_ID(N'dbo.ExpiryNotification_Databricks') AND name = N'IX_ExpiryNotification_Databricks_DeltaRequestId_Notification_Sent_Dt')
BEGIN
    CREATE INDEX IX_ExpiryNotification_Databricks_DeltaRequestId_Notification_Sent_Dt ON dbo.ExpiryNotification_Databricks (DeltaRequestId, Notification_Sent_Dt);
    PRINT 'index IX_ExpiryNotification_Databricks_DeltaRequestId_Notification_Sent_Dt: created';
END
ELSE
    PRINT 'index IX_ExpiryNotification_Databricks_DeltaRequestId_Notification_Sent_Dt: exists, unchanged';
GO
