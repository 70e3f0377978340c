/** What commands.ts starts. */
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build, stop, type Plugin } from 'esbuild';
import { bundleOptions, root } from '../../scripts/bundle';

/** The TypeScript files of the project that tests start. */
export const commands = [
  'cli/deployDatabase.ts',
  'cli/doctor.ts',
  'cli/request.ts',
  'cli/runJob.ts',
  'local/start.ts',
  'scripts/testSqlServer.ts',
] as const;

/** `__dirname` is as if a file were not bundled. */
const ownDirectories: Plugin = {
  name: 'own directories',
  setup(bundler) {
    bundler.onLoad({ filter: /\.ts$/ }, ({ path }) => ({
      contents: `const __dirname = ${JSON.stringify(dirname(path))};\n${readFileSync(path, 'utf8')}`,
      loader: 'ts',
    }));
  },
};

/**
 * Bundles the commands for all test files that run together: read file by file, as the npm scripts read them, their
 * packages take most of their time.
 */
export async function bundleCommands(directory: string): Promise<void> {
  await build({
    ...bundleOptions,
    entryPoints: [...commands],
    outdir: directory,
    outbase: root,
    // What a command imports dynamically stays in its own file.
    splitting: true,
    // CommonJS: import() in a bundle finds no names in it.
    external: [...bundleOptions.external, 'selfsigned'],
    // Slower than it saves.
    minify: false,
    plugins: [...bundleOptions.plugins, ownDirectories],
    banner: {
      js: `import { createRequire as createRequireForBundle } from 'node:module';
const require = createRequireForBundle(${JSON.stringify(join(root, 'package.json'))});`,
    },
  });
  // esbuild is a process too.
  await stop();
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ scripts: bundledScripts() }));
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
}

/** The npm scripts of package.json, with the bundled commands and without the build. */
function bundledScripts(): Record<string, string> {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  return Object.fromEntries(
    Object.entries(scripts).map(([name, script]) => [
      name,
      script.replace(/--import \S+ (\S+)\.ts/, '$1.mjs').replace(' --build', ''),
    ]),
  );
}
