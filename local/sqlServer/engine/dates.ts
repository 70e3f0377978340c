import { SqlError, conversionError } from '../errors';
import { typeText, type SqlType } from '../sqlTypes';

/** Dates are canonical text, 'YYYY-MM-DD HH:MM:SS.fffffff' (UTC); a DATE has midnight. They order as text. */

const TICKS_PER_SECOND = 10_000_000;
const TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND;
const DAY_ONE_1900 = -25567;

/** Days since 1970-01-01 and 100 ns ticks since midnight. */
export interface Moment {
  readonly days: number;
  readonly ticks: number;
}

const digits = (text: string, from: number, to: number): number => {
  let value = 0;
  for (let i = from; i < to; i++) value = value * 10 + text.charCodeAt(i) - 48;
  return value;
};
const pad = (value: number, width: number): string => String(value).padStart(width, '0');

/** Days of a proleptic Gregorian date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return (
    era * 146097 +
    yearOfEra * 365 +
    Math.floor(yearOfEra / 4) -
    Math.floor(yearOfEra / 100) +
    dayOfYear -
    719468
  );
}

function civil(days: number): { year: number; month: number; day: number } {
  const date = new Date(days * 86_400_000);
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

export function parseMoment(text: string): Moment {
  const seconds = digits(text, 11, 13) * 3600 + digits(text, 14, 16) * 60 + digits(text, 17, 19);
  return {
    days: daysFromCivil(digits(text, 0, 4), digits(text, 5, 7), digits(text, 8, 10)),
    ticks: seconds * TICKS_PER_SECOND + digits(text, 20, 27),
  };
}

export function formatMoment(moment: Moment): string {
  const overflow = Math.floor(moment.ticks / TICKS_PER_DAY);
  const { year, month, day } = civil(moment.days + overflow);
  if (!(year >= 1 && year <= 9999))
    throw new SqlError(517, 'Adding a value to a date column caused an overflow.');
  const ticks = moment.ticks - overflow * TICKS_PER_DAY;
  const seconds = Math.floor(ticks / TICKS_PER_SECOND);
  const time = `${pad(Math.floor(seconds / 3600), 2)}:${pad(Math.floor(seconds / 60) % 60, 2)}:${pad(seconds % 60, 2)}`;
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)} ${time}.${pad(ticks % TICKS_PER_SECOND, 7)}`;
}

export const fromDate = (date: Date): string => `${date.toISOString().slice(0, 23).replace('T', ' ')}0000`;

/** DATETIME counts 1/300 s. As DATETIME2 a third shows as .0033333 (compatibility level 130 and later). */
export function roundTo(text: string, type: SqlType): string {
  if (type.name === 'date') return `${text.slice(0, 10)} 00:00:00.0000000`;
  const { days, ticks } = parseMoment(text);
  const unit = type.name === 'datetime' ? TICKS_PER_SECOND / 300 : 10 ** (7 - (type.scale ?? 7));
  return formatMoment({ days, ticks: Math.round(Math.round(ticks / unit) * unit) });
}

/** A string as CAST reads it: ISO 8601 and YYYYMMDD. Throws SqlError 241. */
export function parseDateString(text: string, type: SqlType): string {
  const match =
    /^\s*(\d{4})-?(\d\d)-?(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?Z?)?\s*$/i.exec(text) ??
    conversionFailed('date and/or time');
  const [, year = '', month = '', day = '', hour = '00', minute = '00', second = '00', fraction = ''] = match;
  const days = daysFromCivil(Number(year), Number(month), Number(day));
  const { year: y, month: m, day: d } = civil(days);
  const real = y === Number(year) && m === Number(month) && d === Number(day);
  if (!real || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59)
    conversionFailed('date and/or time');
  return roundTo(`${year}-${month}-${day} ${hour}:${minute}:${second}.${fraction.padEnd(7, '0')}`, type);
}

