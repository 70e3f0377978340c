import { nextRuns, parseNcrontab } from '../../src/config/ncrontab';
import { describeSchedule } from '../../src/config/scheduleWords';
import type { ScheduleZone } from '../../src/config/schedules';
import { formatUtcMinute } from '../../src/format';
import type { Job } from '../../src/jobs/catalogue';
import { ok, warning, type Finding } from './finding';

/** A zone of the schedules other than UTC. */
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

/** A job's schedule in words, with its next three times, and what the host does where one would expect something else. */
export function checkJobSchedule(
  { type, scheduleSetting }: Pick<Job, 'type' | 'scheduleSetting'>,
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
  if (schedule.remarks.length === 0) return ok(subject, message);
  return warning(
    subject,
    `${message}. ${schedule.remarks.join(' ')}`,
    `if something else is meant, correct ${scheduleSetting}`,
  );
}
