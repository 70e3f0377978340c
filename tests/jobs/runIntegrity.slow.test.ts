/** A batch that fails half-way, a lost race for the lock, and a search that times out. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deployScripts } from '../../cli/deployScripts';
import { acquireLock } from '../../src/jobRun/acquire';
import { jobs } from '../../src/jobs/catalogue';
import { dueFor, useEnvironment } from '../support/arrange';
import { finished, jobOf, newGuid } from '../support/environment';

const environment = useEnvironment();

describe('if the database refuses the count of what a run has written', () => {
  /** The script's table with one more constraint, which fails the last statement of a batch that writes rows. */
  async function createTable(constraint: string): Promise<void> {
    const script = readFileSync(join(__dirname, '../../sql/05_JobRun.sql'), 'utf8');
    const directory = mkdtempSync(join(tmpdir(), 'script-'));
    writeFileSync(
      join(directory, '05_JobRun.sql'),
      script.replace('Processed_Count INT NULL', `Processed_Count INT NULL${constraint}`),
    );
    await environment.query('DROP TABLE dbo.JobRun;');
    await deployScripts(environment.session, directory, () => undefined);
    rmSync(directory, { recursive: true });
  }
  beforeAll(() => createTable(' CONSTRAINT CK_JobRun_Nothing CHECK (Processed_Count = 0)'));
  afterAll(() => createTable(''));

  test.each(jobs)('$type writes no rows', async (job) => {
    await environment.addGrants(job, [dueFor(job)]);
    const run = finished(await environment.run(job));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 0 });
    expect(run.message).toContain('CK_JobRun_Nothing');
    expect(await environment.query(`SELECT Id FROM ${job.writes.table};`)).toEqual([]);
  });
});

describe('a race for the lock that the index decides (2601)', () => {
  const type = 'RevokeExpiredDatabricksRequests';
  const acquire = (jobId: string) => acquireLock(environment.session, type, jobId, 'machine-2');
  const loseRace = () =>
    environment.standIn?.order({ kind: 'error', number: 2601, match: /INSERT INTO dbo\.JobRun/ });

  test('reports the run that holds the lock', async () => {
    const winner = newGuid();
    await acquire(winner);
    loseRace();
    expect(await acquire(newGuid())).toMatchObject({ kind: 'held', activeRun: { jobId: winner } });
  });

  test('is repeated if the winner has ended meanwhile', async () => {
    loseRace();
    expect((await acquire(newGuid())).kind).toBe('acquired');
  });
});

test.each([jobOf('revocation', 'Databricks'), jobOf('notification', 'Palantir')])(
  '$type fails if the search for what is due times out twice',
  async (job) => {
    await environment.addGrants(job, [dueFor(job)]);
    const { standIn } = environment;
    standIn?.order({ kind: 'hang', match: /INSERT INTO #Due/, times: Infinity });
    standIn?.clearStatements();
    const services = environment.services({}, { statementTimeoutMs: 1_000 });
    const run = finished(await environment.run(job, services, { trigger: 'timer' }));
    expect(run).toMatchObject({ status: 'Failed', processedCount: 0 });
    expect(run.message).toMatch(/^The database did not answer collectDue\w+ in time/);
    expect(standIn?.statements.filter(({ text }) => text.includes('INSERT INTO #Due'))).toHaveLength(2);
  },
);
