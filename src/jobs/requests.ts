/** Requests as a site's view AccessRequest_* yields them, granted or not. */
import { SqlError, sqlErrors } from '../database/errors';
import { date, listSql, nullable, siteText, type RowOf } from '../database/columns';
import type { Session } from '../database/session';
import { nVarChar } from '../database/statement';
import { requestId } from './grants';
import type { Platform, RequestId } from './platforms';

/** A request of the site, granted or not. */
export interface AccessRequest {
  readonly requestId: RequestId;
  readonly requestNumber: string;
  readonly requesterName: string;
  /** As the site has it, usable for messages or not. */
  readonly requesterEmail: string;
  /** What the access is to. */
  readonly resource: string;
  /** UTC; null: it has no end. */
  readonly expiresAt: Date | null;
  /** As the site has it. */
  readonly status: string;
}

/** The columns of an AccessRequest. */
export const requestColumns = {
  RequestId: requestId,
  RequestNumber: siteText,
  RequesterName: siteText,
  RequesterEmail: siteText,
  Resource: siteText,
  ExpiresAt: nullable(date),
  RequestStatus: siteText,
};

/** The same in SQL, from the view under its alias `q`. */
export const requestList = listSql('q', requestColumns);

export function toRequest(row: RowOf<typeof requestColumns>): AccessRequest {
  return {
    requestId: row.RequestId,
    requestNumber: row.RequestNumber,
    requesterName: row.RequesterName,
    requesterEmail: row.RequesterEmail,
    resource: row.Resource,
    expiresAt: row.ExpiresAt,
    status: row.RequestStatus,
  };
}

/** How to add a view of requests that is missing. */
export function requestViewAdvice({ requestView }: Platform): string {
  return (
    `${requestView} is missing, or the app may not read it: requests are known by their ids alone. ` +
    'Map the view in sql/06_AccessGrant_views.sql, then npm run db:deploy.'
  );
}

/**
 * What was read through a platform's view of requests. A database may not have it yet: the jobs do without it.
 * @returns undefined: there is no such view, or the app may not read it
 */
export async function throughRequestView<T>(
  { requestView }: Platform,
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    const unreadable =
      error instanceof SqlError &&
      (error.number === sqlErrors.invalidObject || error.number === sqlErrors.permissionDenied) &&
      error.serverError.includes(requestView.replace('dbo.', ''));
    if (unreadable) return undefined;
    throw error;
  }
}

/**
 * The requests with these ids.
 * @returns by id; undefined: the database has no view of them
 */
export async function readRequests(
  session: Session,
  platform: Platform,
  requestIds: readonly RequestId[],
): Promise<ReadonlyMap<RequestId, AccessRequest> | undefined> {
  const rows = await throughRequestView(platform, () =>
    session.query({
      name: 'readRequests',
      slow: true,
      columns: requestColumns,
      sql: `SELECT ${requestList}
FROM OPENJSON(@requestIds) WITH (RequestId ${platform.requestIdType} '$') AS j
JOIN ${platform.requestView} AS q ON q.RequestId = j.RequestId;`,
      parameters: { requestIds: nVarChar('max', JSON.stringify(requestIds)) },
    }),
  );
  return rows && new Map(rows.map(toRequest).map((request) => [request.requestId, request]));
}