export function conversionFailed(what: string): never {
  throw conversionError(241, `Conversion failed when converting ${what} from character string.`);
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** CONVERT(VARCHAR, date, style). Throws SqlError 281 for a style that is not served. */
export function dateToText(text: string, type: SqlType, style: number | undefined): string {
  const fraction =
    type.name === 'datetime'
      ? `.${pad(Math.round(digits(text, 20, 27) / 10_000), 3)}`
      : text.slice(19, 20 + (type.scale ?? 7));
  const trimmed = fraction === '.' ? '' : fraction;
  const date = text.slice(0, 10);
  switch (style ?? (type.name === 'datetime' ? 0 : type.name === 'date' ? 23 : 121)) {
    case 0:
    case 100: {
      const hour = digits(text, 11, 13);
      const clock = `${String(hour % 12 || 12).padStart(2)}:${text.slice(14, 16)}${hour < 12 ? 'AM' : 'PM'}`;
      return `${MONTHS[digits(text, 5, 7) - 1] ?? ''} ${String(digits(text, 8, 10)).padStart(2)} ${date.slice(0, 4)} ${clock}`;
    }
    case 23:
      return date;
    case 112:
      return date.replaceAll('-', '');
    case 20:
    case 120:
      return type.name === 'date' ? date : text.slice(0, 19);
    case 21:
    case 25:
    case 121:
      return type.name === 'date' ? date : text.slice(0, 19) + trimmed;
    case 126:
      return type.name === 'date'
        ? date
        : `${date}T${text.slice(11, 19)}${Number(trimmed) === 0 ? '' : trimmed}`;
    case 127:
      return type.name === 'date'
        ? date
        : `${date}T${text.slice(11, 19)}${Number(trimmed) === 0 ? '' : trimmed}Z`;
    default:
      throw new SqlError(
        281,
        `${style ?? 0} is not a valid style number when converting from ${typeText(type)} to a character string.`,
      );
  }
}

const TICKS: Readonly<Record<string, number>> = {
  hour: 3600 * TICKS_PER_SECOND,
  minute: 60 * TICKS_PER_SECOND,
  second: TICKS_PER_SECOND,
  millisecond: 10_000,
  microsecond: 10,
  nanosecond: 0.01,
};
const DAYS: Readonly<Record<string, number>> = { day: 1, dayofyear: 1, weekday: 1, week: 7 };
const MONTH_COUNT: Readonly<Record<string, number>> = { month: 1, quarter: 3, year: 12 };

export function dateAdd(part: string, count: number, text: string, type: SqlType): string {
  const { days, ticks } = parseMoment(text);
  const inDays = DAYS[part];
  if (inDays !== undefined) return formatMoment({ days: days + count * inDays, ticks });
  const inTicks = TICKS[part];
  if (inTicks !== undefined) {
    const sum = formatMoment({ days, ticks: ticks + Math.round(count * inTicks) });
    return inTicks < TICKS_PER_SECOND ? roundTo(sum, type) : sum;
  }
  const { year, month, day } = civil(days);
  const months = year * 12 + month - 1 + count * (MONTH_COUNT[part] ?? 0);
  const [y, m] = [Math.floor(months / 12), (((months % 12) + 12) % 12) + 1];
  const last = daysFromCivil(m === 12 ? y + 1 : y, m === 12 ? 1 : m + 1, 1) - daysFromCivil(y, m, 1);
  return formatMoment({ days: daysFromCivil(y, m, Math.min(day, last)), ticks });
}

/** How many boundaries of the part lie between: minutes that begin, years that begin. Weeks begin on Sunday. */
export function dateDiff(part: string, from: string, to: string): number {
  const count = (text: string): number => {
    const { days, ticks } = parseMoment(text);
    if (part === 'week') return Math.floor((days + 4) / 7);
    if (part in DAYS) return days;
    const unit = TICKS[part];
    if (unit !== undefined) return days * (TICKS_PER_DAY / unit) + Math.floor(ticks / unit);
    return Math.floor((digits(text, 0, 4) * 12 + digits(text, 5, 7) - 1) / (MONTH_COUNT[part] ?? 1));
  };
  return count(to) - count(from);
}

export function datePart(part: string, text: string): number {
  const { days, ticks } = parseMoment(text);
  const month = digits(text, 5, 7);
  switch (part) {
    case 'year':
      return digits(text, 0, 4);
    case 'quarter':
      return Math.floor((month + 2) / 3);
    case 'month':
      return month;
    case 'day':
      return digits(text, 8, 10);
    case 'dayofyear':
      return days - daysFromCivil(digits(text, 0, 4), 1, 1) + 1;
    case 'weekday':
      return ((((days + 4) % 7) + 7) % 7) + 1;
    case 'hour':
      return digits(text, 11, 13);
    case 'minute':
      return digits(text, 14, 16);
    case 'second':
      return digits(text, 17, 19);
    case 'millisecond':
      return Math.floor((ticks % TICKS_PER_SECOND) / 10_000);
    default:
      throw new SqlError(50000, `The SQL stand-in does not serve DATEPART(${part}, …)`);
  }
}

/** On the wire DATETIME is days since 1900-01-01 and 1/300 s; DATETIME2 and DATE count days since 0001-01-01. */
export const daysSince1900 = (moment: Moment): number => moment.days - DAY_ONE_1900;
export const daysSinceYearOne = (moment: Moment): number => moment.days + 719162;
export const momentFrom1900 = (days: number, threeHundredths: number): Moment => ({
  days: days + DAY_ONE_1900,
  ticks: Math.round((threeHundredths * TICKS_PER_SECOND) / 300),
});
export const momentFromYearOne = (days: number, ticks: number): Moment => ({ days: days - 719162, ticks });
