import { sqlError } from '../errors';

export type TokenKind = 'word' | 'quoted' | 'string' | 'number' | 'binary' | 'variable' | 'symbol' | 'end';

/** `value`: upper case for words, without quotes for strings and quoted names. `unicode` marks N'…'. */
export interface Token {
  readonly kind: TokenKind;
  readonly value: string;
  readonly text: string;
  readonly unicode: boolean;
  readonly start: number;
  readonly end: number;
}

const PATTERN = new RegExp(
  [
    String.raw`\s+|--[^\n]*|/\*[^]*?\*/`,
    String.raw`(?<string>N?'(?:[^']|'')*')`,
    String.raw`(?<quoted>\[(?:[^\]]|\]\])*\]|"(?:[^"]|"")*")`,
    String.raw`(?<variable>@{1,2}[\w@#$]+)`,
    String.raw`(?<binary>0x[0-9a-f]*)`,
    String.raw`(?<number>\d+)`,
    String.raw`(?<word>[\p{L}_#][\p{L}\p{N}_@#$]*)`,
    String.raw`(?<symbol><>|<=|>=|!=|\+=|-=|::|[-+*/%=<>(),.;])`,
  ].join('|'),
  'giuy',
);

const VALUES: Readonly<Partial<Record<string, (text: string) => string>>> = {
  string: (text) => text.slice(text.indexOf("'") + 1, -1).replaceAll("''", "'"),
  quoted: (text) => {
    const close = text.slice(-1);
    return text.slice(1, -1).replaceAll(close + close, close);
  },
  variable: (text) => text.toLowerCase(),
  binary: (text) => text.slice(2),
  word: (text) => text.toUpperCase(),
  symbol: (text) => (text === '!=' ? '<>' : text),
};

/** Splits T-SQL into tokens, the last of kind `end`. Throws SqlError 102 or 105. */
export function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  let start = 0;
  while (start < sql.length) {
    PATTERN.lastIndex = start;
    const match = PATTERN.exec(sql);
    if (match === null) {
      const unclosed = /^N?'/i.test(sql.slice(start, start + 2));
      throw unclosed ? sqlError(105, sql.slice(start + 1)) : sqlError(102, sql.charAt(start));
    }
    const [text] = match;
    const end = start + text.length;
    const kind = Object.entries<string | undefined>(match.groups ?? {}).find(
      ([, found]) => found !== undefined,
    )?.[0];
    if (kind !== undefined) {
      const value = VALUES[kind]?.(text) ?? text;
      tokens.push({ kind: kind as TokenKind, value, text, unicode: /^N'/i.test(text), start, end });
    }
    start = end;
  }
  tokens.push({ kind: 'end', value: '', text: '', unicode: false, start, end: start });
  return tokens;
}
