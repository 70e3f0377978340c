import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseDocument } from 'yaml';

const root = join(__dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Stage {
  stage: string;
  dependsOn?: string;
}

interface Pipeline {
  parameters: { name: string; default: Record<string, string>[] }[];
  variables: Record<string, string>;
  resources: { containers: { container: string; image: string; ports: string[] }[] };
  schedules: { cron: string }[];
  stages: (Stage | Record<string, Stage[]>)[];
}

const pipelineText = read('azure-pipelines.yml');
const pipeline = parse(pipelineText) as Pipeline;

const all = (pattern: RegExp, text: string): string[] => [
  ...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? '')),
];

const templates = all(/template: (\S+)/g, pipelineText);
const templateTexts = templates.filter((path) => existsSync(join(root, path))).map(read);

/** Without its comments. */
const code = [pipelineText, ...templateTexts].join('\n').replace(/^\s*#.*$/gm, '');

/** Every mapping in the pipeline, at any depth. */
function mappings(value: unknown): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return [];
  const nested = Object.values(value).flatMap(mappings);
  return Array.isArray(value) ? nested : [value as Record<string, unknown>, ...nested];
}

const values = (key: string): unknown[] =>
  mappings(pipeline).flatMap((mapping) => (key in mapping ? [mapping[key]] : []));

// https://learn.microsoft.com/azure/devops/pipelines/build/variables
const predefined = [
  'Agent.OS',
  'Agent.TempDirectory',
  'Build.Reason',
  'Build.SourceBranch',
  'Pipeline.Workspace',
  'System.DefaultWorkingDirectory',
];

const matrices = values('matrix').flatMap((matrix) => Object.values(matrix as Record<string, object>));

/** `agent.services.<service>.ports.<port>`: https://learn.microsoft.com/azure/devops/pipelines/process/service-containers */
const servicePorts = values('services').flatMap((services) =>
  Object.entries(services as Record<string, string>).flatMap(([service, name]) => {
    // A variable of the matrix names a container for each of its jobs.
    const [, variable] = /^\$\[ variables\['(\w+)'\] \]$/.exec(name) ?? [];
    const names =
      variable === undefined ? [name] : matrices.map((job) => (job as Record<string, string>)[variable]);
    return names.flatMap((container) => {
      const found = pipeline.resources.containers.find((resource) => resource.container === container);
      if (!found) throw new Error(`There is no container ${String(container)}`);
      return found.ports.map((port) => `Agent.Services.${service}.Ports.${port}`);
    });
  }),
);

const declaredVariables = [
  ...values('variables').flatMap((variables) => Object.keys(variables as object)),
  ...matrices.flatMap(Object.keys),
];

test.each(['azure-pipelines.yml', ...templates])('%s is YAML without errors', (path) => {
  expect(parseDocument(read(path)).errors).toEqual([]);
});

test('every npm script that the pipeline calls exists', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const called = [...all(/npm run (\S+)/g, code), ...(/npm test\b/.test(code) ? ['test'] : [])];
  expect(called).toEqual(
    expect.arrayContaining([
      'lint',
      'typecheck',
      'test',
      'package',
      'test:sqlserver',
      'test:faults',
      'test:histories',
    ]),
  );
  expect(called.filter((script) => !(script in scripts))).toEqual([]);
});

test('every reporter that the pipeline gives to jest is installed', () => {
  const { devDependencies } = JSON.parse(read('package.json')) as { devDependencies: Record<string, string> };
  const reporters = all(/--reporters=(\S+)/g, code).filter((reporter) => reporter !== 'default');
  expect(reporters.filter((reporter) => !(reporter in devDependencies))).toEqual([]);
});

test('every variable that the pipeline uses is declared or predefined', () => {
  const used = [...all(/\$\(([\w.]+)\)/g, code), ...all(/variables\['([\w.]+)'\]/g, code)];
  expect(used).not.toEqual([]);
  const known = [...declaredVariables, ...servicePorts, ...predefined];
  expect(used.filter((variable) => !known.includes(variable))).toEqual([]);
});

