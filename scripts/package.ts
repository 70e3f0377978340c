/**
 * Packs the built app as it is deployed: dist/access-expiry-jobs.zip holds host.json, a package.json without
 * dependencies (all code is in the bundle), the bundle with its source maps, and the licences and notices of what is in
 * it. Beside it the SBOM, and in dist/deploy what a deployment runs where the sources are not: the commands and the
 * scripts of sql/.
 */
import { execSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zipSync, type Zippable } from 'fflate';
import { bundleCommands, root } from './bundle';

const read = (file: string): Buffer => readFileSync(join(root, file));

const { name, version, main, engines, dependencies, overrides } = JSON.parse(
  read('package.json').toString(),
) as Record<string, unknown>;
const files = [
  'host.json',
  'dist/LICENSES.txt',
  'dist/NOTICES.txt',
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
console.log(writeSbom('dist/sbom.cdx.json'));

/**
 * Writes npm's list of the packages that the app depends on, and returns how many they are. npm uses the folder's name, and
 * with --omit=dev it omits what the app and a tool have in common: so it runs in a folder of the app's name without tools.
 */
function writeSbom(file: string): string {
  const parent = mkdtempSync(join(tmpdir(), 'access-expiry-jobs-sbom-'));
  try {
    const cwd = join(parent, String(name));
    mkdirSync(cwd);
    writeFileSync(join(cwd, 'package.json'), JSON.stringify({ name, version, dependencies, overrides }));
    cpSync(join(root, 'package-lock.json'), join(cwd, 'package-lock.json'));
    execSync('npm install --package-lock-only --offline', { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
    const sbom = execSync('npm sbom --package-lock-only --sbom-format=cyclonedx --sbom-type=application', {
      cwd,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    writeFileSync(join(root, file), sbom);
    const { specVersion, components } = JSON.parse(sbom) as { specVersion: string; components: unknown[] };
    return `${file}: SBOM (CycloneDX ${specVersion}) of ${components.length} packages`;
  } finally {
    rmSync(parent, { recursive: true });
  }
}

bundleCommands(join(root, 'dist/deploy')).then(
  () => console.log('dist/deploy: the commands and scripts of a deployment'),
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
