-- The views through which the app sees requests and grants. This is the one file that a site edits.
--
-- AccessRequest_* map the columns of the request tables, once, for all requests, granted or not. The status page, the API
-- and npm run request read a request's story through them. Each must keep these eight columns:
--
--   RequestId       the key of the request's table
--   RequestNumber   what people call the request; shown in emails and put into the renewal link
--   RequesterName   who holds the access; shown in emails
--   RequesterEmail  where reminders go: one address
--   Resource        what the access is to; shown in emails
--   ExpiresAt       when the access ends, in UTC; NULL: it has no end
--   AccessKey       the same for all requests for the same access of the same person. While another grant with the same
--                   key ends later, a grant is neither announced nor revoked: a new request renewed it. NULL, the
--                   default, means never the same. For example:
--                   CONCAT(r.requested_by_ad_id, '/', r.catalog_name, '.', r.schema_name, '.', r.table_name)
--   RequestStatus   the request's status, as the site has it
--
-- AccessGrant_* are what the jobs read: the first seven columns of the requests that are granted at present and have an
-- end. Their WHERE says what counts as granted.
--
-- Map ExpiresAt to the bare column: an expression around it (CAST, DATEADD, AT TIME ZONE) prevents the use of its index.
-- If a table stores local times, map an indexed column that holds the same time in UTC, filled by the site's application:
-- a computed column cannot be indexed, since AT TIME ZONE is not deterministic. For a small table the expression itself
-- works, at the cost of reading the whole table in every run:
--   CAST(r.access_end_dt AT TIME ZONE 'W. Europe Standard Time' AT TIME ZONE 'UTC' AS DATETIME2(0)) AS ExpiresAt
-- A DATE means the start of that day: where access lasts through its last day, map a column that holds the start of the
-- next day. A DATETIMEOFFSET is not accepted: its offset would be lost.
-- Each request appears once: one that appears twice, or whose RequestId is NULL, is skipped, and the run fails.
--
-- The column names below are defaults. Replace those that your tables name differently.

CREATE OR ALTER VIEW dbo.AccessRequest_Databricks
AS
SELECT
    r.id AS RequestId,
    r.request_number AS RequestNumber,
    r.requested_by AS RequesterName,
    r.requested_by_email AS RequesterEmail,
    CONCAT(r.catalog_name, '.', r.schema_name, '.', r.table_name) AS Resource,
    r.access_end_dt AS ExpiresAt,
    CAST(NULL AS NVARCHAR(400)) AS AccessKey,
    r.request_status AS RequestStatus
FROM dbo.DataAccessDeltaRequests AS r;
GO

CREATE OR ALTER VIEW dbo.AccessGrant_Databricks
AS
SELECT q.RequestId, q.RequestNumber, q.RequesterName, q.RequesterEmail, q.Resource, q.ExpiresAt, q.AccessKey
FROM dbo.AccessRequest_Databricks AS q
WHERE q.RequestStatus = 'Approved'
  AND q.ExpiresAt IS NOT NULL;
GO

CREATE OR ALTER VIEW dbo.AccessRequest_Palantir
AS
SELECT
    r.RequestId,
    r.RequestNumber,
    r.RequestedBy AS RequesterName,
    r.RequestedByEmail AS RequesterEmail,
    r.ProjectName AS Resource,
    r.AccessEndDate AS ExpiresAt,
    CAST(NULL AS NVARCHAR(400)) AS AccessKey,
    r.Status AS RequestStatus
FROM dbo.DataAccessPalantirRequests AS r;
GO

CREATE OR ALTER VIEW dbo.AccessGrant_Palantir
AS
SELECT q.RequestId, q.RequestNumber, q.RequesterName, q.RequesterEmail, q.Resource, q.ExpiresAt, q.AccessKey
FROM dbo.AccessRequest_Palantir AS q
WHERE q.RequestStatus = 'Approved'
  AND q.ExpiresAt IS NOT NULL;
GO
