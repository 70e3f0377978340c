/** Finds requests of both platforms by what people know of them. */
import type { Deadline } from '../clock';
import { formatNumber } from '../format';
import { StatementTimeoutError } from '../database/errors';
import { number } from '../database/columns';
import type { Session } from '../database/session';
import { int, nVarChar } from '../database/statement';
import { parseRequestId, platforms, type Platform } from './platforms';
import {
  readRequests,
  requestColumns,
  requestList,
  requestViewAdvice,
  throughRequestView,
  toRequest,
  type AccessRequest,
} from './requests';
import type { Services } from '../services';

/** Requests that one search yields. */
export const maxFound = 50;

/** The longest text that is looked for, in code points; no address and no number is longer. */
export const maxQueryLength = 320;

/** Requests of a platform among which is searched, those with the highest ids: no index serves a search. */
export const maxSearched = 200_000;

export interface FoundRequest {
  readonly platform: Platform;
  readonly request: AccessRequest;
  /** 0: exactly what was asked for; 1: begins with it. */
  readonly rank: number;
}

export interface RequestSearch {
  /** Those that are exactly what was asked for first; at most 50. */
  readonly requests: readonly FoundRequest[];
  /** There are more. */
  readonly more: boolean;
  /** Platforms of which some requests were not looked at: there are too many, or the database took too long. */
  readonly incomplete: readonly Platform[];
  /** Platforms whose requests the database has no view of. */
  readonly missing: readonly Platform[];
}

/**
 * Looks for requests whose number, id, holder or address is or begins with a text, by the collation of the database.
 * @param query 1 to 320 characters
 * @throws DatabaseError
 */
export async function searchRequests(
  { database }: Services,
  deadline: Deadline,
  query: string,
): Promise<RequestSearch> {
  return database.withSession('search', deadline, async (session) => {
    const found: FoundRequest[] = [];
    const incomplete: Platform[] = [];
    const missing: Platform[] = [];
    for (const platform of platforms) {
      const search = await searchPlatform(session, platform, query);
      if (!search) missing.push(platform);
      else found.push(...search.ranked.map((one) => ({ ...one, platform })));
      if (search && !search.complete) incomplete.push(platform);
    }
    const requests = found.sort((one, other) => one.rank - other.rank);
    return {
      requests: requests.slice(0, maxFound),
      more: requests.length > maxFound,
      incomplete,
      missing,
    };
  });
}

type Ranked = Omit<FoundRequest, 'platform'>;

/** @returns undefined: the database has no view of the platform's requests */
async function searchPlatform(
  session: Session,
  platform: Platform,
  query: string,
): Promise<{ ranked: readonly Ranked[]; complete: boolean } | undefined> {
  const id = parseRequestId(query, platform);
  const byId = await readRequests(session, platform, id === undefined ? [] : [id]);
  if (!byId) return undefined;
  const exact = [...byId.values()].map((request) => ({ request, rank: 0 }));
  try {
    const others = await throughRequestView(platform, () => searchView(session, platform, query));
    return {
      ranked: [...exact, ...(others?.ranked ?? []).filter(({ request }) => !byId.has(request.requestId))],
      complete: others?.complete ?? true,
    };
  } catch (error) {
    if (!(error instanceof StatementTimeoutError)) throw error;
    return { ranked: exact, complete: false };
  }
}

/** The columns that are looked at; a site may have mapped numbers or GUIDs. */
const searched = ['RequestNumber', 'RequesterName', 'RequesterEmail', 'RequestId'].map(
  (column) => `CAST(q.${column} AS NVARCHAR(400))`,
);

async function searchView(
  session: Session,
  { requestView }: Platform,
  query: string,
): Promise<{ ranked: readonly Ranked[]; complete: boolean }> {
  const rows = await session.query({
    name: 'searchRequests',
    columns: { ...requestColumns, MatchRank: number },
    sql: `WITH Newest AS (
  SELECT TOP (@maxSearched) ${requestList} FROM ${requestView} AS q ORDER BY q.RequestId DESC
),
Ranked AS (
  SELECT ${requestList}, CASE
      WHEN ${searched.map((text) => `${text} = @query`).join(' OR ')} THEN 0
      WHEN ${searched.map((text) => `LEFT(${text}, @length) = @query`).join(' OR ')} THEN 1
    END AS MatchRank
  FROM Newest AS q
)
SELECT TOP (@maxFound) ${requestList}, q.MatchRank FROM Ranked AS q
WHERE q.MatchRank IS NOT NULL AND q.RequestId IS NOT NULL
ORDER BY q.MatchRank, q.RequestNumber, q.RequestId;`,
    parameters: {
      query: nVarChar(2 * maxQueryLength, query),
      length: int(query.length),
      maxSearched: int(maxSearched),
      maxFound: int(maxFound + 1),
    },
  });
  const [count] = await session.query({
    name: 'countSearched',
    columns: { Requests: number },
    sql: `SELECT COUNT(*) AS Requests FROM (SELECT TOP (@rows) q.RequestId FROM ${requestView} AS q) AS s;`,
    parameters: { rows: int(maxSearched + 1) },
  });
  return {
    ranked: rows.map((row) => ({ request: toRequest(row), rank: row.MatchRank })),
    complete: (count?.Requests ?? 0) <= maxSearched,
  };
}

/** Whether all requests were searched, and if not, why, and what helps. */
export function describeCompleteness({ incomplete, missing }: RequestSearch): {
  complete: boolean;
  advice: readonly string[];
} {
  const advice = [
    ...incomplete.map(
      ({ name }) =>
        `Not all ${name} requests were searched: at most the ${formatNumber(maxSearched)} with the highest ids, and only as long as the database answers in time. An id finds any request.`,
    ),
    ...missing.map(requestViewAdvice),
  ];
  return { complete: advice.length === 0, advice };
}
