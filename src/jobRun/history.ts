import { date } from '../database/columns';
import type { Session } from '../database/session';
import { int, uniqueIdentifier, varChar } from '../database/statement';
import { jobRunColumns, jobRunList, toJobRun, type JobRun, type JobType } from './jobRun';

/**
 * The runs of a job type, newest first; by the index IX_JobRun_Job_Type_Started_At.
 * @param before only runs that began before the run of this Job_Id, which may have any type
 */
export async function listRuns(
  session: Pick<Session, 'query'>,
  jobType: JobType,
  limit: number,
  { before }: { readonly before?: string | undefined } = {},
): Promise<JobRun[]> {
  const cursor = `
JOIN dbo.JobRun AS c ON c.Job_Id = @before AND r.Started_At <= c.Started_At AND (r.Started_At < c.Started_At OR r.Id < c.Id)`;
  const rows = await session.query({
    name: 'listRuns',
    columns: jobRunColumns,
    sql: `SELECT TOP (@limit) ${jobRunList} FROM dbo.JobRun AS r${before === undefined ? '' : cursor}
WHERE r.Job_Type = @jobType ORDER BY r.Job_Type, r.Started_At DESC, r.Id DESC;`,
    parameters: {
      jobType: varChar(50, jobType),
      limit: int(limit),
      ...(before !== undefined && { before: uniqueIdentifier(before) }),
    },
  });
  return rows.map(toJobRun);
}

/** The runs of all jobs, the newest first: ids and times grow together. */
async function listAllRuns(session: Session, limit: number, before: string | undefined): Promise<JobRun[]> {
  const cursor = 'WHERE r.Id < (SELECT c.Id FROM dbo.JobRun AS c WHERE c.Job_Id = @before) ';
  const rows = await session.query({
    name: 'listAllRuns',
    columns: jobRunColumns,
    sql: `SELECT TOP (@limit) ${jobRunList} FROM dbo.JobRun AS r
${before === undefined ? '' : cursor}ORDER BY r.Id DESC;`,
    parameters: { limit: int(limit), ...(before !== undefined && { before: uniqueIdentifier(before) }) },
  });
  return rows.map(toJobRun);
}

/** Runs read at a time, and in all, to find those that match. */
const searched = { chunk: 500, most: 2000 };

export interface FoundRuns {
  readonly runs: readonly JobRun[];
  /** The previous run that matches. */
  readonly older: JobRun | undefined;
  /** The last run that was read, if earlier ones may match. */
  readonly lookedUntil: JobRun | undefined;
}

/**
 * A page of the runs of one job or of all, newest first. They are matched here, since the codes of a message have no
 * column.
 * @param matches absent: all do
 * @returns undefined if there is no run of the Job_Id `before`
 */
export async function findRuns(
  session: Session,
  jobType: JobType | undefined,
  limit: number,
  { before, matches }: { readonly before?: string | undefined; readonly matches?: (run: JobRun) => boolean },
): Promise<FoundRuns | undefined> {
  const size = matches ? searched.chunk : limit + 1;
  const found: JobRun[] = [];
  let last: JobRun | undefined;
  for (let looked = 0; looked < searched.most; looked += size) {
    const cursor = last?.jobId ?? before;
    const chunk = await (jobType === undefined
      ? listAllRuns(session, size, cursor)
      : listRuns(session, jobType, size, { before: cursor }));
    if (chunk.length === 0 && cursor === before && before !== undefined && !(await findRun(session, before)))
      return undefined;
    found.push(...(matches ? chunk.filter(matches) : chunk));
    const complete = found.length > limit || chunk.length < size;
    if (complete) return { runs: found.slice(0, limit), older: found[limit], lookedUntil: undefined };
    last = chunk.at(-1);
  }
  return { runs: found, older: undefined, lookedUntil: last };
}

/**
 * A page of a job's history.
 * @returns undefined if the job has no run of the Job_Id `before`
 */
export async function readHistory(
  session: Session,
  jobType: JobType,
  limit: number,
  before: string | undefined,
): Promise<JobRun[] | undefined> {
  if (before !== undefined && (await findRun(session, before))?.jobType !== jobType) return undefined;
  return listRuns(session, jobType, limit, { before });
}

/** The next run of a job type after the run of this Job_Id. */
export async function findNextRun(
  session: Session,
  jobType: JobType,
  after: string,
): Promise<JobRun | undefined> {
  const [row] = await session.query({
    name: 'findNextRun',
    columns: jobRunColumns,
    sql: `SELECT TOP (1) ${jobRunList} FROM dbo.JobRun AS r
JOIN dbo.JobRun AS c ON c.Job_Id = @after AND r.Started_At >= c.Started_At AND (r.Started_At > c.Started_At OR r.Id > c.Id)
WHERE r.Job_Type = @jobType ORDER BY r.Started_At, r.Id;`,
    parameters: { jobType: varChar(50, jobType), after: uniqueIdentifier(after) },
  });
  return row && toJobRun(row);
}

/** When the first run of any job began, UTC; undefined: there is none. */
export async function readFirstRunAt(session: Pick<Session, 'query'>): Promise<Date | undefined> {
  const [row] = await session.query({
    name: 'readFirstRunAt',
    columns: { Started_At: date },
    sql: 'SELECT TOP (1) r.Started_At FROM dbo.JobRun AS r ORDER BY r.Id;',
    parameters: {},
  });
  return row?.Started_At;
}

/** One run by its Job_Id. */
export async function findRun(session: Session, jobId: string): Promise<JobRun | undefined> {
  const [row] = await session.query({
    name: 'findRun',
    columns: jobRunColumns,
    sql: `SELECT ${jobRunList} FROM dbo.JobRun AS r WHERE r.Job_Id = @jobId;`,
    parameters: { jobId: uniqueIdentifier(jobId) },
  });
  return row && toJobRun(row);
}

/** The Job_Id of the run of a job that wrote a row at that time, in SQL: of the last that had begun. */
export function runOfSql(jobType: string, at: string): string {
  return `(
    SELECT TOP (1) j.Job_Id FROM dbo.JobRun AS j
    WHERE j.Job_Type = ${jobType} AND j.Started_At <= ${at} ORDER BY j.Job_Type, j.Started_At DESC, j.Id DESC)`;
}

/** When a run began, in SQL. */
export const startOfRunSql = (jobId: string): string =>
  `(SELECT s.Started_At FROM dbo.JobRun AS s WHERE s.Job_Id = ${jobId})`;
