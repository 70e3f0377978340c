import { bit, flag, nullable, number, text, type RowOf } from '../../src/database/columns';
import { formatCount } from '../../src/format';
import { objectName, unseen, type ExaminedDatabase } from './database';
import { failed, ok, skipped, type Finding } from './finding';
import type { ExpectedTable } from './schema';

/** A part of a table as the database describes it. */
interface Actual {
  /** Such as "column Job_Type" or "index PK_JobRun". */
  readonly part: string;
  readonly definition: string;
  /** The identity cannot see its end: a plain member of the role sees neither conditions nor the request tables. */
  readonly cut?: boolean;
}

/** Whether a table has the columns, keys, indexes and constraints of its script. */
export async function checkTable(database: ExaminedDatabase, table: ExpectedTable): Promise<Finding[]> {
  const subject = `table ${table.name}`;
  const actual = await readTable(database, table.name);
  if (actual.length === 0) return [unseen(database, failed(subject, 'missing', 'npm run db:deploy'))];
  const findings = compare(database, table, actual);
  if (findings.length > 0) return findings;
  const count = (kind: string): number =>
    Object.keys(table.parts).filter((part) => part.startsWith(kind)).length;
  const counts = [
    formatCount(count('column'), 'column'),
    formatCount(count('index'), 'key or index', 'keys and indexes'),
    formatCount(count('constraint'), 'constraint'),
  ];
  return [ok(subject, `${counts.join(', ')}, as in ${table.script}`)];
}

function compare(database: ExaminedDatabase, table: ExpectedTable, actual: readonly Actual[]): Finding[] {
  const fold = folding(database);
  const byPart = new Map(actual.map((one) => [fold(one.part), one]));
  return Object.entries(table.parts).flatMap(([part, definition]) => {
    const subject = subjectOf(table, part);
    const found = byPart.get(fold(part));
    // An identity that sees a table sees all its columns, but perhaps not the rest.
    if (!found && !isColumn(part) && !database.seesDefinitions)
      return skipped(subject, 'cannot be seen by this identity');
    if (!found) return failed(subject, 'missing', adviceOnMissing(table, part, definition));
    const [is, expected] = [fold(found.definition), fold(definition)];
    if (found.cut ? expected.startsWith(is) : is === expected) return [];
    const advice = isIndex(definition)
      ? `DROP ${part.replace('index', 'INDEX')} ON ${table.name}, then npm run db:deploy`
      : byHand(table);
    return failed(subject, `is ${found.definition}, expected ${definition}`, advice);
  });
}

/** A name or definition in the form in which the database compares it; what is quoted stays. */
const folding =
  ({ foldName }: ExaminedDatabase) =>
  (text: string): string =>
    text.replace(/'[^']*'|[^']+/g, (piece) => (piece.startsWith("'") ? piece : foldName(piece)));

const isColumn = (part: string): boolean => part.startsWith('column ');

const subjectOf = ({ name }: ExpectedTable, part: string): string =>
  part.replace(/^column /, `column ${name}.`);

const unchanged = 'npm run db:deploy leaves a table that exists unchanged';
const byHand = ({ script }: ExpectedTable): string =>
  `change it by hand to what ${script} says: ${unchanged}`;

/** As opposed to a key, which belongs to the table's own script. */
const isIndex = (definition: string): boolean => definition.includes('INDEX');

function adviceOnMissing(table: ExpectedTable, part: string, definition: string): string {
  if (isIndex(definition)) return 'npm run db:deploy';
  if (!isColumn(part)) return byHand(table);
  const required = definition.endsWith('NOT NULL') ? ', with a DEFAULT if the table has rows' : '';
  return `ALTER TABLE ${table.name} ADD ${part.replace('column ', '')} ${definition}${required} (${unchanged})`;
}

/** The parts of a table in the database; none if it is not there or the identity may not see it. */
export async function readTable(database: ExaminedDatabase, table: string): Promise<Actual[]> {
  const columns = await readColumns(database, table);
  return [
    ...columns.map(({ name, definition }) => ({ part: `column ${name}`, definition })),
    ...(await readIndexes(database, table)),
    ...(await readConstraints(database, table)),
  ];
}

/** Bytes of a character, for types with a length. */
const characterSizes: Readonly<Record<string, number>> = { char: 1, varchar: 1, nchar: 2, nvarchar: 2 };

/**
 * The columns of a table or view; none if it is not there or the identity may not see it. A type is in lower case, for
 * example "varchar"; a definition reads "VARCHAR(100) NOT NULL".
 */
