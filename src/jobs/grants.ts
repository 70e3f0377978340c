import { date, listSql, number, siteText, type Column, type RowOf } from '../database/columns';
import type { Session } from '../database/session';
import { int, uniqueIdentifier, type Parameter } from '../database/statement';
import type { Platform, RequestId } from './platforms';

/** A grant as a site's view yields it. */
export interface Grant {
  readonly requestId: RequestId;
  readonly requestNumber: string;
  readonly requesterName: string;
  /** What the access is to. */
  readonly resource: string;
  /** UTC. */
  readonly expiresAt: Date;
}

export const requestId: Column<RequestId> = {
  expected: 'a number or a GUID',
  read: (value) => (typeof value === 'number' || typeof value === 'string' ? value : undefined),
};

/** The columns of a Grant. */
export const grantColumns = {
  RequestId: requestId,
  RequestNumber: siteText,
  RequesterName: siteText,
  Resource: siteText,
  ExpiresAt: date,
};

/** The same in SQL, from the view under its alias `g`. */
export const grantList = listSql('g', grantColumns);

export function toGrant(row: RowOf<typeof grantColumns>): Grant {
  return {
    requestId: row.RequestId,
    requestNumber: row.RequestNumber,
    requesterName: row.RequesterName,
    resource: row.Resource,
    expiresAt: row.ExpiresAt,
  };
}

/** A request's id as a parameter. */
export function requestIdParameter(id: RequestId): Parameter {
  return typeof id === 'number' ? int(id) : uniqueIdentifier(id);
}

/** How many rows the view yields for a request. */
export async function countViewRows(
  session: Session,
  { grantView }: Platform,
  id: RequestId,
): Promise<number> {
  const [row] = await session.query({
    name: 'countViewRows',
    columns: { ViewRows: number },
    sql: `SELECT COUNT(*) AS ViewRows FROM ${grantView} AS g WHERE g.RequestId = @requestId;`,
    parameters: { requestId: requestIdParameter(id) },
  });
  return row?.ViewRows ?? 0;
}
