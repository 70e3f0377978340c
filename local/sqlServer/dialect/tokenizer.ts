import { SqlError } from '../errors';

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

const PATTERN =
  /\s+|--[^\n]*|(N?'(?:[^']|'')*')|(\[(?:[^\]]|\]\])*\]|"(?:[^"]|"")*")|(@{1,2}[\w@#$]+)|(0x[0-9a-f]*)|((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)|([\p{L}_#][\p{L}\p{N}_@#$]*)|(<>|<=|>=|!=|\+=|-=|::|[-+*/%=<>(),.;:&|^~])/giuy;

/** Splits T-SQL into tokens, the last of kind `end`. Throws SqlError 102, 105 or 113. */
export function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  let position = 0;
  const add = (kind: TokenKind, value: string, length: number, unicode = false): void => {
    const end = position + length;
    tokens.push({ kind, value, text: sql.slice(position, end), unicode, start: position, end });
  };
  while (position < sql.length) {
    if (sql.startsWith('/*', position)) {
      position = endOfComment(sql, position);
      continue;
    }
    PATTERN.lastIndex = position;
    const match = PATTERN.exec(sql);
    if (match === null) {
      if (/^N?'/i.test(sql.slice(position, position + 2))) {
        throw new SqlError(
          105,
          `Unclosed quotation mark after the character string '${sql.slice(position + 1)}'.`,
        );
      }
      throw new SqlError(102, `Incorrect syntax near '${sql.charAt(position)}'.`);
    }
    const [text, string, quoted, variable, binary, number, word, symbol] = match;
    if (string !== undefined) {
      const unicode = !string.startsWith("'");
      add('string', string.slice(unicode ? 2 : 1, -1).replaceAll("''", "'"), text.length, unicode);
    } else if (quoted !== undefined) {
      const close = quoted.startsWith('[') ? ']' : '"';
      add('quoted', quoted.slice(1, -1).replaceAll(close + close, close), text.length);
    } else if (variable !== undefined) add('variable', variable.toLowerCase(), text.length);
    else if (binary !== undefined) add('binary', binary.slice(2), text.length);
    else if (number !== undefined) add('number', number, text.length);
    else if (word !== undefined) add('word', word.toUpperCase(), text.length);
    else if (symbol !== undefined) add('symbol', symbol === '!=' ? '<>' : symbol, text.length);
    position += text.length;
  }
  add('end', '', 0);
  return tokens;
}

/** Comments nest in T-SQL. */
function endOfComment(sql: string, start: number): number {
  let depth = 0;
  for (let i = start; i < sql.length - 1; i++) {
    const pair = sql.slice(i, i + 2);
    if (pair === '/*') depth++;
    else if (pair === '*/' && --depth === 0) return i + 2;
    if (pair === '/*' || pair === '*/') i++;
  }
  throw new SqlError(113, "Missing end comment mark '*/'.");
}
