/** Variety of the sample. How many of its grants are due, and how many fail, is asserted in start.slow.test.ts. */
import { sampleRequests } from '../../local/sampleData';
import { jobOf } from '../support/environment';
import { siteTable } from '../support/views';

const now = new Date('2026-11-24T05:42:10Z');
const sample = sampleRequests(now);
const dayOf = (time: Date): number => Math.floor(time.getTime() / (24 * 60 * 60 * 1000));

describe.each([
  { platform: 'Databricks', requests: sample.delta },
  { platform: 'Palantir', requests: sample.palantir },
] as const)('on $platform', ({ platform, requests }) => {
  const { columns } = siteTable(jobOf('revocation', platform));
  const rows: readonly Record<string, unknown>[] = requests;
  const approved = rows.filter((row) => row[columns.RequestStatus] === 'Approved');

  test.each([
    { from: 8, to: 14 },
    { from: 2, to: 7 },
    { from: 1, to: 1 },
  ])('at least 20 grants end in $from to $to days', ({ from, to }) => {
    const left = approved.map((row) => dayOf((row[columns.ExpiresAt] as Date | null) ?? now) - dayOf(now));
    expect(left.filter((days) => days >= from && days <= to).length).toBeGreaterThanOrEqual(20);
  });

  test('several people hold many grants', () => {
    const held = Map.groupBy(approved, (row) => row[columns.RequesterName]);
    expect([...held.values()].filter((grants) => grants.length >= 12).length).toBeGreaterThanOrEqual(4);
    expect(held.size).toBeGreaterThan(30);
  });

  test('names and resources have quotes, markup and characters beyond ASCII, and addresses capitals', () => {
    const values = (name: keyof typeof columns): string => rows.map((row) => row[columns[name]]).join('\n');
    for (const texts of [values('RequesterName'), values('Resource')])
      for (const pattern of [/"/, /['’]/, /<b>/, /[\u0250-\uffff]/]) expect(texts).toMatch(pattern);
    expect(values('RequesterEmail')).toMatch(/[A-Z]/);
  });
});
