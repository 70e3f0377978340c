/** The model of the protocol (docs/protocol.md) names the code's statements; `npm run model` checks what it says. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const readAll = (pattern: string): string =>
  globSync(pattern, { cwd: root })
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n');
const all = (pattern: RegExp, text: string): string[] =>
  [...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? ''))].sort();

const model = readAll('model/*.pml');
const runner = readFileSync(join(root, 'scripts/model.ts'), 'utf8');

/** A statement that only reads, by its name, or that only touches the temporary table of its own session. */
const notModelled = /^(count|find|judge|list|preview|read|search)[A-Z]|^create(Due|End)Table$|^collectEnd$/;

test('the statements of the jobs and of the lock that write are those of the model', () => {
  const rules = all(/^inline (\w+?)(?:_\w+)?\([^)]*\) \{\s*d_step/gm, model);
  const noStatements = [
    ...['client', 'doNothing', 'lastRun', 'operator', 'service', 'session'],
    ...['clockCatchesUp', 'clockStepsBack', 'expireAgain', 'leaseRunsOut', 'renewGrant', 'rewordMessages'],
  ];
  const modelled = rules.filter((rule) => !noStatements.includes(rule));
  const code = all(/\bname: '(\w+)',\n(?:\s+slow: true,\n)?\s+sql\b/g, readAll('src/job{Run,s}/*.ts'));
  expect(modelled.length).toBeGreaterThan(6);
  expect(modelled.filter((statement) => !code.includes(statement))).toEqual([]);
  const writing = code.filter((statement) => !notModelled.test(statement));
  expect(writing).toContain('revokeBatch');
  expect(writing.filter((statement) => !modelled.includes(statement))).toEqual([]);
});

test('every mutant and limit of the model is tried, and every invariant is explained', () => {
  const known = (define: 'mutant' | 'limit') => all(new RegExp(`\\b${define}\\(([A-Z_]+)\\)`, 'g'), model);
  const tried = all(/^ {2}([A-Z_]+): \{$/gm, runner);
  expect(tried).toEqual([...known('mutant'), ...known('limit')].sort());
  const checked = all(/mustHold\([^\n]*, (\w+)\)/g, model).filter((name) => name !== 'invariant');
  const explained = /^const invariants = \{$(.*?)^\}/ms.exec(runner)?.[1] ?? '';
  expect(all(/^ {2}(\w+):/gm, explained)).toEqual(checked);
});

test('every mutant of the model has a test, of a file and a name that exist', () => {
  const row = /^\| `([A-Z_]+)` +\| `(tests\/[\w/.]+)` +\| (.+?) +\|$/gm;
  const rows = [...readAll('docs/protocol.md').matchAll(row)];
  expect(rows.map(([, mutant]) => mutant).sort()).toEqual(all(/\bmutant\(([A-Z_]+)\)/g, model));
  const missing = rows.filter(([, , file = '', name = '']) => !readAll(file).includes(`${name}'`));
  expect(missing.map(([text]) => text)).toEqual([]);
});
