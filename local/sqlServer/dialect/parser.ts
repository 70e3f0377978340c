import { SqlError, batchError, notServed } from '../errors';
import { INT, NULL_TYPE, nvarchar, SYSNAME, varchar, type SqlType } from '../sqlTypes';
import type * as ast from './ast';
import { tokenize, type Token } from './tokenizer';

const RESERVED = new Set(
  (
    'ADD ALL ALTER AND AS ASC AUTHORIZATION BEGIN BETWEEN BREAK BY CASE CHECK COLLATE COLUMN COMMIT CONSTRAINT CONTINUE CREATE CROSS ' +
    'DECLARE DEFAULT DELETE DENY DESC DISTINCT DROP ELSE END ESCAPE EXCEPT EXEC EXECUTE EXISTS FETCH FOR FOREIGN FROM FULL GRANT GROUP ' +
    'HAVING IF IN INDEX INNER INSERT INTERSECT INTO IS JOIN KEY LEFT LIKE MERGE NOT NULL OF OFF ON OPTION OR ORDER OUTER ' +
    'OVER PERCENT PRIMARY PRINT RAISERROR REFERENCES RETURN REVOKE RIGHT ROLLBACK SAVE SELECT SET TABLE THEN TO TOP TRAN ' +
    'TRANSACTION TRUNCATE UNION UNIQUE UPDATE VALUES VIEW WAITFOR WHEN WHERE WHILE WITH'
  ).split(' '),
);
/** Not reserved, but they end a table's alias position in the statements served here. */
const NOT_ALIAS = new Set(['OUTPUT', 'OFFSET', 'APPLY']);

const LOCK_HINTS = new Set(['UPDLOCK', 'XLOCK', 'HOLDLOCK', 'SERIALIZABLE', 'TABLOCKX', 'REPEATABLEREAD']);
const OTHER_HINTS = new Set(
  'NOLOCK READPAST ROWLOCK PAGLOCK TABLOCK READCOMMITTED READCOMMITTEDLOCK FORCESEEK'.split(' '),
);

const DATE_PARTS = new Map(
  (
    'year YY YYYY,quarter QQ Q,month MM M,dayofyear DY Y,day DD D,week WK WW,weekday DW W,hour HH,minute MI N,second SS S,' +
    'millisecond MS,microsecond MCS,nanosecond NS'
  )
    .split(',')
    .flatMap((names) => names.split(' ').map((name, _i, [part = '']) => [name.toUpperCase(), part] as const)),
);
const DATE_PART_FUNCTIONS = new Set(['DATEADD', 'DATEDIFF', 'DATEDIFF_BIG', 'DATEPART']);

/** A batch's statements. Throws SqlError: 102 and 105 where the text is surely wrong, else 50000 quoting the statement. */
export function parseBatch(sql: string): ast.Statement[] {
  return new Parser(sql).batch();
}

/** The query of a view or the like. */
export function parseQuery(sql: string): ast.Query {
  return new Parser(sql).whole((parser) => parser.query());
}

/** A constraint's or default's expression. */
export function parseExpression(sql: string): ast.Expr {
  return new Parser(sql).whole((parser) => parser.expr());
}

/** A type's name, e.g. `nvarchar(100)`. */
export function parseType(sql: string): SqlType {
  return new Parser(sql).whole((parser) => parser.type());
}

/** `SELECT expr AS v` as a statement. */
export function selectOf(expr: ast.Expr): Extract<ast.Statement, { kind: 'select' }> {
  const items = [{ expr, alias: 'v' }];
  const body = {
    kind: 'select' as const,
    distinct: false,
    top: undefined,
    items,
    from: undefined,
    where: undefined,
    groupBy: [],
    having: undefined,
  };
  const query = { body, ctes: [], orderBy: [], offset: undefined, fetch: undefined };
  return { kind: 'select', text: '', locks: false, query };
}

class Parser {
  private readonly tokens: Token[];
  private at = 0;
  private statementStart = 0;
  private locks = false;

  constructor(private readonly sql: string) {
    this.tokens = tokenize(sql);
  }

  // --- tokens -------------------------------------------------------------------------------------------------------

  private peek(ahead = 0): Token {
    const token = this.tokens[Math.min(this.at + ahead, this.tokens.length - 1)];
    if (token === undefined) throw new Error('no tokens');
    return token;
  }

  private next(): Token {
    const token = this.peek();
    if (token.kind !== 'end') this.at++;
    return token;
  }

  private is(...values: string[]): boolean {
    return values.every((value, i) => {
      const token = this.peek(i);
      return (token.kind === 'word' || token.kind === 'symbol') && token.value === value;
    });
  }

