import { date, number, text } from '../../src/database/columns';
import { formatUtc } from '../../src/format';
import { objectName, type ExaminedDatabase } from './database';
import { ok, warning, type Finding } from './finding';

const table = 'dbo.JobRun';

/** Whether the rows of JobRun are as the jobs write them, and can be written at all. */
export async function checkRuns(database: ExaminedDatabase): Promise<Finding[]> {
  const [totals] = await database.session.query({
    name: 'countRuns',
    columns: { Runs: number, InProgress: number },
    sql: `SELECT COUNT(*) AS Runs, COUNT(CASE WHEN r.Status = 'InProgress' THEN 1 END) AS InProgress FROM ${table} AS r;`,
  });
  return [
    ok(`runs in ${table}`, `${totals?.Runs ?? 0}, ${totals?.InProgress ?? 0} in progress`),
    ...(await checkTriggers(database)),
    ...(await checkFutureRuns(database)),
  ];
}

/** A trigger is part of the statements by which a job takes and keeps its lock (sql/05_JobRun.sql). */
async function checkTriggers({ session }: ExaminedDatabase): Promise<Finding[]> {
  const rows = await session.query({
    name: 'readTriggers',
    columns: { Name: text },
    sql: 'SELECT t.name AS Name FROM sys.triggers AS t WHERE t.parent_id = OBJECT_ID(@table) AND t.is_disabled = 0;',
    parameters: { table: objectName(table) },
  });
  return rows.map(({ Name }) =>
    warning(
      `trigger ${Name} on ${table}`,
      'runs within the statements by which a job takes and keeps its lock: if it fails or is slow, so is every job',
      `if jobs fail, DISABLE TRIGGER ${Name} ON ${table}`,
    ),
  );
}

/** Runs in progress that another program or a wrong clock has dated in the future. */
async function checkFutureRuns({ session }: ExaminedDatabase): Promise<Finding[]> {
  const rows = await session.query({
    name: 'readFutureRuns',
    columns: { Job_Id: text, Job_Type: text, Started_At: date },
    sql: `SELECT r.Job_Id, r.Job_Type, r.Started_At FROM ${table} AS r
WHERE r.Status = 'InProgress' AND r.Started_At > DATEADD(MINUTE, 1, GETUTCDATE())
ORDER BY r.Id DESC;`,
  });
  return rows.map((row) =>
    warning(
      `run ${row.Job_Id}`,
      `${row.Job_Type}, in progress since ${formatUtc(row.Started_At)}, which is in the future`,
      'the next run closes it; find out which clock was wrong, or which program writes to the table',
    ),
  );
}
