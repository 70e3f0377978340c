import { deadlineIn } from '../clock';
import type { Session } from '../database/session';
import { int, nVarChar, type Parameter } from '../database/statement';
import { describeMalformed } from '../email/address';
import type { DueGrant } from '../email/digest';
import type { Services } from '../services';
import type { Job } from './catalogue';
import { addressFailure } from './dueReminders';
import { backlogColumns, toBacklog } from './backlog';
import { timeBudgetsMs } from './budgets';
import { isDueSql, nowSql, type DueSql } from './dueSql';
import type { Failure, FailureCause } from './failures';
import { grantColumns, requestIdParameter, toGrant, type Grant } from './grants';
import type { RequestId } from './platforms';

/** Grants on one page of a preview, and request ids that are given for one cause. */
const pageSize = 100;
const maxIds = 20;

export interface PreviewOptions {
  /** By end; soonest first is the default. */
  readonly order?: 'soonest' | 'latest';
  /** The last request of the page before. */
  readonly after?: RequestId;
}

/** A grant that a run would handle. Of a reminder, also its recipient and what would fail. */
export interface PreviewedGrant extends Grant, Partial<Pick<DueGrant, 'leadDays'>> {
  /** In lower case; null: there is no usable address. */
  readonly recipient?: string | null;
  readonly failure?: FailureCause | null;
  /** What is wrong with a malformed address, for example "no @". */
  readonly failureDetail?: string | null;
}

/** What a job would do now. Times are UTC, by the database's clock. */
export interface Preview {
  readonly jobType: Job['type'];
  readonly readAt: Date;
  /** All grants that are due, those included that would fail. */
  readonly count: number;
  /** For how many minutes the oldest of them has been due; 0 if none is. */
  readonly oldestDueMinutes: number;
  /** Grants that would be due if another of the same access did not end later. */
  readonly coveredCount: number;
  /** The first of them, each with the request that covers it. */
  readonly covered: readonly {
    readonly requestId: RequestId;
    readonly coveredBy: string;
    readonly until: Date;
  }[];
  /** Revocation jobs: the safety stop, and whether it would stop a run. */
  readonly ceiling?: number;
  readonly exceedsCeiling?: boolean;
  /** What would fail or be left alone, by cause. */
  readonly failing: readonly Failure[];
  /** How the ends of all that is due are spread over time, in order; null where nothing is due. */
  readonly ends: {
    readonly soonest: Date;
    readonly latest: Date;
    /** from <= end < to; null: open. */
    readonly spread: readonly {
      readonly from: Date | null;
      readonly to: Date | null;
      readonly count: number;
    }[];
  } | null;
  /** One page of them. */
  readonly grants: readonly PreviewedGrant[];
  /** The `after` of the next page; null on the last one. */
  readonly next: RequestId | null;
}

/** Looks at what a job would do now. Writes nothing and takes no lock. */
export async function previewJob(
  { database, settings, clock }: Services,
  job: Job,
  options: PreviewOptions = {},
): Promise<Preview> {
  return database.connect('search', (connection) =>
    connection.withRetries(deadlineIn(clock, timeBudgetsMs.http), async (session) => {
      const due = job.due(settings);
      const { readAt, count, oldestDueMinutes, ends, coveredCount } = await summarise(
        session,
        due,
        job.spreadHours(settings),
      );
      const grants = await readPage(session, job, due, options);
      const last = grants.length > pageSize ? grants[pageSize - 1] : undefined;
      return {
        jobType: job.type,
        readAt,
        count,
        oldestDueMinutes,
        coveredCount,
        covered: coveredCount === 0 ? [] : await readCovered(session, job, due),
        ...(job.kind === 'revocation' && {
          ceiling: settings.revocationCeiling,
          exceedsCeiling: count > settings.revocationCeiling,
        }),
        failing: [
          ...(await findUnusableRows(session, due)),
          ...(job.kind === 'notification' ? await findUnusableAddresses(session, due) : []),
        ],
        ends,
        grants: grants.slice(0, pageSize),
        next: last?.requestId ?? null,
      };
    }),
  );
}

