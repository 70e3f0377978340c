import { jobs } from '../src/jobs/catalogue';
import { problems } from '../src/functions/problem';
import { markdownTable } from './markdown';
import { openApi, operations, type Json, type Operation } from './openApi';

const { description } = openApi.info as { description: string };

const intro = `# HTTP API

<!-- Generated from docs/openapi.yaml and src/functions/problem.ts: npm run docs -->

${description.trim()}

[openapi.yaml](openapi.yaml) (OpenAPI 3.1) has every member of every answer, for API Management or a client generator.

- [Routes](#routes): what there is, and who may call it
- [Parameters](#parameters)
- [Status codes](#status-codes): what each says, and for which routes
- [Problem codes](#problem-codes): what kind of problem an answer reports`;

const keys = `A function key is required, in the header \`x-functions-key\` or in the query (\`?code=\`), where it stays in histories.
With \`HTTP_AUTHORIZATION=signIn\` the caller must be signed in instead; some routes then require the app role \`Operator\`.`;

/** docs/api.md */
export function apiDocument(): string {
  const parts = [
    intro,
    '## Routes',
    keys,
    markdownTable(['route', 'name', 'does', 'signed in'], operations.map(describeRoute)),
    '## Parameters',
    markdownTable(['of', 'parameter', 'value', 'meaning'], operations.flatMap(describeParameters)),
    '## Status codes',
    'Status answers errors with the same codes, as pages.',
    markdownTable(['status', 'when', 'of'], describeStatuses()),
    '## Problem codes',
    'The member `code` of a problem document is stable; `title` and `detail` may change.',
    markdownTable(
      ['code', 'status', 'title'],
      Object.entries(problems).map(([code, [status, title]]) => [`\`${code}\``, String(status), title]),
    ),
  ];
  return `${parts.join('\n\n')}\n`;
}

function describeRoute({ id, method, route, summary, responses }: Operation): string[] {
  return [`\`${method} ${route}\``, id, summary, '403' in responses ? 'Operator' : 'anyone'];
}

function describeParameters({ id, parameters }: Operation): string[][] {
  return parameters
    .filter((parameter) => parameter.in === 'query')
    .map(({ name, required, description: meaning = '', schema }) => [
      id,
      `\`${name}\`${required ? ', required' : ''}`,
      describeValue(schema),
      meaning,
    ]);
}

/** For example "1 to 500, 20 by default". */
function describeValue({ type, format, enum: values, minimum, maximum, default: fallback }: Json): string {
  const kinds =
    minimum === undefined
      ? String(format ?? (Array.isArray(type) ? type.join(' or ') : type))
      : `${minimum as number} to ${maximum as number}`;
  if (String(values) === jobTypes) return 'a job type';
  const value = Array.isArray(values) ? values.map((one) => `\`${String(one)}\``).join(', ') : kinds;
  return fallback === undefined ? value : `${value}; default \`${fallback as string}\``;
}

const jobTypes = jobs.map(({ type }) => type).join();

const jsonOperations = operations.filter(({ id }) => id !== 'Status');

/** Each status with each of its meanings, and the routes that answer so. */
function describeStatuses(): string[][] {
  const answers = jsonOperations.flatMap(({ id, responses }) =>
    Object.entries(responses).map(([status, { description: when }]) => ({ id, status, when: when.trim() })),
  );
  const groups = Map.groupBy(answers, ({ status, when }) => `${status} ${when}`);
  return [...groups.values()]
    .map((same) => [same[0]?.status ?? '', same[0]?.when ?? '', describeIds(same.map(({ id }) => id))])
    .sort(([a = ''], [b = '']) => a.localeCompare(b));
}

function describeIds(ids: readonly string[]): string {
  return ids.length === jsonOperations.length ? 'all' : ids.join(', ');
}