  private accept(...values: string[]): boolean {
    if (!this.is(...values)) return false;
    this.at += values.length;
    return true;
  }

  private expect(...values: string[]): void {
    if (!this.accept(...values)) this.fail();
  }

  private fail(): never {
    const token = this.peek();
    if (token.kind === 'end') throw batchError(102, `Incorrect syntax near '${this.lastText()}'.`);
    throw notServed(`this statement (near '${token.text}')`, this.sql.slice(this.statementStart));
  }

  private lastText(): string {
    return this.tokens[this.at - 1]?.text ?? '';
  }

  private textFrom(start: number): string {
    return this.sql.slice(start, this.tokens[this.at - 1]?.end ?? start);
  }

  private isName(): boolean {
    const token = this.peek();
    return token.kind === 'quoted' || (token.kind === 'word' && !RESERVED.has(token.value));
  }

  private identifier(): string {
    if (!this.isName()) this.fail();
    const token = this.next();
    return token.kind === 'quoted' ? token.value : token.text;
  }

  private list<T>(item: () => T): T[] {
    const items = [item()];
    while (this.accept(',')) items.push(item());
    return items;
  }

  private parenthesised<T>(inner: () => T): T {
    this.expect('(');
    const result = inner();
    this.expect(')');
    return result;
  }

  private names(): string[] {
    return this.parenthesised(() => this.list(() => this.identifier()));
  }

  private variable(): string {
    const token = this.next();
    if (token.kind !== 'variable') this.fail();
    return token.value;
  }

  private objectName(): ast.Name {
    const parts = [this.identifier()];
    while (this.accept('.')) parts.push(this.identifier());
    if (parts.length > 3) this.fail();
    const name = parts.at(-1) ?? '';
    return { schema: parts.length > 1 ? parts.at(-2) : undefined, name };
  }

  whole<T>(inner: (parser: this) => T): T {
    const result = inner(this);
    if (this.peek().kind !== 'end') this.fail();
    return result;
  }

  // --- statements ---------------------------------------------------------------------------------------------------

  batch(): ast.Statement[] {
    return this.statementsUntil(() => this.peek().kind === 'end');
  }

  private statementsUntil(end: () => boolean): ast.Statement[] {
    const statements: ast.Statement[] = [];
    for (;;) {
      while (this.accept(';'));
      if (end()) return statements;
      statements.push(this.statement());
    }
  }

  private statement(): ast.Statement {
    const { start } = this.peek();
    const outerLocks = this.locks;
    this.statementStart = start;
    this.locks = false;
    const body = this.statementBody();
    const statement = { ...body, text: this.textFrom(start), locks: this.locks };
    this.locks = outerLocks;
    this.accept(';');
    return statement;
  }

  private statementBody(): ast.StatementBody {
    if (this.is('SELECT') || this.is('(')) return this.select([]);
    if (this.is('WITH')) {
      const ctes = this.ctes();
      if (this.is('INSERT')) return this.insert(ctes);
      return this.select(ctes);
    }
    if (this.is('INSERT')) return this.insert([]);
    if (this.is('UPDATE')) return this.update();
    if (this.is('DELETE')) return this.delete();
    if (this.accept('SET')) return this.set();
    if (this.accept('DECLARE')) return this.declare();
    if (this.accept('IF')) return this.if();
    if (this.accept('PRINT')) return { kind: 'print', value: this.expr() };
    if (this.is('BEGIN') || this.is('COMMIT') || this.is('ROLLBACK')) return this.transaction();
    if (this.accept('CREATE')) return this.create();
    if (this.accept('DROP')) return this.drop();
    if (this.accept('ALTER')) return this.alter();
    if (this.is('GRANT') || this.is('DENY') || this.is('REVOKE')) return this.permission();
    this.fail();
  }

  private string(): string {
    const token = this.next();
    if (token.kind !== 'string') this.fail();
    return token.value;
  }

  private transaction(): ast.StatementBody {
    const verb = this.next().value;
    const transaction =
      this.accept('TRANSACTION') || this.accept('TRAN') || (verb !== 'BEGIN' && this.accept('WORK'));
    if (verb === 'BEGIN' && !transaction) {
      return { kind: 'block', statements: this.statementsUntil(() => this.accept('END')) };
    }
    if (transaction && this.isName()) this.identifier();
    return { kind: verb === 'BEGIN' ? 'begin' : verb === 'COMMIT' ? 'commit' : 'rollback' };
  }

  private if(): ast.StatementBody {
    const condition = this.expr();
    const then = this.statement();
    return { kind: 'if', condition, then, otherwise: this.accept('ELSE') ? this.statement() : undefined };
  }

