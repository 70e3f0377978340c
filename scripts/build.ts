/**
 * Bundles the app as it is deployed: dist/main.mjs registers the functions, everything else lies in chunks that are
 * loaded when first needed. Beside it: source maps, dist/meta.json (what is in the bundle), dist/LICENSES.txt and
 * dist/NOTICES.txt.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build, type Metafile, type Plugin } from 'esbuild';
import { bundleOptions, root } from './bundle';

const directory = join(root, 'dist');

/**
 * `import text from './file?inline'`: what a browser needs of a TypeScript or CSS file, bundled and minified, as text.
 * @param parts receives the metafiles of what was bundled
 */
const inlineForBrowser = (parts: Metafile[]): Plugin => ({
  name: 'inline for a browser',
  setup(bundler) {
    // Relative: the path goes into the source map.
    bundler.onResolve({ filter: /\?inline$/ }, ({ path, resolveDir }) => ({
      path: relative(root, join(resolveDir, path.replace(/\?inline$/, ''))),
      namespace: 'inline',
    }));
    bundler.onLoad({ filter: /.*/, namespace: 'inline' }, async ({ path }) => {
      const { outputFiles, metafile } = await build({
        absWorkingDir: root,
        entryPoints: [path],
        outdir: 'dist',
        write: false,
        bundle: true,
        format: 'iife',
        platform: 'browser',
        target: ['chrome123', 'firefox128', 'safari17.5'],
        minify: true,
        charset: 'utf8',
        legalComments: 'none',
        metafile: true,
      });
      parts.push(metafile);
      return { contents: outputFiles[0]?.text.trim() ?? '', loader: 'text' };
    });
  },
});

/**
 * The tables of East Asian code pages, half of the SQL library's size: files of their own, read when a VARCHAR column has
 * such a collation.
 */
const tablesInFiles: Plugin = {
  name: 'tables of code pages in files of their own',
  setup(bundler) {
    bundler.onLoad({ filter: /iconv-lite[/\\]encodings[/\\]tables[/\\].+\.json$/ }, ({ path }) => ({
      contents: readFileSync(path),
      loader: 'copy',
    }));
  },
};

/** The version of package.json, and the commit that is built: the pipeline's, or that of the work tree. */
function describeBuild(): { version: string; commit: string } {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const git = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' });
  const commit = process.env.BUILD_SOURCEVERSION ?? (git.status === 0 ? git.stdout.trim() : 'unknown');
  return { version, commit: commit.slice(0, 7) };
}

async function main(): Promise<void> {
  rmSync(directory, { recursive: true, force: true });
  const inlined: Metafile[] = [];
  const { metafile } = await build({
    ...bundleOptions,
    entryPoints: ['src/main.ts'],
    outdir: 'dist',
    chunkNames: 'chunks/[name]-[hash]',
    assetNames: 'chunks/[name]-[hash]',
    splitting: true,
    sourcemap: true,
    sourcesContent: false,
    metafile: true,
    plugins: [...bundleOptions.plugins, tablesInFiles, inlineForBrowser(inlined)],
    define: { BUILD: JSON.stringify(describeBuild()) },
  });
  for (const { inputs, outputs } of inlined) {
    Object.assign(metafile.inputs, inputs);
    Object.assign(metafile.outputs, outputs);
  }
  writeFileSync(join(directory, 'meta.json'), JSON.stringify(metafile));
  const packages = bundledPackages(Object.keys(metafile.inputs));
  // Every licence asks for its text; Apache-2.0 (4d) asks for NOTICE files too.
  writeFileSync(join(directory, 'LICENSES.txt'), collectTexts(packages, /^licen[cs]e/i));
  const noticed = packages.filter((folder) => filesOf(folder, /^notice/i).length > 0);
  writeFileSync(join(directory, 'NOTICES.txt'), collectTexts(noticed, /^notice/i));
}

/** The folders of the packages whose files are in the bundle. */
function bundledPackages(files: readonly string[]): string[] {
  const folders = files.flatMap(
    (file) => /^node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? [],
  );
  return [...new Set(folders)].sort();
}

/** A package's files of such a name, and all that lie in a folder of such a name. */
function filesOf(folder: string, name: RegExp): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => name.test(entry.name))
    .flatMap((entry) =>
      entry.isFile()
        ? join(root, folder, entry.name)
        : readdirSync(join(root, folder, entry.name), { recursive: true, withFileTypes: true })
            .filter((inner) => inner.isFile())
            .map((inner) => join(inner.parentPath, inner.name)),
    );
}

/** The texts of each package's files of such a name, under the package's name, version and licence. */
function collectTexts(packages: readonly string[], name: RegExp): string {
  return packages
    .map((folder) => {
      const manifest = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Record<
        string,
        string
      >;
      const texts = filesOf(folder, name).map((file) => readFileSync(file, 'utf8').trim());
      return `${manifest.name} ${manifest.version} (${manifest.license})\n\n${texts.join('\n\n')}\n`;
    })
    .join(`\n${'-'.repeat(80)}\n\n`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
