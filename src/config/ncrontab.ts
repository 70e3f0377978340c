import { Cron } from 'croner';
import { formatCount } from '../format';

/** A schedule that the app refuses. The message says what was found, what is expected, and an example. */
export class NcrontabError extends Error {
  override readonly name = 'NcrontabError';
  constructor(
    readonly expression: string,
    problem: string,
    /** The host accepts it, as a time span; Azure supports those on an App Service plan only. */
    readonly isTimeSpan = false,
  ) {
    super(
      `"${expression}" ${problem}; expected six fields "{second} {minute} {hour} {day} {month} {day of week}", or five without the second, for example "0 0 * * * *" for every full hour`,
    );
  }
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** Of its values, from min. */
  readonly valueNames?: readonly string[];
}

const monthNames =
  'January February March April May June July August September October November December'.split(' ');
export const weekdayNames = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

const fields = {
  seconds: { name: 'second', min: 0, max: 59 },
  minutes: { name: 'minute', min: 0, max: 59 },
  hours: { name: 'hour', min: 0, max: 23 },
  days: { name: 'day', min: 1, max: 31 },
  months: { name: 'month', min: 1, max: 12, valueNames: monthNames },
  weekdays: { name: 'day of week', min: 0, max: 6, valueNames: weekdayNames },
} satisfies Record<string, Field>;
type FieldKey = keyof typeof fields;
const fieldKeys = Object.keys(fields) as FieldKey[];

/** A schedule as the Functions host reads it. */
export interface Schedule {
  readonly expression: string;
  /** IANA name of the zone whose clock it names. */
  readonly timeZone: string;
  /** The values of each field, ascending. Day of month and day of week must both match. */
  readonly values: Readonly<Record<FieldKey, readonly number[]>>;
  /** Sentences on what the host does differently from what most people expect. */
  readonly remarks: readonly string[];
  /** Does nothing until it is given a callback. */
  readonly cron: Cron;
}

/**
 * Reads a schedule as the host's timers do: five or six fields, separated by blanks, in the grammar of NCrontab
 * (https://github.com/atifaziz/NCrontab: CrontabFieldImpl.InternalParse, CrontabField.Accumulate). It may never fire.
 * @throws NcrontabError
 */
export function parseNcrontab(expression: string, timeZone = 'UTC'): Schedule {
  const texts = expression.split(' ').filter(Boolean);
  if (texts.length === 5) texts.unshift('0');
  if (timeSpan.test(expression))
    throw new NcrontabError(
      expression,
      'is a time span, which counts from the start of the host; Azure supports it on an App Service plan only',
      true,
    );
  const refuse: Refuse = (problem) => {
    const tabs = expression.includes('\t') ? ' (a tab does not separate fields, blanks do)' : '';
    throw new NcrontabError(expression, `is not a valid NCRONTAB expression: ${problem}${tabs}`);
  };
  if (texts.length !== 6) refuse(`it has ${formatCount(texts.length, 'field')}`);
  const remarks: string[] = [];
  const readField = (text: string, field: Field): number[] => {
    const items = text.split(',').map((item) => readItem(item, field, refuse));
    remarks.push(...items.flatMap((item) => item.remarks));
    return [...new Set(items.flatMap((item) => item.values))].sort((a, b) => a - b);
  };
  const values = Object.fromEntries(
    fieldKeys.map((key, index) => [key, readField(texts[index] ?? '', fields[key])]),
  ) as Record<FieldKey, number[]>;
  if (!isUnrestricted(values, 'days') && !isUnrestricted(values, 'weekdays'))
    remarks.push('The day of the month and the day of the week must both match.');
  return { expression, timeZone, values, remarks, cron: createCron(values, texts, timeZone) };
}

/** Whether a field holds all of its values. */
export function isUnrestricted(values: Schedule['values'], key: FieldKey): boolean {
  return values[key].length === fields[key].max - fields[key].min + 1;
}

/** What .NET's TimeSpan.Parse accepts: days; or hours and minutes, optionally with days, seconds and fractions. */
const timeSpan = /^\s*-?(\d+|(\d+[.:])?([01]?\d|2[0-3]):[0-5]?\d(:[0-5]?\d(\.\d{1,7})?)?)\s*$/;

type Refuse = (problem: string) => never;

/** The largest number that the host reads: .NET's Int32. */
const maxInt = 2 ** 31 - 1;

