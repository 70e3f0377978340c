import { remembering } from '../../remembering';
import { notServed, sqlError } from '../errors';
import { SYSNAME, TYPES, type SqlType, type TypeName } from '../sqlTypes';
import type { Collation, Name } from './scope';

type TokenKind = 'word' | 'quoted' | 'string' | 'number' | 'binary' | 'variable' | 'symbol' | 'end';

/** `value`: upper case for words, without quotes for strings and quoted names. `unicode` marks N'…'. */
interface Token {
  readonly kind: TokenKind;
  readonly value: string;
  readonly text: string;
  readonly unicode: boolean;
  readonly start: number;
  readonly end: number;
}

const PATTERNS: readonly (readonly [kind: TokenKind, pattern: string])[] = [
  ['string', String.raw`N?'(?:[^']|'')*'`],
  ['quoted', String.raw`\[(?:[^\]]|\]\])*\]|"(?:[^"]|"")*"`],
  ['variable', String.raw`@{1,2}[\w@#$]+`],
  ['binary', String.raw`0x[0-9a-f]*`],
  ['number', String.raw`\d+`],
  ['word', String.raw`[\p{L}_#][\p{L}\p{N}_@#$]*`],
  ['symbol', String.raw`<>|<=|>=|\+=|-=|::|[-+*/%=<>(),.;]`],
];
const KINDS = PATTERNS.map(([kind]) => kind);
const SPACE = String.raw`\s+|--[^\n]*|/\*[^]*?\*/`;
const PATTERN = new RegExp([SPACE, ...PATTERNS.map(([, pattern]) => `(${pattern})`)].join('|'), 'giuy');

const VALUES: Readonly<Partial<Record<TokenKind, (text: string) => string>>> = {
  string: (text) => text.slice(text.indexOf("'") + 1, -1).replaceAll("''", "'"),
  quoted: (text) => {
    const close = text.slice(-1);
    return text.slice(1, -1).replaceAll(close + close, close);
  },
  variable: (text) => text.toLowerCase(),
  binary: (text) => text.slice(2),
  word: (text) => text.toUpperCase(),
};

