import { nextRuns } from '../../src/config/ncrontab';
import { describeSchedule, formatUtcMinute } from '../../src/format';
import { ok, type Finding } from './finding';

/** A job's schedule in words, with its next three times. */
export function describeJobSchedule(jobType: string, expression: string, from?: Date): Finding {
  const times = nextRuns(expression, 3, from).map(formatUtcMinute).join(', ');
  const words = describeSchedule(expression);
  return ok(`schedule of ${jobType}`, `${words ? `${words} (${expression})` : expression}; next ${times}`);
}
