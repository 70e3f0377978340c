import { app, type HttpRequest, type HttpResponseInit, type InvocationContext } from '@azure/functions';
import { signInRequired } from '../config/appService';
import type { RequestError } from './problem';
import { getServices, inInvocation } from './runner';

export type Handler = (request: HttpRequest, context: InvocationContext) => Promise<HttpResponseInit>;

/** Answers a caller who may not ask. */
export type RefusalHandler = (request: HttpRequest, refusal: RequestError) => Promise<HttpResponseInit>;

/** The HTTP functions. In Azure every one needs a function key, or with HTTP_AUTHORIZATION=signIn a signed-in caller. What answers is loaded with the first request. */
export function registerHttpFunctions(): void {
  const load = () => import('./api');
  register('RunJob', 'POST', 'jobs/{jobType}/runs', async (...request) => (await load()).postRun(...request));
  register('ListJobRuns', 'GET', 'jobs/{jobType}/runs', async (...request) =>
    (await load()).getRuns(...request),
  );
  register('GetJobRun', 'GET', 'jobs/{jobType}/runs/{jobId}', async (...request) =>
    (await load()).getRun(...request),
  );
  register('CancelRun', 'POST', 'jobs/{jobType}/runs/{jobId}/cancel', async (...request) =>
    (await load()).postCancel(...request),
  );
  register('SearchRequests', 'GET', 'requests', async (...request) =>
    (await import('./requests')).getRequests(...request),
  );
  register('GetRequest', 'GET', 'requests/{platform}/{requestId}', async (...request) =>
    (await import('./requests')).getRequest(...request),
  );
  register('SendReminder', 'POST', 'requests/{platform}/{requestId}/reminders', async (...request) =>
    (await import('./requests')).postReminder(...request),
  );
  register('ListJobs', 'GET', 'jobs', async (...request) => (await load()).getJobs(...request));
  register(
    'Status',
    'GET',
    'status',
    async (...request) => (await import('./statusPage')).getStatus(...request),
    async (...refused) => (await import('./statusPage')).refuseStatus(...refused),
  );
}

const refuseWithProblem: RefusalHandler = async (_request, refusal) =>
  (await import('./problem')).toProblemResponse(refusal);

function register(
  name: string,
  method: 'GET' | 'POST',
  route: string,
  handler: Handler,
  refuse = refuseWithProblem,
): void {
  const guarded: Handler = async (request, context) => {
    const { findRefusal } = await import('./signIn');
    const refusal = findRefusal(request, (await getServices()).settings.appService);
    return refusal ? refuse(request, refusal) : handler(request, context);
  };
  const signIn = signInRequired();
  app.http(name, {
    methods: [method],
    route,
    authLevel: signIn ? 'anonymous' : 'function',
    handler: async (...request) => {
      const [, context] = request;
      const answer = await inInvocation(context, () => (signIn ? guarded : handler)(...request));
      const headers = new Headers(answer.headers);
      // Answers name people and what they have access to.
      headers.set('Cache-Control', 'no-store');
      headers.set('X-Content-Type-Options', 'nosniff');
      return { ...answer, headers };
    },
  });
}
