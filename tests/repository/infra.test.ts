/**
 * What azd and the pipeline deploy: the deployments of the sites in tests/infra/ as Bicep's compiler evaluates them, and
 * the files that have to use the same names.
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
} from '../support/deployments';

const root = join(__dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const all = (pattern: RegExp, text: string): string[] =>
  [...text.matchAll(pattern)].map(([, match = '']) => match);
const pipeline = read('azure-pipelines.yml');

const { parameters: azdParameters } = JSON.parse(read('infra/main.parameters.json')) as {
  parameters: Record<string, { value: string | Record<string, string> }>;
};
const azdSettings = azdParameters.settings?.value as Record<string, string>;

/** What azd keeps, and gives to the hooks of azure.yaml. */
const outputs = all(/^output (\w+) /gm, read('infra/main.bicep'));

test('an output that is also a parameter has the name under which azd keeps it', () => {
  expect(azdParameters).toMatchObject({
    sqlServer: { value: '${SQL_SERVER}' },
    sqlDatabase: { value: '${SQL_DATABASE}' },
  });
  expect(outputs).toEqual(expect.arrayContaining(['SQL_SERVER', 'SQL_DATABASE']));
});

test('azd takes each setting of the site from the variable of the same name', () => {
  for (const [name, value] of Object.entries(azdSettings)) expect(value).toBe(`\${${name}}`);
});

