import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deadlineIn, systemClock } from '../src/clock';
import { readDatabaseSettings } from '../src/config/settings';
import { Database } from '../src/database/database';
import { platforms } from '../src/jobs/platforms';
import { createCommandCredential } from './credential';
import { deployScripts } from './deployScripts';
import { readFacts } from './doctor/database';
import { formatFinding, type Finding } from './doctor/finding';
import { role } from './doctor/schema';
import { checkGrantView, checkRequestView } from './doctor/views';
import { parseArguments, readEnvironment, runCommand } from './environment';
import { grantRole, type Grantee } from './grantRole';
import { reportRetry } from './progress';

/** Long enough for a paused database to wake up. */
const timeBudgetMs = 5 * 60_000;
/** Building an index on an existing table reads all its rows. */
const statementTimeoutMs = 4 * 60_000;

const usage = `Usage: npm run db:deploy -- [--replace-views] [--grant <identity name> --client-id <its client id>]

Applies the scripts in sql/ to the database that SQL_SERVER and SQL_DATABASE name; what exists is left as it is. The
signed-in identity needs db_owner.

  --replace-views            replaces views that differ from the script, and keeps their text in a file
  --grant, --client-id       makes a managed identity a member of the role of the jobs

Exit code 0: done; 1: a script failed, or the views do not suit the jobs.`;

runCommand(usage, async () => {
  const { replaceViews, grantee } = readArguments();
  const environment = readEnvironment(grantee && '--grant is for a database in Azure');
  const { database, identityClientId } = readDatabaseSettings(environment);
  const credential = await createCommandCredential(environment, identityClientId);
  const directory = join(__dirname, '../sql');
  const log = (line: string): void => console.log(line);
  log(`Database ${database.name} on ${database.server}:${database.port}`);
  const retryOptions = { interactive: true, onRetry: reportRetry };
  const findings = await new Database(database, credential, statementTimeoutMs, retryOptions).withSession(
    'run',
    deadlineIn(systemClock, timeBudgetMs),
    async (session) => {
      await deployScripts(session, directory, log, replaceViews ? keepReplacedView : undefined);
      if (grantee) await grantRole(session, role, grantee, log);
      const examinedDatabase = { ...(await readFacts(session)), session };
      const checked: Finding[] = [];
      for (const platform of platforms) {
        checked.push(...(await checkRequestView(examinedDatabase, platform)));
        checked.push(...(await checkGrantView(examinedDatabase, platform)));
      }
      return checked;
    },
  );
  const failed = findings.filter(({ status }) => status === 'failed');
  for (const finding of failed) console.error(formatFinding(finding));
  return failed.length === 0;
});

/** Keeps the text of a replaced view in the working directory, for example as AccessGrant_Palantir.20261201T080000Z.sql. */
function keepReplacedView(view: string, definition: string): string {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const file = `${view.replace(/^.*\./, '')}.${time}.sql`;
  writeFileSync(file, definition, { flag: 'wx' });
  return file;
}

function readArguments(): { replaceViews: boolean; grantee: Grantee | undefined } {
  const { values } = parseArguments(
    {
      options: {
        'replace-views': { type: 'boolean' },
        grant: { type: 'string' },
        'client-id': { type: 'string' },
      },
    },
    usage,
  );
  const { grant, 'client-id': clientId, 'replace-views': replaceViews = false } = values;
  if (grant === undefined && clientId === undefined) return { replaceViews, grantee: undefined };
  if (!grant?.trim() || grant.length > 128)
    throw new Error(`--grant: expected the identity's name, of at most 128 characters.\n${usage}`);
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(clientId ?? ''))
    throw new Error(
      `--client-id: expected the identity's client id (not its object id), for example 7c9e6679-7425-40de-944b-e07fc1f90ae7.\n${usage}`,
    );
  return { replaceViews, grantee: { name: grant, clientId: clientId ?? '' } };
}
