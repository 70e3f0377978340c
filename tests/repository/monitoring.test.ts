/** The queries, alert rules and workbook of infra/: they read what the app emits, and name what exists. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { jobs } from '../../src/jobs/catalogue';
import { stateNames } from '../../src/jobs/jobStates';
import { SafetyStopError } from '../../src/jobs/revocation';
import {
  attemptStatuses,
  exceptionProperties,
  jobRunEvent,
  jobRunMetrics,
  jobRunProperties,
  metricProperties,
} from '../../src/telemetry/names';
import {
  describeEvaluated,
  ofType,
  propertiesOf,
  readAlertRules,
  readDeployment,
  type AlertRule,
  type Resource,
} from '../support/deployments';
import { analyzeQuery } from '../support/kusto';

const root = join(__dirname, '../..');
const infra = join(root, 'infra');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Of the workbook: it puts its parameters in before it runs a query. */
const workbookParameters: Readonly<Record<string, string>> = {
  '{Jobs}': "'RevokeExpiredDatabricksRequests'",
  '{TimeRange:grain}': '1h',
  '{AppAddress}': 'https://func.example.net',
};

const queryTexts = new Map(
  readdirSync(join(infra, 'queries')).map((file) => [`queries/${file}`, read(`infra/queries/${file}`)]),
);
const analyze = (text: string) =>
  analyzeQuery(
    Object.entries(workbookParameters).reduce((sum, [name, value]) => sum.replaceAll(name, value), text),
  );

const jobTypes = jobs.map(({ type }) => type);
/** The console's words for how a job does, as far as telemetry knows. */
const states = ['Never run', 'Overdue', 'Failed', 'Attention', 'Healthy'];

const emitted: Partial<Record<string, { names: readonly string[]; properties: readonly string[] }>> = {
  customEvents: { names: [jobRunEvent], properties: jobRunProperties },
  customMetrics: { names: jobRunMetrics, properties: metricProperties },
  exceptions: { names: [], properties: exceptionProperties },
  // Of the mail service: it emits this, not the app.
  ACSEmailStatusUpdateOperational: { names: [], properties: [] },
};

describe.each([...queryTexts])('%s', (_, query) => {
  const { diagnostics, tables, properties, comparedNames, texts } = analyze(query);

  test("has no diagnostics from Microsoft's KQL parser", () => {
    expect(diagnostics).toEqual([]);
  });

  test('reads only events, metrics, exceptions and properties that the app emits', () => {
    expect(tables).not.toEqual([]);
    const known = tables.map((table) => emitted[table]);
    const names = known.flatMap((table) => table?.names ?? []);
    expect(comparedNames.filter((name) => !names.includes(name))).toEqual([]);
    expect(comparedNames.length > 0).toBe(names.length > 0);
    const allowed = known.flatMap((table) => table?.properties ?? []);
    expect(properties.filter((property) => !allowed.includes(property))).toEqual([]);
    expect(properties.length > 0).toBe(allowed.length > 0);
  });

  test('compares with nothing that is never emitted', () => {
    const values = [jobRunEvent, ...jobRunMetrics, ...jobTypes, ...attemptStatuses, 'true', 'false'];
    const ofMail = ['Delivered', 'OutForDelivery'];
    const wording = [...states, 'Stopped early', 'Processed', 'Failed', 'minute', 'leftouter', '/runs/'];
    const known = [
      ...values,
      ...ofMail,
      ...wording,
      SafetyStopError.name,
      'https://func.example.net/api/jobs/',
    ];
    expect(texts.filter((value) => !known.includes(value))).toEqual([]);
  });
});

describe('the parser', () => {
  test.each([
    ['a column that the table lacks', "customEvents | where nmae == 'JobRun'"],
    ['an operator that does not exist', 'customEvents | sumarize count() by name'],
    ['a table that does not exist', 'AppEvents | take 1'],
    ['an aggregate of the wrong type', 'customEvents | summarize sum(name)'],
    ['an unclosed bracket', 'customEvents | summarize count( by name'],
  ])('reports %s', (_, text) => {
    expect(analyzeQuery(text).diagnostics).not.toEqual([]);
  });

  test('finds the names that a query uses', () => {
    const text =
      "customEvents | where name in ('A', 'B') and customDimensions.x == 'C' | extend y = tostring(customDimensions.y)";
    expect(analyzeQuery(text)).toMatchObject({
      diagnostics: [],
      tables: ['customEvents'],
      comparedNames: ['A', 'B'],
      properties: ['x', 'y'],
      texts: ['A', 'B', 'C'],
    });
  });

  test('refuses a property that is read in a way the check does not follow', () => {
    expect(() => analyzeQuery("customEvents | extend y = customDimensions['y']")).toThrow('customDimensions');
  });
});

