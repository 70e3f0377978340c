/** The SQL stand-in serves the product, and stays smaller than it. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const linesOf = (folder: string): number[] =>
  globSync(`${folder}/**/*.ts`, { cwd: root }).map(
    (path) => readFileSync(join(root, path), 'utf8').trimEnd().split('\n').length,
  );

test('the SQL stand-in is smaller than the product, and no file of it has more than 500 lines', () => {
  const [standIn, product] = ['local/sqlServer', 'src'].map(linesOf) as [number[], number[]];
  const sum = (lines: readonly number[]) => lines.reduce((total, count) => total + count, 0);
  expect(sum(standIn)).toBeLessThanOrEqual(Math.min(4_500, sum(product)));
  expect(Math.max(...standIn)).toBeLessThanOrEqual(500);
});
