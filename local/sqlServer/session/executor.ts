import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Compile, Compiled } from '../dialect/compile';
import type { CompileContext } from '../dialect/scope';
import { parseBatch, type Statement } from '../dialect/statements';
import type { Catalogue } from '../engine/catalogue';
import { Connection, type Values } from '../engine/connection';
import { fromDate, roundTo } from '../engine/dates';
import { Definitions } from '../engine/ddl';
import { notServed, SqlError, sqlError } from '../errors';
import { DATETIME, type SqlType, type SqlValue } from '../sqlTypes';
import type { Parameter, SqlRequest } from '../wire/requests';
import { Change, type Response } from '../wire/response';
import { Cancelled, type WriterLock } from './lock';

const VERSION = 'Microsoft SQL Server 2022 (stand-in on SQLite)';
/** What clients know a transaction by; a session has one at a time. */
const DESCRIPTOR = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
/** After a statement that took this long, the event loop gets a turn: an attention that came meanwhile is seen. */
const LONG_STATEMENT_MS = 10;

type Dml = Extract<Statement, { compile: Compile }>;
type Variables = Map<string, { type: SqlType; value: SqlValue }>;

/** One request on its way through the executor. */
export interface Run {
  readonly response: Response;
  readonly signal: AbortSignal;
  readonly variables: Variables;
}

class EndOfBatch extends Error {}

export interface SharedState {
  readonly lock: WriterLock;
  readonly epoch: { value: number };
  readonly now: () => Date;
  readonly database: string;
}

/** What a session is to T-SQL: its settings, its transaction and its temporary tables. It runs one batch at a time. */
export class Executor {
  /** Awaited before the next commit of what was written. */
  beforeCommit: (() => Promise<void>) | undefined;
  private readonly connection: Connection;
  xactAbort = false;
  private inTransaction = false;
  /** SQLite's transaction begins with the first write: reads before it see what is committed. */
  private begun = false;
  private changedCatalogue = false;
  private temporaryBefore: Catalogue['temporaryTables'];
  private rowCount = 0;

  constructor(
    file: string,
    private readonly shared: SharedState,
  ) {
    this.connection = new Connection(file, shared.epoch);
    this.temporaryBefore = this.connection.catalogue.temporaryTables;
  }

  /**
   * Runs a batch, or a call of sp_executesql, with which SET options and temporary tables of its text end. Errors go to
   * the response. Throws Cancelled only.
   */
  async execute({ sql, parameters }: SqlRequest, response: Response, signal: AbortSignal): Promise<void> {
    const { catalogue } = this.connection;
    const [{ xactAbort }, temporary] = [this, catalogue.temporaryTables];
    const variables: Variables = new Map(parameters?.map((parameter) => [parameter.name, { ...parameter }]));
    const run = { response, signal, variables };
    try {
      await this.statements(parseBatch(sql), run);
    } catch (error) {
      if (error instanceof Cancelled && parameters) this.cancelled(response);
      if (error instanceof Cancelled) throw error;
      if (!(error instanceof EndOfBatch)) this.fail(error, run);
    } finally {
      if (parameters) {
        this.xactAbort = xactAbort;
        for (const [name, table] of catalogue.temporaryTables) {
          if (temporary.has(name)) continue;
          this.connection.exec(`DROP TABLE temp."${table.name}"`);
          catalogue.remove(table);
        }
      }
    }
  }

  /** A cancelled request leaves its transaction open unless XACT_ABORT is on. */
  cancelled(response: Response): void {
    if (this.xactAbort) this.rollback(response);
    if (!this.inTransaction) this.shared.lock.release(this);
  }