  private set(): ast.StatementBody {
    if (this.peek().kind === 'variable') {
      const name = this.variable();
      if (this.accept('=')) return { kind: 'assign', name, value: this.expr() };
      const op = this.next().value.charAt(0);
      if (op !== '+' && op !== '-') this.fail();
      const value: ast.Expr = { kind: 'binary', op, left: { kind: 'variable', name }, right: this.expr() };
      return { kind: 'assign', name, value };
    }
    if (this.accept('TRANSACTION', 'ISOLATION', 'LEVEL')) {
      const level =
        this.next().value +
        (this.is('COMMITTED') || this.is('UNCOMMITTED') || this.is('READ') ? ` ${this.next().value}` : '');
      return { kind: 'option', name: 'ISOLATION', value: level };
    }
    if (this.accept('IDENTITY_INSERT')) {
      const table = this.objectName();
      return { kind: 'identityInsert', table, on: this.next().value === 'ON' };
    }
    const names = this.list(() => this.next().value);
    const token = this.next();
    if (token.kind === 'end' || token.kind === 'symbol') this.fail();
    return { kind: 'option', name: names.join(','), value: token.value };
  }

  private declare(): ast.StatementBody {
    const variables = this.list(() => {
      const name = this.variable();
      this.accept('AS');
      return { name, type: this.type(), value: this.accept('=') ? this.expr() : undefined };
    });
    return { kind: 'declare', variables };
  }

  private select(ctes: ast.Query['ctes']): ast.StatementBody {
    const query = this.query(ctes);
    this.queryOptions();
    return { kind: 'select', query };
  }

  private queryOptions(): void {
    if (!this.accept('OPTION')) return;
    this.expect('(');
    while (!this.accept(')')) if (this.next().kind === 'end') this.fail();
  }

  private insert(ctes: ast.Query['ctes']): ast.StatementBody {
    this.expect('INSERT');
    this.accept('INTO');
    const table = this.objectName();
    this.hints();
    const columns = this.is('(') && !this.is('(', 'SELECT') ? this.names() : undefined;
    const output = this.output();
    if (!this.accept('VALUES')) {
      const query = this.query(ctes);
      this.queryOptions();
      return { kind: 'insert', table, columns, output, source: query };
    }
    const cell = () => (this.accept('DEFAULT') ? undefined : this.expr());
    const source = this.list(() => this.parenthesised(() => this.list(cell)));
    return { kind: 'insert', table, columns, output, source };
  }

  private output(): ast.Output {
    if (!this.accept('OUTPUT')) return undefined;
    return this.list(() => this.selectItem());
  }

  private top(): ast.Expr | undefined {
    if (!this.accept('TOP')) return undefined;
    const top = this.is('(') ? this.parenthesised(() => this.expr()) : this.primary();
    if (this.is('PERCENT') || this.is('WITH', 'TIES')) this.fail();
    return top;
  }

  private update(): ast.StatementBody {
    this.expect('UPDATE');
    const top = this.top();
    const target = this.objectName();
    this.hints();
    this.expect('SET');
    const set = this.list(() => {
      const column = this.identifier();
      const { name } = this.accept('.') ? { name: this.identifier() } : { name: column };
      const op = this.next().value;
      if (op === '=') return { column: name, value: this.accept('DEFAULT') ? this.fail() : this.expr() };
      if (op !== '+=' && op !== '-=') this.fail();
      const left: ast.Expr = { kind: 'column', parts: [name] };
      return { column: name, value: { kind: 'binary' as const, op: op.charAt(0), left, right: this.expr() } };
    });
    return { kind: 'update', target, top, set, ...this.outputFromWhere() };
  }

  private delete(): ast.StatementBody {
    this.expect('DELETE');
    const top = this.top();
    this.accept('FROM');
    const target = this.objectName();
    this.hints();
    return { kind: 'delete', target, top, set: [], ...this.outputFromWhere() };
  }

  private outputFromWhere() {
    const output = this.output();
    const from = this.accept('FROM') ? this.sources() : undefined;
    const where = this.accept('WHERE') ? this.expr() : undefined;
    this.queryOptions();
    return { output, from, where };
  }

