/** What must hold whatever fails. */
import type { EmailService } from '../../local/email';
import type { Row } from '../../src/database/session';
import type { Start, StartGrant } from './start';

/** Where the invariants are looked for. */
export interface World {
  readonly email: Pick<EmailService, 'messages'>;
  query(sql: string): Promise<Row[]>;
}

/**
 * What is broken of that which holds at every moment, in words:
 * - at most one run of a type is in progress, and no two runs overlap;
 * - a grant that is due gets at most one row, at or after its expiry if it is a revocation; no other grant gets any;
 * - the counts of the runs are the number of rows written;
 * - a reminder is in one accepted message at most, and what is recorded has been accepted.
 */
export async function findBreaches(world: World, start: Start): Promise<string[]> {
  const { runs, written } = await read(world, start);
  const breaches: string[] = [];
  const inProgress = runs.filter(({ Status }) => Status === 'InProgress').length;
  if (inProgress > 1) breaches.push(`${inProgress} runs in progress`);
  for (const [index, run] of runs.entries()) {
    const next = runs[index + 1];
    if (next && (run.Completed_At === null || Number(run.Completed_At) > Number(next.Started_At)))
      breaches.push(`run ${String(run.Job_Id)} had not ended when run ${String(next.Job_Id)} started`);
  }
  const processed = runs.reduce((sum, run) => sum + ((run.Processed_Count as number | null) ?? 0), 0);
  const rows = [...written.values()].flat();
  if (processed !== rows.length)
    breaches.push(`Processed_Count is ${processed}, rows written ${rows.length}`);

  for (const [id, newRows] of written) {
    const grant = start.grants.get(id);
    if (!grant?.due) breaches.push(`${id} is not due and has a row`);
    else if (newRows.length > 1) breaches.push(`${id} has ${newRows.length} rows`);
    else if (start.job.kind === 'revocation' && newRows.some(({ At }) => Number(At) < grant.endsAt.getTime()))
      breaches.push(`${id} is revoked before its expiry`);
  }
  const accepted = acceptedReminders(world, start);
  for (const [id, messages] of accepted)
    if (messages.length > 1) breaches.push(`${id} is in ${messages.length} accepted messages`);
  if (start.job.kind === 'notification')
    for (const id of written.keys())
      if (!accepted.has(id)) breaches.push(`${id} is recorded and was not accepted`);
  return breaches;
}

/**
 * What is broken of that which holds once a clean run has ended, beside what holds at every moment: no run is in
 * progress, every grant that is due has its row, and every message that was accepted is recorded.
 */
export async function findBreachesAtEnd(world: World, start: Start): Promise<string[]> {
  const { runs, written } = await read(world, start);
  const breaches = await findBreaches(world, start);
  for (const run of runs)
    if (run.Status === 'InProgress' || run.Completed_At === null)
      breaches.push(`run ${String(run.Job_Id)} is ${String(run.Status)}`);
  for (const { id, due } of start.grants.values())
    if (due && !written.has(id)) breaches.push(`${id} is due and has no row`);
  return [...breaches, ...(await findUnrecorded(world, start))];
}

/** Reminders that the service accepted and that are not recorded, in words. */
export async function findUnrecorded(world: World, start: Start): Promise<string[]> {
  const { written } = await read(world, start);
  return [...acceptedReminders(world, start).keys()]
    .filter((id) => !written.has(id))
    .map((id) => `${id} was accepted and is not recorded`);
}

/** The runs in the order in which they took the lock, and the rows beyond those of the start, by request. */
async function read(
  world: World,
  { job, grants }: Start,
): Promise<{ runs: Row[]; written: Map<StartGrant['id'], Row[]> }> {
  const { revocationTable, notificationTable, requestColumn } = job.platform;
  const runs = await world.query(`SELECT * FROM dbo.JobRun WHERE Job_Type = '${job.type}' ORDER BY Id;`);
  const rows = await world.query(
    job.kind === 'revocation'
      ? `SELECT ${requestColumn} AS Request, Revoked_Dt AS At FROM ${revocationTable} WHERE Revoked_By <> 'earlier';`
      : `SELECT ${requestColumn} AS Request, Notification_Sent_Dt AS At FROM ${notificationTable} WHERE Notification_Sent_By <> 'earlier';`,
  );
  const written = groupBy(rows, ({ Request }) => Request as StartGrant['id']);
  const untouched = await world.query(
    `SELECT COUNT(*) AS Rows FROM ${job.kind === 'revocation' ? revocationTable : notificationTable};`,
  );
  const earlier = [...grants.values()].reduce((sum, grant) => sum + grant.earlier, 0);
  if (untouched[0]?.Rows !== rows.length + earlier) throw new Error('Rows of earlier runs were changed');
  return { runs, written };
}

/** The operation ids of the accepted messages (that the service has not failed) by the requests that they remind of. */
function acceptedReminders({ email }: World, { grants }: Start): Map<StartGrant['id'], string[]> {
  const ids = new Map([...grants.values()].map(({ id, requestNumber }) => [requestNumber, id]));
  const reminders = email.messages
    .filter(({ status }) => status !== 'Failed')
    .flatMap(({ plainText = '', operationId }) =>
      [...plainText.matchAll(/\brequest: ([^,\n]+)/gi)].map(([, number = '']) => ({
        id: ids.get(number) ?? number,
        operationId,
      })),
    );
  return new Map(
    [...groupBy(reminders, ({ id }) => id)].map(([id, found]) => [
      id,
      found.map(({ operationId }) => operationId),
    ]),
  );
}

function groupBy<K, V>(items: readonly V[], keyOf: (item: V) => K): Map<K, V[]> {
  const groups = new Map<K, V[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
