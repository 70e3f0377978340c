import { sampleRequests } from '../../local/sampleData';
import { isEmailAddress } from '../../src/email/address';

const now = new Date('2026-11-24T05:42:10Z');
const sample = sampleRequests(now);
const day = 24 * 60 * 60 * 1000;

/** What both platforms have in common. */
interface Request {
  readonly id: number | string;
  readonly status: string;
  readonly email: string | null;
  readonly name: string;
  readonly resource: string;
  readonly start: Date;
  readonly end: Date | null;
  /** Undefined if it was never revoked. */
  readonly revokedAt: Date | undefined;
}

const delta: Request[] = sample.delta.map((row) => ({
  id: row.id,
  status: row.request_status,
  email: row.requested_by_email,
  name: row.requested_by,
  resource: `${row.catalog_name}.${row.schema_name}.${row.table_name}`,
  start: row.access_start_dt,
  end: row.access_end_dt,
  revokedAt: sample.deltaRevocations.find(({ DeltaRequestId }) => DeltaRequestId === row.id)?.Revoked_Dt,
}));

const palantir: Request[] = sample.palantir.map((row) => ({
  id: row.RequestId,
  status: row.Status,
  email: row.RequestedByEmail,
  name: row.RequestedBy,
  resource: row.ProjectName,
  start: row.AccessStartDate,
  end: row.AccessEndDate,
  revokedAt: sample.palantirRevocations.find(({ PalantirRequestId }) => PalantirRequestId === row.RequestId)
    ?.Revoked_Dt,
}));

const midnightsLeft = (end: Date): number =>
  Math.floor(end.getTime() / day) - Math.floor(now.getTime() / day);

describe.each([
  ['Databricks', delta],
  ['Palantir', palantir],
])('on %s', (_, requests) => {
  const approved = requests.filter(({ status }) => status === 'Approved');
  const upcoming = approved.flatMap((request) =>
    request.end && request.end > now ? [{ ...request, left: midnightsLeft(request.end) }] : [],
  );
  const due = approved.filter(
    ({ end, revokedAt }) => end !== null && end < now && (revokedAt === undefined || revokedAt < end),
  );

  test('there are a few hundred requests, each with an id of its own, begun before they end', () => {
    expect(requests.length).toBeGreaterThan(300);
    expect(new Set(requests.map(({ id }) => id)).size).toBe(requests.length);
    for (const { start, end } of requests) expect(start.getTime()).toBeLessThan(end?.getTime() ?? Infinity);
  });

  test('40 grants have expired and are not revoked', () => {
    expect(due).toHaveLength(40);
  });

  test('at least 20 grants are due for each of the default reminders', () => {
    for (const [least, most] of [
      [8, 14],
      [2, 7],
      [1, 1],
    ] as const)
      expect(upcoming.filter(({ left }) => left >= least && left <= most).length).toBeGreaterThanOrEqual(20);
  });

  test('some grants were revoked, renewed and end in the future, some of them soon, and one has expired again', () => {
    const renewed = upcoming.filter(({ revokedAt }) => revokedAt !== undefined);
    expect(renewed).toHaveLength(10);
    expect(renewed.filter(({ left }) => left <= 14)).toHaveLength(2);
    expect(due.filter(({ revokedAt }) => revokedAt !== undefined)).toHaveLength(1);
  });

  test('some grants are revoked for good, some requests are not approved, some have no end', () => {
    const revoked = approved.filter(({ end, revokedAt }) => end && revokedAt && revokedAt >= end);
    expect(revoked).toHaveLength(30);
    const statuses = new Set(requests.map(({ status }) => status));
    expect([...statuses].sort()).toEqual(['Approved', 'Rejected', 'Submitted', 'Withdrawn']);
    expect(approved.filter(({ end }) => end === null)).toHaveLength(20);
  });

  test('five grants whose reminder is due have no usable address, and all others have one', () => {
    const unusable = requests.filter(({ email }) => email === null || !isEmailAddress(email));
    expect(unusable).toHaveLength(5);
    expect(
      upcoming.filter(({ left, email }) => left <= 14 && unusable.some((u) => u.email === email)),
    ).toHaveLength(5);
  });

  test('several people hold many grants', () => {
    const held = new Map<string | undefined, number>();
    for (const { email } of approved) {
      const person = email?.toLowerCase();
      held.set(person, (held.get(person) ?? 0) + 1);
    }
    expect([...held.values()].filter((grants) => grants >= 12).length).toBeGreaterThanOrEqual(4);
    expect(held.size).toBeGreaterThan(30);
  });

  test('names and resources have quotes, markup and characters beyond ASCII, and addresses capitals', () => {
    for (const texts of [requests.map(({ name }) => name), requests.map(({ resource }) => resource)]) {
      for (const pattern of [/"/, /['’]/, /<b>/, /[\u0250-\uffff]/]) {
        expect(texts.some((text) => pattern.test(text))).toBe(true);
      }
    }
    expect(requests.some(({ email }) => email !== null && /[A-Z]/.test(email))).toBe(true);
  });
});
