/** The function app does not exist, is not ready in time, or access to it is refused. The message says what to do. */
export class DeployedAppError extends Error {
  override readonly name = 'DeployedAppError';
}

export interface AppInAzure {
  /** The resource id of the function app: /subscriptions/…/providers/Microsoft.Web/sites/… */
  readonly appId: string;
  /** A bearer token for Azure Resource Manager. */
  readonly token: string;
  readonly log: (line: string) => void;
  /** The address of Azure Resource Manager. */
  readonly management?: string;
}

/** Time-out of one request, in ms. */
export const requestTimeoutMs = 30_000;

/** @throws DeployedAppError if it is not the resource id of a function app */
export function requireAppId(appId: string): void {
  if (
    !/^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+\/providers\/Microsoft\.Web\/sites\/[^/]+$/i.test(appId)
  )
    throw new DeployedAppError(
      `"${appId}" is not the resource id of a function app: expected /subscriptions/…/resourceGroups/…/providers/Microsoft.Web/sites/…`,
    );
}

/**
 * Sends a request to Azure Resource Manager.
 * @param path of a resource
 * @param query with the API version
 * @throws DeployedAppError if there is no such function app, or access is refused
 */
export async function askResourceManager(
  { appId, token, management = 'https://management.azure.com' }: AppInAzure,
  method: 'GET' | 'POST',
  path: string,
  query: Readonly<Record<string, string>>,
): Promise<Response> {
  const response = await fetch(`${management}${path}?${new URLSearchParams(query).toString()}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(requestTimeoutMs),
  });
  if (response.status === 404 && path === appId)
    throw new DeployedAppError(`There is no function app ${appId}. Check the name, or deploy it first.`);
  if (response.status === 401 || response.status === 403)
    throw new DeployedAppError(
      `Azure refused ${method} ${path} (${response.status}). The signed-in identity needs the role Website Contributor on ${appId}, and to wait for roles Reader on its resource group.`,
    );
  return response;
}

/** @throws Error with the answer, if it is not a success */
export async function readAnswer<T>(response: Response): Promise<T> {
  if (!response.ok) throw new Error(await describeAnswer(response));
  return (await response.json()) as T;
}

export async function describeAnswer(response: Response): Promise<string> {
  if (response.status === 429) return 'it is busy (429)';
  const text = (await response.text()).replace(/\s+/g, ' ').slice(0, 300);
  return `${response.status}${text === '' ? '' : `, ${text}`}`;
}
