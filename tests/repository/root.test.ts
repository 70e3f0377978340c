/** The root of the repository holds what tools look for there, and folders. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const allowed = [
  // The function app and its settings.
  'host.json',
  'local.settings.json.example',
  '.funcignore',
  // npm, TypeScript, and the tools that look for their configuration here.
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'jest.config.js',
  'eslint.config.mjs',
  '.prettierrc.json',
  '.prettierignore',
  '.editorconfig',
  '.gitignore',
  // Pipelines.
  'azure-pipelines.yml',
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

test('the root holds only what tools demand to find there, and the folders', () => {
  const tracked = execFileSync('git', ['ls-files'], { cwd: join(__dirname, '../..'), encoding: 'utf8' });
  const entries = new Set(
    tracked
      .trim()
      .split('\n')
      .map((path) => path.split('/')[0]),
  );
  expect([...entries].sort()).toEqual([...allowed, ...folders].sort());
});
