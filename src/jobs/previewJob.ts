import { deadlineIn } from '../clock';
import {
  date,
  listSql,
  nullable,
  number,
  siteText,
  text,
  type Column,
  type Columns,
  type RowOf,
} from '../database/columns';
import type { Session } from '../database/session';
import { int, nVarChar } from '../database/statement';
import { describeMalformed } from '../email/address';
import type { DueGrant } from '../email/digest';
import type { Services } from '../services';
import type { Job } from './catalogue';
import { addressFailure } from './dueReminders';
import { backlogColumns, backlogSql, toBacklog } from './backlog';
import { timeBudgetsMs } from './budgets';
import { isDueSql, nowSql, type DueSql } from './dueSql';
import { maxNamedIds, type Failure, type FailureCause } from './failures';
import { countViewRows, grantColumns, requestId, requestIdParameter, toGrant, type Grant } from './grants';
import type { RequestId } from './platforms';

/** Grants on one page of a preview. */
const pageSize = 100;

export interface PreviewOptions {
  /** By end; soonest first is the default. */
  readonly order?: 'soonest' | 'latest';
  /** The last request of the page before. */
  readonly after?: RequestId;
}

/** A reminder that a run would send. */
export interface PreviewedReminder extends Grant, Pick<DueGrant, 'leadDays'> {
  /** In lower case; null: there is no usable address. */
  readonly recipient: string | null;
  /** Why none can be sent. */
  readonly failure: FailureCause | null;
  /** What is wrong with a malformed address, for example "no @". */
  readonly failureDetail: string | null;
}

/** What a job would do now. Times are UTC, by the database's clock. */
interface BasePreview {
  readonly jobType: Job['type'];
  readonly readAt: Date;
  /**
   * All grants that are due, those included whose message would fail; not those that the view yields more than once or
   * without an id.
   */
  readonly count: number;
  /** For how many minutes the oldest of them has been due; 0 if none is. */
  readonly oldestDueMinutes: number;
  /** Grants that would be due if another of the same access did not end later. */
  readonly coveredCount: number;
  /** The first of them, each with the request that covers it. */
  readonly covered: readonly {
    readonly requestId: RequestId;
    readonly requestNumber: string;
    readonly coveredBy: string;
    readonly until: Date;
  }[];
  /** What would fail or be skipped, by cause. */
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
  /** The `after` of the next page; null on the last one. */
  readonly next: RequestId | null;
}

export interface RevocationPreview extends BasePreview {
  /** The safety stop, and whether it would stop a run. */
  readonly ceiling: number;
  readonly exceedsCeiling: boolean;
  /** One page of what is due. */
  readonly grants: readonly Grant[];
}

export interface ReminderPreview extends BasePreview {
  readonly ceiling?: undefined;
  readonly exceedsCeiling?: undefined;
  readonly grants: readonly PreviewedReminder[];
}

export type Preview = RevocationPreview | ReminderPreview;

/** The view does not yield the request after which a page is to begin, so its place is not known. */
export class LostPlaceError extends Error {
  override readonly name = 'LostPlaceError';
  constructor(after: RequestId) {
    super(`The view does not yield the request ${after}: begin again without after.`);
  }
}

/**
 * Looks at what a job would do now. Writes nothing and takes no lock.
 * @throws LostPlaceError, DatabaseError, SettingsError
 */
export async function previewJob(
  { database, settings, clock }: Services,
  job: Job,
  options: PreviewOptions = {},
): Promise<Preview> {
  return database.withSession('search', deadlineIn(clock, timeBudgetsMs.http), async (session) => {
    const { after } = options;
    if (after !== undefined && (await countViewRows(session, job.platform, after)) === 0)
      throw new LostPlaceError(after);
    const due = job.due(settings);
    const summary = await summarise(session, due, job.spreadHours(settings));
    const base = {
      jobType: job.type,
      ...summary,
      covered: summary.coveredCount === 0 ? [] : await readCovered(session, job, due),
    };
    const unusable = await findUnusableRows(session, due);
    if (job.kind === 'revocation') {
      const ceiling = settings.revocationCeiling;
      const page = toPage(await readPage(session, job, due, {}, options), toGrant);
      return { ...base, ceiling, exceedsCeiling: summary.count > ceiling, failing: unusable, ...page };
    }
    const failing = [...unusable, ...(await findUnusableAddresses(session, due))];
    const page = toPage(await readPage(session, job, due, reminderColumns, options), toPreviewedReminder);
    return { ...base, failing, ...page };
  });
}

