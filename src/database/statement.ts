import type { Columns } from './columns';

/** The SQL types of parameters. Each names its length: a bare VARCHAR would be VARCHAR(1) in T-SQL. */
export type Parameter =
  | { readonly type: 'Int'; readonly value: number }
  | { readonly type: 'UniqueIdentifier'; readonly value: string }
  | { readonly type: 'VarChar' | 'NVarChar'; readonly length: number | 'max'; readonly value: string | null };

/** One call to the server: its text and typed parameters. */
export interface Statement<C extends Columns | undefined = Columns | undefined> {
  /** For logs, telemetry and error messages. */
  readonly name: string;
  readonly sql: string;
  /** It searches the site's own tables, which may be large and lack an index, and gets more time. */
  readonly slow?: true;
  /** The columns that are read; absent: rows are as the driver gives them. */
  readonly columns?: C;
  /** Absent: the text is sent as a plain batch, whose temporary tables last as long as the session. */
  readonly parameters?: Readonly<Record<string, Parameter>>;
}

export const int = (value: number): Parameter => ({ type: 'Int', value });
export const uniqueIdentifier = (value: string): Parameter => ({ type: 'UniqueIdentifier', value });
export const varChar = (length: number | 'max', value: string | null): Parameter => ({
  type: 'VarChar',
  length,
  value,
});
export const nVarChar = (length: number | 'max', value: string | null): Parameter => ({
  type: 'NVarChar',
  length,
  value,
});
