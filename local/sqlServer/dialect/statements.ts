import { remembering } from '../../remembering';
import { sqlError } from '../errors';
import { BOOLEAN, nvarchar, type SqlType } from '../sqlTypes';
import { compileValue, compiling, type Compile } from './compile';
import type { Definition } from './definitionParser';
import { WriteParser } from './writeParser';

export type StatementBody =
  | { readonly kind: 'select' | 'insert' | 'update' | 'delete'; readonly compile: Compile }
  | { readonly kind: 'begin' | 'commit' | 'rollback' }
  | {
      readonly kind: 'if';
      readonly condition: Compile;
      readonly then: Statement;
      readonly otherwise: Statement | undefined;
      readonly loops: boolean;
    }
  | { readonly kind: 'block'; readonly statements: readonly Statement[] }
  | { readonly kind: 'declare'; readonly variables: readonly Declaration[] }
  | { readonly kind: 'assign'; readonly name: string; readonly value: Compile }
  | { readonly kind: 'option'; readonly name: string; readonly value: string }
  | { readonly kind: 'print'; readonly value: Compile }
  | ({ readonly kind: 'define' } & Definition);

interface Declaration {
  readonly name: string;
  readonly type: SqlType;
  readonly initial: Compile | undefined;
}

export type Statement = StatementBody & {
  /** As written, for messages. */
  readonly text: string;
};

/** A batch's statements. Throws SqlError: 102 for invalid syntax, else 40514 quoting the statement. */
export const parseBatch = remembering((sql): Statement[] => new StatementParser(sql).batch());

class StatementParser extends WriteParser {
  batch(): Statement[] {
    return this.statementsUntil(() => this.peek().kind === 'end');
  }

  private statementsUntil(end: () => boolean): Statement[] {
    const statements: Statement[] = [];
    for (;;) {
      while (this.accept(';'));
      if (end()) return statements;
      statements.push(this.statement());
    }
  }

  private statement(): Statement {
    const { start } = this.peek();
    this.statementStart = start;
    const body = this.statementBody();
    this.accept(';');
    return { ...body, text: this.textFrom(start) };
  }

  private statementBody(): StatementBody {
    this.commonTables();
    if (this.is('SELECT')) {
      const query = this.query();
      return { kind: 'select', compile: compiling((emission) => query({ emission }, { top: true })) };
    }
    if (this.accept('INSERT')) return { kind: 'insert', compile: this.insert() };
    if (this.accept('UPDATE')) return { kind: 'update', compile: this.update() };
    if (this.accept('DELETE')) return { kind: 'delete', compile: this.delete() };
    if (this.accept('SET')) return this.set();
    if (this.accept('DECLARE')) return { kind: 'declare', variables: this.list(() => this.declaration()) };
    if (this.is('IF') || this.is('WHILE')) return this.if(this.next().value.toUpperCase() === 'WHILE');
    if (this.accept('PRINT'))
      return { kind: 'print', value: compileValue(this.expr(), () => nvarchar(4000)) };
    if (this.is('BEGIN') || this.is('COMMIT') || this.is('ROLLBACK')) return this.transaction();
    return { kind: 'define', ...this.definition() };
  }

  private transaction(): StatementBody {
    const kind = this.next().value.toLowerCase() as 'begin' | 'commit' | 'rollback';
    const transaction = this.acceptOneOf('TRANSACTION', 'TRAN') !== undefined;
    if (kind === 'begin' && !transaction)
      return { kind: 'block', statements: this.statementsUntil(() => this.accept('END')) };
    return { kind };
  }

  private if(loops: boolean): StatementBody {
    const condition = compileValue(this.expr(), () => BOOLEAN);
    const then = this.statement();
    const otherwise = !loops && this.accept('ELSE') ? this.statement() : undefined;
    return { kind: 'if', condition, then, otherwise, loops };
  }

  private declaration(): Declaration {
    const name = this.token('variable');
    this.accept('AS');
    const type = this.type();
    return { name, type, initial: this.accept('=') ? compileValue(this.expr(), () => type) : undefined };
  }

  private set(): StatementBody {
    if (this.peek().kind === 'variable') {
      const name = this.token('variable');
      this.expect('=');
      const value = compileValue(this.expr(), ({ variables }) => {
        const type = variables.get(name);
        if (type === undefined) throw sqlError(137, name);
        return type;
      });
      return { kind: 'assign', name, value };
    }
    const name = this.list(() => this.token('word')).join();
    const value = this.peek().kind === 'number' ? this.token('number') : this.token('word');
    return { kind: 'option', name, value };
  }
}