  private create(): ast.StatementBody {
    if (this.accept('TABLE')) return this.createTable();
    if (this.accept('OR', 'ALTER', 'VIEW')) return this.createView('createOrAlter');
    if (this.accept('VIEW')) return this.createView('create');
    if (this.accept('ROLE')) {
      const name = this.identifier();
      if (this.accept('AUTHORIZATION')) this.identifier();
      return { kind: 'createPrincipal', name, type: 'R' };
    }
    if (this.accept('USER')) {
      const name = this.identifier();
      if (this.accept('WITH', 'SID', '=')) {
        const { value: sid } = this.next();
        this.expect(',', 'TYPE', '=', 'E');
        return { kind: 'createPrincipal', name, type: 'E', sid };
      }
      const external = this.accept('FROM', 'EXTERNAL', 'PROVIDER');
      if (!external && !this.accept('WITHOUT', 'LOGIN')) {
        this.expect('FOR', 'LOGIN');
        this.identifier();
      }
      return { kind: 'createPrincipal', name, type: external ? 'E' : 'S' };
    }
    const unique = this.accept('UNIQUE');
    if (!this.accept('CLUSTERED')) this.accept('NONCLUSTERED');
    this.expect('INDEX');
    const name = this.identifier();
    this.expect('ON');
    const table = this.objectName();
    const columns = this.indexColumns();
    const include = this.accept('INCLUDE') ? this.names() : [];
    let where: string | undefined;
    if (this.accept('WHERE')) {
      const { start } = this.peek();
      this.expr();
      where = this.textFrom(start);
    }
    this.storageOptions();
    return { kind: 'createIndex', name, table, unique, columns, include, where };
  }

  private storageOptions(): void {
    if (!this.accept('WITH')) return;
    this.expect('(');
    while (!this.accept(')')) if (this.next().kind === 'end') this.fail();
  }

  private indexColumns(): ast.IndexColumn[] {
    return this.parenthesised(() =>
      this.list(() => {
        const name = this.identifier();
        const descending = this.accept('DESC');
        if (!descending) this.accept('ASC');
        return { name, descending };
      }),
    );
  }

  private createView(mode: 'create' | 'alter' | 'createOrAlter'): ast.StatementBody {
    const name = this.objectName();
    if (this.accept('WITH')) this.expect('SCHEMABINDING');
    this.expect('AS');
    const { start } = this.peek();
    this.query();
    const definition = this.textFrom(start);
    while (this.accept(';'));
    if (this.statementStart !== this.peekFirst() || this.peek().kind !== 'end') {
      throw new SqlError(111, "'CREATE VIEW' must be the first statement in a query batch.", {
        endsBatch: true,
      });
    }
    return { kind: 'createView', name, mode, definition, module: this.sql };
  }

  private peekFirst(): number {
    return this.tokens.find((token) => token.value !== ';')?.start ?? 0;
  }

  private createTable(): ast.StatementBody {
    const table = this.objectName();
    const columns: ast.ColumnDefinition[] = [];
    const constraints: ast.ConstraintDefinition[] = [];
    const indexes: { name: string; unique: boolean; columns: ast.IndexColumn[] }[] = [];
    this.expect('(');
    do {
      if (this.is(')')) break;
      if (this.accept('INDEX')) {
        const name = this.identifier();
        const unique = this.accept('UNIQUE');
        if (!this.accept('CLUSTERED')) this.accept('NONCLUSTERED');
        indexes.push({ name, unique, columns: this.indexColumns() });
      } else this.columnOrConstraint(columns, constraints);
    } while (this.accept(','));
    this.expect(')');
    this.storageOptions();
    return { kind: 'createTable', table, columns, constraints, indexes };
  }

  private columnOrConstraint(columns: ast.ColumnDefinition[], constraints: ast.ConstraintDefinition[]): void {
    const named = this.accept('CONSTRAINT') ? this.identifier() : undefined;
    if (
      named !== undefined ||
      this.is('PRIMARY') ||
      this.is('UNIQUE') ||
      this.is('FOREIGN') ||
      this.is('CHECK')
    ) {
      if (!this.constraint(named, undefined, constraints)) this.fail();
      return;
    }
    const name = this.identifier();
    const type = this.type();
    let collation: ast.Collation = 'NOCASE';
    let nullable: boolean | undefined;
    let identity = false;
    let defaultOf: ast.ColumnDefinition['default'];
    for (;;) {
      if (this.accept('COLLATE')) collation = this.collation();
      else if (this.accept('NOT', 'NULL')) nullable = false;
      else if (this.accept('NULL')) nullable = true;
      else if (this.accept('IDENTITY')) {
        identity = true;
        if (this.is('(')) {
          const [seed, step] = this.parenthesised(() => this.list(() => this.next().value));
          if (seed !== '1' || step !== '1')
            throw notServed('an IDENTITY other than (1, 1)', this.sql.slice(this.statementStart));
        }
      } else {
        const constraintName = this.accept('CONSTRAINT') ? this.identifier() : undefined;
        if (this.accept('DEFAULT')) {
          const { start } = this.peek();
          this.primary();
          defaultOf = { name: constraintName, text: this.textFrom(start) };
        } else if (!this.constraint(constraintName, name, constraints)) {
          if (constraintName !== undefined) this.fail();
          break;
        }
      }
    }
    columns.push({ name, type, collation, nullable, identity, ...(defaultOf && { default: defaultOf }) });
  }

