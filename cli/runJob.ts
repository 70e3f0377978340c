/**
 * Runs one job against the database and the email service that the settings name.
 *
 *     npm run job -- <Job_Type> [--dry-run | --allow-mass-revocation]
 *
 * Exit code 0: the job completed (or the dry run was printed); 1: it failed, or its lock is held.
 */
import { findJob, jobs } from '../src/jobs/catalogue';
import { previewJob } from '../src/jobs/previewJob';
import { runJob } from '../src/jobs/runJob';
import { createServices } from '../src/services';
import { createCommandCredential } from './credential';
import { parseArguments, readEnvironment, runCommand } from './environment';

const usage = `Usage: npm run job -- <Job_Type> [--dry-run | --allow-mass-revocation]
Job types: ${jobs.map(({ type }) => type).join(', ')}`;

runCommand(async () => {
  const { values, positionals } = parseArguments(
    {
      allowPositionals: true,
      options: { 'dry-run': { type: 'boolean' }, 'allow-mass-revocation': { type: 'boolean' } },
    },
    usage,
  );
  const [name, ...others] = positionals;
  if (name === undefined || others.length > 0) throw new Error(`Expected one job type.\n${usage}`);
  const job = findJob(name);
  if (!job) throw new Error(`Unknown job type: ${name}.\n${usage}`);
  const allowMassRevocation = values['allow-mass-revocation'] === true;
  if (allowMassRevocation && job.kind !== 'revocation')
    throw new Error(`--allow-mass-revocation is for revocation jobs.\n${usage}`);
  if (allowMassRevocation && values['dry-run'])
    throw new Error(`--dry-run and --allow-mass-revocation exclude each other.\n${usage}`);

  const log = (message: string): void => console.error(message);
  const services = await createServices(readEnvironment(), log, {
    credentialFor: createCommandCredential,
    interactive: true,
  });
  if (values['dry-run']) {
    console.log(JSON.stringify(await previewJob(services, job), undefined, 2));
    return true;
  }
  const shutdown = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => shutdown.abort());
  const result = await runJob(services, job, {
    trigger: 'cli',
    allowMassRevocation,
    signal: shutdown.signal,
    log,
  });
  console.log(JSON.stringify(result, undefined, 2));
  return result.kind === 'finished' && result.run.status === 'Completed';
});
