import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { scriptsIn } from '../deployScripts';

/** What sql/ defines. Names carry their schema; definitions are in the form that describe… in tables.ts gives too. */
export interface ExpectedSchema {
  readonly tables: readonly ExpectedTable[];
  readonly role: string;
  /** The permissions that the role is granted, by object; on a column as "UPDATE (Status)". */
  readonly grants: readonly { readonly object: string; readonly permissions: readonly string[] }[];
  /** The script of the views and that of the role, for advice. */
  readonly viewScript: string;
  readonly roleScript: string;
  /** The tables that exist already. */
  readonly requestTables: readonly string[];
}

/** Definitions by name. */
export type Definitions = ReadonlyMap<string, string>;

export interface ExpectedTable {
  readonly name: string;
  readonly script: string;
  /** For example "VARCHAR(100) NOT NULL". */
  readonly columns: Definitions;
  /** Keys and indexes, for example "UNIQUE INDEX (Job_Type) WHERE Status='InProgress'". */
  readonly indexes: Definitions;
  /** Foreign keys and checks, for example "REFERENCES DataAccessDeltaRequests". */
  readonly constraints: Definitions;
}

const columnPattern =
  /^(?<name>\w+) (?<type>\w+(?:\(\d+\))?)(?<identity> IDENTITY\(1, 1\))?(?<null> NOT NULL| NULL)(?: CONSTRAINT (?<constraint>\w+) (?:(?<key>PRIMARY KEY|UNIQUE)|REFERENCES (?<references>[\w.]+) \(\w+\)|CHECK \((?<check>.*)\)))?$/;
const indexPattern =
  /CREATE (?<unique>UNIQUE )?INDEX (?<name>\w+) ON (?<table>[\w.]+) \((?<columns>[^)]+)\)(?: INCLUDE \((?<included>[^)]+)\))?(?: WHERE (?<filter>[^;]+))?;/g;
const tablePattern = /CREATE TABLE (?<name>dbo\.\w+) \((?<columns>.*?)\n[^\S\n]*\);/gs;
const grantPattern = /^GRANT (?<permissions>[\w, ()]+) ON (?<object>[\w.]+) TO (?<role>\w+);$/gm;

/**
 * Reads what the scripts in sql/ define, in the plain forms that they use.
 * @throws Error naming a definition in another form
 */
export function readExpectedSchema(directory: string): ExpectedSchema {
  const scripts = scriptsIn(directory).map((name) => ({
    name: `sql/${name}`,
    text: withoutComments(readFileSync(join(directory, name), 'utf8')),
  }));
  const requestTables = new Set<string>();
  const tables = scripts.flatMap(({ name, text }) =>
    [...text.matchAll(tablePattern)].map((match) => readTable(name, text, groups(match), requestTables)),
  );
  const grants = scripts.flatMap(({ text }) => [...text.matchAll(grantPattern)].map(groups));
  return {
    tables,
    role: grants[0]?.role ?? '',
    grants: [...Map.groupBy(grants, ({ object = '' }) => object)].map(([object, ofObject]) => ({
      object,
      permissions: ofObject.flatMap(({ permissions = '' }) => readPermissions(permissions)),
    })),
    viewScript: scripts.find(({ text }) => text.includes('CREATE OR ALTER VIEW'))?.name ?? '',
    roleScript: scripts.find(({ text }) => text.includes('CREATE ROLE'))?.name ?? '',
    requestTables: [...requestTables],
  };
}

/** @param list for example "SELECT, UPDATE (Status, Completed_At)" */
function readPermissions(list: string): string[] {
  return splitDefinitions(list).flatMap((permission) => {
    const [, name = '', columns] = /^(\w+) \((.+)\)$/.exec(permission) ?? [];
    return columns?.split(', ').map((column) => `${name} (${column})`) ?? [permission];
  });
}

function readTable(
  script: string,
  text: string,
  { name = '', columns: columnText = '' }: Record<string, string | undefined>,
  requestTables: Set<string>,
): ExpectedTable {
  const columns = new Map<string, string>();
  const indexes = new Map<string, string>();
  const constraints = new Map<string, string>();
  for (const definition of splitDefinitions(columnText)) {
    const match = columnPattern.exec(definition);
    if (!match) throw new Error(`${script}: cannot read the column ${definition}`);
    const { name: column = '', type = '', identity, null: nullable = '', ...rest } = groups(match);
    columns.set(column, describeColumn(type, identity !== undefined, nullable === ' NULL'));
    const { constraint = '', key, references, check } = rest;
    if (key !== undefined) indexes.set(constraint, describeKey(key, [column]));
    if (references !== undefined) {
      constraints.set(constraint, describeForeignKey(references));
      requestTables.add(references);
    }
    if (check !== undefined) constraints.set(constraint, describeCheck(check));
  }
  for (const match of text.matchAll(indexPattern)) {
    const { unique, name: index = '', table, columns: keys = '', included = '', filter } = groups(match);
    if (table === name)
      indexes.set(
        index,
        describeIndex(
          unique !== undefined,
          keys.split(', '),
          included === '' ? [] : included.split(', '),
          filter,
        ),
      );
  }
  return { name, script, columns, indexes, constraints };
}

export function describeColumn(type: string, identity: boolean, nullable: boolean): string {
  return `${type.toUpperCase()}${identity ? ' IDENTITY' : ''} ${nullable ? 'NULL' : 'NOT NULL'}`;
}

export function describeKey(key: string, columns: readonly string[]): string {
  return `${key} (${columns.join(', ')})`;
}

/** @param filter as written or as SQL Server keeps it: ([Status]='InProgress') */
export function describeIndex(
  unique: boolean,
  columns: readonly string[],
  included: readonly string[],
  filter: string | undefined,
): string {
  const include = included.length === 0 ? '' : ` INCLUDE (${included.join(', ')})`;
  const where = filter === undefined ? '' : ` WHERE ${filter.replace(/[[\]()\s]/g, '')}`;
  return `${unique ? 'UNIQUE ' : ''}INDEX (${columns.join(', ')})${include}${where}`;
}

/** @param table with or without its schema */
export function describeForeignKey(table: string): string {
  return `REFERENCES ${table.replace(/^.*\./, '')}`;
}

/** By its literals alone: SQL Server keeps an IN as a chain of OR in another order. */
export function describeCheck(condition: string): string {
  return `CHECK ${(condition.match(/'[^']*'/g) ?? []).sort().join(', ')}`;
}

function withoutComments(script: string): string {
  return script.replace(/--.*/g, '');
}

/** Splits at the commas outside parentheses, with single blanks. */
function splitDefinitions(text: string): string[] {
  const definitions: string[] = [];
  let depth = 0;
  let start = 0;
  for (const { 0: character, index } of text.matchAll(/[(),]/g)) {
    if (character === '(') depth += 1;
    if (character === ')') depth -= 1;
    if (character !== ',' || depth > 0) continue;
    definitions.push(text.slice(start, index));
    start = index + 1;
  }
  definitions.push(text.slice(start));
  return definitions.map((definition) => definition.replace(/\s+/g, ' ').trim());
}

function groups(match: RegExpExecArray): Record<string, string | undefined> {
  return match.groups ?? {};
}
