import type { Row } from '../../src/database/session';
import { formatCount } from '../../src/format';
import { objectName, unseen, type ExaminedDatabase } from './database';
import { failed, ok, skipped, warning, type Finding } from './finding';
import type { ExpectedTable } from './schema';

/** A definition as the database has it. */
interface Actual {
  readonly definition: string;
  /** The identity cannot see its end: a plain member of the role sees neither conditions nor the request tables. */
  readonly cut?: boolean;
}
type Kind = 'columns' | 'indexes' | 'constraints';
type ActualTable = Readonly<Record<Kind, ReadonlyMap<string, Actual>>>;

/** Whether a table has the columns, keys, indexes and constraints of its script. */
export async function checkTable(database: ExaminedDatabase, table: ExpectedTable): Promise<Finding[]> {
  const subject = `table ${table.name}`;
  const actual = await readTable(database, table);
  if (actual.columns.size === 0) return [unseen(database, failed(subject, 'missing', 'npm run db:deploy'))];
  const findings = [
    ...compare('columns', database, table, actual),
    ...compare('indexes', database, table, actual),
    ...compare('constraints', database, table, actual),
    ...unknownColumns(table, actual),
  ];
  if (findings.length > 0) return findings;
  const count = (kind: Kind): number => Object.keys(table[kind]).length;
  const counts = [
    formatCount(count('columns'), 'column'),
    formatCount(count('indexes'), 'key or index', 'keys and indexes'),
    formatCount(count('constraints'), 'constraint'),
  ];
  return [ok(subject, `${counts.join(', ')}, as in ${table.script}`)];
}

function compare(
  kind: Kind,
  { seesDefinitions }: ExaminedDatabase,
  table: ExpectedTable,
  actual: ActualTable,
): Finding[] {
  return Object.entries(table[kind]).flatMap(([name, definition]) => {
    const subject = subjectOf(kind, table, name);
    const found = actual[kind].get(name);
    // Of a table that an identity sees, it sees all columns, but perhaps not all else.
    if (!found && kind !== 'columns' && !seesDefinitions)
      return skipped(subject, 'cannot be seen by this identity');
    if (!found) return failed(subject, 'missing', adviceOnMissing(kind, table, name, definition));
    const same = found.cut ? definition.startsWith(found.definition) : definition === found.definition;
    if (same) return [];
    const advice = isIndex(definition)
      ? `DROP INDEX ${name} ON ${table.name}, then npm run db:deploy`
      : byHand(table);
    return failed(subject, `is ${found.definition}, expected ${definition}`, advice);
  });
}

const subjectOf = (kind: Kind, table: ExpectedTable, name: string): string =>
  ({ columns: `column ${table.name}.${name}`, indexes: `index ${name}`, constraints: `constraint ${name}` })[
    kind
  ];

const unchanged = 'npm run db:deploy leaves a table that exists unchanged';
const byHand = ({ script }: ExpectedTable): string =>
  `change it by hand to what ${script} says: ${unchanged}`;

/** As opposed to a key, which belongs to the table's own script. */
const isIndex = (definition: string): boolean => definition.includes('INDEX');

function adviceOnMissing(kind: Kind, table: ExpectedTable, name: string, definition: string): string {
  if (isIndex(definition)) return 'npm run db:deploy';
  if (kind !== 'columns') return byHand(table);
  const required = definition.endsWith('NOT NULL') ? ', with a DEFAULT if the table has rows' : '';
  return `ALTER TABLE ${table.name} ADD ${name} ${definition}${required} (${unchanged})`;
}

function unknownColumns(table: ExpectedTable, { columns }: ActualTable): Finding[] {
  return [...columns]
    .filter(([name, { definition }]) => definition.endsWith('NOT NULL') && !(name in table.columns))
    .map(([name]) =>
      warning(
        subjectOf('columns', table, name),
        'NOT NULL and unknown to the app, which writes no value into it',
        'give it a default, or drop it',
      ),
    );
}

/** A name of the database as the table's script spells it, where the database takes the two for the same. */
type Spell = (name: string) => string;

function spelling({ foldName }: ExaminedDatabase, { columns, indexes, constraints }: ExpectedTable): Spell {
  const referenced = Object.values(constraints).flatMap((text) => /^REFERENCES (\w+)$/.exec(text)?.[1] ?? []);
  const names = [...[columns, indexes, constraints].flatMap((part) => Object.keys(part)), ...referenced];
  const spelled = new Map(names.map((name) => [foldName(name), name]));
  return (name) => spelled.get(foldName(name)) ?? name;
}