  private constraint(
    name: string | undefined,
    column: string | undefined,
    into: ast.ConstraintDefinition[],
  ): boolean {
    const columns = (): string[] =>
      column !== undefined && !this.is('(') ? [column] : this.indexColumns().map((indexed) => indexed.name);
    if (this.accept('PRIMARY', 'KEY') || this.accept('UNIQUE')) {
      const kind = this.lastText().toUpperCase() === 'KEY' ? 'primary' : 'unique';
      if (!this.accept('CLUSTERED')) this.accept('NONCLUSTERED');
      into.push({ kind, name, columns: columns() });
      this.storageOptions();
      return true;
    }
    if (this.accept('CHECK')) {
      this.expect('(');
      const { start } = this.peek();
      this.expr();
      into.push({ kind: 'check', name, text: this.textFrom(start) });
      this.expect(')');
      return true;
    }
    const foreign = this.accept('FOREIGN', 'KEY');
    if (!foreign && !this.is('REFERENCES')) return false;
    const own = foreign ? columns() : column === undefined ? this.fail() : [column];
    this.expect('REFERENCES');
    const table = this.objectName().name;
    into.push({ kind: 'foreign', name, columns: own, table, references: this.is('(') ? this.names() : [] });
    return true;
  }

  private collation(): ast.Collation {
    const name = this.identifier();
    if (/_BIN2?$/i.test(name)) return 'BINARY';
    if (/_CI_/i.test(name) || name.toUpperCase() === 'DATABASE_DEFAULT') return 'NOCASE';
    throw notServed(`collation ${name}`, this.sql.slice(this.statementStart));
  }

  private drop(): ast.StatementBody {
    const token = this.next();
    const object = token.value;
    const ifExists = this.accept('IF', 'EXISTS');
    if (object === 'INDEX') {
      const name = this.identifier();
      this.expect('ON');
      return { kind: 'dropIndex', name, table: this.objectName(), ifExists };
    }
    if (object !== 'TABLE' && object !== 'VIEW' && object !== 'ROLE' && object !== 'USER') this.fail();
    return { kind: 'drop', object, names: this.list(() => this.objectName()), ifExists };
  }

  private alter(): ast.StatementBody {
    if (this.accept('VIEW')) return this.createView('alter');
    if (this.accept('ROLE')) {
      const role = this.identifier();
      const add = this.accept('ADD', 'MEMBER');
      if (!add) this.expect('DROP', 'MEMBER');
      return { kind: 'roleMember', role, member: this.identifier(), add };
    }
    this.expect('TABLE');
    const table = this.objectName();
    if (this.accept('WITH', 'CHECK') || this.accept('ADD')) {
      if (this.lastText().toUpperCase() === 'CHECK') this.expect('ADD');
      const columns: ast.ColumnDefinition[] = [];
      const constraints: ast.ConstraintDefinition[] = [];
      this.list(() => this.columnOrConstraint(columns, constraints));
      return { kind: 'alterTable', table, action: { kind: 'add', columns, constraints } };
    }
    this.expect('DROP');
    const kind = this.accept('COLUMN') ? 'dropColumns' : 'dropConstraints';
    if (kind === 'dropConstraints') this.accept('CONSTRAINT');
    const ifExists = this.accept('IF', 'EXISTS');
    return {
      kind: 'alterTable',
      table,
      action: { kind, ifExists, names: this.list(() => this.identifier()) },
    };
  }

  private permission(): ast.StatementBody {
    const state = this.next().value;
    if (state !== 'GRANT' && state !== 'DENY' && state !== 'REVOKE') this.fail();
    const permissions = this.list(() => {
      let name = this.next().value;
      while (!this.is(',') && !this.is('ON') && !this.is('TO') && !this.is('FROM')) {
        if (this.peek().kind !== 'word') this.fail();
        name += ` ${this.next().value}`;
      }
      return name;
    });
    let on: ast.Name | undefined;
    if (this.accept('ON')) {
      if (this.accept('OBJECT')) this.expect('::');
      on = this.objectName();
    }
    if (!this.accept('TO')) this.expect('FROM');
    return { kind: 'permission', state, permissions, on, principals: this.list(() => this.identifier()) };
  }

  // --- queries ------------------------------------------------------------------------------------------------------

  private ctes(): ast.Query['ctes'] {
    this.expect('WITH');
    return this.list(() => {
      const name = this.identifier();
      const columns = this.is('(') ? this.names() : [];
      this.expect('AS');
      return { name, columns, query: this.parenthesised(() => this.query()) };
    });
  }