/** The first rows, and after which the next page begins. */
function toPage<R, G extends Grant>(
  rows: readonly R[],
  toItem: (row: R) => G,
): { grants: readonly G[]; next: RequestId | null } {
  const grants = rows.slice(0, pageSize).map(toItem);
  return { grants, next: rows.length > pageSize ? (grants.at(-1)?.requestId ?? null) : null };
}

const reminderColumns = { LeadDays: nullable(number), Recipient: text };

function toPreviewedReminder(row: RowOf<typeof grantColumns & typeof reminderColumns>): PreviewedReminder {
  const { LeadDays: leadDays, Recipient: recipient } = row;
  const failure = addressFailure(recipient);
  return {
    ...toGrant(row),
    leadDays,
    recipient: failure === null ? recipient : null,
    failure,
    failureDetail: failure === 'addressMalformed' ? describeMalformed(recipient) : null,
  };
}

/** @param boundaries hours from now, ascending */
async function summarise(
  session: Session,
  due: DueSql,
  boundaries: readonly number[],
): Promise<Pick<Preview, 'readAt' | 'count' | 'oldestDueMinutes' | 'coveredCount' | 'ends'>> {
  const belowSql = boundaries.map(
    (_, index) =>
      `,\n  SUM(CASE WHEN ${isDueSql} AND g.ExpiresAt < DATEADD(HOUR, @hours${index}, ${nowSql}) THEN 1 ELSE 0 END) AS Below${index}`,
  );
  const belowColumns: Readonly<Record<`Below${number}`, Column<number | null>>> = Object.fromEntries(
    boundaries.map((_, index) => [`Below${index}`, nullable(number)]),
  );
  const [row] = await session.query({
    name: 'previewSummary',
    slow: true,
    columns: Object.assign(belowColumns, {
      ReadAt: date,
      ...backlogColumns,
      Covered: nullable(number),
      Soonest: nullable(date),
      Latest: nullable(date),
    }),
    sql: `${due.with}
SELECT GETUTCDATE() AS ReadAt,
  ${backlogSql(`CASE WHEN ${isDueSql} THEN g.DueSince END`)},
  SUM(CASE WHEN g.CoveredUntil IS NOT NULL AND g.ViewRows = 1 THEN 1 ELSE 0 END) AS Covered,
  MIN(CASE WHEN ${isDueSql} THEN g.ExpiresAt END) AS Soonest, MAX(CASE WHEN ${isDueSql} THEN g.ExpiresAt END) AS Latest${belowSql.join('')}
FROM Candidates AS g;`,
    parameters: {
      ...due.parameters,
      ...Object.fromEntries(boundaries.map((hours, index) => [`hours${index}`, int(hours)])),
    },
  });
  if (!row) throw new Error('The summary of what is due has no row.');
  const { ReadAt: readAt, Soonest: soonest, Latest: latest } = row;
  const { dueCount: count, oldestDueMinutes } = toBacklog(row);
  const below = boundaries.map((_, index) => row[`Below${index}`] ?? 0);
  const spread = spreadOf(readAt, boundaries, [...below, count]);
  return {
    readAt,
    count,
    oldestDueMinutes,
    coveredCount: row.Covered ?? 0,
    ends: soonest && latest && { soonest, latest, spread },
  };
}

/** @param upTo how many end before each boundary, and in all */
function spreadOf(
  readAt: Date,
  boundaries: readonly number[],
  upTo: readonly number[],
): NonNullable<Preview['ends']>['spread'] {
  const times = boundaries.map((hours) => new Date(readAt.getTime() + hours * 3_600_000));
  return upTo.map((count, index) => ({
    from: times[index - 1] ?? null,
    to: times[index] ?? null,
    count: count - (upTo[index - 1] ?? 0),
  }));
}

