/** Loads TypeScript (`node --import ./scripts/typescript.mjs file.ts`), or says which Node.js that takes. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { URL } from 'node:url';

const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const [, oldest] = /^>=(\d+)$/.exec(engines.node);
const { node: version } = process.versions;
if (Number(version.split('.')[0]) < Number(oldest)) {
  console.error(
    `This takes Node.js ${oldest} or later, and npm's scripts run on Node.js ${version} (${process.execPath}). ` +
      `On Linux x64, npm ci installs the right one beside the packages; elsewhere, install Node.js ${oldest} yourself.`,
  );
  process.exit(1);
}
await import('tsx');
