import { compileOwn, compiling } from '../dialect/compile';
import { parseQuery, tableSql } from '../dialect/queryParser';
import { quote, type CompileContext, type Name } from '../dialect/scope';
import { notServed, sqlError } from '../errors';
import { isInteger, isString } from '../sqlTypes';
import { findColumn, integerKey, invalidColumn, isNamed } from './catalogue';
import type { Catalogue, Column, Constraint, Index, Principal, Stored, Table } from './catalogue';
import type { Connection } from './connection';
import { isSqliteError } from './sqliteErrors';

/** Changes the catalogue and SQLite's schema with it. Every method throws SqlError. */
export class Definitions {
  private readonly catalogue: Catalogue;

  constructor(
    private readonly connection: Connection,
    private readonly context: CompileContext,
  ) {
    this.catalogue = connection.catalogue;
  }

  // --- principals ----------------------------------------------------------------------------------------------------

  createPrincipal(name: string, type: Principal['type'], sid?: string): void {
    if (this.catalogue.find('principal', name)) throw sqlError(15023, name);
    this.catalogue.add({ kind: 'principal', name, type, memberOf: [], permissions: [], ...(sid && { sid }) });
  }

  private principal(name: string): Stored<Principal> {
    const found = this.catalogue.find('principal', name);
    if (found === undefined) throw sqlError(15151, 'user or role', name);
    return found;
  }

  changeMember(roleName: string, memberName: string, add: boolean): void {
    const role = this.principal(roleName);
    const member = this.principal(memberName);
    const others = member.memberOf.filter((name) => name !== role.name);
    this.catalogue.replace({ ...member, memberOf: add ? [...others, role.name] : others });
  }

  changePermissions(
    name: string,
    permissions: readonly string[],
    securable: Name | undefined,
    grant: boolean,
  ): void {
    const principal = this.principal(name);
    const object = securable && this.catalogue.object(securable);
    if (securable && !object) throw sqlError(15151, 'object', securable.name);
    const on = object?.name;
    // With a permission on an object go those on its columns.
    const concerned = (one: string): boolean =>
      permissions.some((permission) => one === permission || one.startsWith(`${permission} (`));
    const others = principal.permissions.filter((one) => one.on !== on || !concerned(one.permission));
    const granted = grant ? permissions.map((permission) => ({ permission, on })) : [];
    this.catalogue.replace({ ...principal, permissions: [...others, ...granted] });
  }

  // --- tables -------------------------------------------------------------------------------------------------------

  private checkNewName(name: string): void {
    if (this.catalogue.isTaken(name)) throw sqlError(2714, name);
  }

  createTable({ name }: Name, columns: readonly Column[], constraints: readonly Constraint[]): void {
    this.checkNewName(name);
    for (const constraint of constraints) {
      this.checkNewName(constraint.name);
      if (constraint.kind === 'foreign') this.catalogue.table({ schema: undefined, name: constraint.table });
    }
    const table: Table = { kind: 'table', name, columns, constraints, indexes: [] };
    this.connection.exec(`CREATE TABLE ${tableSql(name)} ${this.body(table)}`);
    this.catalogue.add(table);
  }

  /** The column list of CREATE TABLE. */
  private body(table: Table): string {
    const integer = integerKey(table);
    const columns = table.columns.map((column) => {
      const { name, identity, nullable } = column;
      if (identity && name !== integer)
        throw notServed(`IDENTITY on a column that is not the primary key (${name})`);
      const isKey = table.constraints.some((one) => one.kind === 'primary' && one.column === name);
      const key = isKey ? ` PRIMARY KEY${identity ? ' AUTOINCREMENT' : ''}` : '';
      return `${quote(name)} ${storage(column)}${key}${nullable ? '' : ' NOT NULL'}`;
    });
    const check = (name: string, condition: string): string =>
      `CONSTRAINT ${quote(name)} CHECK (${condition})`;
    const lengths = table.columns.flatMap(({ name, type: { length = 0 } }) =>
      length > 0 ? check(`__length:${name}`, `length(${quote(name)}) <= ${length}`) : [],
    );
    const constraints = table.constraints.flatMap((one) => {
      if (one.kind === 'check') return check(one.name, compileOwn(one.text, table, this.context));
      if (one.kind === 'foreign')
        return `FOREIGN KEY (${quote(one.column)}) REFERENCES ${quote(one.table)} (${quote(one.references)})`;
      return one.kind === 'unique' ? `UNIQUE (${quote(one.column)})` : [];
    });
    return `(${[...columns, ...lengths, ...constraints].join(', ')})`;
  }

