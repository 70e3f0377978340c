import { parseType } from '../dialect/tokenReader';
import { TYPES, type SqlType } from '../sqlTypes';
import { IDS_PER_OBJECT } from './catalogue';

export interface SystemView {
  readonly columns: readonly (readonly [name: string, type: SqlType])[];
  /** SQLite's query for its rows. */
  readonly sql: string;
}

/** `columns`: each as `name type = its value in SQLite`, with semicolons between; `sources`: what comes after FROM, one query for each. */
function view(columns: string, ...sources: readonly string[]): SystemView {
  const parts = columns
    .trim()
    .split(/;\s*/)
    .map((column) => /^(\w+) (\S+) = ([^]*)$/.exec(column) ?? []);
  const list = parts.map(([, name = '', , value = '']) => `${value} AS "${name}"`).join(', ');
  return {
    columns: parts.map(([, name = '', type = '']) => [name, parseType(type)]),
    sql: sources.map((source) => `SELECT ${list} FROM ${source}`).join(' UNION ALL '),
  };
}

/** Of what cannot be made here. */
const empty = (columns: string) => view(columns.replace(/(?=;|$)/g, ' = NULL'), '(SELECT 1 WHERE 0)');

/** The catalogue's entries as SQL sees them; what they hold is JSON, see Catalogue. */
const entries = (...kinds: string[]): string =>
  `(SELECT id * ${IDS_PER_OBJECT} AS id, id + 4 AS principal_id, body, kind, name FROM main.__catalogue
    WHERE kind IN (${kinds.map((kind) => `'${kind}'`).join(', ')})) AS e`;
const members = (list: string): string => `json_each(e.body, '$.${list}')`;

/** Keys by type name. */
const byType = (trait: 'id' | 'bytes'): string =>
  `'${JSON.stringify(Object.fromEntries(Object.entries(TYPES).map(([name, traits]) => [name, traits[trait]])))}' ->>`;

/** Tables and views, then the constraints of the tables with ids that follow their table's. */
const objects = `(
  SELECT id, name, 0 AS parent, iif(kind = 'table', 'U', 'V') AS type, body FROM ${entries('table', 'view')} UNION ALL
  SELECT e.id + c.key + 1, c.value ->> 'name', e.id, '{"primary":"PK","unique":"UQ","foreign":"F","check":"C"}' ->> (c.value ->> 'kind'), c.value
    FROM ${entries('table')}, ${members('constraints')} AS c) AS o`;

const objectColumns = `name sysname = o.name; object_id int = o.id; schema_id int = 1; parent_object_id int = o.parent;
      type varchar(2) = o.type;
      type_desc nvarchar(60) = '{"U":"USER_TABLE","V":"VIEW","PK":"PRIMARY_KEY_CONSTRAINT","UQ":"UNIQUE_CONSTRAINT","F":"FOREIGN_KEY_CONSTRAINT","C":"CHECK_CONSTRAINT"}' ->> o.type;
      is_ms_shipped bit = 0; is_disabled bit = 0`;

const typeName = `c.value ->> '$.type.name'`;
const length = `c.value ->> '$.type.length'`;
const columns = `object_id int = e.id; name sysname = c.value ->> 'name'; column_id int = c.key + 1;
      system_type_id tinyint = ${byType('id')} (${typeName}); user_type_id int = ${byType('id')} (${typeName});
      max_length smallint = ifnull(iif(${typeName} = 'nvarchar', max(-1, 2 * (${length})), ${length}), ${byType('bytes')} (${typeName}));
      scale tinyint = ifnull(c.value ->> '$.type.scale', 0);
      collation_name sysname = iif(${length} IS NULL, NULL, iif(c.value ->> 'collation' = 'BINARY', 'Latin1_General_BIN2', 'SQL_Latin1_General_CP1_CI_AS'));
      is_nullable bit = c.value ->> 'nullable'; is_identity bit = c.value ->> 'identity';
      encryption_type int = NULL; encryption_type_desc nvarchar(60) = NULL`;
const columnRows = `${entries('table', 'view')}, ${members('columns')} AS c`;

/** The keys of a table, then its other indexes. */
const indexes = `(
  SELECT *, row_number() OVER (PARTITION BY id ORDER BY rank) AS index_id FROM (
    SELECT e.id, e.body AS owner, c.key AS rank, c.value ->> 'kind' AS kind,
      json_object('name', c.value ->> 'name', 'columns', json_array(c.value)) AS body FROM ${entries('table')}, ${members('constraints')} AS c
      WHERE c.value ->> 'kind' IN ('primary', 'unique') UNION ALL
    SELECT e.id, e.body, 1000 + c.key, 'index', c.value FROM ${entries('table')}, ${members('indexes')} AS c)) AS i`;

/** The columns of an index; that of a key is the constraint. */
const indexColumns = `(
  SELECT i.id, i.index_id, i.owner, k.key AS rank, 0 AS included, ifnull(k.value ->> 'column', k.value ->> 'name') AS name,
    ifnull(k.value ->> 'descending', 0) AS descending FROM ${indexes}, json_each(i.body, '$.columns') AS k UNION ALL
  SELECT i.id, i.index_id, i.owner, 100 + k.key, 1, k.value, 0 FROM ${indexes}, json_each(i.body, '$.include') AS k) AS k`;

