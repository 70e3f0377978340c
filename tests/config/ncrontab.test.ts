import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NcrontabError, nextRuns, parseNcrontab, previousRun } from '../../src/config/ncrontab';

/** A Tuesday. */
const from = new Date('2026-11-24T05:42:10Z');

/** The results of the host's own parser: see the file's first lines. */
const answers = readFileSync(join(__dirname, 'ncrontab.tsv'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => {
    const [expression = '', verdict = '', result = ''] = line.split('\t');
    return { expression: expression.replaceAll('\\t', '\t'), verdict, result };
  });

/** The result of our parser, in the same form. */
function answer(expression: string): { expression: string; verdict: string; result?: string } {
  try {
    const end = new Date(from);
    end.setUTCFullYear(end.getUTCFullYear() + 60);
    const times = nextRuns(parseNcrontab(expression), 4, from)
      .filter((time) => time < end)
      .map((time) => time.toISOString().slice(0, 19));
    return { expression, verdict: 'cron', result: times.join(' ') || 'never' };
  } catch (error) {
    if (!(error instanceof NcrontabError)) throw error;
    return { expression, verdict: error.isTimeSpan ? 'interval' : 'refused' };
  }
}

test('accepts and refuses the same expressions as the host, with the same times', () => {
  expect(answers).toHaveLength(266);
  expect(answers.map(({ expression }) => answer(expression))).toEqual(
    answers.map(({ expression, verdict, result }) => ({
      expression,
      verdict,
      ...(verdict === 'cron' && { result }),
    })),
  );
});

describe('a refusal says why', () => {
  test.each([
    ['0 0 24 * * *', '"24" in the field hour is not 0 to 23'],
    [
      '0 0 0 * * 7',
      '"7" in the field day of week is not 0 (Sunday) to 6 (Saturday) or the beginning of a name',
    ],
    ['0 0 0 ? * MON', '"?" in the field day is not 1 to 31'],
    ['0 5-10-15 * * * *', '"5-10-15" in the field minute is not 0 to 59'],
    ['0 */x * * * *', '"*/x" in the field minute has no whole number as its step'],
    ['0 */2147483648 * * * *', '"*/2147483648" in the field minute has too large a step'],
    ['0 0 * *', 'it has 4 fields'],
    ['0\t0 * * * *', '"0\t0" in the field minute is not 0 to 59 (a tab does not separate fields, blanks do)'],
    ['0\t0\t*\t*\t*\t*', 'it has 1 field (a tab does not separate fields, blanks do)'],
  ])('%j', (expression, why) => {
    expect(() => parseNcrontab(expression)).toThrow(
      `"${expression}" is not a valid NCRONTAB expression: ${why}; expected six fields "{second} {minute} {hour} {day} {month} {day of week}", or five without the second, for example "0 0 * * * *" for every full hour`,
    );
  });

  test('a time span is refused: Azure supports it only on an App Service plan', () => {
    expect(() => parseNcrontab('01:00:00')).toThrow(
      '"01:00:00" is a time span, which counts from the start of the host; Azure supports it on an App Service plan only; expected',
    );
  });
});

test.each([
  [
    '0 0 0 * * SAT-SUN',
    ['"SAT-SUN" in the field day of week means SUN-SAT: the host swaps the ends of a reversed range.'],
  ],
  [
    '0 0 22-2/2 * * *',
    ['"22-2/2" in the field hour means 2-22: the host swaps the ends of a reversed range.'],
  ],
  ['0 */90 * * * *', ['"*/90" in the field minute means 0 only: the step leads beyond 59.']],
  ['0 5-50/46 * * * *', ['"5-50/46" in the field minute means 5 only: the step leads beyond 50.']],
  ['0 */0 * * * *', ['"*/0" in the field minute has the step 1: the host takes a smaller one for 1.']],
  ['0 0 0 * * T', ['"T" in the field day of week means Tuesday.']],
  ['0 0 0 13 * FRI', ['The day of the month and the day of the week must both match.']],
  ['0 0 6-18/2 * * Monday-Fri', []],
  ['59/1 0 0 31 * *', []],
])('%s has remarks on what may surprise', (expression, remarks) => {
  expect(parseNcrontab(expression).remarks).toEqual(remarks);
});

describe('in a zone with summer time', () => {
  const times = (expression: string, start: string, count: number): string[] =>
    nextRuns(parseNcrontab(expression, 'Europe/Berlin'), count, new Date(start)).map((time) =>
      time.toISOString().slice(0, 16),
    );

  test('a schedule is in the zone’s local time', () => {
    expect(times('0 30 6 * * *', '2026-03-28T00:00Z', 2)).toEqual(['2026-03-28T05:30', '2026-03-29T04:30']);
  });

  test.each([
    // As CronSchedule of azure-webjobs-sdk-extensions: what has a wildcard, a range or a step runs in both hours.
    ['0 30 * * * *', ['2026-10-25T00:30', '2026-10-25T01:30', '2026-10-25T02:30']],
    ['0 30 1-3 * * *', ['2026-10-25T00:30', '2026-10-25T01:30', '2026-10-25T02:30']],
    ['0 30 2 * * *', ['2026-10-25T00:30', '2026-10-26T01:30', '2026-10-27T01:30']],
    ['0 0,30 2 * * *', ['2026-10-25T00:00', '2026-10-25T00:30', '2026-10-26T01:00']],
  ])('%s runs as in the host on the night when the clocks go back', (expression, expected) => {
    expect(times(expression, '2026-10-24T23:45Z', 3)).toEqual(expected);
  });
});

test('previousRun finds the last time at or before a moment', () => {
  const hourly = parseNcrontab('0 0 * * * *');
  for (const at of ['2026-11-24T05:00:00.000Z', '2026-11-24T05:59:59.999Z'])
    expect(previousRun(hourly, new Date(at))).toEqual(new Date('2026-11-24T05:00:00Z'));
});
