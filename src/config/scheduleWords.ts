import { isUnrestricted, weekdayNames, type Schedule } from './ncrontab';

/** More times a day than this cannot be read at a glance. */
const maxTimes = 12;

/**
 * A schedule in words, as the host reads it, for example "hourly from 06:30 to 18:30 UTC"; undefined where it names
 * seconds, days of the month or months, or too many times.
 */
export function describeSchedule({ values, timeZone }: Schedule): string | undefined {
  const { seconds, minutes, hours, weekdays } = values;
  if (seconds.join() !== '0' || !isUnrestricted(values, 'days') || !isUnrestricted(values, 'months'))
    return undefined;
  const times = isUnrestricted(values, 'hours')
    ? describeMinutes(minutes)
    : minutes.length === 1
      ? describeHours(hours, minutes[0] ?? 0, timeZone)
      : undefined;
  if (times === undefined || isUnrestricted(values, 'weekdays')) return times;
  return `${times.replace(/^daily at /, '')}, ${describeDays(weekdays)}`;
}

const pad = (value: number): string => String(value).padStart(2, '0');

function describeMinutes(minutes: readonly number[]): string | undefined {
  const [first, step] = minutes;
  if (step === 1 && minutes.length === 60) return 'every minute';
  if (
    first === 0 &&
    step !== undefined &&
    minutes.every((minute, index) => minute === index * step) &&
    minutes.length === Math.ceil(60 / step)
  )
    return 60 % step === 0 ? `every ${step} minutes` : `at every minute that is a multiple of ${step}`;
  if (minutes.length > maxTimes) return undefined;
  return `hourly at ${minutes.map((minute) => `:${pad(minute)}`).join(', ')}`;
}

function describeHours(hours: readonly number[], minute: number, timeZone: string): string | undefined {
  const at = (hour: number): string => `${pad(hour)}:${pad(minute)}`;
  const [first = 0] = hours;
  const last = hours.at(-1) ?? first;
  if (hours.length > 2 && last - first === hours.length - 1)
    return `hourly from ${at(first)} to ${at(last)} ${timeZone}`;
  if (hours.length > maxTimes) return undefined;
  return `daily at ${hours.map(at).join(', ')} ${timeZone}`;
}

/** Days of the week, ascending; three or more in a row as "Monday to Friday". */
function describeDays(weekdays: readonly number[]): string {
  const name = (day: number): string => weekdayNames[day] ?? '';
  const runs: number[][] = [];
  for (const day of weekdays) {
    const run = runs.at(-1);
    if (run?.at(-1) === day - 1) run.push(day);
    else runs.push([day]);
  }
  return runs
    .flatMap((run) => (run.length > 2 ? `${name(run[0] ?? 0)} to ${name(run.at(-1) ?? 0)}` : run.map(name)))
    .join(', ');
}
