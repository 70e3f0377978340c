/** docs/openapi.yaml as data: each operation with its references resolved. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export type Json = Record<string, unknown>;

export interface MediaType {
  readonly schema: Json;
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

export interface Answer {
  readonly description: string;
  readonly headers?: Readonly<Record<string, { readonly required?: boolean }>>;
  /** Absent: an answer without a body. */
  readonly content?: Readonly<Record<string, MediaType>>;
}

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Json;
}

export interface Operation {
  readonly id: string;
  readonly summary: string;
  readonly description?: string;
  readonly method: string;
  /** With the prefix, such as /api/jobs. */
  readonly route: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, MediaType>> };
  readonly responses: Readonly<Record<string, Answer>>;
}

/** The document as it is written. */
export const openApi = parse(readFileSync(join(__dirname, '../docs/openapi.yaml'), 'utf8')) as Json;

/** A part of the document with its references resolved. */
function resolved(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(resolved);
  if (typeof part !== 'object' || part === null) return part;
  const { $ref: reference, ...rest } = part as Json;
  if (typeof reference !== 'string')
    return Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, resolved(value)]));
  const target = reference
    .replace('#/', '')
    .split('/')
    .reduce<unknown>((parent, name) => (parent as Json)[name], openApi);
  if (target === undefined) throw new Error(`docs/openapi.yaml has no ${reference}`);
  return resolved(target);
}

/** Every operation of the document. */
export const operations: readonly Operation[] = Object.entries(resolved(openApi.paths) as Json).flatMap(
  ([path, item]) => {
    const { parameters = [], ...rest } = item as { parameters?: Parameter[] } & Json;
    return Object.entries(rest).map(([method, given]) => {
      const operation = given as Omit<Operation, 'id'> & { operationId: string };
      return {
        ...operation,
        id: operation.operationId,
        method: method.toUpperCase(),
        route: `/api${path}`,
        parameters: [...parameters, ...((operation.parameters as Parameter[] | undefined) ?? [])],
      };
    });
  },
);
