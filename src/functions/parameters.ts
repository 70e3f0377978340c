import type { HttpRequest } from '@azure/functions';

/** A query parameter is unknown or malformed. */
export class ParameterError extends Error {
  override readonly name = 'ParameterError';
}

/** The function key and its client may come in the query ("Azure Functions HTTP trigger", authorization keys). */
const keyParameters = ['code', 'clientId'];

/**
 * The query's parameters, of which only the `known` may stand, each once.
 * @throws ParameterError
 */
export function readQuery(request: HttpRequest, known: readonly string[]): ReadonlyMap<string, string> {
  const given = new Map<string, string>();
  for (const [name, value] of request.query) {
    if (keyParameters.includes(name)) continue;
    if (!known.includes(name)) {
      const expected = known.length === 0 ? 'none is taken here' : `known are ${known.join(', ')}`;
      throw new ParameterError(`The parameter ${quote(name)} is unknown: ${expected}.`);
    }
    if (given.has(name)) throw new ParameterError(`The parameter ${name} is given more than once.`);
    given.set(name, value);
  }
  return given;
}

/** A parameter that is true or false; absent it is false. */
export function readFlag(query: ReadonlyMap<string, string>, name: string): boolean {
  const value = query.get(name) ?? 'false';
  if (value !== 'true' && value !== 'false')
    throw new ParameterError(`The parameter ${name} is ${quote(value)}: expected true or false.`);
  return value === 'true';
}

/** A whole number from 1 to `most`. */
export function readCount(
  query: ReadonlyMap<string, string>,
  name: string,
  max: number,
  absent: number,
): number {
  const value = query.get(name);
  if (value === undefined) return absent;
  const count = /^\d{1,10}$/.test(value) ? Number(value) : 0;
  if (count < 1 || count > max)
    throw new ParameterError(
      `The parameter ${name} is ${quote(value)}: expected a whole number from 1 to ${max}.`,
    );
  return count;
}

/** A Job_Id as it stands in an address. */
export const jobIdPattern = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** The Job_Id of a run; undefined if absent. */
export function readJobId(query: ReadonlyMap<string, string>, name: string): string | undefined {
  const value = query.get(name);
  if (value !== undefined && !jobIdPattern.test(value))
    throw new ParameterError(`The parameter ${name} is ${quote(value)}: expected the jobId of a run.`);
  return value;
}

/** What was given, fit to be read in a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