  query(ctes: ast.Query['ctes'] = []): ast.Query {
    let body = this.queryTerm();
    for (;;) {
      let op: ast.SetOperation['op'];
      if (this.accept('UNION')) op = this.accept('ALL') ? 'UNION ALL' : 'UNION';
      else if (this.accept('EXCEPT')) op = 'EXCEPT';
      else if (this.accept('INTERSECT')) op = 'INTERSECT';
      else break;
      body = { kind: 'set', op, left: body, right: this.queryTerm() };
    }
    const orderBy = this.accept('ORDER', 'BY') ? this.orderItems() : [];
    let offset: ast.Expr | undefined;
    let fetch: ast.Expr | undefined;
    if (orderBy.length > 0 && this.accept('OFFSET')) {
      offset = this.additive();
      if (!this.accept('ROWS')) this.expect('ROW');
      if (this.accept('FETCH')) {
        if (!this.accept('NEXT')) this.expect('FIRST');
        fetch = this.additive();
        if (!this.accept('ROWS')) this.expect('ROW');
        this.expect('ONLY');
      }
    }
    return { body, ctes, orderBy, offset, fetch };
  }

  private queryTerm(): ast.Body {
    if (this.is('(')) return this.parenthesised(() => this.queryTerm());
    this.expect('SELECT');
    const distinct = this.accept('DISTINCT');
    if (!distinct) this.accept('ALL');
    const top = this.top();
    const items = this.list(() => this.selectItem());
    const from = this.accept('FROM') ? this.sources() : undefined;
    const where = this.accept('WHERE') ? this.expr() : undefined;
    const groupBy = this.accept('GROUP', 'BY') ? this.list(() => this.expr()) : [];
    const having = this.accept('HAVING') ? this.expr() : undefined;
    return { kind: 'select', distinct, top, items, from, where, groupBy, having };
  }

  private orderItems(): ast.OrderItem[] {
    return this.list(() => {
      const expr = this.expr();
      const descending = this.accept('DESC');
      if (!descending) this.accept('ASC');
      return { expr, descending };
    });
  }

  private selectItem(): ast.SelectItem {
    if (this.accept('*')) return { expr: undefined };
    if (this.isName() && this.peek(1).value === '.' && this.peek(2).value === '*') {
      const qualifier = this.identifier();
      this.expect('.', '*');
      return { expr: undefined, qualifier };
    }
    if (this.peek().kind === 'variable' && this.peek(1).value === '=' && this.peek(1).kind === 'symbol') {
      const variable = this.variable();
      this.expect('=');
      return { variable, expr: this.expr() };
    }
    if (this.isName() && this.peek(1).kind === 'symbol' && this.peek(1).value === '=') {
      const alias = this.identifier();
      this.expect('=');
      return { alias, expr: this.expr() };
    }
    const expr = this.expr();
    const alias = this.alias();
    return alias === undefined ? { expr } : { expr, alias };
  }

  private alias(): string | undefined {
    if (this.accept('AS')) return this.peek().kind === 'string' ? this.string() : this.identifier();
    const token = this.peek();
    return this.isName() && !(token.kind === 'word' && NOT_ALIAS.has(token.value))
      ? this.identifier()
      : undefined;
  }

  private requiredAlias(): string {
    return this.alias() ?? this.fail();
  }

  private sources(): ast.Source {
    let source = this.joined();
    while (this.accept(','))
      source = { kind: 'join', join: 'CROSS', left: source, right: this.joined(), on: undefined };
    return source;
  }

  private joined(): ast.Source {
    let left = this.source();
    for (;;) {
      let join: 'INNER' | 'LEFT' | 'RIGHT' | 'FULL' | 'CROSS' = 'INNER';
      if (this.accept('CROSS', 'JOIN')) {
        left = { kind: 'join', join: 'CROSS', left, right: this.source(), on: undefined };
        continue;
      }
      if (this.is('LEFT') || this.is('RIGHT') || this.is('FULL')) {
        join = this.next().value as typeof join;
        this.accept('OUTER');
        this.expect('JOIN');
      } else if (!this.accept('INNER', 'JOIN') && !this.accept('JOIN')) return left;
      const right = this.source();
      this.expect('ON');
      left = { kind: 'join', join, left, right, on: this.expr() };
    }
  }

