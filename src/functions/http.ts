import { app, type HttpHandler } from '@azure/functions';
import { signInRequired } from '../config/appService';

/** The HTTP functions. In Azure every one needs a function key, or with HTTP_AUTHORIZATION=signIn a signed-in caller. What answers is loaded with the first request. */
export function registerHttpFunctions(): void {
  const load = () => import('./api');
  register('RunJob', 'POST', 'jobs/{jobType}/runs', async (...request) => (await load()).postRun(...request));
  register('ListJobRuns', 'GET', 'jobs/{jobType}/runs', async (...request) =>
    (await load()).getRuns(...request),
  );
  register('GetJobRun', 'GET', 'jobs/{jobType}/runs/{jobId}', async (...request) =>
    (await import('./runDetails')).getRun(...request),
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
  register('ListJobs', 'GET', 'jobs', async (...request) => (await load()).getJobs(...request));
  register('Status', 'GET', 'status', async (...request) =>
    (await import('./statusPage')).getStatus(...request),
  );
}

function register(name: string, method: 'GET' | 'POST', route: string, handler: HttpHandler): void {
  const signedIn: HttpHandler = async (...request) =>
    (await import('./signIn')).onlySignedIn(handler)(...request);
  app.http(name, {
    methods: [method],
    route,
    ...(signInRequired()
      ? { authLevel: 'anonymous', handler: signedIn }
      : { authLevel: 'function', handler }),
  });
}
