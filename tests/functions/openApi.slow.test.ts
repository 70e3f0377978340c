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

describe('An answer that is not documented is refused:', () => {
  const run = {
    jobId: '1b4e28ba-2fa1-41d2-883f-0016d3cca427',
    jobType: 'RevokeExpiredDatabricksRequests',
    status: 'Completed',
    startedAt: '2026-12-01T07:00:00.090Z',
    startedBy: 'machine-1',
    completedAt: '2026-12-01T07:00:01.217Z',
    processedCount: 12,
    failedCount: null,
    message: null,
    facts: { failures: [] },
  };
  const finished = { ...run, stoppedEarly: false };
  const runs = '/api/jobs/RevokeExpiredDatabricksRequests/runs';
  const json = (body: unknown, status = 200, type = 'application/json', headers = {}): Response =>
    new Response(JSON.stringify(body), { status, headers: { 'Content-Type': type, ...headers } });
  const problem = { title: 'Busy', status: 503, code: 'busy', detail: 'Wait.' };

  test('but documented ones are accepted', async () => {
    await expectDocumented('POST', runs, json(finished));
    await expectDocumented(
      'POST',
      runs,
      json(problem, 503, 'application/problem+json', { 'Retry-After': '60' }),
    );
  });

  test.each([
    ['a route', 'GET', '/api/other', json(run)],
    ['a method', 'PUT', runs, json(finished)],
    ['a status', 'POST', runs, json(finished, 201)],
    ['a media type', 'POST', runs, json(finished, 200, 'text/html')],
    ['a member', 'POST', runs, json({ ...finished, more: 1 })],
    ['a nested member', 'GET', runs, json({ jobType: run.jobType, runs: [{ ...run, more: 1 }], next: null })],
    ['a missing member', 'POST', runs, json(run)],
    ['a value', 'POST', runs, json({ ...finished, status: 'Done' })],
    ['a time', 'POST', runs, json({ ...finished, startedAt: 'today' })],
    ['a missing header', 'GET', runs, json(problem, 503, 'application/problem+json')],
  ])('%s', async (_, method, path, response) => {
    await expect(expectDocumented(method, path, response)).rejects.toThrow(
      /docs\/openapi\.yaml|lacks the header/,
    );
  });
});
