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

/** A table's definition as far as it has been read. */
interface TableParts {
  readonly table: string;
  readonly columns: Column[];
  readonly constraints: Constraint[];
}

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
    this.acceptOneOf('CLUSTERED', 'NONCLUSTERED');
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
    const parts: TableParts = { table: name.name, columns: [], constraints: [] };
    this.parenthesised(() => this.list(() => this.columnOrConstraint(parts)));
    const { constraints } = parts;
    const key = constraints.find(({ kind }) => kind === 'primary');
    const keys = key && 'columns' in key ? key.columns.map((column) => column.toLowerCase()) : [];
    const columns = parts.columns.map((column) =>
      keys.includes(column.name.toLowerCase()) ? { ...column, nullable: false } : column,
    );
    const define: Definition['define'] = (ddl) => ddl.createTable(name, columns, constraints);
    return { temporary: name.name.startsWith('#'), define };
  }

  private nameOf(kind: keyof typeof PREFIXES, table: string, name: string | undefined): string {
    return name ?? `${PREFIXES[kind]}__${table}__${Math.random().toString(16).slice(2, 10).toUpperCase()}`;
  }

  private columnOrConstraint(parts: TableParts): void {
    const named = this.accept('CONSTRAINT') ? this.identifier() : undefined;
    if (this.constraint(parts, named, undefined)) return;
    if (named !== undefined) this.fail();
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
        const name = this.accept('CONSTRAINT') ? this.identifier() : undefined;
        if (!this.constraint(parts, name, column.name)) {
          if (name !== undefined) this.fail();
          break;
        }
      }
    }
    parts.columns.push(column);
  }

  /** `column`: the column that it is written with. Returns false if no constraint comes next. */
  private constraint(
    { table, constraints }: TableParts,
    named: string | undefined,
    column: string | undefined,
  ) {
    const columns = (): string[] =>
      column !== undefined && !this.is('(') ? [column] : this.indexColumns().map(({ name }) => name);
    const kind = this.accept('PRIMARY', 'KEY') ? 'primary' : this.accept('UNIQUE') ? 'unique' : undefined;
    if (kind !== undefined) {
      this.acceptOneOf('CLUSTERED', 'NONCLUSTERED');
      constraints.push({ kind, name: this.nameOf(kind, table, named), columns: columns() });
    } else if (this.accept('CHECK')) {
      const text = this.parenthesised(() => this.textOf(() => this.expr()));
      constraints.push({ kind: 'check', name: this.nameOf('check', table, named), text });
    } else {
      const foreign = this.accept('FOREIGN', 'KEY');
      if (!foreign && !this.is('REFERENCES')) return false;
      const own = foreign ? columns() : [column ?? this.fail()];
      this.expect('REFERENCES');
      const parent = this.objectName().name;
      const references = this.is('(') ? this.names() : [];
      const name = this.nameOf('foreign', table, named);
      constraints.push({ kind: 'foreign', name, columns: own, table: parent, references });
    }
    return true;
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
