import type { ColumnDefinition, ConstraintDefinition, IndexColumn, Name, Statement } from '../dialect/ast';
import { compile, compileExpression, tableSql, type EmitContext } from '../dialect/emitter';
import { parseExpression, parseQuery, selectOf } from '../dialect/parser';
import { quote } from '../dialect/scope';
import { SqlError, notServed } from '../errors';
import { isInteger, isString, type SqlType } from '../sqlTypes';
import {
  findColumn,
  integerKey,
  type Catalogue,
  type Column,
  type Constraint,
  type Index,
  type Stored,
  type Table,
} from './catalogue';
import { isSqliteError, type Connection } from './connection';

type Ddl = Extract<
  Statement,
  {
    kind:
      | 'createTable'
      | 'createIndex'
      | 'createView'
      | 'drop'
      | 'dropIndex'
      | 'alterTable'
      | 'createPrincipal'
      | 'roleMember'
      | 'permission';
  }
>;

/** Carries out a statement that changes the catalogue. Throws SqlError. */
export function executeDdl(statement: Ddl, connection: Connection, context: EmitContext): void {
  new DdlExecutor(connection, context).execute(statement);
}

function storage(type: SqlType): string {
  if (isInteger(type)) return 'INTEGER';
  if (type.name === 'float' || type.name === 'decimal') return 'REAL';
  return type.name === 'varbinary' ? 'BLOB' : 'TEXT';
}

class DdlExecutor {
  private readonly catalogue: Catalogue;

  constructor(
    private readonly connection: Connection,
    private readonly context: EmitContext,
  ) {
    this.catalogue = connection.catalogue;
  }

  execute(statement: Ddl): void {
    switch (statement.kind) {
      case 'createTable': {
        this.createTable(statement);
        return;
      }
      case 'createIndex': {
        this.createIndex(statement);
        return;
      }
      case 'createView': {
        this.createView(statement);
        return;
      }
      case 'drop': {
        statement.names.forEach((name) => this.drop(statement.object, name, statement.ifExists));
        return;
      }
      case 'dropIndex': {
        this.dropIndex(statement);
        return;
      }
      case 'alterTable': {
        this.alterTable(statement);
        return;
      }
      case 'createPrincipal': {
        const { name, type, sid } = statement;
        if (this.catalogue.principal(name)) {
          throw new SqlError(15023, `User, group, or role '${name}' already exists in the current database.`);
        }
        this.catalogue.add({
          kind: 'principal',
          name,
          type,
          ...(sid && { sid }),
          memberOf: [],
          permissions: [],
        });
        return;
      }
      case 'roleMember': {
        const role = this.principal(statement.role);
        const member = this.principal(statement.member);
        const others = member.memberOf.filter((name) => name !== role.name);
        this.catalogue.replace({ ...member, memberOf: statement.add ? [...others, role.name] : others });
        return;
      }
      case 'permission': {
        statement.principals.forEach((name) => this.permission(statement, name));
        return;
      }
    }
  }

  private principal(name: string) {
    const found = this.catalogue.principal(name);
    if (found) return found;
    throw new SqlError(
      15151,
      `Cannot find the user or role '${name}', because it does not exist or you do not have permission.`,
    );
  }

  private permission(statement: Extract<Ddl, { kind: 'permission' }>, name: string): void {
    const { state } = statement;
    const principal = this.principal(name);
    const object = statement.on && this.catalogue.object(statement.on);
    if (statement.on && !object) {
      throw new SqlError(
        15151,
        `Cannot find the object '${statement.on.name}', because it does not exist or you do not have permission.`,
      );
    }
    const on = object?.name;
    const others = principal.permissions.filter(
      (held) => held.on !== on || !statement.permissions.includes(held.permission),
    );
    const added =
      state === 'REVOKE' ? [] : statement.permissions.map((permission) => ({ state, permission, on }));
    this.catalogue.replace({ ...principal, permissions: [...others, ...added] });
  }

  private checkNewName(name: Name): void {
    if (
      this.catalogue.object(name) ||
      (!name.name.startsWith('#') && this.catalogue.objectId(name.name) !== null)
    ) {
      throw new SqlError(2714, `There is already an object named '${name.name}' in the database.`);
    }
  }

