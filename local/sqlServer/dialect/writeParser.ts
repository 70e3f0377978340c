import { findColumn, integerKey, invalidColumn, type Column, type Table } from '../engine/catalogue';
import { sqlError } from '../errors';
import { compiling, type Compile } from './compile';
import { DefinitionParser } from './definitionParser';
import { assignTo, predicate, value } from './operators';
import { parseExpression, tableSource, tableSql } from './queryParser';
import { quote, Scope, type Emission, type Emitted, type Expr } from './scope';

function requireColumn(table: Table, name: string): Column {
  const column = findColumn(table, name);
  if (column === undefined) throw invalidColumn(name);
  return column;
}

function defaultOf(column: Column, emission: Emission): string {
  const expr = parseExpression(column.default?.text ?? 'NULL');
  return assignTo(value(expr, new Scope(emission)), column.type).sql;
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
    const query = rows === undefined ? this.query() : undefined;
    return compiling((emission) => {
      const table = emission.context.catalogue.table(name);
      const columns =
        names?.map((column) => requireColumn(table, column)) ?? table.columns.filter((one) => !one.identity);
      if (columns.some(({ identity }) => identity)) throw sqlError(544, table.name);
      const rest = table.columns.filter((column) => !columns.includes(column) && !column.identity);
      const missing = rest.find((column) => !column.nullable && !column.default);
      if (missing) throw sqlError(515, missing.name, table.name, 'INSERT');
      const defaults = rest.filter((column) => column.default);
      const tail = defaults.map((column) => defaultOf(column, emission));
      const key = integerKey(table);
      /** SQLite would number the row itself where its integer key is NULL: text makes it refuse. */
      const into = (emitted: Emitted, i: number): Emitted => {
        const column = columns[i];
        if (column === undefined) return emitted;
        if (!column.nullable && emitted.literal === null)
          throw sqlError(515, column.name, table.name, 'INSERT');
        const assigned = assignTo(emitted, column.type);
        return column.name === key && typeof assigned.literal !== 'bigint'
          ? { type: column.type, sql: `ifnull(${assigned.sql}, 'NULL')` }
          : assigned;
      };
      let source: string;
      if (query) {
        const selected = query({ emission }, { top: true, into });
        if (selected.columns.length !== columns.length)
          throw sqlError(selected.columns.length < columns.length ? 120 : 121);
        source =
          tail.length === 0
            ? selected.sql
            : `SELECT "__s".*, ${tail.join(', ')} FROM (${selected.sql}) AS "__s"`;
      } else {
        const tuples = rows?.map((row) => {
          if (row.length !== columns.length) throw sqlError(row.length < columns.length ? 109 : 110);
          const cells = row.map((expr, i) => into(value(expr, new Scope(emission)), i).sql);
          return `(${[...cells, ...tail].join(', ')})`;
        });
        source = `VALUES ${tuples?.join(', ') ?? ''}`;
      }
      const list = [...columns, ...defaults].map((column) => quote(column.name)).join(', ');
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
        if (column.identity) throw sqlError(8102, column.name);
        return `${quote(column.name)} = ${assignTo(value(expr, scope), column.type).sql}`;
      });
      const setting = changes.length === 0 ? '' : ` SET ${changes.join(', ')}`;
      const filter = where ? ` WHERE ${predicate(where, scope)}` : '';
      const target = `${tableSql(table.name)} AS ${quote(known)}`;
      return { sql: `${verb} ${target}${setting}${filter}`, columns: [], target: table };
    });
  }
}
