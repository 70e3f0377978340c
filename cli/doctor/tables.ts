import { formatCount } from '../../src/format';
import { objectName, type ExaminedDatabase } from './database';
import {
  describeCheck,
  describeColumn,
  describeForeignKey,
  describeIndex,
  describeKey,
  type Definitions,
  type ExpectedTable,
} from './expectedSchema';
import { failed, ok, skipped, warning, type Finding } from './finding';

/** A definition as the database has it. */
interface Actual {
  readonly definition: string;
  /** The identity may not see its end: a plain member of the role sees neither conditions nor the request tables. */
  readonly cut: boolean;
}

/** Whether a table has the columns, keys, indexes and constraints of its script. */
export async function checkTable(
  database: ExaminedDatabase,
  table: ExpectedTable,
  roleScript: string,
): Promise<Finding[]> {
  const subject = `table ${table.name}`;
  const spell = spelling(database, table);
  const columns = (await readColumns(database, table.name)).map((column) => ({
    ...column,
    name: spell(column.name),
  }));
  if (columns.length === 0)
    return [
      database.seesDefinitions
        ? failed(subject, 'missing', 'npm run db:deploy')
        : skipped(
            subject,
            `cannot be seen by this identity: it is missing, or the identity lacks the role in ${roleScript}`,
          ),
    ];
  /** Of a table that it sees an identity sees all columns, but perhaps not all else. */
  const hidden = !database.seesDefinitions;
  const unchanged = 'npm run db:deploy leaves a table that exists unchanged';
  const byHand = (): string => `change it by hand to what ${table.script} says: ${unchanged}`;
  const findings = [
    ...compare(`column ${table.name}.`, table.columns, new Map(columns.map(toActualColumn)), {
      missing: (name, definition) =>
        `ALTER TABLE ${table.name} ADD ${name} ${definition}${definition.endsWith('NOT NULL') ? ', with a DEFAULT if the table has rows' : ''} (${unchanged})`,
      different: byHand,
    }),
    ...compare('index ', table.indexes, await readIndexes(database, table.name, spell), {
      hidden,
      missing: (_, definition) => (isIndex(definition) ? 'npm run db:deploy' : byHand()),
      different: (name, definition) =>
        isIndex(definition) ? `DROP INDEX ${name} ON ${table.name}, then npm run db:deploy` : byHand(),
    }),
    ...compare('constraint ', table.constraints, await readConstraints(database, table.name, spell), {
      hidden,
      missing: byHand,
      different: byHand,
    }),
    ...columns
      .filter(({ name, nullable }) => !nullable && !table.columns.has(name))
      .map(({ name }) =>
        warning(
          `column ${table.name}.${name}`,
          'NOT NULL and unknown to the app, which writes no value into it',
          'give it a default, or drop it',
        ),
      ),
  ];
  if (findings.length > 0) return findings;
  const counts = [
    formatCount(table.columns.size, 'column'),
    formatCount(table.indexes.size, 'key or index', 'keys and indexes'),
    formatCount(table.constraints.size, 'constraint'),
  ];
  return [ok(subject, `${counts.join(', ')}, as in ${table.script}`)];
}

/** As opposed to a key, which belongs to the table's own script. */
const isIndex = (definition: string): boolean => definition.includes('INDEX');

/** Gives names of the database as the script spells them, where the database takes them for the same. */
function spelling(
  { foldName }: ExaminedDatabase,
  { columns, indexes, constraints }: ExpectedTable,
): Spelling {
  const referenced = [...constraints.values()].flatMap((text) => /^REFERENCES (\w+)$/.exec(text)?.[1] ?? []);
  const names = [...columns.keys(), ...indexes.keys(), ...constraints.keys(), ...referenced];
  const spelled = new Map(names.map((name) => [foldName(name), name]));
  return (name) => spelled.get(foldName(name)) ?? name;
}

type Spelling = (name: string) => string;

interface Advice {
  /** What is not found may be there, and not be shown to this identity. */
  readonly hidden?: boolean;
  readonly missing: (name: string, definition: string) => string;
  readonly different: (name: string, definition: string) => string;
}

function compare(
  subject: string,
  expected: Definitions,
  actual: ReadonlyMap<string, Actual>,
  advice: Advice,
): Finding[] {
  return [...expected].flatMap(([name, definition]) => {
    const found = actual.get(name);
    if (!found && advice.hidden) return skipped(subject + name, 'cannot be seen by this identity');
    if (!found) return failed(subject + name, 'missing', advice.missing(name, definition));
    const same = found.cut ? definition.startsWith(found.definition) : definition === found.definition;
    if (same) return [];
    return failed(
      subject + name,
      `is ${found.definition}, expected ${definition}`,
      advice.different(name, definition),
    );
  });
}

export interface Column {
  readonly name: string;
  /** In lower case, for example "varchar". */
  readonly type: string;
  /** In characters; -1: MAX; undefined: the type has none. */
  readonly length?: number;
  readonly nullable: boolean;
  readonly identity: boolean;
}

