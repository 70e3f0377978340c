import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SQLInputValue } from 'node:sqlite';
import type { Expr, Statement } from '../dialect/ast';
import { compile, type Compiled, type EmitContext } from '../dialect/emitter';
import { parseBatch, selectOf } from '../dialect/parser';
import type { Catalogue } from '../engine/catalogue';
import { Connection } from '../engine/connection';
import { executeDdl } from '../engine/ddl';
import { convert } from '../engine/convert';
import { fromDate, roundTo } from '../engine/dates';
import { SqlError, batchError, notServed } from '../errors';
import { DATETIME, INT, isString, isUnicode, nvarchar, type SqlType, type SqlValue } from '../sqlTypes';
import type { Parameter, TransactionRequest } from '../wire/requests';
import type { Response } from '../wire/response';
import { Cancelled, type WriterLock } from './lock';

const VERSION = 'Microsoft SQL Server 2022 (stand-in on SQLite)';
const PARSED_BATCHES = 500;
/** After a statement that took this long, the event loop gets a turn: an attention that came meanwhile is seen. */
const LONG_STATEMENT_MS = 10;

const parsed = new Map<string, Statement[]>();

function parse(sql: string): Statement[] {
  let statements = parsed.get(sql);
  if (statements === undefined) {
    statements = parseBatch(sql);
    if (parsed.size >= PARSED_BATCHES) parsed.clear();
    parsed.set(sql, statements);
  }
  return statements;
}

type Dml = Extract<Statement, { kind: 'select' | 'insert' | 'update' | 'delete' }>;
type Variables = Map<string, { type: SqlType; value: SqlValue }>;

interface Options {
  xactAbort: boolean;
  noCount: boolean;
}

/** One request on its way through the executor. */
interface Run {
  readonly response: Response;
  readonly signal: AbortSignal;
  readonly variables: Variables;
  /** The names and types of the variables, for what was compiled before. */
  signature: string;
}

class EndOfBatch extends Error {}

export interface SharedState {
  readonly lock: WriterLock;
  readonly epoch: { value: number };
  readonly now: () => Date;
  readonly database: string;
  readonly ignoreLockHints: boolean;
}

/** What a session is to T-SQL: its settings, its transaction and its temporary tables. It runs one batch at a time. */
export class Executor {
  login = '';
  /** Awaited before the next commit of what was written. */
  beforeCommit: (() => Promise<void>) | undefined;
  private readonly connection: Connection;
  private options: Options = { xactAbort: false, noCount: false };
  private transactionCount = 0;
  /** SQLite's transaction begins with the first write: reads before it see what is committed. */
  private begun = false;
  private changedCatalogue = false;
  private temporaryBefore: Catalogue['temporaryTables'];
  private rowCount = 0;
  private lastError = 0;
  private identity: bigint | null = null;
  private identityInsert: string | undefined;
  private readonly compiled = new WeakMap<Statement | Expr, { signature: string; compiled: Compiled }>();

  constructor(
    file: string,
    private readonly shared: SharedState,
    private readonly sessionId: number,
  ) {
    this.connection = new Connection(file, shared.epoch);
    this.temporaryBefore = this.connection.catalogue.temporaryTables;
  }

  get inTransaction(): boolean {
    return this.transactionCount > 0;
  }

  get aborts(): boolean {
    return this.options.xactAbort;
  }

  /** Runs a batch. Errors go to the response; throws Cancelled only. */
  async batch(sql: string, response: Response, signal: AbortSignal): Promise<void> {
    await this.run(sql, { response, signal, variables: new Map(), signature: '' });
  }

  /** sp_executesql: SET options and temporary tables of the text end with it. */
  async procedure(
    sql: string,
    parameters: readonly Parameter[],
    response: Response,
    signal: AbortSignal,
  ): Promise<void> {
    const variables: Variables = new Map();
    for (const { name, type, value } of parameters) {
      const length = isUnicode(type) ? 4000 : 8000;
      variables.set(name, { type: isString(type) && type.length !== -1 ? { ...type, length } : type, value });
    }
    const options = { ...this.options };
    const temporary = this.connection.catalogue.temporaryTables;
    try {
      await this.run(sql, { response, signal, variables, signature: signatureOf(variables) });
    } catch (error) {
      if (error instanceof Cancelled) this.cancelled(response);
      throw error;
    } finally {
      this.options = options;
      this.dropTemporary((name) => !temporary.has(name));
    }
  }