/** @param boundaries hours from now, ascending */
async function summarise(
  session: Session,
  due: DueSql,
  boundaries: readonly number[],
): Promise<Pick<Preview, 'readAt' | 'count' | 'oldestDueMinutes' | 'coveredCount' | 'ends'>> {
  const below = boundaries.map(
    (_, index) =>
      `,\n  SUM(CASE WHEN ${isDueSql} AND g.ExpiresAt < DATEADD(HOUR, @hours${index}, ${nowSql}) THEN 1 ELSE 0 END) AS Below${index}`,
  );
  const [row = {}] = await session.query({
    name: 'previewSummary',
    slow: true,
    sql: `${due.with}
SELECT GETUTCDATE() AS ReadAt,
  ${backlogColumns(`CASE WHEN ${isDueSql} THEN g.DueSince END`)},
  SUM(CASE WHEN g.CoveredUntil IS NOT NULL AND g.ViewRows = 1 THEN 1 ELSE 0 END) AS Covered,
  MIN(CASE WHEN ${isDueSql} THEN g.ExpiresAt END) AS Soonest, MAX(CASE WHEN ${isDueSql} THEN g.ExpiresAt END) AS Latest${below.join('')}
FROM Candidates AS g;`,
    parameters: {
      ...due.parameters,
      ...Object.fromEntries(boundaries.map((hours, index) => [`hours${index}`, int(hours)])),
    },
  });
  const readAt = row.ReadAt as Date;
  const { dueCount: count, oldestDueMinutes } = toBacklog(row);
  const times = boundaries.map((hours) => new Date(readAt.getTime() + hours * 3_600_000));
  const counts = [...boundaries.map((_, index) => row[`Below${index}`] as number), count];
  return {
    readAt,
    count,
    oldestDueMinutes,
    coveredCount: (row.Covered as number | null) ?? 0,
    ends:
      count === 0
        ? null
        : {
            soonest: row.Soonest as Date,
            latest: row.Latest as Date,
            spread: counts.map((upTo, index) => ({
              from: times[index - 1] ?? null,
              to: times[index] ?? null,
              count: upTo - (counts[index - 1] ?? 0),
            })),
          },
  };
}

/** The grants after a request, by end, and one more than a page, if there is one. */
async function readPage(
  session: Session,
  { kind, platform }: Job,
  due: DueSql,
  { order = 'soonest', after }: PreviewOptions,
): Promise<PreviewedGrant[]> {
  const [beyond, direction] = order === 'soonest' ? ['>', 'ASC'] : ['<', 'DESC'];
  // By the end as the view has it: a Date would have lost what is beyond its milliseconds.
  const end = `(SELECT MAX(a.ExpiresAt) FROM ${platform.grantView} AS a WHERE a.RequestId = @after)`;
  const rows = await session.query({
    name: 'previewPage',
    slow: true,
    sql: `${due.withDue}
SELECT TOP (@rows) ${grantColumns}${kind === 'notification' ? ', g.LeadDays, g.Recipient' : ''}
FROM Due AS g${
      after === undefined
        ? ''
        : `
WHERE g.ExpiresAt ${beyond} ${end} OR (g.ExpiresAt = ${end} AND g.RequestId ${beyond} @after)`
    }
ORDER BY g.ExpiresAt ${direction}, g.RequestId ${direction};`,
    parameters: {
      ...due.parameters,
      rows: int(pageSize + 1),
      ...(after !== undefined && { after: requestIdParameter(after) }),
    },
  });
  if (kind === 'revocation') return rows.map(toGrant);
  return rows.map((row) => {
    const recipient = row.Recipient as string;
    const failure = addressFailure(recipient);
    return {
      ...toGrant(row),
      leadDays: row.LeadDays as number | null,
      recipient: failure === null ? recipient : null,
      failure,
      failureDetail: failure === 'addressMalformed' ? describeMalformed(recipient) : null,
    };
  });
}

