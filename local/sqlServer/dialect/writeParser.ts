import { findColumn, integerKey, invalidColumn, type Column, type Table } from '../engine/catalogue';
import { notServed, sqlError } from '../errors';
import { compiling, type Compile } from './compile';
import { DefinitionParser } from './definitionParser';
import { assignTo, predicate, value } from './operators';
import { tableSource, tableSql } from './queryParser';
import { quote, Scope, type Emitted, type Expr } from './scope';

function requireColumn(table: Table, name: string): Column {
  const column = findColumn(table, name);
  if (column === undefined) throw invalidColumn(name);
  return column;
}

/** The columns that an INSERT fills. Throws SqlError 207, 515, 40514. */
function filledColumns(table: Table, names: readonly string[] | undefined): readonly Column[] {
  const columns = names
    ? names.map((column) => requireColumn(table, column))
    : table.columns.filter(({ identity }) => !identity);
  if (columns.some(({ identity }) => identity)) throw notServed('a value for an identity column');
  for (const column of table.columns.filter((one) => !columns.includes(one) && !one.identity)) {
    if (!column.nullable) throw sqlError(515, column.name, table.name, 'INSERT');
  }
  return columns;
}

/** A value as one for that column. */
function into(table: Table, column: Column, emitted: Emitted): Emitted {
  if (!column.nullable && emitted.literal === null) throw sqlError(515, column.name, table.name, 'INSERT');
  const assigned = assignTo(emitted, column.type);
  if (column.name !== integerKey(table) || typeof assigned.literal === 'bigint') return assigned;
  // SQLite would number the row itself where its integer key is NULL: text makes it refuse.
  return { type: column.type, sql: `ifnull(${assigned.sql}, 'NULL')` };
}

/** Reads the statements that write rows. */
export class WriteParser extends DefinitionParser {
  protected insert(): Compile {
    this.accept('INTO');
    const name = this.objectName();
    this.hints();
    const names = this.is('(') && !this.is('(', 'SELECT') ? this.names() : undefined;
    const row = () => this.parenthesised(() => this.list(() => this.expr()));
    const rows = this.accept('VALUES') ? this.list(row) : undefined;
    const query = rows ? undefined : this.query();
    return compiling((emission) => {
      const table = emission.context.catalogue.table(name);
      const columns = filledColumns(table, names);
      const convert = (emitted: Emitted, i: number): Emitted => {
        const column = columns[i];
        return column ? into(table, column, emitted) : emitted;
      };
      const requireCount = (count: number): void => {
        if (count !== columns.length) throw notServed(`${count} values for ${columns.length} columns`);
      };
      const tuples = rows?.map((cells) => {
        requireCount(cells.length);
        return `(${cells.map((cell, i) => convert(value(cell, new Scope(emission)), i).sql).join(', ')})`;
      });
      const selected = query?.({ emission }, { top: true, into: convert });
      if (selected) requireCount(selected.columns.length);
      const list = columns.map((column) => quote(column.name)).join(', ');
      const source = selected?.sql ?? `VALUES ${tuples?.join(', ') ?? ''}`;
      return { sql: `INSERT INTO ${tableSql(table.name)} (${list}) ${source}`, columns: [], target: table };
    });
  }

  protected update(): Compile {
    return this.change('UPDATE');
  }

  protected delete(): Compile {
    this.accept('FROM');
    return this.change('DELETE FROM');
  }

  private assignment(): { readonly column: string; readonly expr: Expr } {
    const column = this.identifier();
    this.expect('=');
    return { column, expr: this.expr() };
  }

  private change(verb: string): Compile {
    const name = this.objectName();
    this.hints();
    const set = verb === 'UPDATE' && this.accept('SET') ? this.list(() => this.assignment()) : [];
    const from = this.accept('FROM') ? this.tableReference() : undefined;
    if (from !== undefined && from.alias !== name.name) this.fail();
    const where = this.accept('WHERE') ? this.expr() : undefined;
    return compiling((emission) => {
      const table = emission.context.catalogue.table(from?.name ?? name);
      const known = from?.alias ?? table.name;
      const scope = new Scope(emission);
      scope.sources.push(tableSource(table, known));
      const changes = set.map(({ column: columnName, expr }) => {
        const column = requireColumn(table, columnName);
        if (column.identity) throw notServed('an UPDATE of an identity column');
        return `${quote(column.name)} = ${assignTo(value(expr, scope), column.type).sql}`;
      });
      const setting = changes.length === 0 ? '' : ` SET ${changes.join(', ')}`;
      const filter = where ? ` WHERE ${predicate(where, scope)}` : '';
      const target = `${tableSql(table.name)} AS ${quote(known)}`;
      return { sql: `${verb} ${target}${setting}${filter}`, columns: [], target: table };
    });
  }
}
