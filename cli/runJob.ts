/**
 * Runs one job against the database and the email service that the settings name.
 *
 *     npm run job -- <Job_Type> [--dry-run | --allow-mass-revocation] [--json]
 *
 * The result is on stdout, in words or as JSON; the log, and what is waited for, on stderr. Exit code 0: the job completed
 * (or the dry run was printed); 1: it failed, or its lock is held.
 */
import { createShutdown } from '../src/clock';
import { findJob, jobs, type Job } from '../src/jobs/catalogue';
import { previewJob } from '../src/jobs/previewJob';
import { runJob } from '../src/jobs/runJob';
import { createServices } from '../src/services';
import { createCommandCredential } from './credential';
import { describePreview, describeResult } from './describeJob';
import { parseArguments, readEnvironment, runCommand } from './environment';
import { reportRetry } from './progress';

const usage = `Usage: npm run job -- <Job_Type> [--dry-run | --allow-mass-revocation] [--json]
Job types: ${jobs.map(({ type }) => type).join(', ')}

  --dry-run                  shows what the job would do now, and writes nothing
  --allow-mass-revocation    runs a revocation job without the safety stop
  --json                     prints the result as the API answers it

Exit code 0: the job completed; 1: it failed, or it is running already.`;

runCommand(usage, async () => {
  const { values, positionals } = parseArguments(
    {
      allowPositionals: true,
      options: {
        'dry-run': { type: 'boolean' },
        'allow-mass-revocation': { type: 'boolean' },
        json: { type: 'boolean' },
      },
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
    throw new Error(`--dry-run and --allow-mass-revocation cannot be combined.\n${usage}`);

  const log = (message: string): void => console.error(message);
  const print = <T>(result: T, describe: (job: Job, result: T) => string): void =>
    console.log(values.json ? JSON.stringify(result, undefined, 2) : describe(job, result));
  const services = await createServices(readEnvironment(), log, {
    credentialFor: createCommandCredential,
    interactive: true,
    onRetry: reportRetry,
  });
  if (values['dry-run']) {
    print(await previewJob(services, job), describePreview);
    return true;
  }
  const { shutdown, begin } = createShutdown();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, begin);
  const result = await runJob(services, job, {
    trigger: 'cli',
    allowMassRevocation,
    shutdown,
    log,
  });
  print(result, describeResult);
  return result.kind === 'finished' && result.run.status === 'Completed';
});
