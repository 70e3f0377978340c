import type { HttpRequest } from '@azure/functions';
import { guidPattern, parseRequestId, type Platform, type RequestId } from '../jobs/platforms';
import { RequestError } from './problem';

/** A parameter is unknown or malformed. */
export class ParameterError extends RequestError {
  override readonly name = 'ParameterError';
  constructor(message: string) {
    super('malformedParameter', message);
  }
}

/** Parameters by name, each once. */
export type Parameters = ReadonlyMap<string, string>;

/** The function key and its client may come in the query ("Azure Functions HTTP trigger", authorization keys). */
const keyParameters = ['code', 'clientId'];

/** The largest body that is taken, in bytes: it holds a few parameters. */
const maxBodyBytes = 16 * 1024;

/**
 * The query as it was sent. The worker's `request.query` has joined repeated names and lost `__proto__` ("Azure Functions
 * Node.js worker", RpcHttp).
 */
export function queryOf({ url }: HttpRequest): URLSearchParams {
  return new URL(url).searchParams;
}

/**
 * The query's parameters. Rejects unknown or repeated ones.
 * @throws ParameterError
 */
export function readQuery(request: HttpRequest, known: readonly string[]): Parameters {
  return collect(
    [...queryOf(request)].filter(([name]) => !keyParameters.includes(name)),
    known,
  );
}

/**
 * The parameters of a POST: the query's and the members of a JSON or form body, by the same rules.
 * @throws ParameterError
 * @throws RequestError 411 for a body that did not arrive, 413 for one of more than 16 KiB, 415 for another media type
 */
export async function readParameters(request: HttpRequest, known: readonly string[]): Promise<Parameters> {
  const query = readQuery(request, known);
  const body = await readBody(request, known);
  for (const [name, value] of body) {
    const other = query.get(name);
    if (other !== undefined && other !== value)
      throw new ParameterError(
        `The parameter ${name} is ${quote(other)} in the query and ${quote(value)} in the body.`,
      );
  }
  return new Map([...query, ...body]);
}

/** For clients that send a body of their own. */
const emptyBodyAdvice = "If the portal's Test/Run filled in this body, empty it.";

async function readBody(request: HttpRequest, known: readonly string[]): Promise<Parameters> {
  const bytes = await request.arrayBuffer();
  if (bytes.byteLength === 0 && announcesBody(request))
    throw new RequestError(
      'bodyMissing',
      `The request announces a body, and none arrived: Azure Functions drops a body that is sent in chunks (Transfer-Encoding: chunked). ${adviceWithout(known)} Nothing was done.`,
    );
  if (bytes.byteLength > maxBodyBytes)
    throw new RequestError(
      'bodyTooLarge',
      `The body has ${bytes.byteLength} bytes: expected at most ${maxBodyBytes}. ${adviceWithout(known)}`,
    );
  const text = new TextDecoder().decode(bytes);
  if (text.trim() === '') return new Map();
  const mediaType = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json' && mediaType !== 'application/x-www-form-urlencoded')
    throw new RequestError(
      'unsupportedMediaType',
      `The body is ${mediaType ? quote(mediaType) : 'of no media type'}: expected application/json or application/x-www-form-urlencoded, or no body.`,
    );
  try {
    return mediaType === 'application/json'
      ? parseMembers(text, known)
      : collect(new URLSearchParams(text), known);
  } catch (error) {
    if (!(error instanceof ParameterError)) throw error;
    throw new ParameterError(`${error.message} ${emptyBodyAdvice}`);
  }
}

/** What to do instead of sending such a body. */
function adviceWithout(known: readonly string[]): string {
  if (known.length === 0) return 'No parameter is taken here: send no body.';
  const example = known.includes('dryRun') ? ', such as ?dryRun=true' : '';
  return `Give the parameters in the query${example}, or send a small body with its Content-Length.`;
}

/**
 * Whether the headers say that a body follows. The Functions host passes on only a body with a Content-Length above 0
 * (azure-functions-nodejs-worker, issue 524).
 */
function announcesBody({ headers }: HttpRequest): boolean {
  return headers.has('transfer-encoding') || !/^0*$/.test(headers.get('content-length') ?? '');
}

