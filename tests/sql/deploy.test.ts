import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deployScripts, splitBatches } from '../../cli/deployScripts';
import { createDatabase } from '../../local/sampleDatabase';
import { startTestEnvironment, type TestEnvironment } from '../support/environment';

const sqlDirectory = join(__dirname, '../../sql');
let environment: TestEnvironment;

beforeAll(async () => {
  environment = await startTestEnvironment();
});
afterAll(() => environment.close());

/** Runs work with a directory of its own that holds the scripts. */
async function withScripts<T>(
  scripts: Record<string, string>,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'scripts-'));
  try {
    for (const [name, text] of Object.entries(scripts)) writeFileSync(join(directory, name), text);
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const objects = () =>
  environment.query(`SELECT o.name, o.type_desc FROM sys.objects AS o
WHERE o.schema_id = (SELECT schema_id FROM sys.schemas WHERE name = 'dbo') AND o.is_ms_shipped = 0 ORDER BY o.name;`);

test('a second run changes nothing, and says of each object that it exists', async () => {
  const before = await objects();
  expect(before.length).toBeGreaterThan(7);
  const lines: string[] = [];
  await deployScripts(environment.session, sqlDirectory, (line) => lines.push(line));
  expect(await objects()).toEqual(before);
  expect(lines.join('\n')).not.toContain('created');
  for (const table of ['JobRun', 'ExpiryNotification_Databricks', 'RevokedAccess_Palantir'])
    expect(lines).toContain(`  table dbo.${table}: exists, unchanged`);
});

test('the scripts are applied in the order of their names', async () => {
  const lines: string[] = [];
  await deployScripts(environment.session, sqlDirectory, (line) => lines.push(line));
  const scripts = lines.filter((line) => line.endsWith('.sql'));
  expect(scripts).toEqual([
    '01_ExpiryNotification_Databricks.sql',
    '02_ExpiryNotification_Palantir.sql',
    '03_RevokedAccess_Databricks.sql',
    '04_RevokedAccess_Palantir.sql',
    '05_JobRun.sql',
    '06_AccessGrant_views.sql',
    '07_AccessExpiryJobs_role.sql',
  ]);
});

test('a table that was dropped is created again, and the run says so', async () => {
  await environment.query('DROP TABLE dbo.RevokedAccess_Databricks;');
  const lines: string[] = [];
  await deployScripts(environment.session, sqlDirectory, (line) => lines.push(line));
  expect(lines).toContain('  table dbo.RevokedAccess_Databricks: created');
});

test('a fault names the script, the batch, the line and what the server said', async () => {
  const scripts = {
    '01_good.sql': "PRINT 'one';\nGO\n",
    '02_bad.sql': "PRINT 'two';\nGO\n-- a comment\nSELECT nothing FROM dbo.Missing;\nGO\n",
  };
  await withScripts(scripts, async (directory) => {
    const lines: string[] = [];
    await expect(deployScripts(environment.session, directory, (line) => lines.push(line))).rejects.toThrow(
      /^02_bad\.sql, batch 2 of 2, line \d+: Invalid object name 'dbo\.Missing'\. \(SQL error 208\)/,
    );
    expect(lines).toEqual(['01_good.sql', '  one', '02_bad.sql', '  two']);
  });
});

test('every constraint and index that the scripts create has a name of its own', async () => {
  await createDatabase(environment.session);
  const rows = await environment.query(
    'SELECT i.name FROM sys.indexes AS i JOIN sys.tables AS t ON t.object_id = i.object_id UNION ALL SELECT o.name FROM sys.objects AS o;',
  );
  const names = rows.map(({ name }) => name as string | null);
  expect(names).toContain('UX_JobRun_Job_Type_InProgress');
  // What the server names itself looks like PK__JobRun__3214EC07F2A1.
  expect(names.filter((name) => name === null || /^[A-Z]{1,2}__/.test(name))).toEqual([]);
});

test('GO parts batches on a line of its own, in any case, and empty batches are left out', () => {
  expect(splitBatches("SELECT 1;\ngo\n\n-- only a comment\nGO\r\nSELECT 'GO';\n  GO  \n")).toEqual([
    { sql: 'SELECT 1;', firstLine: 1 },
    { sql: "SELECT 'GO';", firstLine: 6 },
  ]);
});