  private createTable(statement: Extract<Ddl, { kind: 'createTable' }>): void {
    const { name } = statement.table;
    this.checkNewName(statement.table);
    const constraints = statement.constraints.map((constraint) => this.constraint(constraint, name));
    const primary = constraints.find((constraint) => constraint.kind === 'primary');
    const keys = primary?.kind === 'primary' ? primary.columns.map((column) => column.toLowerCase()) : [];
    const columns = statement.columns.map((column) =>
      toColumn(column, name, keys.includes(column.name.toLowerCase())),
    );
    const indexes = statement.indexes.map((index): Index => ({ ...index, include: [], where: undefined }));
    const table: Table = { kind: 'table', name, columns, constraints, indexes };
    this.checkConstraints(table, constraints);
    this.connection.exec(`CREATE TABLE ${tableSql(name)} ${this.body(table)}`);
    for (const { name: key, columns: keyColumns } of uniqueKeys(table)) {
      this.index(table, {
        name: key,
        unique: true,
        columns: keyColumns.map((column) => ({ name: column, descending: false })),
        include: [],
        where: undefined,
      });
    }
    for (const index of indexes) this.index(table, index);
    this.catalogue.add(table);
  }

  private constraint(definition: ConstraintDefinition, table: string): Constraint {
    const made =
      definition.name ??
      `${definition.kind === 'primary' ? 'PK' : definition.kind === 'foreign' ? 'FK' : definition.kind === 'check' ? 'CK' : 'UQ'}__${table}__${Math.random().toString(16).slice(2, 10).toUpperCase()}`;
    if (definition.name !== undefined) this.checkNewName({ schema: undefined, name: made });
    if (definition.kind !== 'foreign') return { ...definition, name: made };
    const parent = this.catalogue.object({ schema: undefined, name: definition.table });
    if (parent?.kind !== 'table') {
      throw new SqlError(1767, `Foreign key '${made}' references invalid table 'dbo.${definition.table}'.`);
    }
    const primary = parent.constraints.find((constraint) => constraint.kind === 'primary');
    const implied = primary?.kind === 'primary' ? primary.columns : [];
    return {
      ...definition,
      name: made,
      table: parent.name,
      references: definition.references.length > 0 ? definition.references : implied,
    };
  }

  private checkConstraints(table: Table, constraints: readonly Constraint[]): void {
    for (const constraint of constraints) {
      for (const column of 'columns' in constraint ? constraint.columns : []) {
        if (findColumn(table, column) === undefined)
          throw new SqlError(1911, `Column name '${column}' does not exist in the target table or view.`);
      }
      if (constraint.kind !== 'foreign') continue;
      const parent = this.catalogue.table({ schema: undefined, name: constraint.table });
      const unique = [...uniqueKeys(parent).map((key) => key.columns), integerKey(parent)];
      if (
        !unique.some(
          (columns) => columns?.join().toLowerCase() === constraint.references.join().toLowerCase(),
        )
      ) {
        throw new SqlError(
          1776,
          `There are no primary or candidate keys in the referenced table 'dbo.${parent.name}' that match the referencing column list in the foreign key '${constraint.name}'.`,
        );
      }
    }
  }

  /** The column list of CREATE TABLE. Keys other than an integer primary key are unique indexes of their own. */
  private body(table: Table): string {
    const [integer] = integerKey(table) ?? [];
    const columns = table.columns.map(({ name, type, collation, nullable, identity }) => {
      const collate = isString(type) ? ` COLLATE ${collation}` : '';
      const key = name === integer ? ` PRIMARY KEY${identity ? ' AUTOINCREMENT' : ''}` : '';
      if (identity && name !== integer)
        throw notServed(`IDENTITY on a column that is not the primary key (${name})`);
      return `${quote(name)} ${storage(type)}${collate}${key}${nullable ? '' : ' NOT NULL'}`;
    });
    const lengths = table.columns
      .filter(({ type }) => type.length !== undefined && type.length > 0)
      .map(
        ({ name, type }) =>
          `CONSTRAINT ${quote(`__length:${name}`)} CHECK (length(${quote(name)}) <= ${type.length ?? 0})`,
      );
    const constraints = table.constraints.flatMap((constraint) => {
      if (constraint.kind === 'check') {
        return [
          `CONSTRAINT ${quote(constraint.name)} CHECK (${compileExpression(constraint.text, table, this.context)})`,
        ];
      }
      if (constraint.kind !== 'foreign') return [];
      const list = (names: readonly string[]): string => names.map(quote).join(', ');
      return [
        `FOREIGN KEY (${list(constraint.columns)}) REFERENCES ${quote(constraint.table)} (${list(constraint.references)})`,
      ];
    });
    return `(${[...columns, ...lengths, ...constraints].join(', ')})`;
  }

