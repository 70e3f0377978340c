import type { SqlType, SqlValue } from '../sqlTypes';

/** The last part of a table's name; `schema` only where written. A temporary table's name begins with #. */
export interface Name {
  readonly schema: string | undefined;
  readonly name: string;
}

export interface OrderItem {
  readonly expr: Expr;
  readonly descending: boolean;
}

export type Expr =
  | { readonly kind: 'literal'; readonly type: SqlType; readonly value: SqlValue }
  | { readonly kind: 'column'; readonly parts: readonly string[] }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'binary'; readonly op: string; readonly left: Expr; readonly right: Expr }
  | { readonly kind: 'negate'; readonly expr: Expr }
  | { readonly kind: 'not'; readonly expr: Expr }
  | { readonly kind: 'isNull'; readonly expr: Expr; readonly not: boolean }
  | {
      readonly kind: 'in';
      readonly expr: Expr;
      readonly list: readonly Expr[] | Query;
      readonly not: boolean;
    }
  | {
      readonly kind: 'between';
      readonly expr: Expr;
      readonly low: Expr;
      readonly high: Expr;
      readonly not: boolean;
    }
  | {
      readonly kind: 'like';
      readonly expr: Expr;
      readonly pattern: Expr;
      readonly escape: Expr | undefined;
      readonly not: boolean;
    }
  | { readonly kind: 'exists'; readonly query: Query }
  | {
      readonly kind: 'case';
      readonly operand: Expr | undefined;
      readonly whens: readonly { readonly when: Expr; readonly then: Expr }[];
      readonly otherwise: Expr | undefined;
    }
  | {
      readonly kind: 'call';
      readonly name: string;
      readonly args: readonly Expr[];
      /** The date part of DATEADD and its like. */
      readonly part?: string;
      readonly distinct?: boolean;
      readonly star?: boolean;
      readonly over?: { readonly partitionBy: readonly Expr[]; readonly orderBy: readonly OrderItem[] };
    }
  | {
      readonly kind: 'cast';
      readonly expr: Expr;
      readonly type: SqlType;
      readonly style?: Expr;
      readonly lenient: boolean;
    }
  | { readonly kind: 'subquery'; readonly query: Query }
  | { readonly kind: 'collate'; readonly expr: Expr; readonly collation: Collation };

export type Collation = 'NOCASE' | 'BINARY';

export interface SelectItem {
  /** Absent: `*`, or `qualifier.*`. */
  readonly expr: Expr | undefined;
  readonly qualifier?: string;
  readonly alias?: string;
  /** `SELECT @x = …`. */
  readonly variable?: string;
}

export type Source =
  | { readonly kind: 'table'; readonly name: Name; readonly alias: string }
  | {
      readonly kind: 'derived';
      readonly query: Query;
      readonly alias: string;
      readonly columns?: readonly string[];
    }
  | {
      readonly kind: 'values';
      readonly rows: readonly (readonly Expr[])[];
      readonly alias: string;
      readonly columns: readonly string[];
    }
  | {
      readonly kind: 'openJson';
      readonly json: Expr;
      readonly columns: readonly { readonly name: string; readonly type: SqlType; readonly path: string }[];
      readonly alias: string;
    }
  | {
      readonly kind: 'join';
      readonly join: 'INNER' | 'LEFT' | 'RIGHT' | 'FULL' | 'CROSS';
      readonly left: Source;
      readonly right: Source;
      readonly on: Expr | undefined;
    };

export interface Select {
  readonly kind: 'select';
  readonly distinct: boolean;
  readonly top: Expr | undefined;
  readonly items: readonly SelectItem[];
  readonly from: Source | undefined;
  readonly where: Expr | undefined;
  readonly groupBy: readonly Expr[];
  readonly having: Expr | undefined;
}

export interface SetOperation {
  readonly kind: 'set';
  readonly op: 'UNION' | 'UNION ALL' | 'EXCEPT' | 'INTERSECT';
  readonly left: Body;
  readonly right: Body;
}

export type Body = Select | SetOperation;

export interface Query {
  readonly body: Body;
  readonly ctes: readonly {
    readonly name: string;
    readonly columns: readonly string[];
    readonly query: Query;
  }[];
  readonly orderBy: readonly OrderItem[];
  readonly offset: Expr | undefined;
  readonly fetch: Expr | undefined;
}

export interface ColumnDefinition {
  readonly name: string;
  readonly type: SqlType;
  readonly collation: Collation;
  readonly nullable: boolean | undefined;
  readonly identity: boolean;
  readonly default?: { readonly name: string | undefined; readonly text: string };
}

