import { notServed, sqlError } from '../errors';
import type { SqlType } from '../sqlTypes';

/** Dates are canonical text, 'YYYY-MM-DD HH:MM:SS.fffffff' (UTC); a DATE has midnight. They order as text. */

const TICKS_PER_SECOND = 10_000_000;
const TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND;
const MS_PER_DAY = 86_400_000;

/** Days since 1970-01-01 and 100 ns ticks since midnight. */
export interface Moment {
  readonly days: number;
  readonly ticks: number;
}

export function parseMoment(text: string): Moment {
  const ms = Date.parse(`${text.slice(0, 10)}T${text.slice(11, 19)}Z`);
  const days = Math.floor(ms / MS_PER_DAY);
  return { days, ticks: (ms - days * MS_PER_DAY) * 10_000 + Number(text.slice(20)) };
}

/** Throws SqlError 40514 outside the years 1 to 9999. */
export function formatMoment({ days, ticks }: Moment): string {
  const seconds = Math.floor(ticks / TICKS_PER_SECOND);
  const date = new Date(days * MS_PER_DAY + seconds * 1000);
  const year = date.getUTCFullYear();
  if (!(year >= 1 && year <= 9999)) throw notServed('dates outside the years 1 to 9999');
  const fraction = String(ticks - seconds * TICKS_PER_SECOND).padStart(7, '0');
  return `${date.toISOString().slice(0, 19).replace('T', ' ')}.${fraction}`;
}

export const fromDate = (date: Date): string => `${date.toISOString().slice(0, 23).replace('T', ' ')}0000`;

/** Ticks of what these types count: 1/300 s, minutes. */
export const UNITS = { datetime: TICKS_PER_SECOND / 300, smalldatetime: 60 * TICKS_PER_SECOND } as const;

/** As DATETIME2 a third shows as .0033333 (compatibility level 130 and later). */
export function roundTo(text: string, type: SqlType): string {
  if (type.name === 'date') return `${text.slice(0, 10)} 00:00:00.0000000`;
  if (type.name === 'datetime2' && (type.scale ?? 7) === 7) return text;
  const { days, ticks } = parseMoment(text);
  const unit = type.name in UNITS ? UNITS[type.name as keyof typeof UNITS] : 10 ** (7 - (type.scale ?? 7));
  return formatMoment({ days, ticks: Math.round(Math.round(ticks / unit) * unit) });
}

/** A string as CAST reads it: ISO 8601 and YYYYMMDD. Throws SqlError 241. */
export function parseDateString(text: string, type: SqlType): string {
  const match = /^\s*(\d{4})-?(\d\d)-?(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?Z?)?\s*$/i.exec(
    text,
  );
  if (match === null) throw sqlError(241);
  const [, year = '', month = '', day = '', hour = '00', minute = '00', second = '00', fraction = ''] = match;
  const written = `${year}-${month}-${day}T${hour}:${minute}:${second}`;
  const date = new Date(`${written}Z`);
  if (Number.isNaN(date.getTime()) || !date.toISOString().startsWith(written)) throw sqlError(241);
  return roundTo(`${written.replace('T', ' ')}.${fraction.padEnd(7, '0')}`, type);
}

/** Lengths of the date parts that DATEADD and DATEDIFF take. */
export const TICKS: Readonly<Record<string, number>> = {
  DAY: TICKS_PER_DAY,
  HOUR: 3600 * TICKS_PER_SECOND,
  MINUTE: 60 * TICKS_PER_SECOND,
  SECOND: TICKS_PER_SECOND,
};

export function dateAdd(part: string, count: number, text: string): string {
  const { days, ticks } = parseMoment(text);
  if (part === 'DAY') return formatMoment({ days: days + count, ticks });
  return formatMoment({ days, ticks: ticks + count * (TICKS[part] ?? 0) });
}

/** How many boundaries of the part lie between: minutes that begin, days that begin. */
export function dateDiff(part: string, from: string, to: string): number {
  const count = (text: string): number => {
    const { days, ticks } = parseMoment(text);
    const unit = TICKS[part] ?? 1;
    return days * (TICKS_PER_DAY / unit) + Math.floor(ticks / unit);
  };
  return count(to) - count(from);
}

/** On the wire DATETIME is days since 1900-01-01 and 1/300 s; DATETIME2 and DATE count days since 0001-01-01. */
export const daysSince1900 = ({ days }: Moment): number => days + 25567;
export const daysSinceYearOne = ({ days }: Moment): number => days + 719162;