  private index(table: Table, index: Index): void {
    const where =
      index.where === undefined ? '' : ` WHERE ${compileExpression(index.where, table, this.context)}`;
    const columns = index.columns.map(
      ({ name, descending }: IndexColumn) => quote(name) + (descending ? ' DESC' : ''),
    );
    const schema = table.name.startsWith('#') ? 'temp' : 'main';
    const name = `${schema}.${quote(indexName(table, index.name))}`;
    this.connection.exec(
      `CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX ${name} ON ${quote(table.name)} (${columns.join(', ')})${where}`,
    );
  }

  private createIndex(statement: Extract<Ddl, { kind: 'createIndex' }>): void {
    const { name, unique, columns, include, where } = statement;
    const table = this.catalogue.table(statement.table);
    if (table.indexes.some((index) => index.name.toLowerCase() === name.toLowerCase())) {
      throw new SqlError(
        1913,
        `The operation failed because an index or statistics with name '${name}' already exists on table 'dbo.${table.name}'.`,
      );
    }
    for (const column of [...columns.map((c) => c.name), ...include]) {
      if (!findColumn(table, column))
        throw new SqlError(1911, `Column name '${column}' does not exist in the target table or view.`);
    }
    const index: Index = { name, unique, columns, include, where };
    try {
      this.index(table, index);
    } catch (error) {
      if (!isSqliteError(error) || error.errcode !== 2067) throw error;
      throw new SqlError(
        1505,
        `The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name 'dbo.${table.name}' and the index name '${name}'.`,
      );
    }
    this.catalogue.replace({ ...table, indexes: [...table.indexes, index] });
  }

  private dropIndex(statement: Extract<Ddl, { kind: 'dropIndex' }>): void {
    const table = this.catalogue.table(statement.table);
    const index = table.indexes.find(
      (candidate) => candidate.name.toLowerCase() === statement.name.toLowerCase(),
    );
    if (index === undefined) {
      if (statement.ifExists) return;
      throw new SqlError(
        3701,
        `Cannot drop the index '${table.name}.${statement.name}', because it does not exist or you do not have permission.`,
      );
    }
    this.connection.exec(`DROP INDEX ${quote(indexName(table, index.name))}`);
    this.catalogue.replace({ ...table, indexes: table.indexes.filter((candidate) => candidate !== index) });
  }

  private createView(statement: Extract<Ddl, { kind: 'createView' }>): void {
    const { name, mode, definition, module } = statement;
    const existing = this.catalogue.object(name);
    if (existing !== undefined && (mode === 'create' || existing.kind !== 'view')) this.checkNewName(name);
    if (existing === undefined && mode === 'alter')
      throw new SqlError(208, `Invalid object name '${name.name}'.`);
    const query = parseQuery(definition);
    if (query.orderBy.length > 0)
      throw new SqlError(
        1033,
        'The ORDER BY clause is invalid in views unless TOP or OFFSET is also specified.',
      );
    const select = { kind: 'select', query, text: definition, locks: false } as const;
    const columns = compile(select, { ...this.context, variables: new Map() }).columns.map(
      (column): Column => {
        if (column.name === '')
          throw new SqlError(
            4511,
            `Create View or Function failed because no column name was specified for a column of '${name.name}'.`,
          );
        return { name: column.name, type: column.type, collation: 'NOCASE', nullable: true, identity: false };
      },
    );
    if (existing?.kind === 'view') this.catalogue.replace({ ...existing, definition, module, columns });
    else this.catalogue.add({ kind: 'view', name: name.name, definition, module, columns });
  }