test('every variable at the top is used, and has a comment above it', () => {
  for (const variable of Object.keys(pipeline.variables)) {
    expect(pipelineText).toMatch(new RegExp(String.raw`^ *#.*\n *${variable}:`, 'm'));
    // npm itself reads the variables that are named npm_config_…
    if (!variable.startsWith('npm_config_')) expect(code).toContain(`$(${variable})`);
  }
});

test('every parameter that the pipeline uses is declared, and each environment has every key that is used', () => {
  const names = pipeline.parameters.map(({ name }) => name);
  expect(all(/parameters\.(\w+)/g, code)).toEqual(names);
  const keys = all(/\$\{\{ .*?\benvironment\.(\w+).*? \}\}/g, code).sort();
  expect(keys).not.toEqual([]);
  for (const environment of pipeline.parameters[0]?.default ?? [])
    expect(Object.keys(environment).sort()).toEqual(keys);
});

test('every expression names a declared parameter or the loop over the environments', () => {
  const expressions = all(/\$\{\{ (.*?) \}\}/g, code);
  const understood =
    /^(each environment in parameters\.environments|environment\.\w+|if eq\(environment\.\w+, true\)|convertToJson\(environment\.\w+\))$/;
  expect(expressions.filter((expression) => !understood.test(expression))).toEqual([]);
});

test('every stage waits for one that exists, and a deployment for the tests and the environment before', () => {
  const environments = pipeline.parameters[0]?.default ?? [];
  const deployments = environments.map(({ name }) => `Deploy_${String(name)}`);
  const stages = pipeline.stages.flatMap((stage) => ('stage' in stage ? [stage as Stage] : []));
  expect(stages.map(({ stage, dependsOn }) => [stage, dependsOn])).toEqual([
    ['Build', undefined],
    ['Faults', 'Build'],
    ['Integration', 'Build'],
  ]);
  expect(environments.map(({ after }) => after)).toEqual(['Integration', ...deployments.slice(0, -1)]);
});

test('every job waits for one that exists, and reads outputs that a step sets', () => {
  const jobs = values('job');
  for (const [, job, step, variable] of code.matchAll(/dependencies\.(\w+)\.outputs\['(\w+)\.(\w+)'\]/g)) {
    expect(jobs).toContain(job);
    expect(values('name')).toContain(step);
    expect(code).toContain(`setvariable variable=${String(variable)};isOutput=true;isSecret=true`);
  }
  expect(values('dependsOn')).toContain('Password');
  expect(jobs).toContain('Password');
});

test('every night the full fault suites run, and nothing is deployed', () => {
  expect(pipeline.schedules).toHaveLength(1);
  const stages = mappings(pipeline).filter((mapping) => 'stage' in mapping);
  const scheduled = (condition: string) =>
    stages.filter((stage) => String(stage.condition).includes(condition)).map(({ stage }) => stage);
  expect(scheduled("eq(variables['Build.Reason'], 'Schedule')")).toEqual(['Faults']);
  expect(scheduled("ne(variables['Build.Reason'], 'Schedule')")).toEqual(['Deploy_${{ environment.name }}']);
});

test('images are pinned to one version', () => {
  const images = [...values('image'), ...values('vmImage')].map(String);
  expect(images.length).toBeGreaterThan(2);
  expect(images.filter((image) => /latest$|^[^:]+$/.test(image) && !/^ubuntu-\d/.test(image))).toEqual([]);
});

test('the matrix tests SQL Server with and without row versioning, and with what Azure SQL has', () => {
  const jobs = matrices as { server: string; options: string }[];
  expect(jobs.map(({ server, options }) => [server, options])).toEqual([
    ['sqlserver2022', 'SET READ_COMMITTED_SNAPSHOT OFF'],
    ['sqlserver2022', 'SET READ_COMMITTED_SNAPSHOT ON'],
    ['sqlserver2025', expect.stringContaining('SET OPTIMIZED_LOCKING = ON') as string],
  ]);
});

