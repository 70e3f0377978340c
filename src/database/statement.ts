import type { Columns } from './columns';

/** The SQL types that parameters travel as. Each names its length: a bare VARCHAR would be VARCHAR(1) in T-SQL. */
export type Parameter =
  | { readonly type: 'Int'; readonly value: number }
  | { readonly type: 'UniqueIdentifier'; readonly value: string }
  | { readonly type: 'VarChar' | 'NVarChar'; readonly length: number | 'max'; readonly value: string | null };

/** One call to the server: the text, and every value as a typed parameter. */
export interface Statement<C extends Columns | undefined = Columns | undefined> {
  /** For logs, telemetry and error messages. */
  readonly name: string;
  readonly sql: string;
  /** It searches the site's own tables, which are large and may lack the index: it gets more time. */
  readonly slow?: true;
  /** What is read of its rows; absent: they are as the driver gives them. */
  readonly columns?: C;
  /** Absent: the text is sent as a plain batch, whose temporary tables live as long as the session. */
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
