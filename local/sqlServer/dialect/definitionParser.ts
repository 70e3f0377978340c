import type { Column, Constraint, Index } from '../engine/catalogue';
import type { Definitions } from '../engine/ddl';
import { QueryParser } from './queryParser';

/** A change of the catalogue; `temporary`: only of temporary tables. */
export interface Definition {
  readonly temporary: boolean;
  readonly define: (ddl: Definitions) => void;
}

const lasting = (define: Definition['define']): Definition => ({ temporary: false, define });

/** Prefixes of generated constraint names. */
const PREFIXES = { primary: 'PK', unique: 'UQ', foreign: 'FK', check: 'CK' } as const;

/** Reads DDL, permissions and roles: each statement becomes a change of the catalogue. */
export class DefinitionParser extends QueryParser {
  protected definition(): Definition {
    if (this.accept('CREATE')) return this.create();
    if (this.accept('DROP')) return this.drop();
    if (this.accept('ALTER', 'ROLE')) return this.alterRole();
    if (this.accept('GRANT')) return this.permission(true);
    if (this.accept('REVOKE')) return this.permission(false);
    this.fail();
  }

  private create(): Definition {
    if (this.accept('TABLE')) return this.createTable();
    if (this.accept('OR', 'ALTER', 'VIEW')) return this.createView(true);
    if (this.accept('VIEW')) return this.createView(false);
    if (this.accept('USER')) return this.createUser();
    if (!this.accept('ROLE')) return this.createIndex();
    const name = this.identifier();
    if (this.accept('AUTHORIZATION')) this.identifier();
    return lasting((ddl) => ddl.createPrincipal(name, 'R'));
  }

  private createUser(): Definition {
    const name = this.identifier();
    if (this.accept('WITHOUT', 'LOGIN')) return lasting((ddl) => ddl.createPrincipal(name, 'S'));
    this.expect('WITH', 'SID', '=');
    const sid = this.token('binary');
    this.expect(',', 'TYPE', '=', 'E');
    return lasting((ddl) => ddl.createPrincipal(name, 'E', sid));
  }

  private createIndex(): Definition {
    const unique = this.accept('UNIQUE');
    this.expect('INDEX');
    const name = this.identifier();
    this.expect('ON');
    const table = this.objectName();
    const columns = this.indexColumns();
    const include = this.accept('INCLUDE') ? this.names() : [];
    const where = this.accept('WHERE') ? this.textOf(() => this.expr()) : undefined;
    return lasting((ddl) => ddl.createIndex(table, { name, unique, columns, include, where }));
  }

  private indexColumns(): Index['columns'] {
    return this.parenthesised(() =>
      this.list(() => {
        const name = this.identifier();
        return { name, descending: this.acceptOneOf('DESC', 'ASC') === 'DESC' };
      }),
    );
  }

  private createView(orAlter: boolean): Definition {
    if (this.tokens.find(({ value }) => value !== ';')?.start !== this.statementStart)
      throw this.refusal('CREATE VIEW together with other statements');
    const name = this.objectName();
    this.expect('AS');
    const query = this.textOf(() => this.query());
    while (this.accept(';'));
    if (this.peek().kind !== 'end') throw this.refusal('CREATE VIEW together with other statements');
    return lasting((ddl) => ddl.createView(name, query, this.sql, orAlter));
  }

  private createTable(): Definition {
    const name = this.objectName();
    const columns: Column[] = [];
    const constraints: Constraint[] = [];
    this.parenthesised(() => this.list(() => columns.push(this.column(name.name, constraints))));
    const define: Definition['define'] = (ddl) => ddl.createTable(name, columns, constraints);
    return { temporary: name.name.startsWith('#'), define };
  }

  /** A column; its constraints are added to those of its table. */
  private column(table: string, constraints: Constraint[]): Column {
    const column: { -readonly [key in keyof Column]: Column[key] } = {
      name: this.identifier(),
      type: this.type(),
      collation: 'NOCASE',
      nullable: true,
      identity: false,
    };
    for (;;) {
      if (this.accept('COLLATE')) column.collation = this.collation();
      else if (this.accept('NOT', 'NULL')) column.nullable = false;
      else if (this.accept('IDENTITY')) {
        column.identity = true;
        column.nullable = false;
        if (this.is('(')) this.expect('(', '1', ',', '1', ')');
      } else if (!this.accept('NULL')) {
        const named = this.accept('CONSTRAINT') ? this.identifier() : undefined;
        const constraint = this.constraint();
        if (constraint) {
          const generated = `${PREFIXES[constraint.kind]}__${table}__${Math.random().toString(16).slice(2, 10).toUpperCase()}`;
          constraints.push({ name: named ?? generated, column: column.name, ...constraint });
          if (constraint.kind === 'primary') column.nullable = false;
        } else if (named === undefined) return column;
        else this.fail();
      }
    }
  }

  private constraint() {
    if (this.accept('PRIMARY', 'KEY')) return { kind: 'primary' } as const;
    if (this.accept('UNIQUE')) return { kind: 'unique' } as const;
    if (this.accept('CHECK')) {
      const text = this.parenthesised(() => this.textOf(() => this.expr()));
      return { kind: 'check', text } as const;
    }
    if (!this.accept('REFERENCES')) return undefined;
    const table = this.objectName().name;
    return { kind: 'foreign', table, references: this.parenthesised(() => this.identifier()) } as const;
  }

  private drop(): Definition {
    const object = this.acceptOneOf('TABLE', 'VIEW', 'ROLE', 'USER', 'INDEX') ?? this.fail();
    const ifExists = this.accept('IF', 'EXISTS');
    const names = this.list(() => this.objectName());
    if (object === 'INDEX') {
      this.expect('ON');
      const table = this.objectName();
      return lasting((ddl) => names.forEach(({ name }) => ddl.dropIndex(table, name, ifExists)));
    }
    const define: Definition['define'] = (ddl) => names.forEach((name) => ddl.drop(object, name, ifExists));
    return { temporary: names.every(({ name }) => name.startsWith('#')), define };
  }

  private alterRole(): Definition {
    const role = this.identifier();
    const add = this.acceptOneOf('ADD', 'DROP') === 'ADD';
    this.expect('MEMBER');
    const member = this.identifier();
    return lasting((ddl) => ddl.changeMember(role, member, add));
  }

  private permission(grant: boolean): Definition {
    const permissions = this.list(() => {
      const permission = this.token('word');
      if (!this.is('(')) return permission;
      return this.names().map((column) => `${permission} (${column})`);
    }).flat();
    const on = this.accept('ON') ? this.objectName() : undefined;
    this.expect(grant ? 'TO' : 'FROM');
    const names = this.list(() => this.identifier());
    return lasting((ddl) => names.forEach((name) => ddl.changePermissions(name, permissions, on, grant)));
  }
}
