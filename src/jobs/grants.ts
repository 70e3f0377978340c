import type { Row } from '../database/session';
import type { RequestId } from './platforms';

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

/** Reads what grantColumns selected. A site's view may yield numbers or nulls where text is meant. */
export function toGrant(row: Row): Grant {
  return {
    requestId: row.RequestId as RequestId,
    requestNumber: text(row.RequestNumber),
    requesterName: text(row.RequesterName),
    resource: text(row.Resource),
    expiresAt: row.ExpiresAt as Date,
  };
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
