/** When access ends, as its holder reads it: in one time zone, and in UTC too where that differs. */

export interface End {
  /** For example "Tuesday 1 December 2026". */
  readonly day: string;
  /** For example "09:00 CET". */
  readonly time: string;
  /** For example "08:00 UTC", or "00:05 UTC on Wednesday 2 December" if it is another day there; '' in UTC itself. */
  readonly utc: string;
}

interface Formats {
  readonly day: Intl.DateTimeFormat;
  readonly time: (date: Date) => string;
}

/** Each English locale knows only the abbreviations of its own part of the world (Unicode CLDR). */
const locales = ['en-GB', 'en-US', 'en-AU', 'en-IN', 'en-ZA', 'en-IE', 'en-SG', 'en-HK'];

/** Formats are expensive to create: about 50 µs each. */
const formatsOfZones = new Map<string, Formats>();

/**
 * @param timeZone an IANA name
 * @throws RangeError unknown time zone
 */
export function formatEnd(date: Date, timeZone: string): End {
  const [day, time] = [formatDay(date, timeZone), formatsOf(timeZone).time(date)];
  const utcTime = date.toISOString().slice(11, 16);
  if (time.startsWith(utcTime)) return { day, time, utc: '' };
  const utcDay = formatDay(date, 'UTC');
  return {
    day,
    time,
    utc: `${utcTime} UTC${utcDay === day ? '' : ` on ${utcDay.slice(0, -' 2026'.length)}`}`,
  };
}

/** For example "Tue 1 Dec", or "Fri 1 Jan 2027" for those who read it in another year. */
export function shortDay({ day }: End, readIn: Date): string {
  const [weekday = '', number = '', month = '', year = ''] = day.split(' ');
  const otherYear = year === String(readIn.getUTCFullYear()) ? '' : ` ${year}`;
  return `${weekday.slice(0, 3)} ${number} ${month.slice(0, 3)}${otherYear}`;
}

function formatDay(date: Date, timeZone: string): string {
  return formatsOf(timeZone).day.format(date).replace(',', '');
}

function formatsOf(timeZone: string): Formats {
  let formats = formatsOfZones.get(timeZone);
  if (!formats) {
    const day = { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric', timeZone } as const;
    formats = { day: new Intl.DateTimeFormat('en-GB', day), time: timeFormat(timeZone) };
    formatsOfZones.set(timeZone, formats);
  }
  return formats;
}

/** Times with the zone's abbreviation if a locale knows one for summer and winter, else with the offset: "UTC+5:45". */
function timeFormat(timeZone: string): Formats['time'] {
  const formats = locales.map(
    (locale) =>
      new Intl.DateTimeFormat(locale, {
        hour: '2-digit',
        minute: '2-digit',
        hourCycle: 'h23',
        timeZone,
        timeZoneName: 'short',
      }),
  );
  const seasons = [new Date('2026-01-01T00:00Z'), new Date('2026-07-01T00:00Z')];
  const named = formats.find((format) => seasons.every((date) => !/GMT[+-]/.test(format.format(date))));
  const [fallback = named] = formats;
  return (date) => (named ?? fallback)?.format(date).replace('GMT+', 'UTC+').replace('GMT-', 'UTC-') ?? '';
}
