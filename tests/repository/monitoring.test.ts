/** The queries, alert rules and workbook of infra/: they read what the app emits, and name what exists. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { jobs } from '../../src/jobs/catalogue';
import { stateNames, stateWords } from '../../src/jobs/jobStates';
import { EmailServiceError } from '../../src/jobs/notification';
import { SafetyStopError } from '../../src/jobs/outcome';
import {
  abandonedRunEvent,
  abandonedRunProperties,
  attemptStatuses,
  exceptionProperties,
  jobRunEvent,
  jobRunProperties,
  jobStateEvent,
  jobStateProperties,
} from '../../src/telemetry/names';
import { minutesOf } from '../support/alerts';
import {
  describeEvaluated,
  ofType,
  propertiesOf,
  readAlertRules,
  readDeployment,
  readTemplate,
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

/** The properties of each event. */
const events: Readonly<Record<string, readonly string[]>> = {
  [jobRunEvent]: jobRunProperties,
  [jobStateEvent]: jobStateProperties,
  [abandonedRunEvent]: abandonedRunProperties,
};

describe.each([...queryTexts])('%s', (_, query) => {
  const { diagnostics, tables, properties, comparedNames, texts } = analyze(query);

  test("has no diagnostics from Microsoft's KQL parser", () => {
    expect(diagnostics).toEqual([]);
  });

  test('reads only events, exceptions and properties that the app emits', () => {
    // The mail service emits its own table, not the app.
    const ofApp = tables.filter((table) => table !== 'ACSEmailStatusUpdateOperational');
    expect(ofApp.filter((table) => !['customEvents', 'exceptions'].includes(table))).toEqual([]);
    expect(comparedNames.length).toBe(ofApp.includes('customEvents') ? 1 : 0);
    const allowed = [
      ...comparedNames.flatMap((name) => events[name] ?? []),
      ...(ofApp.includes('exceptions') ? exceptionProperties : []),
    ];
    expect(properties.filter((property) => !allowed.includes(property))).toEqual([]);
  });

  test('starts with a table, and has no operator that Microsoft calls legacy', () => {
    const [first] = query.replace(/^\/\/.*\n/gm, '').split('\n');
    expect(first).toBe(tables[0]);
    expect(query).not.toMatch(/\bpartition\b/);
  });

  test('compares with nothing that is never emitted', () => {
    const values = [...Object.keys(events), ...jobTypes, ...attemptStatuses, ...stateNames, 'true', 'false'];
    // https://learn.microsoft.com/azure/communication-services/concepts/analytics/logs/email-logs
    const ofMail = ['Delivered', 'OutForDelivery', 'Expanded'];
    const wording = ['Stopped early', 'Open the run', '', 'leftouter', '/runs/'];
    const errors = [SafetyStopError, EmailServiceError].map(({ name }) => name);
    const known = [...values, ...ofMail, ...wording, ...errors, 'https://func.example.net/api/jobs/'];
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

describeEvaluated('the alert rules', () => {
  let rules: readonly AlertRule[];
  let resources: readonly Resource[];
  beforeAll(() => {
    rules = readAlertRules('leastParameters');
    resources = readDeployment('leastParameters');
  });

  test('are those of the operating rules, with their severities', () => {
    expect(rules.map(({ name, severity }) => [name, severity])).toEqual([
      ['silence', 1],
      ['overdue', 1],
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
      const every = minutesOf(evaluationFrequency);
      expect([name, [5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, 1440].includes(every)]).toEqual([
        name,
        true,
      ]);
      // "Stateful alert rules with a frequency of more than 12 hours are not supported."
      expect([name, stateful && every > 12 * 60]).toEqual([name, false]);
      const allowed = [5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, 1440, 2880];
      expect([name, every <= minutesOf(windowSize), allowed.includes(minutesOf(windowSize))]).toEqual([
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
      expect(columns.jobType).toBe(watched.length > 0 ? 'string' : undefined);
      expect(Object.keys(workbookParameters).filter((name) => query.includes(name))).toEqual([]);
      expect(watched.filter((type) => type !== '*' && !(jobTypes as string[]).includes(type))).toEqual([]);
    }
  });

  test('no query has a date, an hour or a job in it: the states come from the app', () => {
    for (const { name, query } of rules) {
      const { texts } = analyze(query);
      expect([name, texts.filter((text) => (jobTypes as string[]).includes(text))]).toEqual([name, []]);
      const code = query.replace(/^\s*\/\/.*\n/gm, '');
      expect([name, /\b(datetime|timespan|ago|now|startof\w+|bin)\s*\(|\b\d+[dhms]\b/.exec(code)]).toEqual([
        name,
        null,
      ]);
    }
  });

  test('the silence of all is one parameter of the site, of the lengths that Azure allows', () => {
    const windowOf = (site: string) =>
      readAlertRules(site).find(({ name }) => name === 'silence')?.windowSize;
    expect([windowOf('leastParameters'), windowOf('allParameters')]).toEqual(['PT3H', 'P2D']);
    const { silenceHours } = readTemplate().parameters;
    expect(silenceHours).toMatchObject({ defaultValue: 3, allowedValues: [1, 2, 3, 4, 5, 6, 24, 48] });
    // All others look as far back as Azure allows: a rare schedule reports rarely.
    expect(
      new Set(rules.filter(({ name }) => name !== 'silence').map(({ windowSize }) => windowSize)),
    ).toEqual(new Set(['P2D']));
  });

  test('the rules for revocation watch both revocation jobs', () => {
    const revocations = jobs.filter(({ kind }) => kind === 'revocation').map(({ type }) => type);
    const watched = new Map(rules.map(({ name, jobTypes: types }) => [name, types]));
    expect(watched.get('safety-stop')).toEqual(revocations);
    expect(watched.get('late-revocation')).toEqual(revocations);
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
    readonly timeContext?: { readonly durationMs: number };
    readonly timeContextFromParameter?: string;
    readonly parameters?: readonly { readonly name: string; readonly value?: unknown }[];
    readonly chartSettings?: { readonly seriesLabelSettings?: readonly { readonly seriesName: string }[] };
    readonly tileSettings?: {
      readonly leftContent: {
        readonly formatOptions: {
          readonly thresholdsGrid: readonly {
            readonly operator: string;
            readonly thresholdValue?: string;
            readonly text: string;
          }[];
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
    const ofRules = readAlertRules('leastParameters').map(({ query }) => query);
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

  test('gives each state of a job its icon and the status page’s words', () => {
    const icons = item('jobStates').content.tileSettings?.leftContent.formatOptions.thresholdsGrid ?? [];
    expect(icons.at(-1)?.operator).toBe('Default');
    const shown = icons.flatMap(({ thresholdValue, text }) =>
      thresholdValue ? [[thresholdValue, text]] : [],
    );
    expect(shown.sort()).toEqual(stateNames.map((name) => [name, stateWords[name]]).sort());
  });

  test('shows the states of now, whatever the time range, and nothing where the rule silence rings', () => {
    const { timeContext, timeContextFromParameter } = item('jobStates').content;
    expect([timeContext, timeContextFromParameter]).toEqual([{ durationMs: 3 * 3_600_000 }, undefined]);
    expect(item('runs').content.timeContextFromParameter).toBe('TimeRange');
  });
});
