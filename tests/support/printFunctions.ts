/** Prints, as JSON, what the built app registers with the Functions worker: the metadata that Azure reads. */
import { FunctionsCore } from '../../local/functionsHost/core';
import { loadApp } from '../../local/functionsHost/app';

async function main(): Promise<void> {
  const core = new FunctionsCore((level, message) => console.error(level, message));
  core.supply();
  await loadApp(process.cwd());
  console.log(JSON.stringify([...core.functions.values()].map(({ metadata }) => metadata)));
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
