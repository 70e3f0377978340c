/**
 * What azd and the pipeline deploy: the deployments of the sites in tests/infra/ as Bicep's compiler evaluates them, and
 * the files around them, whose names have to be the same.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { settingNames } from '../../src/config/settings';
import { jobs } from '../../src/jobs/catalogue';
import {
  describeEvaluated,
  ofType,
  propertiesOf,
  readDeployment,
  readTemplate,
  type Resource,
  type Template,
} from '../support/deployments';

const root = join(__dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const json = (path: string): unknown => JSON.parse(read(path));

const azdParameters = (
  json('infra/main.parameters.json') as {
    parameters: Record<string, { value: string | Record<string, string> }>;
  }
).parameters;
const azdSettings = azdParameters.settings?.value as Record<string, string>;

/** What azd keeps, and gives to the hooks of azure.yaml. */
const outputs = [...read('infra/main.bicep').matchAll(/^output (\w+) /gm)].map(([, name = '']) => name);

test('an output that goes back in as a parameter has the name under which azd keeps it', () => {
  expect([azdParameters.sqlServer?.value, azdParameters.sqlDatabase?.value]).toEqual([
    '${SQL_SERVER}',
    '${SQL_DATABASE}',
  ]);
  expect(outputs).toEqual(expect.arrayContaining(['SQL_SERVER', 'SQL_DATABASE']));
});