export type ConstraintDefinition =
  | {
      readonly kind: 'primary' | 'unique';
      readonly name: string | undefined;
      readonly columns: readonly string[];
    }
  | {
      readonly kind: 'foreign';
      readonly name: string | undefined;
      readonly columns: readonly string[];
      readonly table: string;
      readonly references: readonly string[];
    }
  | { readonly kind: 'check'; readonly name: string | undefined; readonly text: string };

export interface IndexColumn {
  readonly name: string;
  readonly descending: boolean;
}

/** OUTPUT's list, where there is one. */
export type Output = readonly SelectItem[] | undefined;

interface Node {
  /** As written, for messages. */
  readonly text: string;
  /** A table hint asks for locks that are held: UPDLOCK, XLOCK, HOLDLOCK, TABLOCKX, SERIALIZABLE. */
  readonly locks: boolean;
}

export type StatementBody =
  | { readonly kind: 'select'; readonly query: Query }
  | {
      readonly kind: 'insert';
      readonly table: Name;
      readonly columns: readonly string[] | undefined;
      readonly output: Output;
      /** undefined: DEFAULT VALUES. A cell `undefined` is the word DEFAULT. */
      readonly source: Query | readonly (readonly (Expr | undefined)[])[] | undefined;
    }
  | {
      readonly kind: 'update' | 'delete';
      readonly target: Name;
      readonly top: Expr | undefined;
      readonly set: readonly { readonly column: string; readonly value: Expr }[];
      readonly output: Output;
      readonly from: Source | undefined;
      readonly where: Expr | undefined;
    }
  | { readonly kind: 'begin' | 'commit' | 'rollback' }
  | {
      readonly kind: 'if';
      readonly condition: Expr;
      readonly then: Statement;
      readonly otherwise: Statement | undefined;
    }
  | { readonly kind: 'block'; readonly statements: readonly Statement[] }
  | {
      readonly kind: 'declare';
      readonly variables: readonly {
        readonly name: string;
        readonly type: SqlType;
        readonly value: Expr | undefined;
      }[];
    }
  | { readonly kind: 'assign'; readonly name: string; readonly value: Expr }
  | { readonly kind: 'option'; readonly name: string; readonly value: string }
  | { readonly kind: 'identityInsert'; readonly table: Name; readonly on: boolean }
  | { readonly kind: 'print'; readonly value: Expr }
  | {
      readonly kind: 'createTable';
      readonly table: Name;
      readonly columns: readonly ColumnDefinition[];
      readonly constraints: readonly ConstraintDefinition[];
      readonly indexes: readonly {
        readonly name: string;
        readonly unique: boolean;
        readonly columns: readonly IndexColumn[];
      }[];
    }
  | {
      readonly kind: 'createIndex';
      readonly name: string;
      readonly table: Name;
      readonly unique: boolean;
      readonly columns: readonly IndexColumn[];
      readonly include: readonly string[];
      readonly where: string | undefined;
    }
  | {
      readonly kind: 'createView';
      readonly name: Name;
      readonly mode: 'create' | 'alter' | 'createOrAlter';
      readonly definition: string;
    }
  | {
      readonly kind: 'drop';
      readonly object: 'TABLE' | 'VIEW' | 'ROLE' | 'USER';
      readonly names: readonly Name[];
      readonly ifExists: boolean;
    }
  | { readonly kind: 'dropIndex'; readonly name: string; readonly table: Name; readonly ifExists: boolean }
  | {
      readonly kind: 'alterTable';
      readonly table: Name;
      readonly action:
        | {
            readonly kind: 'add';
            readonly columns: readonly ColumnDefinition[];
            readonly constraints: readonly ConstraintDefinition[];
          }
        | {
            readonly kind: 'dropColumns' | 'dropConstraints';
            readonly names: readonly string[];
            readonly ifExists: boolean;
          };
    }
  | { readonly kind: 'createPrincipal'; readonly name: string; readonly type: 'R' | 'E' | 'S' }
  | { readonly kind: 'roleMember'; readonly role: string; readonly member: string; readonly add: boolean }
  | {
      readonly kind: 'permission';
      readonly state: 'GRANT' | 'DENY' | 'REVOKE';
      readonly permissions: readonly string[];
      readonly on: Name | undefined;
      readonly principals: readonly string[];
    };

export type Statement = StatementBody & Node;