  /** A fault's error, as if the statement had failed with it. */
  raise(error: SqlError, response: Response, rollsBack: boolean): void {
    response.error(error);
    response.statementDone(undefined, true);
    if (rollsBack) this.rollback(response);
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
      thrown instanceof SqlError ? thrown : new SqlError(40514, `The SQL stand-in failed: ${String(thrown)}`);
    run.response.error(error);
    if (error.next) run.response.error(error.next);
    run.response.statementDone(undefined, true);
    this.rowCount = 0;
    const abort = this.xactAbort || error.rollsBack;
    if (abort) this.rollback(run.response);
    if (!this.inTransaction) this.shared.lock.release(this);
    return abort || error.endsBatch;
  }

  private async statement(statement: Statement, run: Run): Promise<void> {
    switch (statement.kind) {
      case 'block':
        return this.statements(statement.statements, run);
      case 'if': {
        const met = this.evaluate(statement.condition, run) === 1n;
        const branch = met ? statement.then : statement.otherwise;
        if (branch) await this.statements([branch], run);
        return statement.loops && met ? this.statement(statement, run) : undefined;
      }
      case 'select':
        return this.select(statement, run);
      case 'insert':
      case 'update':
      case 'delete':
        return this.write(statement, run);
      case 'declare':
        for (const { name, type, initial } of statement.variables) {
          if (run.variables.has(name)) throw notServed(`a second variable ${name}`);
          run.variables.set(name, { type, value: initial ? this.evaluate(initial, run) : null });
        }
        return;
      case 'assign': {
        const value = this.evaluate(statement.value, run);
        Object.assign(run.variables.get(statement.name) ?? {}, { value });
        this.rowCount = 1;
        return;
      }
    }
    await this.control(statement, run);
    this.rowCount = 0;
  }

  /** Statements that neither read nor write rows. */
  private async control(
    statement: Exclude<Statement, Dml | { kind: 'block' | 'if' | 'declare' | 'assign' }>,
    run: Run,
  ): Promise<void> {
    const { response } = run;
    switch (statement.kind) {
      case 'begin':
        this.begin(response);
        return;
      case 'commit':
        return this.commit(response);
      case 'rollback':
        if (!this.inTransaction) throw sqlError(3903);
        this.rollback(response);
        return;
      case 'option':
        if (statement.name === 'XACT_ABORT') this.xactAbort = statement.value === 'ON';
        break;
      case 'print':
        response.info(String(this.evaluate(statement.value, run) ?? ''));
        break;
      case 'define':
        await this.writing(run, statement.temporary, () => this.define(statement, run));
    }
    response.statementDone();
  }

  private define({ define, temporary }: Extract<Statement, { kind: 'define' }>, run: Run): void {
    if (!temporary) this.changedCatalogue = true;
    define(new Definitions(this.connection, this.context(run)));
  }

  // --- transactions -------------------------------------------------------------------------------------------------

  private begin(response: Response): void {
    if (this.inTransaction) throw notServed('a transaction within a transaction');
    this.inTransaction = true;
    this.temporaryBefore = this.connection.catalogue.temporaryTables;
    response.environment(Change.begin, DESCRIPTOR);
    response.statementDone();
  }

  private async commit(response: Response): Promise<void> {
    if (!this.inTransaction) throw sqlError(3902);
    if (this.begun) {
      await this.beforeCommit?.();
      this.connection.end('COMMIT');
    }
    this.ended();
    response.environment(Change.commit, Buffer.alloc(0), DESCRIPTOR);
    response.statementDone();
  }

  private rollback(response?: Response): void {
    if (!this.inTransaction) return;
    if (this.begun) {
      this.connection.end('ROLLBACK');
      this.connection.catalogue.temporaryTables = this.temporaryBefore;
    }
    this.ended();
    response?.environment(Change.rollback, Buffer.alloc(0), DESCRIPTOR);
    response?.statementDone();
  }

  private ended(): void {
    this.inTransaction = false;
    this.begun = false;
    if (this.changedCatalogue) this.connection.catalogue.changed();
    this.changedCatalogue = false;
    this.shared.lock.release(this);
  }