test('a deployment uses what the build publishes, and neither sources nor packages', () => {
  const published = mappings(pipeline).flatMap((step) => ('publish' in step ? [step.artifact] : []));
  expect(published).toEqual(['app', 'sbom', 'deploy', 'infra']);
  const deployment = JSON.stringify(mappings(pipeline).filter((mapping) => 'deployment' in mapping));
  const used = all(/\$\(Pipeline\.Workspace\)\/(\w+)\//g, deployment);
  expect(used.sort()).toEqual(published.filter((artifact) => artifact !== 'sbom').sort());
  expect(deployment).toContain('"download":"current"');
  expect(deployment).not.toMatch(/npm (ci|run)|"checkout"|"template"/);
  const bundled = all(/'cli\/(\w+)\.ts'/g, read('scripts/bundle.ts'));
  expect(all(/deploy\/cli\/(\w+)\.mjs/g, deployment).sort()).toEqual(bundled.sort());
  expect(bundled.filter((name) => !existsSync(join(root, `cli/${name}.ts`)))).toEqual([]);
  expect(read('scripts/package.ts')).toContain(`'dist/${pipeline.variables.packageFile ?? ''}'`);
});

test('Azure Pipelines knows no anchors of YAML', () => {
  expect(code).not.toMatch(/: [&*]\w/);
});

test('every script is Bash without syntax errors', () => {
  const scripts = ['bash', 'script', 'inlineScript'].flatMap(values).map(String);
  expect(scripts.length).toBeGreaterThan(10);
  for (const script of scripts) {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: script, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  }
});

describe('The role is granted to the identity that AZURE_CLIENT_ID names', () => {
  const [script = ''] = values('inlineScript')
    .map(String)
    .filter((text) => text.includes('--grant'));
  const first = '11111111-1111-4111-8111-111111111111';
  const second = '22222222-2222-4222-8222-222222222222';
  const identities = {
    '/subscriptions/s/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-mail': {
      clientId: first,
    },
    '/subscriptions/s/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-jobs': {
      clientId: second,
    },
  };

  /** Runs the step with an `az` that answers as Azure would, and a `node` that prints what it is given. */
  function runStep(clientId: string, assigned: object | null): { status: number | null; stdout: string } {
    const programs = `
      az() { case "$*" in
        *"config appsettings list"*) printf '%s\\n' "$CLIENT_ID" ;;
        *"identity show"*) printf '%s\\n' "$IDENTITIES" ;;
      esac; }
      node() { shift; echo "node $*"; }`;
    return spawnSync(
      'bash',
      ['-c', `${programs}\n${script.replaceAll('$(Pipeline.Workspace)', '/workspace')}`],
      {
        cwd: join(root, 'docs'),
        encoding: 'utf8',
        env: {
          ...process.env,
          CLIENT_ID: clientId,
          IDENTITIES: JSON.stringify(assigned),
          RESOURCE_GROUP: 'rg',
          FUNCTION_APP: 'func',
        },
      },
    );
  }

  test.each([
    [first, 'id-mail'],
    [second, 'id-jobs'],
    ['22222222-2222-4222-8222-222222222222'.toUpperCase(), 'id-jobs'],
  ])('%s is %s', (clientId, name) => {
    expect(runStep(clientId, identities)).toMatchObject({
      status: 0,
      stdout: `node --replace-views --grant ${name} --client-id ${clientId}\n`,
    });
  });

  test.each([
    ['', identities],
    ['33333333-3333-4333-8333-333333333333', identities],
    [first, null],
  ])('%p, which no identity of the app has, fails the deployment', (clientId, assigned) => {
    const { status, stdout } = runStep(clientId, assigned);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^##vso\[task\.logissue type=error\]AZURE_CLIENT_ID of func is /);
  });
});

test('no password stands in the pipeline', () => {
  const secrets = mappings(pipeline).flatMap((mapping) =>
    Object.entries(mapping).filter(([key]) => /password|secret|key$/i.test(key)),
  );
  expect(secrets).not.toEqual([]);
  for (const [, value] of secrets) expect(value).toMatch(/^\$[([]/);
});
