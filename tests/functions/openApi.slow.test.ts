/** docs/openapi.yaml itself, and the app against it. What the app answers is held against it by every test that asks the app. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { jobs } from '../../src/jobs/catalogue';
import { stateNames } from '../../src/jobs/judgeJob';
import { failureCauses } from '../../src/jobs/failures';
import { useSample } from '../support/app';
import { openApi, operations } from '../../scripts/openApi';
import { expectDocumented, validateExamples } from '../support/openApi';

const { app } = useSample();

test('it is an OpenAPI 3.1 document', () => {
  // A process of its own: the package is an ES module.
  const script = `import SwaggerParser from '@apidevtools/swagger-parser';
const { openapi } = await SwaggerParser.validate('docs/openapi.yaml');
console.log(openapi);`;
  const printed = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: join(__dirname, '../..'),
    encoding: 'utf8',
  });
  expect(printed.trim()).toBe('3.1.0');
});

test('every example is valid', () => {
  expect(operations.map(validateExamples).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(15);
});

test('it names exactly the HTTP functions that the app registers', async () => {
  const functions = (await (await app.call('/admin/functions')).json()) as {
    name: string;
    trigger: string;
    route: string;
    methods: string[];
  }[];
  const registered = functions
    .filter(({ trigger }) => trigger === 'httpTrigger')
    .flatMap(({ name, methods, route }) => methods.map((method) => [name, method, route]));
  expect(operations.map(({ id, method, route }) => [id, method, route]).sort()).toEqual(registered.sort());
});

test.each(
  operations.filter(({ id }) => id !== 'Status').map((operation) => [operation.id, operation] as const),
)('%s takes exactly the documented query parameters', async (_, { method, route, parameters }) => {
  const path = route
    .replace('{jobType}', 'RevokeExpiredDatabricksRequests')
    .replace('{platform}', 'databricks')
    .replace('{requestId}', '1')
    .replace('{jobId}', '00000000-0000-4000-8000-000000000000');
  const response = await app.call(`${path}?unknown=1`, { method });
  const { detail } = (await response.json()) as { detail: string };
  const taken = /: (?:known are|only) (.*?)(?: is known)?\.$/.exec(detail)?.[1]?.split(', ') ?? [];
  expect(detail).toContain('"unknown" is unknown');
  expect(parameters.filter((parameter) => parameter.in === 'query').map(({ name }) => name)).toEqual(taken);
});

test('its lists of values are those of the code', () => {
  const { schemas } = openApi.components as {
    schemas: Record<string, { enum: unknown; properties: Record<string, { enum: unknown }> }>;
  };
  expect(schemas.JobType?.enum).toEqual(jobs.map(({ type }) => type));
  expect(schemas.Job?.properties.state?.enum).toEqual(stateNames);
  expect(schemas.FailureCause?.enum).toEqual(Object.keys(failureCauses));
});

describe('an answer is refused for', () => {
  const refused = (body: unknown, status: number, type: string, message: RegExp) => {
    const response = new Response(JSON.stringify(body), { status, headers: { 'Content-Type': type } });
    const path = '/api/jobs/RevokeExpiredDatabricksRequests/runs';
    return expect(expectDocumented('GET', path, response)).rejects.toThrow(message);
  };

  test('an undocumented member in it', async () => {
    const { content } = operations.find(({ id }) => id === 'ListJobRuns')?.responses[200] ?? {};
    const example = content?.['application/json']?.example as { runs: object[] };
    const runs = example.runs.map((run) => ({ ...run, more: 1 }));
    await refused({ ...example, runs }, 200, 'application/json', /docs\/openapi\.yaml/);
  });

  test('a missing header', async () => {
    const problem = { title: 'Busy', status: 503, code: 'busy', detail: 'Wait.' };
    await refused(problem, 503, 'application/problem+json', /lacks the header Retry-After/);
  });
});
