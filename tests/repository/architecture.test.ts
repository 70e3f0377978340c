/** The shape of the code as docs/architecture.md describes it. */
import { globSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import ts from 'typescript';

const root = join(__dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** From the bottom: each folder or file of src/ imports only from rows above its own. */
const layers = [
  ['clock', 'errorText', 'format', 'html', 'singleLine'],
  ['config'],
  ['database'],
  ['jobRun', 'email', 'telemetry'],
  ['services'],
  ['jobs'],
  ['functions'],
  ['main'],
];

const files = globSync('src/**/*.ts', { cwd: root }).sort();
const imports = files.flatMap((file) =>
  ts.preProcessFile(read(file), true, true).importedFiles.map(({ fileName }) => ({ file, target: fileName })),
);
const withinProject = imports.flatMap(({ file, target }) =>
  target.startsWith('.') ? [{ file, target: normalize(join(dirname(file), target)) }] : [],
);

/** The folder of src/ that a file lies in, or its own name if it lies in src/ itself. */
function unitOf(path: string): string {
  return path.split('/')[1]?.replace(/\.ts$/, '') ?? '';
}

function layerOf(path: string): number {
  return layers.findIndex((units) => units.includes(unitOf(path)));
}

test('every file of src/ has its place in a layer', () => {
  expect(files.length).toBeGreaterThan(40);
  expect(files.filter((file) => layerOf(file) < 0)).toEqual([]);
});

test('imports run one way: functions, jobs, services, then jobRun, email and telemetry, database, config', () => {
  const upwards = withinProject.filter(
    ({ file, target }) => unitOf(file) !== unitOf(target) && layerOf(target) >= layerOf(file),
  );
  expect(upwards).toEqual([]);
});

test('the app imports nothing from local/, tests/ or anywhere outside src/', () => {
  expect(withinProject.filter(({ target }) => !target.startsWith('src/'))).toEqual([]);
});

test('the app imports only packages that are its production dependencies', () => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
  const packages = imports.flatMap(({ target }) =>
    target.startsWith('.') || isBuiltin(target) ? [] : (/^(@[^/]+\/)?[^/]+/.exec(target)?.[0] ?? target),
  );
  expect(new Set(packages)).toEqual(new Set(Object.keys(dependencies)));
});

test('the environment is read at the edge and where schedules are registered, nowhere else', () => {
  const readers = [...globSync('cli/**/*.ts', { cwd: root }), ...files].filter((file) =>
    /\bprocess(\.|\[['"`])env\b|\benv\b.*\bfrom 'node:process'/.test(read(file)),
  );
  expect(readers).toEqual([
    'cli/environment.ts',
    'src/config/appService.ts',
    'src/config/schedules.ts',
    'src/functions/runner.ts',
    // Sets a switch of its library.
    'src/telemetry/applicationInsights.ts',
  ]);
});

test('only jobRun/ has SQL for the table JobRun', () => {
  const knowing = files.filter((file) => /\b(FROM|INTO|UPDATE|JOIN)\s+dbo\.JobRun\b/i.test(read(file)));
  expect(new Set(knowing.map(unitOf))).toEqual(new Set(['jobRun']));
});

test('the SQL stand-in is smaller than the product, and no file of it has more than 500 lines', () => {
  const linesOf = (folder: string): number[] =>
    globSync(`${folder}/**/*.ts`, { cwd: root }).map((path) => read(path).trimEnd().split('\n').length);
  const sum = (lines: readonly number[]) => lines.reduce((total, count) => total + count, 0);
  const standIn = linesOf('local/sqlServer');
  expect(sum(standIn)).toBeLessThanOrEqual(Math.min(4_500, sum(linesOf('src'))));
  expect(Math.max(...standIn)).toBeLessThanOrEqual(500);
});

test('the statements of the jobs and of the lock that write are in the model, which npm run model checks', () => {
  const namesIn = (pattern: string, name: RegExp): string[] =>
    globSync(pattern, { cwd: root }).flatMap((file) =>
      [...read(file).matchAll(name)].map(([, found = '']) => found),
    );
  // By their names, or writing only to a temporary table of their own session.
  const readsOnly = /^(count|find|judge|list|preview|read|search)[A-Z]|^create(Due|End)Table$|^collectEnd$/;
  // It takes no lock: an accepted limit of the protocol.
  const byHand = 'recordReminder';
  const writing = namesIn('src/job{Run,s}/*.ts', /\bquery\(\{\s+name: '(\w+)'/g).filter(
    (name) => !readsOnly.test(name) && name !== byHand,
  );
  const modelled = namesIn('model/*.pml', /^inline (\w+?)(?:_\w+)?\(.*\) \{\s*d_step/gm);
  expect(writing).toContain('revokeBatch');
  expect(modelled).toEqual(expect.arrayContaining(writing));
});
