import { setTimeout as delay } from 'node:timers/promises';
import { jobs } from '../src/jobs/catalogue';
import {
  askResourceManager,
  DeployedAppError,
  describeAnswer,
  readAnswer,
  requestTimeoutMs,
  type AppInAzure,
} from './resourceManager';

export interface DeployedAppOptions extends AppInAzure {
  /** How long the app may take until it is ready. In ms. */
  readonly timeoutMs?: number;
  /** Between two checks. In ms. */
  readonly pauseMs?: number;
  /** Replaced by tests. */
  readonly addressOf?: (hostName: string) => string;
}

/**
 * Checks that a function app that was just deployed works: its timers and HTTP functions are listed, it answers with its
 * jobs, and it refuses a caller who only claims to be signed in.
 * @returns the address of the status page
 * @throws DeployedAppError
 */
export async function verifyDeployedApp(options: DeployedAppOptions): Promise<string> {
  const { addressOf = (hostName) => `https://${hostName}` } = options;
  const arm: Arm = (method, path) =>
    askResourceManager(options, method, `${options.appId}${path}`, { 'api-version': '2025-03-01' });

  let address = '';
  await until(options, 'The functions are not listed', async () => {
    const site = await readAnswer<{ properties: { defaultHostName: string } }>(await arm('GET', ''));
    address = addressOf(site.properties.defaultHostName);
    return listFunctions(options, arm);
  });
  await until(options, 'GET /api/jobs is not answered', () => askForJobs(options, arm, address));
  await until(options, 'A forged sign-in is not refused', () => forgeSignIn(options, address));
  return `${address}/api/status`;
}

type Arm = (method: 'GET' | 'POST', path: string) => Promise<Response>;

/** On Flex Consumption a deployment may leave the timers unregistered (azure-pipelines-tasks, issue 22354). */
async function listFunctions({ log }: DeployedAppOptions, arm: Arm): Promise<string | undefined> {
  const sync = await arm('POST', '/host/default/sync');
  const { value } = await readAnswer<{ value: { properties: { name: string } }[] }>(
    await arm('GET', '/functions'),
  );
  const names = value.map(({ properties }) => properties.name);
  const missing = jobs.map(({ type }) => type).filter((type) => !names.includes(type));
  // All other functions are for HTTP.
  const http = names.length - (jobs.length - missing.length);
  if (missing.length === 0 && http > 0) {
    log(`${jobs.length} timers and ${http} HTTP functions are listed`);
    return undefined;
  }
  const problem = [...missing, ...(http === 0 ? ['the HTTP functions'] : [])].join(', ');
  return `missing: ${problem}${sync.ok ? '' : `; synchronising the triggers answered ${sync.status}`}`;
}

async function askForJobs(
  { log }: DeployedAppOptions,
  arm: Arm,
  address: string,
): Promise<string | undefined> {
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
  const response = await fetchJobs(address, { 'x-functions-key': keys.functionKeys?.default ?? '' });
  if (!response.ok) return describeAnswer(response);
  log('GET /api/jobs is answered: the app reaches the database');
  return undefined;
}

async function forgeSignIn({ log }: DeployedAppOptions, address: string): Promise<string | undefined> {
  const response = await fetchJobs(address, forgedPrincipal);
  if (refusals.includes(response.status)) {
    log(`A forged sign-in is refused (${response.status})`);
    return undefined;
  }
  if (!response.ok) return describeAnswer(response);
  throw new DeployedAppError(
    `The app let in a caller without a key or a sign-in, by a forged header x-ms-client-principal-name (${response.status}): anybody can run its jobs. Set HTTP_AUTHORIZATION to key now, remove every WEBSITE_AUTH_ setting of your own, and turn App Service authentication on before HTTP_AUTHORIZATION=signIn.`,
  );
}

const fetchJobs = (address: string, headers: Record<string, string>): Promise<Response> =>
  fetch(`${address}/api/jobs`, {
    headers,
    redirect: 'manual',
    signal: AbortSignal.timeout(requestTimeoutMs),
  });

/** The headers of a signed-in caller, which only App Service authentication may set. */
const forgedPrincipal = {
  'x-ms-client-principal-name': 'forged@example.com',
  'x-ms-client-principal-id': 'forged',
  'x-ms-client-principal': Buffer.from(
    JSON.stringify({ auth_typ: 'aad', role_typ: 'roles', claims: [{ typ: 'roles', val: 'Operator' }] }),
  ).toString('base64'),
};

/** Refused by the app or the platform, or redirected to the sign-in. */
const refusals: readonly number[] = [302, 401, 403];

/**
 * Repeats a check until it passes.
 * @param look returns or throws what is wrong; a DeployedAppError is final
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
