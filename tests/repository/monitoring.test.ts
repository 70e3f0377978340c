/** The queries, alert rules and workbook of infra/: they read what the app emits, and are what Azure Monitor takes. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { jobs } from '../../src/jobs/catalogue';
import { stateNames, stateWords } from '../../src/jobs/judgeJob';
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
import { alertRules, minutesOf } from '../support/alerts';
import { describeEvaluated, propertiesOf, readDeployment, readTemplate } from '../support/deployments';
import { tokensOf } from '../support/kusto';

const root = join(__dirname, '../..');
const queryFiles = readdirSync(join(root, 'infra/queries'));
const jobTypes: readonly string[] = jobs.map(({ type }) => type);

/** The properties of each event. */
const events: Readonly<Record<string, readonly string[]>> = {
  [jobRunEvent]: jobRunProperties,
  [jobStateEvent]: jobStateProperties,
  [abandonedRunEvent]: abandonedRunProperties,
};

describe.each(queryFiles)('%s', (file) => {
  const tokens = tokensOf(readFileSync(join(root, 'infra/queries', file), 'utf8'));
  const text = tokens.join(' ');
  const wordsAfter = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, word = '']) => word);

  test('reads only properties that the app emits with the event', () => {
    const [name = '', ...others] = wordsAfter(/\bname == '(\w+)'/g);
    expect(others).toEqual([]);
    const emitted = [...(events[name] ?? []), ...(tokens.includes('exceptions') ? exceptionProperties : [])];
    const read = wordsAfter(/customDimensions \. (\w+)/g);
    expect(read.filter((property) => !emitted.includes(property))).toEqual([]);
    expect(tokens.filter((token) => token === 'customDimensions')).toHaveLength(read.length);
  });

  test('compares with nothing that is never emitted', () => {
    const values = [...Object.keys(events), ...jobTypes, ...attemptStatuses, ...stateNames, 'true', 'false'];
    const errors = [SafetyStopError, EmailServiceError].map(({ name }) => name);
    // https://learn.microsoft.com/azure/communication-services/concepts/analytics/logs/email-logs
    const ofMail = ['Delivered', 'OutForDelivery', 'Expanded'];
    const compared = [
      ...wordsAfter(/[!=]= '([^']*)'/g),
      ...wordsAfter(/\bin \( (.*?) \)/g).flatMap((list) => list.match(/(?<=')\w+(?=')/g) ?? []),
    ];
    expect(compared.filter((value) => ![...values, ...errors, ...ofMail].includes(value))).toEqual([]);
  });
});