  private dropTemporary(isDue: (name: string) => boolean): void {
    const { catalogue } = this.connection;
    for (const [name, table] of catalogue.temporaryTables) {
      if (!isDue(name)) continue;
      this.connection.exec(`DROP TABLE temp."${table.name}"`);
      catalogue.remove(table);
    }
  }

  private async run(sql: string, run: Run): Promise<void> {
    try {
      await this.statements(parse(sql), run);
    } catch (error) {
      if (error instanceof EndOfBatch) return;
      if (error instanceof Cancelled) throw error;
      this.fail(error, run);
    }
  }

  /** A cancelled request leaves its transaction open unless XACT_ABORT is on. */
  cancelled(response: Response): void {
    if (this.options.xactAbort) this.rollback(response);
    if (!this.inTransaction) this.shared.lock.release(this);
  }

  /** A fault's error, as if the statement had failed with it. */
  raise(error: SqlError, response: Response, rollsBack: boolean): void {
    response.error(error);
    response.statementDone(undefined, true);
    if (rollsBack) this.rollback(response);
  }

  /** A transaction manager request. */
  async transaction(kind: TransactionRequest, response: Response): Promise<void> {
    try {
      if (kind === 'save') throw notServed('savepoints');
      await this[kind](response);
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      this.raise(error, response, false);
    }
  }

  private async statements(statements: readonly Statement[], run: Run): Promise<void> {
    for (const statement of statements) {
      if (run.signal.aborted) throw new Cancelled();
      const started = performance.now();
      try {
        await this.statement(statement, run);
      } catch (error) {
        if (error instanceof EndOfBatch || error instanceof Cancelled) throw error;
        if (this.fail(quoting(error, statement), run)) throw new EndOfBatch();
      }
      if (!this.inTransaction) this.shared.lock.release(this);
      if (performance.now() - started > LONG_STATEMENT_MS) await nextTurn();
    }
  }

  /** Reports an error; true: it ends the batch. */
  private fail(thrown: unknown, run: Run): boolean {
    const error =
      thrown instanceof SqlError ? thrown : batchError(50000, `The SQL stand-in failed: ${String(thrown)}`);
    run.response.error(error);
    if ('next' in error && error.next instanceof SqlError) run.response.error(error.next);
    run.response.statementDone(undefined, true);
    this.lastError = error.number;
    this.rowCount = 0;
    const abort = this.options.xactAbort || error.rollsBack;
    if (abort) this.rollback(run.response);
    if (!this.inTransaction) this.shared.lock.release(this);
    return abort || error.endsBatch;
  }

