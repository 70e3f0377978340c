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

type Options = Pick<DatabaseCheck, 'skip' | 'advice'>;
const checkOf = (subject: string, check: DatabaseCheck['check'], options: Options = {}): DatabaseCheck => ({
  subject,
  check,
  ...options,
});

/** The checks of a database that can be reached, in order. */
export const databaseChecks = (settings: Settings): readonly DatabaseCheck[] => [
  ...tables.map((table) => checkOf(`table ${table.name}`, (database) => checkTable(database, table))),
  ...platforms.flatMap((platform) => [
    checkOf(`view ${platform.requestView}`, (database) => checkRequestView(database, platform)),
    checkOf(`view ${platform.grantView}`, (database) => checkGrantView(database, platform)),
  ]),
  checkOf('permissions', (database, found) => checkPermissions(database, grantsOn(found))),
  checkOf(`role ${role}`, async (database, found) => [await checkRole(database, grantsOn(found))]),
  ...requestTables.map((table) =>
    checkOf(`columns of ${table}`, (database) => checkColumns(database, table)),
  ),
  checkOf('row-level security', checkRowLevelSecurity),
  checkOf('runs in dbo.JobRun', checkRuns, {
    skip: (found) => (isNotFound(found) ? 'the table was not found' : undefined),
  }),
  checkOf('states of the jobs', (database) => checkJobStates(database, settings), {
    skip: (found) =>
      isNotFound(found) || found.get(jobRun)?.some(({ status }) => status === 'failed')
        ? 'the table is not as the jobs need it'
        : undefined,
  }),
  ...platforms.map((platform) =>
    checkOf(`grants of ${platform.grantView}`, (database) => checkGrants(database, platform), {
      skip: (found) =>
        found.get(`view ${platform.grantView}`)?.every(({ status }) => status === 'ok')
          ? undefined
          : 'the view is not as the jobs need it',
      advice: `run the view's SELECT in ${viewScript} by hand; ExpiresAt must be a bare, indexed column`,
    }),
  ),
];

/** The role's grants, without those on a missing view of requests, which the jobs do not need. */
function grantsOn(found: Found): Grants {
  const isMissing = (object: string): boolean =>
    found.get(`view ${object}`)?.some(({ status }) => status === 'warning') === true;
  return Object.fromEntries(Object.entries(grants).filter(([object]) => !isMissing(object)));
}
