import { Cron } from 'croner';

export const ncrontabExpectation =
  'six fields "{second} {minute} {hour} {day} {month} {day of week}", for example "0 0 * * * *" for every full hour';

/** A schedule that is no NCRONTAB expression. The message says what was found and what is expected. */
export class ScheduleError extends Error {
  override readonly name = 'ScheduleError';
}

const item = String.raw`(\*|(\d{1,2}|[A-Za-z]{3})(-(\d{1,2}|[A-Za-z]{3}))?)(/\d{1,2})?`;
const field = `${item}(,${item})*`;
const sixFields = new RegExp(String.raw`^${field}(\s+${field}){5}$`);

/** Puts the app settings named between percent signs into a schedule, as the Functions host does. */
export function resolveSettings(text: string, settings: NodeJS.ProcessEnv): string {
  return text.replace(/%([^%]+)%/g, (_, name: string) => {
    const value = settings[name];
    if (value === undefined)
      throw new ScheduleError(`the setting ${name} is missing: expected ${ncrontabExpectation}`);
    return value;
  });
}

/**
 * Parses an NCRONTAB expression (https://github.com/atifaziz/NCrontab): six fields, UTC, days of the week 0
 * (Sunday) to 6, day of month and day of week must both match. The Cron is paused and has no callback yet.
 */
export function parseSchedule(schedule: string, onSkipped: () => void): Cron {
  const expression = schedule.trim();
  const refuse = (cause?: unknown): never => {
    throw new ScheduleError(`"${schedule}" is no NCRONTAB expression: expected ${ncrontabExpectation}`, {
      cause,
    });
  };
  const dayOfWeek = expression.split(/\s+/)[5] ?? '';
  if (!sixFields.test(expression) || /(^|[,-])0?7/.test(dayOfWeek)) return refuse();
  try {
    return new Cron(expression, {
      mode: '6-part',
      domAndDow: true,
      sloppyRanges: true,
      timezone: 'UTC',
      protect: onSkipped,
    });
  } catch (cause) {
    return refuse(cause);
  }
}