  private async statement(statement: Statement, run: Run): Promise<void> {
    const { response } = run;
    switch (statement.kind) {
      case 'block':
        return this.statements(statement.statements, run);
      case 'if': {
        const met = await this.condition(statement.condition, statement, run);
        const branch = met ? statement.then : statement.otherwise;
        return branch && this.statements([branch], run);
      }
      case 'select':
        await this.select(statement, run);
        break;
      case 'insert':
      case 'update':
      case 'delete':
        await this.write(statement, run);
        break;
      case 'begin':
        this.begin(response);
        this.rowCount = 0;
        break;
      case 'commit':
        await this.commit(response);
        this.rowCount = 0;
        break;
      case 'rollback':
        if (!this.inTransaction)
          throw new SqlError(
            3903,
            'The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.',
          );
        this.rollback(response);
        break;
      case 'declare':
        for (const { name, type, value } of statement.variables) {
          if (run.variables.has(name))
            throw new SqlError(134, `The variable name '${name}' has already been declared.`, {
              endsBatch: true,
            });
          const initial = value === undefined ? null : this.evaluate(value, type, run);
          run.variables.set(name, { type, value: initial });
          run.signature = signatureOf(run.variables);
        }
        return;
      case 'assign': {
        const variable = run.variables.get(statement.name);
        if (variable === undefined)
          throw new SqlError(137, `Must declare the scalar variable "${statement.name}".`, {
            endsBatch: true,
          });
        variable.value = this.evaluate(statement.value, variable.type, run);
        this.rowCount = 1;
        break;
      }
      case 'option':
        if (statement.name === 'XACT_ABORT') this.options.xactAbort = statement.value === 'ON';
        if (statement.name === 'NOCOUNT') this.options.noCount = statement.value === 'ON';
        response.statementDone(undefined);
        this.rowCount = 0;
        return;
      case 'identityInsert':
        this.identityInsert = statement.on ? statement.table.name.toLowerCase() : undefined;
        response.statementDone(undefined);
        this.rowCount = 0;
        return;
      case 'print': {
        const text = this.evaluate(statement.value, nvarchar(4000), run);
        response.info(text === null ? '' : String(text));
        response.statementDone(undefined);
        this.rowCount = 0;
        return;
      }
      default:
        await this.writing(run, isTemporary(statement), () => {
          executeDdl(statement, this.connection, this.context(run));
          this.changedCatalogue = true;
        });
        response.statementDone(undefined);
        this.rowCount = 0;
    }
    this.lastError = 0;
  }

  // --- transactions -------------------------------------------------------------------------------------------------

  begin(response: Response): void {
    if (++this.transactionCount > 1) {
      response.statementDone(undefined);
      return;
    }
    this.temporaryBefore = this.connection.catalogue.temporaryTables;
    response.environment(8, this.descriptor(), Buffer.alloc(0));
    response.statementDone(undefined);
  }

  async commit(response: Response): Promise<void> {
    if (!this.inTransaction)
      throw new SqlError(3902, 'The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.');
    if (this.transactionCount === 1) {
      if (this.begun) {
        await this.beforeCommit?.();
        this.connection.end('COMMIT');
      }
      this.ended();
      response.environment(9, Buffer.alloc(0), this.descriptor());
    } else this.transactionCount--;
    response.statementDone(undefined);
  }

  rollback(response?: Response): void {
    if (!this.inTransaction) return;
    if (this.begun) {
      this.connection.end('ROLLBACK');
      this.connection.forgetSystemViews();
      if (this.changedCatalogue) this.connection.catalogue.restoreTemporary(this.temporaryBefore);
    }
    this.ended();
    response?.environment(10, Buffer.alloc(0), this.descriptor());
    response?.statementDone(undefined);
  }

  private ended(): void {
    this.transactionCount = 0;
    this.begun = false;
    if (this.changedCatalogue) this.connection.catalogue.changed();
    this.changedCatalogue = false;
    this.shared.lock.release(this);
  }

  private descriptor(): Buffer {
    const descriptor = Buffer.alloc(8);
    descriptor.writeUInt32LE(this.sessionId);
    return descriptor;
  }

  /** Takes the writer lock, in a transaction till its end; a temporary table alone needs none outside one. */
  private async writing<T>(run: Run, temporary: boolean, body: (waited: boolean) => T): Promise<T> {
    if (temporary && !this.inTransaction) return body(false);
    const waited = !this.begun && (await this.beginWriting(run.signal));
    if (this.inTransaction) {
      this.begun = true;
      return body(waited);
    }
    try {
      const result = body(waited);
      await this.beforeCommit?.();
      this.connection.end('COMMIT');
      return result;
    } catch (error) {
      this.connection.end('ROLLBACK');
      this.connection.forgetSystemViews();
      if (this.changedCatalogue) this.connection.catalogue.changed();
      throw error;
    } finally {
      this.changedCatalogue = false;
    }
  }

