import type { Row } from '../../src/database/session';
import { formatUtc } from '../../src/format';
import { jobs } from '../../src/jobs/catalogue';
import type { JobRun } from '../../src/jobRun/jobRun';
import { objectName, type ExaminedDatabase } from './database';
import { failed, ok, warning, type Finding } from './finding';

const table = 'dbo.JobRun';

const maxNamedRuns = 10;

/** The values that a column may hold, compared exactly. */
const expectedValues: Readonly<Record<'Status' | 'Job_Type', readonly string[]>> = {
  Status: ['InProgress', 'Completed', 'Failed'] satisfies JobRun['status'][],
  Job_Type: jobs.map(({ type }) => type),
};

/** Whether the rows of JobRun are as the jobs write them, and can be written at all. */
export async function checkRuns(database: ExaminedDatabase): Promise<Finding[]> {
  const [totals] = await database.session.query({
    name: 'countRuns',
    sql: `SELECT COUNT(*) AS Runs, COUNT(CASE WHEN r.Status = 'InProgress' THEN 1 END) AS InProgress FROM ${table} AS r;`,
  });
  return [
    ok(`runs in ${table}`, `${totals?.Runs as number}, ${totals?.InProgress as number} in progress`),
    ...(await checkTriggers(database)),
    ...(await checkRows(database)),
  ];
}

/** A trigger is part of the statements by which a job takes and keeps its lock (sql/05_JobRun.sql). */
async function checkTriggers({ session }: ExaminedDatabase): Promise<Finding[]> {
  const rows = await session.query({
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

/** Rows that another program or a wrong clock has left. */
async function checkRows({ session }: ExaminedDatabase): Promise<Finding[]> {
  const unexpected = Object.entries(expectedValues).map(
    ([column, values]) =>
      `r.${column} COLLATE Latin1_General_BIN2 NOT IN (${values.map((value) => `'${value}'`).join(', ')})`,
  );
  const rows = await session.query({
    name: 'readStrangeRuns',
    sql: `SELECT TOP (${maxNamedRuns}) r.Job_Id, r.Job_Type, r.Status, r.Started_At
FROM ${table} AS r
WHERE r.Status = 'InProgress' AND r.Started_At > DATEADD(MINUTE, 1, GETUTCDATE())
  OR ${unexpected.join('\n  OR ')}
ORDER BY r.Id DESC;`,
  });
  return rows.flatMap((row) => {
    const misspelt = (['Status', 'Job_Type'] as const).flatMap((column) => findMisspelt(row, column));
    if (misspelt.length > 0) return misspelt;
    return warning(
      `run ${row.Job_Id as string}`,
      `${row.Job_Type as string}, in progress since ${formatUtc(row.Started_At as Date)}, which is in the future`,
      'the next run closes it; find out which clock was wrong, or which program writes to the table',
    );
  });
}

/** Most collations ignore case: such a row takes part in the lock, and nothing recognises it. */
function findMisspelt(row: Row, column: keyof typeof expectedValues): Finding[] {
  const value = row[column] as string;
  const expected = expectedValues[column];
  if (expected.includes(value)) return [];
  const jobId = row.Job_Id as string;
  const meant = expected.find((one) => one.toLowerCase() === value.toLowerCase());
  const [wanted, advice] = meant
    ? [`'${meant}'`, `UPDATE ${table} SET ${column} = '${meant}' WHERE Job_Id = '${jobId}'`]
    : [`one of ${expected.join(', ')}`, 'correct or delete the row'];
  return [failed(`run ${jobId}`, `${column} is '${value}', expected ${wanted}`, advice)];
}
