/** The queries, alert rules and workbook of infra/: they read what the app emits, and are what Azure Monitor takes. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { jobs } from '../../src/jobs/catalogue';
import { stateNames } from '../../src/jobs/judgeJob';
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
import { describeEvaluated, propertiesOf, readDeployment } from '../support/deployments';
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
    const rules = [...alertRules(), ...alertRules('allParameters')];
    const beyond = rules.filter(([, { evaluationFrequency, windowSize, autoMitigate }]) => {
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
});

test('infra/ names the jobs, outcomes and states that the app emits', () => {
  const namesIn = (file: string, pattern: RegExp): string[] =>
    [...readFileSync(join(root, 'infra', file), 'utf8').matchAll(pattern)].map(([, name = '']) => name);
  expect(namesIn('jobTypes.bicep', /'(\w+)'/g)).toEqual(jobTypes);
  const outcomes = namesIn('workbook.bicep', /seriesName: '(.*?)'/g);
  expect(outcomes.sort()).toEqual([...attemptStatuses, 'Stopped early'].sort());
  expect(namesIn('workbook.bicep', /thresholdValue: '(\w+)'/g).sort()).toEqual([...stateNames].sort());
});