  /** Takes the turn to write and begins SQLite's transaction. True: others wrote first, and a snapshot was taken before. */
  private async beginWriting(signal: AbortSignal): Promise<boolean> {
    const { lock } = this.shared;
    if (lock.isFreeFor(this)) {
      await lock.acquire(this, signal);
      this.connection.begin();
      return false;
    }
    this.connection.beginWithSnapshot();
    try {
      await lock.acquire(this, signal);
      return true;
    } catch (error) {
      this.connection.end('ROLLBACK');
      throw error;
    }
  }

  // --- statements ---------------------------------------------------------------------------------------------------

  private context(run: Run, waited = false): EmitContext {
    const variables = new Map([...run.variables].map(([name, { type }]) => [name, type]));
    const { identityInsert } = this;
    const { ignoreLockHints } = this.shared;
    return { catalogue: this.connection.catalogue, variables, identityInsert, waited, ignoreLockHints };
  }

  private compile(node: Statement | Expr, statement: () => Dml, run: Run, waited = false): Compiled {
    const signature = `${this.connection.catalogue.version};${this.identityInsert ?? ''};${waited};${run.signature}`;
    const known = this.compiled.get(node);
    if (known?.signature === signature) return known.compiled;
    const compiled = compile(statement(), this.context(run, waited));
    this.compiled.set(node, { signature, compiled });
    return compiled;
  }

  private bind(compiled: Compiled, run: Run): Record<string, SQLInputValue> {
    const values: Record<string, SQLInputValue> = {};
    for (const name of compiled.bindings) values[name] = this.bound(name, run);
    return values;
  }

  private bound(name: string, run: Run): SqlValue {
    switch (name) {
      case 'now':
        return roundTo(fromDate(this.shared.now()), DATETIME);
      case 'sysnow':
        return fromDate(this.shared.now());
      case 'rowcount':
        return BigInt(this.rowCount);
      case 'trancount':
      case 'xactstate':
        return BigInt(name === 'trancount' ? this.transactionCount : Math.min(this.transactionCount, 1));
      case 'spid':
        return BigInt(this.sessionId);
      case 'error':
        return BigInt(this.lastError);
      case 'version':
        return VERSION;
      case 'identity':
        return this.identity;
      case 'database':
        return this.shared.database;
      case 'login':
        return this.login;
      case 'user':
        return 'dbo';
      default:
        return run.variables.get(name.replace(/^v_/, '@'))?.value ?? null;
    }
  }

  private async select(statement: Extract<Statement, { kind: 'select' }>, run: Run): Promise<void> {
    const compiled = this.compile(statement, () => statement, run);
    await this.lockForReading(statement, run);
    const { body } = statement.query;
    const targets = body.kind === 'select' ? body.items.map((item) => item.variable) : [];
    const assigns = targets.some((target) => target !== undefined);
    const { response } = run;
    if (!assigns) response.columns(compiled.columns);
    const rows = this.connection.rows(compiled, this.bind(compiled, run));
    let count = 0;
    try {
      for (let row = rows.next(); !row.done; row = rows.next()) {
        count++;
        if (assigns) this.assignRow(targets, row.value, compiled, run);
        else if (!response.row(compiled.columns, row.value)) {
          await response.flush();
          await nextTurn();
          if (run.signal.aborted) throw new Cancelled();
        }
      }
    } finally {
      rows.return?.();
    }
    this.rowCount = count;
    response.statementDone(assigns ? undefined : count);
  }

  private assignRow(
    targets: readonly (string | undefined)[],
    row: readonly SqlValue[],
    compiled: Compiled,
    run: Run,
  ): void {
    for (const [i, target] of targets.entries()) {
      const variable = run.variables.get(target ?? '');
      const type = compiled.columns[i]?.type;
      if (variable === undefined || type === undefined) {
        throw batchError(137, `Must declare the scalar variable "${target ?? ''}".`);
      }
      variable.value = convert(row[i] ?? null, type, variable.type);
    }
  }

  private locks(statement: Statement): boolean {
    return statement.locks && !this.shared.ignoreLockHints;
  }

  private async lockForReading(statement: Statement, run: Run): Promise<void> {
    if (!this.locks(statement)) return;
    if (this.inTransaction) await this.writing(run, false, () => undefined);
    else await this.shared.lock.acquire(this, run.signal);
  }

