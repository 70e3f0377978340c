/** The root of the repository holds what tools look for there, and folders; what is beside the app stays small. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const allowed = [
  // The function app and its settings.
  'host.json',
  'local.settings.json.example',
  // npm, TypeScript, and the tools that look for their configuration here.
  'package.json',
  'package-lock.json',
  '.npmrc',
  'tsconfig.json',
  'jest.config.js',
  'eslint.config.mjs',
  '.prettierrc.json',
  '.prettierignore',
  '.editorconfig',
  '.gitignore',
  // Pipelines.
  'azure-pipelines.yml',
  // What keeps versions moving.
  'renovate.json',
  // The Azure Developer CLI.
  'azure.yaml',
  // For readers.
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
];
const folders = [
  '.azuredevops',
  '.ci',
  '.devcontainer',
  '.vscode',
  'bench',
  'cli',
  'docs',
  'infra',
  'local',
  'model',
  'scripts',
  'sql',
  'src',
  'tests',
];

const root = join(__dirname, '../..');
const tracked = (...paths: readonly string[]): string[] =>
  execFileSync('git', ['ls-files', ...paths], { cwd: root, encoding: 'utf8' })
    .trim()
    .split('\n');

test('the root holds only what tools demand to find there, and the folders', () => {
  const entries = new Set(tracked().map((path) => path.split('/')[0]));
  expect([...entries].sort()).toEqual([...allowed, ...folders].sort());
});

test('the SQL stand-in is smaller than the product, and each of its files can be read in one go', () => {
  const linesOf = (directory: string) =>
    tracked(`${directory}/*.ts`).map(
      (path) => readFileSync(join(root, path), 'utf8').trimEnd().split('\n').length,
    );
  const sum = (lines: readonly number[]) => lines.reduce((total, count) => total + count, 0);
  const standIn = linesOf('local/sqlServer');
  const product = linesOf('src');
  process.stdout.write(`Lines of the SQL stand-in ${sum(standIn)}, of the product ${sum(product)}\n`);
  expect(sum(standIn)).toBeLessThanOrEqual(Math.min(4_500, sum(product)));
  expect(Math.max(...standIn)).toBeLessThanOrEqual(500);
});
