import { formatAgo, formatCount, formatDuration, formatNumber, formatSpan, formatUtc } from '../src/format';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

test('numbers have thousands separators, and nouns agree with them', () => {
  expect([formatNumber(0), formatNumber(1240), formatNumber(1_000_000)]).toEqual(['0', '1,240', '1,000,000']);
  expect([formatCount(1, 'grant'), formatCount(1240, 'grant'), formatCount(0, 'reply', 'replies')]).toEqual([
    '1 grant',
    '1,240 grants',
    '0 replies',
  ]);
});

test('a time says its zone', () => {
  expect(formatUtc(new Date('2026-12-01T08:00:00.999Z'))).toBe('2026-12-01 08:00:00 UTC');
});

test.each([
  [0, 'under 0.1 s'],
  [99, 'under 0.1 s'],
  [100, '0.1 s'],
  [4000, '4.0 s'],
  [59_949, '59.9 s'],
  [59_951, '1 min 0 s'],
  [65 * second, '1 min 5 s'],
  [200 * second, '3 min 20 s'],
  [hour, '1 h 0 min'],
  [hour + 5 * minute, '1 h 5 min'],
])('%i ms take "%s"', (ms, words) => {
  expect(formatDuration(ms)).toBe(words);
});

test.each([
  [-1, 'less than a minute'],
  [minute, '1 min'],
  [119 * minute, '119 min'],
  [2 * hour, '2 h'],
  [47 * hour, '47 h'],
  [48 * hour, '2 days'],
  [2000 * 24 * hour, '2,000 days'],
])('%i ms are "%s"', (ms, words) => {
  expect(formatSpan(ms)).toBe(words);
});

test('a time less than a minute ago is just now', () => {
  expect([-1, 59_999, 60_000, 3 * 3_600_000].map(formatAgo)).toEqual([
    'just now',
    'just now',
    '1 min ago',
    '3 h ago',
  ]);
});
