/** Prints what there is to own: lines by folder, the longest functions, and the installed packages. */
import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { root } from './bundle';

const files = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' })
  .trim()
  .split('\n')
  .filter((path) => path !== 'package-lock.json' && !path.endsWith('.png'));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const lines = Map.groupBy(files, (path) => /^(tests\/[^/]+|[^/]+)\//.exec(path)?.[1] ?? '(root)');
const count = (paths: readonly string[]): number =>
  paths.reduce((sum, path) => sum + read(path).split('\n').length - 1, 0);
const row = (value: number | string, text: string): void => {
  console.log(`${String(value).padStart(8)}  ${text}`);
};

console.log('Lines, without the lock file and images:');
for (const [folder, paths] of lines) row(count(paths), folder);
row(count(files), 'in all');

console.log('\nThe longest functions, in lines:');
for (const { name, length } of files
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
  .flatMap(functionsOf)
  .sort((a, b) => b.length - a.length)
  .slice(0, 10))
  row(length, name);

const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, { dev?: boolean }> };
const installed = Object.keys(packages).filter((path) => path !== '' && sizeOf(path) > 0);
console.log(
  `\nPackages: ${installed.length}, ${installed.filter((path) => !packages[path]?.dev).length} of them for production; in MB:`,
);
for (const [name, megabytes] of readdirSync(join(root, 'node_modules'))
  .map((name) => [name, sizeOf(join('node_modules', name)) / 1e6] as const)
  .sort((a, b) => b[1] - a[1])
  .slice(0, 10))
  row(megabytes.toFixed(0), name);
row((sizeOf('node_modules') / 1e6).toFixed(0), 'in all');

function functionsOf(path: string): { name: string; length: number }[] {
  const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true);
  const found: { name: string; length: number }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body) {
      const [first, last] = [node.getStart(), node.end].map(
        (position) => source.getLineAndCharacterOfPosition(position).line + 1,
      ) as [number, number];
      found.push({ name: `${path}:${first}`, length: last - first + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** In bytes on disk; 0 where a package of another platform is not installed. */
function sizeOf(path: string): number {
  const stat = lstatSync(join(root, path), { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return stat?.size ?? 0;
  return readdirSync(join(root, path)).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}
