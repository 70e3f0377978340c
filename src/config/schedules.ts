/** The schedule settings with their defaults: NCRONTAB, UTC, staggered by a quarter of an hour. */
export const defaultSchedules = {
  SCHEDULE_REVOKE_DATABRICKS: '0 0 * * * *',
  SCHEDULE_REVOKE_PALANTIR: '0 15 * * * *',
  SCHEDULE_NOTIFY_DATABRICKS: '0 30 6-18 * * *',
  SCHEDULE_NOTIFY_PALANTIR: '0 45 6-18 * * *',
} as const;
export type ScheduleSetting = keyof typeof defaultSchedules;

/**
 * The schedule that a timer is registered with. Not validated: registering must not fail, or the worker would find no
 * functions at all. The Functions host puts a timer with a malformed schedule in error by itself.
 */
export function scheduleFor(
  setting: ScheduleSetting,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const given = environment[setting]?.trim();
  return given === undefined || given === '' ? defaultSchedules[setting] : given;
}
