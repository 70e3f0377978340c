/**
 * The text in JobRun.Error_Message: sentences for a person, and on the last line the same in stable codes, for example
 *
 *     Stopped early: its time budget is spent. The next run continues. Failed: 3 without an email address.
 *     stopped=time http=ada@example.com addressMissing=3:17,21,40
 *
 * State is read from the codes alone, so the sentences can change. What comes from outside, a name or a server's message,
 * has its line breaks removed in the sentences and is percent-encoded in the codes.
 */
import type { StopReason } from '../clock';

/** Grants that failed for one cause. */
export interface CountedFailure {
  /** A stable code, such as addressMissing. */
  readonly cause: string;
  /** The email service's error code. */
  readonly code?: string;
  /** Number of grants. */
  readonly count: number;
  /** The first of them. */
  readonly requestIds: readonly (number | string)[];
}

/** The content of a run's Error_Message. */
export interface RunFacts {
  /** Why the run stopped before all was done. */
  readonly stopped?: StopReason | undefined;
  /** A cause of failure that is told apart later. */
  readonly ended?: 'safetyStop' | 'abandoned' | 'cancelled' | undefined;
  /** Started by hand: how, and by whom where that is known. */
  readonly manual?: { readonly trigger: 'http' | 'cli'; readonly operator?: string | undefined } | undefined;
  /** Run by an operator without the safety stop. */
  readonly withoutCeiling?: boolean | undefined;
  /** Most grants first. */
  readonly failures: readonly CountedFailure[];
}

export interface RunMessage {
  readonly sentences: string;
  readonly facts: RunFacts;
}

/** The length of the column, in bytes: in a database with a UTF-8 collation one character takes up to four. */
const maxBytes = 500;
/** The most bytes for the codes; the rest is for sentences. */
const maxCodesBytes = 300;
const maxOperatorBytes = 100;
/** The most request ids per cause. */
export const maxIds = 5;

const stops = ['shutdown', 'time', 'throttled'] as const satisfies readonly StopReason[];
const ends = ['safetyStop', 'abandoned', 'cancelled'] as const;
const triggers = ['http', 'cli'] as const;

/** The text of a message, at most 500 bytes; null if it says nothing. */
export function writeRunMessage({ sentences, facts }: RunMessage): string | null {
  const codes = writeCodes(facts);
  const text = truncate(sentences.replace(/\s+/g, ' ').trim(), maxBytes - codes.length - 1);
  return text === '' && codes === '' ? null : `${text}\n${codes}`;
}

const flags: readonly string[] = [...ends, ...triggers, 'withoutCeiling'];

function isCodes(line: string): boolean {
  return line === '' || line.split(' ').every((item) => flags.includes(item) || /^[\w.-]+=\S*$/.test(item));
}

/** Parses a message; one that another program wrote has only sentences. */
export function readRunMessage(text: string | null): RunMessage {
  const lineBreak = text?.lastIndexOf('\n') ?? -1;
  const codes = text?.slice(lineBreak + 1) ?? '';
  if (text === null || lineBreak < 0 || !isCodes(codes))
    return { sentences: text ?? '', facts: { failures: [] } };
  return { sentences: text.slice(0, lineBreak), facts: readCodes(codes) };
}

function writeCodes({ stopped, ended, manual, withoutCeiling, failures }: RunFacts): string {
  const codes = [
    ...(stopped ? [`stopped=${stopped}`] : []),
    ...(ended ? [ended] : []),
    ...(manual
      ? [`${manual.trigger}${manual.operator === undefined ? '' : `=${encode(manual.operator)}`}`]
      : []),
    ...(withoutCeiling ? ['withoutCeiling'] : []),
  ];
  let left = maxCodesBytes - codes.join(' ').length;
  for (const failure of [...failures].sort((a, b) => b.count - a.count)) {
    const item = longestThatFits(failure, left - 1);
    if (item === undefined) break;
    codes.push(item);
    left -= item.length + 1;
  }
  return codes.join(' ');
}

/** A failure's code with as many ids as fit; undefined if not even the count does. */
function longestThatFits(
  { cause, code, count, requestIds }: CountedFailure,
  length: number,
): string | undefined {
  const name = code === undefined ? cause : `${cause}.${code.replace(/[^\w-]/g, '')}`;
  for (let ids = Math.min(maxIds, requestIds.length); ids >= 0; ids--) {
    const list = ids === 0 ? '' : `:${requestIds.slice(0, ids).join(',')}`;
    const item = `${name}=${count}${list}`;
    if (item.length <= length) return item;
  }
  return undefined;
}

function readCodes(line: string): RunFacts {
  const items = new Map(
    line.split(' ').map((item): [string, string] => {
      const [name = '', ...value] = item.split('=');
      return [name, value.join('=')];
    }),
  );
  const trigger = triggers.find((name) => items.has(name));
  const operator = trigger === undefined ? '' : decode(items.get(trigger) ?? '');
  return {
    stopped: stops.find((stop) => items.get('stopped') === stop),
    ended: ends.find((end) => items.has(end)),
    manual: trigger && { trigger, ...(operator !== '' && { operator }) },
    withoutCeiling: items.has('withoutCeiling') || undefined,
    failures: [...items]
      .filter(([name]) => name !== 'stopped' && name !== trigger)
      .flatMap(([name, value]) => readFailure(name, value)),
  };
}

function readFailure(name: string, value: string): CountedFailure[] {
  const [cause = '', code] = name.split('.');
  const [count = '', ids] = value.split(':');
  if (!/^\d+$/.test(count)) return [];
  return [
    { cause, ...(code !== undefined && { code }), count: Number(count), requestIds: ids?.split(',') ?? [] },
  ];
}

/** An operator's name, percent-encoded and cut between characters to at most maxOperatorBytes. */
function encode(name: string): string {
  let text = '';
  for (const character of name.toWellFormed()) {
    const next = text + encodeURIComponent(character).replace('%40', '@');
    if (next.length > maxOperatorBytes) break;
    text = next;
  }
  return text;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // Not written by encode.
  }
}

/** The tail that is kept: the advice and the error number, "(SQL error 8152 in revokeBatch)". */
const keptEndBytes = 120;

/** Cuts text in its middle to at most this many bytes. */
function truncate(text: string, most: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return text;
  const ellipsis = ' ... ';
  const start = bytes.subarray(0, most - ellipsis.length - keptEndBytes).toString();
  const end = bytes.subarray(-keptEndBytes).toString();
  // A character at either cut may have been halved.
  return start.replace(/(?<!\uFFFD)\uFFFD+$/, '') + ellipsis + end.replace(/^\uFFFD+/, '');
}