/** The members of a JSON object as they would be written in a query. */
function parseMembers(text: string, known: readonly string[]): Parameters {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new ParameterError(`The body is not valid JSON (${error instanceof Error ? error.message : ''}).`);
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new ParameterError('The body is not a JSON object: expected one, such as {"dryRun": true}.');
  const members: [string, unknown][] = Object.entries(body);
  for (const [name] of members) requireKnown(name, known);
  for (const [name, value] of members)
    if (typeof value === 'object') {
      const is = value === null ? 'null' : Array.isArray(value) ? 'an array' : 'an object';
      throw new ParameterError(`The parameter ${name} is ${is}: expected a boolean, a string or a number.`);
    }
  // JSON.parse keeps only the last of several members with one name. A string before a colon is a name.
  const strings = [...text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/g)];
  if (strings.filter(([, colon]) => colon !== undefined).length > members.length)
    throw new ParameterError('A parameter is given more than once.');
  return new Map(members.map(([name, value]) => [name, String(value)]));
}

/** @throws ParameterError for an unknown or repeated name */
function collect(parameters: Iterable<[string, string]>, known: readonly string[]): Parameters {
  const given = new Map<string, string>();
  for (const [name, value] of parameters) {
    requireKnown(name, known);
    if (given.has(name)) throw new ParameterError(`The parameter ${name} is given more than once.`);
    given.set(name, value);
  }
  return given;
}

function requireKnown(name: string, known: readonly string[]): void {
  if (known.includes(name)) return;
  const expected =
    ['none is taken here', `only ${known.join('')} is known`][known.length] ??
    `known are ${known.join(', ')}`;
  throw new ParameterError(`The parameter ${quote(name)} is unknown: ${expected}.`);
}

/**
 * A parameter by its parser; undefined if absent.
 * @param parse yields undefined for what is malformed
 * @throws ParameterError saying what was expected
 */
function read<T>(
  parameters: Parameters,
  name: string,
  expected: string,
  parse: (value: string) => T | undefined,
): T | undefined {
  const value = parameters.get(name);
  if (value === undefined) return undefined;
  const parsed = parse(value);
  if (parsed === undefined)
    throw new ParameterError(`The parameter ${name} is ${quote(value)}: expected ${expected}.`);
  return parsed;
}

/** For example "true or false". */
export const alternatives = new Intl.ListFormat('en-GB', { type: 'disjunction' });

/** One of some words; undefined if absent. */
export function readChoice<T extends string>(
  parameters: Parameters,
  name: string,
  choices: readonly T[],
): T | undefined {
  return read(parameters, name, alternatives.format(choices), (value) =>
    choices.find((choice) => choice === value),
  );
}

/** A parameter that is true or false; absent it is false. */
export function readFlag(parameters: Parameters, name: string): boolean {
  return readChoice(parameters, name, ['true', 'false']) === 'true';
}

/** By which end grants are listed first. */
export function readOrder(parameters: Parameters, name: string): 'soonest' | 'latest' {
  return readChoice(parameters, name, ['soonest', 'latest']) ?? 'soonest';
}

/** A whole number from 1 to `max`. */
export function readCount(parameters: Parameters, name: string, max: number, absent: number): number {
  const parse = (value: string): number | undefined => {
    const count = /^\d{1,10}$/.test(value) ? Number(value) : 0;
    return count >= 1 && count <= max ? count : undefined;
  };
  return read(parameters, name, `a whole number from 1 to ${max}`, parse) ?? absent;
}

/** The largest value of an INT column. */
const maxInt = 2 ** 31 - 1;

/** The row after which a page of a list begins; undefined: it is the first page. */
export function readRowId(query: Parameters): number | undefined {
  return readCount(query, 'after', maxInt, 0) || undefined;
}

/** The Job_Id of a run; undefined if absent. */
export function readJobId(query: Parameters, name: string): string | undefined {
  return read(query, name, 'the jobId of a run', (value) => (guidPattern.test(value) ? value : undefined));
}

/** The id of a request of that platform; undefined if absent. */
export function readRequestId(
  parameters: Parameters,
  name: string,
  platform: Platform,
): RequestId | undefined {
  const kind = platform.requestIdType === 'INT' ? 'a 32-bit integer' : 'a GUID';
  return read(parameters, name, `the id of a request, which is ${kind}`, (value) =>
    parseRequestId(value, platform),
  );
}

/** A given value, quoted and shortened for a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