  private drop(object: string, name: Name, ifExists: boolean): void {
    const wanted = object === 'TABLE' ? 'table' : object === 'VIEW' ? 'view' : 'principal';
    const found = wanted === 'principal' ? this.catalogue.principal(name.name) : this.catalogue.object(name);
    if (found?.kind !== wanted) {
      if (ifExists && found === undefined) return;
      throw new SqlError(
        3701,
        `Cannot drop the ${object.toLowerCase()} '${name.name}', because it does not exist or you do not have permission.`,
      );
    }
    if (found.kind === 'table') {
      const isParent = (constraint: Constraint): boolean =>
        constraint.kind === 'foreign' && constraint.table === found.name;
      if (
        this.catalogue.tables().some((table) => table.name !== found.name && table.constraints.some(isParent))
      ) {
        throw new SqlError(
          3726,
          `Could not drop object 'dbo.${found.name}' because it is referenced by a FOREIGN KEY constraint.`,
        );
      }
      this.connection.exec(`DROP TABLE ${tableSql(found.name)}`);
    }
    this.catalogue.remove(found);
  }

  private alterTable(statement: Extract<Ddl, { kind: 'alterTable' }>): void {
    const table = this.catalogue.table(statement.table);
    const { action } = statement;
    if (action.kind === 'add') {
      this.addToTable(table, action.columns, action.constraints);
      return;
    }
    let altered = table;
    for (const name of action.names) {
      const next =
        action.kind === 'dropColumns' ? this.dropColumn(altered, name) : this.dropConstraint(altered, name);
      if (next === undefined && !action.ifExists) {
        if (action.kind === 'dropColumns')
          throw new SqlError(
            4924,
            `ALTER TABLE DROP COLUMN failed because column '${name}' does not exist in table '${table.name}'.`,
          );
        throw new SqlError(3728, `'${name}' is not a constraint.`);
      }
      altered = next ?? altered;
    }
    this.catalogue.replace(altered);
  }

  private addToTable(
    table: Stored<Table>,
    definitions: readonly ColumnDefinition[],
    constraints: readonly ConstraintDefinition[],
  ): void {
    const columns = definitions.map((column) => {
      if (findColumn(table, column.name))
        throw new SqlError(
          2705,
          `Column names in each table must be unique. Column name '${column.name}' in table 'dbo.${table.name}' is specified more than once.`,
        );
      return toColumn(column, table.name, false);
    });
    const added = constraints.map((constraint) => this.constraint(constraint, table.name));
    const altered = {
      ...table,
      columns: [...table.columns, ...columns],
      constraints: [...table.constraints, ...added],
    };
    this.checkConstraints(altered, added);
    for (const { name, type, collation, nullable, default: value } of columns) {
      const collate = isString(type) ? ` COLLATE ${collation}` : '';
      this.connection.exec(
        `ALTER TABLE ${tableSql(table.name)} ADD COLUMN ${quote(name)} ${storage(type)}${collate}`,
      );
      if (!nullable && value) this.fill(altered, name, value.text);
      else if (
        !nullable &&
        this.connection.sqlite.prepare(`SELECT 1 FROM ${tableSql(table.name)} LIMIT 1`).get()
      ) {
        throw new SqlError(
          4901,
          `ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT definition specified. Column '${name}' cannot be added to non-empty table '${table.name}'.`,
        );
      }
    }
    for (const { kind, name, ...key } of added) {
      if (kind !== 'unique' && kind !== 'primary') continue;
      const keyColumns = 'columns' in key ? key.columns : [];
      this.index(altered, {
        name,
        unique: true,
        columns: keyColumns.map((column) => ({ name: column, descending: false })),
        include: [],
        where: undefined,
      });
    }
    this.checkRows(altered, added);
    this.redefine(altered);
    this.catalogue.replace(altered);
  }

  private fill(table: Table, column: string, text: string): void {
    const value = compile(selectOf(parseExpression(text)), this.context);
    const now = new Date().toISOString().slice(0, 23).replace('T', ' ') + '0000';
    const bound = value.bindings.length === 0 ? {} : { now };
    this.connection.sqlite
      .prepare(`UPDATE ${tableSql(table.name)} SET ${quote(column)} = (${value.sql})`)
      .run(bound);
  }

  private checkRows(table: Table, added: readonly Constraint[]): void {
    for (const constraint of added) {
      if (constraint.kind !== 'check') continue;
      const condition = compileExpression(constraint.text, table, this.context);
      if (
        this.connection.sqlite
          .prepare(`SELECT 1 FROM ${tableSql(table.name)} WHERE NOT (${condition}) LIMIT 1`)
          .get()
      ) {
        throw new SqlError(
          547,
          `The ALTER TABLE statement conflicted with the CHECK constraint "${constraint.name}". The conflict occurred in database "access", table "dbo.${table.name}".`,
        );
      }
    }
  }