  private async write(
    statement: Extract<Dml, { kind: 'insert' | 'update' | 'delete' }>,
    run: Run,
  ): Promise<void> {
    const verb = statement.kind.toUpperCase();
    const compiled = this.compile(statement, () => statement, run);
    const { target } = compiled;
    const temporary = (target?.name.startsWith('#') ?? false) && !this.locks(statement);
    const values = this.bind(compiled, run);
    const { rows, count, identity } = await this.writing(run, temporary, (waited) =>
      this.connection.write(
        waited ? this.compile(statement, () => statement, run, true) : compiled,
        values,
        verb,
      ),
    );
    const { response } = run;
    if (compiled.columns.length > 0) {
      response.columns(compiled.columns);
      for (const row of rows) if (!response.row(compiled.columns, row)) await response.flush();
    }
    this.rowCount = count;
    if (verb === 'INSERT' && count > 0 && target?.columns.some((column) => column.identity))
      this.identity = identity;
    response.statementDone(this.options.noCount ? undefined : count);
  }

  private evaluate(expr: Expr, type: SqlType, run: Run): SqlValue {
    return this.single(expr, { kind: 'cast', expr, type, lenient: false }, run);
  }

  private async condition(condition: Expr, statement: Statement, run: Run): Promise<boolean> {
    const one: Expr = { kind: 'literal', type: INT, value: 1n };
    await this.lockForReading(statement, run);
    const whens = [{ when: condition, then: one }];
    return (
      this.single(condition, { kind: 'case', operand: undefined, whens, otherwise: undefined }, run) === 1n
    );
  }

  private single(node: Expr, value: Expr, run: Run): SqlValue {
    const compiled = this.compile(node, () => selectOf(value), run);
    const rows = this.connection.rows(compiled, this.bind(compiled, run));
    try {
      const row = rows.next();
      return row.done ? null : (row.value[0] ?? null);
    } finally {
      // An open cursor would keep this session's look at the database as it is now.
      rows.return?.();
    }
  }

  /** SQLite's plan of every statement that has one, those of both branches included; temporary tables are created on the way. */
  explain(sql: string, variables: Variables): string[] {
    const run = { variables: new Map(variables) } as Run;
    const plans = (statement: Statement): string[] => {
      if (statement.kind === 'block') return statement.statements.flatMap(plans);
      if (statement.kind === 'if')
        return [statement.then, ...(statement.otherwise ? [statement.otherwise] : [])].flatMap(plans);
      if (statement.kind === 'declare')
        for (const { name, type } of statement.variables) run.variables.set(name, { type, value: null });
      if (isTemporary(statement)) executeDdl(statement as never, this.connection, this.context(run));
      return isDml(statement) ? this.connection.plan(compile(statement, this.context(run))) : [];
    };
    return parse(sql).flatMap(plans);
  }

  /** RESETCONNECTION: as after login. */
  reset(): void {
    this.rollback();
    this.dropTemporary(() => true);
    this.options = { xactAbort: false, noCount: false };
    this.identityInsert = undefined;
  }

  close(): void {
    this.rollback();
    this.shared.lock.release(this);
    this.connection.close();
  }
}

/** What is not served shows in its statement, also where only a part of it was looked at. */
function quoting(error: unknown, { text }: Statement): unknown {
  if (!(error instanceof SqlError) || error.number !== 50000 || error.message.includes(text)) return error;
  return batchError(50000, `${error.message}: ${text.slice(0, 1500)}`);
}

const isDml = (statement: Statement): statement is Dml =>
  ['select', 'insert', 'update', 'delete'].includes(statement.kind);

const signatureOf = (variables: Variables): string =>
  [...variables].map(([name, { type }]) => `${name} ${JSON.stringify(type)}`).join();

/** Whether DDL is about temporary tables alone. */
function isTemporary(statement: Statement): boolean {
  if (statement.kind === 'drop') return statement.names.every(({ name }) => name.startsWith('#'));
  return 'table' in statement && statement.table.name.startsWith('#');
}
