import { app, type HttpRequest, type HttpResponseInit, type InvocationContext } from '@azure/functions';
import { signInRequired } from '../config/appService';
import type { RequestError } from './problem';
import { getServices, inInvocation } from './runner';

export type Handler = (request: HttpRequest, context: InvocationContext) => Promise<HttpResponseInit>;

/** Answers a caller who is refused. */
export type RefusalHandler = (request: HttpRequest, refusal: RequestError) => Promise<HttpResponseInit>;

type Route = readonly [
  name: string,
  method: 'GET' | 'POST',
  route: string,
  load: () => Promise<Handler>,
  loadRefusal?: () => Promise<RefusalHandler>,
];

/** A handler is loaded with the first request. */
const routes: readonly Route[] = [
  ['RunJob', 'POST', 'jobs/{jobType}/runs', async () => (await import('./api')).postRun],
  ['ListJobRuns', 'GET', 'jobs/{jobType}/runs', async () => (await import('./api')).getRuns],
  ['GetJobRun', 'GET', 'jobs/{jobType}/runs/{jobId}', async () => (await import('./api')).getRun],
  ['CancelRun', 'POST', 'jobs/{jobType}/runs/{jobId}/cancel', async () => (await import('./api')).postCancel],
  ['SearchRequests', 'GET', 'requests', async () => (await import('./requests')).getRequests],
  [
    'GetRequest',
    'GET',
    'requests/{platform}/{requestId}',
    async () => (await import('./requests')).getRequest,
  ],
  [
    'SendReminder',
    'POST',
    'requests/{platform}/{requestId}/reminders',
    async () => (await import('./requests')).postReminder,
  ],
  ['ListJobs', 'GET', 'jobs', async () => (await import('./api')).getJobs],
  [
    'Status',
    'GET',
    'status',
    async () => (await import('./statusPage')).getStatus,
    async () => (await import('./statusPage')).refuseStatus,
  ],
];

/** The HTTP functions. In Azure each needs a function key, or with HTTP_AUTHORIZATION=signIn a signed-in caller. */
export function registerHttpFunctions(): void {
  for (const route of routes) register(...route);
}

async function loadProblemRefusal(): Promise<RefusalHandler> {
  const { toProblemResponse } = await import('./problem');
  return (_request, refusal) => Promise.resolve(toProblemResponse(refusal));
}

function register(...[name, method, route, load, loadRefusal = loadProblemRefusal]: Route): void {
  const signIn = signInRequired();
  const answer: Handler = async (request, context) => {
    if (signIn) {
      const { findRefusal } = await import('./signIn');
      const refusal = findRefusal(request, (await getServices()).settings.appService);
      if (refusal) return (await loadRefusal())(request, refusal);
    }
    return (await load())(request, context);
  };
  app.http(name, {
    methods: [method],
    route,
    authLevel: signIn ? 'anonymous' : 'function',
    handler: async (request, context) => {
      const answered = await inInvocation(context, () => answer(request, context));
      const headers = new Headers(answered.headers);
      // Answers name people and what they have access to.
      headers.set('Cache-Control', 'no-store');
      headers.set('X-Content-Type-Options', 'nosniff');
      return { ...answered, headers };
    },
  });
}
