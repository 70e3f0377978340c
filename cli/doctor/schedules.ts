import { nextRuns, parseNcrontab, type Schedule } from '../../src/config/ncrontab';
import { describeSchedule } from '../../src/config/scheduleWords';
import type { ScheduleZone } from '../../src/config/schedules';
import { formatSpan, formatUtcMinute } from '../../src/format';
import type { Job } from '../../src/jobs/catalogue';
import { ok, warning, type Finding } from './finding';

/** Warns of a zone other than UTC. */
export function checkScheduleZone({ setting, timeZone, problem }: ScheduleZone): Finding[] {
  if (setting === undefined || problem !== undefined) return [];
  return [
    warning(
      'time zone of the schedules',
      `${setting} is set: the host reads them in ${timeZone}, summer time included`,
      `remove ${setting} if UTC is meant; Flex Consumption does not support it`,
    ),
  ];
}

const hourMs = 60 * 60 * 1000;
const hoursInWeek = 7 * 24;

/**
 * The longest pause between two runs, in hours, that docs/operating.md ("Schedules") advises: that of notifications includes
 * a night, and leaves an hour for one run that fails.
 */
const maxPauseHours = { revocation: 1, notification: 14 } as const;

/** A job's schedule in words, with its next three times, what the host reads differently, and pauses that are too long. */
export function checkJobSchedule(
  { type, kind, scheduleSetting }: Pick<Job, 'type' | 'kind' | 'scheduleSetting'>,
  expression: string,
  { timeZone }: ScheduleZone,
  from?: Date,
): Finding {
  const subject = `schedule of ${type}`;
  const schedule = parseNcrontab(expression, timeZone);
  const words = describeSchedule(schedule);
  const shown = words === undefined ? expression : `${words} (${expression})`;
  const times = nextRuns(schedule, 3, from).map(formatUtcMinute).join(', ');
  if (times === '')
    return warning(
      subject,
      `${shown}; names a time that never comes: the timer never fires`,
      `correct ${scheduleSetting}`,
    );
  const message = `${shown}; next ${times}`;
  if (schedule.remarks.length > 0)
    return warning(
      subject,
      `${message}. ${schedule.remarks.join(' ')}`,
      `if something else is meant, correct ${scheduleSetting}`,
    );
  const pauseMs = longestPause(schedule, from);
  const advisedMs = maxPauseHours[kind] * hourMs;
  if (pauseMs <= advisedMs) return ok(subject, message);
  return warning(
    subject,
    `${message}; it pauses for ${formatSpan(pauseMs)}, longer than the ${formatSpan(advisedMs)} that is advised: what a failed run left waits as long`,
    `run it hourly (${scheduleSetting}); or see docs/operating.md, "Schedules", for what a sparser one asks for`,
  );
}

/** In ms, as seen at each full hour of the week to come. */
function longestPause(schedule: Schedule, from = new Date()): number {
  const firstHour = Math.floor(from.getTime() / hourMs) * hourMs;
  const pauses = Array.from({ length: hoursInWeek }, (_, hours) => {
    const hour = firstHour + hours * hourMs;
    const [next] = nextRuns(schedule, 1, new Date(hour));
    return next ? next.getTime() - hour : 0;
  });
  return Math.max(...pauses);
}
