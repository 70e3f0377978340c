/** Reads Bicep with the grammar of tree-sitter, as far as the tests look into it. It checks no types. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Language, Parser, type Node } from 'web-tree-sitter';

/** What is no literal, as it is written: a reference, a call, a text with something put in. */
export class Expression {
  constructor(readonly code: string) {}
}

export type Value =
  string | number | boolean | null | Expression | readonly Value[] | { readonly [name: string]: Value };

export interface BicepFile {
  readonly name: string;
  /** The lines, from 1, with a syntax error. */
  readonly errorLines: readonly number[];
  /** Name → whether it has a default value. */
  readonly params: ReadonlyMap<string, boolean>;
  readonly variables: ReadonlyMap<string, Value>;
  readonly outputs: readonly string[];
  readonly resources: readonly { readonly name: string; readonly type: string; readonly body: Value }[];
  readonly modules: readonly { readonly name: string; readonly path: string; readonly body: Value }[];
  /** The names that expressions refer to, each once, and the functions that they call. */
  readonly references: ReadonlySet<string>;
  readonly calls: ReadonlySet<string>;
  /** The names that loops declare. */
  readonly loopVariables: ReadonlySet<string>;
  /** `module.outputs.name`, as [module, name]. */
  readonly outputsRead: readonly (readonly [string, string])[];
  /** The files that loadTextContent puts in, in order. */
  readonly loadedFiles: readonly string[];
}

let parser: Parser | undefined;

/** Has to end before `parseBicep` is called. */
export async function loadBicepGrammar(): Promise<void> {
  await Parser.init();
  const grammar = readFileSync(require.resolve('tree-sitter-bicep/tree-sitter-bicep.wasm'));
  parser = new Parser();
  parser.setLanguage(await Language.load(grammar));
}

export function parseBicep(path: string): BicepFile {
  const tree = parser?.parse(readFileSync(path, 'utf8'));
  if (!tree) throw new Error('The grammar is not loaded');
  const root = tree.rootNode;
  const statements = root.namedChildren;
  const ofType = (type: string): (readonly [Node, ...Node[]])[] =>
    statements.filter((node) => node.type === type).map((node) => node.namedChildren as [Node, ...Node[]]);
  const identifiers = root.descendantsOfType('identifier').filter((node) => !isDeclaredName(node));
  const isCallee = ({ parent }: Node): boolean => parent?.type === 'call_expression';
  return {
    name: basename(path),
    errorLines: root
      .descendantsOfType(['ERROR'])
      .map(({ startPosition }) => startPosition.row + 1)
      .concat(root.hasError ? [root.endPosition.row + 1] : []),
    params: new Map(
      ofType('parameter_declaration').map(([name, , value]) => [name.text, value !== undefined]),
    ),
    variables: new Map(ofType('variable_declaration').map(([name, value]) => [name.text, toValue(value)])),
    outputs: ofType('output_declaration').map(([name]) => name.text),
    resources: ofType('resource_declaration').map(([name, type, body]) => ({
      name: name.text,
      type: toValue(type) as string,
      body: toValue(bodyOf(body)),
    })),
    modules: ofType('module_declaration').map(([name, target, body]) => ({
      name: name.text,
      path: toValue(target) as string,
      body: toValue(bodyOf(body)),
    })),
    references: new Set(identifiers.filter((node) => !isCallee(node)).map(({ text }) => text)),
    calls: new Set(identifiers.filter(isCallee).map(({ text }) => text)),
    loopVariables: new Set(
      root
        .descendantsOfType('for_statement')
        .flatMap((node) => node.childForFieldName('initializer')?.text ?? []),
    ),
    outputsRead: [...root.text.matchAll(/\b(\w+)\.outputs\.(\w+)/g)].map(
      ([, module = '', name = '']) => [module, name] as const,
    ),
    loadedFiles: [...root.text.matchAll(/loadTextContent\('([^']+)'\)/g)].map(([, file = '']) => file),
  };
}

/** The name that a declaration introduces, or the name of a property. */
function isDeclaredName(node: Node): boolean {
  const { parent } = node;
  if (!parent) return false;
  if (parent.type === 'for_statement') return parent.childForFieldName('initializer')?.equals(node) ?? false;
  const declares = parent.type.endsWith('_declaration') || parent.type === 'object_property';
  return declares && (parent.firstNamedChild?.equals(node) ?? false);
}

/** What a condition or a loop makes. */
function bodyOf(node: Node | undefined): Node | undefined {
  if (node?.type !== 'if_statement' && node?.type !== 'for_statement') return node;
  return bodyOf(node.namedChildren.at(-1) ?? undefined);
}

function toValue(node: Node | undefined): Value {
  if (!node) return null;
  const children = node.namedChildren.filter((child) => child.type !== 'comment');
  switch (node.type) {
    case 'object':
      return Object.fromEntries(
        children.map(({ namedChildren: [name, value] }) => [
          name?.text.replace(/^'(.*)'$/, '$1') ?? '',
          toValue(value),
        ]),
      );
    case 'array':
      return children.map(toValue);
    case 'string':
      if (children.some(({ type }) => type === 'interpolation')) break;
      return node.text.replace(/^'(.*)'$/s, '$1').replace(/\\(.)/g, '$1');
    case 'number':
      return Number(node.text);
    case 'boolean':
      return node.text === 'true';
    case 'null':
      return null;
  }
  return new Expression(node.text);
}