/** In the queries that count from the deployment; the alert rules have its time instead. */
const placeholder = 'datetime(2000-01-01)';
/** As the sites in tests/infra/ give it. */
const deployedAt = 'datetime(2026-11-24T08:00:00)';

describe('the queries that count from the deployment', () => {
  test('say so in one line that the alert rules replace', () => {
    const counting = [...queryTexts.values()].filter((text) => text.includes('deployedAt'));
    expect(counting.length).toBeGreaterThan(1);
    for (const text of counting) {
      expect(text).toContain(`let deployedAt = ${placeholder};\n`);
      expect(text.split(placeholder)).toHaveLength(2);
    }
    expect([...queryTexts.values()].filter((text) => text.includes(placeholder))).toEqual(counting);
  });
});

/** A length of time in minutes, from ISO 8601. */
function minutes(duration: string): number {
  const [, days = 0, hours = 0, rest = 0] = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?$/.exec(duration) ?? [];
  return (Number(days) * 24 + Number(hours)) * 60 + Number(rest);
}

describeEvaluated('the alert rules', () => {
  let rules: readonly AlertRule[];
  let resources: readonly Resource[];
  beforeAll(() => {
    rules = readAlertRules('leastParameters');
    resources = readDeployment('leastParameters');
  });

  test('are those of the operating rules, with their severities', () => {
    expect(rules.map(({ name, severity }) => [name, severity])).toEqual([
      ['no-completed-run', 1],
      ['safety-stop', 1],
      ['failed-twice', 2],
      ['late-revocation', 2],
      ['rejected-mails', 2],
      ['stopped-early', 2],
      ['undeliverable-mails', 3],
    ]);
  });

  // https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-log-alert-rule
  test('each is within the limits of Azure Monitor', () => {
    for (const { name, evaluationFrequency, windowSize, stateful } of rules) {
      const every = minutes(evaluationFrequency);
      expect([name, [5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, 1440].includes(every)]).toEqual([
        name,
        true,
      ]);
      // "Stateful alert rules with a frequency of more than 12 hours are not supported."
      expect([name, stateful && every > 12 * 60]).toEqual([name, false]);
      expect([name, every <= minutes(windowSize), minutes(windowSize) <= 2 * 24 * 60]).toEqual([
        name,
        true,
        true,
      ]);
    }
  });

  test('an alert that is not stateful rings once a day at most', () => {
    const ringing = rules.filter(({ stateful }) => !stateful);
    expect(ringing.map(({ name, evaluationFrequency }) => [name, evaluationFrequency])).toEqual([
      ['undeliverable-mails', 'P1D'],
    ]);
  });

  test('each is created without a look at data that is not there yet, and its links lead to its section', () => {
    for (const { properties } of ofType(resources, 'Microsoft.Insights/scheduledQueryRules')) {
      const { displayName, skipQueryValidation, actions } = properties as {
        displayName: string;
        skipQueryValidation: boolean;
        actions: { customProperties: { documentation: string } };
      };
      expect(skipQueryValidation).toBe(true);
      const name = displayName.replace('Access Expiry Jobs (prod): ', '');
      expect(actions.customProperties.documentation).toBe(`docs/operating.md#${name}`);
    }
  });

  test('the action group has a name that fits into a text message', () => {
    const { groupShortName } = propertiesOf(resources, 'Microsoft.Insights/actionGroups') as {
      groupShortName: string;
    };
    expect(groupShortName.length).toBeLessThanOrEqual(12);
  });

  test('each measures a number and splits by the job, and has a query without the workbook’s parameters', () => {
    for (const { query, measure, jobTypes: watched } of rules) {
      const { columns, diagnostics } = analyze(query);
      expect(diagnostics).toEqual([]);
      expect(['real', 'long', 'int']).toContain(columns[measure]);
      expect(columns.jobType).toBe('string');
      expect(Object.keys(workbookParameters).filter((name) => query.includes(name))).toEqual([]);
      expect(watched.filter((type) => type !== '*' && !(jobTypes as string[]).includes(type))).toEqual([]);
    }
  });

  test('the time of the deployment is put into each query that counts from it', () => {
    const counting = rules.filter(({ query }) => query.includes('deployedAt'));
    expect(counting.length).toBeGreaterThan(1);
    for (const { query } of counting) expect(query).toContain(`let deployedAt = ${deployedAt};\n`);
  });

  test('the rules for revocation watch both revocation jobs', () => {
    const revocations = jobs.filter(({ kind }) => kind === 'revocation').map(({ type }) => type);
    const watched = new Map(rules.map(({ name, jobTypes: types }) => [name, types]));
    expect(watched.get('safety-stop')).toEqual(revocations);
    expect(watched.get('late-revocation')).toEqual(revocations);
  });

  test('the rule about a missing run has a row for each of the four jobs, whether it has run or not', () => {
    const { texts } = analyze(rules.find(({ name }) => name === 'no-completed-run')?.query ?? '');
    expect(texts).toEqual(expect.arrayContaining(jobTypes));
  });

  test('docs/operating.md says of each what it means', () => {
    const headings = read('docs/operating.md').match(/^### .*$/gm);
    expect(headings).toEqual(expect.arrayContaining(rules.map(({ name }) => `### ${name}`)));
  });
});

interface WorkbookItem {
  readonly name: string;
  readonly content: {
    readonly query?: string;
    readonly parameters?: readonly { readonly name: string; readonly value?: unknown }[];
    readonly chartSettings?: { readonly seriesLabelSettings?: readonly { readonly seriesName: string }[] };
    readonly tileSettings?: {
      readonly leftContent: {
        readonly formatOptions: {
          readonly thresholdsGrid: readonly { readonly operator: string; readonly thresholdValue?: string }[];
        };
      };
    };
  };
}

describeEvaluated('the workbook', () => {
  let items: readonly WorkbookItem[];
  const item = (name: string): WorkbookItem => {
    const found = items.find((one) => one.name === name);
    if (!found) throw new Error(`There is no ${name} in the workbook`);
    return found;
  };
  const queries = (): string[] => items.flatMap(({ content: { query } }) => query ?? []);
  const parameters = () => items.flatMap((one) => one.content.parameters ?? []);

  beforeAll(() => {
    const { serializedData } = propertiesOf(
      readDeployment('leastParameters'),
      'Microsoft.Insights/workbooks',
    ) as { serializedData: string };
    // Into the text is put what only Azure knows: the app's address.
    const [, text = ''] =
      /^\[replace\('(.*)', 'https:\/\/app\.invalid', format\(/s.exec(serializedData) ?? [];
    ({ items } = JSON.parse(text.replaceAll("''", "'")) as { items: WorkbookItem[] });
  });

  test('and the alert rules hold every query, and no query that has no file', () => {
    const ofRules = readAlertRules('leastParameters').map(({ query }) =>
      query.replace(deployedAt, placeholder),
    );
    expect([...new Set([...ofRules, ...queries()])].sort()).toEqual([...queryTexts.values()].sort());
  });

  test('has the parameters that its queries use, and uses those that it has', () => {
    const used = queries().flatMap((query) =>
      [...query.matchAll(/\{(\w+)(?::\w+)?\}/g)].map(([, name = '']) => name),
    );
    const declared = parameters().map(({ name }) => name);
    expect([...new Set(used)].sort()).toEqual([...declared].sort());
  });

  test('offers the four jobs', () => {
    expect(parameters().find(({ name }) => name === 'Jobs')?.value).toEqual(jobTypes);
  });

  test('gives each outcome of an attempt its colour', () => {
    const settings = item('runs').content.chartSettings?.seriesLabelSettings ?? [];
    const outcomes = settings.map(({ seriesName }) => seriesName);
    expect(outcomes.sort()).toEqual([...attemptStatuses, 'Stopped early'].sort());
  });

  test('gives each state of a job its icon, with the words of its query', () => {
    const { query = '', tileSettings } = item('jobStates').content;
    const icons = tileSettings?.leftContent.formatOptions.thresholdsGrid ?? [];
    const shown = icons.flatMap(({ thresholdValue }) => thresholdValue ?? []);
    expect(icons.at(-1)?.operator).toBe('Default');
    const { texts } = analyze(query);
    expect(states.filter((state) => !texts.includes(state))).toEqual([]);
    const words = stateNames.map((name) => name.replace(/\B[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`));
    expect(states.filter((state) => !words.includes(state))).toEqual([]);
    expect(shown.sort()).toEqual(states.filter((state) => state !== 'Never run').sort());
  });
});
