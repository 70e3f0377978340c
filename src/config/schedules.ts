/** The schedule settings with their defaults: NCRONTAB, staggered by a quarter of an hour. */
export const defaultSchedules = {
  SCHEDULE_REVOKE_DATABRICKS: '0 0 * * * *',
  SCHEDULE_REVOKE_PALANTIR: '0 15 * * * *',
  SCHEDULE_NOTIFY_DATABRICKS: '0 30 6-18 * * *',
  SCHEDULE_NOTIFY_PALANTIR: '0 45 6-18 * * *',
} as const;
export type ScheduleSetting = keyof typeof defaultSchedules;

/**
 * The schedule that a timer is registered with. Not validated: registering must not fail, or the worker would find no
 * functions at all. The Functions host itself reports a timer with a malformed schedule.
 */
export function scheduleFor(
  setting: ScheduleSetting,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const given = environment[setting]?.trim();
  return given === undefined || given === '' ? defaultSchedules[setting] : given;
}

/** When this process read the schedules: it registers its timers on loading; Azure restarts it to change a setting. */
export const schedulesReadAt = new Date();

/** The app settings for a function app's time zone; TZ comes first. */
const zoneSettings = ['TZ', 'WEBSITE_TIME_ZONE'] as const;
export type ZoneSetting = (typeof zoneSettings)[number];

/** The zone in which the host reads the schedules. */
export interface ScheduleZone {
  /** IANA name; UTC where the setting holds none. */
  readonly timeZone: string;
  /** The app setting, if it names another zone than UTC or an unknown one. */
  readonly setting?: ZoneSetting;
  /** What is wrong with the setting. */
  readonly problem?: string;
}

/** Reads the zone of the schedules: UTC, unless an app setting says otherwise ("Timer trigger: NCRONTAB time zones"). */
export function readScheduleZone(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): ScheduleZone {
  const setting = zoneSettings.find((name) => environment[name]?.trim());
  if (setting === undefined) return { timeZone: 'UTC' };
  const given = environment[setting]?.trim() ?? '';
  if (!isTimeZone(given))
    return {
      timeZone: 'UTC',
      setting,
      problem: `"${given}" is not the IANA name of a time zone, so in which zone the host reads the schedules is not known; remove it (UTC), or name a zone, for example Europe/Berlin`,
    };
  const { timeZone } = Intl.DateTimeFormat('en', { timeZone: given }).resolvedOptions();
  return timeZone === 'UTC' ? { timeZone } : { timeZone: given, setting };
}

/** Whether a text is the IANA name of a time zone. */
export function isTimeZone(name: string): boolean {
  try {
    Intl.DateTimeFormat('en', { timeZone: name });
    // It also accepts offsets such as +02:00, which have no summer time.
    return /^[A-Za-z]/.test(name);
  } catch {
    return false;
  }
}
