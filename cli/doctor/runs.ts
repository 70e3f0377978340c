import { formatUtc } from '../../src/format';
import { jobs } from '../../src/jobs/catalogue';
import type { JobRun } from '../../src/jobRun/jobRun';
import { objectName, type ExaminedDatabase } from './database';
import { failed, ok, warning, type Finding } from './finding';

const table = 'dbo.JobRun';
const statuses: readonly JobRun['status'][] = ['InProgress', 'Completed', 'Failed'];
const jobTypes = jobs.map(({ type }) => type);

/** Rows that are named, at most. */
const maxNamedRuns = 10;

/** Whether the rows of JobRun are such as the jobs write, and can be written at all. */
export async function checkRuns(database: ExaminedDatabase): Promise<Finding[]> {
  const findings = [...(await checkTriggers(database)), ...(await checkRows(database))];
  const [totals] = await database.query({
    name: 'countRuns',
    sql: `SELECT COUNT(*) AS Runs, COUNT(CASE WHEN r.Status = 'InProgress' THEN 1 END) AS InProgress FROM ${table} AS r;`,
    parameters: {},
  });
  return [
    ok(`runs in ${table}`, `${totals?.Runs as number}, ${totals?.InProgress as number} in progress`),
    ...findings,
  ];
}

/** A trigger is part of the statements by which a job takes and keeps its lock (sql/05_JobRun.sql). */
async function checkTriggers({ query }: ExaminedDatabase): Promise<Finding[]> {
  const rows = await query({
    name: 'readTriggers',
    sql: 'SELECT t.name AS Name FROM sys.triggers AS t WHERE t.parent_id = OBJECT_ID(@table) AND t.is_disabled = 0;',
    parameters: { table: objectName(table) },
  });
  return rows.map(({ Name }) =>
    warning(
      `trigger ${Name as string} on ${table}`,
      'runs within the statements by which a job takes and keeps its lock: if it fails or is slow, so is every job',
      `if jobs fail, DISABLE TRIGGER ${Name as string} ON ${table}`,
    ),
  );
}

/** Rows that another program or a clock that was wrong has left. */
async function checkRows({ query }: ExaminedDatabase): Promise<Finding[]> {
  const list = (values: readonly string[]): string => values.map((value) => `'${value}'`).join(', ');
  const rows = await query({
    name: 'readStrangeRuns',
    sql: `SELECT TOP (${maxNamedRuns}) r.Job_Id, r.Job_Type, r.Status, r.Started_At
FROM ${table} AS r
WHERE r.Status = 'InProgress' AND r.Started_At > DATEADD(MINUTE, 1, GETUTCDATE())
  OR r.Status COLLATE Latin1_General_BIN2 NOT IN (${list(statuses)})
  OR r.Job_Type COLLATE Latin1_General_BIN2 NOT IN (${list(jobTypes)})
ORDER BY r.Id DESC;`,
    parameters: {},
  });
  return rows.flatMap((row) => {
    const subject = `run ${row.Job_Id as string}`;
    const misspelt = [
      ...findMisspelt(row.Job_Id as string, 'Status', row.Status as string, statuses),
      ...findMisspelt(row.Job_Id as string, 'Job_Type', row.Job_Type as string, jobTypes),
    ];
    if (misspelt.length > 0) return misspelt;
    return warning(
      subject,
      `${row.Job_Type as string}, in progress since ${formatUtc(row.Started_At as Date)}, which is in the future`,
      'the next run closes it; find out which clock was wrong, or which program writes to the table',
    );
  });
}

/** Most collations ignore case: such a row takes part in the lock, and nobody recognises it. */
function findMisspelt(jobId: string, column: string, value: string, expected: readonly string[]): Finding[] {
  if (expected.includes(value)) return [];
  const meant = expected.find((one) => one.toLowerCase() === value.toLowerCase());
  return [
    failed(
      `run ${jobId}`,
      `${column} is '${value}', expected ${meant === undefined ? `one of ${expected.join(', ')}` : `'${meant}'`}`,
      meant === undefined
        ? 'correct or delete the row'
        : `UPDATE ${table} SET ${column} = '${meant}' WHERE Job_Id = '${jobId}'`,
    ),
  ];
}