  private source(): ast.Source {
    if (this.is('(', 'VALUES')) {
      const rows = this.parenthesised(() => {
        this.expect('VALUES');
        return this.list(() => this.parenthesised(() => this.list(() => this.expr())));
      });
      return { kind: 'values', rows, alias: this.requiredAlias(), columns: this.names() };
    }
    if (this.is('(') && (this.is('(', 'SELECT') || this.is('(', 'WITH') || this.is('(', '(', 'SELECT'))) {
      const query = this.parenthesised(() => this.query());
      const alias = this.requiredAlias();
      return { kind: 'derived', query, alias, ...(this.is('(') && { columns: this.names() }) };
    }
    if (this.is('(')) return this.parenthesised(() => this.joined());
    if (this.accept('OPENJSON')) {
      const json = this.parenthesised(() => this.expr());
      this.expect('WITH');
      const columns = this.parenthesised(() =>
        this.list(() => {
          const name = this.identifier();
          const type = this.type();
          return { name, type, path: this.peek().kind === 'string' ? this.string() : `$.${name}` };
        }),
      );
      return { kind: 'openJson', json, columns, alias: this.alias() ?? 'OPENJSON' };
    }
    const name = this.objectName();
    const early = this.hints();
    const alias = this.alias() ?? name.name;
    return { kind: 'table', name, alias, locks: this.hints() || early };
  }

  /** Whether a hint asks for locks that are held. */
  private hints(): boolean {
    if (!this.accept('WITH')) return false;
    const locking = this.parenthesised(() =>
      this.list(() => {
        if (this.accept('INDEX')) {
          this.parenthesised(() => this.next());
          return false;
        }
        const hint = this.next().value;
        if (!LOCK_HINTS.has(hint) && !OTHER_HINTS.has(hint)) this.fail();
        return LOCK_HINTS.has(hint);
      }),
    ).includes(true);
    if (locking) this.locks = true;
    return locking;
  }

  // --- expressions --------------------------------------------------------------------------------------------------

  expr(): ast.Expr {
    let left = this.and();
    while (this.accept('OR')) left = { kind: 'binary', op: 'OR', left, right: this.and() };
    return left;
  }

  private and(): ast.Expr {
    let left = this.not();
    while (this.accept('AND')) left = { kind: 'binary', op: 'AND', left, right: this.not() };
    return left;
  }

  private not(): ast.Expr {
    return this.accept('NOT') ? { kind: 'not', expr: this.not() } : this.predicate();
  }

  private predicate(): ast.Expr {
    const left = this.additive();
    for (const op of ['=', '<>', '<', '>', '<=', '>=']) {
      if (this.accept(op)) return { kind: 'binary', op, left, right: this.additive() };
    }
    if (this.accept('IS')) {
      const not = this.accept('NOT');
      this.expect('NULL');
      return { kind: 'isNull', expr: left, not };
    }
    const not = this.accept('NOT');
    if (this.accept('IN')) {
      const list = this.parenthesised(() =>
        this.is('SELECT') ? this.query() : this.list(() => this.additive()),
      );
      return { kind: 'in', expr: left, list, not };
    }
    if (this.accept('BETWEEN')) {
      const low = this.additive();
      this.expect('AND');
      return { kind: 'between', expr: left, low, high: this.additive(), not };
    }
    if (this.accept('LIKE')) {
      const pattern = this.additive();
      return {
        kind: 'like',
        expr: left,
        pattern,
        escape: this.accept('ESCAPE') ? this.additive() : undefined,
        not,
      };
    }
    if (not) this.fail();
    return left;
  }

  private additive(): ast.Expr {
    let left = this.multiplicative();
    while (this.is('+') || this.is('-') || this.is('&') || this.is('|')) {
      left = { kind: 'binary', op: this.next().value, left, right: this.multiplicative() };
    }
    return left;
  }

  private multiplicative(): ast.Expr {
    let left = this.unary();
    while (this.is('*') || this.is('/') || this.is('%')) {
      left = { kind: 'binary', op: this.next().value, left, right: this.unary() };
    }
    return left;
  }

  private unary(): ast.Expr {
    if (this.accept('-')) return { kind: 'negate', expr: this.unary() };
    if (this.accept('+')) return this.unary();
    let expr = this.primary();
    while (this.accept('COLLATE')) expr = { kind: 'collate', expr, collation: this.collation() };
    return expr;
  }

  private primary(): ast.Expr {
    const token = this.peek();
    if (token.kind === 'string') {
      this.next();
      const length = Math.max(token.value.length, 1);
      return {
        kind: 'literal',
        type: token.unicode ? nvarchar(length) : varchar(length),
        value: token.value,
      };
    }
    if (token.kind === 'number') {
      this.next();
      return this.number(token.value);
    }
    if (token.kind === 'binary') {
      this.next();
      return {
        kind: 'literal',
        type: { name: 'varbinary', length: Math.max(token.value.length / 2, 1) },
        value: Buffer.from(token.value, 'hex'),
      };
    }
    if (token.kind === 'variable') return { kind: 'variable', name: this.variable() };
    if (this.accept('NULL')) return { kind: 'literal', type: NULL_TYPE, value: null };
    if (this.is('(')) {
      return this.parenthesised((): ast.Expr =>
        this.is('SELECT') || this.is('WITH')
          ? { kind: 'subquery', query: this.query(this.is('WITH') ? this.ctes() : []) }
          : this.expr(),
      );
    }
    if (this.accept('EXISTS')) return { kind: 'exists', query: this.parenthesised(() => this.query()) };
    if (this.accept('CASE')) return this.case();
    for (const name of ['CAST', 'TRY_CAST', 'CONVERT', 'TRY_CONVERT']) {
      if (this.is(name, '(')) return this.cast(this.next().value);
    }
    if (
      token.kind === 'word' &&
      this.is(token.value, '(') &&
      (this.isName() || this.is('LEFT') || this.is('RIGHT'))
    )
      return this.call();
    const parts = [this.identifier()];
    while (this.accept('.')) parts.push(this.identifier());
    return { kind: 'column', parts };
  }

