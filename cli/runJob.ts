import { createShutdown } from '../src/clock';
import { describeActiveRun } from '../src/jobRun/lease';
import { findJob, jobs, withoutSafetyStop } from '../src/jobs/catalogue';
import { previewJob } from '../src/jobs/previewJob';
import { describeFinished, runJob } from '../src/jobs/runJob';
import { createServices } from '../src/services';
import { createCommandCredential } from './credential';
import { describePreview, describeResult } from './describeJob';
import { parseArguments, readEnvironment, runCommand } from './environment';
import { reportRetry } from './progress';

const usage = `Usage: npm run job -- <Job_Type> [--dry-run | --allow-mass-revocation] [--json]
Job types: ${jobs.map(({ type }) => type).join(', ')}

  --dry-run                  shows what the job would do now, and writes nothing
  --allow-mass-revocation    runs a revocation job without the safety stop
  --json                     prints the run or the preview as the API does; if the job is running already,
                             its activeRun. An error is text on stderr

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
  let job = findJob(name);
  if (!job) throw new Error(`Unknown job type: ${name}.\n${usage}`);
  if (values['allow-mass-revocation']) {
    if (job.kind !== 'revocation')
      throw new Error(`--allow-mass-revocation is for revocation jobs.\n${usage}`);
    if (values['dry-run'])
      throw new Error(`--dry-run and --allow-mass-revocation cannot be combined.\n${usage}`);
    job = withoutSafetyStop(job);
  }

  const log = (message: string): void => console.error(message);
  const print = (inWords: string, answer: object): void =>
    console.log(values.json ? JSON.stringify(answer, undefined, 2) : inWords);
  const services = await createServices(readEnvironment(), log, {
    credentialFor: createCommandCredential,
    interactive: true,
    onRetry: reportRetry,
  });
  if (values['dry-run']) {
    const preview = await previewJob(services, job);
    print(describePreview(job, preview), preview);
    return true;
  }
  const { shutdown, begin } = createShutdown();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, begin);
  const result = await runJob(services, job, {
    trigger: 'cli',
    shutdown,
    log,
  });
  print(
    describeResult(job, result),
    result.kind === 'held' ? { activeRun: describeActiveRun(result.activeRun) } : describeFinished(result),
  );
  return result.kind === 'finished' && result.run.status === 'Completed';
});
