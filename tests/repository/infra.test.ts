/**
 * What azd and the pipeline deploy, as far as it can be checked without Azure and without Bicep's compiler: syntax, that
 * every name refers to something, and that names which two files share are the same. The pipeline compiles and lints.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseDocument } from 'yaml';
import { settingNames } from '../../src/config/settings';
import { Expression, loadBicepGrammar, parseBicep, type BicepFile, type Value } from '../support/bicep';

const root = join(__dirname, '../..');
const infra = join(root, 'infra');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const json = (path: string): unknown => JSON.parse(read(path));

const names = readdirSync(infra).filter((name) => name.endsWith('.bicep'));
const modules = names.filter((name) => name !== 'main.bicep');
let files: ReadonlyMap<string, BicepFile>;
let main: BicepFile;

beforeAll(async () => {
  await loadBicepGrammar();
  files = new Map(names.map((name) => [name, parseBicep(join(infra, name))]));
  main = file('main.bicep');
});

function file(name: string): BicepFile {
  const found = files.get(name);
  if (!found) throw new Error(`There is no infra/${name}`);
  return found;
}

/** The entry of nested objects. */
function at(value: Value | undefined, ...path: string[]): Value | undefined {
  return path.reduce<Value | undefined>(
    (inner, name) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner) && !(inner instanceof Expression)
        ? (inner as Readonly<Record<string, Value>>)[name]
        : undefined,
    value,
  );
}

const keys = (value: Value | undefined): string[] => Object.keys(value ?? {});

const bodyOf = (module: string, resource: string): Value => {
  const found = file(module).resources.find(({ name }) => name === resource);
  if (!found) throw new Error(`There is no resource ${resource} in infra/${module}`);
  return found.body;
};

/** Of Bicep: https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions */
const bicepFunctions = [
  'empty',
  'environment',
  'fail',
  'filter',
  'guid',
  'items',
  'join',
  'loadTextContent',
  'map',
  'replace',
  'startsWith',
  'string',
  'subscription',
  'subscriptionResourceId',
  'tenant',
  'toLower',
  'toUpper',
  'union',
  'uniqueString',
  'utcNow',
  // Decorators.
  'allowed',
  'description',
  'maxLength',
  'maxValue',
  'metadata',
  'minLength',
  'minValue',
];