  private number(text: string): ast.Expr {
    if (/^\d+$/.test(text)) {
      const value = BigInt(text);
      const type: SqlType = value <= 2147483647n ? INT : { name: 'bigint' };
      return { kind: 'literal', type, value };
    }
    if (/e/i.test(text)) return { kind: 'literal', type: { name: 'float' }, value: Number(text) };
    const scale = (text.split('.')[1] ?? '').length;
    return {
      kind: 'literal',
      type: { name: 'decimal', precision: Math.max(text.length - 1, 1), scale },
      value: Number(text),
    };
  }

  private case(): ast.Expr {
    const operand = this.is('WHEN') ? undefined : this.expr();
    const whens: { when: ast.Expr; then: ast.Expr }[] = [];
    while (this.accept('WHEN')) {
      const when = this.expr();
      this.expect('THEN');
      whens.push({ when, then: this.expr() });
    }
    const otherwise = this.accept('ELSE') ? this.expr() : undefined;
    this.expect('END');
    return { kind: 'case', operand, whens, otherwise };
  }

  private cast(name: string): ast.Expr {
    const lenient = name.startsWith('TRY');
    return this.parenthesised((): ast.Expr => {
      if (name.endsWith('CAST')) {
        const expr = this.expr();
        this.expect('AS');
        return { kind: 'cast', expr, type: this.type(30), lenient };
      }
      const type = this.type(30);
      this.expect(',');
      const expr = this.expr();
      return { kind: 'cast', expr, type, lenient, ...(this.accept(',') && { style: this.expr() }) };
    });
  }

  private call(): ast.Expr {
    const name = this.next().value;
    this.expect('(');
    if (this.accept('*')) {
      this.expect(')');
      return { kind: 'call', name, args: [], star: true, ...this.over() };
    }
    let part: string | undefined;
    if (DATE_PART_FUNCTIONS.has(name)) {
      part = DATE_PARTS.get(this.next().value) ?? this.fail();
      this.expect(',');
    }
    const distinct = this.accept('DISTINCT');
    const args = this.is(')') ? [] : this.list(() => this.expr());
    this.expect(')');
    return { kind: 'call', name, args, distinct, ...(part !== undefined && { part }), ...this.over() };
  }

  private over() {
    if (!this.accept('OVER')) return {};
    return this.parenthesised(() => ({
      over: {
        partitionBy: this.accept('PARTITION', 'BY') ? this.list(() => this.expr()) : [],
        orderBy: this.accept('ORDER', 'BY') ? this.orderItems() : [],
      },
    }));
  }

  /** `defaultLength`: 1 in a declaration, 30 in CAST and CONVERT. */
  type(defaultLength = 1): SqlType {
    if (this.accept('SYS', '.')) return this.type(defaultLength);
    const name = this.identifier().toLowerCase();
    const args = this.is('(')
      ? this.parenthesised(() => this.list(() => this.next().value.toLowerCase()))
      : [];
    const [first] = args;
    switch (name) {
      case 'int':
      case 'integer':
        return INT;
      case 'bigint':
      case 'smallint':
      case 'tinyint':
      case 'bit':
      case 'uniqueidentifier':
      case 'datetime':
      case 'date':
        return { name };
      case 'datetime2':
        return { name, scale: Number(first ?? 7) };
      case 'float':
      case 'real':
        return { name: 'float' };
      case 'decimal':
      case 'numeric':
        return { name: 'decimal', precision: Number(first ?? 18), scale: Number(args[1] ?? 0) };
      case 'sysname':
        return SYSNAME;
      case 'varchar':
      case 'nvarchar':
      case 'char':
      case 'nchar':
      case 'varbinary':
        return { name, length: first === 'max' ? -1 : Number(first ?? defaultLength) };
      default:
        throw notServed(`type ${name}`, this.sql.slice(this.statementStart));
    }
  }
}
