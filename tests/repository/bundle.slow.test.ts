/** What the bundle holds, by esbuild's metafile of the build: `npm test` builds first. */
import { globSync, readFileSync } from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import { basename, join } from 'node:path';
import type { Metafile } from 'esbuild';

const root = join(__dirname, '../..');
const { outputs } = JSON.parse(readFileSync(join(root, 'dist/meta.json'), 'utf8')) as Metafile;
const entry = 'dist/main.mjs';

/** The package that a source file belongs to; undefined: our own code. */
function packageOf(file: string): string | undefined {
  return /^node_modules\/(?:.*\/node_modules\/)?((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1];
}

/** The packages whose code is in an output file. */
function packagesIn(output: string): string[] {
  return Object.entries(outputs[output]?.inputs ?? {})
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .flatMap(([file]) => packageOf(file) ?? []);
}

/** The output files that are read when the given one is loaded, itself among them. */
function loadedWith(output: string, found = new Set<string>()): Set<string> {
  if (found.has(output)) return found;
  found.add(output);
  for (const { path, kind, external } of outputs[output]?.imports ?? [])
    if (kind !== 'dynamic-import' && !external) loadedWith(path, found);
  return found;
}

/** The output that holds the file's code. */
function outputOf(file: string): string {
  const found = Object.entries(outputs).find(([, { inputs: parts }]) => parts[file]);
  if (!found) throw new Error(`${file} is in no output`);
  return found[0];
}

/** The entry imports the registration once source maps are on. */
const atStart = [...loadedWith(entry), ...loadedWith(outputOf('src/functions/register.ts'))];
const bundled = [...new Set(Object.keys(outputs).flatMap(packagesIn))].sort();

test('at start nothing is loaded but the registration of the functions', () => {
  expect([...new Set(atStart.flatMap(packagesIn))].sort()).toEqual([
    '@azure/functions',
    '@azure/functions-extensions-base',
    'cookie',
  ]);
});

test('what is loaded at start is small: reading and compiling it is what a cold start takes', () => {
  const bytes = atStart.map((output) => outputs[output]?.bytes ?? 0).reduce((sum, size) => sum + size, 0);
  expect(bytes).toBeLessThan(150 * 1024);
});

test('the tables of code pages are files, and lie where the code looks for them', () => {
  const tables = Object.values(outputs).flatMap(({ imports }) =>
    imports.flatMap(({ path }) => (path.endsWith('.json') ? path : [])),
  );
  expect(new Set(tables).size).toBeGreaterThanOrEqual(8);
  // esbuild's own require, by which all files ask.
  const [asking = ''] = Object.keys(outputs).filter(
    (output) => output.endsWith('.mjs') && /\b__require=/.test(readFileSync(join(root, output), 'utf8')),
  );
  const requireThere = createRequire(join(root, asking));
  for (const table of tables) expect(requireThere(`./${basename(table)}`)).not.toEqual([]);
});

test('@azure/identity is in the bundle once: as modules, though the SQL library requires it as CommonJS', () => {
  const files = Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs));
  const kinds = files.flatMap(
    (file) => /node_modules\/@azure\/identity\/dist\/(\w+)\//.exec(file)?.[1] ?? [],
  );
  expect([...new Set(kinds)]).toEqual(['esm']);
});

test('a revocation does not read the files of email, nor those of telemetry to reach the database', () => {
  const sql = [...loadedWith(outputOf('src/database/driver.ts'))].flatMap(packagesIn);
  expect(sql).not.toContain('@azure/communication-email');
  expect(sql).not.toContain('applicationinsights');
});

test('packages that are not used are not in the bundle', () => {
  const unused = [
    // A browser for a developer's sign-in, the browser's part of telemetry, NTLM.
    /^(open|@microsoft\/applicationinsights-web-snippet|js-md4)$/,
    // Other ways to send telemetry, and what they need.
    /^(@grpc\/|protobufjs|yaml$|@opentelemetry\/(exporter|propagator|otlp|configuration))/,
    // Loggers and databases that the app does not have.
    /^(winston-transport$|@opentelemetry\/(sql-common|instrumentation-(?!http)))/,
    // Used only on the workstation.
    /^(typescript|esbuild|selfsigned)$/,
  ];
  expect(bundled.filter((name) => unused.some((pattern) => pattern.test(name)))).toEqual([]);
});

test('the Functions runtime supplies its own module; all else that is not in the bundle is part of Node.js', () => {
  const outside = Object.values(outputs).flatMap(({ imports }) =>
    imports.filter(({ external }) => external).map(({ path }) => path),
  );
  expect(outside).toContain('@azure/functions-core');
  expect([...new Set(outside)].filter((path) => !isBuiltin(path))).toEqual(['@azure/functions-core']);
});

test('no file of the bundle names a path of the machine that built it', () => {
  const files = globSync(['dist/main.mjs{,.map}', 'dist/chunks/*.{mjs,map}'], { cwd: root });
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((file) => readFileSync(join(root, file), 'utf8').includes(root))).toEqual([]);
});

/** What stands under each package's heading. */
const textsIn = (file: string): Map<string, string> =>
  new Map(
    readFileSync(join(root, file), 'utf8')
      .split(`\n${'-'.repeat(80)}\n\n`)
      .map((part) => [part.slice(0, part.indexOf(' ')), part.slice(part.indexOf('\n')).trim()]),
  );

test('every package in the bundle has the text of its licence in the package', () => {
  const licences = textsIn('dist/LICENSES.txt');
  expect(bundled.filter((name) => !licences.has(name))).toEqual([]);
  expect([...licences].filter(([, text]) => text.length < 200)).toEqual([]);
  // It has taken over files of others, whose licences lie in a folder.
  expect(licences.get('@opentelemetry/instrumentation')).toMatch(/Apache License.*Forrest L Norvell/s);
});

test('the notices of bundled packages are in the package', () => {
  const notices = textsIn('dist/NOTICES.txt');
  expect([...notices.keys()]).toEqual(['import-in-the-middle', 'applicationinsights']);
  expect(notices.get('import-in-the-middle')).toContain(
    'This product includes software developed at Datadog',
  );
});

test('every file of the bundle has a source map, which names the TypeScript', () => {
  const code = Object.keys(outputs).filter((output) => output.endsWith('.mjs'));
  expect(code.filter((output) => !outputs[`${output}.map`])).toEqual([]);
  const { sources } = JSON.parse(readFileSync(join(root, `${entry}.map`), 'utf8')) as { sources: string[] };
  expect(sources.some((source) => source.endsWith('src/main.ts'))).toBe(true);
});
