import type { Deadline } from '../clock';
import { date, nullable, number, text } from '../database/columns';
import type { Session } from '../database/session';
import { int, uniqueIdentifier } from '../database/statement';
import { findNextRun, findRun, listRuns, startOfRunSql } from '../jobRun/history';
import type { JobRun } from '../jobRun/jobRun';
import { findJob, type Job } from './catalogue';
import { failuresOf, type Failure } from './failures';
import { requestId } from './grants';
import { parseRequestId, type RequestId } from './platforms';
import { readRequests, type AccessRequest } from './requests';
import type { Services } from '../services';

/** Rows of a run per page. */
const pageSize = 100;

/** A row that a run wrote: a grant revoked, or one whose reminder was sent. */
export interface WrittenRow {
  readonly requestId: RequestId;
  /** When it was written, UTC. */
  readonly at: Date;
  /** Notification jobs: the address. */
  readonly sentTo?: string;
}

/** One run, its rows, and the previous run for comparison. */
export interface RunDetails {
  readonly job: Job;
  readonly run: JobRun;
  readonly previousRun: JobRun | null;
  readonly failures: readonly Failure[];
  /** At most 100, in the order in which they were written. */
  readonly rows: readonly WrittenRow[];
  /** The `after` of the next page; null on the last one. */
  readonly next: number | null;
  /** The requests of the rows and failures as they are now; undefined: the database has no view of them. */
  readonly requests: ReadonlyMap<RequestId, AccessRequest> | undefined;
}

/**
 * Reads a run and the rows that it wrote.
 * @param after the `next` of the previous page
 * @returns undefined if there is no such run
 * @throws DatabaseError
 */
export async function readRunDetails(
  { database }: Services,
  deadline: Deadline,
  jobId: string,
  after?: number,
): Promise<RunDetails | undefined> {
  return database.withSession('read', deadline, async (session) => {
    const run = await findRun(session, jobId);
    const job = run && findJob(run.jobType);
    if (!job) return undefined;
    const [previousRun] = await listRuns(session, job.type, 1, { before: jobId });
    const nextRun = await findNextRun(session, job.type, jobId);
    const written = await readWrittenRows(session, job, jobId, nextRun?.startedAt, after);
    const failures = failuresOf(run.facts).map((failure) => ({
      ...failure,
      requestIds: failure.requestIds.flatMap((id) => parseRequestId(String(id), job.platform) ?? []),
    }));
    const requestIds = new Set([
      ...written.rows.map(({ requestId }) => requestId),
      ...failures.flatMap((failure) => failure.requestIds),
    ]);
    return {
      job,
      run,
      previousRun: previousRun ?? null,
      failures,
      ...written,
      requests: await readRequests(session, job.platform, [...requestIds]),
    };
  });
}

/**
 * The rows that a job wrote from the start of a run until its next run began: runs of one type do not overlap, and a sent
 * message is recorded even after the run has lost its lock. Ids and times grow together, so the first row is found
 * backwards by the key: few rows for a recent run, and no index on the time that each run would have to maintain.
 * @param until undefined: no other run followed
 */
async function readWrittenRows(
  session: Session,
  { type, platform: { requestColumn }, writes: { table, at, by, sentTo } }: Job,
  jobId: string,
  until: Date | undefined,
  after: number | undefined,
): Promise<Pick<RunDetails, 'rows' | 'next'>> {
  const lastBefore = `COALESCE((
    SELECT TOP (1) b.Id FROM ${table} AS b WHERE b.${at} < ${startOfRunSql('@jobId')} ORDER BY b.Id DESC), 0)`;
  const found = await session.query({
    name: 'readWrittenRows',
    columns: { Id: number, RequestId: requestId, At: date, WrittenBy: text, SentTo: nullable(text) },
    sql: `SELECT TOP (@limit) w.Id, w.${requestColumn} AS RequestId, w.${at} AS At, w.${by} AS WrittenBy,
  ${sentTo ? `w.${sentTo}` : 'CAST(NULL AS VARCHAR(1))'} AS SentTo
FROM ${table} AS w
WHERE w.Id > ${after === undefined ? lastBefore : '@after'} AND w.${at} >= ${startOfRunSql('@jobId')}
ORDER BY w.Id;`,
    parameters: {
      limit: int(pageSize + 1),
      jobId: uniqueIdentifier(jobId),
      ...(after !== undefined && { after: int(after) }),
    },
  });
  const inTime = found.filter(({ At }) => until === undefined || At < until);
  const page = inTime.slice(0, pageSize);
  return {
    rows: page
      .filter(({ WrittenBy }) => WrittenBy === type)
      .map(({ RequestId, At, SentTo }) => ({
        requestId: RequestId,
        at: At,
        ...(SentTo !== null && { sentTo: SentTo }),
      })),
    next: inTime.length > pageSize ? (page.at(-1)?.Id ?? null) : null,
  };
}
