import { nextRuns } from '../../src/config/ncrontab';
import { ok, formatUtc, type Finding } from './finding';

/** A job's schedule in words, with its next three times. */
export function describeJobSchedule(jobType: string, expression: string, from?: Date): Finding {
  const times = nextRuns(expression, 3, from).map(formatUtc).join(', ');
  const words = describeSchedule(expression);
  return ok(`schedule of ${jobType}`, `${words ? `${words} (${expression})` : expression}; next ${times}`);
}

const weekdays = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** An NCRONTAB expression in words, for the shapes that hourly and daily jobs have; undefined for others. */
export function describeSchedule(expression: string): string | undefined {
  const [second, minute = '', hour = '', day, month, weekday = ''] = expression.trim().split(/\s+/);
  if (second !== '0' || day !== '*' || month !== '*') return undefined;
  const times = describeTimes(minute, hour);
  const days = weekday === '*' ? '' : describeDays(weekday);
  return times === undefined || days === undefined ? undefined : times + days;
}

function describeTimes(minute: string, hour: string): string | undefined {
  const step = /^\*\/(\d+)$/.exec(minute)?.[1];
  if (minute === '*' && hour === '*') return 'every minute';
  if (step !== undefined && hour === '*') return `at every minute that is a multiple of ${Number(step)}`;
  if (hour === '*' && /^\d+(,\d+)+$/.test(minute))
    return `hourly at the minutes ${minute.split(',').map(Number).join(', ')}`;
  if (!/^\d+$/.test(minute)) return undefined;
  const at = (h: string | undefined): string => `${(h ?? '').padStart(2, '0')}:${minute.padStart(2, '0')}`;
  if (hour === '*') return `hourly at minute ${Number(minute)}`;
  const [, first, last] = /^(\d+)-(\d+)$/.exec(hour) ?? [];
  if (Number(first) < Number(last)) return `hourly from ${at(first)} to ${at(last)} UTC`;
  if (/^\d+(,\d+)*$/.test(hour)) return `at ${hour.split(',').map(at).join(', ')} UTC`;
  return undefined;
}

function describeDays(text: string): string | undefined {
  const name = (day: string): string | undefined =>
    /^\d$/.test(day)
      ? weekdays[Number(day)]
      : weekdays.find((candidate) => candidate.slice(0, 3).toUpperCase() === day.toUpperCase());
  const items = text.split(',').map((item) => item.split('-').map(name));
  if (items.some((item) => item.includes(undefined))) return undefined;
  return `, ${items.map((item) => item.join(' to ')).join(', ')}`;
}