export async function readColumns(
  { session }: ExaminedDatabase,
  object: string,
): Promise<{ readonly name: string; readonly type: string; readonly definition: string }[]> {
  const rows = await session.query({
    name: 'readColumns',
    columns: { Name: text, TypeName: text, MaxLength: number, IsNullable: bit, IsIdentity: bit },
    sql: `SELECT c.name AS Name, t.name AS TypeName, c.max_length AS MaxLength, c.is_nullable AS IsNullable, c.is_identity AS IsIdentity
FROM sys.columns AS c
JOIN sys.types AS t ON t.user_type_id = c.system_type_id
WHERE c.object_id = OBJECT_ID(@object)
ORDER BY c.column_id;`,
    parameters: { object: objectName(object) },
  });
  return rows.map((row) => {
    const { TypeName: type, MaxLength: bytes } = row;
    const size = characterSizes[type];
    const length = size === undefined ? '' : `(${bytes === -1 ? 'MAX' : bytes / size})`;
    const definition = `${type.toUpperCase()}${length}${row.IsIdentity ? ' IDENTITY' : ''} ${row.IsNullable ? 'NULL' : 'NOT NULL'}`;
    return { name: row.Name, type, definition };
  });
}

const disabled = (is: boolean): string => (is ? ', DISABLED' : '');

const indexColumns = {
  Name: text,
  IsUnique: bit,
  IsPrimaryKey: bit,
  IsUniqueConstraint: bit,
  IsDisabled: bit,
  HasFilter: bit,
  FilterDefinition: nullable(text),
  ColumnName: text,
  IsDescending: bit,
  IsIncluded: bit,
};

async function readIndexes({ session }: ExaminedDatabase, table: string): Promise<Actual[]> {
  const rows = await session.query({
    name: 'readIndexes',
    columns: indexColumns,
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
  return [...Map.groupBy(rows, (row) => row.Name).values()].flatMap((columns) => {
    const [index] = columns;
    return index ? toIndex(index, columns) : [];
  });
}

type IndexRow = RowOf<typeof indexColumns>;

/** @param columns the rows of the index, one a column */
function toIndex(index: IndexRow, columns: readonly IndexRow[]): Actual {
  const part = `index ${index.Name}`;
  const [keys, included] = [false, true].map((isIncluded) =>
    columns
      .filter((row) => row.IsIncluded === isIncluded)
      .map((row) => `${row.ColumnName}${row.IsDescending ? ' DESC' : ''}`)
      .join(', '),
  );
  if (index.IsPrimaryKey || index.IsUniqueConstraint) {
    const key = index.IsPrimaryKey ? 'PRIMARY KEY' : 'UNIQUE';
    return { part, definition: `${key} (${keys})${disabled(index.IsDisabled)}` };
  }
  // SQL Server stores a filter as ([Status]='InProgress').
  const filter = (index.FilterDefinition ?? '').replace(/[[\]()\s]/g, '');
  const include = included ? ` INCLUDE (${included})` : '';
  const where = index.HasFilter ? ` WHERE ${filter}` : '';
  return {
    part,
    definition: `${index.IsUnique ? 'UNIQUE ' : ''}INDEX (${keys})${include}${where}${disabled(index.IsDisabled)}`,
    cut: index.HasFilter && index.FilterDefinition === null,
  };
}

async function readConstraints({ session }: ExaminedDatabase, table: string): Promise<Actual[]> {
  const rows = await session.query({
    name: 'readConstraints',
    columns: {
      Name: text,
      IsDisabled: bit,
      Referenced: nullable(text),
      Condition: nullable(text),
      IsForeignKey: flag,
    },
    sql: `SELECT f.name AS Name, f.is_disabled AS IsDisabled, OBJECT_NAME(f.referenced_object_id) AS Referenced, CAST(NULL AS NVARCHAR(MAX)) AS Condition, 1 AS IsForeignKey
FROM sys.foreign_keys AS f
WHERE f.parent_object_id = OBJECT_ID(@table)
UNION ALL
SELECT k.name, k.is_disabled, CAST(NULL AS NVARCHAR(128)), k.definition, 0
FROM sys.check_constraints AS k
WHERE k.parent_object_id = OBJECT_ID(@table);`,
    parameters: { table: objectName(table) },
  });
  return rows.map((row) => {
    const { Referenced: referenced, Condition: condition } = row;
    // By its literals: SQL Server stores an IN as a chain of OR in another order.
    const literals = (condition?.match(/'[^']*'/g) ?? []).sort().join(', ');
    const definition = row.IsForeignKey ? `REFERENCES ${referenced ?? ''}` : `CHECK ${literals}`;
    return {
      part: `constraint ${row.Name}`,
      definition: definition + disabled(row.IsDisabled),
      cut: referenced === null && condition === null && !row.IsDisabled,
    };
  });
}
