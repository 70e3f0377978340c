import type { Settings } from '../../src/config/settings';
import { platforms } from '../../src/jobs/platforms';
import type { ExaminedDatabase } from './database';
import type { Finding } from './finding';
import { checkGrants } from './grants';
import { checkJobStates } from './jobStates';
import { checkPermissions, checkRole } from './permissions';
import { checkColumns, checkRowLevelSecurity } from './protection';
import { checkRuns } from './runs';
import { grants, requestTables, role, tables, viewScript, type Grants } from './schema';
import { checkTable } from './tables';
import { checkGrantView, checkRequestView } from './views';

/** Findings of the checks before, by subject. */
type Found = ReadonlyMap<string, readonly Finding[]>;

export interface DatabaseCheck {
  readonly subject: string;
  readonly check: (database: ExaminedDatabase, found: Found) => Promise<Finding[]>;
  /** Why it is skipped, if it is. */
  readonly skip?: (found: Found) => string | undefined;
  /** Advice if the database does not answer. */
  readonly advice?: string;
}

const jobRun = 'table dbo.JobRun';
const isNotFound = (found: Found): boolean =>
  found.get(jobRun)?.some(({ subject, status }) => subject === jobRun && status !== 'ok') === true;

/** The checks of a database that can be reached, in order. */
export const databaseChecks = (settings: Settings): readonly DatabaseCheck[] => [
  ...tables.map((table) => ({
    subject: `table ${table.name}`,
    check: (database: ExaminedDatabase) => checkTable(database, table),
  })),
  ...platforms.flatMap((platform) => [
    {
      subject: `view ${platform.requestView}`,
      check: (database: ExaminedDatabase) => checkRequestView(database, platform),
    },
    {
      subject: `view ${platform.grantView}`,
      check: (database: ExaminedDatabase) => checkGrantView(database, platform),
    },
  ]),
  { subject: 'permissions', check: (database, found) => checkPermissions(database, grantsOn(found)) },
  { subject: `role ${role}`, check: async (database, found) => [await checkRole(database, grantsOn(found))] },
  ...requestTables.map((table) => ({
    subject: `columns of ${table}`,
    check: (database: ExaminedDatabase) => checkColumns(database, table),
  })),
  { subject: 'row-level security', check: checkRowLevelSecurity },
  {
    subject: 'runs in dbo.JobRun',
    skip: (found) => (isNotFound(found) ? 'the table was not found' : undefined),
    check: checkRuns,
  },
  {
    subject: 'states of the jobs',
    skip: (found) =>
      isNotFound(found) || found.get(jobRun)?.some(({ status }) => status === 'failed')
        ? 'the table is not as the jobs need it'
        : undefined,
    check: (database) => checkJobStates(database, settings),
  },
  ...platforms.map((platform) => ({
    subject: `grants of ${platform.grantView}`,
    skip: (found: Found) =>
      found.get(`view ${platform.grantView}`)?.every(({ status }) => status === 'ok')
        ? undefined
        : 'the view is not as the jobs need it',
    check: (database: ExaminedDatabase) => checkGrants(database, platform),
    advice: `run the view's SELECT in ${viewScript} by hand; ExpiresAt must be a bare, indexed column`,
  })),
];

/** The role's grants, without those on a missing view of requests, which the jobs do not need. */
function grantsOn(found: Found): Grants {
  const isMissing = (object: string): boolean =>
    found.get(`view ${object}`)?.some(({ status }) => status === 'warning') === true;
  return Object.fromEntries(Object.entries(grants).filter(([object]) => !isMissing(object)));
}
