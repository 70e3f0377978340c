/** Loads TypeScript (`node --import ./scripts/typescript.mjs file.ts`), or says which Node.js is required. */
import process from 'node:process';

/** The app runs on Node.js 22 too; the stand-ins and commands use AsyncDisposableStack. */
const oldest = 24;

const { node: version } = process.versions;
if (Number(version.split('.')[0]) < oldest) {
  console.error(
    `This takes Node.js ${oldest} or later, and npm's scripts run on Node.js ${version} (${process.execPath}). ` +
      `On Linux x64, npm ci installs the right one beside the packages; elsewhere, install Node.js ${oldest} yourself.`,
  );
  process.exit(1);
}
await import('tsx');
