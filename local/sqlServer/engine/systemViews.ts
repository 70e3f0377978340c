import { parseType } from '../dialect/parser';
import { isUnicode, type SqlType, type SqlValue, type TypeName } from '../sqlTypes';
import {
  constraintsOf,
  IDS_PER_OBJECT,
  type Catalogue,
  type CatalogueConstraint,
  type Stored,
  type Table,
} from './catalogue';

export interface SystemView {
  readonly columns: readonly (readonly [string, SqlType])[];
  readonly rows: (catalogue: Catalogue) => SqlValue[][];
}

const DBO = 1n;

/** `name type` pairs. */
const columns = (text: string): SystemView['columns'] =>
  text.split(', ').map((column) => {
    const [name = '', type = ''] = column.split(' ');
    return [name, parseType(type)] as const;
  });

const bit = (value: boolean): bigint => (value ? 1n : 0n);
const id = (value: number): bigint => BigInt(value);

/** system_type_id, as in sys.types. */
export const TYPE_IDS: Readonly<Partial<Record<TypeName, number>>> = {
  uniqueidentifier: 36,
  date: 40,
  datetime2: 42,
  tinyint: 48,
  smallint: 52,
  int: 56,
  datetime: 61,
  float: 62,
  bit: 104,
  decimal: 106,
  bigint: 127,
  varbinary: 165,
  varchar: 167,
  char: 175,
  nvarchar: 231,
  nchar: 239,
};

const BYTES: Readonly<Partial<Record<TypeName, number>>> = {
  uniqueidentifier: 16,
  date: 3,
  datetime2: 8,
  tinyint: 1,
  smallint: 2,
  bit: 1,
  int: 4,
  decimal: 9,
};

const maxLength = (type: SqlType): number => {
  if (type.length === undefined) return BYTES[type.name] ?? 8;
  return isUnicode(type) && type.length > 0 ? type.length * 2 : type.length;
};

const OBJECT_TYPES: Readonly<Record<string, string>> = {
  U: 'USER_TABLE',
  V: 'VIEW',
  PK: 'PRIMARY_KEY_CONSTRAINT',
  UQ: 'UNIQUE_CONSTRAINT',
  F: 'FOREIGN_KEY_CONSTRAINT',
  C: 'CHECK_CONSTRAINT',
  D: 'DEFAULT_CONSTRAINT',
};

const objectRow = (name: string, objectId: number, parent: number, type: string): SqlValue[] => [
  name,
  id(objectId),
  DBO,
  id(parent),
  type.padEnd(2),
  OBJECT_TYPES[type] ?? '',
  0n,
];
const OBJECT_COLUMNS: SystemView['columns'] = columns(
  'name sysname, object_id int, schema_id int, parent_object_id int, type char(2), type_desc nvarchar(60), is_ms_shipped bit',
);

/** Tables and views with the columns each has: a view's are those it was defined with. */
const relations = (catalogue: Catalogue) => catalogue.all().filter((entry) => entry.kind !== 'principal');

const ofType = (table: Stored<Table>, ...types: string[]): CatalogueConstraint[] =>
  constraintsOf(table).filter((constraint) => types.includes(constraint.type));

interface IndexRow {
  readonly table: Stored<Table>;
  readonly indexId: number;
  readonly name: string;
  readonly unique: boolean;
  readonly constraint: 'PK' | 'UQ' | undefined;
  readonly where: string | undefined;
  readonly columns: readonly {
    readonly name: string;
    readonly descending: boolean;
    readonly included: boolean;
  }[];
}

function indexes(catalogue: Catalogue): IndexRow[] {
  return catalogue.tables().flatMap((table) => {
    const keys = ofType(table, 'PK', 'UQ').map(({ name, type, definition }) => ({
      name,
      unique: true,
      constraint: type === 'PK' ? ('PK' as const) : ('UQ' as const),
      where: undefined,
      columns: ('columns' in definition ? definition.columns : []).map((column) => ({
        name: column,
        descending: false,
        included: false,
      })),
    }));
    const others = table.indexes.map(({ name, unique, columns, include, where }) => ({
      name,
      unique,
      constraint: undefined,
      where,
      columns: [
        ...columns.map((c) => ({ ...c, included: false })),
        ...include.map((c) => ({ name: c, descending: false, included: true })),
      ],
    }));
    return [...keys, ...others].map((index, i) => ({ ...index, table, indexId: i + 1 }));
  });
}

const columnId = (table: Table, name: string): bigint =>
  id(table.columns.findIndex((column) => column.name.toLowerCase() === name.toLowerCase()) + 1);

