/** Prints the number of lines by folder, without the lock file and images. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './bundle';

const files = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' })
  .trim()
  .split('\n')
  .filter((path) => path !== 'package-lock.json' && !path.endsWith('.png'));
const folders = Map.groupBy(files, (path) => /^(tests\/[^/]+|[^/]+)\//.exec(path)?.[1] ?? '(root)');

for (const [folder, paths] of [...folders, ['in all', files] as const]) {
  const lines = paths.map((path) => readFileSync(join(root, path), 'utf8').split('\n').length - 1);
  console.log(`${String(lines.reduce((sum, count) => sum + count, 0)).padStart(8)}  ${folder}`);
}
