/**
 * Bundles the app as it is deployed: dist/main.mjs registers the functions, everything else lies in chunks that are
 * loaded when first needed. Beside it: source maps, dist/meta.json (what is in the bundle) and dist/LICENSES.txt.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { bundleOptions, root } from './bundle';

const directory = join(root, 'dist');

async function main(): Promise<void> {
  rmSync(directory, { recursive: true, force: true });
  const { metafile } = await build({
    ...bundleOptions,
    entryPoints: ['src/main.ts'],
    outdir: 'dist',
    chunkNames: 'chunks/[name]-[hash]',
    splitting: true,
    sourcemap: true,
    sourcesContent: false,
    metafile: true,
  });
  writeFileSync(join(directory, 'meta.json'), JSON.stringify(metafile));
  writeFileSync(join(directory, 'LICENSES.txt'), licences(Object.keys(metafile.inputs)));
}

/** The licence texts of the packages whose files are in the bundle. */
function licences(files: readonly string[]): string {
  const packages = new Set(
    files.flatMap((file) => /^node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []),
  );
  return [...packages]
    .sort()
    .map((folder) => {
      const { name, version, license } = JSON.parse(
        readFileSync(join(root, folder, 'package.json'), 'utf8'),
      ) as Record<string, string>;
      const file = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
      const text = file ? readFileSync(join(root, folder, file), 'utf8') : '';
      return `${name} ${version} (${license})\n\n${text}`;
    })
    .join(`\n${'-'.repeat(80)}\n\n`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
