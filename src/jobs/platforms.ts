/** The differences between the platforms: names in SQL and in emails. SQL identifiers come only from here. */
export interface Platform {
  readonly name: 'Databricks' | 'Palantir';
  /** The view of all requests, granted or not; a site maps it in sql/06_AccessGrant_views.sql. It may be missing. */
  readonly requestView: string;
  /** The view of the requests that are granted at present and have an end, in the same file. */
  readonly grantView: string;
  readonly revocationTable: string;
  readonly notificationTable: string;
  /** The column of both tables that refers to the request. */
  readonly requestColumn: string;
  /** The SQL type of a request's id. */
  readonly requestIdType: 'INT' | 'UNIQUEIDENTIFIER';
}

export const databricks: Platform = {
  name: 'Databricks',
  requestView: 'dbo.AccessRequest_Databricks',
  grantView: 'dbo.AccessGrant_Databricks',
  revocationTable: 'dbo.RevokedAccess_Databricks',
  notificationTable: 'dbo.ExpiryNotification_Databricks',
  requestColumn: 'DeltaRequestId',
  requestIdType: 'INT',
};

export const palantir: Platform = {
  name: 'Palantir',
  requestView: 'dbo.AccessRequest_Palantir',
  grantView: 'dbo.AccessGrant_Palantir',
  revocationTable: 'dbo.RevokedAccess_Palantir',
  notificationTable: 'dbo.ExpiryNotification_Palantir',
  requestColumn: 'PalantirRequestId',
  requestIdType: 'UNIQUEIDENTIFIER',
};

export const platforms: readonly Platform[] = [databricks, palantir];

/** The id of a request: a number on Databricks, a GUID in lower case on Palantir. */
export type RequestId = number | string;

/** A GUID: a request's id on Palantir, or a Job_Id. */
export const guidPattern = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** Parses the id of a request of that platform; undefined if it is malformed. */
export function parseRequestId(written: string, { requestIdType }: Platform): RequestId | undefined {
  if (requestIdType === 'UNIQUEIDENTIFIER')
    return guidPattern.test(written) ? written.toLowerCase() : undefined;
  const id = /^-?\d{1,10}$/.test(written) ? Number(written) : NaN;
  return id >= -(2 ** 31) && id < 2 ** 31 ? id : undefined;
}