/** Bytes of a character, for types with a length. */
const characterSizes: Readonly<Record<string, number>> = { char: 1, varchar: 1, nchar: 2, nvarchar: 2 };

/** The columns of a table or view; none if it is not there or the identity may not see it. */
export async function readColumns({ query }: ExaminedDatabase, object: string): Promise<Column[]> {
  const rows = await query({
    name: 'readColumns',
    sql: `SELECT c.name AS Name, t.name AS TypeName, c.max_length AS MaxLength, c.is_nullable AS IsNullable, c.is_identity AS IsIdentity
FROM sys.columns AS c
JOIN sys.types AS t ON t.user_type_id = c.system_type_id
WHERE c.object_id = OBJECT_ID(@object)
ORDER BY c.column_id;`,
    parameters: { object: objectName(object) },
  });
  return rows.map((row) => {
    const type = row.TypeName as string;
    const size = characterSizes[type];
    const bytes = row.MaxLength as number;
    return {
      name: row.Name as string,
      type,
      ...(size !== undefined && { length: bytes === -1 ? -1 : bytes / size }),
      nullable: row.IsNullable as boolean,
      identity: row.IsIdentity as boolean,
    };
  });
}

function toActualColumn({ name, type, length, nullable, identity }: Column): [string, Actual] {
  const size = length === undefined ? '' : `(${length === -1 ? 'MAX' : length})`;
  return [name, { definition: describeColumn(type + size, identity, nullable), cut: false }];
}

async function readIndexes(
  { query }: ExaminedDatabase,
  table: string,
  spell: Spelling,
): Promise<Map<string, Actual>> {
  const rows = await query({
    name: 'readIndexes',
    sql: `SELECT i.name AS Name, i.is_unique AS IsUnique, i.is_primary_key AS IsPrimaryKey, i.is_unique_constraint AS IsUniqueConstraint,
  i.is_disabled AS IsDisabled, i.has_filter AS HasFilter, i.filter_definition AS FilterDefinition,
  c.name AS ColumnName, ic.is_descending_key AS IsDescending, ic.is_included_column AS IsIncluded
FROM sys.indexes AS i
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id = OBJECT_ID(@table) AND (ic.key_ordinal > 0 OR ic.is_included_column = 1)
ORDER BY i.index_id, ic.key_ordinal, ic.index_column_id;`,
    parameters: { table: objectName(table) },
  });
  const names = new Set(rows.map((row) => row.Name as string));
  return new Map(
    [...names].map((name) => {
      const columns = rows.filter((row) => row.Name === name);
      const index = columns[0] ?? {};
      const keys = columns
        .filter((row) => !row.IsIncluded)
        .map((row) => `${spell(row.ColumnName as string)}${row.IsDescending ? ' DESC' : ''}`);
      const included = columns.filter((row) => row.IsIncluded).map((row) => spell(row.ColumnName as string));
      const key = index.IsPrimaryKey ? 'PRIMARY KEY' : index.IsUniqueConstraint ? 'UNIQUE' : undefined;
      const cut = index.HasFilter === true && index.FilterDefinition === null;
      const filter = index.HasFilter
        ? ((index.FilterDefinition ?? '') as string).replace(/'[^']*'|\w+/g, (word) => spell(word))
        : undefined;
      const definition = key
        ? describeKey(key, keys)
        : describeIndex(index.IsUnique as boolean, keys, included, filter);
      return [spell(name), { definition: definition + disabled(index.IsDisabled), cut }];
    }),
  );
}

async function readConstraints(
  { query }: ExaminedDatabase,
  table: string,
  spell: Spelling,
): Promise<Map<string, Actual>> {
  const parameters = { table: objectName(table) };
  const foreignKeys = await query({
    name: 'readForeignKeys',
    sql: `SELECT f.name AS Name, f.is_disabled AS IsDisabled, OBJECT_NAME(f.referenced_object_id) AS Detail
FROM sys.foreign_keys AS f
WHERE f.parent_object_id = OBJECT_ID(@table);`,
    parameters,
  });
  const checks = await query({
    name: 'readCheckConstraints',
    sql: `SELECT k.name AS Name, k.is_disabled AS IsDisabled, k.definition AS Detail
FROM sys.check_constraints AS k
WHERE k.parent_object_id = OBJECT_ID(@table);`,
    parameters,
  });
  const toActual =
    (describe: (detail: string) => string) =>
    (row: Readonly<Record<string, unknown>>): [string, Actual] => {
      const cut = row.Detail === null && !row.IsDisabled;
      const definition = describe((row.Detail ?? '') as string);
      return [spell(row.Name as string), { definition: definition + disabled(row.IsDisabled), cut }];
    };
  return new Map([
    ...foreignKeys.map(toActual((referenced) => describeForeignKey(spell(referenced)))),
    ...checks.map(toActual(describeCheck)),
  ]);
}

function disabled(is: unknown): string {
  return is ? ', DISABLED' : '';
}