describeEvaluated('the parameters of main', () => {
  const names = (): string[] => Object.keys(readTemplate().parameters);
  const required = (): string[] =>
    names().filter((name) => readTemplate().parameters[name]?.defaultValue === undefined);

  test('are those of azd, and the group, which only the pipeline names: azd down deletes it', () => {
    expect([...Object.keys(azdParameters), 'resourceGroupName'].sort()).toEqual(names().sort());
    expect(required()).not.toContain('resourceGroupName');
  });

  test('include all that the pipeline gives, and it gives those that are required', () => {
    const [{ default: environments }] = (
      parse(pipeline) as { parameters: [{ default: { parameters: object }[] }] }
    ).parameters;
    const [command = ''] = all(/--parameters @deployment\.json ([\s\S]*?)--query/g, pipeline);
    const fixed = all(/(\w+)="/g, command);
    expect(fixed.length).toBeGreaterThan(2);
    for (const environment of environments) {
      const given = [...fixed, ...Object.keys(environment.parameters)];
      expect(names()).toEqual(expect.arrayContaining(given));
      expect(given).toEqual(expect.arrayContaining(required()));
    }
  });
});

describeEvaluated('the alert rules', () => {
  test('wait for the app', () => {
    const alerts = readTemplate().resources.find(({ name }) => name === 'alerts');
    expect(alerts?.dependsOn?.join()).toContain("'functionApp')]");
  });
});

describeEvaluated('the deployment', () => {
  const names = ['leastParameters', 'allParameters', 'unverifiedDomain'] as const;
  type Name = (typeof names)[number];
  const properties = (name: Name, type: string): object => propertiesOf(readDeployment(name), type);
  const site = (name: Name): object => properties(name, 'Microsoft.Web/sites');
  const settings = (name: Name): Record<string, string> => {
    const { siteConfig } = site(name) as {
      siteConfig: { appSettings: readonly { name: string; value: string }[] };
    };
    return Object.fromEntries(siteConfig.appSettings.map((setting) => [setting.name, setting.value]));
  };
  const namesOf = (name: Name, type: string, pattern: RegExp): string[] =>
    ofType(readDeployment(name), type).map((resource) => resource.name.replace(pattern, ''));

  test.each(names)('of %s creates nothing of Azure SQL: the database is the site’s', (name) => {
    const types = readDeployment(name).map(({ type }) => type);
    expect(types.filter((type) => /^Microsoft\.Sql\//i.test(type))).toEqual([]);
    expect(types.length).toBeGreaterThan(20);
  });

  test.each(names)('of %s names the app and the environment as azd looks for them', (name) => {
    const { services } = parse(read('azure.yaml')) as { services: object };
    const tagged = readDeployment(name).flatMap(({ tags }) => tags?.['azd-service-name'] ?? []);
    expect(tagged).toEqual(Object.keys(services));
    const [group] = ofType(readDeployment(name), 'Microsoft.Resources/resourceGroups');
    expect(group?.tags).toEqual({ 'azd-env-name': 'prod' });
  });

  describe('gives the app', () => {
    test('the settings of the site that azd passes on; all others follow from the resources', () => {
      const ofSite = Object.keys(azdSettings);
      expect(Object.keys(settings('allParameters'))).toEqual(expect.arrayContaining(ofSite));
      expect(Object.keys(settings('leastParameters')).filter((name) => ofSite.includes(name))).toEqual([]);
    });

    test('each setting that it knows, but for the port of Azure SQL and a SQL login, which is refused in Azure', () => {
      const given = Object.keys(settings('allParameters'));
      expect(settingNames.filter((name) => !given.includes(name)).sort()).toEqual([
        'SQL_PASSWORD',
        'SQL_PORT',
        'SQL_TRUST_SERVER_CERTIFICATE',
        'SQL_USER',
      ]);
      const ofPlatform = given.filter((name) => !(settingNames as readonly string[]).includes(name));
      expect(ofPlatform.sort()).toEqual([
        'AzureWebJobs.ExpiryNotificationPalantirRequests.Disabled',
        'AzureWebJobs.RevokeExpiredDatabricksRequests.Disabled',
        'AzureWebJobsStorage__accountName',
        'AzureWebJobsStorage__clientId',
        'AzureWebJobsStorage__credential',
        'FUNCTIONS_REQUEST_BODY_SIZE_LIMIT',
        'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID',
        'WEBSITE_AUTH_AAD_ALLOWED_TENANTS',
      ]);
    });

    test.each(names)('of %s no setting that Flex Consumption refuses', (name) => {
      const refused =
        /^(FUNCTIONS_(WORKER|EXTENSION)|WEBSITE_(RUN_FROM_PACKAGE|CONTENT|TIME_ZONE)|SCM_DO_BUILD|ENABLE_ORYX_BUILD|TZ$|AzureWebJobsStorage$)/;
      expect(Object.keys(settings(name)).filter((setting) => refused.test(setting))).toEqual([]);
    });

    test('its identity, everywhere by the client id', () => {
      const clientId = expect.stringMatching(
        /^\[reference\('.*userAssignedIdentities\/id-access-expiry-jobs-prod', '[\d-]+'\)\.clientId\]$/,
      ) as string;
      expect(settings('allParameters')).toMatchObject({
        AZURE_CLIENT_ID: clientId,
        AzureWebJobsStorage__clientId: clientId,
        OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID: clientId,
        APPLICATIONINSIGHTS_AUTHENTICATION_STRING: expect.stringMatching(
          /^\[format\('ClientId=\{0\};Authorization=AAD', reference\('.*userAssignedIdentities.*'\)\.clientId\)\]$/,
        ) as string,
      });
    });

    test('the jobs whose timers are off, by their types', () => {
      const disabled = (name: Name): string[] =>
        Object.keys(settings(name)).flatMap((setting) => all(/^AzureWebJobs\.(\w+)\.Disabled$/g, setting));
      expect(disabled('leastParameters')).toEqual([]);
      expect(jobs.map(({ type }) => type as string)).toEqual(
        expect.arrayContaining(disabled('allParameters')),
      );
      expect(settings('allParameters')['AzureWebJobs.RevokeExpiredDatabricksRequests.Disabled']).toBe('true');
    });

    test('the memory, instances, subnet and address ranges of the site; the Node.js and host.json of the build', () => {
      const [version] = all(/nodeVersion: (\d+)\.x/g, pipeline);
      const { extensions } = JSON.parse(read('host.json')) as {
        extensions: { http: { maxConcurrentRequests: number } };
      };
      expect(site('leastParameters')).toMatchObject({
        virtualNetworkSubnetId: null,
        functionAppConfig: {
          runtime: { name: 'node', version },
          scaleAndConcurrency: {
            instanceMemoryMB: 2048,
            maximumInstanceCount: 40,
            triggers: { http: { perInstanceConcurrency: extensions.http.maxConcurrentRequests } },
          },
        },
        siteConfig: { ipSecurityRestrictions: [], ipSecurityRestrictionsDefaultAction: 'Allow' },
      });
      expect(site('allParameters')).toMatchObject({
        virtualNetworkSubnetId: expect.stringMatching(/\/virtualNetworks\/site\/subnets\/jobs$/) as string,
        functionAppConfig: { scaleAndConcurrency: { instanceMemoryMB: 512, maximumInstanceCount: 100 } },
        siteConfig: {
          ipSecurityRestrictions: [
            { ipAddress: '203.0.113.0/24', action: 'Allow' },
            { ipAddress: '198.51.100.7/32', action: 'Allow' },
          ],
          ipSecurityRestrictionsDefaultAction: 'Deny',
          scmIpSecurityRestrictionsUseMain: false,
        },
      });
    });
  });

  const ofAzure =
    /^\[format\('\{0\}@\{1\}', 'donotreply', reference\('.*domains\/AzureManagedDomain', '[\d-]+'\)\.fromSenderDomain\)\]$/;
  test.each<[Name, sender: RegExp, domains: string[], senderName: string]>([
    ['leastParameters', ofAzure, ['AzureManagedDomain'], 'AzureManagedDomain/donotreply'],
    ['allParameters', /^access@example\.com$/, ['AzureManagedDomain', 'example.com'], 'example.com/access'],
    ['unverifiedDomain', ofAzure, ['AzureManagedDomain', 'example.com'], 'AzureManagedDomain/donotreply'],
  ])('of %s sends from the verified domain; until then from Azure’s', (name, sender, domains, senderName) => {
    expect(settings(name).EMAIL_SENDER_ADDRESS).toMatch(sender);
    const type = 'Microsoft.Communication/emailServices/domains';
    expect(namesOf(name, type, /^.*\//)).toEqual(domains);
    expect(namesOf(name, `${type}/senderUsernames`, /^.*?\//)).toEqual([senderName]);
    const [domain = ''] = senderName.split('/');
    expect(properties(name, 'Microsoft.Communication/communicationServices')).toMatchObject({
      linkedDomains: [expect.stringMatching(new RegExp(`/domains/${domain}$`))],
    });
  });

  test('people sign in where the site names an app registration, and only there', () => {
    const type = 'Microsoft.Web/sites/config';
    expect(ofType(readDeployment('leastParameters'), type)).toEqual([]);
    expect(properties('allParameters', type)).toMatchObject({
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
    'of %s opens nothing by a key, a password, an old protocol, or to a page but the portal’s Test/Run',
    (name) => {
      expect(properties(name, 'Microsoft.Storage/storageAccounts')).toMatchObject({
        allowSharedKeyAccess: false,
        allowBlobPublicAccess: false,
        minimumTlsVersion: 'TLS1_2',
      });
      expect(properties(name, 'Microsoft.Insights/components')).toMatchObject({ DisableLocalAuth: true });
      expect(properties(name, 'Microsoft.Communication/communicationServices')).toMatchObject({
        disableLocalAuth: true,
      });
      expect(site(name)).toMatchObject({
        httpsOnly: true,
        siteConfig: {
          minTlsVersion: '1.2',
          scmMinTlsVersion: '1.2',
          cors: { allowedOrigins: ['https://portal.azure.com'] },
        },
        functionAppConfig: { deployment: { storage: { authentication: { type: 'UserAssignedIdentity' } } } },
      });
      const type = 'Microsoft.Web/sites/basicPublishingCredentialsPolicies';
      expect(namesOf(name, type, /^.*\//)).toEqual(['scm', 'ftp']);
      for (const policy of ofType(readDeployment(name), type))
        expect(policy.properties).toEqual({ allow: false });
    },
  );

  test.each(names)('of %s gives the app’s identity four roles, each on its resource', (name) => {
    const assigned = ofType(readDeployment(name), 'Microsoft.Authorization/roleAssignments').map(
      ({ id, properties: assignment }) => {
        expect(assignment).toMatchObject({
          principalId: expect.stringMatching(
            /userAssignedIdentities\/id-access-expiry-jobs-prod', '[\d-]+'\)\.principalId\]$/,
          ) as string,
          principalType: 'ServicePrincipal',
        });
        const { roleDefinitionId } = assignment as { roleDefinitionId: string };
        const [scope] = all(/^\[extensionResourceId\('[^']*\/(\w+)\/[^/']+'/g, id);
        return [roleDefinitionId.replace(/^.*\//, ''), scope];
      },
    );
    expect(assigned).toEqual([
      // Monitoring Metrics Publisher, Storage Blob Data Owner, Storage Table Data Contributor, and Communication and
      // Email Service Owner.
      ['3913510d-42f4-4e42-8a64-420c390055eb', 'components'],
      ['b7e6dc6d-f1e8-4753-8033-0f276bb0955b', 'storageAccounts'],
      ['0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3', 'storageAccounts'],
      ['09976791-48a7-449e-bb21-39d1a415f350', 'communicationServices'],
    ]);
  });
});

/** The options in a command line that the command's usage does not name. */
const unknownOptions = (line: string, command: string): string[] =>
  all(/(--[\w-]+)/g, line).filter((option) => !new RegExp(`${option}(?![\\w-])`).test(read(command)));

describe('the pipeline', () => {
  test('calls the commands of a deployment with options that they have', () => {
    const calls = [...pipeline.matchAll(/deploy\/(cli\/\w+)\.mjs"((?:[^\n]*\\\n)*[^\n]*)/g)];
    expect(calls).toHaveLength(2);
    for (const [, command = '', parameters = ''] of calls) {
      expect(parameters).toContain('--');
      expect(unknownOptions(parameters, `${command}.ts`)).toEqual([]);
    }
  });
});

describe('azure.yaml', () => {
  type Hooks = Record<string, Record<'posix' | 'windows', { readonly shell: string; readonly run: string }>>;
  const { services, hooks: global } = parse(read('azure.yaml')) as {
    readonly hooks: Hooks;
    readonly services: { readonly app: { readonly dist: string; readonly hooks: Hooks } };
  };
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };

  test('deploys the zip that npm run package writes', () => {
    expect(read('scripts/package.ts')).toContain(`'${services.app.dist}'`);
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

    test('all others pass', () => {
      const value = "O’Neil & Söhne, {requestNumber} $x 'y' <z>";
      expect(withValue('CONTACT_TEXT', value)).toMatchObject({ status: 0, stderr: '' });
    });
  });

  test.each(Object.entries(services.app.hooks))(
    '%s does the same on Windows as elsewhere, with scripts, options and variables that exist',
    (_, { posix, windows }) => {
      const calls = [posix, windows].map(({ run }) =>
        all(/npm(?:\.cmd)? ((?:ci|run \S+)(?: -- [^\n}]*)?)/g, run).map((call) =>
          call.replace(/"?\$(?:env:)?(\w+)"?/g, '<$1>').trim(),
        ),
      );
      expect(calls[1]).toEqual(calls[0]);
      expect([posix.shell, windows.shell]).toEqual(['sh', 'pwsh']);
      const runs = calls.flat().flatMap((call) => (call === 'ci' ? [] : [call]));
      expect(runs.length).toBeGreaterThan(0);
      for (const call of runs) {
        const [script = ''] = all(/^run (\S+)/g, call);
        expect(Object.keys(scripts)).toContain(script);
        expect(outputs).toEqual(expect.arrayContaining(all(/<(\w+)>/g, call)));
        const [command] = all(/^node --import \S+ (cli\/\S+)$/g, scripts[script] ?? '');
        if (command !== undefined) expect(unknownOptions(call, command)).toEqual([]);
      }
    },
  );
});
