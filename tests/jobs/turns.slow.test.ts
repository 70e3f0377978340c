/** The order of messages in hours with a quota, with addresses that fail. */
import fc from 'fast-check';
import { arrange, day, hour, repeat, useEnvironment } from '../support/arrange';
import {
  beforeStatement,
  finished,
  notifications,
  standInOf,
  type GrantSpec,
  type TestServices,
} from '../support/environment';

const environment = useEnvironment();

/** The addresses of the messages that the service did not refuse for its quota. */
const calls = (): string[] =>
  environment.email.requests.flatMap(({ status, to = [] }) => (status === 429 ? [] : to));
const mailed = (): string[] =>
  environment.email.messages.flatMap(({ status, to }) => (status === 'Failed' ? [] : to));

/** An hour in which the service accepts so many messages, refuses some addresses, and fails others later. */
function beginHour(quota: number): void {
  const { email } = environment;
  email.clearFaults();
  email.order({ kind: 'error', status: 429, retryAfter: 3_600, at: quota + 1, times: Infinity });
  email.order({ kind: 'error', status: 400, recipient: /^refused/, times: Infinity });
  email.order({
    kind: 'outcome',
    failure: { code: 'InternalServerError' },
    recipient: /^failed/,
    times: Infinity,
  });
}

/** Grants of people with that word in their addresses. */
const people = (word: string, count: number, endsIn: number): GrantSpec[] =>
  repeat(count, (index) => ({ email: `${word}${index}@example.com`, endsIn }));

describe.each(notifications)('$platform.name', (job) => {
  const { add, revoked, run } = arrange(environment, job);
  /** A run in an hour with that quota. */
  const runHour = (quota: number, services?: TestServices) => {
    beginHour(quota);
    return run(services);
  };

  test.each(['failed', 'refused'])(
    'others are reached if messages are %s, even by a new process each hour',
    async (word) => {
      await add(...people(word, 12, 30 * hour), ...people('good', 1, 30 * hour));
      for (let hours = 0; mailed().length === 0; hours++) {
        expect(hours).toBeLessThan(100);
        const { status, failedCount } = await runHour(10);
        expect([status, mailed().length > 0 ? 10 : failedCount]).toEqual(['Completed', 10]);
      }
    },
  );

  test('the nearest day goes first', async () => {
    await add(...people('later', 25, 13 * day), ...people('soon', 1, 90 * 60_000));
    expect(await runHour(10)).toMatchObject({ processedCount: 10, stoppedEarly: true });
    expect(mailed()).toContain('soon0@example.com');
  });

  test('ended access is announced after the ends of the week', async () => {
    const [ended] = await add(
      ...people('ended', 1, -hour),
      ...people('week', 10, 5 * day),
      ...people('later', 10, 12 * day),
    );
    await revoked(ended, 'GETUTCDATE()');
    await runHour(11, environment.services({ notifyRevoked: true }));
    const week = people('week', 10, 0).map(({ email }) => email);
    expect(mailed().sort()).toEqual(['ended0@example.com', ...week].sort());
  });

  test('the order of ends within a day differs from run to run', async () => {
    await add(...people('person', 200, 30 * hour));
    const reachedFirst = async () => {
      environment.email.reset();
      await environment.query(`DELETE FROM ${job.platform.notificationTable};`);
      await runHour(20);
      return mailed().sort();
    };
    expect(await reachedFirst()).not.toEqual(await reachedFirst());
  });

  test('a new session resumes after the last recipient and repeats nothing', async () => {
    await add(...['refused', 'failed', 'good'].flatMap((word) => people(word, 80, 30 * hour)));
    beforeStatement('readDueReminders', 2, () => environment.standIn?.order({ kind: 'dropBefore' }));
    const expected = { status: 'Completed', processedCount: 80, failedCount: 160 };
    expect(await runHour(1_000)).toMatchObject(expected);
    expect([calls().length, new Set(calls()).size]).toEqual([240, 240]);
  });
});

/** A person with one grant. */
interface Person {
  readonly address: string;
  readonly fails: boolean;
  readonly from: number;
  readonly endsAt: number;
}

/** A reminder of a person; one a day where messages fail. */
interface Reminder extends Person {
  readonly since: number;
  readonly until: number;
}

/** What happened in an hour. */
interface Hour {
  readonly at: number;
  readonly calls: readonly string[];
  readonly mailed: readonly string[];
}

const hours = 100;
const scenarios = fc.record({
  quota: fc.integer({ min: 3, max: 10 }),
  people: fc.array(
    fc.record({
      word: fc.constantFrom('good', 'good', 'good', 'good', 'refused', 'failed'),
      fromHour: fc.oneof(fc.constant(0), fc.nat({ max: 60 })),
      endsAfterHours: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 13 * 24 })),
    }),
    { minLength: 40, maxLength: 90 },
  ),
});
type Scenario = typeof scenarios extends fc.Arbitrary<infer T> ? T : never;