describeEvaluated('the alert rules', () => {
  // https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-log-alert-rule
  test('each is within the limits of Azure Monitor', () => {
    const minutes = [5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, 1440];
    const beyond = [...alertRules()].filter(([, { evaluationFrequency, windowSize, autoMitigate }]) => {
      const [every, window] = [minutesOf(evaluationFrequency), minutesOf(windowSize)];
      // "Stateful alert rules with a frequency of more than 12 hours are not supported." The others ring each time.
      const allowed = autoMitigate ? every <= 12 * 60 : every === 24 * 60;
      return !(allowed && minutes.includes(every) && every <= window && [...minutes, 2880].includes(window));
    });
    expect(beyond).toEqual([]);
    const { groupShortName } = propertiesOf(
      readDeployment('leastParameters'),
      'Microsoft.Insights/actionGroups',
    ) as { groupShortName: string };
    expect(groupShortName.length).toBeLessThanOrEqual(12);
  });

  test('each is created before its tables have data, and links to its section of docs/operating.md', () => {
    const headings = readFileSync(join(root, 'docs/operating.md'), 'utf8').match(/(?<=^### ).*$/gm) ?? [];
    expect(alertRules().size).toBeGreaterThan(0);
    for (const { skipQueryValidation, actions } of alertRules().values()) {
      expect(skipQueryValidation).toBe(true);
      expect(headings).toContain(
        /^docs\/operating\.md#(.*)/.exec(actions.customProperties.documentation)?.[1],
      );
    }
  });

  test('look as far back as Azure allows, but for silence, whose length the site chooses', () => {
    const windows = (site: string) =>
      Object.groupBy(alertRules(site), ([name, { windowSize }]) => `${name === 'silence'} ${windowSize}`);
    expect(Object.keys(windows('leastParameters'))).toEqual(['true PT3H', 'false P2D']);
    expect(Object.keys(windows('allParameters'))).toEqual(['true P2D', 'false P2D']);
    const { silenceHours } = readTemplate().parameters;
    expect(silenceHours).toMatchObject({ defaultValue: 3, allowedValues: [1, 2, 3, 4, 5, 6, 24, 48] });
  });

  test('compare a number with a threshold, of jobs that exist: of both revocations, of all, or together', () => {
    const revocations = jobs.filter(({ kind }) => kind === 'revocation').map(({ type }) => type);
    for (const [name, { criteria }] of alertRules()) {
      const values = ['safety-stop', 'late-revocation'].includes(name) ? revocations : ['*'];
      const dimensions = [{ name: 'jobType', operator: 'Include', values }];
      expect(criteria.allOf).toMatchObject([
        { operator: 'GreaterThan', dimensions: name === 'silence' ? [] : dimensions },
      ]);
    }
  });
});

interface WorkbookItem {
  readonly name: string;
  readonly content: {
    readonly query?: string;
    readonly parameters?: readonly { readonly name: string; readonly value?: unknown }[];
  };
}

describeEvaluated('the workbook', () => {
  let items: readonly WorkbookItem[];
  const contentOf = (name: string): object | undefined => items.find((one) => one.name === name)?.content;
  const parameters = () => items.flatMap((one) => one.content.parameters ?? []);

  beforeAll(() => {
    const { serializedData } = propertiesOf(
      readDeployment('leastParameters'),
      'Microsoft.Insights/workbooks',
    ) as { serializedData: string };
    // Only Azure knows the app's address: it is put into the text.
    const [, text = ''] =
      /^\[replace\('(.*)', 'https:\/\/app\.invalid', format\(/s.exec(serializedData) ?? [];
    ({ items } = JSON.parse(text.replaceAll("''", "'")) as { items: WorkbookItem[] });
  });

  test('has the parameters that its queries use, and no other', () => {
    const used = items.flatMap(({ content: { query = '' } }) =>
      [...query.matchAll(/\{(\w+)(?::\w+)?\}/g)].map(([, name = '']) => name),
    );
    expect(new Set(used)).toEqual(new Set(parameters().map(({ name }) => name)));
  });

  test('offers the four jobs', () => {
    expect(parameters().find(({ name }) => name === 'Jobs')?.value).toEqual(jobTypes);
  });

  test('gives each outcome of an attempt its colour', () => {
    const { seriesLabelSettings } = (
      contentOf('runs') as { chartSettings: { seriesLabelSettings: object[] } }
    ).chartSettings;
    const outcomes = [...attemptStatuses, 'Stopped early'];
    expect(seriesLabelSettings).toHaveLength(outcomes.length);
    expect(seriesLabelSettings).toMatchObject(
      expect.arrayContaining(outcomes.map((seriesName) => expect.objectContaining({ seriesName }) as object)),
    );
  });

  test('gives each state of a job its icon and the status page’s words', () => {
    const { formatOptions } = (
      contentOf('jobStates') as {
        tileSettings: { leftContent: { formatOptions: { thresholdsGrid: Record<string, string>[] } } };
      }
    ).tileSettings.leftContent;
    const icons = formatOptions.thresholdsGrid.map(({ operator, thresholdValue, text }) =>
      operator === 'Default' ? operator : [thresholdValue, text],
    );
    expect(icons.at(-1)).toBe('Default');
    expect(icons.slice(0, -1).sort()).toEqual(stateNames.map((name) => [name, stateWords[name]]).sort());
  });

  test('shows the states of now, whatever the time range, and nothing where the rule silence rings', () => {
    expect(contentOf('jobStates')).toMatchObject({ timeContext: { durationMs: 3 * 3_600_000 } });
    expect(contentOf('jobStates')).not.toHaveProperty('timeContextFromParameter');
    expect(contentOf('runs')).toHaveProperty('timeContextFromParameter', 'TimeRange');
  });
});
