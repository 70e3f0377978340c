import type { Deadline } from '../clock';
import type { Session } from '../database/session';
import { int } from '../database/statement';
import { findNextRun, findRun, listRuns } from '../jobRun/history';
import type { JobRun } from '../jobRun/jobRun';
import { findJob, type Job } from './catalogue';
import { failuresOf, type Failure } from './failures';
import { parseRequestId, type RequestId } from './platforms';
import { readRequests, type AccessRequest } from './requests';
import type { Services } from '../services';

/** Rows of a run that are read at a time. */
const pageSize = 100;

/** A row that a run wrote: a grant revoked, or one whose reminder was sent. */
export interface WrittenRow {
  readonly requestId: RequestId;
  /** When it was written, UTC. */
  readonly at: Date;
  /** Notification jobs: the address. */
  readonly sentTo?: string;
}

/** One run, what it wrote, and the run before it to compare it with. */
export interface RunDetails {
  readonly job: Job;
  readonly run: JobRun;
  readonly previousRun: JobRun | null;
  readonly failures: readonly Failure[];
  /** At most 100, in the order in which they were written. */
  readonly rows: readonly WrittenRow[];
  /** What to give as `after` for the rows that follow; null: there are none. */
  readonly next: number | null;
  /** The requests of the rows and failures as they are now; undefined: the database has no view of them. */
  readonly requests: ReadonlyMap<RequestId, AccessRequest> | undefined;
}

/**
 * Reads a run and the rows that it wrote.
 * @param after only rows behind this one: the `next` of the page before
 * @returns undefined if there is no such run
 * @throws DatabaseError
 */
export async function readRunDetails(
  { database }: Services,
  deadline: Deadline,
  jobId: string,
  after?: number,
): Promise<RunDetails | undefined> {
  return database.connect('read', (connection) =>
    connection.withRetries(deadline, async (session) => {
      const run = await findRun(session, jobId);
      const job = run && findJob(run.jobType);
      if (!job) return undefined;
      const [previousRun] = await listRuns(session, job.type, 1, { before: jobId });
      const nextRun = await findNextRun(session, job.type, jobId);
      const written = await readWrittenRows(session, job, run.startedAt, nextRun?.startedAt, after);
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
    }),
  );
}

/**
 * The rows that a job wrote from `from` until its next run began: runs of one type do not overlap, and what was sent is
 * recorded even after a run has lost its lock.
 * @param until undefined: no other run followed
 */
async function readWrittenRows(
  session: Session,
  job: Job,
  from: Date,
  until: Date | undefined,
  after: number | undefined,
): Promise<Pick<RunDetails, 'rows' | 'next'>> {
  const { table, at, by, sentTo } = job.writes;
  const { requestColumn } = job.platform;
  const found = await session.query({
    name: 'readWrittenRows',
    sql: `SELECT TOP (@limit) w.Id, w.${requestColumn} AS RequestId, w.${at} AS At, w.${by} AS WrittenBy${sentTo ? `, w.${sentTo} AS SentTo` : ''}
FROM ${table} AS w WHERE w.Id > @after ORDER BY w.Id;`,
    parameters: {
      limit: int(pageSize + 1),
      after: int(after ?? (await findLastIdBefore(session, job, from))),
    },
  });
  const inTime = found.filter((row) => until === undefined || (row.At as Date) < until);
  const page = inTime.slice(0, pageSize);
  const written = page.filter((row) => row.WrittenBy === job.type);
  return {
    rows: written.map((row) => ({
      requestId: row.RequestId as RequestId,
      at: row.At as Date,
      ...(sentTo && { sentTo: row.SentTo as string }),
    })),
    next: inTime.length > pageSize ? (page.at(-1)?.Id as number) : null,
  };
}

/**
 * The id of the last row that was written before `from`, or 0. Ids and times grow together, so the place is found by
 * halving the range of ids, some twenty look-ups by the key: an index on the time would cost every run a write per row.
 */
async function findLastIdBefore(session: Session, job: Job, from: Date): Promise<number> {
  const { table, at } = job.writes;
  const [range] = await session.query({
    name: 'readIdRange',
    sql: `SELECT COALESCE(MAX(w.Id), 0) AS Highest FROM ${table} AS w;`,
    parameters: {},
  });
  // Up to `before` rows were written before `from`; behind `notBefore` there is none that was.
  let before = 0;
  let notBefore = range?.Highest as number;
  while (before < notBefore) {
    const middle = Math.ceil((before + notBefore) / 2);
    const [row] = await session.query({
      name: 'findRowUpToId',
      sql: `SELECT TOP (1) w.Id, w.${at} AS At FROM ${table} AS w WHERE w.Id <= @id ORDER BY w.Id DESC;`,
      parameters: { id: int(middle) },
    });
    if (!row || (row.At as Date) < from) before = middle;
    else notBefore = (row.Id as number) - 1;
  }
  return before;
}