/** A table as the database has it; no columns if it is not there or the identity may not see it. */
export async function readTable(database: ExaminedDatabase, table: ExpectedTable): Promise<ActualTable> {
  const spell = spelling(database, table);
  const columns = await readColumns(database, table.name);
  return {
    columns: new Map(columns.map(({ name, definition }) => [spell(name), { definition }])),
    indexes: await readIndexes(database, table.name, spell),
    constraints: await readConstraints(database, table.name, spell),
  };
}

/** Bytes of a character, for types with a length. */
const characterSizes: Readonly<Record<string, number>> = { char: 1, varchar: 1, nchar: 2, nvarchar: 2 };

/**
 * The columns of a table or view; none if it is not there or the identity may not see it. A type is in lower case, for
 * example "varchar"; a definition reads "VARCHAR(100) NOT NULL".
 */
export async function readColumns(
  { query }: ExaminedDatabase,
  object: string,
): Promise<{ readonly name: string; readonly type: string; readonly definition: string }[]> {
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
    const bytes = row.MaxLength as number;
    const size = characterSizes[type];
    const length = size === undefined ? '' : `(${bytes === -1 ? 'MAX' : bytes / size})`;
    const definition = `${type.toUpperCase()}${length}${row.IsIdentity ? ' IDENTITY' : ''} ${row.IsNullable ? 'NULL' : 'NOT NULL'}`;
    return { name: row.Name as string, type, definition };
  });
}

const disabled = (is: unknown): string => (is ? ', DISABLED' : '');

async function readIndexes(
  { query }: ExaminedDatabase,
  table: string,
  spell: Spell,
): Promise<ReadonlyMap<string, Actual>> {
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
  const byName = Map.groupBy(rows, (row) => row.Name as string);
  return new Map([...byName].map(([name, columns]) => [spell(name), toIndex(columns, spell)]));
}

/** @param columns the rows of one index */
function toIndex(columns: readonly Row[], spell: Spell): Actual {
  const index = columns[0] ?? {};
  const [keys, included] = [false, true].map((isIncluded) =>
    columns
      .filter((row) => row.IsIncluded === isIncluded)
      .map((row) => `${spell(row.ColumnName as string)}${row.IsDescending ? ' DESC' : ''}`)
      .join(', '),
  );
  if (index.IsPrimaryKey || index.IsUniqueConstraint)
    return {
      definition: `${index.IsPrimaryKey ? 'PRIMARY KEY' : 'UNIQUE'} (${keys})${disabled(index.IsDisabled)}`,
    };
  // SQL Server keeps a filter as ([Status]='InProgress').
  const filter = ((index.FilterDefinition ?? '') as string)
    .replace(/'[^']*'|\w+/g, (word) => spell(word))
    .replace(/[[\]()\s]/g, '');
  const include = included ? ` INCLUDE (${included})` : '';
  const where = index.HasFilter ? ` WHERE ${filter}` : '';
  return {
    definition: `${index.IsUnique ? 'UNIQUE ' : ''}INDEX (${keys})${include}${where}${disabled(index.IsDisabled)}`,
    cut: index.HasFilter === true && index.FilterDefinition === null,
  };
}

async function readConstraints(
  { query }: ExaminedDatabase,
  table: string,
  spell: Spell,
): Promise<ReadonlyMap<string, Actual>> {
  const rows = await query({
    name: 'readConstraints',
    sql: `SELECT f.name AS Name, f.is_disabled AS IsDisabled, OBJECT_NAME(f.referenced_object_id) AS Referenced, CAST(NULL AS NVARCHAR(MAX)) AS Condition, 1 AS IsForeignKey
FROM sys.foreign_keys AS f
WHERE f.parent_object_id = OBJECT_ID(@table)
UNION ALL
SELECT k.name, k.is_disabled, CAST(NULL AS NVARCHAR(128)), k.definition, 0
FROM sys.check_constraints AS k
WHERE k.parent_object_id = OBJECT_ID(@table);`,
    parameters: { table: objectName(table) },
  });
  return new Map(
    rows.map((row) => {
      const referenced = row.Referenced as string | null;
      const condition = row.Condition as string | null;
      // By its literals: SQL Server keeps an IN as a chain of OR in another order.
      const literals = (condition?.match(/'[^']*'/g) ?? []).sort().join(', ');
      const definition =
        row.IsForeignKey === 1 ? `REFERENCES ${spell(referenced ?? '')}` : `CHECK ${literals}`;
      const cut = referenced === null && condition === null && !row.IsDisabled;
      return [spell(row.Name as string), { definition: definition + disabled(row.IsDisabled), cut }];
    }),
  );
}