const grants = `${entries('principal')}, ${members('permissions')} AS p LEFT JOIN ${objects} ON o.name = p.value ->> 'on' AND o.parent = 0`;
const fixedPrincipals = `(SELECT column1 AS name, column2 AS principal_id, json_object('type', column3) AS body FROM (VALUES ('public', 0, 'R'), ('dbo', 1, 'S'))) AS e`;

/** What sys answers, by lower-case name. */
const VIEWS: Readonly<Record<string, SystemView>> = {
  'sys.objects': view(objectColumns, objects),
  'sys.tables': view(objectColumns, `${objects} WHERE o.type = 'U'`),
  'sys.check_constraints': view(
    `${objectColumns}; definition nvarchar(max) = '(' || (o.body ->> 'text') || ')'`,
    `${objects} WHERE o.type = 'C'`,
  ),
  'sys.foreign_keys': view(
    `${objectColumns}; referenced_object_id int = (SELECT id FROM ${entries('table')} WHERE name = o.body ->> 'table')`,
    `${objects} WHERE o.type = 'F'`,
  ),
  'sys.sql_modules': view(
    "object_id int = o.id; definition nvarchar(max) = o.body ->> 'module'",
    `${objects} WHERE o.type = 'V'`,
  ),
  'sys.triggers': empty('name sysname; object_id int; parent_id int; is_disabled bit'),
  'sys.security_policies': empty('name sysname; object_id int; is_enabled bit'),
  'sys.security_predicates': empty('object_id int; target_object_id int; predicate_type_desc nvarchar(60)'),
  'sys.columns': view(columns, columnRows),
  'sys.masked_columns': view(`${columns}; is_masked bit = 1`, `${columnRows} WHERE 0`),
  'sys.types': view(
    'name sysname = key; system_type_id tinyint = value; user_type_id int = value',
    `json_each(${byType('id').replace(' ->>', '')})`,
  ),
  'sys.indexes': view(
    `object_id int = i.id; name sysname = i.body ->> 'name'; index_id int = i.index_id;
      type_desc nvarchar(60) = iif(i.kind = 'primary', 'CLUSTERED', 'NONCLUSTERED');
      is_unique bit = i.kind <> 'index' OR i.body ->> 'unique'; is_primary_key bit = i.kind = 'primary';
      is_unique_constraint bit = i.kind = 'unique'; is_disabled bit = 0; has_filter bit = i.body ->> 'where' IS NOT NULL;
      filter_definition nvarchar(max) = '(' || (i.body ->> 'where') || ')'`,
    indexes,
  ),
  'sys.index_columns': view(
    `object_id int = k.id; index_id int = k.index_id; index_column_id int = k.rank + 1;
      column_id int = (SELECT key + 1 FROM json_each(k.owner, '$.columns') WHERE value ->> 'name' = k.name COLLATE NOCASE);
      key_ordinal tinyint = iif(k.included, 0, k.rank + 1); is_descending_key bit = k.descending;
      is_included_column bit = k.included`,
    indexColumns,
  ),
  'sys.schemas': view('name sysname = column1; schema_id int = column2', "(VALUES ('dbo', 1), ('sys', 4))"),
  'sys.databases': view(
    `name sysname = 'access'; database_id int = 5; compatibility_level tinyint = 160;
      collation_name sysname = 'SQL_Latin1_General_CP1_CI_AS'; is_read_committed_snapshot_on bit = 1`,
    '(SELECT 1)',
  ),
  'sys.database_principals': view(
    `name sysname = e.name; principal_id int = e.principal_id; type varchar(1) = e.body ->> 'type';
      type_desc nvarchar(60) = '{"R":"DATABASE_ROLE","E":"EXTERNAL_USER","S":"SQL_USER"}' ->> (e.body ->> 'type');
      sid varbinary(85) = unhex(e.body ->> 'sid')`,
    fixedPrincipals,
    entries('principal'),
  ),
  'sys.database_permissions': view(
    `class tinyint = o.id IS NOT NULL; major_id int = ifnull(o.id, 0);
      minor_id int = ifnull((SELECT c.key + 1 FROM json_each(o.body, '$.columns') AS c WHERE instr(p.value ->> 'permission', '(' || (c.value ->> 'name') || ')')), 0);
      grantee_principal_id int = e.principal_id; permission_name nvarchar(128) = substr(p.value ->> 'permission', 1, instr((p.value ->> 'permission') || ' (', ' (') - 1);
      state varchar(1) = 'G'; state_desc nvarchar(60) = 'GRANT'`,
    grants,
  ),
  'sys.database_role_members': view(
    'role_principal_id int = r.id + 4; member_principal_id int = e.principal_id',
    `${entries('principal')}, ${members('memberOf')} AS m, main.__catalogue AS r
        WHERE r.kind = 'principal' AND r.name = m.value`,
  ),
};

export const systemViews = new Map(Object.entries(VIEWS));
