/** How the app and the commands that deploy it are bundled. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { build, type BuildOptions, type Plugin } from 'esbuild';

export const root = join(__dirname, '..');

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
 * The exporter of Application Insights asks settings.sdk.monitor.azure.com every hour what to switch on or off, and no
 * setting prevents it. The app calls only what its settings name.
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

/**
 * The SQL library and telemetry are CommonJS and require the package for signing in, which the app imports.
 * Without this it would be in the bundle as CommonJS too, and a first run would load it twice.
 */
const oneCopyOfIdentity: Plugin = {
  name: 'one copy of @azure/identity',
  setup(bundler) {
    bundler.onResolve({ filter: /^@azure\/identity$/ }, ({ kind, path, importer, resolveDir }) =>
      kind === 'require-call'
        ? bundler.resolve(path, { kind: 'import-statement', importer, resolveDir })
        : undefined,
    );
  },
};

/**
 * Modules for the Node.js version of package.json and later. Names are not shortened: errors and stack traces show them,
 * and `keepNames` takes 150 ms of a first run.
 */
export const bundleOptions = {
  absWorkingDir: root,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  format: 'esm',
  platform: 'node',
  // Modules load faster than CommonJS, and some packages' CommonJS cannot be bundled.
  mainFields: ['module', 'main'],
  target: 'node24',
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  plugins: [leaveOutUnused, leaveOutRemoteSettings, oneCopyOfIdentity],
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
} as const satisfies BuildOptions;

/** The commands that a deployment runs, each one file that needs only Node.js, beside the scripts that one applies. */
export async function bundleCommands(directory: string): Promise<void> {
  await build({
    ...bundleOptions,
    entryPoints: ['cli/deployDatabase.ts', 'cli/verifyDeployment.ts'],
    outdir: join(directory, 'cli'),
  });
  cpSync(join(root, 'sql'), join(directory, 'sql'), { recursive: true });
}
