import { Cron } from 'croner';

const expectation =
  'expected six fields "{second} {minute} {hour} {day} {month} {day of week}" in UTC, for example "0 0 * * * *" for every full hour';

/** A schedule that is no NCRONTAB expression. The message says what was found, what is expected, and an example. */
export class NcrontabError extends Error {
  override readonly name = 'NcrontabError';
}

const item = String.raw`(\*|(\d{1,2}|[A-Za-z]{3})(-(\d{1,2}|[A-Za-z]{3}))?)(/\d{1,2})?`;
const field = `${item}(,${item})*`;
const sixFields = new RegExp(String.raw`^${field}(\s+${field}){5}$`);
/** Sunday is 0; most other crons take 7 for it too. */
const daySeven = /(^|[,-])0?7/;

/**
 * Parses an NCRONTAB expression (https://github.com/atifaziz/NCrontab) as the timers of Azure Functions take it: six
 * fields, UTC, days of the week 0 (Sunday) to 6; day of month and day of week must both match. The Cron does
 * nothing until it is given a callback.
 * @throws NcrontabError
 */
export function parseNcrontab(expression: string): Cron {
  const text = expression.trim();
  const refuse = (problem: string, cause?: unknown): never => {
    throw new NcrontabError(`"${expression}" ${problem}: ${expectation}`, { cause });
  };
  if (!sixFields.test(text) || daySeven.test(text.split(/\s+/)[5] ?? '')) {
    return refuse('is no NCRONTAB expression');
  }
  let cron: Cron;
  try {
    cron = new Cron(text, { mode: '6-part', domAndDow: true, sloppyRanges: true, timezone: 'UTC' });
  } catch (cause) {
    return refuse('is no NCRONTAB expression', cause);
  }
  return cron.nextRun() ? cron : refuse('names a time that never comes');
}

/**
 * The next `count` times of a schedule, all after `from` (now, if absent).
 * @throws NcrontabError
 */
export function nextRuns(expression: string, count: number, from: Date = new Date()): Date[] {
  return parseNcrontab(expression).nextRuns(count, from);
}

/**
 * The last time of a schedule at or before `at`; undefined: there was none yet.
 * @throws NcrontabError
 */
export function previousRun(expression: string, at: Date): Date | undefined {
  // croner looks strictly before its reference, in whole seconds.
  const nextSecond = (Math.floor(at.getTime() / 1000) + 1) * 1000;
  return parseNcrontab(expression).previousRuns(1, new Date(nextSecond))[0];
}
