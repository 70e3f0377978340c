import { parseNcrontab } from '../../src/config/ncrontab';
import { describeSchedule } from '../../src/config/scheduleWords';

test.each([
  ['0 0 * * * *', 'hourly at :00'],
  ['15 * * * *', 'hourly at :15'],
  ['0 5/25 * * * *', 'hourly at :05, :30, :55'],
  ['0 30 6-18 * * *', 'hourly from 06:30 to 18:30 UTC'],
  ['0 5 7 * * *', 'daily at 07:05 UTC'],
  ['0 30 6,18 * * *', 'daily at 06:30, 18:30 UTC'],
  ['0 0 */5 * * *', 'daily at 00:00, 05:00, 10:00, 15:00, 20:00 UTC'],
  ['0 30 6,18 * * 1-5', '06:30, 18:30 UTC, Monday to Friday'],
  ['0 0 9 * * sun,WEDNESDAY', '09:00 UTC, Sunday, Wednesday'],
  ['0 0 9 * * */2', '09:00 UTC, Sunday, Tuesday, Thursday, Saturday'],
  ['0 0 9 * * SAT-SUN', 'daily at 09:00 UTC'],
  ['0 0 22-2 * * *', 'hourly from 02:00 to 22:00 UTC'],
  ['0 */90 * * * *', 'hourly at :00'],
  ['0 */10 * * * *', 'every 10 minutes'],
  ['0 0,30 * * * *', 'every 30 minutes'],
  ['0 */7 * * * *', 'at every minute that is a multiple of 7'],
  ['0 */7 * * * 1-2', 'at every minute that is a multiple of 7, Monday, Tuesday'],
  ['0 * * * * *', 'every minute'],
  ...['30 0 * * * *', '0 0 0 1 * *', '0 0 0 * jan *', '0 0-29 * * * *', '0 */5 9-17 * * *'].map(
    (wordless) => [wordless, undefined] as const,
  ),
] as const)('%s is "%s"', (expression, words) => {
  expect(describeSchedule(parseNcrontab(expression))).toBe(words);
});

test('the words name the time zone of the schedule', () => {
  expect(describeSchedule(parseNcrontab('0 30 6-18 * * *', 'Europe/Berlin'))).toBe(
    'hourly from 06:30 to 18:30 Europe/Berlin',
  );
});
