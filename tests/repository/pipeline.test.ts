/** What Azure Pipelines finds out only when it runs: names that do not exist, scripts that do not parse, wrong steps. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseDocument } from 'yaml';

const root = join(__dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const files = ['azure-pipelines.yml', '.azuredevops/install.yml'];
const text = read('azure-pipelines.yml');
const code = files
  .map(read)
  .join('\n')
  .replace(/^\s*#.*$/gm, '');
const { scripts, devDependencies } = JSON.parse(read('package.json')) as Record<
  'scripts' | 'devDependencies',
  Record<string, string>
>;

const all = (pattern: RegExp, within = code): string[] => [
  ...new Set([...within.matchAll(pattern)].map(([, name = '']) => name)),
];

/** Every mapping in a value, at any depth. */
function mappings(value: unknown): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return [];
  const nested = Object.values(value).flatMap(mappings);
  return Array.isArray(value) ? nested : [value as Record<string, unknown>, ...nested];
}
const pipeline = mappings(parse(text));
const values = (key: string): unknown[] => pipeline.flatMap((mapping) => mapping[key] ?? []);

test.each(files)('%s is YAML without errors', (path) => {
  expect(parseDocument(read(path)).errors).toEqual([]);
});

test('every npm script, reporter and template that the pipeline names exists', () => {
  const called = all(/npm run (\S+)/g);
  expect(called).toEqual(expect.arrayContaining(['lint', 'test:sqlserver', 'test:faults']));
  expect(called.filter((script) => !(script in scripts))).toEqual([]);
  const reporters = all(/--reporters=(\S+)/g).filter((reporter) => reporter !== 'default');
  expect(reporters.filter((reporter) => !(reporter in devDependencies))).toEqual([]);
  expect(all(/template: (\S+)/g).filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test('every variable that the pipeline uses is declared or predefined', () => {
  // https://learn.microsoft.com/azure/devops/pipelines/build/variables
  const predefined =
    /^(Agent\.(OS|TempDirectory|Services\.sqlserver\.Ports\.1433)|Build\.(Reason|SourceBranch)|Pipeline\.Workspace|System\.DefaultWorkingDirectory)$/;
  const matrices = values('matrix').flatMap((matrix) => Object.values(matrix as object) as object[]);
  const declared = [...values('variables'), ...matrices].flatMap((variables) =>
    Object.keys(variables as object),
  );
  const used = [...all(/\$\(([\w.]+)\)/g), ...all(/variables\['([\w.]+)'\]/g)];
  expect(used.filter((variable) => !declared.includes(variable) && !predefined.test(variable))).toEqual([]);
});

test('each environment has every key that is used, and the first waits for the tests', () => {
  const [{ default: environments }] = (parse(text) as { parameters: [{ default: object[] }] }).parameters;
  const used = all(/\$\{\{ .*?\benvironment\.(\w+).*? \}\}/g).sort();
  for (const environment of environments) expect(Object.keys(environment).sort()).toEqual(used);
  const stages = pipeline.filter((mapping) => 'stage' in mapping);
  expect(stages.map(({ stage, dependsOn }) => [stage, dependsOn])).toEqual([
    ['Build', undefined],
    ['Faults', 'Build'],
    ['Integration', 'Build'],
    ['Deploy_${{ environment.name }}', undefined],
  ]);
});

test('images are pinned to one version', () => {
  const images = [...values('image'), ...values('vmImage')].map(String);
  expect(images.length).toBeGreaterThan(2);
  expect(images.filter((image) => /latest$|^[^:]+$/.test(image) && !/^ubuntu-\d/.test(image))).toEqual([]);
});

test('a deployment uses what the build publishes, and neither sources nor packages', () => {
  const published = pipeline.flatMap((step) => ('publish' in step ? [step.artifact] : []));
  const deployment = JSON.stringify(pipeline.filter((mapping) => 'deployment' in mapping));
  const used = all(/\$\(Pipeline\.Workspace\)\/(\w+)\//g, deployment);
  expect(used.length).toBeGreaterThan(2);
  expect(used.filter((artifact) => !published.includes(artifact))).toEqual([]);
  expect(deployment).not.toMatch(/npm (ci|run)|"checkout"|"template"/);
  const bundled = all(/'cli\/(\w+)\.ts'/g, read('scripts/bundle.ts'));
  expect(all(/deploy\/cli\/(\w+)\.mjs/g, deployment).sort()).toEqual(bundled.sort());
});

test('every script is Bash without syntax errors', () => {
  const all = ['bash', 'script', 'inlineScript'].flatMap(values).map(String);
  expect(all.length).toBeGreaterThan(10);
  for (const script of all) {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: script, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  }
});

test('no password stands in the pipeline', () => {
  const secrets = pipeline.flatMap((mapping) =>
    Object.entries(mapping).filter(([key]) => /password|secret|key$/i.test(key)),
  );
  expect(secrets).not.toEqual([]);
  for (const [, value] of secrets) expect(value).toMatch(/^\$[([]/);
});

describe('the role is granted to the identity of the app that AZURE_CLIENT_ID names', () => {
  const script = values('inlineScript').find((one) => String(one).includes('--grant')) as string;
  // Azure's answers, and a node that prints what it is given.
  const programs = `
    az() { case "$*" in *appsettings*) echo "$CLIENT_ID" ;; *identity*) echo "$IDENTITY" ;; esac; }
    node() { echo "\${*:2}"; }`;
  const folder = '/subscriptions/s/providers/Microsoft.ManagedIdentity/userAssignedIdentities';
  const both = JSON.stringify({
    userAssignedIdentities: {
      [`${folder}/id-mail`]: { clientId: '1111-aaaa' },
      [`${folder}/id-jobs`]: { clientId: '2222-bbbb' },
    },
  });
  const runStep = (clientId: string, identity: string) =>
    spawnSync('bash', ['-c', `${programs}\n${script}`], {
      cwd: join(root, 'docs'),
      encoding: 'utf8',
      env: {
        ...process.env,
        CLIENT_ID: clientId,
        IDENTITY: identity,
        RESOURCE_GROUP: 'g',
        FUNCTION_APP: 'f',
      },
    });

  test.each([
    ['1111-aaaa', 'id-mail'],
    ['2222-BBBB', 'id-jobs'],
  ])('%s: %s', (clientId, name) => {
    const stdout = `--replace-views --grant ${name} --client-id ${clientId}\n`;
    expect(runStep(clientId, both)).toMatchObject({
      status: 0,
      stdout,
    });
  });

  test.each([
    ['', both],
    ['3333-cccc', both],
    ['1111-aaaa', '{ "userAssignedIdentities": null }'],
    ['1111-aaaa', ''],
  ])('%j, which no identity of the app has, fails the deployment', (clientId, identity) => {
    const { status, stdout, stderr } = runStep(clientId, identity);
    expect([status, stdout]).toEqual([5, '']);
    expect(stderr).toContain(
      `no user-assigned identity of the app has the client id of AZURE_CLIENT_ID, "${clientId}"`,
    );
  });
});
