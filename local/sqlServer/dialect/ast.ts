import type { SqlType, SqlValue } from '../sqlTypes';

/** The last part of a table's name; `schema` only where written. A temporary table's name begins with #. */
export interface Name {
  schema: string | undefined;
  name: string;
}

export interface OrderItem {
  expr: Expr;
  descending: boolean;
}

export type Expr =
  | { kind: 'literal'; type: SqlType; value: SqlValue }
  | { kind: 'column'; parts: string[] }
  | { kind: 'variable'; name: string }
  | { kind: 'binary'; op: string; left: Expr; right: Expr }
  | { kind: 'negate'; expr: Expr }
  | { kind: 'not'; expr: Expr }
  | { kind: 'isNull'; expr: Expr; not: boolean }
  | { kind: 'in'; expr: Expr; list: Expr[] | Query; not: boolean }
  | { kind: 'between'; expr: Expr; low: Expr; high: Expr; not: boolean }
  | { kind: 'like'; expr: Expr; pattern: Expr; escape: Expr | undefined; not: boolean }
  | { kind: 'exists'; query: Query }
  | {
      kind: 'case';
      operand: Expr | undefined;
      whens: { when: Expr; then: Expr }[];
      otherwise: Expr | undefined;
    }
  | {
      kind: 'call';
      name: string;
      args: Expr[];
      /** The date part of DATEADD and its like. */
      part?: string;
      distinct?: boolean;
      star?: boolean;
      over?: { partitionBy: Expr[]; orderBy: OrderItem[] };
    }
  | { kind: 'cast'; expr: Expr; type: SqlType; style?: Expr; lenient: boolean }
  | { kind: 'subquery'; query: Query }
  | { kind: 'collate'; expr: Expr; collation: Collation };

export type Collation = 'NOCASE' | 'BINARY';

export interface SelectItem {
  /** Absent: `*`, or `qualifier.*`. */
  expr: Expr | undefined;
  qualifier?: string;
  alias?: string;
  /** `SELECT @x = …`. */
  variable?: string;
}

export type Source =
  | { kind: 'table'; name: Name; alias: string; locks: boolean }
  | { kind: 'derived'; query: Query; alias: string; columns?: string[] }
  | { kind: 'values'; rows: Expr[][]; alias: string; columns: string[] }
  | { kind: 'openJson'; json: Expr; columns: { name: string; type: SqlType; path: string }[]; alias: string }
  | {
      kind: 'join';
      join: 'INNER' | 'LEFT' | 'RIGHT' | 'FULL' | 'CROSS';
      left: Source;
      right: Source;
      on: Expr | undefined;
    };

export interface Select {
  kind: 'select';
  distinct: boolean;
  top: Expr | undefined;
  items: SelectItem[];
  from: Source | undefined;
  where: Expr | undefined;
  groupBy: Expr[];
  having: Expr | undefined;
}

export interface SetOperation {
  kind: 'set';
  op: 'UNION' | 'UNION ALL' | 'EXCEPT' | 'INTERSECT';
  left: Body;
  right: Body;
}

export type Body = Select | SetOperation;

export interface Query {
  body: Body;
  ctes: { name: string; columns: string[]; query: Query }[];
  orderBy: OrderItem[];
  offset: Expr | undefined;
  fetch: Expr | undefined;
}

export interface ColumnDefinition {
  name: string;
  type: SqlType;
  collation: Collation;
  nullable: boolean | undefined;
  identity: boolean;
  default?: { name: string | undefined; text: string };
}

export type ConstraintDefinition =
  | { kind: 'primary' | 'unique'; name: string | undefined; columns: string[] }
  | { kind: 'foreign'; name: string | undefined; columns: string[]; table: string; references: string[] }
  | { kind: 'check'; name: string | undefined; text: string };

export interface IndexColumn {
  name: string;
  descending: boolean;
}

/** OUTPUT's list, where there is one. */
export type Output = SelectItem[] | undefined;

interface Node {
  /** As written, for messages. */
  text: string;
  /** A table hint asks for locks that are held: UPDLOCK, XLOCK, HOLDLOCK, TABLOCKX, SERIALIZABLE. */
  locks: boolean;
}

export type StatementBody =
  | { kind: 'select'; query: Query }
  | {
      kind: 'insert';
      table: Name;
      columns: string[] | undefined;
      output: Output;
      /** A cell `undefined` is the word DEFAULT. */
      source: Query | (Expr | undefined)[][];
    }
  | {
      kind: 'update' | 'delete';
      target: Name;
      top: Expr | undefined;
      set: { column: string; value: Expr }[];
      output: Output;
      from: Source | undefined;
      where: Expr | undefined;
    }
  | { kind: 'begin' | 'commit' | 'rollback' }
  | { kind: 'if'; condition: Expr; then: Statement; otherwise: Statement | undefined }
  | { kind: 'block'; statements: Statement[] }
  | { kind: 'declare'; variables: { name: string; type: SqlType; value: Expr | undefined }[] }
  | { kind: 'assign'; name: string; value: Expr }
  | { kind: 'option'; name: string; value: string }
  | { kind: 'identityInsert'; table: Name; on: boolean }
  | { kind: 'print'; value: Expr }
  | {
      kind: 'createTable';
      table: Name;
      columns: ColumnDefinition[];
      constraints: ConstraintDefinition[];
      indexes: { name: string; unique: boolean; columns: IndexColumn[] }[];
    }
  | {
      kind: 'createIndex';
      name: string;
      table: Name;
      unique: boolean;
      columns: IndexColumn[];
      include: string[];
      where: string | undefined;
    }
  | {
      kind: 'createView';
      name: Name;
      mode: 'create' | 'alter' | 'createOrAlter';
      definition: string;
      module: string;
    }
  | { kind: 'drop'; object: 'TABLE' | 'VIEW' | 'ROLE' | 'USER'; names: Name[]; ifExists: boolean }
  | { kind: 'dropIndex'; name: string; table: Name; ifExists: boolean }
  | {
      kind: 'alterTable';
      table: Name;
      action:
        | { kind: 'add'; columns: ColumnDefinition[]; constraints: ConstraintDefinition[] }
        | { kind: 'dropColumns' | 'dropConstraints'; names: string[]; ifExists: boolean };
    }
  | { kind: 'createPrincipal'; name: string; type: 'R' | 'E' | 'S'; sid?: string }
  | { kind: 'roleMember'; role: string; member: string; add: boolean }
  | {
      kind: 'permission';
      state: 'GRANT' | 'DENY' | 'REVOKE';
      permissions: string[];
      on: Name | undefined;
      principals: string[];
    };

export type Statement = StatementBody & Node;
