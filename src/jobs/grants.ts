import type { Row, Session } from '../database/session';
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

/** The columns of a Grant in SQL, from the view under its alias `g`. */
export const grantColumns = 'g.RequestId, g.RequestNumber, g.RequesterName, g.Resource, g.ExpiresAt';

/** Reads what grantColumns selected. */
export function toGrant(row: Row): Grant {
  return {
    requestId: row.RequestId as RequestId,
    requestNumber: text(row.RequestNumber),
    requesterName: text(row.RequesterName),
    resource: text(row.Resource),
    expiresAt: row.ExpiresAt as Date,
  };
}

/** A site's view may yield numbers or nulls where text is meant. */
export function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** A request's id as a parameter. */
export function requestIdParameter(id: RequestId): Parameter {
  return typeof id === 'number' ? int(id) : uniqueIdentifier(id);
}

/** How many rows the view yields for a request. */
export async function countViewRows(
  session: Session,
  { grantView }: Platform,
  requestId: RequestId,
): Promise<number> {
  const [row] = await session.query({
    name: 'countViewRows',
    sql: `SELECT COUNT(*) AS ViewRows FROM ${grantView} AS g WHERE g.RequestId = @requestId;`,
    parameters: { requestId: requestIdParameter(requestId) },
  });
  return row?.ViewRows as number;
}