describeEvaluated('the parameters', () => {
  let parameters: Template['parameters'];
  const isRequired = (name: string): boolean => parameters[name]?.defaultValue === undefined;
  beforeAll(() => {
    ({ parameters } = readTemplate());
  });

  test('of azd are those of main', () => {
    // Named by the pipeline alone, since `azd down` deletes the group.
    const notForAzd = ['resourceGroupName'];
    expect(Object.keys(azdParameters).sort()).toEqual(
      Object.keys(parameters)
        .filter((name) => !notForAzd.includes(name))
        .sort(),
    );
    expect(notForAzd.filter(isRequired)).toEqual([]);
  });

  test('of the pipeline are those of main, and none that is required is left out', () => {
    const text = read('azure-pipelines.yml');
    const [{ default: environments } = { default: [] }] = (
      parse(text) as { parameters: { default: { parameters: object }[] }[] }
    ).parameters;
    const [, command = ''] = /--parameters @deployment\.json ([\s\S]*?)--query/.exec(text) ?? [];
    const fixed = [...command.matchAll(/(\w+)="/g)].map(([, name = '']) => name);
    expect(fixed.length).toBeGreaterThan(2);
    for (const environment of environments) {
      const given = [...fixed, ...Object.keys(environment.parameters)];
      expect(given.filter((name) => !(name in parameters))).toEqual([]);
      expect(Object.keys(parameters).filter((name) => isRequired(name) && !given.includes(name))).toEqual([]);
    }
  });

  test('of azd take a setting of the site from the variable of its own name', () => {
    for (const [name, value] of Object.entries(azdSettings)) expect(value).toBe(`\${${name}}`);
  });

  test('the alert rules wait for the app', () => {
    const alerts = readTemplate().resources.find(({ name }) => name === 'alerts');
    expect(alerts?.dependsOn?.join()).toContain("'functionApp')]");
  });
});

interface Site {
  readonly httpsOnly: boolean;
  readonly virtualNetworkSubnetId: string | null;
  readonly functionAppConfig: {
    readonly runtime: object;
    readonly scaleAndConcurrency: object;
    readonly deployment: { readonly storage: { readonly value: string; readonly authentication: object } };
  };
  readonly siteConfig: {
    readonly appSettings: readonly { readonly name: string; readonly value: string }[];
    readonly cors: object;
    readonly minTlsVersion: string;
    readonly scmMinTlsVersion: string;
    readonly ipSecurityRestrictions: readonly { readonly ipAddress: string; readonly action: string }[];
    readonly ipSecurityRestrictionsDefaultAction: string;
    readonly scmIpSecurityRestrictionsUseMain: boolean;
  };
}

describeEvaluated('the deployment', () => {
  const names = ['leastParameters', 'allParameters', 'unverifiedDomain'] as const;
  type Name = (typeof names)[number];
  let resources: Readonly<Record<Name, readonly Resource[]>>;
  const site = (name: Name): Site => propertiesOf(resources[name], 'Microsoft.Web/sites') as Site;
  const settings = (name: Name): Record<string, string> =>
    Object.fromEntries(site(name).siteConfig.appSettings.map((setting) => [setting.name, setting.value]));

  beforeAll(() => {
    resources = Object.fromEntries(names.map((name) => [name, readDeployment(name)])) as typeof resources;
  });

  test.each(names)('of %s creates nothing of Azure SQL: the database is the site’s', (name) => {
    expect(resources[name].filter(({ type }) => /^Microsoft\.Sql\//i.test(type))).toEqual([]);
    expect(resources[name].length).toBeGreaterThan(20);
  });

  test.each(names)('of %s names the app and the environment as azd looks for them', (name) => {
    const { services } = parse(read('azure.yaml')) as { services: object };
    const tagged = resources[name].flatMap(({ tags }) => tags?.['azd-service-name'] ?? []);
    expect(tagged).toEqual(Object.keys(services));
    const [group] = ofType(resources[name], 'Microsoft.Resources/resourceGroups');
    expect(group?.tags).toEqual({ 'azd-env-name': 'prod' });
  });

  describe('gives the app', () => {
    /** With the reason. */
    const deliberatelyNotSet = {
      SQL_PORT: 'Azure SQL listens on the default port',
      SQL_USER: 'refused in Azure',
      SQL_PASSWORD: 'refused in Azure',
      SQL_TRUST_SERVER_CERTIFICATE: 'refused in Azure',
    };
    test('the settings of the site that azd hands on', () => {
      const ofSite = Object.keys(azdSettings);
      const given = Object.keys(settings('allParameters'));
      expect(ofSite.filter((name) => !given.includes(name))).toEqual([]);
      // All others follow from the resources.
      expect(Object.keys(settings('leastParameters')).filter((name) => ofSite.includes(name))).toEqual([]);
    });

    test('the memory, instances and subnet that the site asks for', () => {
      expect(site('leastParameters')).toMatchObject({
        virtualNetworkSubnetId: null,
        functionAppConfig: { scaleAndConcurrency: { instanceMemoryMB: 2048, maximumInstanceCount: 40 } },
      });
      expect(site('allParameters')).toMatchObject({
        virtualNetworkSubnetId: expect.stringMatching(/\/virtualNetworks\/site\/subnets\/jobs$/) as string,
        functionAppConfig: { scaleAndConcurrency: { instanceMemoryMB: 512, maximumInstanceCount: 100 } },
      });
    });

    /** Read by the platform, not by the app. */
    const ofPlatform = [
      'AzureWebJobs.ExpiryNotificationPalantirRequests.Disabled',
      'AzureWebJobs.RevokeExpiredDatabricksRequests.Disabled',
      'AzureWebJobsStorage__accountName',
      'AzureWebJobsStorage__clientId',
      'AzureWebJobsStorage__credential',
      'FUNCTIONS_REQUEST_BODY_SIZE_LIMIT',
      'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID',
      'WEBSITE_AUTH_AAD_ALLOWED_TENANTS',
    ];

    test('each setting that it knows, but for those that are deliberately not set', () => {
      const given = Object.keys(settings('allParameters'));
      const known: readonly string[] = settingNames;
      expect(given.filter((name) => !known.includes(name)).sort()).toEqual(ofPlatform);
      const missing = known.filter((name) => !given.includes(name));
      expect(missing.sort()).toEqual(Object.keys(deliberatelyNotSet).sort());
    });

    test.each(names)('of %s none that Flex Consumption refuses', (name) => {
      const refused =
        /^(FUNCTIONS_(WORKER|EXTENSION)|WEBSITE_(RUN_FROM_PACKAGE|CONTENT|TIME_ZONE)|SCM_DO_BUILD|ENABLE_ORYX_BUILD|TZ$|AzureWebJobsStorage$)/;
      expect(Object.keys(settings(name)).filter((setting) => refused.test(setting))).toEqual([]);
    });

    test('its identity, everywhere by the client id', () => {
      const clientId =
        /^\[reference\('.*userAssignedIdentities\/id-access-expiry-jobs-prod', '[\d-]+'\)\.clientId\]$/;
      const given = settings('allParameters');
      for (const name of [
        'AZURE_CLIENT_ID',
        'AzureWebJobsStorage__clientId',
        'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID',
      ])
        expect(given[name]).toMatch(clientId);
      expect(given.APPLICATIONINSIGHTS_AUTHENTICATION_STRING).toMatch(
        /^\[format\('ClientId=\{0\};Authorization=AAD', reference\('.*userAssignedIdentities.*'\)\.clientId\)\]$/,
      );
    });

    test('no timer of a job that DISABLED_JOBS names, and all others', () => {
      const disabled = (name: Name): string[] =>
        Object.entries(settings(name)).flatMap(([setting, value]) => {
          const [, job] = /^AzureWebJobs\.(\w+)\.Disabled$/.exec(setting) ?? [];
          return job !== undefined && value === 'true' ? [job] : [];
        });
      expect(disabled('leastParameters')).toEqual([]);
      const known = jobs.map(({ type }) => type as string);
      expect(disabled('allParameters')).toHaveLength(2);
      expect(disabled('allParameters').filter((job) => !known.includes(job))).toEqual([]);
    });

    test('the Node.js version that the pipeline builds with', () => {
      const [, major] = /nodeVersion: (\d+)\.x/.exec(read('azure-pipelines.yml')) ?? [];
      expect(site('leastParameters').functionAppConfig.runtime).toEqual({ name: 'node', version: major });
    });

    test('as many requests at once as the host hands to the app', () => {
      const { extensions } = json('host.json') as { extensions: { http: Record<string, number> } };
      expect(site('leastParameters').functionAppConfig.scaleAndConcurrency).toMatchObject({
        triggers: { http: { perInstanceConcurrency: extensions.http.maxConcurrentRequests } },
      });
    });

    test('a sender of the verified domain; of Azure’s own domain until it is verified', () => {
      const ofAzure =
        /^\[format\('\{0\}@\{1\}', 'donotreply', reference\('.*domains\/AzureManagedDomain', '[\d-]+'\)\.fromSenderDomain\)\]$/;
      expect(settings('allParameters').EMAIL_SENDER_ADDRESS).toBe('access@example.com');
      expect(settings('leastParameters').EMAIL_SENDER_ADDRESS).toMatch(ofAzure);
      expect(settings('unverifiedDomain').EMAIL_SENDER_ADDRESS).toMatch(ofAzure);
    });
  });

  test('sends from the domain that the sender belongs to, and makes the site’s domain before it is verified', () => {
    const linked = (name: Name): string[] =>
      (
        propertiesOf(resources[name], 'Microsoft.Communication/communicationServices') as {
          linkedDomains: string[];
        }
      ).linkedDomains.map((id) => id.replace(/^.*\/domains\//, ''));
    const domains = (name: Name): string[] =>
      ofType(resources[name], 'Microsoft.Communication/emailServices/domains').map((domain) =>
        domain.name.replace(/^.*\//, ''),
      );
    const senders = (name: Name): string[] =>
      ofType(resources[name], 'Microsoft.Communication/emailServices/domains/senderUsernames').map((sender) =>
        sender.name.replace(/^.*?\//, ''),
      );
    expect(names.map(linked)).toEqual([['AzureManagedDomain'], ['example.com'], ['AzureManagedDomain']]);
    expect(names.map(domains)).toEqual([
      ['AzureManagedDomain'],
      ['AzureManagedDomain', 'example.com'],
      ['AzureManagedDomain', 'example.com'],
    ]);
    expect(names.map(senders)).toEqual([
      ['AzureManagedDomain/donotreply'],
      ['example.com/access'],
      ['AzureManagedDomain/donotreply'],
    ]);
  });

  test('people sign in where the site names an app registration, and only there', () => {
    const type = 'Microsoft.Web/sites/config';
    expect(ofType(resources.leastParameters, type)).toEqual([]);
    const signIn = propertiesOf(resources.allParameters, type);
    expect(signIn).toMatchObject({
      platform: { enabled: true },
      globalValidation: { requireAuthentication: true },
      identityProviders: {
        azureActiveDirectory: { registration: { clientId: '7c9e6679-7425-40de-944b-e07fc1f90ae7' } },
      },
    });
    expect(settings('allParameters').WEBSITE_AUTH_AAD_ALLOWED_TENANTS).toBe(
      '00000000-0000-0000-0000-000000000002',
    );
  });

  test.each(names)(
    'of %s lets the portal’s Test/Run call the app from the browser, and no other page',
    (name) => {
      expect(site(name).siteConfig.cors).toEqual({ allowedOrigins: ['https://portal.azure.com'] });
    },
  );

  test('of a site that names address ranges refuses all others, but for deployments', () => {
    const { siteConfig } = site('allParameters');
    expect(siteConfig.ipSecurityRestrictions.map(({ ipAddress, action }) => [ipAddress, action])).toEqual([
      ['203.0.113.0/24', 'Allow'],
      ['198.51.100.7/32', 'Allow'],
    ]);
    expect(siteConfig.ipSecurityRestrictionsDefaultAction).toBe('Deny');
    expect(siteConfig.scmIpSecurityRestrictionsUseMain).toBe(false);
    expect(site('leastParameters').siteConfig).toMatchObject({
      ipSecurityRestrictions: [],
      ipSecurityRestrictionsDefaultAction: 'Allow',
    });
  });

  test.each(names)('of %s opens nothing by a key, a password or an old protocol', (name) => {
    const of = (type: string): object => propertiesOf(resources[name], type);
    expect(of('Microsoft.Storage/storageAccounts')).toMatchObject({
      allowSharedKeyAccess: false,
      allowBlobPublicAccess: false,
      minimumTlsVersion: 'TLS1_2',
    });
    expect(of('Microsoft.Insights/components')).toMatchObject({ DisableLocalAuth: true });
    expect(of('Microsoft.Communication/communicationServices')).toMatchObject({ disableLocalAuth: true });
    expect(site(name)).toMatchObject({
      httpsOnly: true,
      siteConfig: { minTlsVersion: '1.2', scmMinTlsVersion: '1.2' },
      functionAppConfig: { deployment: { storage: { authentication: { type: 'UserAssignedIdentity' } } } },
    });
    const policies = ofType(resources[name], 'Microsoft.Web/sites/basicPublishingCredentialsPolicies');
    expect(policies.map((policy) => [policy.name.replace(/^.*\//, ''), policy.properties])).toEqual([
      ['scm', { allow: false }],
      ['ftp', { allow: false }],
    ]);
  });

  test.each(names)('of %s gives the app’s identity four roles, each on its resource', (name) => {
    const roles = [
      // Monitoring Metrics Publisher, Storage Blob Data Owner, Storage Table Data Contributor, and Communication and
      // Email Service Owner.
      ['3913510d-42f4-4e42-8a64-420c390055eb', 'components'],
      ['b7e6dc6d-f1e8-4753-8033-0f276bb0955b', 'storageAccounts'],
      ['0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3', 'storageAccounts'],
      ['09976791-48a7-449e-bb21-39d1a415f350', 'communicationServices'],
    ];
    const assigned = ofType(resources[name], 'Microsoft.Authorization/roleAssignments').map(
      ({ id, properties }) => {
        const assignment = properties as {
          roleDefinitionId: string;
          principalId: string;
          principalType: string;
        };
        expect(assignment.principalId).toMatch(
          /userAssignedIdentities\/id-access-expiry-jobs-prod', '[\d-]+'\)\.principalId\]$/,
        );
        expect(assignment.principalType).toBe('ServicePrincipal');
        const [, scope] = /^\[extensionResourceId\('[^']*\/(\w+)\/[^/']+'/.exec(id) ?? [];
        return [assignment.roleDefinitionId.replace(/^.*\//, ''), scope];
      },
    );
    expect(assigned).toEqual(roles);
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

  test('compiles and evaluates infra/, and does not go on without a compiler', () => {
    expect(text).toMatch(/ npm run check:infra -- --required\n/);
  });

  test('calls the commands of a deployment with options that they have', () => {
    const calls = [...text.matchAll(/deploy\/(cli\/\w+)\.mjs"((?:[^\n]*\\\n)*[^\n]*)/g)];
    expect(calls).toHaveLength(2);
    for (const [, command = '', parameters = ''] of calls) {
      expect(parameters).toContain('--');
      expect(unknownOptions(parameters, `${command}.ts`)).toEqual([]);
    }
  });
});

describe('azure.yaml', () => {
  interface Hook {
    readonly shell: string;
    readonly run: string;
  }
  interface Azure {
    readonly hooks: Partial<Record<string, Record<'posix' | 'windows', Hook>>>;
    readonly services: Record<
      string,
      { dist: string; hooks: Record<string, Record<'posix' | 'windows', Hook>> }
    >;
  }
  const { services, hooks: global } = parse(read('azure.yaml')) as Azure;
  const [definition] = Object.values(services);
  const hooks = Object.entries(definition?.hooks ?? {});
  const { scripts } = json('package.json') as { scripts: Record<string, string> };

  test('has one service, whose zip npm run package writes', () => {
    expect(Object.keys(services)).toHaveLength(1);
    expect(read('scripts/package.ts')).toContain(`'${definition?.dist ?? 'none'}'`);
  });

  test('packs before, prepares the database before and checks the app after a deployment', () => {
    expect(hooks.map(([name]) => name)).toEqual(['prepackage', 'predeploy', 'postdeploy']);
  });

  describe('before a provision', () => {
    const check = 'scripts/checkAzdValues.mjs';
    const withValue = (name: string, value: string) =>
      spawnSync(process.execPath, [check], {
        cwd: root,
        env: { PATH: process.env.PATH, [name]: value },
        encoding: 'utf8',
      });

    test('the values of azd’s environment are checked, on Windows too', () => {
      const { posix, windows } = global.preprovision ?? {};
      expect([posix?.run, windows?.run.split('\n')[0]]).toEqual([`node ${check}`, `node ${check}`]);
    });

    test.each([
      ['CONTACT_TEXT', 'Ask "us"'],
      ['SQL_DATABASE', 'a\\b'],
      ['ORGANISATION_NAME', 'two\nlines'],
    ])('one that azd cannot pass on is named: %s=%j', (name, value) => {
      const { status, stderr } = withValue(name, value);
      expect(status).toBe(1);
      expect(stderr).toMatch(new RegExp(`^${name} cannot be given to azd: .* azd env set ${name} `));
    });

    test('all others go through', () => {
      const value = "O’Neil & Söhne, {requestNumber} $x 'y' <z>";
      expect(withValue('CONTACT_TEXT', value)).toMatchObject({ status: 0, stderr: '' });
    });
  });

  test.each(hooks)(
    '%s does the same on Windows as elsewhere, with scripts and variables that exist',
    (_, hook) => {
      const calls = ({ run }: Hook): string[] =>
        [...run.matchAll(/npm(?:\.cmd)? (ci|run \S+)( -- [^\n}]*)?/g)].map(
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
      expect(variables.filter((name) => !outputs.includes(name ?? ''))).toEqual([]);
      for (const call of calls(hook.posix)) {
        const [, script = '', parameters = ''] = /^run (\S+)(.*)/.exec(call) ?? [];
        const [, command] = /^node --import \S+ (\S+)$/.exec(scripts[script] ?? '') ?? [];
        expect(unknownOptions(parameters, command)).toEqual([]);
      }
      expect([hook.posix.shell, hook.windows.shell]).toEqual(['sh', 'pwsh']);
    },
  );
});
