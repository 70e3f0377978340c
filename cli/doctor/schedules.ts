import { nextRuns } from '../../src/config/ncrontab';
import { describeSchedule, formatSpan, formatUtcMinute } from '../../src/format';
import type { Job } from '../../src/jobs/catalogue';
import { ok, warning, type Finding } from './finding';

const hourMs = 60 * 60 * 1000;
const hoursInWeek = 7 * 24;

/**
 * The longest pause between two runs, in hours, that docs/operating.md ("Settings") and infra/queries/jobStates.kql allow:
 * that of notifications includes a night, and leaves an hour for one run that fails.
 */
const maxPauseHours = { revocation: 1, notification: 14 } as const;

/** A job's schedule in words, with its next three times, and whether it is sparser than the alerts allow. */
export function describeJobSchedule(
  { type, kind }: Pick<Job, 'type' | 'kind'>,
  expression: string,
  from = new Date(),
): Finding {
  const subject = `schedule of ${type}`;
  const times = nextRuns(expression, 3, from).map(formatUtcMinute).join(', ');
  const words = describeSchedule(expression);
  const schedule = `${words ? `${words} (${expression})` : expression}; next ${times}`;
  const pause = longestPause(expression, from);
  const allowed = maxPauseHours[kind];
  if (pause <= allowed * hourMs) return ok(subject, schedule);
  return warning(
    subject,
    `${schedule}; it pauses for ${formatSpan(pause)}, longer than the ${formatSpan(allowed * hourMs)} that the alerts allow`,
    'run it hourly; or raise hoursAllowed of the job in infra/queries/jobStates.kql as docs/operating.md, "Settings", says',
  );
}

/** In ms, as seen at each full hour of the week to come. */
function longestPause(expression: string, from: Date): number {
  const firstHour = Math.floor(from.getTime() / hourMs) * hourMs;
  const pauses = Array.from({ length: hoursInWeek }, (_, hours) => {
    const hour = firstHour + hours * hourMs;
    const [next] = nextRuns(expression, 1, new Date(hour));
    return next ? next.getTime() - hour : 0;
  });
  return Math.max(...pauses);
}
