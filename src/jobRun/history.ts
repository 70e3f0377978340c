import type { Session } from '../database/session';
import { int, varChar } from '../database/statement';
import { jobRunColumns, toJobRun, type JobRun, type JobType } from './jobRun';

/** The runs of a job type, newest first; by the index IX_JobRun_Job_Type_Started_At. */
export async function listRuns(session: Session, jobType: JobType, limit: number): Promise<JobRun[]> {
  const rows = await session.query({
    name: 'listRuns',
    sql: `SELECT TOP (@limit) ${jobRunColumns('r')} FROM dbo.JobRun AS r
WHERE r.Job_Type = @jobType ORDER BY r.Job_Type, r.Started_At DESC, r.Id DESC;`,
    parameters: { jobType: varChar(50, jobType), limit: int(limit) },
  });
  return rows.map(toJobRun);
}
