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
import { Expression, loadBicepGrammar, parseBicep, type BicepFile, type Value } from '../support/bicep';
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
const analyze = (file: string) => {
  const text = queryTexts.get(file) ?? '';
  return analyzeQuery(
    Object.entries(workbookParameters).reduce((sum, [name, value]) => sum.replaceAll(name, value), text),
  );
};

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

describe.each([...queryTexts.keys()])('%s', (file) => {
  const { diagnostics, tables, properties, comparedNames, texts } = analyze(file);

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

interface Rule {
  readonly name: string;
  readonly severity: number;
  readonly query: string;
  readonly measure: string;
  readonly threshold: number;
  readonly jobTypes: readonly string[];
  readonly every: string;
}

let alerts: BicepFile;
let workbook: BicepFile;
let rules: readonly Rule[];

beforeAll(async () => {
  await loadBicepGrammar();
  alerts = parseBicep(join(infra, 'alerts.bicep'));
  workbook = parseBicep(join(infra, 'workbook.bicep'));
  rules = (alerts.variables.get('rules') as Record<string, Value>[]).map(
    (rule) => resolve(alerts, rule) as Rule,
  );
});

/** With variables put in, and the file instead of loading it. */
function resolve(file: BicepFile, value: Value): unknown {
  if (value instanceof Expression) {
    const loaded = /^loadTextContent\('(.*)'\)$/.exec(value.code)?.[1];
    return loaded ?? resolve(file, file.variables.get(value.code) ?? value.code);
  }
  if (Array.isArray(value)) return (value as readonly Value[]).map((entry) => resolve(file, entry));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, resolve(file, entry)]));
}

describe('the alert rules', () => {
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

  test('each measures a number and splits by the job, and has a query without the workbook’s parameters', () => {
    for (const { query, measure, jobTypes: watched } of rules) {
      const { columns } = analyze(query);
      expect(['real', 'long', 'int']).toContain(columns[measure]);
      expect(columns.jobType).toBe('string');
      expect(Object.keys(workbookParameters).filter((name) => queryTexts.get(query)?.includes(name))).toEqual(
        [],
      );
      expect(watched.filter((type) => type !== '*' && !(jobTypes as string[]).includes(type))).toEqual([]);
    }
  });

  test('the rules for revocation watch both revocation jobs', () => {
    const revocations = jobs.filter(({ kind }) => kind === 'revocation').map(({ type }) => type);
    const watched = new Map(rules.map(({ name, jobTypes: types }) => [name, types]));
    expect(watched.get('safety-stop')).toEqual(revocations);
    expect(watched.get('late-revocation')).toEqual(revocations);
  });

  test('the rule about a missing run has a row for each of the four jobs, whether it has run or not', () => {
    const { texts } = analyze('queries/jobStates.kql');
    expect(texts).toEqual(expect.arrayContaining(jobTypes));
  });

  test('what is undeliverable is looked at once a day: at most one alert a day', () => {
    expect(rules.filter(({ every }) => every === 'P1D').map(({ name }) => name)).toEqual([
      'undeliverable-mails',
    ]);
  });

  test('the time of the deployment is put into each query that counts from it, and into nothing else', () => {
    const [, placeholder = 'none'] =
      /replace\(rule\.query, '([^']+)',/.exec(read('infra/alerts.bicep')) ?? [];
    expect(placeholder).toMatch(/^datetime\(/);
    const counting = [...queryTexts].filter(([, text]) => text.includes('deployedAt'));
    expect(counting.length).toBeGreaterThan(1);
    for (const [, text] of counting) {
      expect(text).toContain(`let deployedAt = ${placeholder};\n`);
      expect(text.split(placeholder)).toHaveLength(2);
    }
    expect([...queryTexts].filter(([, text]) => text.includes(placeholder))).toEqual(counting);
  });

  test('docs/operating.md says of each what it means', () => {
    const headings = read('docs/operating.md').match(/^### .*$/gm);
    expect(headings).toEqual(expect.arrayContaining(rules.map(({ name }) => `### ${name}`)));
  });
});

describe('the workbook', () => {
  const usedParameters = (): string[] =>
    workbook.loadedFiles.flatMap((file) =>
      [...(queryTexts.get(file) ?? '').matchAll(/\{(\w+)(?::\w+)?\}/g)].map(([, name = '']) => name),
    );

  test('and the alert rules hold every query, and no query that has no file', () => {
    const used = new Set([...alerts.loadedFiles, ...workbook.loadedFiles]);
    expect([...used].sort()).toEqual([...queryTexts.keys()].sort());
  });

  test('has the parameters that its queries use, and uses those that it has', () => {
    const { items } = workbook.variables.get('content') as { items: { content: Value }[] };
    const declared = items.flatMap(({ content }) => {
      const { parameters = [] } = content as { parameters?: { name: string }[] };
      return parameters.map(({ name }) => name);
    });
    expect([...new Set(usedParameters())].sort()).toEqual([...declared].sort());
  });

  test('offers the four jobs', () => {
    expect(workbook.variables.get('jobs')).toEqual(jobTypes);
  });

  test('gives each outcome of an attempt its colour', () => {
    const { seriesLabelSettings } = workbook.variables.get('outcomeColours') as {
      seriesLabelSettings: { seriesName: string }[];
    };
    const outcomes = seriesLabelSettings.map(({ seriesName }) => seriesName);
    expect(outcomes.sort()).toEqual([...attemptStatuses, 'Stopped early'].sort());
  });

  test('gives each state of a job its icon, with the words of its query', () => {
    const { thresholdsGrid } = workbook.variables.get('stateIcons') as {
      thresholdsGrid: { operator: string; thresholdValue?: string }[];
    };
    const shown = thresholdsGrid.flatMap(({ thresholdValue }) => thresholdValue ?? []);
    expect(thresholdsGrid.at(-1)?.operator).toBe('Default');
    const { texts } = analyze('queries/jobStates.kql');
    expect(states.filter((state) => !texts.includes(state))).toEqual([]);
    const words = stateNames.map((name) => name.replace(/\B[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`));
    expect(states.filter((state) => !words.includes(state))).toEqual([]);
    expect(shown.sort()).toEqual(states.filter((state) => state !== 'Never run').sort());
  });
});
