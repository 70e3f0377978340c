import { INT, isUnicode, SYSNAME, nvarchar, type SqlType, type SqlValue, type TypeName } from '../sqlTypes';
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

const BIT: SqlType = { name: 'bit' };
const SMALL: SqlType = { name: 'smallint' };
const TYPE_CODE: SqlType = { name: 'char', length: 2 };
const TEXT = nvarchar(-1);
const DBO = 1n;

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
const OBJECT_COLUMNS: SystemView['columns'] = [
  ['name', SYSNAME],
  ['object_id', INT],
  ['schema_id', INT],
  ['parent_object_id', INT],
  ['type', TYPE_CODE],
  ['type_desc', nvarchar(60)],
  ['is_ms_shipped', BIT],
];

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
      columns: [
        ['object_id', INT],
        ['name', SYSNAME],
        ['column_id', INT],
        ['system_type_id', { name: 'tinyint' }],
        ['user_type_id', INT],
        ['max_length', SMALL],
        ['precision', { name: 'tinyint' }],
        ['scale', { name: 'tinyint' }],
        ['collation_name', SYSNAME],
        ['is_nullable', BIT],
        ['is_identity', BIT],
        ['is_computed', BIT],
      ],
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
      columns: [
        ['name', SYSNAME],
        ['system_type_id', { name: 'tinyint' }],
        ['user_type_id', INT],
      ],
      rows: () => Object.entries(TYPE_IDS).map(([name, typeId]) => [name, id(typeId), id(typeId)]),
    },
  ],
  [
    'sys.indexes',
    {
      columns: [
        ['object_id', INT],
        ['name', SYSNAME],
        ['index_id', INT],
        ['type', { name: 'tinyint' }],
        ['type_desc', nvarchar(60)],
        ['is_unique', BIT],
        ['is_primary_key', BIT],
        ['is_unique_constraint', BIT],
        ['is_disabled', BIT],
        ['has_filter', BIT],
        ['filter_definition', TEXT],
      ],
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
      columns: [
        ['object_id', INT],
        ['index_id', INT],
        ['index_column_id', INT],
        ['column_id', INT],
        ['key_ordinal', { name: 'tinyint' }],
        ['is_descending_key', BIT],
        ['is_included_column', BIT],
      ],
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
        ['referenced_object_id', INT],
        ['is_disabled', BIT],
        ['is_not_trusted', BIT],
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
      columns: [...OBJECT_COLUMNS, ['definition', TEXT], ['is_disabled', BIT], ['is_not_trusted', BIT]],
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
    'sys.schemas',
    {
      columns: [
        ['name', SYSNAME],
        ['schema_id', INT],
        ['principal_id', INT],
      ],
      rows: () => [
        ['dbo', 1n, 1n],
        ['sys', 4n, 4n],
      ],
    },
  ],
  [
    'sys.database_principals',
    {
      columns: [
        ['name', SYSNAME],
        ['principal_id', INT],
        ['type', { name: 'char', length: 1 }],
        ['type_desc', nvarchar(60)],
      ],
      rows: (catalogue) => [
        ...FIXED_PRINCIPALS.map(([name, number, type]): SqlValue[] => [
          name,
          id(number),
          type,
          PRINCIPAL_TYPES[type] ?? '',
        ]),
        ...principals(catalogue).map((p): SqlValue[] => [
          p.name,
          id(principalId(p)),
          p.type,
          PRINCIPAL_TYPES[p.type] ?? '',
        ]),
      ],
    },
  ],
  [
    'sys.database_permissions',
    {
      columns: [
        ['class', { name: 'tinyint' }],
        ['class_desc', nvarchar(60)],
        ['major_id', INT],
        ['minor_id', INT],
        ['grantee_principal_id', INT],
        ['permission_name', nvarchar(128)],
        ['state', { name: 'char', length: 1 }],
        ['state_desc', nvarchar(60)],
      ],
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
      columns: [
        ['role_principal_id', INT],
        ['member_principal_id', INT],
      ],
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
      columns: [
        ['TABLE_CATALOG', SYSNAME],
        ['TABLE_SCHEMA', SYSNAME],
        ['TABLE_NAME', SYSNAME],
        ['COLUMN_NAME', SYSNAME],
        ['ORDINAL_POSITION', INT],
        ['IS_NULLABLE', { name: 'varchar', length: 3 }],
        ['DATA_TYPE', SYSNAME],
        ['CHARACTER_MAXIMUM_LENGTH', INT],
      ],
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