  /** Takes the writer lock, within a transaction until its end. Outside of one, a temporary table needs no lock. */
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
      if (this.changedCatalogue) this.connection.catalogue.changed();
      throw error;
    } finally {
      this.changedCatalogue = false;
    }
  }

  /** Takes the turn to write and begins SQLite's transaction. True: others wrote first, and a snapshot was taken before. */
  private async beginWriting(signal: AbortSignal): Promise<boolean> {
    let waited = false as boolean;
    const onWait = (): void => {
      this.connection.beginWithSnapshot();
      waited = true;
    };
    try {
      await this.shared.lock.acquire(this, signal, onWait);
    } catch (error) {
      this.connection.end('ROLLBACK');
      throw error;
    }
    if (!waited) this.connection.exec('BEGIN IMMEDIATE');
    return waited;
  }

  // --- statements ---------------------------------------------------------------------------------------------------

  private context(run: Run, waited = false): CompileContext {
    const variables = new Map([...run.variables].map(([name, { type }]) => [name, type]));
    return { catalogue: this.connection.catalogue, variables, waited };
  }

  private bind(compiled: Compiled, run: Run): Values {
    return Object.fromEntries(compiled.bindings.map((name) => [name, this.bound(name, run)]));
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
        return this.inTransaction ? 1n : 0n;
      case 'version':
        return VERSION;
      case 'database':
        return this.shared.database;
      case 'user':
        return 'dbo';
      default:
        return run.variables.get(name.replace(/^v_/, '@'))?.value ?? null;
    }
  }

  private async select(statement: Dml, run: Run): Promise<void> {
    const compiled = statement.compile(this.context(run));
    const { response } = run;
    response.columns(compiled.columns);
    const rows = this.connection.rows(compiled, this.bind(compiled, run));
    let count = 0;
    try {
      for (let row = rows.next(); !row.done; row = rows.next()) {
        count++;
        if (response.row(row.value)) continue;
        await response.flush();
        await nextTurn();
        if (run.signal.aborted) throw new Cancelled();
      }
    } finally {
      rows.return?.();
    }
    this.rowCount = count;
    response.statementDone(count);
  }

  private async write(statement: Dml, run: Run): Promise<void> {
    const verb = statement.kind.toUpperCase();
    const before = statement.compile(this.context(run));
    const temporary = before.target?.name.startsWith('#') ?? false;
    const values = this.bind(before, run);
    const count = await this.writing(run, temporary, (waited) => {
      const compiled = waited ? statement.compile(this.context(run, true)) : before;
      return this.connection.write(compiled, values, verb);
    });
    this.rowCount = count;
    run.response.statementDone(count);
  }

  /** The value of a query of one row and column. */
  private evaluate(compile: Compile, run: Run): SqlValue {
    const compiled = compile(this.context(run));
    return this.connection.value(compiled, this.bind(compiled, run));
  }

  /** SQLite's plan of every statement that has one, also in branches; temporary tables are created on the way. */
  explain(sql: string, parameters: readonly Parameter[]): string[] {
    const run = { variables: new Map(parameters.map((one) => [one.name, { ...one }])) } as unknown as Run;
    const plans = (statement: Statement): string[] => {
      if (statement.kind === 'block') return statement.statements.flatMap(plans);
      if (statement.kind === 'if') return [statement.then, statement.otherwise ?? []].flat().flatMap(plans);
      if (statement.kind === 'declare')
        for (const { name, type } of statement.variables) run.variables.set(name, { type, value: null });
      if (statement.kind === 'define' && statement.temporary) this.define(statement, run);
      return 'compile' in statement ? this.connection.plan(statement.compile(this.context(run))) : [];
    };
    return parseBatch(sql).flatMap(plans);
  }

  close(): void {
    this.rollback();
    this.shared.lock.release(this);
    this.connection.close();
  }
}

/** What is not served shows in its statement, also where only a part of it was looked at. */
function quoting(error: unknown, { text }: Statement): unknown {
  if (!(error instanceof SqlError) || error.number !== 40514 || error.message.includes(text)) return error;
  return notServed(error.message.replace(/^The SQL stand-in does not serve /, ''), text);
}