async function readCovered(session: Session, { platform }: Job, due: DueSql): Promise<Preview['covered']> {
  const rows = await session.query({
    name: 'previewCovered',
    slow: true,
    sql: `${due.with}
SELECT TOP (@rows) g.RequestId, g.CoveredUntil, (
    SELECT MAX(c.RequestNumber) FROM ${platform.grantView} AS c WHERE c.AccessKey = g.AccessKey AND c.ExpiresAt = g.CoveredUntil
  ) AS CoveredBy
FROM Candidates AS g
WHERE g.CoveredUntil IS NOT NULL AND g.ViewRows = 1
ORDER BY g.ExpiresAt, g.RequestId;`,
    parameters: { ...due.parameters, rows: int(maxIds) },
  });
  return rows.map((row) => ({
    requestId: row.RequestId as RequestId,
    coveredBy: String(row.CoveredBy),
    until: row.CoveredUntil as Date,
  }));
}

/** Rows without a request id, and requests that the view yields more than once. */
async function findUnusableRows(session: Session, due: DueSql): Promise<Failure[]> {
  const rows = await session.query({
    name: 'previewUnusable',
    slow: true,
    sql: `${due.with}
SELECT g.RequestId, COUNT(*) AS DueRows
FROM Candidates AS g
WHERE g.CoveredUntil IS NULL AND g.ViewRows <> 1
GROUP BY g.RequestId
ORDER BY g.RequestId;`,
    parameters: due.parameters,
  });
  const duplicated = rows.flatMap(({ RequestId }) => (RequestId as RequestId | null) ?? []);
  const withoutId = rows.find(({ RequestId }) => RequestId === null)?.DueRows as number | undefined;
  return [
    ...(withoutId === undefined ? [] : [{ cause: 'idMissing' as const, count: withoutId, requestIds: [] }]),
    ...(duplicated.length === 0
      ? []
      : [
          { cause: 'duplicated' as const, count: duplicated.length, requestIds: duplicated.slice(0, maxIds) },
        ]),
  ];
}

/** Grants whose address is missing or malformed: the addresses are judged here, one row for each. */
async function findUnusableAddresses(session: Session, due: DueSql): Promise<Failure[]> {
  const addresses = await session.query({
    name: 'previewAddresses',
    slow: true,
    sql: `${due.withDue}
SELECT g.Recipient, COUNT(*) AS Grants FROM Due AS g GROUP BY g.Recipient ORDER BY g.Recipient;`,
    parameters: due.parameters,
  });
  const failures: Failure[] = [];
  const unusable = Map.groupBy(addresses, ({ Recipient }) => addressFailure(Recipient as string));
  for (const [cause, rows] of unusable) {
    if (cause === null) continue;
    const some: Record<string, Parameter> = {
      ...due.parameters,
      rows: int(maxIds),
      recipients: nVarChar(
        'max',
        JSON.stringify(rows.slice(0, maxIds).map(({ Recipient }) => Recipient as string)),
      ),
    };
    const requests = await session.query({
      name: 'previewUndeliverable',
      slow: true,
      sql: `${due.withDue}
SELECT TOP (@rows) g.RequestId FROM Due AS g
WHERE g.Recipient IN (
  SELECT j.Recipient COLLATE Latin1_General_BIN2 FROM OPENJSON(@recipients) WITH (Recipient NVARCHAR(400) '$') AS j)
ORDER BY g.RequestId;`,
      parameters: some,
    });
    failures.push({
      cause,
      count: rows.reduce((sum, { Grants }) => sum + (Grants as number), 0),
      requestIds: requests.map(({ RequestId }) => RequestId as RequestId),
    });
  }
  return failures;
}
