import { date, listSql, number, text, type RowOf } from '../../src/database/columns';
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
    columns: { Runs: number, InProgress: number },
    sql: `SELECT COUNT(*) AS Runs, COUNT(CASE WHEN r.Status = 'InProgress' THEN 1 END) AS InProgress FROM ${table} AS r;`,
  });
  return [
    ok(`runs in ${table}`, `${totals?.Runs ?? 0}, ${totals?.InProgress ?? 0} in progress`),
    ...(await checkTriggers(database)),
    ...(await checkRows(database)),
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

const runColumns = { Job_Id: text, Job_Type: text, Status: text, Started_At: date };

/** Rows that another program or a wrong clock has left. */
async function checkRows({ session }: ExaminedDatabase): Promise<Finding[]> {
  const unexpected = Object.entries(expectedValues).map(
    ([column, values]) =>
      `r.${column} COLLATE Latin1_General_BIN2 NOT IN (${values.map((value) => `'${value}'`).join(', ')})`,
  );
  const rows = await session.query({
    name: 'readStrangeRuns',
    columns: runColumns,
    sql: `SELECT TOP (${maxNamedRuns}) ${listSql('r', runColumns)}
FROM ${table} AS r
WHERE r.Status = 'InProgress' AND r.Started_At > DATEADD(MINUTE, 1, GETUTCDATE())
  OR ${unexpected.join('\n  OR ')}
ORDER BY r.Id DESC;`,
  });
  return rows.flatMap((row) => {
    const misspelt = (['Status', 'Job_Type'] as const).flatMap((column) => findMisspelt(row, column));
    if (misspelt.length > 0) return misspelt;
    return warning(
      `run ${row.Job_Id}`,
      `${row.Job_Type}, in progress since ${formatUtc(row.Started_At)}, which is in the future`,
      'the next run closes it; find out which clock was wrong, or which program writes to the table',
    );
  });
}

/** Most collations ignore case: such a row takes part in the lock, and nothing recognises it. */
function findMisspelt(row: RowOf<typeof runColumns>, column: keyof typeof expectedValues): Finding[] {
  const value = row[column];
  const expected = expectedValues[column];
  if (expected.includes(value)) return [];
  const jobId = row.Job_Id;
  const meant = expected.find((one) => one.toLowerCase() === value.toLowerCase());
  const [wanted, advice] = meant
    ? [`'${meant}'`, `UPDATE ${table} SET ${column} = '${meant}' WHERE Job_Id = '${jobId}'`]
    : [`one of ${expected.join(', ')}`, 'correct or delete the row'];
  return [failed(`run ${jobId}`, `${column} is '${value}', expected ${wanted}`, advice)];
}