/** Splits T-SQL into tokens, the last of kind `end`. Throws SqlError 102. */
function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  let start = 0;
  while (start < sql.length) {
    PATTERN.lastIndex = start;
    const match = PATTERN.exec(sql);
    if (match === null) throw sqlError(102, sql.slice(start, start + 20));
    const [text] = match;
    const end = start + text.length;
    // Each kind is a group, in order.
    const kind = KINDS[match.indexOf(text, 1) - 1];
    if (kind !== undefined) {
      const value = VALUES[kind]?.(text) ?? text;
      tokens.push({ kind, value, text, unicode: /^N'/i.test(text), start, end });
    }
    start = end;
  }
  tokens.push({ kind: 'end', value: '', text: '', unicode: false, start, end: start });
  return tokens;
}

const RESERVED = new Set(
  (
    'ADD ALL ALTER AND AS ASC AUTHORIZATION BEGIN BETWEEN BY CASE CHECK COLLATE COLUMN COMMIT CONSTRAINT CREATE CROSS ' +
    'DECLARE DEFAULT DELETE DESC DISTINCT DROP ELSE END ESCAPE EXCEPT EXEC EXECUTE EXISTS FETCH FOR FOREIGN FROM FULL GRANT ' +
    'GROUP HAVING IF IN INDEX INNER INSERT INTERSECT INTO IS JOIN KEY LEFT LIKE MERGE NOT NULL OF OFF ON OPTION OR ORDER ' +
    'OUTER OVER PERCENT PRIMARY PRINT REFERENCES RETURN REVOKE RIGHT ROLLBACK SAVE SELECT SET TABLE THEN TO TOP TRAN ' +
    'TRANSACTION TRUNCATE UNION UNIQUE UPDATE VALUES VIEW WAITFOR WHEN WHERE WHILE WITH'
  ).split(' '),
);

/** Reads a text's tokens in order. Throws SqlError 102 at an unexpected end, else 40514 quoting the statement. */
export class TokenReader {
  protected readonly tokens: Token[];
  protected at = 0;
  protected statementStart = 0;

  constructor(protected readonly sql: string) {
    this.tokens = tokenize(sql);
  }

  protected peek(ahead = 0): Token {
    const token = this.tokens[Math.min(this.at + ahead, this.tokens.length - 1)];
    if (token === undefined) throw new Error('no tokens');
    return token;
  }

  protected next(): Token {
    const token = this.peek();
    if (token.kind !== 'end') this.at++;
    return token;
  }

  /** Whether these words, symbols or numbers come next. */
  protected is(...values: string[]): boolean {
    return values.every((value, i) => {
      const token = this.peek(i);
      return ['word', 'symbol', 'number'].includes(token.kind) && token.value === value;
    });
  }

  protected accept(...values: string[]): boolean {
    if (!this.is(...values)) return false;
    this.at += values.length;
    return true;
  }

  protected expect(...values: string[]): void {
    if (!this.accept(...values)) this.fail();
  }

  /** The one of these words that comes next. */
  protected acceptOneOf(...words: string[]): string | undefined {
    return words.find((word) => this.accept(word));
  }

  protected fail(): never {
    const token = this.peek();
    if (token.kind === 'end') throw sqlError(102, this.tokens[this.at - 1]?.text ?? '');
    throw this.refusal(`this statement (near '${token.text}')`);
  }

  protected refusal(what: string): Error {
    return notServed(what, this.sql.slice(this.statementStart));
  }

  /** The text of what `inner` reads. */
  protected textOf(inner: () => unknown): string {
    const { start } = this.peek();
    inner();
    return this.textFrom(start);
  }

  protected textFrom(start: number): string {
    return this.sql.slice(start, this.tokens[this.at - 1]?.end ?? start);
  }

  protected isName(): boolean {
    const token = this.peek();
    return token.kind === 'quoted' || (token.kind === 'word' && !RESERVED.has(token.value));
  }

  protected identifier(): string {
    if (!this.isName()) this.fail();
    const token = this.next();
    return token.kind === 'quoted' ? token.value : token.text;
  }

  protected list<T>(item: () => T): T[] {
    const items = [item()];
    while (this.accept(',')) items.push(item());
    return items;
  }

  protected parenthesised<T>(inner: () => T): T {
    this.expect('(');
    const result = inner();
    this.expect(')');
    return result;
  }

  protected names(): string[] {
    return this.parenthesised(() => this.list(() => this.identifier()));
  }

  /** The value of the next token, which must be of that kind. */
  protected token(kind: Token['kind']): string {
    if (this.peek().kind !== kind) this.fail();
    return this.next().value;
  }

  protected objectName(): Name {
    const parts = [this.identifier()];
    while (this.accept('.')) parts.push(this.identifier());
    if (parts.length > 3) this.fail();
    return { schema: parts.at(-2), name: parts.at(-1) ?? '' };
  }

  protected collation(): Collation {
    const name = this.identifier();
    if (/_BIN2?$/i.test(name)) return 'BINARY';
    if (/_CI_/i.test(name) || /^database_default$/i.test(name)) return 'NOCASE';
    throw this.refusal(`collation ${name}`);
  }

  /** `defaultLength`: 1 in a declaration, 30 in CAST and CONVERT. */
  type(defaultLength = 1): SqlType {
    const name = this.identifier().toLowerCase();
    const [argument] = this.is('(') ? this.parenthesised(() => [this.next().value.toLowerCase()]) : [];
    if (name === 'sysname') return SYSNAME;
    if (name === 'datetime2') return { name, scale: Number(argument ?? 7) };
    if (name === 'varchar' || name === 'nvarchar' || name === 'varbinary')
      return { name, length: argument === 'max' ? -1 : Number(argument ?? defaultLength) };
    const known = Object.hasOwn(TYPES, name) && TYPES[name as TypeName].id !== undefined;
    if (!known) throw this.refusal(`type ${name}`);
    return { name: name as TypeName };
  }

  /** All of the text. */
  whole<T>(inner: (reader: this) => T): T {
    const result = inner(this);
    if (this.peek().kind !== 'end') this.fail();
    return result;
  }
}

/** A type's name, e.g. `nvarchar(100)`. */
export const parseType = remembering((text): SqlType =>
  new TokenReader(text).whole((reader) => reader.type()),
);