/** Fixed principals come first; ids of the database's own begin at 5. */
const FIXED_PRINCIPALS: readonly (readonly [string, number, string])[] = [
  ['public', 0, 'R'],
  ['dbo', 1, 'S'],
  ['guest', 2, 'S'],
];
const PRINCIPAL_TYPES: Readonly<Record<string, string>> = {
  R: 'DATABASE_ROLE',
  E: 'EXTERNAL_USER',
  S: 'SQL_USER',
};
export const principalId = (principal: Stored): number => principal.id / IDS_PER_OBJECT + 4;

function principals(catalogue: Catalogue) {
  return catalogue.all().filter((entry) => entry.kind === 'principal');
}

/** What sys and INFORMATION_SCHEMA answer, by lower-case name. */
export const systemViews: ReadonlyMap<string, SystemView> = new Map<string, SystemView>([
  [
    'sys.objects',
    {
      columns: OBJECT_COLUMNS,
      rows: (catalogue) =>
        relations(catalogue).flatMap((entry) => [
          objectRow(entry.name, entry.id, 0, entry.kind === 'table' ? 'U' : 'V'),
          ...(entry.kind === 'table'
            ? constraintsOf(entry).map((c) => objectRow(c.name, c.id, entry.id, c.type))
            : []),
        ]),
    },
  ],
  [
    'sys.tables',
    {
      columns: OBJECT_COLUMNS,
      rows: (catalogue) => catalogue.tables().map((t) => objectRow(t.name, t.id, 0, 'U')),
    },
  ],
  [
    'sys.views',
    {
      columns: OBJECT_COLUMNS,
      rows: (catalogue) =>
        relations(catalogue)
          .filter(({ kind }) => kind === 'view')
          .map((v) => objectRow(v.name, v.id, 0, 'V')),
    },
  ],
  [
    'sys.columns',
    {
      columns: columns(
        'object_id int, name sysname, column_id int, system_type_id tinyint, user_type_id int, max_length smallint, precision tinyint, scale tinyint, collation_name sysname, is_nullable bit, is_identity bit, is_computed bit',
      ),
      rows: (catalogue) =>
        relations(catalogue).flatMap((entry) =>
          entry.columns.map(({ name, type, nullable, identity, collation }, i): SqlValue[] => {
            const typeId = id(TYPE_IDS[type.name] ?? 0);
            const collationName =
              type.length === undefined
                ? null
                : collation === 'BINARY'
                  ? 'Latin1_General_BIN2'
                  : 'SQL_Latin1_General_CP1_CI_AS';
            const sizes = [id(maxLength(type)), id(type.precision ?? 0), id(type.scale ?? 0)];
            return [
              id(entry.id),
              name,
              id(i + 1),
              typeId,
              typeId,
              ...sizes,
              collationName,
              bit(nullable),
              bit(identity),
              0n,
            ];
          }),
        ),
    },
  ],
  [
    'sys.types',
    {
      columns: columns('name sysname, system_type_id tinyint, user_type_id int'),
      rows: () => Object.entries(TYPE_IDS).map(([name, typeId]) => [name, id(typeId), id(typeId)]),
    },
  ],
  [
    'sys.indexes',
    {
      columns: columns(
        'object_id int, name sysname, index_id int, type tinyint, type_desc nvarchar(60), is_unique bit, is_primary_key bit, is_unique_constraint bit, is_disabled bit, has_filter bit, filter_definition nvarchar(max)',
      ),
      rows: (catalogue) =>
        indexes(catalogue).map(({ table, name, indexId, unique, constraint, where }) => {
          const clustered = constraint === 'PK';
          const kind: SqlValue[] = clustered ? [1n, 'CLUSTERED'] : [2n, 'NONCLUSTERED'];
          const flags = [bit(unique), bit(clustered), bit(constraint === 'UQ'), 0n, bit(where !== undefined)];
          return [
            id(table.id),
            name,
            id(indexId),
            ...kind,
            ...flags,
            where === undefined ? null : `(${where})`,
          ];
        }),
    },
  ],
  [
    'sys.index_columns',
    {
      columns: columns(
        'object_id int, index_id int, index_column_id int, column_id int, key_ordinal tinyint, is_descending_key bit, is_included_column bit',
      ),
      rows: (catalogue) =>
        indexes(catalogue).flatMap(({ table, indexId, columns }) =>
          columns.map(({ name, descending, included }, i) => {
            const ordinal = id(i + 1);
            return [
              id(table.id),
              id(indexId),
              ordinal,
              columnId(table, name),
              included ? 0n : ordinal,
              bit(descending),
              bit(included),
            ];
          }),
        ),
    },
  ],
  [
    'sys.foreign_keys',
    {
      columns: [
        ...OBJECT_COLUMNS,
        ...columns('referenced_object_id int, is_disabled bit, is_not_trusted bit'),
      ],
      rows: (catalogue) =>
        catalogue.tables().flatMap((table) =>
          ofType(table, 'F').map(({ name, id: objectId, definition }) => {
            const parent =
              definition.kind === 'foreign'
                ? catalogue.object({ schema: undefined, name: definition.table })
                : undefined;
            return [...objectRow(name, objectId, table.id, 'F'), id(parent?.id ?? 0), 0n, 0n];
          }),
        ),
    },
  ],
  [
    'sys.check_constraints',
    {
      columns: [
        ...OBJECT_COLUMNS,
        ...columns('definition nvarchar(max), is_disabled bit, is_not_trusted bit'),
      ],
      rows: (catalogue) =>
        catalogue
          .tables()
          .flatMap((table) =>
            ofType(table, 'C').map(({ name, id: objectId, definition }) => [
              ...objectRow(name, objectId, table.id, 'C'),
              'text' in definition ? `(${definition.text})` : '',
              0n,
              0n,
            ]),
          ),
    },
  ],
  [
    'sys.databases',
    {
      columns: columns('name sysname, compatibility_level tinyint'),
      rows: () => [['access', 160n]],
    },
  ],
  // Dynamic data masking and triggers are not served.
  ['sys.masked_columns', { columns: columns('object_id int, name sysname, is_masked bit'), rows: () => [] }],
  ['sys.triggers', { columns: columns('name sysname, parent_id int, is_disabled bit'), rows: () => [] }],
  [
    'sys.schemas',
    {
      columns: columns('name sysname, schema_id int, principal_id int'),
      rows: () => [
        ['dbo', 1n, 1n],
        ['sys', 4n, 4n],
      ],
    },
  ],
  [
    'sys.database_principals',
    {
      columns: columns(
        'name sysname, principal_id int, type char(1), type_desc nvarchar(60), sid varbinary(85)',
      ),
      rows: (catalogue) => [
        ...FIXED_PRINCIPALS.map(([name, number, type]): SqlValue[] => [
          name,
          id(number),
          type,
          PRINCIPAL_TYPES[type] ?? '',
          null,
        ]),
        ...principals(catalogue).map((p): SqlValue[] => [
          p.name,
          id(principalId(p)),
          p.type,
          PRINCIPAL_TYPES[p.type] ?? '',
          p.sid === undefined ? null : Buffer.from(p.sid, 'hex'),
        ]),
      ],
    },
  ],
  [
    'sys.database_permissions',
    {
      columns: columns(
        'class tinyint, class_desc nvarchar(60), major_id int, minor_id int, grantee_principal_id int, permission_name nvarchar(128), state char(1), state_desc nvarchar(60)',
      ),
      rows: (catalogue) =>
        principals(catalogue).flatMap((principal) =>
          principal.permissions.map(({ on, permission, state }): SqlValue[] => {
            const object = on === undefined ? undefined : catalogue.object({ schema: undefined, name: on });
            const target: SqlValue[] =
              object === undefined ? [0n, 'DATABASE', 0n] : [1n, 'OBJECT_OR_COLUMN', id(object.id)];
            return [...target, 0n, id(principalId(principal)), permission, state.charAt(0), state];
          }),
        ),
    },
  ],
  [
    'sys.database_role_members',
    {
      columns: columns('role_principal_id int, member_principal_id int'),
      rows: (catalogue) =>
        principals(catalogue).flatMap((member) =>
          member.memberOf.flatMap((name) => {
            const role = catalogue.principal(name);
            return role === undefined ? [] : [[id(principalId(role)), id(principalId(member))]];
          }),
        ),
    },
  ],
  [
    'information_schema.columns',
    {
      columns: columns(
        'TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname, COLUMN_NAME sysname, ORDINAL_POSITION int, IS_NULLABLE varchar(3), DATA_TYPE sysname, CHARACTER_MAXIMUM_LENGTH int',
      ),
      rows: (catalogue) =>
        relations(catalogue).flatMap((entry) =>
          entry.columns.map(({ name, type, nullable }, i): SqlValue[] => {
            const length = type.length === undefined ? null : id(type.length);
            return ['access', 'dbo', entry.name, name, id(i + 1), nullable ? 'YES' : 'NO', type.name, length];
          }),
        ),
    },
  ],
]);
