/**
 * Bundles the app as it is deployed: dist/main.mjs registers the functions, everything else lies in chunks that are
 * loaded when first needed. Beside it: source maps, dist/meta.json (what is in the bundle) and dist/LICENSES.txt.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';

const root = join(__dirname, '..');
const directory = join(root, 'dist');

/**
 * Packages that libraries load at once and this app never uses: OpenTelemetry's other exporters, propagators and
 * configuration files, instrumentations of other databases and loggers (telemetry.ts turns them off), the browser's
 * part of Application Insights, a browser for a developer's sign-in, NTLM, and colours of a terminal. In the bundle each
 * is an empty module.
 */
const unused =
  /^(@opentelemetry\/((exporter|propagator)-.+|otlp-.+|configuration|instrumentation-(bunyan|console|mongodb|mysql|pg|redis|winston))|@microsoft\/applicationinsights-web-snippet|open|js-md4|supports-color)$/;

const leaveOutUnused: Plugin = {
  name: 'leave out unused packages',
  setup(bundler) {
    bundler.onResolve({ filter: unused }, ({ path }) => ({ path, namespace: 'unused' }));
    bundler.onLoad({ filter: /.*/, namespace: 'unused' }, () => ({ contents: 'module.exports = {};' }));
  },
};

/**
 * The exporter of Application Insights asks settings.sdk.monitor.azure.com every hour what it should switch on or off,
 * and knows no setting against it. The app calls what its settings name and nothing else.
 */
const leaveOutRemoteSettings: Plugin = {
  name: 'leave out remote settings',
  setup(bundler) {
    bundler.onLoad(
      { filter: /monitor-opentelemetry-exporter[/\\].*[/\\]_configuration[/\\]configurationWorker\.js$/ },
      () => ({ contents: 'export class ConfigurationWorker { shutdown() {} }' }),
    );
  },
};

async function main(): Promise<void> {
  rmSync(directory, { recursive: true, force: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['src/main.ts'],
    outdir: 'dist',
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunks/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node22',
    minify: true,
    keepNames: true,
    sourcemap: true,
    sourcesContent: false,
    legalComments: 'none',
    metafile: true,
    plugins: [leaveOutUnused, leaveOutRemoteSettings],
    // Supplied by the Functions worker through require.
    external: ['@azure/functions-core'],
    // What CommonJS packages find in scope.
    banner: {
      js: [
        "import { createRequire as createRequireForBundle } from 'node:module';",
        'const require = createRequireForBundle(import.meta.url);',
        'const __filename = import.meta.filename, __dirname = import.meta.dirname;',
      ].join(' '),
    },
    logLevel: 'warning',
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