const midnight = (time: number): number => Math.floor(time / day) * day;

function remindersOf(person: Person): Reminder[] {
  const { from, endsAt, fails } = person;
  const begins = fails
    ? Array.from({ length: 14 }, (_, days) => midnight(endsAt) - (13 - days) * day)
    : [14, 7, 1].map((lead) => midnight(endsAt) - lead * day);
  return begins.flatMap((begin, index) => {
    const [since, until] = [Math.max(begin, from), Math.min(begins[index + 1] ?? endsAt, endsAt)];
    return since < until ? [{ ...person, since, until }] : [];
  });
}

async function play({ quota, people: specs }: Scenario): Promise<{ persons: Person[]; hours: Hour[] }> {
  const { email } = environment;
  const standIn = standInOf(environment);
  const [job] = notifications;
  if (!job) throw new Error('There is a notification job');
  await environment.reset();
  // Later than now: a clock of a process never shows less than it began with.
  const start = (Math.floor(Date.now() / day) + 1) * day + hour / 2;
  standIn.clock.set(new Date(start));
  const services = environment.services();
  services.clock.advance(start - services.clock.now());
  const persons = specs.map(({ word, fromHour, endsAfterHours }, index) => ({
    address: `${word}${index}@example.com`,
    fails: word !== 'good',
    from: start + fromHour * hour,
    endsAt: start + (fromHour + endsAfterHours) * hour,
  }));
  const played: Hour[] = [];
  for (let index = 0; index < hours; index++) {
    const at = start + index * hour;
    standIn.clock.set(new Date(at));
    const arrived = persons.filter(({ from }) => from === at);
    await environment.addGrants(
      job,
      arrived.map(({ address, endsAt }) => ({ email: address, endsIn: endsAt - at })),
    );
    beginHour(quota);
    const before = { calls: calls().length, mailed: mailed().length };
    finished(await environment.run(job, services));
    played.push({ at, calls: calls().slice(before.calls), mailed: mailed().slice(before.mailed) });
    services.clock.advance(at + hour - services.clock.now());
  }
  expect(email.messages.length).toBeGreaterThan(0);
  standIn.clock.set(new Date());
  return { persons, hours: played };
}

/** Breaches of the promises, in words. */
function findBreaches(quota: number, persons: readonly Person[], played: readonly Hour[]): string[] {
  const reminders = persons.flatMap(remindersOf);
  const byAddress = new Map(persons.map((person) => [person.address, person]));
  const isSent = ({ address, since, fails }: Reminder, { at, mailed: sent, calls: called }: Hour) =>
    at >= since && (fails ? called : sent).includes(address);
  /** The hours until the reminder, or a later one instead, is sent. */
  const waitOf = (reminder: Reminder, until: number): Hour[] => {
    const window = played.filter(({ at }) => at >= reminder.since && at < until);
    const sent = window.findIndex((one) => isSent(reminder, one));
    return sent < 0 ? window : window.slice(0, sent);
  };
  const pending = new Map(played.map((one): [Hour, Set<Reminder>] => [one, new Set()]));
  for (const reminder of reminders)
    for (const one of [...waitOf(reminder, reminder.until), ...played.filter((h) => isSent(reminder, h))])
      pending.get(one)?.add(reminder);

  return reminders.flatMap((reminder) => {
    const { address, fails, endsAt, since } = reminder;
    if (fails) {
      const count = played
        .filter(({ at }) => midnight(at) === midnight(since))
        .flatMap((one) => one.calls.filter((called) => called === address)).length;
      return count > 1 ? [`${address} had ${count} messages on a day`] : [];
    }
    const wait = waitOf(reminder, endsAt);
    const backlog = new Set(wait.flatMap((one) => [...(pending.get(one) ?? [])])).size;
    const tooLong = wait.length > 2 * Math.ceil(backlog / quota);
    const isMissed = played.some(({ at }) => at >= endsAt) && !played.some((one) => isSent(reminder, one));
    const usedBefore = wait.flatMap((one) =>
      one.calls.filter((called) => midnight(byAddress.get(called)?.endsAt ?? 0) <= midnight(endsAt)),
    ).length;
    return [
      ...(tooLong ? [`${address} waited ${wait.length} hours, the backlog was ${backlog}`] : []),
      ...(isMissed && usedBefore < quota * wait.length
        ? [`${address} was missed, and the quota allowed it`]
        : []),
    ];
  });
}

test(
  'a hundred hourly runs reach everybody before the end and delay nobody, if the quota allows it',
  () =>
    fc.assert(
      fc.asyncProperty(scenarios, async (scenario) => {
        const { persons, hours: played } = await play(scenario);
        expect(findBreaches(scenario.quota, persons, played)).toEqual([]);
      }),
      { numRuns: 3, seed: 26, endOnFailure: true },
    ),
  300_000,
);