/** Reads one item of a field's list: `*`, a value or a range, with a step or without. */
function readItem(text: string, field: Field, refuse: Refuse): { values: number[]; remarks: string[] } {
  const place = `"${text}" in the field ${field.name}`;
  const [, range = '', stepText] = /^([^/]+)(?:\/(.*))?$/s.exec(text) ?? [];
  if (stepText !== undefined && !/^[+-]?\d+$/.test(stepText))
    refuse(`${place} has no whole number as its step`);
  const step = Number(stepText ?? 1);
  const ends = readRange(range, field) ?? refuse(`${place} is not ${describeValues(field)}`);
  const start = Math.min(...ends);
  const end = ends.length === 1 && stepText !== undefined ? field.max : Math.max(...ends);
  if (start < field.min || start > end || end > field.max) refuse(`${place} is not ${describeValues(field)}`);
  if (Math.abs(step) > maxInt - (start - field.min)) refuse(`${place} has too large a step`);
  const values: number[] = [];
  for (let value = start; value <= end; value += Math.max(step, 1)) values.push(value);
  const remarks = remarksOnNames(range, field);
  if (start !== ends[0])
    remarks.unshift(
      `${place} means ${range.split('-').reverse().join('-')}: the host swaps the ends of a reversed range.`,
    );
  else if (step < 1) remarks.unshift(`${place} has the step 1: the host takes a smaller one for 1.`);
  else if (step > 1 && start < end && values.length === 1)
    remarks.unshift(`${place} means ${start} only: the step leads beyond ${end}.`);
  return { values, remarks };
}

/** An abbreviation of several names means the first. */
function remarksOnNames(range: string, field: Field): string[] {
  return range.split('-').flatMap((text) => {
    const [first, ...others] = namesFor(text, field);
    return first === undefined || others.length === 0
      ? []
      : [`"${text}" in the field ${field.name} means ${first}.`];
  });
}

/** The ends of a range as written, or one value; undefined: it is neither. */
function readRange(text: string, field: Field): number[] | undefined {
  if (text === '*') return [field.min, field.max];
  const [, first = '', last] = /^([^-]+)(?:-(.*))?$/s.exec(text) ?? [];
  const ends = (last === undefined ? [first] : [first, last]).flatMap((name) => readValue(name, field) ?? []);
  return ends.length === (last === undefined ? 1 : 2) ? ends : undefined;
}

function readValue(text: string, field: Field): number | undefined {
  if (/^\d/.test(text)) return /^\d+$/.test(text) ? Number(text) : undefined;
  const [name] = namesFor(text, field);
  return name === undefined ? undefined : field.min + (field.valueNames?.indexOf(name) ?? 0);
}

/** The names with this prefix; the host takes the first. */
function namesFor(text: string, { valueNames = [] }: Field): readonly string[] {
  return text === '' ? [] : valueNames.filter((name) => name.toLowerCase().startsWith(text.toLowerCase()));
}

/** For example "0 to 59". */
function describeValues({ min, max, valueNames }: Field): string {
  if (!valueNames) return `${min} to ${max}`;
  return `${min} (${valueNames[0] ?? ''}) to ${max} (${valueNames.at(-1) ?? ''}) or the beginning of a name`;
}

/**
 * The cron of the values. Where clocks go back, a schedule with a range, a step or a wildcard in its times runs through
 * both hours, and another once, as in the host (azure-webjobs-sdk-extensions, CronSchedule.IsInterval). Where they go
 * forward, a single time within the gap is shown at its end; the host fires as much later as the gap is long.
 */
function createCron(values: Schedule['values'], texts: readonly string[], timezone: string): Cron {
  const pattern = fieldKeys
    .map((key) => (isUnrestricted(values, key) ? '*' : values[key].join(',')))
    .join(' ');
  const isInterval = texts.slice(0, 3).some((text) => /[*/-]/.test(text));
  return new Cron(pattern, {
    mode: '6-part',
    domAndDow: true,
    timezone,
    fixedTimeRule: isInterval ? 'single-value' : 'no-wildcard',
  });
}

/** The next `count` times of a schedule, all after `from`; fewer where no more come. */
export function nextRuns({ cron }: Schedule, count: number, from: Date = new Date()): Date[] {
  return cron.nextRuns(count, from);
}

/** The last time of a schedule at or before `at`; undefined: there was none yet. */
export function previousRun({ cron }: Schedule, at: Date): Date | undefined {
  // croner looks strictly before its reference, in whole seconds.
  const nextSecond = (Math.floor(at.getTime() / 1000) + 1) * 1000;
  return cron.previousRuns(1, new Date(nextSecond))[0];
}
