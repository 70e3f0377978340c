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

/** Statements that decide nothing about what is written: they show, or repeat what a modelled one has read. */
const notModelled = [
  'countDueReminders',
  'countDueRevocations',
  'createDueTable',
  'findRun',
  'listRuns',
  'previewDueReminders',
  'previewDueRevocations',
  'readDueReminders',
];

test('the statements of the jobs and of the lock are those of the model, or known not to matter to it', () => {
  const rules = all(/^inline (\w+?)(?:_\w+)?\([^)]*\) \{\s*d_step/gm, model);
  const outside = ['client', 'doNothing', 'expireAgain', 'lastRun', 'leaseRunsOut', 'renewGrant'];
  const beside = ['cancelRun', 'service', 'session'];
  const modelled = rules.filter((rule) => ![...outside, ...beside].includes(rule));
  const code = all(/\bname: '(\w+)',\n(?:\s+slow: true,\n)?\s+sql\b/g, readAll('src/job{Run,s}/*.ts'));
  expect(modelled.length).toBeGreaterThan(6);
  expect(modelled.filter((statement) => !code.includes(statement))).toEqual([]);
  expect(code.filter((statement) => ![...modelled, ...beside, ...notModelled].includes(statement))).toEqual(
    [],
  );
});

test('every mutant and limit of the model is tried, and every invariant is explained', () => {
  const known = (define: 'mutant' | 'limit') => all(new RegExp(`\\b${define}\\(([A-Z_]+)\\)`, 'g'), model);
  const tried = all(/^ {2}([A-Z_]+): \{$/gm, runner);
  expect(tried).toEqual([...known('mutant'), ...known('limit')].sort());
  const checked = all(/mustHold\([^\n]*, (\w+)\)/g, model).filter((name) => name !== 'invariant');
  const explained = /^const invariants = \{$(.*?)^\}/ms.exec(runner)?.[1] ?? '';
  expect(all(/^ {2}(\w+):/gm, explained)).toEqual(checked);
});
