import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { alerts, workbook } from '../../dashboards/build';
import {
  attemptStatuses,
  exceptionProperties,
  jobRunEvent,
  jobRunMetrics,
  jobRunProperties,
  metricProperties,
} from '../../src/telemetry/names';
import { analyzeQuery } from '../support/kusto';

const root = join(__dirname, '../..');
const dashboards = join(root, 'dashboards');
const read = (path: string): string => readFileSync(path, 'utf8');

const queries = new Map(
  readdirSync(join(dashboards, 'queries')).map((file) => [
    file,
    read(join(dashboards, 'queries', file)).trimEnd(),
  ]),
);

/** The four job types, as the database constrains them. */
const jobTypes = [
  ...(/CHECK \(Job_Type COLLATE \w+ IN \(([^)]*)\)/.exec(read(join(root, 'sql', '05_JobRun.sql')))?.[1] ?? '').matchAll(
    /'(\w+)'/g,
  ),
].map(([, jobType]) => jobType);

const emitted: Partial<Record<string, { names: readonly string[]; properties: readonly string[] }>> = {
  customEvents: { names: [jobRunEvent], properties: jobRunProperties },
  customMetrics: { names: jobRunMetrics, properties: metricProperties },
  exceptions: { names: [], properties: exceptionProperties },
};

test('there are four job types', () => {
  expect(jobTypes).toHaveLength(4);
});

describe.each([...queries])('%s', (_, text) => {
  const { diagnostics, tables, properties, comparedNames, texts } = analyzeQuery(text);

  test("has no diagnostics from Microsoft's KQL parser", () => {
    expect(diagnostics).toEqual([]);
  });

  test('reads one table, and only events, metrics and properties that the app emits', () => {
    expect(tables).toHaveLength(1);
    const known = emitted[tables[0] ?? ''];
    expect(comparedNames.filter((name) => !known?.names.includes(name))).toEqual([]);
    expect(comparedNames.length > 0).toBe(known !== emitted.exceptions);
    expect(properties).not.toEqual([]);
    expect(properties.filter((property) => !known?.properties.includes(property))).toEqual([]);
  });

  test('compares with nothing that the app never emits', () => {
    const values = [jobRunEvent, ...jobRunMetrics, ...jobTypes, ...attemptStatuses, 'true', 'false'];
    const wording = ['None', ' ', 'minute', 'leftouter'];
    expect(texts.filter((value) => ![...values, ...wording].includes(value))).toEqual([]);
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

describe('the workbook and the alert rules', () => {
  test.each([
    ['workbook.json', workbook],
    ['alerts.json', alerts],
  ])('%s is what `npm run dashboards` writes', (file, build) => {
    expect(JSON.parse(read(join(dashboards, file)))).toEqual(build());
  });

  const workbookQueries = workbook().items.flatMap(({ content }) =>
    'query' in content ? content.query : [],
  );
  const rules = alerts().resources.map(({ properties }) => properties);
  const criteria = rules.map((properties) => properties.criteria.allOf[0]);

  test('hold every query, and no query that has no file', () => {
    const used = new Set([...workbookQueries, ...criteria.map((criterion) => criterion?.query)]);
    expect([...used].sort()).toEqual([...queries.values()].sort());
  });

  test('a query has a row for each of the four jobs, whether it has run or not', () => {
    const { texts } = analyzeQuery(queries.get('lastRuns.kql') ?? '');
    expect(texts).toEqual(expect.arrayContaining(jobTypes));
  });

  test('each alert measures a number and splits by texts that its query returns', () => {
    for (const criterion of criteria) {
      const { columns } = analyzeQuery(criterion?.query ?? '');
      if (criterion && 'metricMeasureColumn' in criterion)
        expect(columns[criterion.metricMeasureColumn]).toBe('real');
      for (const { name } of criterion?.dimensions ?? []) expect(columns[name]).toBe('string');
    }
  });

  test('the alerts that watch for a missing run cover each of the four jobs once', () => {
    const watched = criteria
      .filter((criterion) => criterion && 'metricMeasureColumn' in criterion)
      .filter((criterion) => criterion?.query === queries.get('lastRuns.kql'))
      .flatMap((criterion) => criterion?.dimensions[0]?.values ?? []);
    expect(watched.sort()).toEqual(jobTypes.sort());
  });

  test('a failed run names its error, and so the safety stop', () => {
    const failedRuns = criteria.find((criterion) => criterion?.query === queries.get('failedRuns.kql'));
    expect(failedRuns?.dimensions.map(({ name }) => name)).toEqual(['jobType', 'errorName']);
  });

  test('the template declares each parameter that it uses, and uses each that it declares', () => {
    const template = alerts();
    const used = [...JSON.stringify(template).matchAll(/parameters\('(\w+)'\)/g)].map(([, name]) => name);
    expect([...new Set(used)].sort()).toEqual(Object.keys(template.parameters).sort());
  });

  test('docs/operating.md says of each alert what it means', () => {
    const headings = read(join(root, 'docs', 'operating.md')).match(/^### .*$/gm);
    const ids = alerts().resources.map(({ name }) => /\{0\}-([\w-]+)'/.exec(name)?.[1] ?? name);
    expect(headings).toEqual(expect.arrayContaining(ids.map((id) => `### ${id}`)));
  });

  test('the thresholds are those of the operating rules', () => {
    const { parameters } = alerts();
    expect(parameters.revocationHoursWithoutCompletedRun.defaultValue).toBe(3);
    expect(parameters.notificationHoursWithoutCompletedRun.defaultValue).toBe(15);
    expect(parameters.longRunMinutes.defaultValue).toBe(9);
  });
});