/** The grants after a request, by end, with some more columns; and one more than a page, if there is one. */
async function readPage<C extends Columns>(
  session: Session,
  { platform }: Job,
  due: DueSql,
  more: C,
  { order = 'soonest', after }: PreviewOptions,
): Promise<RowOf<typeof grantColumns & C>[]> {
  const [beyond, direction] = order === 'soonest' ? ['>', 'ASC'] : ['<', 'DESC'];
  // By the end as the view has it: a Date would have lost what is beyond its milliseconds.
  const end = `(SELECT MAX(a.ExpiresAt) FROM ${platform.grantView} AS a WHERE a.RequestId = @after)`;
  const columns = { ...grantColumns, ...more };
  return session.query({
    name: 'previewPage',
    slow: true,
    columns,
    sql: `${due.withDue}
SELECT TOP (@rows) ${listSql('g', columns)}
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
}

async function readCovered(session: Session, { platform }: Job, due: DueSql): Promise<Preview['covered']> {
  const rows = await session.query({
    name: 'previewCovered',
    slow: true,
    columns: { RequestId: requestId, RequestNumber: siteText, CoveredUntil: date, CoveredBy: siteText },
    sql: `${due.with}
SELECT TOP (@rows) g.RequestId, g.RequestNumber, g.CoveredUntil, (
    SELECT MAX(c.RequestNumber) FROM ${platform.grantView} AS c WHERE c.AccessKey = g.AccessKey AND c.ExpiresAt = g.CoveredUntil
  ) AS CoveredBy
FROM Candidates AS g
WHERE g.CoveredUntil IS NOT NULL AND g.ViewRows = 1
ORDER BY g.ExpiresAt, g.RequestId;`,
    parameters: { ...due.parameters, rows: int(maxNamedIds) },
  });
  return rows.map((row) => ({
    requestId: row.RequestId,
    requestNumber: row.RequestNumber,
    coveredBy: row.CoveredBy,
    until: row.CoveredUntil,
  }));
}

/** Rows without a request id, and requests that the view yields more than once. */
async function findUnusableRows(session: Session, due: DueSql): Promise<Failure[]> {
  const rows = await session.query({
    name: 'previewUnusable',
    slow: true,
    columns: { RequestId: nullable(requestId), DueRows: number },
    sql: `${due.with}
SELECT g.RequestId, COUNT(*) AS DueRows
FROM Candidates AS g
WHERE g.CoveredUntil IS NULL AND g.ViewRows <> 1
GROUP BY g.RequestId
ORDER BY g.RequestId;`,
    parameters: due.parameters,
  });
  const failures: Failure[] = [];
  const withoutId = rows.find(({ RequestId }) => RequestId === null);
  if (withoutId) failures.push({ cause: 'idMissing', count: withoutId.DueRows, requestIds: [] });
  const duplicated = rows.flatMap(({ RequestId }) => RequestId ?? []);
  if (duplicated.length > 0)
    failures.push({
      cause: 'duplicated',
      count: duplicated.length,
      requestIds: duplicated.slice(0, maxNamedIds),
    });
  return failures;
}

/** Grants whose address is missing or malformed: the addresses are judged here, one row for each. */
async function findUnusableAddresses(session: Session, due: DueSql): Promise<Failure[]> {
  const addresses = await session.query({
    name: 'previewAddresses',
    slow: true,
    columns: { Recipient: text, Grants: number },
    sql: `${due.withDue}
SELECT g.Recipient, COUNT(*) AS Grants FROM Due AS g GROUP BY g.Recipient ORDER BY g.Recipient;`,
    parameters: due.parameters,
  });
  const failures: Failure[] = [];
  const unusable = Map.groupBy(addresses, ({ Recipient }) => addressFailure(Recipient));
  for (const [cause, rows] of unusable) {
    if (cause === null) continue;
    const recipients = rows.slice(0, maxNamedIds).map(({ Recipient }) => Recipient);
    const requests = await session.query({
      name: 'previewUndeliverable',
      slow: true,
      columns: { RequestId: requestId },
      sql: `${due.withDue}
SELECT TOP (@rows) g.RequestId FROM Due AS g
WHERE g.Recipient IN (
  SELECT j.Recipient COLLATE Latin1_General_BIN2 FROM OPENJSON(@recipients) WITH (Recipient NVARCHAR(400) '$') AS j)
ORDER BY g.RequestId;`,
      parameters: {
        ...due.parameters,
        rows: int(maxNamedIds),
        recipients: nVarChar('max', JSON.stringify(recipients)),
      },
    });
    failures.push({
      cause,
      count: rows.reduce((sum, { Grants }) => sum + Grants, 0),
      requestIds: requests.map(({ RequestId }) => RequestId),
    });
  }
  return failures;
}
