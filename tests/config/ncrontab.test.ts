import { NcrontabError, nextRuns, parseNcrontab } from '../../src/config/ncrontab';

/** A Tuesday. */
const from = new Date('2026-11-24T05:42:10Z');

function times(expression: string, count: number): string[] {
  return nextRuns(expression, count, from).map((date) => date.toISOString().slice(0, 19));
}

test('the first field is the second and the second the minute', () => {
  expect(times('30 15 * * * *', 2)).toEqual(['2026-11-24T06:15:30', '2026-11-24T07:15:30']);
});

test.each([
  ['a range of hours', '0 30 6-18 * * *', 13, '2026-11-24T18:30:00'],
  ['a step over all values', '*/20 * * * * *', 2, '2026-11-24T05:42:40'],
  ['a step that starts at a value', '0 5/25 * * * *', 2, '2026-11-24T06:05:00'],
  ['a list', '0 0 1,7 * * *', 2, '2026-11-25T01:00:00'],
  ['names of days', '0 0 0 * * MON-WED', 2, '2026-11-30T00:00:00'],
  ['names of months', '0 0 0 1 jan *', 1, '2027-01-01T00:00:00'],
  ['Sunday as 0', '0 0 0 * * 0', 1, '2026-11-29T00:00:00'],
])('%s is understood', (_, expression, count, last) => {
  expect(times(expression, count).at(-1)).toBe(last);
});

test('a day of the month and a day of the week have to match both', () => {
  expect(times('0 0 0 13 * FRI', 1)).toEqual(['2027-08-13T00:00:00']);
});

test('blanks around an expression do not matter', () => {
  expect(times('  0  0 * * * * ', 1)).toEqual(['2026-11-24T06:00:00']);
});

test.each([
  [''],
  ['* * * * *'],
  ['0 0 * * * * 2027'],
  ['60 0 * * * *'],
  ['0 0 24 * * *'],
  ['0 0 0 * * 7'],
  ['0 0 0 * * MON-7'],
  ['0 0 0 L * *'],
  ['0 0 0 * * FRI#2'],
  ['0 0 * * * ?'],
  ['0 */0 * * * *'],
  ['@hourly'],
  ['01:00:00'],
  ['%SCHEDULE%'],
])('"%s" is no NCRONTAB expression, and the error says what is expected', (expression) => {
  expect(() => parseNcrontab(expression)).toThrow(NcrontabError);
  expect(() => parseNcrontab(expression)).toThrow(
    `"${expression}" is no NCRONTAB expression: expected six fields "{second} {minute} {hour} {day} {month} {day of week}" in UTC, for example "0 0 * * * *"`,
  );
});

test('a day that no month has is an error, not a schedule that never runs', () => {
  expect(() => parseNcrontab('0 0 0 31 2 *')).toThrow('"0 0 0 31 2 *" names a time that never comes');
});
