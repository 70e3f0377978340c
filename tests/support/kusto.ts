/*
 * Microsoft's KQL parser, narrowed to what the tests use. The package is Bridge.NET output: its second script
 * sets the global Kusto, and its collections are .NET ones.
 */

import { remembering } from '../../local/remembering';

interface List<T> {
  Count: number;
  getItem(index: number): T;
}

export interface SyntaxNode {
  Parent: SyntaxNode | null;
  ChildCount: number;
  GetChild(index: number): SyntaxNode | null;
  toString(): string;
}

interface NameReference extends SyntaxNode {
  SimpleName: string;
  ReferencedSymbol: object | null;
}

interface Kusto {
  Language: {
    GlobalState: { Default: { WithDatabase(database: object): object } };
    KustoCode: {
      ParseAndAnalyze(
        text: string,
        globals: object,
      ): {
        Syntax: SyntaxNode;
        /** Has no columns where the text is no table expression. */
        ResultType: { Columns?: List<{ Name: string; Type: { Name: string } }> };
        GetDiagnostics(): List<{ Message: string }>;
      };
    };
    Symbols: {
      DatabaseSymbol: { ctor: new (name: string, tables: object[]) => object };
      TableSymbol: {
        new (): object;
        /** From a schema such as "(timestamp: datetime, name: string)". */
        $ctor7: new (name: string, schema: string, description: null) => object;
      };
    };
    Syntax: {
      SyntaxElement: { WalkNodes(root: SyntaxNode, visit: (node: SyntaxNode) => void): void };
      NameReference: new () => NameReference;
      LiteralExpression: new () => SyntaxNode & { LiteralValue: unknown };
      PathExpression: new () => SyntaxNode & { Selector: SyntaxNode };
    };
  };
}

interface Bridge {
  /** That of the realm in which it was loaded. */
  readonly global: { readonly Kusto: Kusto };
  /** For example "Kusto.Language.Syntax.PipeExpression". */
  getTypeName(value: object): string;
}

const bridge = jest.requireActual<Bridge>('@kusto/language-service-next/bridge.min.js');
jest.requireActual<object>('@kusto/language-service-next/Kusto.Language.Bridge.min.js');
const { GlobalState, KustoCode, Symbols, Syntax } = bridge.global.Kusto.Language;

/**
 * The columns in use of the tables in use, of Application Insights and of the mail service's log:
 * https://learn.microsoft.com/azure/azure-monitor/app/data-model-complete
 * https://learn.microsoft.com/azure/azure-monitor/reference/tables/acsemailstatusupdateoperational
 */
const tables = {
  customEvents: '(timestamp: datetime, name: string, customDimensions: dynamic)',
  exceptions: '(timestamp: datetime, type: string, outerMessage: string, customDimensions: dynamic)',
  ACSEmailStatusUpdateOperational:
    '(TimeGenerated: datetime, CorrelationId: string, RecipientId: string, DeliveryStatus: string, EnhancedSmtpStatusCode: string, FailureReason: string)',
};

const globals = GlobalState.Default.WithDatabase(
  new Symbols.DatabaseSymbol.ctor(
    'ApplicationInsights',
    Object.entries(tables).map(([name, schema]) => new Symbols.TableSymbol.$ctor7(name, schema, null)),
  ),
);

export interface QueryAnalysis {
  /** The parser's messages; none if the query is sound. */
  diagnostics: string[];
  /** Column name → KQL type name. */
  columns: Record<string, string>;
  /** The tables that are read, in order. */
  tables: string[];
  /** The properties that are read from customDimensions. */
  properties: string[];
  /** The texts that the column `name` is compared with. */
  comparedNames: string[];
  /** All texts in the query. */
  texts: string[];
}

/** The syntax tree of a query. Throws if the parser has anything to say of it. */
export const parseQuery = remembering((text): SyntaxNode => {
  const code = KustoCode.ParseAndAnalyze(text, globals);
  const problems = toArray(code.GetDiagnostics()).map(({ Message }) => Message);
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return code.Syntax;
});

/** For example "PipeExpression". */
export function kindOf(node: SyntaxNode): string {
  return bridge
    .getTypeName(node)
    .replace(/[`[].*$/, '')
    .replace(/^.*\./, '');
}

/** Throws if customDimensions is read in another way than `customDimensions.property`. */
export function analyzeQuery(text: string): QueryAnalysis {
  const code = KustoCode.ParseAndAnalyze(text, globals);
  const names = descendants(code.Syntax, Syntax.NameReference);
  const references = (name: string) => names.filter((reference) => reference.SimpleName === name);
  return {
    diagnostics: toArray(code.GetDiagnostics()).map(({ Message }) => Message),
    columns: Object.fromEntries(toArray(code.ResultType.Columns).map(({ Name, Type }) => [Name, Type.Name])),
    tables: names
      .filter(({ ReferencedSymbol }) => ReferencedSymbol instanceof Symbols.TableSymbol)
      .map(({ SimpleName }) => SimpleName),
    properties: references('customDimensions').map(({ Parent }) => {
      if (!(Parent instanceof Syntax.PathExpression))
        throw new Error(`not of the form customDimensions.property: ${String(Parent)}`);
      return Parent.Selector.toString().trim();
    }),
    comparedNames: references('name').flatMap(({ Parent }) => (Parent ? textsIn(Parent) : [])),
    texts: textsIn(code.Syntax),
  };
}

function textsIn(root: SyntaxNode): string[] {
  return descendants(root, Syntax.LiteralExpression)
    .map(({ LiteralValue }) => LiteralValue)
    .filter((value) => typeof value === 'string');
}

function descendants<T extends SyntaxNode>(root: SyntaxNode, kind: new () => T): T[] {
  const found: T[] = [];
  Syntax.SyntaxElement.WalkNodes(root, (node) => {
    if (node instanceof kind) found.push(node);
  });
  return found;
}

function toArray<T>(list: List<T> | undefined): T[] {
  if (!list) return [];
  return Array.from({ length: list.Count }, (_, index) => list.getItem(index));
}
