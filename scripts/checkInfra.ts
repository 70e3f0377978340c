/** Tests read what was evaluated: tests/support/deployments.ts. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArguments, runCommand } from '../cli/environment';
import { findBicep, howToGetBicep, run, type Ended } from './bicep';
import { evaluations, fingerprint, fingerprintFile, sites } from './evaluations';

/** Made up: nothing in Azure is asked. */
const context = [
  ...['--subscription-id', '00000000-0000-0000-0000-000000000001'],
  ...['--tenant-id', '00000000-0000-0000-0000-000000000002'],
  ...['--location', 'westeurope'],
];

/** The compiler warns on stderr and still succeeds. */
function check({ code, stderr }: Ended, what: string): boolean {
  const clean = code === 0 && !/: (Warning|Error) /.test(stderr);
  if (clean) console.log(`${what}: no finding`);
  else console.error(`${what}: failed\n${stderr.trim()}`);
  return clean;
}

async function evaluate(bicep: string, site: string, parameters: string): Promise<boolean> {
  const ended = await run(bicep, ['snapshot', parameters, '--mode', 'overwrite', ...context]);
  const succeeded = check(ended, `evaluated ${site}`);
  // The compiler writes it beside the parameters.
  if (succeeded)
    renameSync(parameters.replace(/\.bicepparam$/, '.snapshot.json'), join(evaluations, `${site}.json`));
  return succeeded;
}

const usage = `Usage: npm run check:infra [-- --required]

Compiles infra/ with Bicep's own compiler, warnings as errors, and evaluates the deployment of each site in tests/infra/
without Azure. Without a compiler it says how to get one and is skipped; with --required that is an error.`;

runCommand(usage, async () => {
  const { values } = parseArguments({ options: { required: { type: 'boolean' } } }, usage);
  rmSync(evaluations, { recursive: true, force: true });
  const bicep = await findBicep(process.env, (line) => console.log(line));
  if (bicep === undefined) {
    console.log(`infra/ is not compiled: skipped, since no compiler of Bicep was found. ${howToGetBicep}`);
    return values.required !== true;
  }
  mkdirSync(evaluations, { recursive: true });
  const outFile = join(evaluations, 'template.json');
  const compiled = await run(bicep, ['build', 'infra/main.bicep', '--outfile', outFile]);
  const results = [check(compiled, 'compiled infra/main.bicep')];
  if (results[0])
    results.push(...(await Promise.all([...sites].map(([site, file]) => evaluate(bicep, site, file)))));
  const succeeded = !results.includes(false);
  if (succeeded) writeFileSync(fingerprintFile, fingerprint());
  return succeeded;
});
