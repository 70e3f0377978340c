/**
 * Packs the built app as it is deployed: dist/access-expiry-jobs.zip holds host.json, a package.json without
 * dependencies (all code is in the bundle), the bundle with its source maps, and the licences. Beside it, in
 * dist/deploy, what a deployment runs where the sources are not: the commands and the scripts of sql/.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zipSync, type Zippable } from 'fflate';
import { bundleCommands, root } from './bundle';

const read = (file: string): Buffer => readFileSync(join(root, file));

const { name, version, main, engines } = JSON.parse(read('package.json').toString()) as Record<
  string,
  unknown
>;
const files = [
  'host.json',
  'dist/LICENSES.txt',
  ...globSync(['dist/main.mjs{,.map}', 'dist/chunks/*'], { cwd: root }),
];
const content: Zippable = Object.fromEntries(files.map((file) => [file, read(file)]));
content['package.json'] = Buffer.from(
  JSON.stringify({ name, version, private: true, main, engines }, undefined, 2),
);

const zip = zipSync(content, { level: 9 });
const target = 'dist/access-expiry-jobs.zip';
writeFileSync(join(root, target), zip);
console.log(`${target}: ${Object.keys(content).length} files, ${Math.round(zip.length / 1024)} KiB`);

bundleCommands(join(root, 'dist/deploy')).then(
  () => console.log('dist/deploy: the commands and scripts of a deployment'),
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
