/**
 * Applies the scripts in sql/ to the database that the settings name.
 *
 *     npm run db:deploy
 *
 * The signed-in identity needs db_owner.
 */
import { join } from 'node:path';
import { deadlineIn, systemClock } from '../src/clock';
import { readDatabaseSettings } from '../src/config/settings';
import { Database } from '../src/database/database';
import { deployScripts } from './deployScripts';
import { createCredential } from '../src/services';
import { readEnvironment, runCommand } from './environment';

/** Deploying waits for a paused database to wake up, and no longer. In ms. */
const timeBudget = 5 * 60_000;

runCommand(async () => {
  const environment = readEnvironment();
  const { database, identityClientId } = readDatabaseSettings(environment);
  const credential = await createCredential(environment, identityClientId);
  const deadline = deadlineIn(systemClock, timeBudget);
  console.log(`Database ${database.name} on ${database.server}:${database.port}`);
  await new Database(database, credential).connect((connection) =>
    connection.withRetries(deadline, (session) =>
      deployScripts(session, join(__dirname, '../sql'), (line) => console.log(line)),
    ),
  );
  return true;
});
