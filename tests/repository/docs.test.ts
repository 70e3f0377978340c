/** What the documents name exists: scripts, files, sections. Those that are generated are up to date. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generatedDocuments } from '../../scripts/docs';

const root = join(__dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...globSync('docs/*.md', { cwd: root })];

/** Paths of the repository begin with one of its folders; what a command writes is not in it. */
const pathPattern =
  /^(?:\.\/)?(?:\.azuredevops|\.ci|\.devcontainer|\.vscode|bench|cli|docs|infra|local|model|scripts|sql|src|tests)\/[\w./-]*$/;

/** As GitHub names the section of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

function anchorsOf(file: string): string[] {
  return [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading));
}

describe.each(documents)('%s', (file) => {
  const text = read(file);

  test('names only npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = [...text.matchAll(/\bnpm run (?:--silent )?([\w:-]+)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  test('names only files that exist', () => {
    const named = [...text.matchAll(/`([^`\n]+)`/g)]
      .map(([, path = '']) => path)
      .filter((path) => pathPattern.test(path));
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  test('links only to files and sections that exist', () => {
    const targets = [...text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, target = '']) => target);
    const broken = targets.filter((target) => {
      const [path = '', section] = target.split('#');
      const linked = path === '' ? file : join(dirname(file), path);
      if (!existsSync(join(root, linked))) return true;
      return section !== undefined && !anchorsOf(linked).includes(section);
    });
    expect(broken).toEqual([]);
  });
});

test.each(Object.entries(generatedDocuments))('%s is what npm run docs writes', async (path, text) => {
  expect(read(path)).toBe(await text());
});