  private dropColumn(table: Stored<Table>, name: string): Stored<Table> | undefined {
    const column = findColumn(table, name);
    if (column === undefined) return undefined;
    const uses = (names: readonly string[]): boolean =>
      names.some((candidate) => candidate.toLowerCase() === name.toLowerCase());
    const mentions = (text: string): boolean => new RegExp(`\\b${name}\\b`, 'i').test(text);
    const dependent =
      table.constraints.find((c) => ('columns' in c ? uses(c.columns) : mentions(c.text))) ??
      table.indexes.find(
        (index) =>
          uses([...index.columns.map((c) => c.name), ...index.include]) || mentions(index.where ?? ''),
      ) ??
      column.default;
    if (dependent !== undefined) {
      throw new SqlError(5074, `The object '${dependent.name}' is dependent on column '${name}'.`);
    }
    const altered = { ...table, columns: table.columns.filter((candidate) => candidate !== column) };
    // A length check of the column's own would keep SQLite from dropping it.
    this.redefine(table, column.name);
    this.connection.exec(`ALTER TABLE ${tableSql(table.name)} DROP COLUMN ${quote(column.name)}`);
    return altered;
  }

  private dropConstraint(table: Stored<Table>, name: string): Stored<Table> | undefined {
    const isNamed = (candidate: { name: string }): boolean =>
      candidate.name.toLowerCase() === name.toLowerCase();
    const column = table.columns.find((candidate) => candidate.default && isNamed(candidate.default));
    if (column !== undefined) {
      const { type, collation, nullable, identity } = column;
      const rest: Column = { name: column.name, type, collation, nullable, identity };
      return {
        ...table,
        columns: table.columns.map((candidate) => (candidate === column ? rest : candidate)),
      };
    }
    const constraint = table.constraints.find(isNamed);
    if (constraint === undefined) return undefined;
    if (integerKey(table) !== undefined && constraint.kind === 'primary')
      throw notServed('dropping an integer primary key');
    const altered = {
      ...table,
      constraints: table.constraints.filter((candidate) => candidate !== constraint),
    };
    if (constraint.kind === 'primary' || constraint.kind === 'unique')
      this.connection.exec(`DROP INDEX ${quote(indexName(table, constraint.name))}`);
    else this.redefine(altered);
    return altered;
  }

  /** Replaces a table's definition where its storage stays the same (sqlite.org, "Making Other Kinds Of Table Schema Changes"). */
  private redefine(table: Table, withoutLengthOf?: string): void {
    const { sqlite } = this.connection;
    const plain = {
      ...table,
      columns: table.columns.map((column) =>
        column.name === withoutLengthOf && isString(column.type)
          ? { ...column, type: { ...column.type, length: -1 } }
          : column,
      ),
    };
    const version = Number(sqlite.prepare('PRAGMA schema_version').get()?.schema_version ?? 0);
    sqlite.exec('PRAGMA writable_schema = ON');
    sqlite
      .prepare(`UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?`)
      .run(`CREATE TABLE ${quote(table.name)} ${this.body(plain)}`, table.name);
    sqlite.exec(`PRAGMA schema_version = ${version + 1}; PRAGMA writable_schema = OFF`);
  }
}

function toColumn(definition: ColumnDefinition, table: string, key: boolean): Column {
  const { name, type, collation, nullable, identity, default: value } = definition;
  const named = value && { name: value.name ?? `DF__${table}__${name}`, text: value.text };
  return {
    name,
    type,
    collation,
    nullable: nullable ?? !(key || identity),
    identity,
    ...(named && { default: named }),
  };
}

function uniqueKeys(table: Table): { name: string; columns: readonly string[] }[] {
  const integer = integerKey(table);
  return table.constraints.flatMap((constraint) => {
    if (constraint.kind !== 'unique' && constraint.kind !== 'primary') return [];
    return constraint.kind === 'primary' && integer !== undefined
      ? []
      : [{ name: constraint.name, columns: constraint.columns }];
  });
}

/** Index names are a table's own in SQL Server and the database's in SQLite. */
const indexName = (table: Table, name: string): string => `${table.name}.${name}`;
