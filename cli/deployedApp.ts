import { setTimeout as delay } from 'node:timers/promises';
import { jobs } from '../src/jobs/catalogue';
import {
  askResourceManager,
  DeployedAppError,
  describeAnswer,
  readAnswer,
  requestTimeoutMs,
  requireAppId,
  type AppInAzure,
} from './resourceManager';

export interface DeployedAppOptions extends AppInAzure {
  readonly log: (line: string) => void;
  /** How long the app may take until it is ready. In ms. */
  readonly timeoutMs?: number;
  /** Between two looks. In ms. */
  readonly pauseMs?: number;
  /** Where the app is found. */
  readonly addressOf?: (hostName: string) => string;
}

const apiVersion = { 'api-version': '2025-03-01' };

interface FunctionList {
  readonly value: readonly { readonly properties: { readonly name: string } }[];
}

/**
 * Sees to it that a function app that was just deployed works: synchronises its triggers until its timers and HTTP
 * functions are listed, then asks it for its jobs, and looks that it lets in nobody who only says who they are. On Flex Consumption a deployment alone may leave the timers
 * unregistered (azure-pipelines-tasks, issue 22354).
 * @returns the address of the status page
 * @throws DeployedAppError
 */
export async function verifyDeployedApp(options: DeployedAppOptions): Promise<string> {
  const { appId, log } = options;
  const { addressOf = (hostName) => `https://${hostName}` } = options;
  requireAppId(appId);
  const arm = (method: 'GET' | 'POST', path: string): Promise<Response> =>
    askResourceManager(options, method, `${appId}${path}`, apiVersion);

  let address = '';
  await until(options, 'The functions are not listed', async () => {
    const site = await readAnswer<{ properties: { defaultHostName: string } }>(await arm('GET', ''));
    address = addressOf(site.properties.defaultHostName);
    const sync = await arm('POST', '/host/default/sync');
    const { value } = await readAnswer<FunctionList>(await arm('GET', '/functions'));
    const names = value.map(({ properties }) => properties.name);
    const missing = jobs.map(({ type }) => type).filter((type) => !names.includes(type));
    // Every function but the timers is one for HTTP.
    const http = names.length - (jobs.length - missing.length);
    if (missing.length === 0 && http > 0) {
      log(`${jobs.length} timers and ${http} HTTP functions are listed`);
      return undefined;
    }
    const problem = [...missing, ...(http === 0 ? ['the HTTP functions'] : [])].join(', ');
    return `missing: ${problem}${sync.ok ? '' : `; synchronising the triggers answered ${sync.status}`}`;
  });

  await until(options, 'GET /api/jobs is not answered', async () => {
    const signIn = await readAnswer<{ properties: { platform?: { enabled?: boolean } } }>(
      await arm('GET', '/config/authsettingsV2'),
    );
    if (signIn.properties.platform?.enabled) {
      log('GET /api/jobs is not asked: App Service authentication wants a person to sign in');
      return undefined;
    }
    const keys = await readAnswer<{ functionKeys?: { default?: string } }>(
      await arm('POST', '/host/default/listkeys'),
    );
    const response = await fetch(`${address}/api/jobs`, {
      headers: { 'x-functions-key': keys.functionKeys?.default ?? '' },
      signal: AbortSignal.timeout(requestTimeoutMs),
    });
    if (!response.ok) return describeAnswer(response);
    log('GET /api/jobs is answered: the app reaches the database');
    return undefined;
  });

  await until(options, 'A forged sign-in is not refused', async () => {
    const response = await fetch(`${address}/api/jobs`, {
      headers: forgedPrincipal,
      redirect: 'manual',
      signal: AbortSignal.timeout(requestTimeoutMs),
    });
    if (refusals.includes(response.status)) {
      log(`A forged sign-in is refused (${response.status})`);
      return undefined;
    }
    if (response.ok)
      throw new DeployedAppError(
        `The app let in a caller without a key or a sign-in, by a forged header x-ms-client-principal-name (${response.status}): anybody can run its jobs. Set HTTP_AUTHORIZATION to key now, remove every WEBSITE_AUTH_ setting of your own, and turn App Service authentication on before HTTP_AUTHORIZATION=signIn.`,
      );
    return describeAnswer(response);
  });
  return `${address}/api/status`;
}

/** What App Service authentication sets for whom it has signed in, made up. */
const forgedPrincipal = {
  'x-ms-client-principal-name': 'forged@example.com',
  'x-ms-client-principal-id': 'forged',
  'x-ms-client-principal': Buffer.from(
    JSON.stringify({ auth_typ: 'aad', role_typ: 'roles', claims: [{ typ: 'roles', val: 'Operator' }] }),
  ).toString('base64'),
};

/** How such a caller is turned away: by the app, the platform, or the way to the sign-in. */
const refusals: readonly number[] = [302, 401, 403];

/**
 * Looks again and again until nothing is wrong.
 * @param look gives what is wrong, or throws it; a DeployedAppError is final
 */
async function until(
  { timeoutMs = 5 * 60_000, pauseMs = 10_000, log }: DeployedAppOptions,
  what: string,
  look: () => Promise<string | undefined>,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const problem = await look().catch((error: unknown) => {
      if (error instanceof DeployedAppError || !(error instanceof Error)) throw error;
      return `${error.message}${error.cause instanceof Error ? `: ${error.cause.message}` : ''}`;
    });
    if (problem === undefined) return;
    if (performance.now() + pauseMs > deadline)
      throw new DeployedAppError(
        `${what} after ${Math.round(timeoutMs / 1000)} s: ${problem}. Look at the log stream of the function app, and run npm run doctor with its settings.`,
      );
    log(`${what} yet: ${problem}`);
    await delay(pauseMs);
  }
}