  // --- indexes and views -------------------------------------------------------------------------------------------

  private index(table: Table, { name, unique, columns, where }: Index): void {
    const keys = columns.map((column) => quote(column.name) + (column.descending ? ' DESC' : '')).join(', ');
    const filter = where === undefined ? '' : ` WHERE ${compileOwn(where, table, this.context)}`;
    const schema = table.name.startsWith('#') ? 'temp' : 'main';
    const index = `${unique ? 'UNIQUE ' : ''}INDEX ${schema}.${quote(indexName(table, name))}`;
    this.connection.exec(`CREATE ${index} ON ${quote(table.name)} (${keys})${filter}`);
  }

  createIndex(tableName: Name, index: Index): void {
    const table = this.catalogue.table(tableName);
    if (table.indexes.some(isNamed(index.name)))
      throw notServed(`a second index ${index.name} of ${table.name}`);
    const unknown = [...index.columns.map(({ name }) => name), ...index.include].find(
      (name) => findColumn(table, name) === undefined,
    );
    if (unknown !== undefined) throw invalidColumn(unknown);
    try {
      this.index(table, index);
    } catch (error) {
      const duplicate = isSqliteError(error) && error.errcode === 2067;
      throw duplicate ? sqlError(1505, table.name, index.name) : error;
    }
    this.catalogue.replace({ ...table, indexes: [...table.indexes, index] });
  }

  dropIndex(tableName: Name, name: string, ifExists: boolean): void {
    const table = this.catalogue.table(tableName);
    const index = table.indexes.find(isNamed(name));
    if (index === undefined && ifExists) return;
    if (index === undefined) throw sqlError(3701, 'index', `${table.name}.${name}`);
    this.connection.exec(`DROP INDEX ${quote(indexName(table, index.name))}`);
    this.catalogue.replace({ ...table, indexes: table.indexes.filter((one) => one !== index) });
  }

  createView(name: Name, definition: string, module: string, orAlter: boolean): void {
    const existing = this.catalogue.object(name);
    if (!orAlter || existing?.kind !== 'view') this.checkNewName(name.name);
    const query = parseQuery(definition);
    const compiled = compiling((emission) => query({ emission }))({ ...this.context, variables: new Map() });
    const columns = compiled.columns.map((column): Column => {
      if (column.name === '') throw notServed('a column without a name in a view');
      return { ...column, collation: 'NOCASE', nullable: true, identity: false };
    });
    const view = { kind: 'view', name: existing?.name ?? name.name, columns, definition, module } as const;
    if (existing) this.catalogue.replace({ ...view, id: existing.id });
    else this.catalogue.add(view);
  }

  drop(object: string, name: Name, ifExists: boolean): void {
    const kind = object === 'TABLE' ? 'table' : object === 'VIEW' ? 'view' : 'principal';
    const found = kind === 'principal' ? this.catalogue.find(kind, name.name) : this.catalogue.object(name);
    if (found === undefined && ifExists) return;
    if (found?.kind !== kind) throw sqlError(3701, object.toLowerCase(), name.name);
    if (found.kind === 'table') {
      const refers = (one: Constraint): boolean => one.kind === 'foreign' && isNamed(one.table)(found);
      if (this.catalogue.tables().some((one) => one.id !== found.id && one.constraints.some(refers)))
        throw notServed(`dropping ${found.name}, to which a foreign key refers`);
      this.connection.exec(`DROP TABLE ${tableSql(found.name)}`);
    }
    this.catalogue.remove(found);
  }
}

/** How SQLite keeps a column. */
function storage({ type, collation }: Column): string {
  if (isInteger(type)) return 'INTEGER';
  if (type.name === 'varbinary') return 'BLOB';
  return isString(type) ? `TEXT COLLATE ${collation}` : 'TEXT';
}

/** Index names are a table's own in SQL Server and the database's in SQLite. */
const indexName = (table: Table, name: string): string => `${table.name}.${name}`;
