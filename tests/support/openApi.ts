/** Checks the answers of the app against docs/openapi.yaml. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020';
import addFormats from 'ajv-formats';
import { operations, type Json, type MediaType, type Operation } from '../../scripts/openApi';

/** The schema without undocumented members. */
function closed(schema: unknown, branch = false): unknown {
  if (Array.isArray(schema)) return schema.map((item) => closed(item, branch));
  if (typeof schema !== 'object' || schema === null) return schema;
  const { allOf, properties, ...rest } = schema as Json & { properties?: Json };
  return {
    ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, closed(value)])),
    ...(properties !== undefined && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, value]) => [name, closed(value)]),
      ),
    }),
    ...(allOf !== undefined && { allOf: closed(allOf, true) }),
    ...(!branch && (properties ?? allOf) !== undefined && { unevaluatedProperties: false }),
  };
}

const ajv = addFormats(new Ajv2020({ allErrors: true, strictTypes: false }));
const validators = new Map<MediaType, ValidateFunction>();

/** @throws Error naming each member that is not as documented */
function validate(mediaType: MediaType, value: unknown, subject: string): void {
  const validator = validators.get(mediaType) ?? ajv.compile(closed(mediaType.schema) as Json);
  validators.set(mediaType, validator);
  if (!validator(value))
    throw new Error(
      `${subject} is not as docs/openapi.yaml says: ${ajv.errorsText(validator.errors)}\n${JSON.stringify(value, undefined, 2)}`,
    );
}

/** @throws Error for an example that its own schema refuses */
export function validateExamples({ id, requestBody, responses }: Operation): number {
  let count = 0;
  for (const { content = {} } of [...(requestBody ? [requestBody] : []), ...Object.values(responses)])
    for (const mediaType of Object.values(content)) {
      const { example, examples = {} } = mediaType;
      const all = [
        ...(example === undefined ? [] : [example]),
        ...Object.values(examples).map((one) => one.value),
      ];
      for (const value of all) validate(mediaType, value, `An example of ${id}`);
      count += all.length;
    }
  return count;
}

/** Like the host, regardless of case and of a trailing slash. */
function findOperation(method: string, path: string): Operation | undefined {
  const segments = path.toLowerCase().replace(/\/$/, '').split('/');
  return operations.find(({ method: documented, route }) => {
    const template = route.split('/');
    return (
      documented === method &&
      template.length === segments.length &&
      template.every((part, index) => part.startsWith('{') || part.toLowerCase() === segments[index])
    );
  });
}

/**
 * Checks an answer's route, status, headers, media type and every member.
 * @param target path and query
 * @throws Error for what is undocumented
 */
export async function expectDocumented(method: string, target: string, response: Response): Promise<void> {
  const { pathname } = new URL(target, 'http://host');
  const mediaType = response.headers.get('content-type')?.split(';')[0] ?? 'none';
  // The host answers in plain text if no function does.
  if (!/^\/api\//i.test(pathname) || mediaType === 'text/plain') return;
  const subject = `The answer ${response.status} (${mediaType}) to ${method} ${pathname}`;
  const operation = findOperation(method, pathname);
  const documented = operation?.responses[response.status];
  if (documented && !documented.content && mediaType === 'none') return;
  const content = documented?.content?.[mediaType];
  if (!content) throw new Error(`${subject} is not in docs/openapi.yaml`);
  for (const [name, { required }] of Object.entries(documented.headers ?? {}))
    if (required && !response.headers.has(name)) throw new Error(`${subject} lacks the header ${name}`);
  const body = await response.text();
  validate(content, mediaType.endsWith('json') ? JSON.parse(body) : body, subject);
}