describe.each(names)('infra/%s', (name) => {
  test('has no syntax error', () => {
    expect(file(name).errorLines).toEqual([]);
  });

  test('refers only to what it declares, and calls only functions of Bicep', () => {
    const { params, variables, resources, modules: used, loopVariables, references, calls } = file(name);
    const declared = [
      ...params.keys(),
      ...variables.keys(),
      ...[...resources, ...used].map((declaration) => declaration.name),
      ...loopVariables,
    ];
    expect([...references].filter((reference) => !declared.includes(reference))).toEqual([]);
    expect([...calls].filter((call) => !bicepFunctions.includes(call))).toEqual([]);
  });

  test('uses every parameter and variable that it declares', () => {
    const { params, variables, references } = file(name);
    const declared = [...params.keys(), ...variables.keys()];
    expect(declared.filter((declaration) => !references.has(declaration))).toEqual([]);
  });

  test('loads files that exist', () => {
    expect(file(name).loadedFiles.filter((path) => !existsSync(join(infra, path)))).toEqual([]);
  });

  test('creates nothing of Azure SQL: the database is the site’s', () => {
    expect(file(name).resources.filter(({ type }) => /^Microsoft\.Sql\//i.test(type))).toEqual([]);
  });
});

describe('main.bicep and its modules', () => {
  test('main uses every module', () => {
    expect(main.modules.map(({ path }) => path).sort()).toEqual(modules.sort());
  });

  test.each(modules)('main gives %s every parameter, and none that it lacks', (name) => {
    const used = main.modules.find(({ path }) => path === name);
    expect(keys(at(used?.body, 'params')).sort()).toEqual([...file(name).params.keys()].sort());
  });

  test('main reads outputs that exist, and every one is read', () => {
    const declared = main.modules.flatMap(({ name, path }) =>
      file(path).outputs.map((output) => `${name}.${output}`),
    );
    const used = new Set(main.outputsRead.map(([module, output]) => `${module}.${output}`));
    expect([...used].sort()).toEqual(declared.sort());
  });

  test('azd’s parameters are those of main, and each that has no default is among them', () => {
    const { parameters } = json('infra/main.parameters.json') as { parameters: object };
    // Named by the pipeline alone, since `azd down` deletes the group; and the time of the deployment.
    const notForAzd = ['resourceGroupName', 'deployedAt'];
    expect(Object.keys(parameters).sort()).toEqual(
      [...main.params.keys()].filter((name) => !notForAzd.includes(name)).sort(),
    );
    expect(notForAzd.map((name) => main.params.get(name))).toEqual([true, true]);
  });

  test('docs/operating.md says of each parameter how azd is given it', () => {
    const { settings: ofApp, ...others } = (
      json('infra/main.parameters.json') as { parameters: Record<string, { value: string }> }
    ).parameters;
    expect(ofApp).toBeDefined();
    const ofAzd = ['AZURE_ENV_NAME', 'AZURE_LOCATION'];
    const documentation = read('docs/operating.md');
    const silent = Object.entries(others).filter(([name, { value }]) => {
      const variable = value.replace(/^\$\{(\w+)\}$/, '$1');
      const asked = main.params.get(name) === false;
      return !ofAzd.includes(variable) && !documentation.includes(`\`${asked ? name : variable}\``);
    });
    expect(silent.map(([name]) => name)).toEqual([]);
  });

  test('an output that goes back in as a parameter has the name under which azd keeps it', () => {
    const { parameters } = json('infra/main.parameters.json') as {
      parameters: Record<string, { value: unknown }>;
    };
    expect([parameters.sqlServer?.value, parameters.sqlDatabase?.value]).toEqual([
      '${SQL_SERVER}',
      '${SQL_DATABASE}',
    ]);
    expect(main.outputs).toEqual(expect.arrayContaining(['SQL_SERVER', 'SQL_DATABASE']));
  });
});

describe('the app settings', () => {
  const known: readonly string[] = settingNames;

  /** With the reason. */
  const deliberatelyNotSet = {
    SQL_PORT: 'Azure SQL listens on the default port',
    SQL_USER: 'refused in Azure',
    SQL_PASSWORD: 'refused in Azure',
    SQL_TRUST_SERVER_CERTIFICATE: 'refused in Azure',
  };
  /** Read by the platform, not by the app. */
  const ofPlatform = [
    'AzureWebJobsStorage__accountName',
    'AzureWebJobsStorage__credential',
    'AzureWebJobsStorage__clientId',
    'FUNCTIONS_REQUEST_BODY_SIZE_LIMIT',
    'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID',
    'WEBSITE_AUTH_AAD_ALLOWED_TENANTS',
  ];

  const derived = (): string[] => keys(file('functionApp.bicep').variables.get('derivedSettings'));
  const signIn = (): string[] => {
    const { variables } = file('functionApp.bicep');
    const names = (variables.get('signInSettings') as Expression).code.matchAll(
      /^ *(?:'\$\{(\w+)\}'|(\w+)): /gm,
    );
    return [...names].map(([, variable, name = '']) =>
      variable === undefined ? name : (variables.get(variable) as string),
    );
  };
  const { settings } = (
    json('infra/main.parameters.json') as { parameters: { settings: { value: Record<string, string> } } }
  ).parameters;
  const ofSite = Object.keys(settings.value);

  test('each setting of the app is set, or deliberately not, and none that the app does not know', () => {
    const decided = [...derived(), ...ofSite, ...Object.keys(deliberatelyNotSet)];
    expect(decided.filter((name) => !ofPlatform.includes(name)).sort()).toEqual([...known].sort());
    expect([...derived(), ...signIn()].filter((name) => !known.includes(name)).sort()).toEqual(
      ofPlatform.sort(),
    );
  });

  test('azd gives a setting of the site from the variable of its own name', () => {
    for (const [name, value] of Object.entries(settings.value)) expect(value).toBe(`\${${name}}`);
  });

  test('none is among those that Flex Consumption refuses', () => {
    const refused =
      /^(FUNCTIONS_(WORKER|EXTENSION|MAX_HTTP)|WEBSITE_(RUN_FROM_PACKAGE|CONTENT|TIME_ZONE)|SCM_DO_BUILD|ENABLE_ORYX_BUILD|TZ$|AzureWebJobsStorage$)/;
    expect([...derived(), ...signIn(), ...ofSite].filter((name) => refused.test(name))).toEqual([]);
  });
});

describe('the resources', () => {
  test('no shared key opens the storage account, and no connection string alone Application Insights', () => {
    expect(at(bodyOf('storage.bicep', 'storageAccount'), 'properties', 'allowSharedKeyAccess')).toBe(false);
    expect(at(bodyOf('monitoring.bicep', 'applicationInsights'), 'properties', 'DisableLocalAuth')).toBe(
      true,
    );
    expect(
      at(
        file('functionApp.bicep').variables.get('derivedSettings'),
        'APPLICATIONINSIGHTS_AUTHENTICATION_STRING',
      ),
    ).toEqual(new Expression("'ClientId=${identityClientId};Authorization=AAD'"));
  });

  test('the app runs on the Node.js version that the pipeline builds with', () => {
    const runtime = at(
      bodyOf('functionApp.bicep', 'functionApp'),
      'properties',
      'functionAppConfig',
      'runtime',
    );
    const [, major] = /nodeVersion: (\d+)\.x/.exec(read('azure-pipelines.yml')) ?? [];
    expect(runtime).toEqual({ name: 'node', version: major });
  });

  test('an instance takes as many requests at once as the host hands to the app', () => {
    const path = ['properties', 'functionAppConfig', 'scaleAndConcurrency', 'triggers', 'http'];
    const { extensions } = json('host.json') as { extensions: { http: Record<string, number> } };
    expect(at(bodyOf('functionApp.bicep', 'functionApp'), ...path)).toEqual({
      perInstanceConcurrency: extensions.http.maxConcurrentRequests,
    });
  });

  test('the roles are those that docs/operating.md lists', () => {
    const roles = {
      'b7e6dc6d-f1e8-4753-8033-0f276bb0955b': 'Storage Blob Data Owner',
      '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3': 'Storage Table Data Contributor',
      '3913510d-42f4-4e42-8a64-420c390055eb': 'Monitoring Metrics Publisher',
      '09976791-48a7-449e-bb21-39d1a415f350': 'Communication and Email Service Owner',
    };
    // The workbook has ids of its own kind.
    const texts = names.filter((name) => name !== 'workbook.bicep').map((name) => read(`infra/${name}`));
    const ids = texts.flatMap((text) => text.match(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/g) ?? []);
    expect(ids.sort()).toEqual(Object.keys(roles).sort());
    const permissions = read('docs/operating.md');
    for (const role of Object.values(roles)) expect(permissions).toContain(role);
  });
});

/** The options in a command line that the command's parseArgs does not declare. */
function unknownOptions(line: string, command: string | undefined): string[] {
  const source = command === undefined ? '' : read(command);
  const declared = [...source.matchAll(/'?([\w-]+)'?: \{ type: '(?:string|boolean)' \}/g)].map(
    ([, name]) => name,
  );
  return [...line.matchAll(/--([\w-]+)/g)].flatMap(([, name = '']) =>
    declared.includes(name) ? [] : [name],
  );
}

describe('the pipeline', () => {
  const text = read('azure-pipelines.yml');
  const [{ default: environments } = { default: [] }] = (
    parse(text) as { parameters: { default: { parameters: object }[] }[] }
  ).parameters;

  test('gives main.bicep every parameter that has no default, and none that it lacks', () => {
    const [, command = ''] = /--parameters @deployment\.json ([\s\S]*?)--query/.exec(text) ?? [];
    const fixed = [...command.matchAll(/(\w+)="/g)].map(([, name = '']) => name);
    expect(fixed.length).toBeGreaterThan(2);
    for (const { parameters } of environments) {
      const given = [...fixed, ...Object.keys(parameters)];
      expect(given.filter((name) => !main.params.has(name))).toEqual([]);
      const required = [...main.params].filter(([, hasDefault]) => !hasDefault).map(([name]) => name);
      expect(required.filter((name) => !given.includes(name))).toEqual([]);
    }
  });

  test('calls the commands of a deployment with options that they have', () => {
    const calls = [...text.matchAll(/deploy\/(cli\/\w+)\.mjs"((?:[^\n]*\\\n)*[^\n]*)/g)];
    expect(calls).toHaveLength(2);
    for (const [, command = '', parameters = ''] of calls) {
      expect(parameters).toContain('--');
      expect(unknownOptions(parameters, `${command}.ts`)).toEqual([]);
    }
  });

  test('compiles the file that azd deploys, with its rules as errors', () => {
    expect(text).toMatch(/az bicep lint --file infra\/main\.bicep\n/);
    expect(text).toMatch(/az bicep build --file infra\/main\.bicep /);
    const { analyzers } = json('infra/bicepconfig.json') as {
      analyzers: { core: { rules: Record<string, { level: string }> } };
    };
    expect(new Set(Object.values(analyzers.core.rules).map(({ level }) => level))).toEqual(
      new Set(['error']),
    );
  });
});

describe('azure.yaml', () => {
  interface Hook {
    readonly shell: string;
    readonly run: string;
  }
  interface Azure {
    readonly services: Record<
      string,
      { dist: string; hooks: Record<string, Record<'posix' | 'windows', Hook>> }
    >;
  }
  const document = parseDocument(read('azure.yaml'));
  const { services } = document.toJS() as Azure;
  const [[service, definition] = ['', undefined]] = Object.entries(services);
  const hooks = Object.entries(definition?.hooks ?? {});
  const { scripts } = json('package.json') as { scripts: Record<string, string> };

  test('is YAML without errors, and has one service, which its tag in Azure names', () => {
    expect(document.errors).toEqual([]);
    expect(Object.keys(services)).toHaveLength(1);
    expect(read('infra/functionApp.bicep')).toContain(`'azd-service-name': '${service}'`);
    expect(read('infra/main.bicep')).toContain("'azd-env-name': environmentName");
  });

  test('deploys the zip that npm run package writes', () => {
    expect(read('scripts/package.ts')).toContain(`'${definition?.dist ?? 'none'}'`);
  });

  test('packs before, prepares the database before and checks the app after a deployment', () => {
    expect(hooks.map(([name]) => name)).toEqual(['prepackage', 'predeploy', 'postdeploy']);
  });

  test.each(hooks)(
    '%s does the same on Windows as elsewhere, with scripts and variables that exist',
    (_, hook) => {
      const calls = ({ run }: Hook): string[] =>
        [...run.matchAll(/npm(?:\.cmd)? (ci|run \S+)( -- [^\n]*)?/g)].map(
          ([, command = '', parameters = '']) =>
            `${command}${parameters}`.replace(/"?\$(?:env:)?(\w+)"?/g, '<$1>').trim(),
        );
      expect(calls(hook.windows)).toEqual(calls(hook.posix));
      const called = calls(hook.posix).flatMap((call) => /^run (\S+)/.exec(call)?.[1] ?? []);
      expect(called.length).toBeGreaterThan(0);
      expect(called.filter((script) => !(script in scripts))).toEqual([]);
      const variables = calls(hook.posix).flatMap((call) =>
        [...call.matchAll(/<(\w+)>/g)].map(([, name]) => name),
      );
      expect(variables.filter((name) => !main.outputs.includes(name ?? ''))).toEqual([]);
      for (const call of calls(hook.posix)) {
        const [, script = '', parameters = ''] = /^run (\S+)(.*)/.exec(call) ?? [];
        const [, command] = /^node --import tsx (\S+)$/.exec(scripts[script] ?? '') ?? [];
        expect(unknownOptions(parameters, command)).toEqual([]);
      }
      expect([hook.posix.shell, hook.windows.shell]).toEqual(['sh', 'pwsh']);
    },
  );
});

test.each(['infra/bicepconfig.json', 'infra/main.parameters.json'])('%s is JSON', (path) => {
  expect(json(path)).toBeInstanceOf(Object);
});
